/* A .zip that a client sent, read as what it may be: hostile. Nothing of it is ever a path here;
 * entries are inflated one at a time into memory, each under a cap. The only file that knows
 * libzip.
 *
 * Refused as a whole: more than ARCHIVE_ENTRIES_MAX entries (counted before libzip allocates for
 * them), more than ARCHIVE_TOTAL_MAX_BYTES promised by all together, damaged directories. Refused
 * one by one (archive_entry.refused): names that lead outside, encrypted entries, archives in the
 * archive, entries over their cap or that grow more than ARCHIVE_RATIO_MAX times. What an entry
 * promises is not believed: reading stops at its cap, and at what it promised. */
#ifndef VISAVIS_SERVER_CLUSTERS_ARCHIVE_H
#define VISAVIS_SERVER_CLUSTERS_ARCHIVE_H

#include "engine/base/buf.h"

#include <stdbool.h>

enum {
    ARCHIVE_ENTRIES_MAX = 20000,
    ARCHIVE_ENTRY_MAX_BYTES = 20 * 1024 * 1024,
    ARCHIVE_RATIO_MAX = 100,            /* of inflated to stored bytes, for entries over */
    ARCHIVE_RATIO_FROM_BYTES = 1 << 20, /* this: pictures are compressed already */
};
static const size_t ARCHIVE_TOTAL_MAX_BYTES = (size_t)2 << 30;

struct archive;

/* data is borrowed until archive_free. ERR_INVALID: no zip, a damaged one, or one without entries;
 * ERR_TOO_LARGE: too many entries or bytes; ERR_NOMEM. Names nothing: the caller knows the file. */
NODISCARD enum err archive_open(struct archive **out, const void *data, size_t len,
                                struct err_info *err);
void archive_free(struct archive *a); /* NULL allowed */

struct archive_entry {
    const char *name;        /* UTF-8, as in the archive; lives as long as it */
    bool folder;             /* nothing to read */
    struct err_info refused; /* code ERR_OK: it may be read */
};
int archive_entries(const struct archive *a);
void archive_entry(struct archive_entry *out, struct archive *a, int i);

/* The entry's bytes into out, which is empty; its max should be at least ARCHIVE_ENTRY_MAX_BYTES
 * + 1. Any thread, one at a time inside. ERR_BAD_IMAGE: it cannot be inflated, or is longer than it
 * promised; ERR_UNSUPPORTED_IMAGE: an archive in the archive; ERR_TOO_LARGE; ERR_NOMEM. */
NODISCARD enum err archive_read(struct buf *out, struct archive *a, int i, struct err_info *err);

/* Do the bytes begin as a zip does? */
bool archive_is_zip(const void *data, size_t len);

#endif
