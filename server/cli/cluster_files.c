#include "server/cli/cluster_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/mem.h"
#include "server/cli/cli.h"

enum { DEPTH_MAX = 32 };
static const size_t ARCHIVE_MAX_BYTES = (size_t)2 << 30;

void cluster_files_release(struct cluster_files *f)
{
    for (size_t i = 0; i < f->n; i++) buf_release(&f->archive[i]);
    free(f->archive);
    *f = (struct cluster_files){0};
}

static enum err no_memory(struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a list of files");
}

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static enum err add_folder(struct clusters_photos *p, const char *path, const char *below,
                           int depth, struct err_info *err);

/* below: where the folder is, relative to the one that was named; "": that one. */
static enum err add_member(struct clusters_photos *p, const char *folder, const char *below,
                           const char *name, int depth, struct err_info *err)
{
    AUTO_FREE char *path = NULL, *relative = NULL;
    struct stat st;

    if (asprintf(&path, "%s/%s", folder, name) < 0) path = NULL;
    if (asprintf(&relative, "%s%s%s", below, *below ? "/" : "", name) < 0) relative = NULL;
    if (!path || !relative) return no_memory(err);
    if (stat(path, &st)) {
        struct err_info why;
        err_set(&why, ERR_IO, "it cannot be read: %s", strerror(errno));
        return clusters_photos_skip(p, relative, &why, err);
    }
    if (S_ISDIR(st.st_mode)) return add_folder(p, path, relative, depth + 1, err);
    return clusters_photos_add_file(p, relative, path, *below ? below : NULL, err);
}

static enum err add_folder(struct clusters_photos *p, const char *path, const char *below,
                           int depth, struct err_info *err)
{
    struct dirent **names = NULL;
    enum err rc = ERR_OK;

    if (depth > DEPTH_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s: more than %d folders in each other", path,
                       DEPTH_MAX);
    const int n = scandir(path, &names, not_hidden, alphasort);
    if (n < 0) return err_set(err, ERR_IO, "%s cannot be read: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (!rc) rc = add_member(p, path, below, names[i]->d_name, depth, err);
        free(names[i]);
    }
    free(names);
    return rc;
}

static enum err add_archive(struct cluster_files *f, struct clusters_photos *p, const char *path,
                            struct err_info *err)
{
    struct buf *more = reallocarray(f->archive, f->n + 1, sizeof *more);
    enum err rc;

    if (!more) return no_memory(err);
    f->archive = more;
    struct buf *b = &f->archive[f->n++];
    *b = BUF_INIT(ARCHIVE_MAX_BYTES);
    if ((rc = buf_read_file(b, path, err))) return err_prefix(err, "%s", path);
    return clusters_photos_add_zip(p, cli_last_part(NULL, path), b->data, b->len, err);
}

enum err cluster_files_add(struct cluster_files *f, struct clusters_photos *p, const char *path,
                           struct err_info *err)
{
    const size_t n = strlen(path);
    struct stat st;

    if (stat(path, &st))
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s cannot be read: %s", path,
                       strerror(errno));
    if (S_ISDIR(st.st_mode)) return add_folder(p, path, "", 0, err);
    if (n > 4 && !strcasecmp(path + n - 4, ".zip")) return add_archive(f, p, path, err);
    return clusters_photos_add_file(p, cli_last_part(NULL, path), path, NULL, err);
}
