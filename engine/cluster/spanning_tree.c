/* The spanning tree under HDBSCAN, exact and without a matrix: Boruvka's rounds over blocks of
 * products. Everything is a similarity here, so that the tree sought is the one of maximum weight,
 * and the mutual reachability of a and b is min(a.b, core a, core b) (Campello, Moulavi & Sander
 * 2013, definition 6, turned around).
 *
 * Each row keeps the best partner it knows outside its component. Components only grow, so while
 * that partner is outside it is exact; once it is inside, what it reached is an upper bound. Before
 * the first sweep the bound comes from each row's nearest neighbours: what is not on that list is
 * no nearer than its end. A round looks up only the rows whose bound could still beat the best edge
 * of their component. */
#include "engine/cluster/density.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/neighbours.h"
#include "engine/cluster/union_find.h"

enum { LIST_MIN = 16 };
static const uint32_t NONE = UINT32_MAX;

struct boruvka {
    const struct cluster__panels *p;
    const struct cluster__kernels *kernels;
    size_t n;
    int list;                   /* length of the lists */
    struct cluster__edge *near; /* [n][list] */
    float *core;                /* [n] */
    _Atomic uint32_t *up;       /* [n] */
    uint32_t *component;        /* [n] its root, of this round */
    uint32_t *partner;          /* [n] best outside, NONE: unknown */
    float *reach;               /* [n] of partner; NONE: upper bound of what is outside */
    struct cluster__link *best; /* [n] by component */
    uint32_t *wanted;           /* [n] */
    struct cluster__link *tree;
    size_t edges;
};

static int list_length(size_t n, int min_points)
{
    const int length = min_points - 1 > LIST_MIN ? min_points - 1 : LIST_MIN;
    return (size_t)length < n ? length : (int)n - 1;
}

size_t cluster__hdbscan_bytes(size_t n, int d, int min_points, const struct cores *cores)
{
    const size_t panels = cluster__panels_bytes(n, d);
    const size_t each = (size_t)list_length(n, min_points) * sizeof(struct cluster__edge) +
                        6 * sizeof(uint32_t) + 2 * sizeof(struct cluster__link);
    size_t lists;
    if (panels > SIZE_MAX / 4 || !mul_ok(&lists, n, each) || lists > SIZE_MAX / 4) return SIZE_MAX;
    /* The tree of clusters afterwards takes less than the lists did. */
    return panels + lists + cluster__sweep_bytes(d, cores);
}

static float least_of(float a, float b, float c)
{
    const float m = a < b ? a : b;
    return m < c ? m : c;
}

/* The best of row i's list that is outside; what is not listed is bounded by the list's end. */
static void from_list(struct boruvka *b, uint32_t i)
{
    const struct cluster__edge *e = b->near + (size_t)i * (size_t)b->list;
    const float end =
        e[b->list - 1].similarity < b->core[i] ? e[b->list - 1].similarity : b->core[i];
    float most = -INFINITY;
    uint32_t at = NONE;

    for (int k = 0; k < b->list; k++) {
        if (b->component[e[k].row] == b->component[i]) continue;
        const float m = least_of(e[k].similarity, b->core[i], b->core[e[k].row]);
        if (m > most) {
            most = m;
            at = e[k].row;
        }
    }
    if (at != NONE && most >= end) { /* nothing that is not listed can be better */
        b->partner[i] = at;
        b->reach[i] = most;
    } else {
        b->partner[i] = NONE;
        if (end < b->reach[i]) b->reach[i] = end;
        /* The listed one is an edge all the same: it may turn out to be enough. */
        struct cluster__link *best = b->best + b->component[i];
        if (at != NONE && most > best->similarity) *best = (struct cluster__link){i, at, most};
    }
}

static void offer(struct boruvka *b, uint32_t i)
{
    struct cluster__link *best = b->best + b->component[i];
    if (b->partner[i] != NONE && b->reach[i] > best->similarity)
        *best = (struct cluster__link){i, b->partner[i], b->reach[i]};
}

static void look(void *self, const struct cluster__tile *t)
{
    struct boruvka *b = self;

    for (int r = 0; r < t->rows; r++) {
        const uint32_t i = b->wanted[t->first + (size_t)r];
        const float *s = t->s + (size_t)r * DOTS_COLS;
        float best = b->partner[i] == NONE ? -3 : b->reach[i];
        if (best >= b->core[i]) continue;
        for (int c = b->kernels->at_least(s, 0, t->cols, best); c < t->cols;
             c = b->kernels->at_least(s, c + 1, t->cols, best)) {
            const size_t j = t->col + (size_t)c;
            if (b->component[j] == b->component[i]) continue;
            const float m = least_of(s[c], b->core[i], b->core[j]);
            if (m <= best) continue;
            best = m;
            b->partner[i] = (uint32_t)j;
            b->reach[i] = m;
            if (best >= b->core[i]) break;
        }
    }
}

static int by_falling(const void *pa, const void *pb)
{
    const struct cluster__link *a = pa, *b = pb;
    if (a->similarity != b->similarity) return a->similarity > b->similarity ? -1 : 1;
    if (a->a != b->a) return a->a < b->a ? -1 : 1;
    return a->b < b->b ? -1 : a->b > b->b;
}

/* Adds the best edge of each component, most similar first. Where two components chose different
 * edges of one weight the second may close a circle: it is left out, and the tree is as heavy. */
static void contract(struct boruvka *b)
{
    struct cluster__link *chosen = b->best; /* packed in place */
    size_t m = 0;

    for (uint32_t i = 0; i < b->n; i++) {
        if (b->component[i] == i && b->best[i].a != NONE) chosen[m++] = b->best[i];
    }
    qsort(chosen, m, sizeof *chosen, by_falling);
    for (size_t k = 0; k < m; k++) {
        if (cluster__unite(b->up, chosen[k].a, chosen[k].b)) b->tree[b->edges++] = chosen[k];
    }
}

static enum err round_of(struct boruvka *b, const struct cluster__job *job, struct err_info *err)
{
    const struct cluster__sweep w = {b->p, b->p, b->wanted, 0, look, NULL, b};
    struct cluster__sweep sweep = w;
    enum err rc;

    for (uint32_t i = 0; i < b->n; i++) {
        b->component[i] = cluster__find(b->up, i);
        b->best[i] = (struct cluster__link){NONE, NONE, -INFINITY};
    }
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->partner[i] == NONE || b->component[b->partner[i]] == b->component[i])
            from_list(b, i);
        offer(b, i);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->partner[i] == NONE && b->reach[i] > b->best[b->component[i]].similarity)
            b->wanted[sweep.n_rows++] = i;
    }
    if (sweep.n_rows && (rc = cluster__sweep(&sweep, job, "spanning tree", err))) return rc;
    for (size_t k = 0; k < sweep.n_rows; k++) offer(b, b->wanted[k]);
    contract(b);
    return ERR_OK;
}

static enum err grow(struct boruvka *b, const struct cluster__job *job, struct err_info *err)
{
    enum err rc;

    for (size_t i = 0; i < b->n; i++) {
        atomic_init(b->up + i, (uint32_t)i);
        b->partner[i] = NONE;
        b->reach[i] = INFINITY;
    }
    while (b->edges < b->n - 1) {
        if ((rc = round_of(b, job, err))) return rc;
    }
    qsort(b->tree, b->edges, sizeof *b->tree, by_falling);
    return ERR_OK;
}

enum err cluster__spanning_tree(struct cluster__link *out, const struct cluster__panels *p,
                                int min_points, const struct cluster__job *job,
                                struct err_info *err)
{
    const size_t n = p->n;
    const int list = list_length(n, min_points);
    struct boruvka b = {.p = p, .kernels = cluster__kernels(), .n = n, .list = list, .tree = out};
    struct cluster__edge *near AUTO_FREE = calloc(n * (size_t)list + 1, sizeof *near);
    float *core AUTO_FREE = calloc(n, sizeof *core);
    _Atomic uint32_t *up AUTO_FREE = calloc(n, sizeof *up);
    uint32_t *component AUTO_FREE = calloc(n, sizeof *component);
    uint32_t *partner AUTO_FREE = calloc(n, sizeof *partner);
    float *reach AUTO_FREE = calloc(n, sizeof *reach);
    struct cluster__link *best AUTO_FREE = calloc(n, sizeof *best);
    uint32_t *wanted AUTO_FREE = calloc(n, sizeof *wanted);
    enum err rc;

    if (!near || !core || !up || !component || !partner || !reach || !best || !wanted)
        return err_set(err, ERR_NOMEM, "no memory for the spanning tree of %zu rows", n);
    if (n < 2) return ERR_OK;
    if ((rc = cluster__nearest(near, p, list, job, err))) return rc;
    for (size_t i = 0; i < n; i++)
        core[i] = min_points > 1 ? near[i * (size_t)list + (size_t)min_points - 2].similarity : 1;
    b.near = near;
    b.core = core;
    b.up = up;
    b.component = component;
    b.partner = partner;
    b.reach = reach;
    b.best = best;
    b.wanted = wanted;
    return grow(&b, job, err);
}
