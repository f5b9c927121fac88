#include "engine/cluster/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

enum err cluster__points_init(struct cluster__points *p, const float *x, size_t n, int d,
                              enum cluster_metric metric, struct err_info *err)
{
    struct cluster__points q = {x, n, d, metric, NULL, NULL, CLUSTER__PANELS_INIT};
    float *row AUTO_FREE = calloc((size_t)d + 1, sizeof *row);
    const bool cosine = metric == CLUSTER_COSINE;
    enum err rc = ERR_OK;

    if (cosine)
        q.scale = calloc(n, sizeof *q.scale);
    else
        q.mean = calloc((size_t)d, sizeof *q.mean);
    if (!row || (!q.scale && !q.mean)) {
        rc = err_set(err, ERR_NOMEM, "no memory for %zu rows", n);
        goto fail;
    }
    if (cosine) {
        if ((rc = cluster__scales(q.scale, x, n, d, err))) goto fail;
    } else {
        for (size_t i = 0; i < n; i++) {
            for (int k = 0; k < d; k++)
                q.mean[k] += (double)x[i * (size_t)d + (size_t)k] / (double)n;
        }
        for (int k = 0; k < d; k++) {
            if (isfinite(q.mean[k])) continue;
            rc = err_set(err, ERR_INVALID, "dimension %d has numbers that are not finite", k);
            goto fail;
        }
    }
    if ((rc = cluster__panels_init(&q.panels, n, cosine ? d : d + 1, err))) goto fail;
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < d; k++) {
            const double v = x[i * (size_t)d + (size_t)k];
            row[k] = (float)(cosine ? v * q.scale[i] : v - q.mean[k]);
        }
        row[d] = 1;
        cluster__panels_set(&q.panels, i, row, 1);
    }
    *p = q;
    return ERR_OK;
fail:
    cluster__points_release(&q);
    return rc;
}

void cluster__points_release(struct cluster__points *p)
{
    free(p->scale);
    free(p->mean);
    cluster__panels_release(&p->panels);
}

void cluster__point(double *out, const struct cluster__points *p, size_t i)
{
    const float *v = p->x + i * (size_t)p->d;
    for (int k = 0; k < p->d; k++)
        out[k] = p->scale ? (double)v[k] * p->scale[i] : (double)v[k] - p->mean[k];
}

enum { ANEW = 8 }; /* sums are made anew when more than one row in so many moved */

/* sum += sign row i, without a branch in the loop: half of a round's time where k is small. */
static void add_point(double *restrict sum, const struct cluster__points *p, size_t i, double sign)
{
    const float *restrict v = p->x + i * (size_t)p->d;

    if (p->scale) {
        const double scale = p->scale[i] * sign;
        for (int k = 0; k < p->d; k++) sum[k] += (double)v[k] * scale;
    } else {
        const double *restrict mean = p->mean;
        for (int k = 0; k < p->d; k++) sum[k] += ((double)v[k] - mean[k]) * sign;
    }
}

struct lloyd {
    struct cluster__kmeans *m;
    const struct cluster__points *p;
    const struct cluster__kernels *kernels;
    int k;
    struct cluster__panels centres;
    double *total;   /* [k][d] sums of the clusters' rows */
    bool anew;       /* they are added up anew; else they follow the rows that moved */
    bool *changed;   /* [k] rows came or left: its mean is another */
    int32_t *next;   /* [n] */
    float *product;  /* [n] with the nearest centre */
    size_t *start;   /* [k + 1] */
    uint32_t *order; /* [n] rows by cluster */
    double *sum;     /* per thread [2 d] */
    double *inertia; /* [k] */
};

size_t cluster__kmeans_bytes(size_t n, int d, int k, const struct cores *cores)
{
    const size_t rows = cluster__panels_bytes(n, d + 1);
    if (rows > SIZE_MAX / 4) return SIZE_MAX;
    return rows + n * (sizeof(double) + 3 * sizeof(int32_t) + sizeof(float)) +
           6 * (size_t)k * ((size_t)d + 8) * sizeof(float) + cluster__sweep_bytes(d + 1, cores);
}

static void assign(void *self, const struct cluster__tile *t)
{
    struct lloyd *l = self;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        const size_t row = t->first + (size_t)r;
        int at = 0;
        if (t->col > 0) {
            at = l->kernels->at_least(s, 0, t->cols, l->product[row]);
            while (at < t->cols && s[at] <= l->product[row])
                at = l->kernels->at_least(s, at + 1, t->cols, l->product[row]);
            if (at == t->cols) continue;
        }
        for (int c = at + 1; (c = l->kernels->at_least(s, c, t->cols, s[at])) < t->cols; c++) {
            if (s[c] > s[at]) at = c; /* equal: the first stays */
        }
        l->product[row] = s[at];
        l->next[row] = (int32_t)(t->col + (size_t)at);
    }
}

/* Rows by cluster, in each in their order, so that a centre's sum does not depend on threads. */
static void bucket(struct lloyd *l, const int32_t *labels)
{
    const size_t n = l->p->n;

    memset(l->start, 0, ((size_t)l->k + 1) * sizeof *l->start);
    for (size_t i = 0; i < n; i++) l->start[labels[i] + 1]++;
    for (int c = 0; c < l->k; c++) l->start[c + 1] += l->start[c];
    for (size_t i = 0; i < n; i++) l->order[l->start[labels[i]]++] = (uint32_t)i;
    for (int c = l->k; c > 0; c--) l->start[c] = l->start[c - 1];
    l->start[0] = 0;
}

static void put_centre(struct lloyd *l, int c, const double *v)
{
    float *centre = l->m->centres + (size_t)c * (size_t)l->p->d;
    for (int k = 0; k < l->p->d; k++) centre[k] = (float)v[k];
}

/* The mean of a cluster's rows; cosine: of unit length, and left where it was if the rows cancel.
 */
static void average_part(void *arg, int c, int thread)
{
    struct lloyd *l = arg;
    const int d = l->p->d;
    double *mean = l->sum + (size_t)thread * 2 * (size_t)d, length = 0;
    double *sum = l->total + (size_t)c * (size_t)d;
    const double rows = (double)(l->start[c + 1] - l->start[c]);

    if (!l->changed[c]) return;
    if (l->anew) {
        memset(sum, 0, (size_t)d * sizeof *sum);
        for (size_t i = l->start[c]; i < l->start[c + 1]; i++) add_point(sum, l->p, l->order[i], 1);
    }
    for (int k = 0; k < d; k++) length += sum[k] * sum[k];
    const double scale = l->p->metric == CLUSTER_COSINE ? sqrt(length) : rows;
    if (rows < 1 || !(scale > 0)) return;
    for (int k = 0; k < d; k++) mean[k] = sum[k] / scale;
    put_centre(l, c, mean);
}

static void inertia_part(void *arg, int c, int thread)
{
    struct lloyd *l = arg;
    const int d = l->p->d;
    const float *centre = l->m->centres + (size_t)c * (size_t)d;
    double *v = l->sum + (size_t)thread * 2 * (size_t)d, sum = 0;

    for (size_t i = l->start[c]; i < l->start[c + 1]; i++) {
        cluster__point(v, l->p, l->order[i]);
        for (int k = 0; k < d; k++) {
            const double off = v[k] - (double)centre[k];
            sum += off * off;
        }
    }
    l->inertia[c] = sum;
}

/* Each empty centre moves to the row that is farthest from its own centre, and takes it. */
static void refill(struct lloyd *l)
{
    const int d = l->p->d;
    double *v = l->sum;

    for (int c = 0; c < l->k; c++) {
        double worst = -1;
        size_t at = 0;
        if (l->start[c + 1] > l->start[c]) continue;
        for (size_t i = 0; i < l->p->n; i++) {
            const int32_t own = l->next[i];
            const float *centre = l->m->centres + (size_t)own * (size_t)d;
            double off = 0;
            if (l->start[own + 1] - l->start[own] < 2) continue;
            cluster__point(v, l->p, i);
            for (int k = 0; k < d; k++)
                off += (v[k] - (double)centre[k]) * (v[k] - (double)centre[k]);
            if (off > worst) {
                worst = off;
                at = i;
            }
        }
        if (worst < 0) return;
        cluster__point(v, l->p, at);
        put_centre(l, c, v);
        l->next[at] = c;
        bucket(l, l->next);
    }
}

static void load_centres(struct lloyd *l)
{
    const int d = l->p->d;
    float *row = (float *)l->sum;

    for (int c = 0; c < l->k; c++) {
        const float *centre = l->m->centres + (size_t)c * (size_t)d;
        double square = 0;
        for (int k = 0; k < d; k++) {
            row[k] = centre[k];
            square += (double)centre[k] * (double)centre[k];
        }
        row[d] = (float)(-square / 2);
        cluster__panels_set(&l->centres, (size_t)c, row, 1);
    }
}

/* Which clusters changed. Where few rows moved their sums follow, in double: what that rounds is
 * far below the floats of a centre. */
static void note_changes(struct lloyd *l)
{
    const size_t n = l->p->n, d = (size_t)l->p->d;
    size_t moved = 0;

    for (size_t i = 0; i < n; i++) moved += l->m->labels[i] != l->next[i];
    l->anew = moved > n / ANEW;
    memset(l->changed, 0, (size_t)l->k * sizeof *l->changed);
    for (size_t i = 0; i < n; i++) {
        const int32_t from = l->m->labels[i], to = l->next[i];
        if (from == to) continue;
        l->changed[to] = true;
        if (from >= 0) l->changed[from] = true;
        if (l->anew) continue;
        add_point(l->total + (size_t)from * d, l->p, i, -1);
        add_point(l->total + (size_t)to * d, l->p, i, 1);
    }
}

static enum err iterate(struct lloyd *l, int rounds, const struct cluster__job *job,
                        struct err_info *err)
{
    const struct cluster__points *p = l->p;
    const struct cluster__sweep w = {&p->panels, &l->centres, NULL, p->n, assign, NULL, l};
    const double cost = (double)p->n * p->d * 8 / l->k;
    enum err rc;

    for (int32_t *a = l->m->labels; a < l->m->labels + p->n; a++) *a = -1;
    for (l->m->rounds = 0; l->m->rounds < rounds;) {
        load_centres(l);
        if ((rc = cluster__sweep(&w, job, "k-means", err))) return rc;
        l->m->rounds++;
        bucket(l, l->next);
        refill(l);
        if (!memcmp(l->m->labels, l->next, p->n * sizeof *l->next)) break;
        note_changes(l);
        memcpy(l->m->labels, l->next, p->n * sizeof *l->next);
        if ((rc = cluster__parts(job, "k-means", average_part, l, (size_t)l->k, cost, err)))
            return rc;
    }
    if ((rc = cluster__parts(job, "k-means", inertia_part, l, (size_t)l->k, cost, err))) return rc;
    l->m->inertia = 0;
    for (int c = 0; c < l->k; c++) l->m->inertia += l->inertia[c];
    return ERR_OK;
}

enum err cluster__kmeans_run(struct cluster__kmeans *m, const struct cluster__points *p, int k,
                             int rounds, const struct cluster__job *job, struct err_info *err)
{
    const size_t wide = (size_t)p->d + 1;
    struct lloyd l = {.m = m, .p = p, .kernels = cluster__kernels(), .k = k};
    int32_t *next AUTO_FREE = calloc(p->n, sizeof *next);
    float *product AUTO_FREE = calloc(p->n, sizeof *product);
    size_t *start AUTO_FREE = calloc((size_t)k + 2, sizeof *start);
    uint32_t *order AUTO_FREE = calloc(p->n, sizeof *order);
    double *sum AUTO_FREE = calloc(2 * wide * (size_t)cores_threads(job->cores), sizeof *sum);
    double *inertia AUTO_FREE = calloc((size_t)k, sizeof *inertia);
    bool *changed AUTO_FREE = calloc((size_t)k, sizeof *changed);
    double *total AUTO_FREE = calloc((size_t)k * (size_t)p->d, sizeof *total);
    enum err rc;

    if (!next || !product || !start || !order || !sum || !inertia || !changed || !total)
        return err_set(err, ERR_NOMEM, "no memory for k-means of %zu rows", p->n);
    if ((rc = cluster__panels_init(&l.centres, (size_t)k, p->panels.d, err))) return rc;
    l.next = next;
    l.product = product;
    l.start = start;
    l.order = order;
    l.sum = sum;
    l.inertia = inertia;
    l.changed = changed;
    l.total = total;
    rc = iterate(&l, rounds, job, err);
    cluster__panels_release(&l.centres);
    return rc;
}

enum err cluster__kmeans_best(struct cluster__kmeans *m, const struct cluster__points *p, int k,
                              int rounds, int restarts, uint64_t seed,
                              const struct cluster__job *job, struct err_info *err)
{
    const size_t numbers = (size_t)k * (size_t)p->d;
    int32_t *labels AUTO_FREE = calloc(p->n, sizeof *labels);
    float *centres AUTO_FREE = calloc(numbers, sizeof *centres);
    uint64_t random = seed;
    enum err rc;

    if (!labels || !centres)
        return err_set(err, ERR_NOMEM, "no memory for k-means of %zu rows", p->n);
    for (int i = 0; i < restarts; i++) {
        struct cluster__kmeans one = {labels, centres, 0, 0};
        if ((rc = cluster__kmeans_seed(centres, p, k, &random, job, err))) return rc;
        if ((rc = cluster__kmeans_run(&one, p, k, rounds, job, err))) return rc;
        if (i > 0 && !(one.inertia < m->inertia)) continue;
        memcpy(m->labels, labels, p->n * sizeof *labels);
        memcpy(m->centres, centres, numbers * sizeof *centres);
        m->inertia = one.inertia;
        m->rounds = one.rounds;
    }
    return ERR_OK;
}
