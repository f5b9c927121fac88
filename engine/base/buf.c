#include "engine/base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 256 };

enum err buf_reserve(struct buf *b, size_t len, struct err_info *err)
{
    if (len > b->max || b->len > b->max - len)
        return err_set(err, ERR_TOO_LARGE, "more than the %zu bytes allowed", b->max);
    size_t need = b->len + len + 1;
    if (need <= b->cap) return ERR_OK;
    size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max + 1) cap = b->max + 1;
    uint8_t *p = realloc(b->data, cap);
    if (!p) return err_set(err, ERR_NOMEM, "no memory for %zu bytes", cap);
    b->data = p;
    b->cap = cap;
    return ERR_OK;
}

enum err buf_add(struct buf *b, const void *data, size_t len, struct err_info *err)
{
    enum err rc = buf_reserve(b, len, err);
    if (rc) return rc;
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
    return ERR_OK;
}

enum err buf_puts(struct buf *b, const char *s, struct err_info *err)
{
    return buf_add(b, s, strlen(s), err);
}

enum err buf_printf(struct buf *b, struct err_info *err, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    enum err rc =
        n < 0 ? err_set(err, ERR_INTERNAL, "cannot format text") : buf_reserve(b, (size_t)n, err);
    if (!rc) {
        vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

enum err buf_read_file(struct buf *b, const char *path, struct err_info *err)
{
    char block[65536];
    size_t n;
    enum err rc = ERR_OK;
    FILE *f = fopen(path, "rbe");
    if (!f)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", path,
                       strerror(errno));
    while (!rc && (n = fread(block, 1, sizeof block, f)) > 0) rc = buf_add(b, block, n, err);
    if (!rc && ferror(f)) rc = err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    fclose(f);
    return rc;
}

uint8_t *buf_take(struct buf *b)
{
    uint8_t *p = b->data;
    b->data = NULL;
    b->len = b->cap = 0;
    return p;
}

void buf_release(struct buf *b)
{
    if (b) free(buf_take(b));
}

enum err buf_add_base64(struct buf *out, const void *data, size_t len, struct err_info *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = data;
    enum err rc = buf_reserve(out, (len + 2) / 3 * 4, err);
    if (rc) return rc;
    char *o = (char *)out->data + out->len;
    for (size_t i = 0; i < len; i += 3) {
        unsigned v = (unsigned)p[i] << 16;
        if (i + 1 < len) v |= (unsigned)p[i + 1] << 8;
        if (i + 2 < len) v |= p[i + 2];
        *o++ = digits[v >> 18];
        *o++ = digits[v >> 12 & 63];
        *o++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
        *o++ = i + 2 < len ? digits[v & 63] : '=';
    }
    out->len = (size_t)((uint8_t *)o - out->data);
    *o = 0;
    return ERR_OK;
}

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62; /* '-' and '_': the URL-safe alphabet, section 5 */
    if (c == '/' || c == '_') return 63;
    return -1;
}

enum err buf_add_unbase64(struct buf *out, const char *text, size_t len, struct err_info *err)
{
    size_t i = 0, digits = 0, pads = 0;
    uint32_t acc = 0;

    if (len >= 5 && !memcmp(text, "data:", 5)) {
        const char *comma = memchr(text, ',', len < 256 ? len : 256);
        if (!comma || comma - text < 12 || memcmp(comma - 7, ";base64", 7) != 0)
            return err_set(err, ERR_BAD_BASE64, "a data: URL must read data:TYPE;base64,...");
        i = (size_t)(comma - text) + 1;
    }
    enum err rc = buf_reserve(out, (len - i) / 4 * 3 + 3, err);
    if (rc) return rc;
    size_t start = out->len;
    for (; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
        int v = base64_value(c);
        if (c == '=' && digits % 4 >= 2 && pads < 4 - digits % 4) {
            pads++;
            continue;
        }
        if (v < 0 || pads) {
            out->len = start;
            return err_set(err, ERR_BAD_BASE64, "not base64 at character %zu", i);
        }
        acc = acc << 6 | (uint32_t)v;
        if (++digits % 4 == 0) {
            out->data[out->len++] = (uint8_t)(acc >> 16);
            out->data[out->len++] = (uint8_t)(acc >> 8);
            out->data[out->len++] = (uint8_t)acc;
            acc = 0;
        }
    }
    size_t rest = digits % 4;
    if (rest == 1 || (pads && rest + pads != 4)) {
        out->len = start;
        return err_set(err, ERR_BAD_BASE64, "base64 ends in the middle of a group (%zu digits)",
                       digits);
    }
    if (rest >= 2) {
        acc <<= 6 * (4 - rest);
        out->data[out->len++] = (uint8_t)(acc >> 16);
        if (rest == 3) out->data[out->len++] = (uint8_t)(acc >> 8);
    }
    out->data[out->len] = 0;
    return ERR_OK;
}
