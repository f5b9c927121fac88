#include "engine/train.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "engine/base/buf.h"
#include "engine/base/mem.h"

enum { FIRST_DIM = 4, CHUNK_BYTES = 1 << 16 };

static const struct {
    uint8_t code; /* third byte of the magic number */
    enum train_idx_type type;
    size_t bytes;
} TYPES[] = {{0x08, TRAIN_U8, 1},  {0x09, TRAIN_I8, 1},  {0x0B, TRAIN_I16, 2},
             {0x0C, TRAIN_I32, 4}, {0x0D, TRAIN_F32, 4}, {0x0E, TRAIN_F64, 8}};

/* --- gzip (RFC 1952; members one after another, as gzip itself takes them) --- */

static enum err gunzip_error(const z_stream *z, size_t len, struct err_info *err)
{
    return err_set(err, ERR_INVALID, "gzip data: %s at byte %zu of %zu",
                   z->msg ? z->msg : "damaged", len - z->avail_in, len);
}

static enum err gunzip_into(struct buf *out, z_stream *z, const uint8_t *bytes, size_t len,
                            struct err_info *err)
{
    uint8_t chunk[CHUNK_BYTES];
    int state = Z_OK;

    z->next_in = (Bytef *)(uintptr_t)bytes; /* zlib does not write there */
    z->avail_in = (uInt)len;
    while (state != Z_STREAM_END || z->avail_in) {
        if (state == Z_STREAM_END && inflateReset(z) != Z_OK) return gunzip_error(z, len, err);
        z->next_out = chunk;
        z->avail_out = sizeof chunk;
        state = inflate(z, Z_NO_FLUSH);
        if (state == Z_MEM_ERROR) return err_set(err, ERR_NOMEM, "no memory to unpack gzip data");
        if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
            return gunzip_error(z, len, err);
        const size_t got = sizeof chunk - z->avail_out;
        enum err rc = buf_add(out, chunk, got, err);
        if (rc) return rc;
        if (state != Z_STREAM_END && !z->avail_in && !got)
            return err_set(err, ERR_INVALID,
                           "gzip data is cut short: it ends at byte %zu, inside a member", len);
    }
    return ERR_OK;
}

static enum err gunzip(struct buf *out, const uint8_t *bytes, size_t len, struct err_info *err)
{
    z_stream z = {0};
    if (len > TRAIN_MAX_FILE_BYTES)
        return err_set(err, ERR_TOO_LARGE, "gzip data of %zu bytes, the limit is %d", len,
                       (int)TRAIN_MAX_FILE_BYTES);
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return err_set(err, ERR_NOMEM, "no memory to unpack gzip data");
    enum err rc = gunzip_into(out, &z, bytes, len, err);
    inflateEnd(&z);
    return rc;
}

/* --- IDX --- */

static size_t big_endian(const uint8_t *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* The header: type, dimensions, count; *size: bytes of an element, *at: where the data begins. */
static enum err read_header(struct train_idx *x, size_t *size, size_t *at, const uint8_t *b,
                            size_t len, struct err_info *err)
{
    size_t t = 0, bytes;
    if (len < FIRST_DIM)
        return err_set(err, ERR_INVALID, "byte %zu: the file ends inside its magic number", len);
    while (t < ARRAY_LEN(TYPES) && TYPES[t].code != b[2]) t++;
    if (b[0] || b[1] || t == ARRAY_LEN(TYPES) || !b[3] || b[3] > TRAIN_IDX_MAX_DIMS)
        return err_set(err, ERR_INVALID,
                       "byte 0: magic number 0x%02x%02x%02x%02x, an IDX file has 0x0000 and a type "
                       "(08 09 0b 0c 0d 0e) and 1 to %d dimensions",
                       b[0], b[1], b[2], b[3], (int)TRAIN_IDX_MAX_DIMS);
    x->type = TYPES[t].type;
    x->ndim = b[3];
    x->count = 1;
    *size = TYPES[t].bytes;
    *at = FIRST_DIM + 4 * (size_t)x->ndim;
    if (len < *at)
        return err_set(err, ERR_INVALID, "byte %zu: the file ends inside its %d dimensions", len,
                       x->ndim);
    for (int i = 0; i < x->ndim; i++) {
        x->dims[i] = big_endian(b + FIRST_DIM + 4 * i);
        if (!mul_ok(&x->count, x->count, x->dims[i]) || !mul_ok(&bytes, x->count, *size) ||
            bytes > TRAIN_MAX_FILE_BYTES)
            return err_set(err, ERR_TOO_LARGE,
                           "byte %d: dimension %d is %zu, which makes more than the limit of %d "
                           "bytes",
                           FIRST_DIM + 4 * i, i, x->dims[i], (int)TRAIN_MAX_FILE_BYTES);
    }
    if (len - *at != x->count * *size)
        return err_set(err, ERR_INVALID,
                       "byte %zu: the header's dimensions make %zu bytes of data, there are %zu",
                       *at, x->count * *size, len - *at);
    return ERR_OK;
}

/* Elements of `size` bytes, most significant first, into this machine's order. */
static void take_elements(uint8_t *out, const uint8_t *in, size_t n, size_t size)
{
    const uint16_t probe = 1;
    uint8_t little;
    memcpy(&little, &probe, 1);
    memcpy(out, in, n * size);
    for (size_t i = 0; little && size > 1 && i < n; i++, in += size, out += size)
        for (size_t k = 0; k < size; k++) out[k] = in[size - 1 - k];
}

enum err train_idx_parse(struct train_idx *out, const uint8_t *bytes, size_t len,
                         struct err_info *err)
{
    AUTO_BUF struct buf unpacked = BUF_INIT(TRAIN_MAX_FILE_BYTES);
    struct train_idx x = {0};
    size_t size = 0, at = 0;
    enum err rc;

    if (len >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
        if ((rc = gunzip(&unpacked, bytes, len, err))) return rc;
        bytes = unpacked.data;
        len = unpacked.len;
    }
    if ((rc = read_header(&x, &size, &at, bytes, len, err))) return rc;
    if (!(x.data = mem_aligned(x.count, size)))
        return err_set(err, ERR_NOMEM, "no memory for %zu elements", x.count);
    take_elements(x.data, bytes + at, x.count, size);
    *out = x;
    return ERR_OK;
}

enum err train_idx_read(struct train_idx *out, const char *path, struct err_info *err)
{
    AUTO_BUF struct buf file = BUF_INIT(TRAIN_MAX_FILE_BYTES);
    enum err rc = buf_read_file(&file, path, err);
    if (rc) return rc;
    rc = train_idx_parse(out, file.data, file.len, err);
    return rc ? err_prefix(err, "%s", path) : ERR_OK;
}

void train_idx_release(struct train_idx *x)
{
    if (!x) return;
    free(x->data);
    *x = (struct train_idx){0};
}
