/* The curve of a measurement -> calibration JSON (format in calibration.c). */
#include "engine/match.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "engine/match/roc_internal.h"

enum {
    ROWS_A_DECADE = 16,
    SUPPORTED_PAIRS = 10,
    FIT_BINS = 1 << 12, /* of [-1, 1]: finer than the fit can tell apart */
    FIT_STEPS = 100,
};

/* Printed with 6 decimals; rounded up, so that no more pairs reach the printed threshold than the
 * printed rate says. */
static double round_up(double s)
{
    return ceil(s * 1e6 - 1e-9) / 1e6;
}

/* The threshold that `allowed` impostor pairs reach at most, and what reaches it once it is
 * rounded. */
static bool add_row(json_t *similarity, json_t *fmr, const struct roc *r, double rate,
                    double *last_s, double *last_fmr)
{
    double s = round_up(roc__threshold_for(r, rate));
    double seen = roc_fmr(r, (float)s);

    if (rate >= 1) s = round_up(r->value[0]) - 1e-6;                   /* everything lies above */
    if (s <= *last_s || seen >= *last_fmr || !(seen > 0)) return true; /* ties: nothing new */
    if (seen > 0.95 * rate && seen < rate && rate < *last_fmr) seen = rate;
    *last_s = s;
    *last_fmr = seen;
    return !json_array_append_new(similarity, json_real(s)) &&
           !json_array_append_new(fmr, json_real(seen));
}

static json_t *impostor_table(const struct roc *r)
{
    json_t *similarity = json_array(), *fmr = json_array();
    const double n = (double)r->n_impostor;
    double last_s = -2, last_fmr = 2;
    bool ok = similarity && fmr;

    for (int k = 0; ok; k++) {
        const double rate = pow(10, -(double)k / ROWS_A_DECADE);
        if (rate * n < SUPPORTED_PAIRS) break;
        ok = add_row(similarity, fmr, r, rate, &last_s, &last_fmr);
    }
    for (int pairs = SUPPORTED_PAIRS; ok && pairs >= 1; pairs--) /* the tail, pair by pair */
        ok = add_row(similarity, fmr, r, pairs / n, &last_s, &last_fmr);
    if (!ok) {
        json_decref(similarity);
        json_decref(fmr);
        return NULL;
    }
    return json_pack("{s:o, s:o}", "similarity", similarity, "fmr", fmr);
}

/* Where the genuine pairs lie: log-spaced misses from below, then evenly. */
static json_t *genuine_table(const struct roc *r)
{
    json_t *similarity = json_array(), *fnmr = json_array();
    bool ok = similarity && fnmr;
    double last = -2;

    for (int k = -3 * ROWS_A_DECADE; ok && k <= 32; k++) {
        const double want = k <= 0 ? 0.1 * pow(10, (double)k / ROWS_A_DECADE) : 0.1 + 0.9 * k / 32;
        const size_t i = (size_t)(want * (double)(r->n_genuine - 1));
        const double s = round_up(r->genuine[i]);
        if (s <= last) continue;
        last = s;
        ok = !json_array_append_new(similarity, json_real(s)) &&
             !json_array_append_new(fnmr, json_real(1 - roc_tar(r, (float)s)));
    }
    if (ok && json_array_size(similarity) < 2) /* one value only: a row above it */
        ok = !json_array_append_new(similarity, json_real(last + 1e-6)) &&
             !json_array_append_new(fnmr, json_real(1));
    if (!ok) {
        json_decref(similarity);
        json_decref(fnmr);
        return NULL;
    }
    return json_pack("{s:o, s:o}", "similarity", similarity, "fnmr", fnmr);
}

struct fit {
    double same[FIT_BINS],
        other[FIT_BINS]; /* weight of each kind in a bin of similarity; each kind sums to 1/2 */
    double target_same, target_other;
};

static double bin_middle(int i)
{
    return -1 + 2 * (i + 0.5) / FIT_BINS;
}

static int bin_of(float s)
{
    const int i = (int)(((double)s + 1) / 2 * FIT_BINS);
    return i < 0 ? 0 : i >= FIT_BINS ? FIT_BINS - 1 : i;
}

/* Cross-entropy of the line (a, b), its gradient and Hessian. log(1 + e^z) in the form that cannot
 * overflow. */
static double loss_of(const struct fit *f, double a, double b, double g[2], double h[3])
{
    double loss = 0;

    g[0] = g[1] = h[0] = h[1] = h[2] = 0;
    for (int i = 0; i < FIT_BINS; i++) {
        const double w = f->same[i] + f->other[i], s = bin_middle(i), z = a * s + b;
        if (w <= 0) continue;
        const double target = f->same[i] * f->target_same + f->other[i] * f->target_other;
        const double p = 1 / (1 + exp(-z)), d = w * p - target, c = w * p * (1 - p);
        loss += w * (fmax(z, 0) + log1p(exp(-fabs(z)))) - target * z;
        g[0] += d * s;
        g[1] += d;
        h[0] += c * s * s;
        h[1] += c * s;
        h[2] += c;
    }
    return loss;
}

/* Newton's method with halved steps. The targets are Platt's (1999): (n+1)/(n+2) and 1/(n+2)
 * instead of 1 and 0, which keeps the fit finite where the two kinds do not overlap. The two kinds
 * weigh the same: equal priors. */
static void fit_probability(const struct roc *r, double *a_out, double *b_out)
{
    static const double RIDGE = 1e-12; /* keeps the Hessian regular */
    struct fit *f = calloc(1, sizeof *f);
    double a = 1, b = 0, g[2], h[3], g2[2], h2[3];

    *a_out = 1e-3;
    *b_out = 0;
    if (!f) return;
    const double ng = (double)r->n_genuine, ni = (double)r->n_impostor;
    f->target_same = (ng + 1) / (ng + 2);
    f->target_other = 1 / (ni + 2);
    for (size_t i = 0; i < r->n_genuine; i++) f->same[bin_of(r->genuine[i])] += 0.5 / ng;
    for (size_t k = 0; k < r->steps; k++) {
        const uint64_t next = k + 1 < r->steps ? r->above[k + 1] : 0;
        f->other[bin_of(r->value[k])] += 0.5 * (double)(r->above[k] - next) / ni;
    }
    double loss = loss_of(f, a, b, g, h);
    for (int step = 0; step < FIT_STEPS; step++) {
        const double det = (h[0] + RIDGE) * (h[2] + RIDGE) - h[1] * h[1];
        const double da = ((h[2] + RIDGE) * g[0] - h[1] * g[1]) / det;
        const double db = ((h[0] + RIDGE) * g[1] - h[1] * g[0]) / det;
        double t = 1, tried = loss;
        for (; t > 1e-9; t /= 2) {
            tried = loss_of(f, a - t * da, b - t * db, g2, h2);
            if (tried < loss) break;
        }
        if (!(tried < loss)) break;
        a -= t * da;
        b -= t * db;
        if (loss - tried < 1e-14) break;
        loss = loss_of(f, a, b, g, h);
    }
    free(f);
    if (!isfinite(a) || !isfinite(b)) return;
    *b_out =
        a > 1e-3 ? b : 0; /* strangers more alike than the same person: nothing to learn from it */
    *a_out = a > 1e-3 ? a : 1e-3;
}

enum err roc_calibration_json(char **out, const struct roc *r, const struct calibration_origin *o,
                              struct err_info *err)
{
    double a, b;

    fit_probability(r, &a, &b);
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:{s:f, s:f}}", "format", 1,
        "source", o->source, "recipe", o->recipe, "model", o->model, "command", o->command,
        "people", (json_int_t)o->people, "images", (json_int_t)o->images, "impostor_pairs",
        (json_int_t)r->n_impostor, "genuine_pairs", (json_int_t)r->n_genuine, "impostor",
        impostor_table(r), "genuine", genuine_table(r), "probability", "a", a, "b", b);
    /* 7 significant digits: similarities have 6 decimals, a rate needs no more */
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(root);
    if (!text)
        return err_set(err, ERR_NOMEM, "no memory for a calibration of %zu genuine pairs",
                       r->n_genuine);
    *out = text;
    return ERR_OK;
}
