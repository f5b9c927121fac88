/* safetensors writer: the whole file goes to a temporary file beside the target, is synced, and
 * takes the target's name in one rename. A reader sees the old file or the new one, also after a
 * crash. */
#include "engine/model/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "engine/base/mem.h"
#include "engine/model/st_internal.h"

enum { ALIGN_BYTES = 64 }; /* of the first tensor in the file */

static enum err add_tensor(json_t *header, const struct st_tensor *t, size_t *at,
                           struct err_info *err)
{
    size_t count = 1, bytes = st_dtype_bytes(t->dtype);
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

static enum err put(int fd, const void *data, size_t len, struct err_info *err)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return err_set(err, errno == ENOSPC || errno == EDQUOT ? ERR_STORAGE_FULL : ERR_IO,
                           "cannot write: %s", strerror(errno));
        p += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

static enum err put_all(int fd, const char *header, const struct st_tensor *tensors,
                        size_t n_tensors, struct err_info *err)
{
    static const char spaces[] = "                                                                ";
    _Static_assert(sizeof spaces > ALIGN_BYTES, "enough to pad with");
    size_t len = strlen(header);
    size_t pad = (ALIGN_BYTES - (sizeof(uint64_t) + len) % ALIGN_BYTES) % ALIGN_BYTES;
    uint64_t prefix = len + pad;
    enum err rc;

    if (prefix > ST_HEADER_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "header of %llu bytes, the limit is %d",
                       (unsigned long long)prefix, (int)ST_HEADER_MAX_BYTES);
    if ((rc = put(fd, &prefix, sizeof prefix, err)) || (rc = put(fd, header, len, err)) ||
        (rc = put(fd, spaces, pad, err)))
        return rc;
    for (size_t i = 0; i < n_tensors; i++) {
        size_t bytes = tensors[i].count * st_dtype_bytes(tensors[i].dtype);
        if ((rc = put(fd, tensors[i].data, bytes, err))) return rc;
    }
    if (fsync(fd) && errno != EINVAL)
        return err_set(err, ERR_IO, "cannot sync: %s", strerror(errno));
    return ERR_OK;
}

/* The new name itself must reach the disk too. */
static void sync_folder(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

enum err st_write(const char *path, const struct st_pair *meta, size_t n_meta,
                  const struct st_tensor *tensors, size_t n_tensors, struct err_info *err)
{
    char temporary[PATH_MAX];
    char *header = NULL;
    int fd = -1;
    enum err rc = make_header(&header, meta, n_meta, tensors, n_tensors, err);
    if (rc) return rc;
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary) {
        rc = err_set(err, ERR_INVALID, "path of more than %zu bytes", sizeof temporary - 8);
        goto done;
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        rc = err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
        goto done;
    }
    rc = put_all(fd, header, tensors, n_tensors, err);
    if (!rc && fchmod(fd, 0644))
        rc = err_set(err, ERR_IO, "cannot set its mode: %s", strerror(errno));
    if (close(fd) && !rc) rc = err_set(err, ERR_IO, "cannot close: %s", strerror(errno));
    if (!rc && rename(temporary, path))
        rc = err_set(err, ERR_IO, "cannot rename: %s", strerror(errno));
    if (rc) {
        unlink(temporary);
        err_prefix(err, "%s", path);
    } else {
        sync_folder(path);
    }
done:
    free(header);
    return rc;
}
