/* Which embedders are loaded: the default one always, others when they are first asked for, and no
 * more than the memory for models allows: then the one that was used longest ago goes, unless
 * somebody is using it. */
#include "engine/base/mem.h"
#include "engine/engine_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MB = 1000 * 1000 };

enum err engine__embedders_init(struct engine *e, const struct engine_options *o,
                                struct err_info *err)
{
    e->loaded = calloc(e->n_infos + 1, sizeof *e->loaded);
    e->models_dir = strdup(o->models_dir);
    if (!e->loaded || !e->models_dir)
        return err_set(err, ERR_NOMEM, "no memory for a list of %zu models", e->n_infos);
    e->model_memory = (size_t)o->model_memory_mb * MB;
    return ERR_OK;
}

void engine__embedders_release(struct engine *e)
{
    for (size_t i = 0; e->loaded && i < e->n_infos; i++) {
        embedder_close(e->loaded[i].embedder);
        free(e->loaded[i].embedder);
    }
    free(e->loaded);
    free(e->models_dir);
}

static enum err open_one(struct embedder **out, const struct engine *e, const char *name,
                         const struct engine_options *own, struct err_info *err)
{
    const struct embedder_options o = {.models_dir = e->models_dir,
                                       .name = name,
                                       .preset = own ? own->preset : NULL,
                                       .average = own ? own->average : NULL,
                                       .backend = e->backend,
                                       .precision = e->precision,
                                       .threads = e->threads,
                                       .detection = e->detection};
    struct embedder *m = calloc(1, sizeof *m);
    if (!m) return err_set(err, ERR_NOMEM, "no memory for an embedder");
    enum err rc = embedder_open(m, &o, err);
    if (rc) {
        free(m);
        return rc;
    }
    *out = m;
    return ERR_OK;
}

/* The lock is held. Takes loaded models out of the table until `more` bytes fit, into gone[];
 * returns how many. */
static int make_room(struct engine *e, size_t more, struct embedder **gone)
{
    int n = 0;
    while (e->model_memory && e->loaded_bytes + more > e->model_memory) {
        struct loaded *oldest = NULL;
        for (size_t i = 0; i < e->n_infos; i++) {
            struct loaded *l = &e->loaded[i];
            if (l->embedder && !l->users && &e->infos[i] != e->embedder_info &&
                (!oldest || l->used < oldest->used))
                oldest = l;
        }
        if (!oldest) break;
        gone[n++] = oldest->embedder;
        e->loaded_bytes -= oldest->embedder->bytes;
        e->infos[oldest - e->loaded].loaded = false;
        oldest->embedder = NULL;
    }
    return n;
}

/* The lock is held: into the table, and what it says into the list. */
static enum err put(struct engine *e, size_t i, struct embedder *m, struct err_info *err)
{
    struct model_info *info = &e->infos[i];
    if (!info->recipe && !(info->recipe = strdup(m->recipe)))
        return err_set(err, ERR_NOMEM, "no memory for a recipe");
    info->loaded = true;
    info->backend = nn_backend_name(e->backend);
    info->precision = nn_precision_name(nn_net_precision(m->net));
    info->average = m->crops->name;
    info->dim = m->dim;
    e->loaded[i].embedder = m;
    e->loaded_bytes += m->bytes;
    return ERR_OK;
}

/* e->loading is held, so that a model is loaded once. */
static enum err load(struct engine *e, size_t i, const struct engine_options *own,
                     struct err_info *err)
{
    struct embedder *m = NULL, **gone = calloc(e->n_infos + 1, sizeof *gone);
    if (!gone) return err_set(err, ERR_NOMEM, "no memory to load a model");
    enum err rc = open_one(&m, e, e->infos[i].name, own, err);
    if (!rc) {
        pthread_mutex_lock(&e->lock);
        const int n = make_room(e, m->bytes, gone);
        if (e->model_memory && !own && e->loaded_bytes + m->bytes > e->model_memory)
            rc = err_set(
                err, ERR_BUSY, "model %.64s takes %zu MB, %zu of the %zu MB for models are in use",
                e->infos[i].name, m->bytes / MB, e->loaded_bytes / MB, e->model_memory / MB);
        else
            rc = put(e, i, m, err);
        pthread_mutex_unlock(&e->lock);
        if (rc) {
            embedder_close(m);
            free(m);
        }
        for (int k = 0; k < n; k++) {
            lanes_forget(e->lanes, gone[k]->net);
            embedder_close(gone[k]);
            free(gone[k]);
        }
    }
    free(gone);
    return rc;
}

static bool use_loaded(const struct embedder **out, struct engine *e, size_t i)
{
    pthread_mutex_lock(&e->lock);
    struct loaded *l = &e->loaded[i];
    if (l->embedder) {
        l->users++;
        l->used = ++e->uses;
        *out = l->embedder;
    }
    pthread_mutex_unlock(&e->lock);
    return l->embedder != NULL;
}

static bool find(size_t *out, const struct engine *e, const char *name)
{
    for (size_t i = 0; i < e->n_infos; i++) {
        if (strcmp(e->infos[i].name, name) != 0) continue;
        *out = i;
        return true;
    }
    return false;
}

enum err engine__embedder_open_default(struct engine *e, const struct engine_options *o,
                                       const char *name, struct err_info *err)
{
    size_t i;
    if (!find(&i, e, name))
        return err_set(err, ERR_NOT_FOUND,
                       "model %.64s is not in %.200s: run `visavis model fetch`", name,
                       e->models_dir);
    e->embedder_info = &e->infos[i];
    return load(e, i, o, err);
}

enum err engine__embedder_use(const struct embedder **out, struct engine *e, const char *name,
                              struct err_info *err)
{
    size_t i = (size_t)(e->embedder_info - e->infos);
    enum err rc = ERR_OK;

    if (name && !find(&i, e, name))
        return err_set(err, ERR_INVALID, "there is no model \"%.64s\" here", name);
    if (use_loaded(out, e, i)) return ERR_OK;
    pthread_mutex_lock(&e->loading);
    if (!use_loaded(out, e, i)) {
        rc = load(e, i, NULL, err);
        if (!rc && !use_loaded(out, e, i))
            rc = err_set(err, ERR_INTERNAL, "model %.64s went while it was loaded", name);
    }
    pthread_mutex_unlock(&e->loading);
    return rc;
}

void engine__embedder_done(struct engine *e, const struct embedder *m)
{
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < e->n_infos; i++)
        if (e->loaded[i].embedder == m) e->loaded[i].users--;
    pthread_mutex_unlock(&e->lock);
}

enum err engine_describe(struct model_info *out, struct engine *e, const char *name,
                         struct err_info *err)
{
    const struct embedder *m = NULL;
    enum err rc = engine__embedder_use(&m, e, name, err);
    if (rc) return rc;
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < e->n_infos; i++)
        if (e->loaded[i].embedder == m) *out = e->infos[i];
    pthread_mutex_unlock(&e->lock);
    engine__embedder_done(e, m);
    return ERR_OK;
}

void engine__embedder_name(struct analysis *a, struct engine *e, const struct embedder *m)
{
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < e->n_infos; i++) {
        const struct model_info *info = &e->infos[i];
        if (e->loaded[i].embedder != m) continue;
        a->model = info->name;
        a->precision = info->precision;
        a->recipe = info->recipe;
        a->calibration = info->calibration;
    }
    pthread_mutex_unlock(&e->lock);
}

size_t engine_models(struct engine *e, struct model_info *out, size_t max)
{
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < e->n_infos && i < max; i++) out[i] = e->infos[i];
    pthread_mutex_unlock(&e->lock);
    return e->n_infos;
}
