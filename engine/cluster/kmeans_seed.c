/* k-means++ (Arthur & Vassilvitskii 2007): the next centre is a row drawn with a chance
 * proportional to its squared distance to the nearest centre so far; of a few draws the one that
 * leaves the least sum (their section 5). */
#include "engine/cluster/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/random.h"

/* Below this a squared distance is the rounding of equal rows. */
static const double SAME = 1e-6;

struct seeding {
    const struct cluster__points *p;
    double *square;   /* [n] of each row's length */
    double *distance; /* [n] squared, to the nearest centre */
    float *product;   /* [tries][n] */
    float *candidate; /* [tries][panels.d] */
    uint32_t *tried;  /* [tries] */
    int tries;
};

static double sum_of(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return sum;
}

static uint32_t draw(const struct seeding *s, double total, uint64_t *random)
{
    const double at = cluster__random_unit(random) * total;
    double sum = 0;
    size_t last = 0;

    for (size_t i = 0; i < s->p->n; i++) {
        if (!(s->distance[i] > 0)) continue;
        last = i;
        sum += s->distance[i];
        if (sum > at) break;
    }
    return (uint32_t)last;
}

/* The squared distance of row i to candidate t. */
static double off(const struct seeding *s, int t, size_t i)
{
    const uint32_t c = s->tried[t];
    const double both = s->square[i] + s->square[c];
    const double d = both - 2 * (double)s->product[(size_t)t * s->p->n + i];
    return i == c || d < SAME * both ? 0 : d;
}

static enum err measure(struct seeding *s, const struct cluster__job *job, struct err_info *err)
{
    const int d = s->p->panels.d;

    for (int t = 0; t < s->tries; t++) {
        float *row = s->candidate + (size_t)t * (size_t)d;
        cluster__panels_get(row, &s->p->panels, s->tried[t]);
        if (s->p->metric == CLUSTER_EUCLIDEAN) row[d - 1] = 0;
    }
    return cluster__dots_few(s->product, s->candidate, s->tries, &s->p->panels, job, "seeding",
                             err);
}

/* Of the candidates measured, the one that leaves the least sum becomes a centre. */
static void take_best(struct seeding *s, float *centre)
{
    const size_t n = s->p->n;
    double least = INFINITY;
    int best = 0;

    for (int t = 0; t < s->tries; t++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            const double d = off(s, t, i);
            sum += d < s->distance[i] ? d : s->distance[i];
        }
        if (sum < least) {
            least = sum;
            best = t;
        }
    }
    for (size_t i = 0; i < n; i++) {
        const double d = off(s, best, i);
        if (d < s->distance[i]) s->distance[i] = d;
    }
    memcpy(centre, s->candidate + (size_t)best * (size_t)s->p->panels.d,
           (size_t)s->p->d * sizeof *centre);
}

static enum err seed(struct seeding *s, float *centres, int k, uint64_t *random,
                     const struct cluster__job *job, struct err_info *err)
{
    const size_t n = s->p->n;
    const int tries = s->tries;
    enum err rc;

    for (size_t i = 0; i < n; i++) s->distance[i] = INFINITY;
    s->tries = 1;
    s->tried[0] = (uint32_t)cluster__random_below(random, n);
    for (int c = 0; c < k; c++) {
        if (c > 0) {
            const double total = sum_of(s->distance, n);
            if (!(total > 0))
                return err_set(err, ERR_INVALID, "k is %d, but only %d of the %zu rows differ", k,
                               c, n);
            s->tries = tries;
            for (int t = 0; t < tries; t++) s->tried[t] = draw(s, total, random);
        }
        if ((rc = measure(s, job, err))) return rc;
        take_best(s, centres + (size_t)c * (size_t)s->p->d);
    }
    return ERR_OK;
}

enum err cluster__kmeans_seed(float *centres, const struct cluster__points *p, int k,
                              uint64_t *random, const struct cluster__job *job,
                              struct err_info *err)
{
    const int tries = 2 + (int)log(k);
    const size_t rows = (size_t)tries;
    double *square AUTO_FREE = calloc(p->n, sizeof *square);
    double *distance AUTO_FREE = calloc(p->n, sizeof *distance);
    float *product AUTO_FREE = calloc(rows * p->n, sizeof *product);
    float *candidate AUTO_FREE = calloc(rows * (size_t)p->panels.d, sizeof *candidate);
    uint32_t *tried AUTO_FREE = calloc(rows, sizeof *tried);
    double *v AUTO_FREE = calloc((size_t)p->d, sizeof *v);
    struct seeding s = {p, square, distance, product, candidate, tried, tries};

    if (!square || !distance || !product || !candidate || !tried || !v)
        return err_set(err, ERR_NOMEM, "no memory for the centres of %zu rows", p->n);
    for (size_t i = 0; i < p->n; i++) {
        cluster__point(v, p, i);
        for (int j = 0; j < p->d; j++) square[i] += v[j] * v[j];
    }
    return seed(&s, centres, k, random, job, err);
}
