/* A file system that is slow, full or broken, for the tests of the store: an SQLite VFS over the
 * system's own. What it does is set by its faults, at any time and from any thread. */
#ifndef VISAVIS_TESTS_TORTURE_FAULTY_VFS_H
#define VISAVIS_TESTS_TORTURE_FAULTY_VFS_H

#include <stdatomic.h>

struct faults {
    atomic_int sync_us;         /* each xSync takes at least this long */
    atomic_int per_million;     /* reads, writes, syncs and truncations that fail */
    atomic_llong room;          /* bytes by which files may still grow; negative: no limit */
    atomic_llong syncs, errors; /* how many there were */
};

/* Makes it SQLite's default, for stores that are opened from now on. */
struct faults *faulty_vfs_install(void);

#endif
