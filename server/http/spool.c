#include "server/http/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum err io_error(struct err_info *err, const char *what)
{
    return err_set(err, err_of_write(errno), "cannot %s a temporary file: %s", what,
                   strerror(errno));
}

static int open_unnamed(const char *dir)
{
    char path[4096];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
    /* Some file systems (overlays, NFS) have no O_TMPFILE. */
    if ((size_t)snprintf(path, sizeof path, "%s/body.XXXXXX", dir) >= sizeof path) return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    return fd;
}

static enum err write_all(int fd, const uint8_t *p, size_t len, struct err_info *err)
{
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(err, "write");
        p += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err spool_add(struct spool *s, const void *data, size_t len, size_t *memory_left,
                   const char *dir, struct err_info *err)
{
    enum err rc;

    if (s->fd < 0 && len <= *memory_left) {
        if ((rc = buf_add(&s->memory, data, len, err))) return rc;
        *memory_left -= len;
        s->len += len;
        return ERR_OK;
    }
    if (s->fd < 0) {
        if ((s->fd = open_unnamed(dir)) < 0) return io_error(err, "make");
        if ((rc = write_all(s->fd, s->memory.data, s->memory.len, err))) return rc;
        *memory_left += s->memory.len;
        buf_release(&s->memory);
    }
    if ((rc = write_all(s->fd, data, len, err))) return rc;
    s->len += len;
    return ERR_OK;
}

enum err spool_seal(struct spool *s, const uint8_t **data, size_t *len, struct err_info *err)
{
    if (s->fd >= 0 && !s->map) {
        void *p = mmap(NULL, s->len, PROT_READ, MAP_PRIVATE, s->fd, 0);
        if (p == MAP_FAILED) return io_error(err, "map");
        s->map = p;
    }
    *data = s->map ? s->map : s->memory.data ? s->memory.data : (const uint8_t *)"";
    *len = s->len;
    return ERR_OK;
}

void spool_release(struct spool *s)
{
    if (!s) return;
    if (s->map) munmap(s->map, s->len);
    if (s->fd >= 0) close(s->fd);
    s->map = NULL;
    s->fd = -1;
    s->len = 0;
    buf_release(&s->memory);
}
