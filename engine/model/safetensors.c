/* safetensors reader: everything the header says is checked against the file's length before a
 * tensor is handed out, so that whoever uses one needs no check of its own but shape and type. The
 * mapping is read-only; files are only ever replaced by rename, never rewritten in place, so it
 * cannot shrink under us. Writing: st_write.c. */
#include "engine/model/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "engine/base/mem.h"
#include "engine/model/st_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are mapped as they are: little-endian only");

enum { PREFIX_BYTES = 8 }; /* the header's length */

static const struct {
    const char *name;
    size_t bytes;
} DTYPES[ST_DTYPE_COUNT] = {
    [ST_F32] = {"F32", 4}, [ST_F64] = {"F64", 8},   [ST_F16] = {"F16", 2}, [ST_BF16] = {"BF16", 2},
    [ST_I64] = {"I64", 8}, [ST_I32] = {"I32", 4},   [ST_I16] = {"I16", 2}, [ST_I8] = {"I8", 1},
    [ST_U8] = {"U8", 1},   [ST_BOOL] = {"BOOL", 1},
};

struct safetensors {
    void *map;
    size_t len;
    json_t *header; /* owns every name and metadata string */
    const json_t *meta;
    struct st_tensor *tensors; /* file order */
    size_t n;
    const struct st_tensor **by_name; /* n, sorted */
};

const char *st_dtype_name(enum st_dtype d)
{
    return (unsigned)d < ST_DTYPE_COUNT ? DTYPES[d].name : NULL;
}

size_t st_dtype_bytes(enum st_dtype d)
{
    return (unsigned)d < ST_DTYPE_COUNT ? DTYPES[d].bytes : 0;
}

/* A JSON integer that is a size. */
static bool as_size(size_t *out, const json_t *j)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0) return false;
    *out = (size_t)json_integer_value(j);
    return true;
}

static enum err parse_shape(struct st_tensor *t, const json_t *shape, struct err_info *err)
{
    size_t n = json_array_size(shape);
    if (!json_is_array(shape) || n > ST_MAX_DIMS)
        return err_set(err, ERR_MODEL, "tensor %s: shape must be a list of at most %d numbers",
                       t->name, (int)ST_MAX_DIMS);
    t->ndim = (int)n;
    t->count = 1;
    for (size_t i = 0; i < n; i++) {
        if (!as_size(&t->dims[i], json_array_get(shape, i)))
            return err_set(err, ERR_MODEL, "tensor %s: shape[%zu] is not a number >= 0", t->name,
                           i);
        if (!mul_ok(&t->count, t->count, t->dims[i]))
            return err_set(err, ERR_MODEL, "tensor %s: its shape overflows", t->name);
    }
    return ERR_OK;
}

/* data: the file after the header, data_len bytes. */
static enum err parse_tensor(struct st_tensor *t, const char *name, const json_t *j,
                             const uint8_t *data, size_t data_len, struct err_info *err)
{
    *t = (struct st_tensor){.name = name};
    const json_t *offsets = json_object_get(j, "data_offsets");
    const char *dtype = json_string_value(json_object_get(j, "dtype"));
    size_t begin, end, bytes;
    enum err rc;

    if (!json_is_object(j) || json_object_size(j) != 3 || !dtype || json_array_size(offsets) != 2)
        return err_set(err, ERR_MODEL,
                       "tensor %s: expected dtype, shape and data_offsets, nothing else", name);
    int d = 0;
    while (d < ST_DTYPE_COUNT && strcmp(DTYPES[d].name, dtype) != 0) d++;
    if (d == ST_DTYPE_COUNT)
        return err_set(err, ERR_MODEL, "tensor %s: unknown dtype %.20s", name, dtype);
    t->dtype = (enum st_dtype)d;
    if ((rc = parse_shape(t, json_object_get(j, "shape"), err))) return rc;
    if (!as_size(&begin, json_array_get(offsets, 0)) ||
        !as_size(&end, json_array_get(offsets, 1)) || begin > end)
        return err_set(err, ERR_MODEL,
                       "tensor %s: data_offsets must be two numbers 0 <= begin <= end", name);
    if (end > data_len)
        return err_set(err, ERR_MODEL,
                       "tensor %s: ends at byte %zu of the data, the file has %zu: cut short?",
                       name, end, data_len);
    if (!mul_ok(&bytes, t->count, DTYPES[d].bytes) || bytes != end - begin)
        return err_set(err, ERR_MODEL, "tensor %s: %zu values of %s do not fill its %zu bytes",
                       name, t->count, dtype, end - begin);
    t->data = data + begin;
    return ERR_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct st_tensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->count > y->count) -
           (x->count < y->count); /* an empty one comes before what begins there */
}

static int by_name(const void *a, const void *b)
{
    const struct st_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Sorted by offset, the tensors must cover the data exactly: the format forbids holes and overlaps.
 */
static enum err check_cover(const struct safetensors *st, const uint8_t *data, size_t data_len,
                            struct err_info *err)
{
    size_t at = 0;
    for (size_t i = 0; i < st->n; i++) {
        const struct st_tensor *t = &st->tensors[i];
        size_t begin = (size_t)((const uint8_t *)t->data - data);
        if (begin != at)
            return err_set(err, ERR_MODEL,
                           "tensor %s: begins at byte %zu of the data, %s: expected %zu", t->name,
                           begin, begin < at ? "inside another" : "after a gap", at);
        at += t->count * DTYPES[t->dtype].bytes;
    }
    if (at != data_len)
        return err_set(err, ERR_MODEL, "%zu bytes after the last tensor", data_len - at);
    return ERR_OK;
}

static enum err parse_header(struct safetensors *st, const uint8_t *data, size_t data_len,
                             struct err_info *err)
{
    const char *key;
    json_t *value;
    size_t room = json_object_size(st->header);
    enum err rc;

    if (room > ST_MAX_TENSORS + 1)
        return err_set(err, ERR_MODEL, "%zu tensors, the limit is %d", room, (int)ST_MAX_TENSORS);
    st->tensors = calloc(room + 1, sizeof *st->tensors);
    st->by_name = calloc(room + 1, sizeof *st->by_name);
    if (!st->tensors || !st->by_name)
        return err_set(err, ERR_NOMEM, "no memory for %zu tensors", room);
    json_object_foreach(st->header, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            const char *k;
            json_t *v;
            if (!json_is_object(value))
                return err_set(err, ERR_MODEL, "__metadata__ is not an object");
            json_object_foreach(value, k, v)
            {
                if (!json_is_string(v))
                    return err_set(err, ERR_MODEL, "__metadata__ %.100s is not a string", k);
            }
            st->meta = value;
            continue;
        }
        if ((rc = parse_tensor(&st->tensors[st->n], key, value, data, data_len, err))) return rc;
        st->n++;
    }
    qsort(st->tensors, st->n, sizeof *st->tensors, by_offset);
    for (size_t i = 0; i < st->n; i++) st->by_name[i] = &st->tensors[i];
    qsort(st->by_name, st->n, sizeof *st->by_name, by_name);
    return check_cover(st, data, data_len, err);
}

static enum err parse_file(struct safetensors *st, const uint8_t *file, size_t len,
                           struct err_info *err)
{
    uint64_t header_len;
    json_error_t why;

    if (len < PREFIX_BYTES)
        return err_set(err, ERR_MODEL, "%zu bytes, a header length takes %d: cut short?", len,
                       (int)PREFIX_BYTES);
    memcpy(&header_len, file, sizeof header_len);
    if (header_len > ST_HEADER_MAX_BYTES)
        return err_set(err, ERR_MODEL,
                       "not a safetensors file: header of %llu bytes, the limit is %d",
                       (unsigned long long)header_len, (int)ST_HEADER_MAX_BYTES);
    if (header_len > len - PREFIX_BYTES)
        return err_set(err, ERR_MODEL, "header of %llu bytes in a file of %zu: cut short?",
                       (unsigned long long)header_len, len);
    if (header_len < 2 || file[PREFIX_BYTES] != '{')
        return err_set(err, ERR_MODEL, "not a safetensors file: the header does not begin with {");
    st->header = json_loadb((const char *)file + PREFIX_BYTES, (size_t)header_len,
                            JSON_REJECT_DUPLICATES, &why);
    if (!st->header)
        return err_set(err, ERR_MODEL, "header is not JSON: %s at byte %d", why.text, why.position);
    if (!json_is_object(st->header)) return err_set(err, ERR_MODEL, "header is not a JSON object");
    size_t skip = PREFIX_BYTES + (size_t)header_len;
    return parse_header(st, file + skip, len - skip, err);
}

static enum err map_file(struct safetensors *st, const char *path, struct err_info *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open it: %s",
                       strerror(errno));
    enum err rc = ERR_OK;
    if (fstat(fd, &info) || !S_ISREG(info.st_mode)) {
        rc = err_set(err, ERR_IO, "not a regular file");
    } else if (info.st_size < PREFIX_BYTES) {
        rc = err_set(err, ERR_MODEL, "%lld bytes, a header length takes %d: cut short?",
                     (long long)info.st_size, (int)PREFIX_BYTES);
    } else {
        st->map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (st->map == MAP_FAILED) {
            st->map = NULL;
            rc = err_set(err, errno == ENOMEM ? ERR_NOMEM : ERR_IO, "cannot map it: %s",
                         strerror(errno));
        } else {
            st->len = (size_t)info.st_size;
        }
    }
    close(fd);
    return rc;
}

enum err st_open(struct safetensors **out, const char *path, struct err_info *err)
{
    struct safetensors *st = calloc(1, sizeof *st);
    if (!st) return err_set(err, ERR_NOMEM, "no memory");
    enum err rc = map_file(st, path, err);
    if (!rc) rc = parse_file(st, st->map, st->len, err);
    if (rc) {
        err_prefix(err, "%s", path);
        st_close(st);
        return rc;
    }
    *out = st;
    return ERR_OK;
}

enum err st__open_bytes(struct safetensors **out, const uint8_t *file, size_t len,
                        struct err_info *err)
{
    struct safetensors *st = calloc(1, sizeof *st);
    if (!st) return err_set(err, ERR_NOMEM, "no memory");
    enum err rc = parse_file(st, file, len, err);
    if (rc) {
        st_close(st);
        return rc;
    }
    *out = st;
    return ERR_OK;
}

void st_close(struct safetensors *st)
{
    if (!st) return;
    json_decref(st->header);
    free(st->tensors);
    free(st->by_name);
    if (st->map) munmap(st->map, st->len);
    free(st);
}

size_t st_count(const struct safetensors *st)
{
    return st->n;
}

const struct st_tensor *st_at(const struct safetensors *st, size_t i)
{
    return i < st->n ? &st->tensors[i] : NULL;
}

const struct st_tensor *st_find(const struct safetensors *st, const char *name)
{
    const struct st_tensor key = {.name = name}, *want = &key;
    const struct st_tensor *const *hit =
        bsearch(&want, st->by_name, st->n, sizeof *st->by_name, by_name);
    return hit ? *hit : NULL;
}

const char *st_meta(const struct safetensors *st, const char *key)
{
    return json_string_value(json_object_get(st->meta, key));
}

size_t st__bytes(const struct safetensors *st)
{
    return st->len;
}

const json_t *st__metadata(const struct safetensors *st)
{
    return st->meta;
}
