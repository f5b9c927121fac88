/* The principal directions of many vectors, only as many as are wanted: of 4096 dimensions a whole
 * eigendecomposition takes minutes. */
#include <omp.h>
#include <stdlib.h>

#include "engine/base/mem.h"
#include "engine/train/projection_net.h"
#include "engine/train/random.h"

enum { ITERATIONS = 6, PARTS = 8, BLOCK = 64 /* rows of x at a time */, WORK_COLUMNS = 64 };

struct principal {
    const struct train_ops *ops;
    const float *x;
    size_t n;
    int d, dim;
    float *q;     /* [d][dim] */
    float *sums;  /* [PARTS][d][dim] */
    float *y;     /* [PARTS][BLOCK][dim] */
    double *rows; /* [dim][d]: q^T, a direction lies together, as LAPACK wants a column */
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
    float *sums = p->sums + (size_t)part * size, *y = p->y + (size_t)part * BLOCK * (size_t)p->dim;

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

/* LAPACK, from OpenBLAS: a = Q R by Householder's reflections, then Q in a's place. */
extern void dgeqrf_(const int *m, const int *n, double *a, const int *lda, double *tau,
                    double *work, const int *lwork, int *info);
extern void dorgqr_(const int *m, const int *n, const int *k, double *a, const int *lda,
                    const double *tau, double *work, const int *lwork, int *info);

/* The rows become orthonormal, also where they are not independent: then x has fewer directions
 * than are wanted, and any others take their places. */
static enum err orthonormalise(const struct principal *p, double *tau, double *work, int work_n,
                               struct err_info *err)
{
    const int threads = omp_get_max_threads();
    int info, info_q = 0;

    /* One thread: what it adds up must not depend on how many there are. */
    omp_set_num_threads(1);
    dgeqrf_(&p->d, &p->dim, p->rows, &p->d, tau, work, &work_n, &info);
    if (!info) dorgqr_(&p->d, &p->dim, &p->dim, p->rows, &p->d, tau, work, &work_n, &info_q);
    omp_set_num_threads(threads);
    if (info || info_q)
        return err_set(err, ERR_INTERNAL, "dgeqrf ended with %d, dorgqr with %d", info, info_q);
    for (int c = 0; c < p->dim; c++)
        for (int k = 0; k < p->d; k++)
            p->q[(size_t)k * (size_t)p->dim + (size_t)c] =
                (float)p->rows[(size_t)c * (size_t)p->d + (size_t)k];
    return ERR_OK;
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
    AUTO_FREE double *tau = calloc((size_t)dim, sizeof *tau);
    const int work_n = WORK_COLUMNS * dim;
    AUTO_FREE double *work = calloc((size_t)work_n, sizeof *work);
    enum err rc;
    if (!sums || !y || !rows || !tau || !work)
        return err_set(err, ERR_NOMEM, "no memory for %d directions of %d dimensions", dim, d);
    for (size_t i = 0; i < size; i++) rows[i] = train_normal(&r);
    rc = orthonormalise(&p, tau, work, work_n, err);
    for (int i = 0; !rc && i < ITERATIONS; i++) {
        cores_run(cores, multiply_part, &p, PARTS);
        cores_run(cores, gather_part, &p, PARTS);
        rc = orthonormalise(&p, tau, work, work_n, err);
    }
    return rc;
}
