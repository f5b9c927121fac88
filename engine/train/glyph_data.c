#include "engine/train/glyph_data.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "engine/train/set.h"

enum { LARGE_SET = 20000, LARGE_SHARE = 6, SMALL_SHARE = 5, PATH_BYTES = 4096 };

static const char IMAGES[] = "-images-idx3-ubyte", LABELS[] = "-labels-idx1-ubyte";

void glyph_data_release(struct glyph_data *d)
{
    train_set_release(&d->train);
    train_set_release(&d->held);
    train_set_release(&d->unseen);
}

static enum err hash_file(char hex[65], const char *path, struct err_info *err)
{
    AUTO_BUF struct buf b = BUF_INIT(TRAIN_MAX_FILE_BYTES);
    enum err rc = buf_read_file(&b, path, err);
    if (!rc) hex_sha256(hex, b.data, b.len);
    return rc;
}

/* Files of one set; mapping "" where there is none. */
struct files {
    char images[PATH_BYTES], labels[PATH_BYTES], mapping[PATH_BYTES];
};

static bool find_files(struct files *f, const char *dir, const char *name)
{
    int fits = snprintf(f->images, PATH_BYTES, "%s/%s%s.gz", dir, name, IMAGES);
    if (access(f->images, F_OK)) snprintf(f->images, PATH_BYTES, "%s/%s%s", dir, name, IMAGES);
    snprintf(f->labels, PATH_BYTES, "%s/%s%s.gz", dir, name, LABELS);
    if (access(f->labels, F_OK)) snprintf(f->labels, PATH_BYTES, "%s/%s%s", dir, name, LABELS);
    snprintf(f->mapping, PATH_BYTES, "%s/%s-mapping.txt", dir, name);
    if (access(f->mapping, F_OK)) f->mapping[0] = 0;
    return fits < PATH_BYTES;
}

static bool left_out(const struct train_set *s, int label, const char *letters)
{
    const uint32_t code = s->codes[label][0];
    return letters && code < 128 && isalpha((int)code) &&
           (strchr(letters, tolower((int)code)) || strchr(letters, toupper((int)code)));
}

/* The parts of one set, with the classes of the whole. */
static enum err divide(struct train_set parts[3], const struct train_set *all, const char *letters,
                       struct err_info *err)
{
    size_t seen[TRAIN_MAX_CLASSES] = {0};
    for (int k = 0; k < 3; k++) {
        parts[k].n_classes = all->n_classes;
        memcpy(parts[k].codes, all->codes, sizeof all->codes);
    }
    for (size_t i = 0; i < all->n; i++) {
        const int label = all->labels[i];
        const bool held = all->n >= LARGE_SET ? i >= all->n - all->n / LARGE_SHARE
                                              : seen[label] % SMALL_SHARE == 0;
        const int part = left_out(all, label, letters) ? 2 : held;
        const enum err rc = train_set_add(&parts[part], all->pixels + i * TRAIN_PIXELS, label, err);
        seen[label]++;
        if (rc) return rc;
    }
    return ERR_OK;
}

/* Divides what a source holds; its name and checksums are set already. */
static enum err add_set(struct glyph_data *d, const struct train_set *all, const char *hold_out,
                        struct err_info *err)
{
    struct train_set parts[3] = {TRAIN_SET_INIT};
    struct train_set *const to[3] = {&d->train, &d->held, &d->unseen};
    struct train_source_info *info = &d->sources[d->n_sources];
    enum err rc = divide(parts, all, hold_out, err);
    for (int k = 0; k < 3 && !rc; k++)
        rc = train_set_append(to[k], &parts[k], TRAIN_SAME_CODES, err);
    info->train = parts[0].n;
    info->held = parts[1].n;
    d->n_sources++;
    for (int k = 0; k < 3; k++) train_set_release(&parts[k]);
    return rc;
}

static enum err add_files(struct glyph_data *d, char *warning, const char *name,
                          const struct train_options *o, struct err_info *err)
{
    struct train_set all = TRAIN_SET_INIT;
    struct train_source_info *info = &d->sources[d->n_sources];
    AUTO_FREE struct files *f = malloc(sizeof *f);
    char word[TRAIN_WARNING_BYTES];
    enum err rc;

    if (!f) return err_set(err, ERR_NOMEM, "no memory for a path");
    if (d->n_sources == TRAIN_MAX_SETS || strlen(name) >= sizeof info->name ||
        !find_files(f, o->data, name))
        return err_set(err, ERR_INVALID,
                       "%.200s: more than %d sets, or a name that is too long: %.80s", o->data,
                       (int)TRAIN_MAX_SETS, name);
    const struct train_source source = {f->images, f->labels, f->mapping[0] ? f->mapping : NULL,
                                        o->orientation};
    if ((rc = train_set_read(&all, word, &source, err))) return rc;
    if (word[0]) memcpy(warning, word, sizeof word);
    memcpy(info->name, name, strlen(name) + 1);
    if (!(rc = hash_file(info->images_sha256, f->images, err)) &&
        !(rc = hash_file(info->labels_sha256, f->labels, err)))
        rc = add_set(d, &all, o->hold_out, err);
    train_set_release(&all);
    return rc;
}

/* A folder of pictures; the checksums are of the glyphs as they were read. */
static enum err add_folder(struct glyph_data *d, const struct train_options *o,
                           struct err_info *err)
{
    struct train_set all = TRAIN_SET_INIT;
    struct train_source_info *info = &d->sources[d->n_sources];
    enum err rc = train_set_folder(&all, o->data, o->orientation, err);
    if (rc) return rc;
    snprintf(info->name, sizeof info->name, "pictures");
    hex_sha256(info->images_sha256, all.pixels, all.n * TRAIN_PIXELS);
    hex_sha256(info->labels_sha256, all.labels, all.n);
    rc = add_set(d, &all, o->hold_out, err);
    train_set_release(&all);
    return rc;
}

static int is_images(const struct dirent *e)
{
    const char *at = strstr(e->d_name, IMAGES);
    return at && at != e->d_name &&
           (!at[sizeof IMAGES - 1] || strcmp(at + sizeof IMAGES - 1, ".gz") == 0);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum err glyph_data_read(struct glyph_data *out, char *warning, const struct train_options *o,
                         struct err_info *err)
{
    struct glyph_data d = {0};
    struct dirent **list;
    const int n = scandir(o->data, &list, is_images, by_name);
    enum err rc = ERR_OK;

    warning[0] = 0;
    if (n < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read %.200s: %s",
                       o->data, strerror(errno));
    for (int i = 0; i < n; i++) {
        char *name = list[i]->d_name;
        *strstr(name, IMAGES) = 0;
        if (!rc && (!i || strcmp(name, list[i - 1]->d_name) != 0))
            rc = add_files(&d, warning, name, o, err);
    }
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    if (!n && (rc = add_folder(&d, o, err)))
        rc = err_prefix(err, "%.200s, without a NAME%s[.gz] read as a folder of pictures a class",
                        o->data, IMAGES);
    if (rc) {
        glyph_data_release(&d);
        return rc;
    }
    *out = d;
    return ERR_OK;
}
