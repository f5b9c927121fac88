#include "engine/train/glyphs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

enum { ROUNDS = 60 };

static void centre(double *mean, const float *x, size_t n, int d)
{
    memset(mean, 0, (size_t)d * sizeof *mean);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < d; k++) mean[k] += (double)x[i * (size_t)d + (size_t)k] / (double)n;
}

static void covariance(double *c, const double *mean, const float *x, size_t n, int d)
{
    memset(c, 0, (size_t)d * (size_t)d * sizeof *c);
    for (size_t i = 0; i < n; i++) {
        const float *row = x + i * (size_t)d;
        for (int k = 0; k < d; k++) {
            const double v = (double)row[k] - mean[k];
            for (int l = 0; l < d; l++) c[k * d + l] += v * ((double)row[l] - mean[l]);
        }
    }
}

/* The largest eigenvector of c, which then loses it. */
static void take_component(double *v, double *c, double *scratch, int d)
{
    double length = 1;
    for (int k = 0; k < d; k++) v[k] = 1 + k % 3;
    for (int round = 0; round < ROUNDS; round++) {
        length = 0;
        for (int k = 0; k < d; k++) {
            scratch[k] = 0;
            for (int l = 0; l < d; l++) scratch[k] += c[k * d + l] * v[l];
            length += scratch[k] * scratch[k];
        }
        length = sqrt(length);
        for (int k = 0; k < d; k++) v[k] = length > 0 ? scratch[k] / length : 0;
    }
    for (int k = 0; k < d; k++)
        for (int l = 0; l < d; l++) c[k * d + l] -= length * v[k] * v[l];
}

enum err train_scatter(float (*out)[2], const float *x, size_t n, int d, struct err_info *err)
{
    const size_t side = (size_t)d;
    AUTO_FREE double *block = calloc(side * side + 3 * side, sizeof *block);
    if (!block) return err_set(err, ERR_NOMEM, "no memory for principal components");
    double *c = block, *mean = c + side * side, *v = mean + side, *scratch = v + side;
    centre(mean, x, n, d);
    covariance(c, mean, x, n, d);
    for (int axis = 0; axis < 2; axis++) {
        take_component(v, c, scratch, d);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (int k = 0; k < d; k++) sum += v[k] * ((double)x[i * side + (size_t)k] - mean[k]);
            out[i][axis] = (float)sum;
        }
    }
    return ERR_OK;
}
