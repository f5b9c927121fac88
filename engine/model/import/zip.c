/* Source: PKWARE's APPNOTE.TXT, sections 4.3.6 to 4.3.16 and 4.5.3 (zip64). */
#include "engine/model/import/zip.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    END_BYTES = 22, /* end of central directory, without its comment */
    END64_BYTES = 56,
    LOCATOR64_BYTES = 20,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_MAX = 65535,
    FLAG_ENCRYPTED = 1,
    FLAG_SIZES_LATER = 8, /* the local header's sizes may be 0 */
    EXTRA_ZIP64 = 1,
};

static uint64_t le(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static bool is(const uint8_t *p, const char signature[4])
{
    return memcmp(p, signature, 4) == 0;
}

/* The end record is the last thing in the file, before a comment of its own stated length. */
static const uint8_t *find_end(const uint8_t *data, size_t len)
{
    if (len < END_BYTES) return NULL;
    size_t least = len > END_BYTES + COMMENT_MAX ? len - END_BYTES - COMMENT_MAX : 0;
    for (size_t at = len - END_BYTES;; at--) {
        if (is(data + at, "PK\5\6") && le(data + at + 20, 2) == len - at - END_BYTES)
            return data + at;
        if (at == least) return NULL;
    }
}

struct directory {
    uint64_t at, bytes, members;
};

static enum err read_end(struct directory *d, const uint8_t *data, size_t len, struct err_info *err)
{
    const uint8_t *end = find_end(data, len);
    if (!end) return err_set(err, ERR_MODEL, "zip: no central directory: the file is cut short");
    d->members = le(end + 10, 2);
    d->bytes = le(end + 12, 4);
    d->at = le(end + 16, 4);
    size_t before = (size_t)(end - data);
    if (before >= LOCATOR64_BYTES && is(end - LOCATOR64_BYTES, "PK\6\7")) {
        uint64_t at = le(end - LOCATOR64_BYTES + 8, 8);
        if (at > before || before - at < END64_BYTES || !is(data + at, "PK\6\6"))
            return err_set(err, ERR_MODEL, "zip: the zip64 record is not where the file says");
        d->members = le(data + at + 32, 8);
        d->bytes = le(data + at + 40, 8);
        d->at = le(data + at + 48, 8);
    }
    if (d->at > before || d->bytes > before - d->at)
        return err_set(err, ERR_MODEL,
                       "zip: the central directory (%llu bytes at %llu) leaves the file of %zu",
                       (unsigned long long)d->bytes, (unsigned long long)d->at, len);
    if (d->members > ZIP_MEMBERS_MAX || d->members > d->bytes / CENTRAL_BYTES)
        return err_set(err, ERR_MODEL,
                       "zip: %llu members, the limit is %d (and what the directory holds)",
                       (unsigned long long)d->members, (int)ZIP_MEMBERS_MAX);
    return ERR_OK;
}

/* Sizes and offset that do not fit 32 bits stand in the zip64 extra field, in this order, where
 * they read ffffffff. */
static bool zip64(uint64_t *size, uint64_t *packed, uint64_t *offset, const uint8_t *extra,
                  size_t len)
{
    uint64_t *const wide[] = {size, packed, offset};
    while (len >= 4) {
        size_t id = (size_t)le(extra, 2), n = (size_t)le(extra + 2, 2);
        if (n > len - 4) return false;
        if (id == EXTRA_ZIP64) {
            const uint8_t *p = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*wide[i] != 0xffffffff) continue;
                if (n < 8) return false;
                *wide[i] = le(p, 8);
                p += 8;
                n -= 8;
            }
            return true;
        }
        extra += 4 + n;
        len -= 4 + n;
    }
    return *size != 0xffffffff && *packed != 0xffffffff && *offset != 0xffffffff;
}

#define NAME(m) (int)((m)->name_len < 80 ? (m)->name_len : 80), (m)->name

static enum err read_local(struct zip_member *m, const uint8_t *data, size_t len, uint64_t offset,
                           uint64_t size, struct err_info *err)
{
    if (offset > len || len - offset < LOCAL_BYTES || !is(data + offset, "PK\3\4"))
        return err_set(err, ERR_MODEL, "zip: %.*s: no local header at %llu", NAME(m),
                       (unsigned long long)offset);
    const uint8_t *h = data + offset;
    uint64_t name_len = le(h + 26, 2), skip = LOCAL_BYTES + name_len + le(h + 28, 2);
    if (name_len != m->name_len || len - offset < skip ||
        memcmp(h + LOCAL_BYTES, m->name, m->name_len) != 0)
        return err_set(err, ERR_MODEL, "zip: %.*s: the local header has another name", NAME(m));
    if (size > len - offset - skip)
        return err_set(err, ERR_MODEL, "zip: %.*s: %llu bytes at %llu leave the file of %zu",
                       NAME(m), (unsigned long long)size, (unsigned long long)(offset + skip), len);
    uint64_t local_size = le(h + 22, 4);
    if (!(le(h + 6, 2) & FLAG_SIZES_LATER) && local_size != 0xffffffff && local_size != size)
        return err_set(err, ERR_MODEL, "zip: %.*s: %llu bytes, the local header says %llu", NAME(m),
                       (unsigned long long)size, (unsigned long long)local_size);
    m->data = h + skip;
    m->len = (size_t)size;
    return ERR_OK;
}

/* One entry of the central directory; *used: its bytes. */
static enum err read_member(struct zip_member *m, size_t *used, const uint8_t *entry, size_t left,
                            const uint8_t *data, size_t len, struct err_info *err)
{
    if (left < CENTRAL_BYTES || !is(entry, "PK\1\2"))
        return err_set(err, ERR_MODEL, "zip: the central directory is damaged");
    size_t name_len = (size_t)le(entry + 28, 2), extra_len = (size_t)le(entry + 30, 2);
    size_t all = CENTRAL_BYTES + name_len + extra_len + (size_t)le(entry + 32, 2);
    if (all > left) return err_set(err, ERR_MODEL, "zip: the central directory is damaged");
    m->name = (const char *)entry + CENTRAL_BYTES;
    m->name_len = name_len;
    *used = all;
    unsigned method = (unsigned)le(entry + 10, 2);
    if (method != 0)
        return err_set(err, ERR_MODEL, "zip: %.*s: compression method %u; torch stores (0)",
                       NAME(m), method);
    if (le(entry + 8, 2) & FLAG_ENCRYPTED)
        return err_set(err, ERR_MODEL, "zip: %.*s: encrypted", NAME(m));
    uint64_t packed = le(entry + 20, 4), size = le(entry + 24, 4), offset = le(entry + 42, 4);
    if (!zip64(&size, &packed, &offset, entry + CENTRAL_BYTES + name_len, extra_len) ||
        packed != size)
        return err_set(err, ERR_MODEL, "zip: %.*s: its sizes contradict each other", NAME(m));
    return read_local(m, data, len, offset, size, err);
}

static int compare(const void *a, const void *b)
{
    const struct zip_member *x = a, *y = b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int c = memcmp(x->name, y->name, n);
    return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

enum err zip_read(struct zip *out, const uint8_t *data, size_t len, struct arena *a,
                  struct err_info *err)
{
    struct directory d = {0};
    size_t used = 0;
    enum err rc = read_end(&d, data, len, err);
    if (rc) return rc;
    size_t n = (size_t)d.members, left = (size_t)d.bytes;
    struct zip_member *list = items_alloc(a, n + 1, sizeof *list);
    const uint8_t *entry = data + d.at;
    if (!list) return err_set(err, ERR_NOMEM, "zip: no memory for %zu members", n);
    for (size_t i = 0; i < n; i++, entry += used, left -= used)
        if ((rc = read_member(&list[i], &used, entry, left, data, len, err))) return rc;
    qsort(list, n, sizeof *list, compare);
    for (size_t i = 1; i < n; i++)
        if (compare(&list[i - 1], &list[i]) == 0)
            return err_set(err, ERR_MODEL, "zip: two members are called %.*s", NAME(&list[i]));
    out->members = list;
    out->n = n;
    return ERR_OK;
}

const struct zip_member *zip_find(const struct zip *z, const char *name, size_t name_len)
{
    const struct zip_member key = {.name = name, .name_len = name_len};
    return bsearch(&key, z->members, z->n, sizeof key, compare);
}
