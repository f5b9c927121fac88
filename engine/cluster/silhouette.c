/* Silhouettes (Rousseeuw 1987) without distances between rows: the mean squared distance of v to
 * the members of a cluster is |v|^2 - 2 v.mean + the mean of their squared lengths. Which cluster
 * is nearest is found in blocks of float products; the few best are weighed again in double, so
 * that the value is exact. */
#include "engine/cluster/silhouette.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

enum { WEIGHED = 4 }; /* candidates that are weighed again in double */

enum err cluster__means_init(struct cluster__means *m, const struct cluster__points *p,
                             const int32_t *labels, int clusters, struct err_info *err)
{
    const size_t k = (size_t)clusters, d = (size_t)p->d;
    double *v AUTO_FREE = calloc(d, sizeof *v);
    struct cluster__means q = {clusters, p->d, calloc(k * d + 1, sizeof *q.mean),
                               calloc(k + 1, sizeof *q.square), calloc(k + 1, sizeof *q.size)};

    if (!v || !q.mean || !q.square || !q.size) {
        cluster__means_release(&q);
        return err_set(err, ERR_NOMEM, "no memory for the means of %d clusters", clusters);
    }
    for (size_t i = 0; i < p->n; i++) {
        if (labels[i] < 0) continue;
        double *mean = q.mean + (size_t)labels[i] * d;
        cluster__point(v, p, i);
        q.size[labels[i]]++;
        for (size_t j = 0; j < d; j++) {
            mean[j] += v[j];
            q.square[labels[i]] += v[j] * v[j];
        }
    }
    for (size_t c = 0; c < k; c++) {
        const double size = (double)q.size[c];
        q.square[c] /= size;
        for (size_t j = 0; j < d; j++) q.mean[c * d + j] /= size;
    }
    *m = q;
    return ERR_OK;
}

void cluster__means_release(struct cluster__means *m)
{
    free(m->mean);
    free(m->square);
    free(m->size);
    *m = (struct cluster__means){0, 0, NULL, NULL, NULL};
}

double cluster__mean_square(const struct cluster__means *m, int c, const double *v, bool member)
{
    const double *mean = m->mean + (size_t)c * (size_t)m->d;
    const double size = (double)m->size[c];
    double off = 0, square = 0; /* |v - mean|^2 + (mean of |x|^2 - |mean|^2) */

    for (int j = 0; j < m->d; j++) {
        off += (v[j] - mean[j]) * (v[j] - mean[j]);
        square += mean[j] * mean[j];
    }
    const double spread = m->square[c] - square, all = off + (spread > 0 ? spread : 0);
    return !member ? all : size > 1 ? all * size / (size - 1) : 0;
}

struct candidate {
    float product;
    int32_t cluster;
};

struct search {
    const struct cluster__points *p;
    const struct cluster__means *m;
    const struct cluster__kernels *kernels;
    const int32_t *labels;
    struct cluster__panels right; /* the means, with one more dimension */
    struct candidate *best;       /* [n][WEIGHED] */
    double *row;                  /* per thread [d] */
    int32_t *other;
    double *distance;
};

static void look(void *self, const struct cluster__tile *t)
{
    const struct search *q = self;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        const size_t row = t->first + (size_t)r;
        struct candidate *list = q->best + row * WEIGHED, *last = list + WEIGHED - 1;
        for (int c = q->kernels->at_least(s, 0, t->cols, last->product); c < t->cols;
             c = q->kernels->at_least(s, c + 1, t->cols, last->product)) {
            const int32_t cluster = (int32_t)(t->col + (size_t)c);
            struct candidate *at = last;
            if (cluster == q->labels[row] || s[c] <= last->product) continue;
            for (; at > list && at[-1].product < s[c]; at--) *at = at[-1];
            *at = (struct candidate){s[c], cluster};
        }
    }
}

static void weigh(void *self, size_t first, int rows, int thread)
{
    const struct search *q = self;
    double *v = q->row + (size_t)thread * (size_t)q->p->d;

    for (size_t i = first; i < first + (size_t)rows; i++) {
        const struct candidate *list = q->best + i * WEIGHED;
        q->other[i] = -1;
        q->distance[i] = INFINITY;
        cluster__point(v, q->p, i);
        for (int k = 0; k < WEIGHED && list[k].cluster >= 0; k++) {
            const double off = cluster__mean_square(q->m, list[k].cluster, v, false);
            if (off < q->distance[i] || (off == q->distance[i] && list[k].cluster < q->other[i])) {
                q->distance[i] = off;
                q->other[i] = list[k].cluster;
            }
        }
    }
}

/* A row's last dimension is 1 in Euclidean points; cosine points have none, and all members have
 * the same length. */
static enum err load_means(struct search *q, struct err_info *err)
{
    const int d = q->p->d;
    float *row AUTO_FREE = calloc((size_t)d + 1, sizeof *row);
    enum err rc;

    if (!row) return err_set(err, ERR_NOMEM, "no memory for a mean");
    if ((rc = cluster__panels_init(&q->right, (size_t)q->m->clusters, q->p->panels.d, err)))
        return rc;
    for (int c = 0; c < q->m->clusters; c++) {
        for (int j = 0; j < d; j++) row[j] = (float)q->m->mean[(size_t)c * (size_t)d + (size_t)j];
        row[d] = (float)(-q->m->square[c] / 2);
        cluster__panels_set(&q->right, (size_t)c, row, 1);
    }
    return ERR_OK;
}

enum err cluster__nearest_other(int32_t *other, double *distance, const struct cluster__points *p,
                                const struct cluster__means *m, const int32_t *labels,
                                const struct cluster__job *job, struct err_info *err)
{
    struct candidate *best AUTO_FREE = calloc(p->n * WEIGHED, sizeof *best);
    double *row AUTO_FREE = calloc((size_t)p->d * (size_t)cores_threads(job->cores), sizeof *row);
    struct search q = {p,     m,       cluster__kernels(), labels, CLUSTER__PANELS_INIT, best, row,
                       other, distance};
    const struct cluster__sweep w = {&p->panels, &q.right, NULL, p->n, look, weigh, &q};
    enum err rc;

    if (!best || !row) return err_set(err, ERR_NOMEM, "no memory for %zu silhouettes", p->n);
    for (size_t i = 0; i < p->n * WEIGHED; i++) best[i] = (struct candidate){-INFINITY, -1};
    if (!m->clusters) {
        for (size_t i = 0; i < p->n; i++) {
            other[i] = -1;
            distance[i] = INFINITY;
        }
        return ERR_OK;
    }
    if ((rc = load_means(&q, err))) return rc;
    rc = cluster__sweep(&w, job, "silhouettes", err);
    cluster__panels_release(&q.right);
    return rc;
}

void cluster__silhouettes(double *out, const struct cluster__points *p,
                          const struct cluster__means *m, const int32_t *labels,
                          const double *distance, double *row)
{
    for (size_t i = 0; i < p->n; i++) {
        out[i] = m->clusters < 2 ? NAN : 0;
        if (m->clusters < 2 || labels[i] < 0 || m->size[labels[i]] < 2) continue;
        cluster__point(row, p, i);
        const double a = cluster__mean_square(m, labels[i], row, true), b = distance[i];
        const double most = a > b ? a : b;
        out[i] = most > 0 ? (b - a) / most : 0;
    }
}

static enum err silhouettes(double *out, const struct cluster__points *p, const int32_t *labels,
                            int clusters, const struct cluster__job *job, struct err_info *err)
{
    int32_t *other AUTO_FREE = calloc(p->n, sizeof *other);
    double *distance AUTO_FREE = calloc(p->n, sizeof *distance);
    double *row AUTO_FREE = calloc((size_t)p->d, sizeof *row);
    struct cluster__means m = {0, 0, NULL, NULL, NULL};
    enum err rc;

    if (!other || !distance || !row)
        return err_set(err, ERR_NOMEM, "no memory for %zu silhouettes", p->n);
    if ((rc = cluster__means_init(&m, p, labels, clusters, err))) return rc;
    rc = cluster__nearest_other(other, distance, p, &m, labels, job, err);
    if (!rc) cluster__silhouettes(out, p, &m, labels, distance, row);
    cluster__means_release(&m);
    return rc;
}

enum err cluster__silhouette_mean(double *out, const struct cluster__points *p,
                                  const int32_t *labels, int clusters,
                                  const struct cluster__job *job, struct err_info *err)
{
    double *each AUTO_FREE = calloc(p->n, sizeof *each);
    double sum = 0, count = 0;
    enum err rc;

    if (!each) return err_set(err, ERR_NOMEM, "no memory for %zu silhouettes", p->n);
    if ((rc = silhouettes(each, p, labels, clusters, job, err))) return rc;
    for (size_t i = 0; i < p->n; i++) {
        if (labels[i] < 0) continue;
        sum += each[i];
        count++;
    }
    *out = count > 0 ? sum / count : NAN;
    return ERR_OK;
}

enum err cluster_silhouettes(double *out, const float *x, size_t n, int d, const int32_t *labels,
                             int clusters, const struct cores *cores, struct err_info *err)
{
    const struct cluster__job job = {cores, NULL};
    struct cluster__points p;
    enum err rc;

    for (size_t i = 0; i < n; i++) {
        if (labels[i] >= clusters)
            return err_set(err, ERR_INVALID, "row %zu is in cluster %d of %d", i, labels[i],
                           clusters);
    }
    if ((rc = cluster__points_init(&p, x, n, d, CLUSTER_COSINE, err))) return rc;
    rc = silhouettes(out, &p, labels, clusters, &job, err);
    cluster__points_release(&p);
    return rc;
}
