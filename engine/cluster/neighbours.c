#include "engine/cluster/neighbours.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

/* A block of rows meets the columns in rising order, but tile by tile; found in that order, entries
 * are dealt out to their rows when the block is done. */
struct found {
    uint32_t local, column;
    float similarity;
};

struct pile { /* of one thread */
    struct found *entry;
    size_t n, cap;
};

struct builder {
    struct cluster__graph *g;
    const struct cluster__kernels *kernels;
    struct pile *piles;
    float cut;
    size_t edges_max;
    atomic_size_t edges;
    atomic_bool failed, full;
};

size_t cluster__graph_bytes(size_t n, size_t edges)
{
    size_t bytes;
    if (!mul_ok(&bytes, edges, sizeof(struct cluster__edge))) return SIZE_MAX;
    const size_t lists = n * (sizeof(void *) + sizeof(uint32_t));
    return bytes > SIZE_MAX - lists ? SIZE_MAX : bytes + lists;
}

static bool pile_add(struct pile *p, struct found f)
{
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 4096;
        struct found *more = realloc(p->entry, cap * sizeof *more);
        if (!more) return false;
        p->entry = more;
        p->cap = cap;
    }
    p->entry[p->n++] = f;
    return true;
}

static void graph_tile(void *self, const struct cluster__tile *t)
{
    struct builder *b = self;
    struct pile *pile = b->piles + t->thread;
    size_t count = 0;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        for (int c = b->kernels->at_least(s, 0, t->cols, b->cut); c < t->cols;
             c = b->kernels->at_least(s, c + 1, t->cols, b->cut)) {
            const size_t column = t->col + (size_t)c;
            if (column == t->first + (size_t)r) continue;
            count++;
            if (atomic_load_explicit(&b->full, memory_order_relaxed)) continue;
            if (!pile_add(pile, (struct found){(uint32_t)r, (uint32_t)column, s[c]}))
                atomic_store(&b->failed, true);
        }
    }
    if (atomic_fetch_add(&b->edges, count) + count > b->edges_max) atomic_store(&b->full, true);
}

static void graph_done(void *self, size_t first, int rows, int thread)
{
    struct builder *b = self;
    struct pile *pile = b->piles + thread;
    struct cluster__edge *block = malloc((pile->n + 1) * sizeof *block);
    size_t at = 0, start[DOTS_ROWS];

    if (!block) {
        atomic_store(&b->failed, true);
        pile->n = 0;
        return;
    }
    b->g->blocks[first / DOTS_ROWS] = block;
    for (size_t i = 0; i < pile->n; i++) b->g->degree[first + pile->entry[i].local]++;
    for (int r = 0; r < rows; r++) {
        start[r] = at;
        b->g->list[first + (size_t)r] = block + at;
        at += b->g->degree[first + (size_t)r];
    }
    for (size_t i = 0; i < pile->n; i++) {
        const struct found *f = pile->entry + i;
        block[start[f->local]++] = (struct cluster__edge){f->column, f->similarity};
    }
    pile->n = 0;
}

static enum err graph_new(struct cluster__graph **out, size_t n, struct err_info *err)
{
    struct cluster__graph *g = calloc(1, sizeof *g);

    if (g) {
        g->n = n;
        g->n_blocks = (n + DOTS_ROWS - 1) / DOTS_ROWS;
        g->list = calloc(n, sizeof(struct cluster__edge *));
        g->degree = calloc(n, sizeof *g->degree);
        g->blocks = calloc(g->n_blocks, sizeof(struct cluster__edge *));
    }
    if (!g || !g->list || !g->degree || !g->blocks) {
        cluster__graph_free(g);
        return err_set(err, ERR_NOMEM, "no memory for a graph of %zu rows", n);
    }
    *out = g;
    return ERR_OK;
}

enum err cluster__graph_new(struct cluster__graph **out, const struct cluster__panels *p, float cut,
                            size_t memory_max, const struct cluster__job *job, struct err_info *err)
{
    const int threads = cores_threads(job->cores);
    struct pile *piles AUTO_FREE = calloc((size_t)threads, sizeof *piles);
    struct builder b = {.kernels = cluster__kernels(), .piles = piles, .cut = cut};
    const struct cluster__sweep w = {p, p, NULL, p->n, graph_tile, graph_done, &b};
    const size_t base = cluster__graph_bytes(p->n, 0);
    enum err rc;

    if (!piles) return err_set(err, ERR_NOMEM, "no memory for a graph of %zu rows", p->n);
    if ((rc = graph_new(&b.g, p->n, err))) return rc;
    b.edges_max = !memory_max         ? SIZE_MAX
                  : memory_max > base ? (memory_max - base) / sizeof(struct cluster__edge)
                                      : 0;
    rc = cluster__sweep(&w, job, "comparing", err);
    for (int t = 0; t < threads; t++) free(piles[t].entry);
    b.g->edges = atomic_load(&b.edges);
    if (!rc && atomic_load(&b.full))
        rc = err_set(err, ERR_TOO_LARGE,
                     "%zu pairs of %zu faces are at or above similarity %.4f: that would take %zu "
                     "MB, the limit is %zu MB",
                     b.g->edges / 2, p->n, (double)cut,
                     cluster__graph_bytes(p->n, b.g->edges) >> 20, memory_max >> 20);
    else if (!rc && atomic_load(&b.failed))
        rc = err_set(err, ERR_NOMEM, "no memory for the graph of %zu rows", p->n);
    if (rc)
        cluster__graph_free(b.g);
    else
        *out = b.g;
    return rc;
}

void cluster__graph_free(struct cluster__graph *g)
{
    if (!g) return;
    for (size_t i = 0; g->blocks && i < g->n_blocks; i++) free(g->blocks[i]);
    free(g->blocks);
    free(g->list);
    free(g->degree);
    free(g);
}

struct nearest {
    struct cluster__edge *out;
    const struct cluster__kernels *kernels;
    int k;
};

static void nearest_tile(void *self, const struct cluster__tile *t)
{
    const struct nearest *q = self;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        const size_t row = t->first + (size_t)r;
        struct cluster__edge *list = q->out + row * (size_t)q->k, *last = list + q->k - 1;
        for (int c = q->kernels->at_least(s, 0, t->cols, last->similarity); c < t->cols;
             c = q->kernels->at_least(s, c + 1, t->cols, last->similarity)) {
            const size_t column = t->col + (size_t)c;
            struct cluster__edge *at = last;
            if (column == row || s[c] <= last->similarity) continue; /* equal: the earlier stays */
            for (; at > list && at[-1].similarity < s[c]; at--) *at = at[-1];
            *at = (struct cluster__edge){(uint32_t)column, s[c]};
        }
    }
}

enum err cluster__nearest(struct cluster__edge *out, const struct cluster__panels *p, int k,
                          const struct cluster__job *job, struct err_info *err)
{
    struct nearest q = {out, cluster__kernels(), k};
    const struct cluster__sweep w = {p, p, NULL, p->n, nearest_tile, NULL, &q};

    for (size_t i = 0; i < p->n * (size_t)k; i++) out[i] = (struct cluster__edge){0, -3.0f};
    return cluster__sweep(&w, job, "neighbours", err);
}
