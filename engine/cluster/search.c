/* How many clusters: the greatest mean silhouette (Rousseeuw 1987), or the gap statistic
 * (Tibshirani, Walther & Hastie 2001). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/method.h"
#include "engine/cluster/random.h"
#include "engine/cluster/silhouette.h"

enum { REFERENCES = 10 }; /* data sets without clusters that the gap is measured against */

void cluster__k_range(int *from, int *to, const struct cluster__task *t)
{
    const int most = t->n < 2 ? 1 : (int)(t->n < INT32_MAX ? t->n - 1 : INT32_MAX);
    *from = t->options->k_min < most ? t->options->k_min : most;
    *to = t->options->k_max < most ? t->options->k_max : most;
}

static enum err open_tried(struct cluster__task *t, int from, int to, struct err_info *err)
{
    t->result->tried = calloc((size_t)(to - from) + 1, sizeof *t->result->tried);
    if (!t->result->tried) return err_set(err, ERR_NOMEM, "no memory for a search of k");
    return ERR_OK;
}

enum err cluster__search_silhouette(int *k, struct cluster__task *t,
                                    const struct cluster__points *p,
                                    const struct cluster__by_k *by_k, struct err_info *err)
{
    struct cluster_result *r = t->result;
    int32_t *labels AUTO_FREE = calloc(t->n, sizeof *labels);
    int from, to, best = -1;
    enum err rc;

    cluster__k_range(&from, &to, t);
    if (!labels) return err_set(err, ERR_NOMEM, "no memory for %zu labels", t->n);
    if ((rc = open_tried(t, from, to, err))) return rc;
    for (int i = from; i <= to; i++) {
        struct cluster_tried *one = r->tried + r->n_tried;
        int clusters;
        *one = (struct cluster_tried){i, -1, 0};
        if ((rc = by_k->labels(by_k->self, labels, &clusters, i, err))) return rc;
        if (clusters > 1 &&
            (rc = cluster__silhouette_mean(&one->score, p, labels, clusters, &t->job, err)))
            return rc;
        if (best < 0 || one->score > r->tried[best].score) best = r->n_tried;
        r->n_tried++;
        if ((rc = cluster__tell(&t->job, "searching k", (size_t)(i - from), (size_t)(to - from),
                                err)))
            return rc;
    }
    *k = r->tried[best].k;
    cluster__note_number(r, "k", *k, 0, "greatest mean silhouette (%.3f) of k from %d to %d",
                         r->tried[best].score, from, to);
    return ERR_OK;
}

/* log of the sum of squared distances to the centres for k of from..to; equal rows as if they were
 * a rounding apart. */
static enum err spreads(double *out, const struct cluster__points *p, int from, int to,
                        const struct cluster__task *t, struct err_info *err)
{
    const struct cluster_options *o = t->options;
    int32_t *labels AUTO_FREE = calloc(p->n, sizeof *labels);
    float *centres AUTO_FREE = calloc((size_t)to * (size_t)p->d, sizeof *centres);
    enum err rc;

    if (!labels || !centres) return err_set(err, ERR_NOMEM, "no memory for %zu labels", p->n);
    for (int k = from; k <= to; k++) {
        struct cluster__kmeans m = {labels, centres, 0, 0};
        if ((rc = cluster__kmeans_best(&m, p, k, o->rounds, o->restarts, o->seed, &t->job, err)))
            return rc;
        out[k - from] = log(m.inertia + 1e-12);
    }
    return ERR_OK;
}

/* Rows drawn evenly from the box of the data's principal axes (their section 2, choice b). */
static void draw_reference(float *out, const float *turned, size_t n, int d, uint64_t *random)
{
    for (int k = 0; k < d; k++) {
        float low = turned[k], high = turned[k];
        for (size_t i = 0; i < n; i++) {
            const float v = turned[i * (size_t)d + (size_t)k];
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        for (size_t i = 0; i < n; i++)
            out[i * (size_t)d + (size_t)k] =
                low + (float)(cluster__random_unit(random) * ((double)high - (double)low));
    }
}

/* Sums over the references of log spread and of its square, [to - from + 1] each. */
static enum err measure_references(double *sum, double *squares, int from, int to,
                                   const struct cluster__task *t, struct err_info *err)
{
    const size_t numbers = t->n * (size_t)t->d;
    float *turned AUTO_FREE = calloc(numbers, sizeof *turned);
    float *rows AUTO_FREE = calloc(numbers, sizeof *rows);
    double *one AUTO_FREE = calloc((size_t)(to - from) + 1, sizeof *one);
    uint64_t random = t->options->seed;
    enum err rc;

    if (!turned || !rows || !one)
        return err_set(err, ERR_NOMEM, "no memory for %zu reference rows", t->n);
    if ((rc = cluster_pca(turned, NULL, t->x, t->n, t->d, t->d, t->job.cores, err))) return rc;
    for (int b = 0; b < REFERENCES; b++) {
        struct cluster__points p;
        draw_reference(rows, turned, t->n, t->d, &random);
        if ((rc = cluster__points_init(&p, rows, t->n, t->d, CLUSTER_EUCLIDEAN, err))) return rc;
        rc = spreads(one, &p, from, to, t, err);
        cluster__points_release(&p);
        if (rc) return rc;
        for (int i = 0; i <= to - from; i++) {
            sum[i] += one[i];
            squares[i] += one[i] * one[i];
        }
    }
    return ERR_OK;
}

enum err cluster__search_gap(int *k, struct cluster__task *t, const struct cluster__points *p,
                             struct err_info *err)
{
    struct cluster_result *r = t->result;
    int from, to, best = -1;
    enum err rc;

    cluster__k_range(&from, &to, t);
    const size_t tried = (size_t)(to - from) + 1;
    double *own AUTO_FREE = calloc(3 * tried, sizeof *own);
    if (!own) return err_set(err, ERR_NOMEM, "no memory for a search of k");
    if ((rc = open_tried(t, from, to, err))) return rc;
    if ((rc = spreads(own, p, from, to, t, err))) return rc;
    if ((rc = measure_references(own + tried, own + 2 * tried, from, to, t, err))) return rc;
    for (int i = 0; i <= to - from; i++) {
        const double mean = own[tried + (size_t)i] / REFERENCES;
        const double var = own[2 * tried + (size_t)i] / REFERENCES - mean * mean;
        const double spread = sqrt(var > 0 ? var : 0) * sqrt(1 + 1.0 / REFERENCES);
        r->tried[r->n_tried++] = (struct cluster_tried){from + i, mean - own[i], spread};
    }
    for (int i = 0; i + 1 < r->n_tried && best < 0; i++) {
        if (r->tried[i].score >= r->tried[i + 1].score - r->tried[i + 1].spread) best = i;
    }
    const bool found = best >= 0;
    for (int i = 0; i < r->n_tried && !found; i++) {
        if (best < 0 || r->tried[i].score > r->tried[best].score) best = i;
    }
    *k = r->tried[best].k;
    cluster__note_number(
        r, "k", *k, 0,
        found ? "the least k from %d to %d whose gap the next does not beat by its spread"
              : "the greatest gap of k from %d to %d, which still grows",
        from, to);
    return ERR_OK;
}
