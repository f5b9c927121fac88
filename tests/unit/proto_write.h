/* Protocol buffers written, for tests of their readers. Header only. */
#ifndef VISAVIS_TESTS_UNIT_PROTO_WRITE_H
#define VISAVIS_TESTS_UNIT_PROTO_WRITE_H

#include <assert.h>
#include <string.h>

#include "engine/base/buf.h"

enum { PROTO_BYTES_MAX = 64 << 20 };
#define PROTO_INIT BUF_INIT(PROTO_BYTES_MAX)

static inline void proto_raw(struct buf *b, const void *data, size_t len)
{
    enum err rc = buf_add(b, data, len, NULL);
    assert(!rc);
    (void)rc;
}

static inline void proto_varint(struct buf *b, uint64_t v)
{
    do {
        const uint8_t byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        proto_raw(b, &byte, 1);
        v >>= 7;
    } while (v);
}

static inline void proto_int(struct buf *b, unsigned field, int64_t v)
{
    proto_varint(b, field << 3);
    proto_varint(b, (uint64_t)v);
}

static inline void proto_float(struct buf *b, unsigned field, float v)
{
    proto_varint(b, field << 3 | 5);
    proto_raw(b, &v, sizeof v);
}

static inline void proto_bytes(struct buf *b, unsigned field, const void *data, size_t len)
{
    proto_varint(b, field << 3 | 2);
    proto_varint(b, len);
    if (len) proto_raw(b, data, len);
}

static inline void proto_text(struct buf *b, unsigned field, const char *s)
{
    proto_bytes(b, field, s, strlen(s));
}

/* The message ends here: it becomes a field of b, and is released. */
static inline void proto_message(struct buf *b, unsigned field, struct buf *message)
{
    proto_bytes(b, field, message->data, message->len);
    buf_release(message);
}

#endif
