/* A layout in which neighbours stay neighbours: t-SNE (van der Maaten & Hinton 2008), with a
 * quadtree for what is far away (Barnes-Hut, van der Maaten 2014); up to EXACT_MAX rows the tree is
 * opened to its leaves, which is the exact method. Rows start at their principal components, so
 * the picture depends on the data alone. Each row's force is one part of a loop, sums are taken in
 * the order of rows: the same bytes for any number of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cluster/layout_tree.h"
#include "engine/cluster/neighbours.h"
#include "engine/cluster/random.h"
#include "engine/cluster/report.h"

enum { EXACT_MAX = 250, ROUNDS = 500, EXAGGERATED = 125, ROWS_OF_PART = 64 };
static const double PERPLEXITY = 30, THETA = 0.5, EXAGGERATION = 12, START_SPREAD = 1e-4;

struct affinity { /* of a pair, in both rows' lists */
    uint32_t row;
    float p;
};

struct layout {
    size_t n;
    double *y, *velocity, *gain; /* [n][2] */
    double *force; /* [n][3]: attraction and repulsion of x, y; then the row's share of Z */
    double *pull;  /* [n][2] */
    size_t *start; /* [n + 1] */
    struct affinity *list;
    struct cluster__tree tree;
    double theta, exaggeration;
};

size_t cluster__layout_bytes(size_t n)
{
    const size_t neighbours = (size_t)(3 * PERPLEXITY);
    return n * (neighbours * (sizeof(struct cluster__edge) + 2 * sizeof(struct affinity)) +
                12 * sizeof(double) + cluster__tree_bytes());
}

/* p(j|i) for the k nearest of i: a Gaussian whose width gives the perplexity, by bisection. d2:
 * squared distances. */
static void conditional(float *p, const double *d2, int k, double perplexity)
{
    const double want = log(perplexity);
    double beta = 1, low = 0, high = INFINITY, sum = 1;

    for (int step = 0; step < 64; step++) {
        double weighted = 0;
        sum = 0;
        for (int j = 0; j < k; j++) {
            const double e = exp(-beta * (d2[j] - d2[0]));
            p[j] = (float)e;
            sum += e;
            weighted += e * (d2[j] - d2[0]);
        }
        const double entropy = log(sum) + beta * weighted / sum;
        if (fabs(entropy - want) < 1e-6) break;
        if (entropy > want)
            low = beta;
        else
            high = beta;
        beta = isinf(high) ? beta * 2 : (low + high) / 2;
    }
    for (int j = 0; j < k; j++) p[j] = (float)((double)p[j] / sum);
}

static void weigh_neighbours(float *p, const struct cluster__edge *near, size_t n, int k,
                             double perplexity, double *d2)
{
    for (size_t i = 0; i < n; i++) {
        for (int j = 0; j < k; j++) {
            const double s = near[i * (size_t)k + (size_t)j].similarity;
            d2[j] = s < 1 ? 2 - 2 * s : 0;
        }
        conditional(p + i * (size_t)k, d2, k, perplexity);
    }
}

/* Lists of both directions: p(i,j) = (p(j|i) + p(i|j)) / 2n, the two halves as entries of their
 * own: their forces add up. */
static void make_symmetric(struct layout *l, const struct cluster__edge *near, const float *p,
                           int k, size_t *at)
{
    const size_t entries = l->n * (size_t)k;

    for (size_t e = 0; e < entries; e++) {
        l->start[e / (size_t)k + 1]++;
        l->start[near[e].row + 1]++;
    }
    for (size_t i = 0; i < l->n; i++) {
        l->start[i + 1] += l->start[i];
        at[i] = l->start[i];
    }
    for (size_t e = 0; e < entries; e++) {
        const uint32_t i = (uint32_t)(e / (size_t)k), j = near[e].row;
        const float half = p[e] / (2 * (float)l->n);
        l->list[at[i]++] = (struct affinity){j, half};
        l->list[at[j]++] = (struct affinity){i, half};
    }
}

static enum err affinities(struct layout *l, const struct cluster__panels *panels,
                           double perplexity, const struct cluster__job *job, struct err_info *err)
{
    const size_t n = l->n;
    const int most = (int)(3 * perplexity), k = (size_t)most < n - 1 ? most : (int)(n - 1);
    struct cluster__edge *near AUTO_FREE = calloc(n * (size_t)k, sizeof *near);
    float *p AUTO_FREE = calloc(n * (size_t)k, sizeof *p);
    double *d2 AUTO_FREE = calloc((size_t)k, sizeof *d2);
    size_t *at AUTO_FREE = calloc(n, sizeof *at);
    enum err rc;

    l->list = calloc(2 * n * (size_t)k, sizeof *l->list);
    if (!near || !p || !d2 || !at || !l->list)
        return err_set(err, ERR_NOMEM, "no memory for a layout of %zu rows", n);
    if ((rc = cluster__nearest(near, panels, k, job, err))) return rc;
    weigh_neighbours(p, near, n, k, perplexity, d2);
    make_symmetric(l, near, p, k, at);
    return ERR_OK;
}

/* Forces on ROWS_OF_PART rows: attraction along the lists, repulsion (not divided by Z) by the
 * tree.
 */
static void force_part(void *arg, int part, int thread)
{
    struct layout *l = arg;
    const size_t from = (size_t)part * ROWS_OF_PART;
    const size_t to = l->n - from < ROWS_OF_PART ? l->n : from + ROWS_OF_PART;

    (void)thread;
    for (size_t i = from; i < to; i++) {
        const double *y = l->y + 2 * i;
        double pull[2] = {0, 0};
        for (size_t e = l->start[i]; e < l->start[i + 1]; e++) {
            const double *other = l->y + 2 * (size_t)l->list[e].row;
            const double dx = y[0] - other[0], dy = y[1] - other[1];
            const double w = (double)l->list[e].p / (1 + dx * dx + dy * dy);
            pull[0] += w * dx;
            pull[1] += w * dy;
        }
        l->pull[2 * i] = pull[0];
        l->pull[2 * i + 1] = pull[1];
        cluster__tree_push(l->force + 3 * i, &l->tree, (uint32_t)i, l->theta);
    }
}

/* One step of gradient descent with momentum and a gain for each coordinate (Jacobs 1988). */
static void step(struct layout *l, double momentum, double rate)
{
    double z = 0, mean[2] = {0, 0};

    for (size_t i = 0; i < l->n; i++) z += l->force[3 * i + 2];
    for (size_t c = 0; c < 2 * l->n; c++) {
        const double push = z > 0 ? l->force[3 * (c / 2) + c % 2] / z : 0;
        const double gradient = 4 * (l->exaggeration * l->pull[c] - push);
        const bool turned = (gradient > 0) == (l->velocity[c] > 0);
        l->gain[c] = turned ? fmax(l->gain[c] * 0.8, 0.01) : l->gain[c] + 0.2;
        l->velocity[c] = momentum * l->velocity[c] - rate * l->gain[c] * gradient;
        l->y[c] += l->velocity[c];
        mean[c % 2] += l->y[c] / (double)l->n;
    }
    for (size_t c = 0; c < 2 * l->n; c++) l->y[c] -= mean[c % 2];
}

static enum err descend(struct layout *l, const struct cluster__job *job, struct err_info *err)
{
    const size_t parts = (l->n + ROWS_OF_PART - 1) / ROWS_OF_PART;
    const double rate = fmax((double)l->n / EXAGGERATION / 4, 50); /* Belkina et al. 2019 */
    enum err rc;

    for (int round = 0; round < ROUNDS; round++) {
        const bool early = round < EXAGGERATED;
        l->exaggeration = early ? EXAGGERATION : 1;
        if ((rc = cluster__tree_build(&l->tree, l->y, l->n, err))) return rc;
        cores_run(job->cores, force_part, l, (int)parts);
        step(l, early ? 0.5 : 0.8, rate);
        if ((rc = cluster__tell(job, "layout", (size_t)round + 1, ROUNDS, err))) return rc;
    }
    return ERR_OK;
}

/* Principal components, shrunk; equal rows get a little apart, else nothing would part them. */
static void begin(struct layout *l, const float *start, uint64_t seed)
{
    uint64_t random = seed;
    double square = 0;

    for (size_t i = 0; i < l->n; i++) square += (double)start[2 * i] * (double)start[2 * i];
    const double spread = sqrt(square / (double)l->n);
    const double scale = spread > 0 ? START_SPREAD / spread : 0;
    for (size_t c = 0; c < 2 * l->n; c++) {
        l->y[c] =
            (double)start[c] * scale + START_SPREAD * 0.01 * (cluster__random_unit(&random) - 0.5);
        l->gain[c] = 1;
    }
}

enum err cluster__layout(float *out, double *perplexity, int *rounds, const float *start,
                         const struct cluster__panels *p, uint64_t seed,
                         const struct cluster__job *job, struct err_info *err)
{
    const size_t n = p->n;
    double *numbers AUTO_FREE = calloc(11 * n, sizeof *numbers);
    size_t *lists AUTO_FREE = calloc(n + 1, sizeof *lists);
    struct layout l = {.n = n, .start = lists, .theta = n <= EXACT_MAX ? 0 : THETA};
    enum err rc;

    if (!numbers || !lists) return err_set(err, ERR_NOMEM, "no memory for a layout of %zu rows", n);
    l.y = numbers;
    l.velocity = numbers + 2 * n;
    l.gain = numbers + 4 * n;
    l.pull = numbers + 6 * n;
    l.force = numbers + 8 * n;
    *perplexity = fmin(PERPLEXITY, (double)(n - 1) / 3);
    *rounds = ROUNDS;
    begin(&l, start, seed);
    rc = affinities(&l, p, *perplexity, job, err);
    if (!rc) rc = descend(&l, job, err);
    for (size_t c = 0; !rc && c < 2 * n; c++) out[c] = (float)l.y[c];
    free(l.list);
    cluster__tree_release(&l.tree);
    return rc;
}
