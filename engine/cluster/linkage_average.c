/* Average linkage without a matrix of distances. The mean similarity of two clusters of unit
 * vectors is the product of their mean vectors (its sum over pairs is the product of their sums),
 * so a cluster is its mean, and the nearest neighbours of many clusters are one block of products.
 *
 * Merging every pair of clusters that are each other's nearest gives the tree of merging one at a
 * time, because average linkage is reducible (Bruynooghe 1977, Murtagh 1983): merging two never
 * brings the result nearer to a third than the nearer of them was. For the same reason
 *   - a neighbour stays right until it is itself merged,
 *   - the similarity to it, once it is merged, is an upper bound of what is left ("stale"),
 *   - a forbidden pair, taken as infinitely far, keeps all this true.
 * Rounds: find the neighbours of what is stale, merge the mutual pairs. While that is cheap all
 * stale clusters are looked up at once. Beyond WORK sweeps of everything only those that some
 * cluster points to, the nearest-neighbour chain, or else the most promising: the worst case of
 * looking up everything is cubic (one hub that all others are nearest to). */
#include "engine/cluster/linkage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

static const double WORK = 3; /* sweeps of all against all */
enum { FEW = 128 };           /* looked up at once when it is dear: one block of rows */

enum state { DEAD, STALE, EXACT };

struct slot {
    enum state state;
    float similarity; /* EXACT: of its neighbour; STALE: nothing is nearer */
    uint32_t nearest; /* slot; NONE: nothing at or above the cut */
    uint32_t node;    /* a row, or n + merge */
    uint32_t size;
    uint32_t lead; /* its first row: orders what is equally similar */
    struct cluster__numbers apart;
    uint32_t *own; /* apart.at where it was allocated */
};
static const uint32_t NONE = UINT32_MAX;

struct cluster__average {
    size_t n, slots;
    struct cluster__panels means;
    struct slot *slot;
    uint32_t *wanted, *pointed, *move; /* [slots] scratch */
    float *row;                        /* [2][d] scratch */
    struct cluster__merges merges;
    const struct cluster__constraints *constraints;
    const struct cluster__kernels *kernels;
    bool led; /* rows that must be together are */
    size_t alive;
    float cut;
    double work;
};

size_t cluster__average_bytes(size_t n, int d, const struct cores *cores)
{
    const size_t panels = cluster__panels_bytes(n, d);
    const size_t each =
        sizeof(struct slot) + 3 * sizeof(uint32_t) + 2 * sizeof(struct cluster_merge) + 32;
    return panels > SIZE_MAX / 2 ? SIZE_MAX : panels + n * each + cluster__sweep_bytes(d, cores);
}

enum err cluster__average_new(struct cluster__average **out, const float *x, size_t n, int d,
                              const struct cluster__constraints *c, struct err_info *err)
{
    struct cluster__average *a = calloc(1, sizeof *a);
    enum err rc;

    if (!a) return err_set(err, ERR_NOMEM, "no memory for linkage");
    a->n = a->slots = a->alive = n;
    a->constraints = c;
    a->kernels = cluster__kernels();
    if ((rc = cluster__panels_fill(&a->means, x, n, d, true, err))) goto fail;
    a->slot = calloc(n, sizeof *a->slot);
    a->wanted = calloc(n, sizeof *a->wanted);
    a->pointed = calloc(n, sizeof *a->pointed);
    a->move = calloc(n, sizeof *a->move);
    a->row = calloc(2 * (size_t)d, sizeof *a->row);
    a->merges.at = calloc(n, sizeof *a->merges.at);
    if (!a->slot || !a->wanted || !a->pointed || !a->move || !a->row || !a->merges.at) {
        rc = err_set(err, ERR_NOMEM, "no memory for the linkage of %zu rows", n);
        goto fail;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t row = (uint32_t)i;
        a->slot[i] =
            (struct slot){STALE, INFINITY, NONE, row, 1, row, cluster__numbers_of(c, i), NULL};
    }
    *out = a;
    return ERR_OK;
fail:
    cluster__average_free(a);
    return rc;
}

void cluster__average_free(struct cluster__average *a)
{
    if (!a) return;
    for (size_t i = 0; a->slot && i < a->slots; i++) free(a->slot[i].own);
    cluster__panels_release(&a->means);
    free(a->slot);
    free(a->wanted);
    free(a->pointed);
    free(a->move);
    free(a->row);
    free(a->merges.at);
    free(a);
}

const struct cluster__merges *cluster__average_merges(const struct cluster__average *a)
{
    return &a->merges;
}

static uint32_t *joined(struct cluster__numbers *out, struct cluster__numbers a,
                        struct cluster__numbers b)
{
    uint32_t *to = malloc((a.n + b.n) * sizeof *to);
    size_t n = 0;

    if (!to) return NULL;
    for (size_t i = 0, j = 0; i < a.n || j < b.n; n++) {
        if (j == b.n || (i < a.n && a.at[i] < b.at[j])) {
            to[n] = a.at[i++];
        } else {
            if (i < a.n && a.at[i] == b.at[j]) i++;
            to[n] = b.at[j++];
        }
    }
    *out = (struct cluster__numbers){to, n};
    return to;
}

/* Slot i becomes i and j. */
static enum err merge(struct cluster__average *a, uint32_t i, uint32_t j, float similarity,
                      struct err_info *err)
{
    struct slot *p = a->slot + i, *q = a->slot + j;
    const int d = a->means.d;
    const double all = (double)p->size + q->size;
    float *v = a->row, *w = a->row + d;

    if (p->apart.n + q->apart.n) {
        struct cluster__numbers both;
        uint32_t *own = joined(&both, p->apart, q->apart);
        if (!own) return err_set(err, ERR_NOMEM, "no memory for the constraints of a cluster");
        free(p->own);
        free(q->own);
        p->apart = both;
        p->own = own;
        q->own = NULL;
    }
    cluster__panels_get(v, &a->means, i);
    cluster__panels_get(w, &a->means, j);
    for (int k = 0; k < d; k++)
        v[k] = (float)(((double)v[k] * p->size + (double)w[k] * q->size) / all);
    cluster__panels_set(&a->means, i, v, 1);
    const float distance = similarity > 1 ? 0 : 1 - similarity;
    a->merges.at[a->merges.n] =
        (struct cluster_merge){p->node, q->node, distance, p->size + q->size};
    p->node = (uint32_t)(a->n + a->merges.n++);
    p->size += q->size;
    if (q->lead < p->lead) p->lead = q->lead;
    p->state = STALE;
    p->similarity = similarity;
    p->nearest = NONE;
    q->state = DEAD;
    a->alive--;
    return ERR_OK;
}

/* Takes out what is dead, in place, so that sweeps get shorter. */
static void compact(struct cluster__average *a)
{
    size_t to = 0;

    for (size_t i = 0; i < a->slots; i++) {
        a->move[i] = NONE;
        if (a->slot[i].state == DEAD) continue;
        a->move[i] = (uint32_t)to;
        if (to != i) {
            cluster__panels_get(a->row, &a->means, i);
            cluster__panels_set(&a->means, to, a->row, 1);
            a->slot[to] = a->slot[i];
            a->slot[i].own = NULL;
        }
        to++;
    }
    memset(a->row, 0, (size_t)a->means.d * sizeof *a->row);
    for (size_t i = to; i < a->slots; i++) cluster__panels_set(&a->means, i, a->row, 1);
    a->slots = to;
    a->means.n = to;
    for (size_t i = 0; i < to; i++) {
        struct slot *s = a->slot + i;
        if (s->nearest != NONE) s->nearest = a->move[s->nearest];
    }
}

/* Of two candidates as similar to row as each other, the one whose pair comes first. */
static bool comes_before(const struct cluster__average *a, uint32_t row, uint32_t p, uint32_t q)
{
    const uint32_t r = a->slot[row].lead;
    uint32_t l[2] = {a->slot[p].lead, a->slot[q].lead}, low[2], high[2];

    for (int k = 0; k < 2; k++) {
        low[k] = r < l[k] ? r : l[k];
        high[k] = r < l[k] ? l[k] : r;
    }
    return low[0] != low[1] ? low[0] < low[1] : high[0] < high[1];
}

static void look(void *self, const struct cluster__tile *t)
{
    struct cluster__average *a = self;

    for (int r = 0; r < t->rows; r++) {
        const uint32_t i = a->wanted[t->first + (size_t)r];
        struct slot *me = a->slot + i;
        const float *s = t->s + (size_t)r * DOTS_COLS;
        float best = me->nearest == NONE ? a->cut : me->similarity;
        for (int c = a->kernels->at_least(s, 0, t->cols, best); c < t->cols;
             c = a->kernels->at_least(s, c + 1, t->cols, best)) {
            const uint32_t j = (uint32_t)(t->col + (size_t)c);
            const struct slot *other = a->slot + j;
            if (j == i || other->state == DEAD) continue;
            if (s[c] == best && me->nearest != NONE && !comes_before(a, i, j, me->nearest))
                continue;
            if (cluster__numbers_meet(me->apart, other->apart)) continue;
            me->nearest = j;
            me->similarity = best = s[c];
        }
    }
}

/* The nearest allowed neighbour of each wanted cluster. */
static enum err look_up(struct cluster__average *a, size_t wanted, const struct cluster__job *job,
                        struct err_info *err)
{
    const struct cluster__sweep w = {&a->means, &a->means, a->wanted, wanted, look, NULL, a};
    enum err rc;

    for (size_t i = 0; i < wanted; i++) a->slot[a->wanted[i]].nearest = NONE;
    if ((rc = cluster__sweep(&w, job, "merging", err))) return rc;
    for (size_t i = 0; i < wanted; i++) a->slot[a->wanted[i]].state = EXACT;
    a->work += (double)wanted * (double)a->slots;
    return ERR_OK;
}

/* The FEW stale slots of greatest bound, in order of slots. */
static size_t most_promising(struct cluster__average *a)
{
    float bound[FEW];
    uint32_t at[FEW];
    size_t n = 0;

    for (uint32_t i = 0; i < a->slots; i++) {
        const float b = a->slot[i].similarity;
        if (a->slot[i].state != STALE || (n == FEW && b <= bound[n - 1])) continue;
        size_t k = n < FEW ? n++ : n - 1;
        for (; k && bound[k - 1] < b; k--) {
            bound[k] = bound[k - 1];
            at[k] = at[k - 1];
        }
        bound[k] = b;
        at[k] = i;
    }
    memcpy(a->wanted, at, n * sizeof *at);
    return n;
}

/* Which stale clusters to look up now. */
static size_t choose(struct cluster__average *a)
{
    const bool cheap = a->work < WORK * (double)a->n * (double)a->n;
    size_t stale = 0, pointed = 0;

    memset(a->pointed, 0, a->slots * sizeof *a->pointed);
    for (uint32_t i = 0; i < a->slots; i++) {
        struct slot *s = a->slot + i;
        if (s->state == STALE && s->similarity < a->cut) {
            s->state = EXACT;
            s->nearest = NONE;
        }
        if (s->state == STALE) a->wanted[stale++] = i;
        if (s->state == EXACT && s->nearest != NONE) a->pointed[s->nearest] = 1;
    }
    if (cheap || stale <= FEW) return stale;
    for (size_t k = 0; k < stale; k++) {
        if (a->pointed[a->wanted[k]]) a->wanted[pointed++] = a->wanted[k];
    }
    return pointed ? pointed : most_promising(a);
}

/* Merges the pairs that are each other's nearest. */
static enum err merge_mutual(struct cluster__average *a, size_t *merged, struct err_info *err)
{
    enum err rc;

    *merged = 0;
    memset(a->pointed, 0, a->slots * sizeof *a->pointed); /* here: was merged */
    for (uint32_t i = 0; i < a->slots; i++) {
        const struct slot *p = a->slot + i;
        const uint32_t j = p->nearest;
        if (p->state != EXACT || j == NONE || j < i) continue;
        if (a->slot[j].state != EXACT || a->slot[j].nearest != i) continue;
        if ((rc = merge(a, i, j, p->similarity, err))) return rc;
        a->pointed[i] = a->pointed[j] = 1;
        ++*merged;
    }
    for (uint32_t i = 0; *merged && i < a->slots; i++) {
        struct slot *s = a->slot + i;
        if (s->state == EXACT && s->nearest != NONE && a->pointed[s->nearest]) s->state = STALE;
    }
    return ERR_OK;
}

static enum err merge_led(struct cluster__average *a, struct err_info *err)
{
    const uint32_t *leader = a->constraints->leader;
    enum err rc;

    a->led = true;
    for (uint32_t i = 0; leader && i < a->n; i++) {
        if (leader[i] != i && (rc = merge(a, leader[i], i, 1, err))) return rc;
    }
    for (size_t i = 0; i < a->slots; i++) a->slot[i].similarity = INFINITY;
    return ERR_OK;
}

enum err cluster__average_to(struct cluster__average *a, float cut, const struct cluster__job *job,
                             struct err_info *err)
{
    size_t merged;
    bool again = false; /* everything was looked up anew, and no pair was mutual */
    enum err rc;

    if (!a->led && (rc = merge_led(a, err))) return rc;
    a->cut = cut;
    a->work = 0;
    for (size_t i = 0; i < a->slots; i++) {
        struct slot *s = a->slot + i;
        if (s->state == EXACT) {
            s->state = STALE;
            s->similarity = INFINITY;
        }
    }
    for (;;) {
        const size_t wanted = choose(a);
        if (wanted && (rc = look_up(a, wanted, job, err))) return rc;
        if ((rc = merge_mutual(a, &merged, err))) return rc;
        if (merged) {
            again = false;
            if (a->alive < a->slots - a->slots / 4) compact(a);
            if ((rc = cluster__tell(job, "merging", a->n - a->alive, a->n, err))) return rc;
            continue;
        }
        if (wanted) continue;
        /* Nothing is stale. Equal similarities may have made a ring of neighbours that were found
         * in different rounds; found in one they cannot. */
        bool any = false;
        for (size_t i = 0; i < a->slots; i++) {
            struct slot *s = a->slot + i;
            if (s->state != EXACT || s->nearest == NONE) continue;
            any = true;
            s->state = STALE;
            s->similarity = INFINITY;
        }
        if (!any || again) return ERR_OK;
        again = true;
    }
}
