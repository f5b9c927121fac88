/* A growable byte buffer with a hard cap given when it is made: nothing that a client sends can
 * make it larger. */
#ifndef VISAVIS_ENGINE_BASE_BUF_H
#define VISAVIS_ENGINE_BASE_BUF_H

#include "engine/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* len bytes, always followed by a 0 byte once anything was added */
    size_t len, cap;
    size_t max; /* bytes that it may hold at most */
};
#define BUF_INIT(max_bytes) ((struct buf){NULL, 0, 0, (max_bytes)})

/* ERR_TOO_LARGE when the cap would be passed, ERR_NOMEM; the contents are then unchanged. */
NODISCARD enum err buf_add(struct buf *b, const void *data, size_t len, struct err_info *err);
NODISCARD enum err buf_puts(struct buf *b, const char *s, struct err_info *err);
NODISCARD enum err buf_printf(struct buf *b, struct err_info *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes room for len more bytes (contents unchanged). */
NODISCARD enum err buf_reserve(struct buf *b, size_t len, struct err_info *err);
/* Reads a whole file; ERR_TOO_LARGE over b->max, ERR_NOT_FOUND, ERR_IO. */
NODISCARD enum err buf_read_file(struct buf *b, const char *path, struct err_info *err);
/* The bytes become the caller's (free()); the buffer is empty again. NULL where nothing was added.
 */
uint8_t *buf_take(struct buf *b);
void buf_release(struct buf *b);

/* Base64 (RFC 4648 section 4, padded). Encoding appends to out. Decoding appends the bytes; white
 * space and a "data:...;base64," prefix are accepted; ERR_BAD_BASE64 names the offset of the first
 * wrong character. */
NODISCARD enum err buf_add_base64(struct buf *out, const void *data, size_t len,
                                  struct err_info *err);
NODISCARD enum err buf_add_unbase64(struct buf *out, const char *text, size_t len,
                                    struct err_info *err);

#define AUTO_BUF __attribute__((cleanup(buf_release)))

#endif
