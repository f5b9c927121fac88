#include "server/cli/npy.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC_BYTES = 8, PREFIX_BYTES = MAGIC_BYTES + 2, HEADER_MAX_BYTES = 4096 };
static const char MAGIC[MAGIC_BYTES] = "\x93NUMPY\x01"; /* and version 1.0 */

void npy_header(char out[NPY_HEADER_BYTES], size_t n, size_t dim)
{
    const unsigned len = NPY_HEADER_BYTES - PREFIX_BYTES;

    memset(out, ' ', NPY_HEADER_BYTES);
    memcpy(out, MAGIC, MAGIC_BYTES);
    out[MAGIC_BYTES] = (char)(len & 0xff);
    out[MAGIC_BYTES + 1] = (char)(len >> 8);
    int used = snprintf(out + PREFIX_BYTES, len,
                        "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n, dim);
    out[PREFIX_BYTES + used] = ' ';
    out[NPY_HEADER_BYTES - 1] = '\n';
}

/* The dictionary of a header, as NumPy and npy_header write it. */
static enum err parse(struct npy *f, const char *text, const char *path, struct err_info *err)
{
    const char *shape = strstr(text, "'shape': (");
    unsigned long long n, dim;
    char end;

    if (!strstr(text, "'descr': '<f4'") || !strstr(text, "'fortran_order': False") || !shape ||
        sscanf(shape, "'shape': (%19llu, %9llu%c", &n, &dim, &end) != 3 || end != ')' || !dim)
        return err_set(err, ERR_INVALID, "%s does not hold float32 [n][dim] in C order: %.120s",
                       path, text);
    f->n = n;
    f->dim = dim;
    return ERR_OK;
}

static enum err read_map(struct npy *f, const char *path, struct err_info *err)
{
    const uint8_t *p = f->map;
    char text[HEADER_MAX_BYTES + 1];
    size_t row, bytes, len;
    enum err rc;

    if (f->map_len < PREFIX_BYTES || memcmp(p, MAGIC, MAGIC_BYTES) != 0)
        return err_set(err, ERR_INVALID, "%s is no .npy file of version 1.0", path);
    len = (size_t)p[MAGIC_BYTES] | (size_t)p[MAGIC_BYTES + 1] << 8;
    if (len > HEADER_MAX_BYTES || len > f->map_len - PREFIX_BYTES)
        return err_set(err, ERR_INVALID, "%s has a header of %zu bytes, the limit is %d", path, len,
                       HEADER_MAX_BYTES);
    memcpy(text, p + PREFIX_BYTES, len);
    text[len] = 0;
    if ((rc = parse(f, text, path, err))) return rc;
    const size_t there = f->map_len - PREFIX_BYTES - len;
    if (!mul_ok(&row, f->dim, sizeof(float)) || !mul_ok(&bytes, f->n, row) || bytes != there)
        return err_set(err, ERR_INVALID, "%s says [%zu][%zu] floats and has %zu bytes of them",
                       path, f->n, f->dim, there);
    if ((PREFIX_BYTES + len) % sizeof(float))
        return err_set(err, ERR_INVALID,
                       "%s has floats where they cannot be read: a header of %zu "
                       "bytes",
                       path, len);
    f->rows = f->n ? (const float *)(const void *)(p + PREFIX_BYTES + len) : NULL;
    return ERR_OK;
}

enum err npy_open(struct npy *out, const char *path, struct err_info *err)
{
    struct npy f = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read %s: %s", path,
                       strerror(errno));
    void *map = MAP_FAILED;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return err_set(err, ERR_INVALID, "%s is no .npy file", path);
    f.map = map;
    f.map_len = (size_t)st.st_size;
    enum err rc = read_map(&f, path, err);
    if (rc)
        npy_close(&f);
    else
        *out = f;
    return rc;
}

void npy_close(struct npy *f)
{
    if (f->map) munmap(f->map, f->map_len);
    memset(f, 0, sizeof *f);
}
