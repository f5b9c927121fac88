/* Similarity of two unit vectors. The order of additions is fixed: the same floats give the same
 * answer on every CPU, at any alignment, so that a decision never depends on the machine that made
 * it. */
#include "engine/match.h"

#include <math.h>

enum {
    LANES = 16
}; /* independent sums: wide enough for the compiler's vectors, the order stays ours */

float match_similarity(const float *a, const float *b, int d)
{
    float lane[LANES] = {0};
    int i = 0;

    for (; i + LANES <= d; i += LANES) {
        for (int k = 0; k < LANES; k++) lane[k] += a[i + k] * b[i + k];
    }
    for (int k = 0; i < d; i++, k++) lane[k] += a[i] * b[i];
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int k = 0; k < half; k++) lane[k] += lane[k + half];
    }
    return lane[0] > 1 ? 1.0f : lane[0] < -1 ? -1.0f : lane[0];
}

bool match_normalize(float *v, int d)
{
    double sum = 0;

    for (int i = 0; i < d; i++) sum += (double)v[i] * (double)v[i];
    if (!(sum > 0) || !isfinite(sum)) return false;
    const double scale = 1 / sqrt(sum);
    for (int i = 0; i < d; i++) v[i] = (float)(v[i] * scale);
    return true;
}
