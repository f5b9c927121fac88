#include "engine/model/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err check_target(const char *path, struct err_info *err)
{
    struct stat info;
    if (stat(path, &info) || S_ISREG(info.st_mode)) return ERR_OK; /* what else may be: mkostemp */
    return err_set(err, ERR_IO, "cannot write %s: it is %s", path,
                   S_ISDIR(info.st_mode) ? "a folder" : "no regular file");
}

enum err new_file_open(struct new_file *f, const char *path, size_t len, struct err_info *err)
{
    enum err rc = check_target(path, err);
    if (rc) return rc;
    f->path = strdup(path);
    if (!f->path || asprintf(&f->temporary, "%s.XXXXXX", path) < 0) {
        f->temporary = NULL;
        return err_set(err, ERR_NOMEM, "no memory for a path");
    }
    f->fd = mkostemp(f->temporary, O_CLOEXEC);
    if (f->fd < 0) {
        rc = err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
        free(f->temporary);
        f->temporary = NULL;
        return rc;
    }
    int why = posix_fallocate(f->fd, 0, (off_t)len);
    if (why)
        return err_set(err, err_of_write(why), "%s: no room for %zu bytes: %s", path, len,
                       strerror(why));
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

enum err new_file_commit(struct new_file *f, struct err_info *err)
{
    if (fsync(f->fd) && errno != EINVAL)
        return err_set(err, ERR_IO, "%s: cannot sync: %s", f->path, strerror(errno));
    if (fchmod(f->fd, 0644))
        return err_set(err, ERR_IO, "%s: cannot set its mode: %s", f->path, strerror(errno));
    if (rename(f->temporary, f->path))
        return err_set(err, ERR_IO, "%s: cannot rename: %s", f->path, strerror(errno));
    free(f->temporary);
    f->temporary = NULL;
    sync_folder(f->path);
    return ERR_OK;
}

void new_file_release(struct new_file *f)
{
    if (f->fd >= 0) close(f->fd);
    if (f->temporary) unlink(f->temporary);
    free(f->temporary);
    free(f->path);
    *f = NEW_FILE_INIT;
}
