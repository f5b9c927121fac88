/* Calibration JSON, as a model file may carry it: whatever is taken must answer without
 * contradicting itself. */
#include "engine/match.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct calibration *c = NULL;
    char *text = malloc(len + 1);

    if (!text) return 0;
    if (len) memcpy(text, data, len);
    text[len] = 0;
    if (!calibration_parse(&c, text, NULL)) {
        double last_fmr = 1, last_p = 0;
        for (double rate = 0.5; rate > 1e-12; rate /= 3) {
            float cut;
            if (calibration_cut(c, rate, &cut, NULL)) continue;
            if (!isfinite(cut)) abort();
            /* a similarity at the cut is accepted, so its rate must be what was asked */
            if (calibration_fmr(c, cut) > rate * (1 + 1e-6)) abort();
        }
        for (float s = -1; s <= 1; s += 0.01f) {
            const double fmr = calibration_fmr(c, s), p = calibration_probability(c, s);
            if (!(fmr > 0) || fmr > last_fmr || !(p > 0) || !(p < 1) || p < last_p) abort();
            last_fmr = fmr;
            last_p = p;
        }
        calibration_free(c);
    }
    free(text);
    return 0;
}
