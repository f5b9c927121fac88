#include "server/gallery/gallery_internal.h"

#include "engine/base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct gallery {
    struct store *store;
    pthread_mutex_t following; /* one follower at a time */
    uint64_t version;          /* of the store, as far as it has been followed */
    bool followed;
    pthread_rwlock_t lock;            /* of list and n */
    struct gallery_collection **list; /* by row */
    size_t n;
};

bool gallery_rule_parse(enum match_rule *out, const char *s)
{
    static const char *const names[] = {
        [MATCH_MAX] = "max", [MATCH_MEAN_TOP] = "mean_top", [MATCH_CENTROID] = "centroid"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], s) != 0) continue;
        *out = (enum match_rule)i;
        return true;
    }
    return false;
}

void gallery_release(struct gallery_collection *c)
{
    if (!c || atomic_fetch_sub(&c->holders, 1) > 1) return;
    gallery__index_release(c->index);
    free((char *)c->is.id);
    free((char *)c->is.name);
    free((char *)c->is.model);
    free((char *)c->is.recipe);
    free((char *)c->is.rule);
    free((char *)c->is.calibration);
    free((char *)c->is.metadata);
    free(c);
}

static bool copy_text(const char **s)
{
    if (!*s) return true;
    *s = strdup(*s);
    return *s != NULL;
}

/* The settings, without an index. */
static enum err collection_new(struct gallery_collection **out, const struct store_collection *is,
                               struct err_info *err)
{
    struct gallery_collection *c = calloc(1, sizeof *c);
    if (!c) return err_set(err, ERR_NOMEM, "no memory for a collection");
    atomic_init(&c->holders, 1);
    c->is = *is;
    const char **texts[] = {&c->is.id,   &c->is.name,        &c->is.model,   &c->is.recipe,
                            &c->is.rule, &c->is.calibration, &c->is.metadata};
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!ok)
            *texts[i] = NULL; /* the store's: not to be freed */
        else if (!copy_text(texts[i]))
            ok = false;
    }
    enum err rc = ok ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a collection");
    if (!rc && !gallery_rule_parse(&c->rule, is->rule))
        rc = err_set(err, ERR_INTERNAL, "collection %s has the rule \"%.20s\"", is->id, is->rule);
    if (rc) {
        gallery_release(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Nothing but seq can have changed without updated_ms, but that has only milliseconds. */
static bool same_settings(const struct store_collection *a, const struct store_collection *b)
{
    return a->updated_ms == b->updated_ms && same_text(a->name, b->name) &&
           same_text(a->model, b->model) && same_text(a->recipe, b->recipe) && a->dim == b->dim &&
           same_text(a->rule, b->rule) && a->rule_top == b->rule_top &&
           a->min_quality == b->min_quality && a->thumbnails == b->thumbnails &&
           a->photos == b->photos && a->ttl_days == b->ttl_days &&
           same_text(a->calibration, b->calibration) && same_text(a->metadata, b->metadata);
}

/* Can the index of the collection as it was go on under its new settings? */
static bool index_fits(const struct store_collection *was, const struct store_collection *now)
{
    return was->dim == now->dim && same_text(was->recipe, now->recipe) &&
           same_text(was->rule, now->rule);
}

struct follow {
    struct gallery *g;
    store_job *then; /* NULL: nothing */
    void *arg;
    struct store_tx *tx;
    struct gallery_collection **list; /* the new one */
    size_t n, room;
};

static int by_row(const void *a, const void *b)
{
    const struct gallery_collection *const *x = a, *const *y = b;
    return ((*x)->is.row > (*y)->is.row) - ((*x)->is.row < (*y)->is.row);
}

static struct gallery_collection *find_row(const struct gallery *g, int64_t row)
{
    const struct gallery_collection wanted = {.is.row = row}, *key = &wanted;
    struct gallery_collection **at = g->n ? bsearch(&key, g->list, g->n, sizeof *at, by_row) : NULL;
    return at ? *at : NULL;
}

/* The index of a collection, up to date: the one it had, or a new one. A holder of the result is
 * counted. */
static enum err index_of(struct gallery_index **out, struct follow *f,
                         const struct gallery_collection *was, const struct store_collection *is,
                         struct err_info *err)
{
    if (was && index_fits(&was->is, is)) {
        enum err rc =
            was->index->seq == is->seq ? ERR_OK : gallery__index_follow(was->index, f->tx, is, err);
        if (rc && rc != ERR_CONFLICT) return rc;
        if (!rc) {
            atomic_fetch_add(&was->index->holders, 1);
            *out = was->index;
            return ERR_OK;
        }
    }
    return gallery__index_load(out, f->tx, is, err);
}

static enum err take_collection(void *self, const struct store_collection *is, struct err_info *err)
{
    struct follow *f = self;
    struct gallery_collection *was = find_row(f->g, is->row), *now = NULL;
    struct gallery_index *index = NULL;
    enum err rc;

    if (f->n == f->room) {
        size_t room = f->room ? 2 * f->room : 16;
        struct gallery_collection **more =
            reallocarray(f->list, room, sizeof(struct gallery_collection *));
        if (!more) return err_set(err, ERR_NOMEM, "no memory for %zu collections", room);
        f->list = more;
        f->room = room;
    }
    if ((rc = index_of(&index, f, was, is, err))) return rc;
    if (was && was->index == index && same_settings(&was->is, is)) {
        gallery__index_release(index);
        atomic_fetch_add(&was->holders, 1);
        f->list[f->n++] = was;
        return ERR_OK;
    }
    if ((rc = collection_new(&now, is, err))) {
        gallery__index_release(index);
        return rc;
    }
    now->index = index;
    f->list[f->n++] = now;
    return ERR_OK;
}

static void release_list(struct gallery_collection **list, size_t n)
{
    for (size_t i = 0; i < n; i++) gallery_release(list[i]);
    free(list);
}

/* The new list takes the old one's place. */
static void publish(struct follow *f)
{
    struct gallery *g = f->g;
    pthread_rwlock_wrlock(&g->lock);
    struct gallery_collection **old = g->list;
    size_t n_old = g->n;
    g->list = f->list;
    g->n = f->n;
    pthread_rwlock_unlock(&g->lock);
    f->list = NULL;
    f->n = 0;
    release_list(old, n_old);
}

static enum err follow_job(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct follow *f = arg;
    f->tx = tx;
    enum err rc = store_collection_list(tx, take_collection, f, err);
    if (rc) return rc;
    if (f->n) qsort(f->list, f->n, sizeof(struct gallery_collection *), by_row);
    publish(f);
    return f->then ? f->then(tx, f->arg, err) : ERR_OK;
}

enum err gallery__follow(struct gallery *g, store_job *then, void *arg, struct err_info *err)
{
    struct follow f = {.g = g, .then = then, .arg = arg};
    uint64_t version = 0;

    pthread_mutex_lock(&g->following);
    /* first: a change in between is seen next time */
    enum err rc = store_version(&version, g->store, err);
    if (!rc && (then || !g->followed || version != g->version)) {
        rc = store_read(g->store, follow_job, &f, err);
        release_list(f.list, f.n);
        if (!rc) {
            g->version = version;
            g->followed = true;
        }
    }
    pthread_mutex_unlock(&g->following);
    return rc;
}

enum err gallery_follow(struct gallery *g, struct err_info *err)
{
    return gallery__follow(g, NULL, NULL, err);
}

enum err gallery_hold(struct gallery_collection **out, struct gallery *g, const char *id_or_name,
                      struct err_info *err)
{
    struct gallery_collection *found = NULL;

    pthread_rwlock_rdlock(&g->lock);
    for (size_t i = 0; !found && i < g->n; i++)
        if (!strcmp(g->list[i]->is.id, id_or_name)) found = g->list[i];
    for (size_t i = 0; !found && i < g->n; i++)
        if (!strcmp(g->list[i]->is.name, id_or_name)) found = g->list[i];
    if (found) atomic_fetch_add(&found->holders, 1);
    pthread_rwlock_unlock(&g->lock);
    if (!found) return err_set(err, ERR_NOT_FOUND, "there is no collection \"%.200s\"", id_or_name);
    *out = found;
    return ERR_OK;
}

void gallery_info(struct gallery *g, struct gallery_info *out)
{
    *out = (struct gallery_info){0};
    pthread_rwlock_rdlock(&g->lock);
    out->collections = g->n;
    for (size_t i = 0; i < g->n; i++) {
        struct match_index_info x;
        match_index_info(g->list[i]->index->rows, &x);
        out->examples += x.examples;
        out->bytes += x.bytes;
    }
    pthread_rwlock_unlock(&g->lock);
}

enum err gallery_open(struct gallery **out, struct store *s, struct err_info *err)
{
    struct gallery *g = calloc(1, sizeof *g);
    if (!g) return err_set(err, ERR_NOMEM, "no memory for the gallery");
    g->store = s;
    pthread_mutex_init(&g->following, NULL);
    pthread_rwlock_init(&g->lock, NULL);
    enum err rc = gallery_follow(g, err);
    if (rc) {
        gallery_close(g);
        return rc;
    }
    *out = g;
    return ERR_OK;
}

void gallery_close(struct gallery *g)
{
    if (!g) return;
    release_list(g->list, g->n);
    pthread_rwlock_destroy(&g->lock);
    pthread_mutex_destroy(&g->following);
    free(g);
}
