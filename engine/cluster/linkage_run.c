/* The linkages as cluster_run knows them: to a cut, to k clusters, to the best k, or as auto. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/method.h"
#include "engine/cluster/silhouette.h"

static const float TO_THE_END = -2; /* no similarity is less */

struct tree { /* sorted merges, read at different heights */
    struct cluster_merge *merges;
    size_t n_merges, n;
};

/* Where constraints leave more than k clusters, those. */
static enum err labels_for_k(void *self, int32_t *labels, int *clusters, int k,
                             struct err_info *err)
{
    const struct tree *t = self;
    const size_t want = t->n - (size_t)k, count = want < t->n_merges ? want : t->n_merges;
    return cluster__merges_labels(labels, clusters, t->merges, count, t->n, err);
}

/* The merges at or above the result's cut. */
static size_t above_cut(const struct cluster_result *r)
{
    size_t count = 0;
    while (count < r->n_merges && r->merges[count].distance <= 1 - r->cut) count++;
    return count;
}

static enum err search(int *k, struct cluster__task *t, struct tree *tree, struct err_info *err)
{
    const struct cluster__by_k by_k = {tree, labels_for_k};
    struct cluster__points p;
    enum err rc;

    if (t->options->k_by == CLUSTER_BY_GAP)
        return err_set(err, ERR_INVALID,
                       "the gap statistic is for k-means; here k is searched by "
                       "silhouette");
    if ((rc = cluster__points_init(&p, t->x, t->n, t->d, CLUSTER_COSINE, err))) return rc;
    rc = cluster__search_silhouette(k, t, &p, &by_k, err);
    cluster__points_release(&p);
    return rc;
}

/* Labels from the tree: at the cut, at k, or at the k that is best. */
static enum err read_tree(struct cluster__task *t, size_t at_cut, struct err_info *err)
{
    const struct cluster_options *o = t->options;
    struct cluster_result *r = t->result;
    struct tree tree = {r->merges, r->n_merges, t->n};
    int k = o->k;
    enum err rc;

    if (!isnan(r->cut))
        return cluster__merges_labels(r->labels, &r->clusters, r->merges, at_cut, t->n, err);
    if (k)
        cluster__note_number(r, "k", k, 0, "as given");
    else if ((rc = search(&k, t, &tree, err)))
        return rc;
    if ((rc = labels_for_k(&tree, r->labels, &r->clusters, k, err))) return rc;
    if (r->clusters > k)
        cluster__note_number(r, "k", r->clusters, 0, "constraints leave no fewer clusters");
    return ERR_OK;
}

static enum err keep_merges(struct cluster__task *t, const struct cluster__merges *merges,
                            struct err_info *err)
{
    struct cluster_result *r = t->result;

    r->merges = calloc(merges->n + 1, sizeof *r->merges);
    if (!r->merges) return err_set(err, ERR_NOMEM, "no memory for %zu merges", merges->n);
    r->n_merges = merges->n;
    return cluster__merges_sorted(r->merges, merges, t->n, err);
}

static enum err average(struct cluster__task *t, size_t *at_cut, struct err_info *err)
{
    const struct cluster_options *o = t->options;
    const bool by_rates = o->algorithm == CLUSTER_AUTO && o->rates && isnan(o->cut) && !o->k;
    struct cluster__average *a;
    enum err rc;

    if ((rc = cluster__average_new(&a, t->x, t->n, t->d, &t->constraints, err))) return rc;
    const struct cluster__merges *merges = cluster__average_merges(a);
    if (by_rates)
        rc = cluster__auto_cut(a, t, err);
    else
        rc = cluster__average_to(a, isnan(t->result->cut) ? TO_THE_END : t->result->cut, &t->job,
                                 err);
    *at_cut = merges->n;
    if (!rc && o->full_tree) rc = cluster__average_to(a, TO_THE_END, &t->job, err);
    if (!rc) rc = keep_merges(t, merges, err);
    cluster__average_free(a);
    return rc;
}

static enum err complete(struct cluster__task *t, size_t *at_cut, struct err_info *err)
{
    const struct cluster_options *o = t->options;
    const float cut = isnan(t->result->cut) || o->full_tree ? TO_THE_END : t->result->cut;
    const size_t own = cluster_memory(t->n, t->d, o);
    struct cluster_merge *room AUTO_FREE = calloc(t->n, sizeof *room);
    struct cluster__merges merges = {room, 0};
    enum err rc;

    if (!room) return err_set(err, ERR_NOMEM, "no memory for %zu merges", t->n);
    /* Without a cut the graph is in the estimate already; under one it gets what is left. */
    const size_t left = !o->memory_max || cut == TO_THE_END ? 0 : o->memory_max - own + 1;
    if ((rc = cluster__complete(&merges, t->x, t->n, t->d, &t->constraints, cut, left, &t->job,
                                err)))
        return rc;
    if ((rc = keep_merges(t, &merges, err))) return rc;
    *at_cut = isnan(t->result->cut) ? 0 : above_cut(t->result);
    return ERR_OK;
}

enum err cluster__linkage(struct cluster__task *t, struct err_info *err)
{
    const struct cluster_options *o = t->options;
    const bool is_complete = o->algorithm == CLUSTER_COMPLETE;
    size_t at_cut = 0;
    enum err rc;

    if (o->algorithm == CLUSTER_AUTO)
        cluster__note(t->result, "method", "average",
                      "average linkage: a face joins a person by all of that person's faces");
    if (!isnan(o->cut) && !o->k) {
        t->result->cut = o->cut;
        cluster__note_number(t->result, "cut", (double)o->cut, 6, "as given");
    }
    if ((rc = is_complete ? complete(t, &at_cut, err) : average(t, &at_cut, err))) return rc;
    return read_tree(t, at_cut, err);
}
