#include "tests/torture/faulty_vfs.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static struct faults faults = {.room = -1};
static sqlite3_vfs vfs;
static sqlite3_vfs *system_vfs;
/* The system's VFS has a few tables, which differ in how they lock; reading and writing is the same
 * in all. */
enum { TABLES_MAX = 4 };
static struct {
    const sqlite3_io_methods *from;
    sqlite3_io_methods to;
} tables[TABLES_MAX];
static const sqlite3_io_methods *system_methods;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool fails(void)
{
    static _Thread_local unsigned seed;
    int n = atomic_load(&faults.per_million);
    if (!n) return false;
    if (!seed) seed = (unsigned)time(NULL) ^ (unsigned)(uintptr_t)&seed;
    if (rand_r(&seed) % 1000000 >= n) return false;
    atomic_fetch_add(&faults.errors, 1);
    return true;
}

static int faulty_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    return fails() ? SQLITE_IOERR_READ : system_methods->xRead(f, out, n, at);
}

static int faulty_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    sqlite3_int64 size = 0;

    if (fails()) {
        /* half of it */
        if (n > 1) system_methods->xWrite(f, data, n / 2, at);
        return SQLITE_IOERR_WRITE;
    }
    if (atomic_load(&faults.room) >= 0 && !system_methods->xFileSize(f, &size) && at + n > size) {
        if (atomic_load(&faults.room) < at + n - size) {
            atomic_fetch_add(&faults.errors, 1);
            return SQLITE_FULL;
        }
        atomic_fetch_sub(&faults.room, at + n - size);
    }
    return system_methods->xWrite(f, data, n, at);
}

static int faulty_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return fails() ? SQLITE_IOERR_TRUNCATE : system_methods->xTruncate(f, size);
}

static int faulty_sync(sqlite3_file *f, int flags)
{
    struct timespec start, now;
    int us = atomic_load(&faults.sync_us);

    atomic_fetch_add(&faults.syncs, 1);
    if (fails()) return SQLITE_IOERR_FSYNC;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int rc = system_methods->xSync(f, flags);
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long left =
        us * 1000LL - ((now.tv_sec - start.tv_sec) * 1000000000LL + now.tv_nsec - start.tv_nsec);
    if (left > 0) nanosleep(&(struct timespec){left / 1000000000, left % 1000000000}, NULL);
    return rc;
}

static int faulty_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    (void)v;
    int rc = system_vfs->xOpen(system_vfs, name, f, flags, out_flags);
    if (rc || !f->pMethods) return rc;
    pthread_mutex_lock(&lock);
    int t = 0;
    while (tables[t].from && tables[t].from != f->pMethods) t++;
    if (!tables[t].from) {
        assert(t < TABLES_MAX - 1);
        if (!t) system_methods = f->pMethods;
        assert(f->pMethods->xWrite == system_methods->xWrite &&
               f->pMethods->xSync == system_methods->xSync);
        tables[t].from = f->pMethods;
        tables[t].to = *f->pMethods;
        tables[t].to.xRead = faulty_read;
        tables[t].to.xWrite = faulty_write;
        tables[t].to.xTruncate = faulty_truncate;
        tables[t].to.xSync = faulty_sync;
    }
    pthread_mutex_unlock(&lock);
    f->pMethods = &tables[t].to;
    return SQLITE_OK;
}

struct faults *faulty_vfs_install(void)
{
    if (!system_vfs) {
        system_vfs = sqlite3_vfs_find(NULL);
        vfs = *system_vfs;
        vfs.zName = "faulty";
        vfs.xOpen = faulty_open;
        vfs.pNext = NULL;
        if (sqlite3_vfs_register(&vfs, 1)) abort();
    }
    return &faults;
}
