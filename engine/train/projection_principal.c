/* The principal directions of many vectors, only as many as are wanted: of 4096 dimensions a whole
 * eigendecomposition takes minutes. */
#include <math.h>
#include <stdlib.h>

#include "engine/base/mem.h"
#include "engine/train/projection_net.h"
#include "engine/train/random.h"

enum { ITERATIONS = 6, PARTS = 8, BLOCK = 64 /* rows of x at a time */ };
static const double DEPENDENT = 1e-5; /* what is left of a direction that the others have */

/* q^T is in `rows` [dim][d], so that a direction lies together. */
struct principal {
    const struct train_ops *ops;
    const float *x;
    size_t n;
    int d, dim, pivot;
    float *q;     /* [d][dim] */
    float *sums;  /* [PARTS][d][dim] */
    float *y;     /* [PARTS][BLOCK][dim] */
    double *rows; /* [dim][d] */
};

static struct train_window window(const struct principal *p, size_t n)
{
    return (struct train_window){(int)n, 1, 1, p->d, 1, 1, 1, 1, 0, 0, 1, 1, p->dim};
}

/* A fixed part of the rows: sums = x^T (x q). */
static void multiply_part(void *arg, int part, int thread)
{
    const struct principal *p = arg;
    const size_t size = (size_t)p->d * (size_t)p->dim, end = p->n * ((size_t)part + 1) / PARTS;
    float *sums = p->sums + (size_t)part * size,
          *y = p->y + (size_t)part * BLOCK * (size_t)p->dim;

    (void)thread;
    for (size_t i = 0; i < size; i++) sums[i] = 0;
    for (size_t i = p->n * (size_t)part / PARTS; i < end; i += BLOCK) {
        const float *x = p->x + i * (size_t)p->d;
        const struct train_window t = window(p, end - i < BLOCK ? end - i : BLOCK);
        p->ops->conv(y, x, p->q, NULL, &t, NULL); /* dense: no scratch */
        p->ops->conv_weights(sums, NULL, y, x, &t, NULL);
    }
}

static void gather_part(void *arg, int part, int thread)
{
    const struct principal *p = arg;
    const size_t d = (size_t)p->d, dim = (size_t)p->dim;

    (void)thread;
    for (size_t k = d * (size_t)part / PARTS; k < d * ((size_t)part + 1) / PARTS; k++)
        for (size_t c = 0; c < dim; c++) {
            double sum = 0;
            for (size_t s = 0; s < PARTS; s++) sum += (double)p->sums[(s * d + k) * dim + c];
            p->rows[c * d + k] = sum;
        }
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void subtract(double *a, const double *unit, int n)
{
    const double along = dot(a, unit, n);
    for (int i = 0; i < n; i++) a[i] -= along * unit[i];
}

/* The pivot's direction leaves those after it (modified Gram-Schmidt). */
static void clear_part(void *arg, int part, int thread)
{
    const struct principal *p = arg;
    const int left = p->dim - p->pivot - 1, first = p->pivot + 1;

    (void)thread;
    for (int c = first + left * part / PARTS; c < first + left * (part + 1) / PARTS; c++)
        subtract(p->rows + (size_t)c * (size_t)p->d, p->rows + (size_t)p->pivot * (size_t)p->d,
                 p->d);
}

static void draw(double *row, int d, struct train_random *r)
{
    for (int k = 0; k < d; k++) row[k] = train_normal(r);
}

/* Of unit length and at right angles to all before; before: its length when the round began. Where
 * nothing is left of it (x has fewer directions than are wanted), any other takes its place. */
static void settle(const struct principal *p, int c, double before, struct train_random *r)
{
    double *row = p->rows + (size_t)c * (size_t)p->d, length = sqrt(dot(row, row, p->d));

    while (!(length > DEPENDENT * before) || !(length > 0)) {
        draw(row, p->d, r);
        before = sqrt(dot(row, row, p->d));
        for (int k = 0; k < c; k++) subtract(row, p->rows + (size_t)k * (size_t)p->d, p->d);
        length = sqrt(dot(row, row, p->d));
    }
    for (int k = 0; k < p->d; k++) row[k] /= length;
}

static void orthonormalise(struct principal *p, double *lengths, struct train_random *r,
                           const struct cores *cores)
{
    for (int c = 0; c < p->dim; c++) {
        const double *row = p->rows + (size_t)c * (size_t)p->d;
        lengths[c] = sqrt(dot(row, row, p->d));
    }
    for (p->pivot = 0; p->pivot < p->dim; p->pivot++) {
        settle(p, p->pivot, lengths[p->pivot], r);
        cores_run(cores, clear_part, p, PARTS);
    }
    for (int c = 0; c < p->dim; c++)
        for (int k = 0; k < p->d; k++)
            p->q[(size_t)k * (size_t)p->dim + (size_t)c] =
                (float)p->rows[(size_t)c * (size_t)p->d + (size_t)k];
}

enum err projection_principal(float *q, const float *x, size_t n, int d, int dim, uint64_t seed,
                              const struct cores *cores, struct err_info *err)
{
    const size_t size = (size_t)d * (size_t)dim;
    struct principal p = {.ops = train_ops_at(0), .x = x, .n = n, .d = d, .dim = dim, .q = q};
    struct train_random r = train_random_of(seed, 0, 0);

    AUTO_FREE float *sums = p.sums = mem_aligned(PARTS * size, sizeof *sums);
    AUTO_FREE float *y = p.y = mem_aligned((size_t)PARTS * BLOCK * (size_t)dim, sizeof *y);
    AUTO_FREE double *rows = p.rows = mem_aligned(size, sizeof *rows);
    AUTO_FREE double *lengths = calloc((size_t)dim, sizeof *lengths);
    if (!sums || !y || !rows || !lengths)
        return err_set(err, ERR_NOMEM, "no memory for %d directions of %d dimensions", dim, d);
    draw(rows, (int)size, &r);
    orthonormalise(&p, lengths, &r, cores);
    for (int i = 0; i < ITERATIONS; i++) {
        cores_run(cores, multiply_part, &p, PARTS);
        cores_run(cores, gather_part, &p, PARTS);
        orthonormalise(&p, lengths, &r, cores);
    }
    return ERR_OK;
}
