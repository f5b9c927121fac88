/* Bytes of a body as they arrive: in memory while the request's share lasts, then in an unnamed
 * temporary file that is mapped when it is read. Big uploads are so the page cache's business, and
 * vanish with their descriptor. */
#ifndef VISAVIS_SERVER_HTTP_SPOOL_H
#define VISAVIS_SERVER_HTTP_SPOOL_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { SPOOL_MEMORY_MAX_BYTES = 4 * 1024 * 1024 }; /* of one request, all its parts together */

struct spool {
    struct buf memory;
    int fd; /* -1: in memory */
    size_t len;
    void *map; /* after spool_seal of a file */
};
#define SPOOL_INIT                                                                                 \
    {                                                                                              \
        .memory = {.max = SPOOL_MEMORY_MAX_BYTES}, .fd = -1                                        \
    }

/* memory_left: bytes that this request may still keep in memory; lowered, and given back when the
 * spool moves to a file in dir. ERR_NOMEM, ERR_STORAGE_FULL, ERR_IO. */
NODISCARD enum err spool_add(struct spool *s, const void *data, size_t len, size_t *memory_left,
                             const char *dir, struct err_info *err);
/* Everything that was added, readable until spool_release. *data is never NULL. ERR_IO. */
NODISCARD enum err spool_seal(struct spool *s, const uint8_t **data, size_t *len,
                              struct err_info *err);
void spool_release(struct spool *s);

#endif
