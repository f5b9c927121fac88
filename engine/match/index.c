/* The search index: views, and changes to them. */
#include "engine/match/index_internal.h"

#include <math.h>
#include <string.h>

enum {
    CHUNK_BYTES = 512 << 10, /* of floats, about: what a removal copies */
    CHUNK_ROWS_MAX = 4096,
    CENTRE_ROWS_MIN = 256, /* of fewer the mean would say too much about each */
    CENTRE_SAMPLES = 4096,
};

double match__dot(const float *a, const float *b, int d)
{
    double sum = 0;
    for (int i = 0; i < d; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

bool match__unit(const float *v, int d)
{
    double sum[4] = {0}; /* side by side, for speed: there is a million of them at start-up */
    int i = 0;
    for (; i + 4 <= d; i += 4)
        for (int j = 0; j < 4; j++) sum[j] += (double)v[i + j] * (double)v[i + j];
    for (; i < d; i++) sum[0] += (double)v[i] * (double)v[i];
    double length = sqrt(sum[0] + sum[1] + sum[2] + sum[3]);
    return length >= 0.99 && length <= 1.01; /* false for NaN */
}

/* --- views --- */

static struct match__view *view_new(void)
{
    struct match__view *v = calloc(1, sizeof *v);
    if (v) atomic_init(&v->refs, 1);
    return v;
}

void match__view_drop(struct match__view *v)
{
    if (!v || atomic_fetch_sub(&v->refs, 1) != 1) return;
    match__set_drop(&v->examples);
    match__set_drop(&v->centroids);
    match__directory_drop(&v->directory);
    free(v);
}

static struct match__view *view_copy(const struct match__view *v)
{
    struct match__view *to = view_new();
    if (to && match__set_copy(&to->examples, &v->examples) &&
        match__set_copy(&to->centroids, &v->centroids) &&
        match__directory_copy(&to->directory, &v->directory))
        return to;
    match__view_drop(to);
    return NULL;
}

struct match__view *match__view_take(struct match_index *x)
{
    pthread_mutex_lock(&x->swap);
    struct match__view *v = x->view;
    atomic_fetch_add(&v->refs, 1);
    pthread_mutex_unlock(&x->swap);
    return v;
}

static void publish(struct match_index *x, struct match__view *v)
{
    pthread_mutex_lock(&x->swap);
    struct match__view *old = x->view;
    x->view = v;
    pthread_mutex_unlock(&x->swap);
    match__view_drop(old);
}

enum err match_index_new(struct match_index **out, int d, bool centroids, struct err_info *err)
{
    *out = NULL;
    if (d < 1 || d > MATCH_DIM_MAX)
        return err_set(err, ERR_INVALID, "a search index of %d dimensions; 1 to %d can be", d,
                       MATCH_DIM_MAX);
    struct match_index *x = calloc(1, sizeof *x);
    if (x) x->view = view_new();
    const struct match__set none = {.tail = -1};
    if (x && x->view) {
        size_t rows = (size_t)CHUNK_BYTES / ((size_t)d * sizeof(float)) / MATCH__TILE * MATCH__TILE;
        rows = rows < MATCH__TILE ? MATCH__TILE : rows > CHUNK_ROWS_MAX ? CHUNK_ROWS_MAX : rows;
        const struct match__directory empty = {0};
        x->view->examples = x->view->centroids = none;
        x->view->examples.rows = x->view->centroids.rows = (int)rows;
        if (match__directory_copy(&x->view->directory, &empty)) {
            x->d = d;
            x->centroids = centroids;
            x->simd = match__simd_pick();
            pthread_mutex_init(&x->swap, NULL);
            *out = x;
            return ERR_OK;
        }
    }
    if (x) match__view_drop(x->view);
    free(x);
    return err_set(err, ERR_NOMEM, "no memory for a search index");
}

void match_index_free(struct match_index *x)
{
    if (!x) return;
    match__view_drop(x->view);
    match__centre_drop(x->centre);
    free(x->examples_at.slot);
    free(x->centroids_at.slot);
    pthread_mutex_destroy(&x->swap);
    free(x);
}

/* --- changes --- */

/* sum += every so manieth of the rows that there are and of those that come; returns how many. */
static size_t sample(double *sum, const struct match__set *s, const struct match__step *steps,
                     size_t n, size_t every, int d)
{
    size_t seen = 0, taken = 0;
    for (int i = 0; i < s->n; i++) {
        const struct match__block *b = s->block[i];
        for (int slot = 0; b && slot < b->used; slot++) {
            if (b->key[slot] == MATCH__NONE || seen++ % every) continue;
            const float *row = match__vector(b->chunk, slot);
            for (int j = 0; j < d; j++) sum[j] += (double)row[j];
            taken++;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!steps[i].vector || seen++ % every) continue;
        for (int j = 0; j < d; j++) sum[j] += (double)steps[i].vector[j];
        taken++;
    }
    return taken;
}

/* The centre of new chunks: the mean of a sample, made anew whenever there are twice as many rows.
 * Any centre is right; a good one makes the bounds close. Without memory the old one does. */
static void recentre(struct match_index *x, const struct match__step *steps, size_t n)
{
    size_t rows = x->view->examples.live;
    for (size_t i = 0; i < n; i++) rows += steps[i].vector != NULL;
    if (rows < CENTRE_ROWS_MIN || rows < 2 * x->centre_of) return;
    const size_t bytes = (size_t)x->d * sizeof(double);
    double *sum = calloc((size_t)x->d, sizeof *sum);
    struct match__centre *c = malloc(sizeof *c + (size_t)x->d * sizeof c->v[0]);
    if (!sum || !c) {
        free(sum);
        free(c);
        return;
    }
    const size_t taken = sample(sum, &x->view->examples, steps, n, rows / CENTRE_SAMPLES + 1, x->d);
    atomic_init(&c->refs, 1);
    for (int j = 0; j < x->d; j++) c->v[j] = (float)(sum[j] / (double)taken);
    match__centre_drop(x->centre);
    x->centre = c;
    x->centre_of = rows;
    explicit_bzero(sum, bytes);
    free(sum);
}

static bool make_steps(struct match__set *s, const struct match__change *c, struct match__edits *e,
                       const struct match__step *steps, size_t n)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        const struct match__step *p = &steps[i];
        if (p->there && !p->stays)
            ok = match__set_remove(s, c, e, p->at);
        else if (p->there && p->vector)
            ok = match__set_replace(s, c, e, p->at, p->identity, p->vector);
        else if (p->there)
            ok = match__set_move(s, c, e, p->at, p->identity);
        else if (p->stays)
            ok = match__set_append(s, c, e, p->example, p->identity, p->vector);
    }
    return ok && match__set_compact(s, c, e);
}

/* out: what match.h says of MATCH_CENTROID; sum [d] is scratch. */
static void centroid(float *out, double *sum, const struct match__set *s,
                     const struct match__entry *e, size_t n, int d)
{
    memcpy(out, match__row(s, e[0].at), (size_t)d * sizeof *out);
    if (n == 1) return;
    memset(sum, 0, (size_t)d * sizeof *sum);
    double square = 0;
    for (size_t i = 0; i < n; i++) {
        const float *row = match__row(s, e[i].at);
        for (int j = 0; j < d; j++) sum[j] += (double)row[j];
    }
    for (int j = 0; j < d; j++) square += sum[j] * sum[j];
    if (!(sqrt(square) > 1e-9 * (double)n)) return;
    for (int j = 0; j < d; j++) out[j] = (float)(sum[j] / sqrt(square));
}

/* edits: of the examples, sorted as match__directory_follow leaves them. */
static bool follow_centroids(const struct match_index *x, struct match__view *v,
                             const struct match__change *c, const struct match__edits *edits,
                             struct match__edits *e)
{
    bool ok = true;
    double *sum = malloc((size_t)x->d * (sizeof *sum + sizeof(float)));
    if (!sum) return false;
    float *mean = (float *)(void *)(sum + x->d);
    for (size_t i = 0, next; ok && i < edits->n; i = next) {
        const int64_t identity = edits->list[i].identity;
        bool quiet = true;
        for (next = i; next < edits->n && edits->list[next].identity == identity; next++)
            quiet = quiet && edits->list[next].quiet;
        if (quiet || identity == 0) continue;
        size_t n;
        const struct match__entry *own = match__directory_find(&v->directory, identity, &n);
        struct match__place at;
        const bool there = match__places_find(&x->centroids_at, identity, &at);
        if (n > 0) centroid(mean, sum, &v->examples, own, n, x->d);
        if (there)
            ok = n > 0 ? match__set_replace(&v->centroids, c, e, at, identity, mean)
                       : match__set_remove(&v->centroids, c, e, at);
        else if (n > 0)
            ok = match__set_append(&v->centroids, c, e, identity, identity, mean);
    }
    explicit_bzero(sum, (size_t)x->d * (sizeof *sum + sizeof(float)));
    free(sum);
    return ok && match__set_compact(&v->centroids, c, e);
}

/* Rows that a change wrote behind those of the current view before it failed. */
static void wipe_unused(struct match__set *s)
{
    if (s->tail < 0) return;
    const struct match__block *b = s->block[s->tail];
    for (int i = b->used; i < b->chunk->filled; i++) match__chunk_erase(b->chunk, i);
    b->chunk->filled = b->used;
}

enum err match_index_apply(struct match_index *x, const struct match_change *changes, size_t n,
                           struct err_info *err)
{
    struct match__step *steps;
    size_t n_steps;
    enum err rc = match__plan(&steps, &n_steps, x, changes, n, err);
    if (rc || n_steps == 0) return rc;
    recentre(x, steps, n_steps);
    const struct match__change c = {++x->changes, x->d, x->centre};
    struct match__edits examples = {0}, sorted = {0}, centroids = {0};
    struct match__view *v = view_copy(x->view);
    bool ok = v && make_steps(&v->examples, &c, &examples, steps, n_steps);
    free(steps);
    if (ok && examples.n > 0) {
        sorted.list = malloc(examples.n * sizeof *sorted.list);
        ok = sorted.list != NULL;
        sorted.n = ok ? examples.n : 0;
        if (ok) memcpy(sorted.list, examples.list, examples.n * sizeof *sorted.list);
    }
    ok = ok && match__directory_follow(&v->directory, &sorted, v->examples.live) &&
         (!x->centroids || follow_centroids(x, v, &c, &sorted, &centroids)) &&
         match__places_reserve(&x->examples_at, examples.n) &&
         match__places_reserve(&x->centroids_at, centroids.n);
    if (ok) {
        match__places_follow(&x->examples_at, &examples);
        match__places_follow(&x->centroids_at, &centroids);
        publish(x, v);
    } else {
        match__view_drop(v);
        wipe_unused(&x->view->examples);
        wipe_unused(&x->view->centroids);
        rc = err_set(err, ERR_NOMEM, "no memory for %zu changes of the search index", n);
    }
    free(examples.list);
    free(sorted.list);
    free(centroids.list);
    return rc;
}
