/* The photographs that are to be clustered, before any is decoded: where their bytes are, what
 * they are called, and in which folder they lie. */
#include "engine/base/mem.h"
#include "server/clusters/archive.h"
#include "server/clusters/clusters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err no_memory(struct err_info *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a list of photographs");
}

enum err clusters_photos_init(struct clusters_photos *p, struct err_info *err)
{
    *p = (struct clusters_photos){.skipped = json_array()};
    return p->skipped ? ERR_OK : no_memory(err);
}

void clusters_photos_release(struct clusters_photos *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->photo[i].file);
        free(p->photo[i].truth);
        free(p->photo[i].path);
    }
    for (size_t i = 0; i < p->n_archives; i++) archive_free(p->archive[i]);
    free(p->photo);
    free(p->archive);
    json_decref(p->skipped);
    *p = (struct clusters_photos){0};
}

/* A name as JSON can hold it: bytes that are not UTF-8 become '?', and so do control characters. */
static char *clean(const char *name)
{
    char *s = strdup(name);
    json_t *whole = s ? json_string(s) : NULL;

    for (char *p = s; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || (!whole && (unsigned char)*p >= 0x80))
            *p = '?';
    json_decref(whole);
    return s;
}

enum err clusters_photos_skip(struct clusters_photos *p, const char *file,
                              const struct err_info *why, struct err_info *err)
{
    AUTO_FREE char *name = clean(file);
    AUTO_FREE char *message = clean(why->message);

    if (!name || !message ||
        json_array_append_new(p->skipped, json_pack("{s:s, s:s, s:s}", "file", name, "code",
                                                    err_name(why->code), "message", message)))
        return no_memory(err);
    return ERR_OK;
}

/* Takes file and truth (NULL allowed only for truth where it is not known). */
static enum err take(struct clusters_photos *p, struct clusters_photo photo, struct err_info *err)
{
    if (photo.file && p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 64;
        struct clusters_photo *more = reallocarray(p->photo, cap, sizeof *more);
        if (more) {
            p->photo = more;
            p->cap = cap;
        }
    }
    if (!photo.file || p->n == p->cap) {
        free(photo.file);
        free(photo.truth);
        free(photo.path);
        return no_memory(err);
    }
    p->photo[p->n++] = photo;
    return ERR_OK;
}

enum err clusters_photos_add(struct clusters_photos *p, const char *name, const void *data,
                             size_t len, struct err_info *err)
{
    char number[40];
    snprintf(number, sizeof number, "image[%zu]", p->n);
    return take(p,
                (struct clusters_photo){
                    .file = clean(name && *name ? name : number), .data = data, .len = len},
                err);
}

enum err clusters_photos_add_file(struct clusters_photos *p, const char *name, const char *path,
                                  const char *truth, struct err_info *err)
{
    struct clusters_photo photo = {.path = strdup(path)};
    if (truth && !(photo.truth = clean(truth))) photo.file = NULL;
    photo.file = photo.path && (photo.truth || !truth) ? clean(name) : NULL;
    return take(p, photo, err);
}

/* --- archives --- */

/* How many bytes of the names are folders that all of them share ("photos/"). */
static size_t shared_folder(struct archive *a)
{
    struct archive_entry e;
    const char *first = NULL;
    size_t n = 0;

    for (int i = 0; i < archive_entries(a); i++) {
        archive_entry(&e, a, i);
        if (e.folder || e.refused.code) continue;
        size_t same = 0;
        for (size_t k = 0; e.name[k] && (!first || (k < n && first[k] == e.name[k])); k++)
            if (e.name[k] == '/') same = k + 1;
        n = same;
        first = e.name;
        if (!n) break;
    }
    return n;
}

/* The folder that a name lies in, beyond the first skip bytes; NULL: none. false: no memory. */
static bool folder_of(char **out, const char *name, size_t skip)
{
    const char *slash = strrchr(name, '/');

    *out = NULL;
    if (!slash || (size_t)(slash - name) <= skip) return true;
    char *folder = strndup(name + skip, (size_t)(slash - name) - skip);
    *out = folder ? clean(folder) : NULL;
    free(folder);
    return *out != NULL;
}

static enum err add_entry(struct clusters_photos *p, struct archive *a, int i, const char *archive,
                          size_t skip, struct err_info *err)
{
    struct archive_entry e;
    AUTO_FREE char *name = NULL;

    archive_entry(&e, a, i);
    if (e.folder) return ERR_OK;
    if (asprintf(&name, "%s/%s", archive, e.name) < 0) {
        name = NULL;
        return no_memory(err);
    }
    if (e.refused.code) return clusters_photos_skip(p, name, &e.refused, err);
    struct clusters_photo photo = {.archive = a, .entry = i};
    if (!folder_of(&photo.truth, e.name, skip)) return no_memory(err);
    photo.file = clean(name);
    return take(p, photo, err);
}

enum err clusters_photos_add_zip(struct clusters_photos *p, const char *name, const void *data,
                                 size_t len, struct err_info *err)
{
    char number[40];
    struct archive *a;
    enum err rc;

    snprintf(number, sizeof number, "zip[%zu]", p->n_archives);
    if (!name || !*name) name = number;
    struct archive **more = reallocarray(p->archive, p->n_archives + 1, sizeof *more);
    if (!more) return no_memory(err);
    p->archive = more;
    if ((rc = archive_open(&a, data, len, err))) return err_prefix(err, "%.100s", name);
    p->archive[p->n_archives++] = a;
    const size_t skip = shared_folder(a);
    for (int i = 0; !rc && i < archive_entries(a); i++) rc = add_entry(p, a, i, name, skip, err);
    return rc;
}

enum err clusters_photo_read(struct buf *out, const struct clusters_photo *photo,
                             struct err_info *err)
{
    if (photo->archive) return archive_read(out, photo->archive, photo->entry, err);
    if (photo->path) return buf_read_file(out, photo->path, err);
    if (archive_is_zip(photo->data, photo->len))
        return err_set(err, ERR_UNSUPPORTED_IMAGE, "it is an archive, not a picture");
    return buf_add(out, photo->data, photo->len, err);
}
