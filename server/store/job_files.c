#include "server/store/job_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char NEW[] = ".new-"; /* before the id of a job that is not one yet */
static const char RESULT[] = "result", RESULT_NEW[] = "result.new";
const char *const job_files_keep_result[] = {RESULT, NULL};

enum { NAME_BYTES = 32, PATH_BYTES = JOB_FILES_PATH_BYTES + 128 };

static enum err failed(const char *what, struct err_info *err)
{
    return err_set(err, err_of_write(errno), "cannot %s a job's files: %s", what, strerror(errno));
}

/* PREFIX is "" or NEW; name NULL: the folder itself. */
static const char *path_of(char out[PATH_BYTES], const struct job_files *f, const char *prefix,
                           const char *id, const char *name)
{
    snprintf(out, PATH_BYTES, "%s/%s%.26s%s%s", f->dir, prefix, id, name ? "/" : "",
             name ? name : "");
    return out;
}

static const char *upload_name(char out[NAME_BYTES], int n)
{
    snprintf(out, NAME_BYTES, "upload.%d", n);
    return out;
}

/* What is named in a folder is only sure to stay after this. */
static enum err sync_dir(const char *path, struct err_info *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failed("open the folder of", err);
    enum err rc = fsync(fd) ? failed("write the folder of", err) : ERR_OK;
    close(fd);
    return rc;
}

static enum err write_file(const char *path, const void *bytes, size_t len, struct err_info *err)
{
    const char *p = bytes;
    enum err rc = ERR_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) return failed("make", err);
    while (!rc && len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            rc = failed("write", err);
            break;
        }
        p += n;
        len -= (size_t)n;
    }
    if (!rc && fsync(fd)) rc = failed("write", err);
    if (close(fd) && !rc) rc = failed("write", err);
    return rc;
}

static bool kept(const char *const *keep, const char *name)
{
    for (int i = 0; keep && keep[i]; i++)
        if (!strcmp(keep[i], name)) return true;
    return false;
}

/* Empties a folder but for keep; removes it where nothing is to be kept. A missing one is fine. */
static enum err drop_dir(const char *path, const char *const *keep, struct err_info *err)
{
    DIR *d = opendir(path);
    enum err rc = ERR_OK;
    struct dirent *e;

    if (!d) return errno == ENOENT ? ERR_OK : failed("look for", err);
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || kept(keep, e->d_name)) continue;
        if (unlinkat(dirfd(d), e->d_name, 0) && errno != ENOENT && !rc) rc = failed("remove", err);
    }
    closedir(d);
    if (!rc && !keep && rmdir(path) && errno != ENOENT) rc = failed("remove the folder of", err);
    return rc;
}

/* Each entry of f->dir goes through pick: its path is dropped but for *keep where that says so. */
typedef bool pick_entry(const char *const **keep, const char *name, const void *self);

static enum err drop_entries(const struct job_files *f, pick_entry *pick, const void *self,
                             struct err_info *err)
{
    char path[JOB_FILES_PATH_BYTES + 256];
    DIR *d = opendir(f->dir);
    enum err rc = ERR_OK;
    struct dirent *e;

    if (!d) return failed("look for", err);
    while (!rc && (e = readdir(d))) {
        const char *const *keep = NULL;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !pick(&keep, e->d_name, self))
            continue;
        snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
        rc = drop_dir(path, keep, err);
    }
    closedir(d);
    return rc;
}

static bool never_adopted(const char *const **keep, const char *name, const void *self)
{
    (void)keep, (void)self;
    return !strncmp(name, NEW, sizeof NEW - 1);
}

enum err job_files_open(struct job_files *out, const char *data_dir, struct err_info *err)
{
    struct job_files f;
    if ((size_t)snprintf(f.dir, sizeof f.dir, "%s/jobs", data_dir) >= sizeof f.dir)
        return err_set(err, ERR_INVALID, "the data folder's name is too long");
    if (mkdir(f.dir, 0700) && errno != EEXIST) return failed("make the folder of", err);
    enum err rc = drop_entries(&f, never_adopted, NULL, err);
    if (!rc) *out = f;
    return rc;
}

enum err job_files_put(const struct job_files *f, const char *id, const struct store_bytes *uploads,
                       int n, struct err_info *err)
{
    char dir[PATH_BYTES], path[PATH_BYTES], name[NAME_BYTES];
    enum err rc = ERR_OK;

    if (mkdir(path_of(dir, f, NEW, id, NULL), 0700)) return failed("make the folder of", err);
    for (int i = 0; !rc && i < n; i++)
        rc = write_file(path_of(path, f, NEW, id, upload_name(name, i)), uploads[i].data,
                        uploads[i].len, err);
    if (!rc) rc = sync_dir(dir, err);
    if (rc) (void)!drop_dir(dir, NULL, NULL); /* else at the next start */
    return rc;
}

enum err job_files_adopt(const struct job_files *f, const char *id, struct err_info *err)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    if (rename(path_of(from, f, NEW, id, NULL), path_of(to, f, "", id, NULL)))
        return failed("keep", err);
    return sync_dir(f->dir, err);
}

static enum err open_file(int *out, const struct job_files *f, const char *id, const char *name,
                          struct err_info *err)
{
    char path[PATH_BYTES];
    int fd = open(path_of(path, f, "", id, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "the job %.26s has no %s (any more)", id, name);
    if (fd < 0) return failed("open", err);
    *out = fd;
    return ERR_OK;
}

enum err job_files_open_upload(int *fd, const struct job_files *f, const char *id, int n,
                               struct err_info *err)
{
    char name[NAME_BYTES];
    return open_file(fd, f, id, upload_name(name, n), err);
}

enum err job_files_put_result(const struct job_files *f, const char *id, const void *bytes,
                              size_t len, struct err_info *err)
{
    char dir[PATH_BYTES], fresh[PATH_BYTES], path[PATH_BYTES];
    enum err rc;

    if (mkdir(path_of(dir, f, "", id, NULL), 0700) && errno != EEXIST)
        return failed("make the folder of", err);
    path_of(fresh, f, "", id, RESULT_NEW);
    path_of(path, f, "", id, RESULT);
    if (!(rc = write_file(fresh, bytes, len, err)) && rename(fresh, path)) rc = failed("keep", err);
    if (rc) unlink(fresh);
    if (rc || (rc = sync_dir(dir, err))) return rc;
    return sync_dir(f->dir, err);
}

enum err job_files_open_result(int *fd, const struct job_files *f, const char *id,
                               struct err_info *err)
{
    return open_file(fd, f, id, RESULT, err);
}

enum err job_files_drop(const struct job_files *f, const char *id, const char *const *keep,
                        struct err_info *err)
{
    char dir[PATH_BYTES];
    return drop_dir(path_of(dir, f, "", id, NULL), keep, err);
}

struct id_list {
    const struct store_job_id *ids;
    size_t n;
};

static int compare_id(const void *a, const void *b)
{
    return strcmp(a, ((const struct store_job_id *)b)->id.s);
}

static bool has_no_use(const char *const **keep, const char *name, const void *self)
{
    const struct id_list *list = self;
    if (!ulid_valid(name)) return false; /* one that is not adopted yet, or not ours */
    const struct store_job_id *j =
        list->n ? bsearch(name, list->ids, list->n, sizeof *list->ids, compare_id) : NULL;
    if (j && !store_job_final(j->state)) return false;
    *keep = j && j->state == STORE_JOB_DONE ? job_files_keep_result : NULL;
    return true;
}

enum err job_files_follow(const struct job_files *f, const struct store_job_id *ids, size_t n,
                          struct err_info *err)
{
    return drop_entries(f, has_no_use, &(struct id_list){ids, n}, err);
}
