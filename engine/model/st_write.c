/* safetensors writer: a temporary file beside the target, mapped and filled in place. */
#include "engine/model/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <jansson.h>

#include "engine/base/mem.h"
#include "engine/model/new_file.h"
#include "engine/model/st_internal.h"

enum { ALIGN_BYTES = 64 /* of the first tensor in the file */, PAGE_BYTES = 4096 };

struct st_writer {
    struct new_file file; /* not open: in memory */
    uint8_t *map;
    size_t len, first; /* of the file; where the tensors begin */
    struct st_tensor *tensors;
    size_t n_tensors, *at; /* at: offset of each from first */
};

static enum err add_tensor(json_t *header, const struct st_tensor *t, size_t *at,
                           struct err_info *err)
{
    const size_t element = st_dtype_bytes(t->dtype);
    size_t count = 1, bytes = element;
    json_t *shape = json_array();

    for (int i = 0; i < t->ndim; i++) {
        if (!mul_ok(&count, count, t->dims[i])) bytes = 0;
        json_array_append_new(shape, json_integer((json_int_t)t->dims[i]));
    }
    if (!bytes || t->ndim > ST_MAX_DIMS || count != t->count || !mul_ok(&bytes, bytes, count) ||
        json_object_get(header, t->name)) {
        json_decref(shape);
        return err_set(err, ERR_INTERNAL, "tensor %s: dtype, shape or name cannot be written",
                       t->name);
    }
    if (*at % element) { /* the format has no gaps: larger elements come first */
        json_decref(shape);
        return err_set(err, ERR_INTERNAL, "tensor %s: byte %zu is no place for %s", t->name, *at,
                       st_dtype_name(t->dtype));
    }
    json_t *j = json_pack("{s:s, s:o, s:[I,I]}", "dtype", st_dtype_name(t->dtype), "shape", shape,
                          "data_offsets", (json_int_t)*at, (json_int_t)(*at + bytes));
    if (!j || json_object_set_new(header, t->name, j))
        return err_set(err, ERR_NOMEM, "no memory for the header (tensor %s)", t->name);
    *at += bytes;
    return ERR_OK;
}

static enum err make_header(char **text, const struct st_pair *meta, size_t n_meta,
                            const struct st_tensor *tensors, size_t n_tensors, struct err_info *err)
{
    json_auto_t *header = json_object();
    json_t *strings = json_object();
    size_t at = 0;
    enum err rc;

    if (!header || json_object_set_new(header, "__metadata__", strings))
        return err_set(err, ERR_NOMEM, "no memory for the header");
    for (size_t i = 0; i < n_meta; i++)
        if (meta[i].value && json_object_set_new(strings, meta[i].key, json_string(meta[i].value)))
            return err_set(err, ERR_INVALID, "metadata %s is not UTF-8 text", meta[i].key);
    for (size_t i = 0; i < n_tensors; i++)
        if ((rc = add_tensor(header, &tensors[i], &at, err))) return rc;
    *text = json_dumps(header, JSON_COMPACT);
    return *text ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for the header");
}

/* The header where it belongs: length, text, spaces up to the first tensor. */
static enum err put_header(struct st_writer *w, const struct st_pair *meta, size_t n_meta,
                           struct err_info *err)
{
    char *text = NULL;
    enum err rc = make_header(&text, meta, n_meta, w->tensors, w->n_tensors, err);
    if (rc) return rc;
    const size_t len = strlen(text), room = w->first - sizeof(uint64_t);
    const uint64_t prefix = room;
    if (len > room) {
        rc = err_set(err, ERR_INTERNAL, "the header has grown from %zu to %zu bytes", room, len);
    } else {
        memcpy(w->map, &prefix, sizeof prefix);
        memcpy(w->map + sizeof prefix, text, len);
        memset(w->map + sizeof prefix + len, ' ', room - len);
    }
    free(text);
    return rc;
}

/* Sizes and offsets of everything. */
static enum err lay_out(struct st_writer *w, const struct st_pair *meta, size_t n_meta,
                        struct err_info *err)
{
    char *text = NULL;
    enum err rc = make_header(&text, meta, n_meta, w->tensors, w->n_tensors, err);
    if (rc) return rc;
    size_t len = sizeof(uint64_t) + strlen(text), at = 0;
    free(text);
    w->first = (len + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    if (w->first > ST_HEADER_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "header of %zu bytes, the limit is %d", w->first,
                       (int)ST_HEADER_MAX_BYTES);
    for (size_t i = 0; i < w->n_tensors; i++) { /* make_header has checked the products */
        w->at[i] = at;
        if (__builtin_add_overflow(at, w->tensors[i].count * st_dtype_bytes(w->tensors[i].dtype),
                                   &at))
            return err_set(err, ERR_TOO_LARGE, "the tensors' sizes overflow");
    }
    w->len = w->first + at;
    return ERR_OK;
}

enum err st_writer_open(struct st_writer **out, const char *path, const struct st_pair *meta,
                        size_t n_meta, const struct st_tensor *tensors, size_t n_tensors,
                        struct err_info *err)
{
    struct st_writer *w = calloc(1, sizeof *w);
    enum err rc = ERR_OK;

    if (!w) return err_set(err, ERR_NOMEM, "no memory for a file");
    w->file = NEW_FILE_INIT;
    w->map = MAP_FAILED;
    w->n_tensors = n_tensors;
    w->tensors = calloc(n_tensors + 1, sizeof *w->tensors);
    w->at = calloc(n_tensors + 1, sizeof *w->at);
    if (!w->tensors || !w->at) {
        rc = err_set(err, ERR_NOMEM, "no memory for %zu tensors", n_tensors);
        goto fail;
    }
    if (n_tensors) memcpy(w->tensors, tensors, n_tensors * sizeof *tensors);
    if ((rc = lay_out(w, meta, n_meta, err))) goto fail;
    /* Room for all of it now: a disk that fills up under a mapping ends the process. */
    if (path && (rc = new_file_open(&w->file, path, w->len, err))) goto fail;
    w->map = mmap(NULL, w->len, PROT_READ | PROT_WRITE,
                  path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, w->file.fd, 0);
    if (w->map == MAP_FAILED) {
        rc = err_set(err, ERR_NOMEM, "cannot map %zu bytes: %s", w->len, strerror(errno));
        goto fail;
    }
    if ((rc = put_header(w, meta, n_meta, err))) goto fail;
    *out = w;
    return ERR_OK;
fail:
    st_writer_abort(w);
    return rc;
}

void *st_writer_data(struct st_writer *w, size_t i)
{
    return w->map + w->first + w->at[i];
}

void st_writer_settle(struct st_writer *w, size_t i)
{
    size_t from = w->first + w->at[i],
           to = from + w->tensors[i].count * st_dtype_bytes(w->tensors[i].dtype);
    from = (from + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    to = to / PAGE_BYTES * PAGE_BYTES;
    if (w->file.path && from < to) (void)madvise(w->map + from, to - from, MADV_DONTNEED);
}

void st_writer_abort(struct st_writer *w)
{
    if (!w) return;
    if (w->map != MAP_FAILED) munmap(w->map, w->len);
    new_file_release(&w->file);
    free(w->tensors);
    free(w->at);
    free(w);
}

/* What was written through the mapping goes to the disk before the name does. */
static enum err give_name(struct st_writer *w, struct err_info *err)
{
    if (msync(w->map, w->len, MS_SYNC))
        return err_set(err, ERR_IO, "%s: cannot sync: %s", w->file.path, strerror(errno));
    return new_file_commit(&w->file, err);
}

enum err st_writer_commit(struct st_writer *w, const struct st_pair *meta, size_t n_meta,
                          struct err_info *err)
{
    enum err rc = put_header(w, meta, n_meta, err);
    if (!rc && w->file.path) rc = give_name(w, err);
    st_writer_abort(w);
    return rc;
}

enum err st_write(const char *path, const struct st_pair *meta, size_t n_meta,
                  const struct st_tensor *tensors, size_t n_tensors, struct err_info *err)
{
    struct st_writer *w;
    enum err rc = st_writer_open(&w, path, meta, n_meta, tensors, n_tensors, err);
    if (rc) return rc;
    for (size_t i = 0; i < n_tensors; i++) {
        if (tensors[i].count)
            memcpy(st_writer_data(w, i), tensors[i].data,
                   tensors[i].count * st_dtype_bytes(tensors[i].dtype));
        st_writer_settle(w, i);
    }
    return st_writer_commit(w, meta, n_meta, err);
}
