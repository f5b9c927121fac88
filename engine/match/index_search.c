/* The searches of match.h: what is asked is checked, cut into passes, and answered. */
#include "engine/match/index_internal.h"

#include <math.h>

static enum err check_top(int top, struct err_info *err)
{
    if (top >= 1 && top <= MATCH_TOP_MAX) return ERR_OK;
    return err_set(err, ERR_INVALID, "a search for the %d best; 1 to %d can be asked for", top,
                   MATCH_TOP_MAX);
}

static enum err check_vectors(const float *vectors, size_t n, int d, struct err_info *err)
{
    for (size_t i = 0; i < n; i++)
        if (!match__unit(vectors + i * (size_t)d, d))
            return err_set(err, ERR_INVALID, "vector %zu is not of unit length within 1 %%", i);
    return ERR_OK;
}

static enum err check(const struct match_index *x, const struct match_query *q,
                      struct err_info *err)
{
    enum err rc = check_top(q->top, err);
    if (rc) return rc;
    if (q->rule != MATCH_MAX && q->rule != MATCH_MEAN_TOP && q->rule != MATCH_CENTROID)
        return err_set(err, ERR_INVALID, "rule %d; there are 0 to 2", (int)q->rule);
    if (q->rule == MATCH_MEAN_TOP && (q->m < 1 || q->m > MATCH_TOP_MAX))
        return err_set(err, ERR_INVALID, "the mean of the %d best examples; 1 to %d can be", q->m,
                       MATCH_TOP_MAX);
    if (q->rule == MATCH_CENTROID && !x->centroids)
        return err_set(err, ERR_INVALID, "this search index keeps no centroids");
    for (size_t i = 1; q->allowed && i < q->n_allowed; i++)
        if (q->allowed[i - 1] > q->allowed[i])
            return err_set(err, ERR_INVALID, "the allowed identities are not in ascending order");
    return check_vectors(q->vectors, q->n, x->d, err);
}

/* Takes the answer to vector i. */
typedef void taker(void *to, const struct match__pass *p, size_t i, const struct match__top *t);

/* p for all of its n vectors, a batch at a time. */
static enum err passes(struct match__pass *p, size_t n, taker *take, void *to,
                       struct match_cost *cost, const struct cores *cores, struct err_info *err)
{
    struct match_cost spent = {.scanned = p->set->live, .exact = true};
    const float *vectors = p->vectors;
    const size_t batch = n < MATCH_BATCH_MAX ? n : MATCH_BATCH_MAX;
    struct match__top *found = calloc(batch ? batch : 1, sizeof *found);
    enum err rc = found ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a search");
    for (size_t i = 0; i < n && !rc; i += batch) {
        p->n = (int)(n - i < batch ? n - i : batch);
        p->vectors = vectors + i * (size_t)p->d;
        rc = match__pass_run(p, found, &spent, cores, err);
        for (int j = 0; j < p->n && !rc; j++) take(to, p, i + (size_t)j, &found[j]);
    }
    free(found);
    if (cost) *cost = spent;
    return rc;
}

/* --- identities --- */

struct answer {
    const struct match_query *query;
    struct match_candidate *out;
    int *counts;
};

/* What a pass over centroids does not know. */
static void find_best(const struct match__view *v, const float *query, int d,
                      const struct match__entry *e, struct match_candidate *c)
{
    c->example_similarity = -INFINITY;
    for (size_t i = 0; i < c->examples; i++) {
        double s = match__dot(query, match__row(&v->examples, e[i].at), d);
        if (s > c->example_similarity) c->example_similarity = s, c->example = e[i].example;
    }
}

static void take_candidates(void *to, const struct match__pass *p, size_t i,
                            const struct match__top *t)
{
    const struct answer *a = to;
    const float *query = a->query->vectors + i * (size_t)p->d;
    for (int j = 0; j < t->n; j++) {
        const struct match__found *f = &t->found[j];
        struct match_candidate c = {f->key, f->score, f->other, f->other_score, 0};
        const struct match__entry *e =
            match__directory_find(&p->view->directory, f->key, &c.examples);
        if (a->query->rule == MATCH_CENTROID) find_best(p->view, query, p->d, e, &c);
        a->out[i * (size_t)a->query->top + (size_t)j] = c;
    }
    a->counts[i] = t->n;
}

enum err match_index_search(struct match_index *x, const struct match_query *q,
                            struct match_candidate *out, int *counts, struct match_cost *cost,
                            const struct cores *cores, struct err_info *err)
{
    enum err rc = check(x, q, err);
    if (rc) return rc;
    struct match__view *v = match__view_take(x);
    struct match__pass p = {
        .view = v,
        .set = q->rule == MATCH_CENTROID ? &v->centroids : &v->examples,
        .want = q->rule == MATCH_MEAN_TOP ? MATCH__MEANS : MATCH__IDENTITIES,
        .vectors = q->vectors,
        .d = x->d,
        .simd = x->simd,
        .top = q->top,
        .m = q->m,
        .allowed = q->allowed,
        .n_allowed = q->n_allowed,
    };
    struct answer a = {q, out, counts};
    rc = passes(&p, q->n, take_candidates, &a, cost, cores, err);
    match__view_drop(v);
    return rc;
}

/* --- examples --- */

struct neighbours {
    struct match_row *out;
    int *counts;
};

static void take_rows(void *to, const struct match__pass *p, size_t i, const struct match__top *t)
{
    const struct neighbours *a = to;
    for (int j = 0; j < t->n; j++)
        a->out[i * (size_t)p->top + (size_t)j] =
            (struct match_row){t->found[j].key, t->found[j].other, t->found[j].score};
    a->counts[i] = t->n;
}

enum err match_index_nearest(struct match_index *x, const float *vectors, size_t n, int top,
                             struct match_row *out, int *counts, struct match_cost *cost,
                             const struct cores *cores, struct err_info *err)
{
    enum err rc = check_top(top, err);
    if (!rc) rc = check_vectors(vectors, n, x->d, err);
    if (rc) return rc;
    struct match__view *v = match__view_take(x);
    struct match__pass p = {.view = v,
                            .set = &v->examples,
                            .want = MATCH__EXAMPLES,
                            .vectors = vectors,
                            .d = x->d,
                            .simd = x->simd,
                            .top = top};
    struct neighbours a = {out, counts};
    rc = passes(&p, n, take_rows, &a, cost, cores, err);
    match__view_drop(v);
    return rc;
}
