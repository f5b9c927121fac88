/* DBSCAN (Ester, Kriegel, Sander & Xu 1996) in two sweeps and no list of neighbours: the first
 * counts them, the second joins core points and finds for each border point the core point of
 * the cluster that comes first (by its first core point), as the published algorithm does when it
 * visits rows in order. */
#include "engine/cluster/density.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/mem.h"
#include "engine/cluster/union_find.h"

struct scan {
    const struct cluster__kernels *kernels;
    uint32_t *near;       /* [n] rows within reach, itself left out */
    _Atomic uint32_t *up; /* [n] */
    uint32_t *first;      /* [n] border points: least root so far; UINT32_MAX */
    uint32_t *rows;       /* [n] that are looked at */
    uint32_t enough;      /* neighbours besides itself that make a core point */
    float cut;
    bool border; /* clusters are known */
};

size_t cluster__dbscan_bytes(size_t n, int d, const struct cores *cores)
{
    const size_t panels = cluster__panels_bytes(n, d);
    return panels > SIZE_MAX / 2
               ? SIZE_MAX
               : panels + n * 5 * sizeof(uint32_t) + cluster__sweep_bytes(d, cores);
}

static void count(void *self, const struct cluster__tile *t)
{
    struct scan *q = self;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        const size_t row = t->first + (size_t)r;
        for (int c = q->kernels->at_least(s, 0, t->cols, q->cut); c < t->cols;
             c = q->kernels->at_least(s, c + 1, t->cols, q->cut))
            q->near[row] += t->col + (size_t)c != row;
    }
}

/* rows: the core points, then the border points. */
static void join(void *self, const struct cluster__tile *t)
{
    struct scan *q = self;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        const uint32_t row = q->rows[t->first + (size_t)r];
        for (int c = q->kernels->at_least(s, 0, t->cols, q->cut); c < t->cols;
             c = q->kernels->at_least(s, c + 1, t->cols, q->cut)) {
            const uint32_t other = (uint32_t)(t->col + (size_t)c);
            if (other == row || q->near[other] < q->enough) continue;
            if (!q->border) {
                if (other < row) cluster__unite(q->up, row, other);
            } else {
                const uint32_t root = cluster__find(q->up, other);
                if (root < q->first[row]) q->first[row] = root;
            }
        }
    }
}

/* Border points are looked at when the clusters are known; what has no neighbour never. */
static enum err join_rows(struct scan *q, const struct cluster__panels *p,
                          const struct cluster__job *job, struct err_info *err)
{
    struct cluster__sweep w = {p, p, q->rows, 0, join, NULL, q};
    enum err rc;

    for (int border = 0; border < 2; border++) {
        q->border = border;
        w.n_rows = 0;
        for (uint32_t i = 0; i < p->n; i++) {
            const bool core = q->near[i] >= q->enough;
            if (border ? !core && q->near[i] : core) q->rows[w.n_rows++] = i;
        }
        if (w.n_rows && (rc = cluster__sweep(&w, job, "joining", err))) return rc;
    }
    return ERR_OK;
}

enum err cluster__dbscan(int32_t *labels, const float *x, size_t n, int d, float cut,
                         int min_points, const struct cluster__job *job, struct err_info *err)
{
    struct cluster__panels p = CLUSTER__PANELS_INIT;
    uint32_t *near AUTO_FREE = calloc(n, sizeof *near);
    _Atomic uint32_t *up AUTO_FREE = calloc(n, sizeof *up);
    uint32_t *first AUTO_FREE = calloc(n, sizeof *first);
    uint32_t *rows AUTO_FREE = calloc(n, sizeof *rows);
    struct scan q = {cluster__kernels(),       near, up,   first, rows,
                     (uint32_t)min_points - 1, cut,  false};
    struct cluster__sweep w = {&p, &p, NULL, n, count, NULL, &q};
    int32_t next = 0;
    enum err rc;

    if (!near || !up || !first || !rows)
        return err_set(err, ERR_NOMEM, "no memory for DBSCAN of %zu rows", n);
    if ((rc = cluster__panels_fill(&p, x, n, d, true, err))) return rc;
    for (size_t i = 0; i < n; i++) {
        atomic_init(up + i, (uint32_t)i);
        first[i] = UINT32_MAX;
    }
    if ((rc = cluster__sweep(&w, job, "counting", err))) goto done;
    if ((rc = join_rows(&q, &p, job, err))) goto done;
    for (size_t i = 0; i < n; i++) {
        const bool core = near[i] >= q.enough;
        const uint32_t root = core ? cluster__find(up, (uint32_t)i) : first[i];
        labels[i] = CLUSTER_OUTLIER;
        if (root == UINT32_MAX) continue;
        first[i] = root;
        if (root == i) labels[i] = next++;
    }
    for (size_t i = 0; i < n; i++) {
        if (first[i] != UINT32_MAX) labels[i] = labels[first[i]];
    }
done:
    cluster__panels_release(&p);
    return rc;
}
