/* Within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006, "Within-class
 * covariance normalization for SVM-based speaker recognition"): directions in which glyphs of one
 * character differ count less. e becomes L^-1 e with L L^T = C, the covariance within characters; a
 * cosine sees no more of L than C^-1. As e is the last dense layer's output, of unit length or not,
 * L^-1 goes into that layer's weights, and the network stays as it is. */
#include <cblas.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/train/glyphs.h"

extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);

enum { BATCHES = 40, ROWS = GLYPH_WITHIN / BATCHES };
_Static_assert(ROWS % TRAIN_GROUP == 0 && ROWS * BATCHES == GLYPH_WITHIN, "whole groups");

void glyph_draw_within(uint8_t *pixels, const struct trainer *t)
{
    struct train_pick picks[ROWS];
    uint32_t labels[ROWS], kin[ROWS];
    for (long k = 0; k < BATCHES; k++) {
        train_batches_draw(picks, labels, kin, &t->batches, t->plan.steps + k, ROWS);
        for (int i = 0; i < ROWS; i++, pixels += TRAIN_PIXELS)
            train_pick_pixels(pixels, &picks[i], t->plan.set);
    }
}

/* What is left of each row without its group's mean: [n][d]. */
static void leave_means(double *left, const float *x, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i += TRAIN_GROUP)
        for (size_t k = 0; k < d; k++) {
            double mean = 0;
            for (size_t j = i; j < i + TRAIN_GROUP; j++) mean += (double)x[j * d + k] / TRAIN_GROUP;
            for (size_t j = i; j < i + TRAIN_GROUP; j++)
                left[j * d + k] = (double)x[j * d + k] - mean;
        }
}

enum err train_within(double *l, const float *x, size_t n, int d, struct err_info *err)
{
    AUTO_FREE double *left = malloc(n * (size_t)d * sizeof *left);
    double trace = 0;
    int info;
    if (!left) return err_set(err, ERR_NOMEM, "no memory for a covariance of %d", d);
    leave_means(left, x, n, (size_t)d);
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, d, (int)n, 1 / (double)n, left, d, 0, l, d);
    for (int k = 0; k < d; k++) trace += l[k * d + k];
    for (int k = 0; k < d; k++) l[k * d + k] += trace / d;
    /* Fortran's columns are our rows: its upper triangle is our lower one, its U^T U our L L^T */
    dpotrf_("U", &d, l, &d, &info);
    return info ? err_set(err, ERR_INVALID, "the embeddings do not differ within characters")
                : ERR_OK;
}

/* L^-1 times the weights and biases of a dense layer with d outputs. */
static enum err change_weights(struct train_glyphs *t, const double *l, int d, struct err_info *err)
{
    const struct nn_op *op = NULL;
    for (int i = 0; i < t->graph.n_ops; i++)
        if (t->graph.ops[i].kind == NN_DENSE) op = &t->graph.ops[i];
    const size_t inputs = op->w_count / (size_t)d, columns = inputs + 1;
    AUTO_FREE double *m = malloc((size_t)d * columns * sizeof *m);
    float *w = t->weights + (op->w - t->weights), *b = t->weights + (op->b - t->weights);
    if (!m) return err_set(err, ERR_NOMEM, "no memory for %zu weights", op->w_count);
    for (size_t k = 0; k < (size_t)d; k++) {
        for (size_t i = 0; i < inputs; i++) m[k * columns + i] = (double)w[k * inputs + i];
        m[k * columns + inputs] = (double)b[k];
    }
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, d, (int)columns,
                1, l, d, m, (int)columns);
    for (size_t k = 0; k < (size_t)d; k++) {
        for (size_t i = 0; i < inputs; i++) w[k * inputs + i] = (float)m[k * columns + i];
        b[k] = (float)m[k * columns + inputs];
    }
    return ERR_OK;
}

enum err glyph_even_out(struct train_glyphs *t, const struct cores *cores, struct err_info *err)
{
    const size_t n = GLYPH_WITHIN, d = (size_t)t->dim;
    AUTO_FREE uint8_t *pixels = malloc(n * TRAIN_PIXELS);
    AUTO_FREE float *x = mem_aligned(n * d, sizeof *x);
    AUTO_FREE double *l = calloc(d * d, sizeof *l);
    enum err rc;
    if (!pixels || !x || !l) return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", n);
    glyph_draw_within(pixels, t->trainer);
    if ((rc = train_embed(x, &t->graph, pixels, n, cores, err))) return rc;
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* of OpenBLAS: the same sums on any number of cores */
    if (!(rc = train_within(l, x, n, t->dim, err))) rc = change_weights(t, l, t->dim, err);
    omp_set_num_threads(threads);
    return rc;
}
