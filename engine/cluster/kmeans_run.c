/* k-means as cluster_run knows it: from given centres, from k-means++, or with k searched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/method.h"

struct starts {
    struct cluster__task *t;
    const struct cluster__points *p;
};

static enum err labels_for_k(void *self, int32_t *labels, int *clusters, int k,
                             struct err_info *err)
{
    struct starts *s = self;
    const struct cluster_options *o = s->t->options;
    float *centres AUTO_FREE = calloc((size_t)k * (size_t)s->p->d, sizeof *centres);
    struct cluster__kmeans m = {labels, centres, 0, 0};

    if (!centres) return err_set(err, ERR_NOMEM, "no memory for %d centres", k);
    *clusters = k;
    return cluster__kmeans_best(&m, s->p, k, o->rounds, o->restarts, o->seed, &s->t->job, err);
}

/* Given centres come in the caller's frame, and leave in it. */
static void move_centres(float *centres, const struct cluster__points *p, int k, double sign)
{
    for (size_t i = 0; p->mean && i < (size_t)k * (size_t)p->d; i++)
        centres[i] = (float)((double)centres[i] + sign * p->mean[i % (size_t)p->d]);
}

static enum err best_k(int *k, struct cluster__task *t, const struct cluster__points *p,
                       struct err_info *err)
{
    struct starts s = {t, p};
    const struct cluster__by_k by_k = {&s, labels_for_k};

    return t->options->k_by == CLUSTER_BY_GAP ? cluster__search_gap(k, t, p, err)
                                              : cluster__search_silhouette(k, t, p, &by_k, err);
}

static enum err run(struct cluster__task *t, const struct cluster__points *p, struct err_info *err)
{
    const struct cluster_options *o = t->options;
    struct cluster_result *r = t->result;
    struct cluster__kmeans m = {r->labels, NULL, 0, 0};
    int k = o->k;
    enum err rc;

    if (!k && (rc = best_k(&k, t, p, err))) return rc;
    if (o->k) cluster__note_number(r, "k", k, 0, "as given");
    r->centres = m.centres = calloc((size_t)k * (size_t)t->d, sizeof *m.centres);
    if (!m.centres) return err_set(err, ERR_NOMEM, "no memory for %d centres", k);
    if (o->centres) {
        memcpy(m.centres, o->centres, (size_t)k * (size_t)t->d * sizeof *m.centres);
        move_centres(m.centres, p, k, -1);
        cluster__note(r, "centres", "given", "k-means++ was not needed");
        rc = cluster__kmeans_run(&m, p, k, o->rounds, &t->job, err);
    } else {
        cluster__note_number(r, "restarts", o->restarts, 0,
                             "k-means++ starts from seed %llu, the one of least inertia kept",
                             (unsigned long long)o->seed);
        rc = cluster__kmeans_best(&m, p, k, o->rounds, o->restarts, o->seed, &t->job, err);
    }
    move_centres(m.centres, p, k, 1);
    r->clusters = k;
    r->inertia = m.inertia;
    r->rounds = m.rounds;
    return rc;
}

enum err cluster__kmeans(struct cluster__task *t, struct err_info *err)
{
    struct cluster__points p;
    enum err rc;

    if ((rc = cluster__points_init(&p, t->x, t->n, t->d, t->options->metric, err))) return rc;
    cluster__note(t->result, "metric",
                  t->options->metric == CLUSTER_COSINE ? "cosine" : "euclidean", "as asked");
    rc = run(t, &p, err);
    cluster__points_release(&p);
    return rc;
}
