/* Each cluster's nearest other, and pairs of clusters that may be one person: all with a mean
 * similarity of at least options->possible. The products of the means, in blocks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/report.h"

struct pairs {
    const struct cluster__kernels *kernels;
    struct cluster_summary *clusters;
    float possible;
    float *nearest; /* [clusters] greatest product so far */
    /* Per thread, of the best of what it met: those after pairs_max are never listed. */
    struct cluster_pair **found;
    size_t *n, *all;
    size_t max;
    bool *failed;
};

static int by_similarity(const void *pa, const void *pb)
{
    const struct cluster_pair *a = pa, *b = pb;
    if (a->similarity != b->similarity) return a->similarity > b->similarity ? -1 : 1;
    if (a->a != b->a) return a->a < b->a ? -1 : 1;
    return a->b < b->b ? -1 : a->b > b->b;
}

static void keep(struct pairs *q, int thread, struct cluster_pair pair)
{
    q->all[thread]++;
    if (!q->max) return;
    if (!q->found[thread]) q->found[thread] = calloc(2 * q->max, sizeof pair);
    if (!q->found[thread]) {
        q->failed[thread] = true;
        return;
    }
    q->found[thread][q->n[thread]++] = pair;
    if (q->n[thread] < 2 * q->max) return;
    qsort(q->found[thread], q->n[thread], sizeof pair, by_similarity);
    q->n[thread] = q->max;
}

static void look(void *self, const struct cluster__tile *t)
{
    struct pairs *q = self;

    for (int r = 0; r < t->rows; r++) {
        const float *s = t->s + (size_t)r * DOTS_COLS;
        const int a = (int)(t->first + (size_t)r);
        for (int c = 0; c < t->cols; c++) {
            const int b = (int)(t->col + (size_t)c);
            if (b == a) continue;
            if (s[c] > q->nearest[a]) {
                q->nearest[a] = s[c];
                q->clusters[a].nearest = b;
            }
            if (b > a && s[c] >= q->possible)
                keep(q, t->thread, (struct cluster_pair){a, b, s[c], 0, 0, 0, false});
        }
    }
}

/* The two faces of a pair of clusters that are most alike; whether two of theirs are kept apart. */
static void look_closer(const struct cluster__view *v, struct cluster_pair *p)
{
    const struct cluster_report *r = v->report;
    const uint32_t *apart = v->options->apart;

    p->greatest = -2;
    for (size_t i = r->first[p->a]; i < r->first[p->a + 1]; i++) {
        for (size_t j = r->first[p->b]; j < r->first[p->b + 1]; j++) {
            const uint32_t a = r->members[i], b = r->members[j];
            const double s = cluster__row_similarity(v->points, a, b);
            if (s > p->greatest) {
                p->greatest = s;
                p->face_a = a;
                p->face_b = b;
            }
            p->apart |= apart && apart[a] != CLUSTER_NO_GROUP && apart[a] == apart[b];
        }
    }
}

static void look_closer_part(void *arg, int i, int thread)
{
    struct cluster__view *v = arg;
    (void)thread;
    look_closer(v, v->report->pairs + i);
}

static enum err gather(struct cluster__view *v, struct pairs *q, int threads, struct err_info *err)
{
    struct cluster_report *r = v->report;
    size_t n = 0;
    bool failed = false;

    for (int t = 0; t < threads; t++) {
        n += q->n[t];
        r->pairs_found += q->all[t];
        failed |= q->failed[t];
    }
    r->pairs = calloc(n + 1, sizeof *r->pairs);
    if (failed || !r->pairs) return err_set(err, ERR_NOMEM, "no memory for %zu pairs", n);
    for (int t = 0; t < threads; t++) {
        if (q->n[t]) memcpy(r->pairs + r->n_pairs, q->found[t], q->n[t] * sizeof *r->pairs);
        r->n_pairs += q->n[t];
    }
    qsort(r->pairs, r->n_pairs, sizeof *r->pairs, by_similarity);
    if (r->n_pairs > q->max) r->n_pairs = q->max;
    return cluster__parts(&v->job, "pairs", look_closer_part, v, r->n_pairs, 1e6, err);
}

static enum err load_means(struct cluster__panels *p, const struct cluster__means *m,
                           struct err_info *err)
{
    float *row AUTO_FREE = calloc((size_t)m->d, sizeof *row);
    enum err rc;

    if (!row) return err_set(err, ERR_NOMEM, "no memory for a mean");
    if ((rc = cluster__panels_init(p, (size_t)m->clusters, m->d, err))) return rc;
    for (int c = 0; c < m->clusters; c++) {
        for (int k = 0; k < m->d; k++)
            row[k] = (float)m->mean[(size_t)c * (size_t)m->d + (size_t)k];
        cluster__panels_set(p, (size_t)c, row, 1);
    }
    return ERR_OK;
}

enum err cluster__report_pairs(struct cluster__view *v, struct err_info *err)
{
    const struct cluster_report_options *o = v->options;
    struct cluster_report *r = v->report;
    const int threads = cores_threads(v->job.cores);
    const float possible = isnan(o->possible) ? o->cut : o->possible;
    struct cluster__panels means = CLUSTER__PANELS_INIT;
    float *nearest AUTO_FREE = calloc((size_t)r->n_clusters + 1, sizeof *nearest);
    struct cluster_pair **found AUTO_FREE = calloc((size_t)threads, sizeof(struct cluster_pair *));
    size_t *counts AUTO_FREE = calloc(2 * (size_t)threads, sizeof *counts);
    bool *failed AUTO_FREE = calloc((size_t)threads, sizeof *failed);
    struct pairs q = {.kernels = cluster__kernels(),
                      .clusters = r->clusters,
                      .possible = isnan(possible) ? 2 : possible,
                      .nearest = nearest,
                      .found = found,
                      .n = counts,
                      .all = counts + threads,
                      .max = o->pairs_max,
                      .failed = failed};
    const struct cluster__sweep w = {&means, &means, NULL, (size_t)r->n_clusters, look, NULL, &q};
    enum err rc;

    if (!nearest || !found || !counts || !failed)
        return err_set(err, ERR_NOMEM, "no memory for the pairs of %d clusters", r->n_clusters);
    if (r->n_clusters < 2) return ERR_OK;
    for (int c = 0; c < r->n_clusters; c++) nearest[c] = -3;
    if ((rc = load_means(&means, v->means, err))) return rc;
    rc = cluster__sweep(&w, &v->job, "pairs", err);
    for (int c = 0; c < r->n_clusters; c++) r->clusters[c].separation = 1 - (double)nearest[c];
    if (!rc) rc = gather(v, &q, threads, err);
    for (int t = 0; t < threads; t++) free(found[t]);
    cluster__panels_release(&means);
    return rc;
}
