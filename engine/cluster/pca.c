/* Principal components by the eigenvectors of the covariance, or of the matrix of products of the
 * rows where there are fewer rows than dimensions (same subspace, smaller matrix). In double. */
#include "engine/cluster.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "engine/base/mem.h"

/* LAPACK, from OpenBLAS: eigenvalues of a symmetric matrix, smallest first, and its eigenvectors.
 */
extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda,
                    double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                    int *info);

enum { BLOCK = 32 };

struct pca {
    const float *x;
    size_t n;
    int d;
    int side;       /* of the matrix: min(n, d) */
    double *mean;   /* [d] */
    double *matrix; /* [side][side], then the eigenvectors in rows, smallest first */
    double *value;  /* [side] */
};

static double centred(const struct pca *p, size_t i, int k)
{
    return (double)p->x[i * (size_t)p->d + (size_t)k] - p->mean[k];
}

/* BLOCK rows of the covariance (not divided): sums over the rows of x in their order. */
static void covariance_part(void *arg, int part, int thread)
{
    const struct pca *p = arg;
    const int from = part * BLOCK, to = from + BLOCK < p->d ? from + BLOCK : p->d;

    (void)thread;
    for (size_t i = 0; i < p->n; i++) {
        const float *x = p->x + i * (size_t)p->d;
        for (int a = from; a < to; a++) {
            const double v = (double)x[a] - p->mean[a];
            double *row = p->matrix + (size_t)a * (size_t)p->d;
            for (int b = 0; b < p->d; b++) row[b] += v * ((double)x[b] - p->mean[b]);
        }
    }
}

/* BLOCK rows of the products of rows. */
static void gram_part(void *arg, int part, int thread)
{
    const struct pca *p = arg;
    const int n = (int)p->n, from = part * BLOCK, to = from + BLOCK < n ? from + BLOCK : n;

    (void)thread;
    for (int a = from; a < to; a++) {
        for (int b = 0; b <= a; b++) {
            double sum = 0;
            for (int k = 0; k < p->d; k++)
                sum += centred(p, (size_t)a, k) * centred(p, (size_t)b, k);
            p->matrix[(size_t)a * p->n + (size_t)b] = sum;
        }
    }
}

static enum err eigen(struct pca *p, struct err_info *err)
{
    const int n = p->side, threads = omp_get_max_threads();
    const size_t work_n = 1 + 6 * (size_t)n + 2 * (size_t)n * (size_t)n;
    const int iwork_n = 3 + 5 * n;
    double *work AUTO_FREE = calloc(work_n, sizeof *work);
    int *iwork AUTO_FREE = calloc((size_t)iwork_n, sizeof *iwork);
    int info = 0;

    if (!work || !iwork || work_n > INT32_MAX)
        return err_set(err, ERR_NOMEM, "no memory for the components of %d dimensions", n);
    /* One thread: what it adds up must not depend on how many there are. Row-major lower is
     * column-major upper. */
    omp_set_num_threads(1);
    dsyevd_("V", "U", &n, p->matrix, &n, p->value, work, &(const int){(int)work_n}, iwork, &iwork_n,
            &info);
    omp_set_num_threads(threads);
    if (info) return err_set(err, ERR_INTERNAL, "dsyevd ended with %d", info);
    return ERR_OK;
}

/* The axis [d] of eigenvector v, of unit length (zero where there is no variance), the greatest
 * coefficient positive. */
static void axis_of(double *axis, const struct pca *p, const double *v)
{
    double length = 0;
    int most = 0;

    for (int k = 0; k < p->d; k++) {
        double sum = 0;
        if (p->side == p->d)
            sum = v[k];
        else
            for (size_t i = 0; i < p->n; i++) sum += v[i] * centred(p, i, k);
        axis[k] = sum;
        length += sum * sum;
        if (fabs(sum) > fabs(axis[most])) most = k;
    }
    const double scale = length > 0 ? (axis[most] < 0 ? -1 : 1) / sqrt(length) : 0;
    for (int k = 0; k < p->d; k++) axis[k] *= scale;
}

static void project(float *out, double *explained, const struct pca *p, int components,
                    double *axis)
{
    double all = 0;

    for (int i = 0; i < p->side; i++) all += p->value[i] > 0 ? p->value[i] : 0;
    for (int c = 0; c < components; c++) {
        const int at = p->side - 1 - c; /* greatest first; past the last there is no variance */
        const double value = at >= 0 && p->value[at] > 0 ? p->value[at] : 0;
        if (explained) explained[c] = all > 0 ? value / all : 0;
        for (size_t i = 0; i < p->n; i++) out[i * (size_t)components + (size_t)c] = 0;
        if (!(value > all * 1e-15)) continue;
        axis_of(axis, p, p->matrix + (size_t)at * (size_t)p->side);
        for (size_t i = 0; i < p->n; i++) {
            double sum = 0;
            for (int k = 0; k < p->d; k++) sum += axis[k] * centred(p, i, k);
            out[i * (size_t)components + (size_t)c] = (float)sum;
        }
    }
}

enum err cluster_pca(float *out, double *explained, const float *x, size_t n, int d, int components,
                     const struct cores *cores, struct err_info *err)
{
    const int side = n < (size_t)d ? (int)n : d;
    double *mean AUTO_FREE = calloc((size_t)d, sizeof *mean);
    double *matrix AUTO_FREE = calloc((size_t)side * (size_t)side + 1, sizeof *matrix);
    double *value AUTO_FREE = calloc((size_t)side + 1, sizeof *value);
    double *axis AUTO_FREE = calloc((size_t)d, sizeof *axis);
    struct pca p = {x, n, d, side, mean, matrix, value};
    enum err rc;

    if (n < 1 || components < 1 || components > d)
        return err_set(err, ERR_INVALID, "%d components of %zu rows of %d numbers", components, n,
                       d);
    if (!mean || !matrix || !value || !axis)
        return err_set(err, ERR_NOMEM, "no memory for the components of %d dimensions", side);
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < d; k++) mean[k] += (double)x[i * (size_t)d + (size_t)k];
    }
    for (int k = 0; k < d; k++) {
        mean[k] /= (double)n;
        if (!isfinite(mean[k]))
            return err_set(err, ERR_INVALID, "dimension %d has numbers that are not finite", k);
    }
    cores_run(cores, side == d ? covariance_part : gram_part, &p, (side + BLOCK - 1) / BLOCK);
    if ((rc = eigen(&p, err))) return rc;
    project(out, explained, &p, components, axis);
    return ERR_OK;
}
