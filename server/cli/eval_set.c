/* Labelled pictures: who is on them, where they are, and their embeddings. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "server/cli/eval.h"
#include "engine/base/ordered.h"

enum { FIRST_SLOTS = 1024 };

/* FNV-1a, 32 bits. */
static size_t hash_of(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
    return h;
}

bool eval_names_find(const struct eval_names *s, const char *name, uint32_t *index)
{
    if (!s->slots) return false;
    for (size_t k = hash_of(name);; k++) {
        const uint32_t v = s->slot[k & (s->slots - 1)];
        if (!v) return false;
        if (strcmp(s->name[v - 1], name) == 0) {
            *index = v - 1;
            return true;
        }
    }
}

static void put(struct eval_names *s, uint32_t index)
{
    size_t k = hash_of(s->name[index]);
    while (s->slot[k & (s->slots - 1)]) k++;
    s->slot[k & (s->slots - 1)] = index + 1;
}

/* Room for one more name, the table at most half full. */
static bool grow(struct eval_names *s)
{
    if (s->n < s->cap) return true;
    const size_t cap = s->cap ? 2 * s->cap : FIRST_SLOTS / 2;
    char **name = realloc(s->name, cap * sizeof *name);
    if (!name) return false;
    s->name = name;
    uint32_t *slot = calloc(2 * cap, sizeof *slot);
    if (!slot) return false;
    free(s->slot);
    s->slot = slot;
    s->slots = 2 * cap;
    s->cap = cap;
    for (size_t i = 0; i < s->n; i++) put(s, (uint32_t)i);
    return true;
}

bool eval_names_add(struct eval_names *s, const char *name, uint32_t *index)
{
    if (eval_names_find(s, name, index)) return true;
    if (!grow(s)) return false;
    char *copy = strdup(name);
    if (!copy) return false;
    s->name[s->n] = copy;
    *index = (uint32_t)s->n++;
    put(s, *index);
    return true;
}

void eval_names_release(struct eval_names *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->name[i]);
    free(s->name);
    free(s->slot);
    *s = (struct eval_names){0};
}

enum err eval_set_add(struct eval_set *s, const char *person, const char *name, uint32_t *index,
                      struct err_info *err)
{
    const size_t before = s->names.n;
    uint32_t who;

    if (before == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 1024;
        struct eval_image *images = realloc(s->images, cap * sizeof *images);
        if (!images) return err_set(err, ERR_NOMEM, "no memory for %zu pictures", cap);
        s->images = images;
        s->cap = cap;
    }
    if (!eval_names_add(&s->people, person, &who) || !eval_names_add(&s->names, name, index))
        return err_set(err, ERR_NOMEM, "no memory for %zu pictures", before);
    if (s->names.n > before) s->images[*index] = (struct eval_image){.person = who};
    return ERR_OK;
}

void eval_set_release(struct eval_set *s)
{
    for (size_t i = 0; i < s->names.n; i++) free(s->images[i].path);
    free(s->images);
    free(s->x);
    eval_names_release(&s->people);
    eval_names_release(&s->names);
    *s = (struct eval_set){0};
}

static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp"};

enum err eval_set_locate(struct eval_set *s, const char *dir, struct err_info *err)
{
    for (size_t i = 0; i < s->names.n; i++) {
        struct eval_image *im = &s->images[i];
        for (size_t k = 0; k < ARRAY_LEN(endings) && !im->path; k++) {
            char *path;
            if (asprintf(&path, "%s/%s/%s%s", dir, s->people.name[im->person], s->names.name[i],
                         endings[k]) < 0)
                return err_set(err, ERR_NOMEM, "no memory for a path");
            if (access(path, R_OK) == 0)
                im->path = path;
            else
                free(path);
        }
        if (!im->path)
            return err_set(err, ERR_NOT_FOUND,
                           "there is no picture %s/%s (.jpg, .jpeg, .png or .webp)",
                           s->people.name[im->person], s->names.name[i]);
    }
    return ERR_OK;
}

static int picture_only(const struct dirent *d)
{
    const size_t n = strlen(d->d_name);
    for (size_t k = 0; k < ARRAY_LEN(endings); k++) {
        const size_t m = strlen(endings[k]);
        if (n > m && strcasecmp(d->d_name + n - m, endings[k]) == 0) return 1;
    }
    return 0;
}

static int folder_only(const struct dirent *d)
{
    return d->d_name[0] != '.' &&
           (d->d_type == DT_DIR || d->d_type == DT_LNK || d->d_type == DT_UNKNOWN);
}

static enum err scan_person(struct eval_set *s, const char *dir, const char *person,
                            struct err_info *err)
{
    struct dirent **files = NULL;
    char *folder = NULL;
    enum err rc = ERR_OK;

    if (asprintf(&folder, "%s/%s", dir, person) < 0)
        return err_set(err, ERR_NOMEM, "no memory for a path");
    const int n = scandir(folder, &files, picture_only, alphasort);
    for (int i = 0; i < n; i++) {
        char *name = files[i]->d_name, *path = NULL;
        uint32_t index;
        if (!rc && asprintf(&path, "%s/%s", folder, name) < 0)
            rc = err_set(err, ERR_NOMEM, "no memory for a path");
        *strrchr(name, '.') = 0;
        if (!rc) rc = eval_set_add(s, person, name, &index, err);
        if (!rc && !s->images[index].path)
            s->images[index].path = path;
        else
            free(path);
        free(files[i]);
    }
    free(files);
    free(folder);
    return rc;
}

enum err eval_set_scan(struct eval_set *s, const char *dir, struct err_info *err)
{
    struct dirent **people = NULL;
    const int n = scandir(dir, &people, folder_only, alphasort);
    enum err rc = ERR_OK;

    if (n < 0) return err_set(err, ERR_NOT_FOUND, "the folder %s cannot be read", dir);
    for (int i = 0; i < n; i++) {
        if (!rc) rc = scan_person(s, dir, people[i]->d_name, err);
        free(people[i]);
    }
    free(people);
    if (!rc && s->names.n < 2)
        rc = err_set(err, ERR_INVALID, "%s holds %zu pictures in folders, two or more are needed",
                     dir, s->names.n);
    return rc;
}

/* One run of the pool over a set. */
struct embedding_run {
    struct eval_set *set;
    struct engine *engine;
    struct analyse_options options;
    size_t next;
    struct cli_progress progress;
    struct err_info *err;
    enum err rc;
};

struct embedding_result {
    enum err rc;
    struct err_info err;
    struct analysis a;
};

static char *next_path(void *self)
{
    struct embedding_run *r = self;
    return r->next < r->set->names.n ? strdup(r->set->images[r->next++].path) : NULL;
}

static void *embed_one(void *self, size_t index, const char *path)
{
    struct embedding_run *r = self;
    struct embedding_result *out = calloc(1, sizeof *out);

    (void)index;
    if (out) out->rc = cli_analyse(&out->a, r->engine, path, &r->options, &out->err);
    return out;
}

static void drop_result(void *result)
{
    struct embedding_result *res = result;
    if (res) analysis_release(&res->a);
    free(res);
}

static bool keep_embedding(struct embedding_run *r, size_t index, struct embedding_result *res)
{
    struct eval_set *s = r->set;
    const struct face *f = res->a.faces;
    const size_t dim = (size_t)f->dim;

    if (!s->x) {
        s->dim = f->dim;
        s->x = calloc(s->names.n, dim * sizeof *s->x);
    }
    if (!s->x || s->dim != f->dim) {
        r->rc =
            err_set(r->err, ERR_NOMEM, "no memory for %zu embeddings of %d", s->names.n, f->dim);
        return false;
    }
    memcpy(s->x + index * dim, f->embedding, dim * sizeof *s->x);
    memcpy(s->images[index].box, f->box, sizeof f->box);
    return s->images[index].found = true;
}

static bool take_result(void *self, size_t index, const char *path, void *result)
{
    struct embedding_run *r = self;
    struct embedding_result *res = result;
    bool go_on = true;

    (void)path;
    cli_progress(&r->progress, index + 1, r->set->names.n);
    if (!res) {
        r->rc = err_set(r->err, ERR_NOMEM, "no memory for an embedding");
        go_on = false;
    } else if (!res->rc && res->a.n) {
        go_on = keep_embedding(r, index, res);
    } else if (res->rc && res->rc != ERR_NO_FACE && res->rc != ERR_MANY_FACES &&
               res->rc != ERR_BAD_IMAGE && res->rc != ERR_UNSUPPORTED_IMAGE &&
               res->rc != ERR_TOO_LARGE) {
        *r->err = res->err;
        r->rc = res->rc;
        go_on = false;
    }
    drop_result(res);
    return go_on;
}

enum err eval_set_embed(struct eval_set *s, struct engine *e, enum face_select select, int workers,
                        struct err_info *err)
{
    struct embedding_run r = {.set = s,
                              .engine = e,
                              .options = {.select = select, .embedding = true},
                              .progress = {.what = "pictures"},
                              .err = err};
    const struct ordered_work w = {next_path, embed_one, take_result, drop_result, &r, workers};
    const enum err rc = ordered_run(&w, err);

    cli_progress_end(&r.progress, s->names.n);
    if (rc || r.rc) return rc ? rc : r.rc;
    return s->x ? ERR_OK
                : err_set(err, ERR_NO_FACE, "no face was found in any of %zu pictures", s->names.n);
}

size_t eval_set_lost(const struct eval_set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->names.n; i++) n += !s->images[i].found;
    return n;
}
