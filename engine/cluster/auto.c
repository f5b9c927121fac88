/* The default: average linkage down to a cut that the calibration and the number of clusters give.
 *
 * A cut of false-match rate f lets a pair of strangers pass with chance f. Among k clusters each
 * meets k - 1 others, so at that cut it expects f (k - 1) strangers who look as alike. Merging goes
 * on while that is at most STRANGERS: with faces merged there are fewer clusters left, fewer
 * chances of an error, and a lower cut does. So the rate suits the number of faces (many faces of
 * different people: a strict cut) and of people (many faces of few: a lower one), and it does not
 * depend on the data in any other way. That a mean of several pairs passes less often than one pair
 * is left as a margin. Merges come most similar first, and k and the rate are read again until they
 * agree; as a merge that was allowed stays allowed when others follow, this stops where merging one
 * by one would.
 *
 * Measured (dlib-resnet): 40 photographs of 8 people 1e-2, B-cubed F 1.000; 472 of 81 people 1e-3,
 * 0.980; LFW's View 1, 4,992 of 3,093 people, 1.78e-5, 0.941, where 1e-3 would give 0.879.
 *
 * Never below the last rate of the table (1e-2): less alike than that, verify says "unknown". */
#include "engine/cluster/method.h"

static const double STRANGERS = 0.1; /* one cluster in ten meets one */

const double cluster_rates[CLUSTER_RATES] = {
    1e-6,     1.778e-6, 3.162e-6, 5.623e-6, 1e-5,     1.778e-5, 3.162e-5, 5.623e-5, 1e-4,
    1.778e-4, 3.162e-4, 5.623e-4, 1e-3,     1.778e-3, 3.162e-3, 5.623e-3, 1e-2};

/* The last rate that so many clusters allow; the first where none does. */
static int rate_for(const struct cluster_options *o, size_t clusters)
{
    int i = 0;
    while (i + 1 < o->n_rates &&
           o->rates[i + 1].fmr * (double)(clusters - 1) <= STRANGERS * (1 + 1e-9))
        i++;
    return i;
}

static void note_cut(struct cluster__task *t, int rate, size_t clusters)
{
    const struct cluster_rate *r = t->options->rates + rate;
    const double strangers = r->fmr * (double)(clusters - 1);

    if (strangers > STRANGERS)
        cluster__note_number(
            t->result, "cut", (double)r->similarity, 6,
            "similarity at false-match rate %.3g, the strictest that the calibration "
            "supports; %zu clusters would need one of %.3g",
            r->fmr, clusters, STRANGERS / (double)(clusters - 1));
    else if (rate + 1 == t->options->n_rates)
        cluster__note_number(
            t->result, "cut", (double)r->similarity, 6,
            "similarity at false-match rate %.3g, the last that is used, though %zu "
            "clusters would allow more",
            r->fmr, clusters);
    else
        cluster__note_number(
            t->result, "cut", (double)r->similarity, 6,
            "similarity at false-match rate %.3g: each of %zu clusters meets %.2g others "
            "as alike by chance, at most %.2g are allowed",
            r->fmr, clusters, strangers, STRANGERS);
}

enum err cluster__auto_cut(struct cluster__average *a, struct cluster__task *t,
                           struct err_info *err)
{
    const struct cluster__merges *merges = cluster__average_merges(a);
    int rate = rate_for(t->options, t->n);
    enum err rc;

    for (;;) {
        if ((rc = cluster__average_to(a, t->options->rates[rate].similarity, &t->job, err)))
            return rc;
        const int next = rate_for(t->options, t->n - merges->n);
        if (next <= rate) break;
        rate = next;
    }
    t->result->cut = t->options->rates[rate].similarity;
    t->result->cut_fmr = t->options->rates[rate].fmr;
    note_cut(t, rate, t->n - merges->n);
    return ERR_OK;
}
