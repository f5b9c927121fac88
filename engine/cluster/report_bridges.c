/* Bridges: members that chain two groups. In the graph of a cluster's pairs at or above the cut, a
 * member without which it falls apart (an articulation point; Hopcroft & Tarjan 1973) with two or
 * more members on each of two sides. The graph of one cluster is a bit matrix, so clusters over
 * MEMBERS_MAX are not looked at. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/report.h"

enum { MEMBERS_MIN = 5, MEMBERS_MAX = 8192, BITS = 64 };

struct near { /* the graph of one cluster, over its members' places */
    size_t n, words;
    uint64_t *bits; /* [n][words] */
    const struct cluster__kernels *kernels;
    float cut;
};

struct visit {                         /* of the depth-first search */
    uint32_t parent, order, low, size; /* size: of the tree below it */
    uint32_t next;                     /* place to try next */
    uint32_t cut_off;                  /* size of all the parts that hang on it alone */
    uint32_t largest[2];               /* of these parts */
    uint32_t part[2];                  /* the child that each begins with */
};

static void link_tile(void *self, const struct cluster__tile *t)
{
    struct near *g = self;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        const size_t row = t->first + (size_t)r;
        for (int c = g->kernels->at_least(s, 0, t->cols, g->cut); c < t->cols;
             c = g->kernels->at_least(s, c + 1, t->cols, g->cut)) {
            const size_t column = t->col + (size_t)c;
            if (column != row) g->bits[row * g->words + column / BITS] |= 1ull << column % BITS;
        }
    }
}

/* The first neighbour of i at or past from; n when there is none. */
static uint32_t neighbour(const struct near *g, uint32_t i, uint32_t from)
{
    const uint64_t *row = g->bits + (size_t)i * g->words;
    size_t word = from / BITS;

    if (from >= g->n) return (uint32_t)g->n;
    uint64_t w = row[word] & (~0ull << from % BITS);
    while (!w) {
        if (++word == g->words) return (uint32_t)g->n;
        w = row[word];
    }
    return (uint32_t)(word * BITS) + (uint32_t)__builtin_ctzll(w);
}

static void add_part(struct visit *v, uint32_t size, uint32_t child)
{
    v->cut_off += size;
    if (size > v->largest[0]) {
        v->largest[1] = v->largest[0];
        v->part[1] = v->part[0];
        v->largest[0] = size;
        v->part[0] = child;
    } else if (size > v->largest[1]) {
        v->largest[1] = size;
        v->part[1] = child;
    }
}

/* A tree of the search, from root; returns how many it reached. order counts on from *count. */
static uint32_t search(const struct near *g, struct visit *v, uint32_t root, uint32_t *count)
{
    const uint32_t none = (uint32_t)g->n;
    uint32_t at = root;

    v[root] = (struct visit){.parent = none, .order = ++*count, .low = *count, .size = 1};
    while (at != none) {
        struct visit *me = v + at;
        const uint32_t to = neighbour(g, at, me->next);
        if (to < none) {
            me->next = to + 1;
            if (!v[to].order) {
                v[to] = (struct visit){.parent = at, .order = ++*count, .low = *count, .size = 1};
                at = to;
            } else if (to != me->parent && v[to].order < me->low) {
                me->low = v[to].order;
            }
            continue;
        }
        if (me->parent != none) {
            struct visit *up = v + me->parent;
            up->size += me->size;
            if (me->low < up->low) up->low = me->low;
            if (me->low >= up->order) add_part(up, me->size, at);
        }
        at = me->parent;
    }
    return v[root].size;
}

/* The part of place i that is not below it, where it is not the root. */
static void add_rest(struct visit *v, uint32_t i, uint32_t reached, uint32_t none)
{
    if (v[i].parent != none) add_part(v + i, reached - 1 - v[i].cut_off, none);
}

/* The part of each place, by its order: the child of the bridge that it hangs on, none for the
 * rest. What is below a place has the orders that follow its own. */
static void name_parts(uint32_t *part, const struct visit *v, size_t n, uint32_t bridge)
{
    for (size_t i = 0; i <= n; i++) part[i] = (uint32_t)n;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].parent != bridge || v[i].low < v[bridge].order) continue;
        for (uint32_t k = 0; k < v[i].size; k++) part[v[i].order + k] = i;
    }
}

/* Mean similarity between the two largest parts. sum: [3][d] scratch. */
static double between(const struct cluster__view *view, const struct visit *v, const uint32_t *part,
                      const uint32_t *member, size_t n, uint32_t bridge, const struct visit *root,
                      double *sum)
{
    const size_t d = (size_t)view->points->d;
    double *row = sum + 2 * d, total = 0, count[2] = {0, 0};

    memset(sum, 0, 2 * d * sizeof *sum);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t order = v[i].order;
        if (i == bridge || order < root->order || order >= root->order + root->size) continue;
        for (size_t k = 0; k < 2; k++) {
            if (part[order] != v[bridge].part[k]) continue;
            cluster__point(row, view->points, member[i]);
            for (size_t j = 0; j < d; j++) sum[k * d + j] += row[j];
            count[k]++;
        }
    }
    for (size_t j = 0; j < d; j++) total += sum[j] * sum[d + j];
    return total / (count[0] * count[1]);
}

static int by_lesser_part(const void *pa, const void *pb)
{
    const struct cluster_bridge *a = pa, *b = pb;
    if (a->sizes[1] != b->sizes[1]) return a->sizes[1] > b->sizes[1] ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static enum err keep(struct cluster__view *view, struct cluster_bridge bridge, struct err_info *err)
{
    struct cluster_report *r = view->report;
    const size_t max = view->options->bridges_max;

    r->bridges_found++;
    if (!max) return ERR_OK;
    if (!r->bridges) r->bridges = calloc(2 * max, sizeof *r->bridges);
    if (!r->bridges) return err_set(err, ERR_NOMEM, "no memory for %zu bridges", max);
    r->bridges[r->n_bridges++] = bridge;
    if (r->n_bridges == 2 * max) {
        qsort(r->bridges, r->n_bridges, sizeof *r->bridges, by_lesser_part);
        r->n_bridges = max;
    }
    return ERR_OK;
}

static enum err find_bridges(struct cluster__view *view, int cluster, const struct near *g,
                             struct err_info *err)
{
    const uint32_t *member = view->report->members + view->report->first[cluster];
    struct visit *v AUTO_FREE = calloc(g->n, sizeof *v);
    uint32_t *root AUTO_FREE = calloc(g->n, sizeof *root); /* by order */
    uint32_t *part AUTO_FREE = calloc(g->n + 1, sizeof *part);
    double *sum AUTO_FREE = calloc(3 * (size_t)view->points->d, sizeof *sum);
    uint32_t count = 0;
    enum err rc;

    if (!v || !root || !part || !sum)
        return err_set(err, ERR_NOMEM, "no memory for a graph of %zu", g->n);
    for (uint32_t i = 0; i < g->n; i++) {
        if (v[i].order) continue;
        const uint32_t before = count, reached = search(g, v, i, &count);
        for (uint32_t k = 0; k < reached; k++) root[before + k] = i;
    }
    for (uint32_t i = 0; i < g->n; i++) {
        const struct visit *top = v + root[v[i].order - 1];
        add_rest(v, i, top->size, (uint32_t)g->n);
        if (v[i].largest[1] < 2) continue;
        name_parts(part, v, g->n, i);
        const struct cluster_bridge bridge = {member[i],
                                              cluster,
                                              {v[i].largest[0], v[i].largest[1]},
                                              between(view, v, part, member, g->n, i, top, sum)};
        if ((rc = keep(view, bridge, err))) return rc;
    }
    return ERR_OK;
}

static enum err look_in(struct cluster__view *view, int cluster, float cut, struct err_info *err)
{
    const struct cluster_report *r = view->report;
    const size_t n = r->clusters[cluster].size, words = (n + BITS - 1) / BITS;
    const uint32_t *member = r->members + r->first[cluster];
    struct cluster__panels p = CLUSTER__PANELS_INIT;
    uint64_t *bits AUTO_FREE = calloc(n * words, sizeof *bits);
    float *row AUTO_FREE = calloc((size_t)view->points->d, sizeof *row);
    struct near g = {n, words, bits, cluster__kernels(), cut};
    const struct cluster__sweep w = {&p, &p, NULL, n, link_tile, NULL, &g};
    enum err rc;

    if (!bits || !row) return err_set(err, ERR_NOMEM, "no memory for a graph of %zu", n);
    if ((rc = cluster__panels_init(&p, n, view->points->d, err))) return rc;
    for (size_t i = 0; i < n; i++) {
        cluster__panels_get(row, &view->points->panels, member[i]);
        cluster__panels_set(&p, i, row, 1);
    }
    rc = cluster__sweep(&w, &view->job, "bridges", err);
    cluster__panels_release(&p);
    return rc ? rc : find_bridges(view, cluster, &g, err);
}

enum err cluster__report_bridges(struct cluster__view *view, float cut, struct err_info *err)
{
    struct cluster_report *r = view->report;
    enum err rc;

    for (int c = 0; c < r->n_clusters; c++) {
        if (r->clusters[c].size < MEMBERS_MIN) continue;
        if (r->clusters[c].size > MEMBERS_MAX) {
            r->bridges_skipped++;
            continue;
        }
        if ((rc = look_in(view, c, cut, err))) return rc;
    }
    if (r->n_bridges > 1) qsort(r->bridges, r->n_bridges, sizeof *r->bridges, by_lesser_part);
    if (r->n_bridges > view->options->bridges_max) r->n_bridges = view->options->bridges_max;
    return ERR_OK;
}
