/* Makes zip archives for tests, honest ones and others: entries are stored, and what their headers
 * say may be a lie. Header only. */
#ifndef VISAVIS_TESTS_UNIT_ZIP_BYTES_H
#define VISAVIS_TESTS_UNIT_ZIP_BYTES_H

#include "engine/base/buf.h"

#include <stdlib.h>
#include <string.h>

struct zip_entry {
    const char *name, *data;
    uint32_t size; /* that it promises; 0: what it has */
    uint16_t flags, method;
};

/* CRC-32 of IEEE 802.3, bit by bit. */
static inline uint32_t zip_crc(const char *data, size_t len)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        c ^= (uint8_t)data[i];
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}

static inline void zip_put(struct buf *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const uint8_t byte = i < 8 ? (uint8_t)(v >> (8 * i)) : 0;
        if (buf_add(b, &byte, 1, NULL)) abort();
    }
}

/* What local and central headers share (APPNOTE.TXT 4.4): from "version needed" to "extra". */
static inline void zip_common(struct buf *b, const struct zip_entry *e)
{
    const size_t len = strlen(e->data);
    zip_put(b, 20, 2);
    zip_put(b, e->flags, 2);
    zip_put(b, e->method, 2);
    zip_put(b, 0, 4);
    zip_put(b, zip_crc(e->data, len), 4);
    zip_put(b, len, 4);
    zip_put(b, e->size ? e->size : len, 4);
    zip_put(b, strlen(e->name), 2);
    zip_put(b, 0, 2);
}

static inline void zip_make(struct buf *b, const struct zip_entry *e, size_t n)
{
    uint64_t at[64];
    *b = BUF_INIT(64 << 20);
    for (size_t i = 0; i < n && i < 64; i++) {
        at[i] = b->len;
        zip_put(b, 0x04034b50, 4);
        zip_common(b, &e[i]);
        if (buf_puts(b, e[i].name, NULL) || buf_puts(b, e[i].data, NULL)) abort();
    }
    const size_t begin = b->len;
    for (size_t i = 0; i < n && i < 64; i++) {
        zip_put(b, 0x02014b50, 4);
        zip_put(b, 20, 2);
        zip_common(b, &e[i]);
        zip_put(b, 0, 10);
        zip_put(b, at[i], 4);
        if (buf_puts(b, e[i].name, NULL)) abort();
    }
    const size_t bytes = b->len - begin;
    zip_put(b, 0x06054b50, 4);
    zip_put(b, 0, 4);
    zip_put(b, n, 2);
    zip_put(b, n, 2);
    zip_put(b, bytes, 4);
    zip_put(b, begin, 4);
    zip_put(b, 0, 2);
}

#endif
