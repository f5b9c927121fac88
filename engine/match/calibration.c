/* A calibration read back: from a similarity to how often strangers reach it, and to a probability.
 *
 * The file (JSON; roc_calibration.c writes it, nothing but these keys is accepted):
 *   format          1
 *   source          what it was measured on, a name: "lfw-view1-all-pairs"
 *   recipe, model   what made the embeddings; command: the command line that measured
 *   people, images, impostor_pairs, genuine_pairs
 *   impostor        {"similarity": [ascending], "fmr": [falling]}: the fraction of impostor pairs
 * at or above genuine         {"similarity": [ascending], "fnmr": [not falling]}: the fraction of
 * genuine pairs below probability     {"a", "b"}: 1 / (1 + exp(-(a similarity + b))), equal priors,
 * a > 0
 *
 * Between the rows of the table log(fmr) is linear in the similarity (the tail of the impostors is
 * nearly exponential); calibration_cut and calibration_fmr are each other's inverse, so that a
 * decision never contradicts the rate in the same answer. */
#include "engine/match.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 4096, LEAST_PAIRS = 10 };
/* 0.01 of 1000 pairs are 10, whatever the product's rounding */
static const double EDGE = 1 + 1e-9;

struct calibration {
    char *source, *recipe;
    double impostor_pairs, genuine_pairs;
    size_t n;
    double *similarity, *log_fmr; /* [n] */
    double least; /* the smallest rate that it states: 10 pairs, or where the table ends */
    double a, b;
};

void calibration_free(struct calibration *c)
{
    if (!c) return;
    free(c->source);
    free(c->recipe);
    free(c->similarity);
    free(c->log_fmr);
    free(c);
}

static enum err bad(struct err_info *err, const char *what)
{
    return err_set(err, ERR_MODEL, "calibration: %s", what);
}

/* values[i] of a table; false: not a number. */
static bool number_at(const json_t *array, size_t i, double *out)
{
    const json_t *v = json_array_get(array, i);
    *out = json_number_value(v);
    return json_is_number(v) && isfinite(*out);
}

static enum err read_table(struct calibration *c, json_t *similarity, json_t *fmr,
                           struct err_info *err)
{
    const size_t n = json_array_size(similarity);
    double s, r;

    if (n < 1 || n > TABLE_MAX || json_array_size(fmr) != n)
        return err_set(
            err, ERR_MODEL,
            "calibration: impostor has %zu similarities and %zu rates; as many of each, 1 to %d", n,
            json_array_size(fmr), TABLE_MAX);
    c->similarity = malloc(n * sizeof *c->similarity);
    c->log_fmr = malloc(n * sizeof *c->log_fmr);
    if (!c->similarity || !c->log_fmr)
        return err_set(err, ERR_NOMEM, "no memory for a calibration");
    for (size_t i = 0; i < n; i++) {
        if (!number_at(similarity, i, &s) || s < -1.001 || s > 1.001 ||
            (i && s <= c->similarity[i - 1]))
            return err_set(err, ERR_MODEL,
                           "calibration: impostor.similarity[%zu] is not ascending in [-1, 1]", i);
        if (!number_at(fmr, i, &r) || !(r > 0) || r > 1 || (i && log(r) >= c->log_fmr[i - 1]))
            return err_set(err, ERR_MODEL,
                           "calibration: impostor.fmr[%zu] is not falling in (0, 1]", i);
        c->similarity[i] = s;
        c->log_fmr[i] = log(r);
    }
    c->n = n;
    c->least = fmax(LEAST_PAIRS / c->impostor_pairs, r);
    if (r * c->impostor_pairs < 0.99)
        return bad(err, "impostor.fmr is finer than one of its pairs");
    return ERR_OK;
}

static enum err check_genuine(json_t *similarity, json_t *fnmr, struct err_info *err)
{
    const size_t n = json_array_size(similarity);
    double s, r, s0 = -2, r0 = 0;

    if (n < 2 || n > TABLE_MAX || json_array_size(fnmr) != n)
        return err_set(
            err, ERR_MODEL,
            "calibration: genuine has %zu similarities and %zu rates; as many of each, 2 to %d", n,
            json_array_size(fnmr), TABLE_MAX);
    for (size_t i = 0; i < n; i++, s0 = s, r0 = r) {
        if (!number_at(similarity, i, &s) || s > 1.001 || s < -1.001 || s <= s0)
            return err_set(err, ERR_MODEL,
                           "calibration: genuine.similarity[%zu] is not ascending in [-1, 1]", i);
        if (!number_at(fnmr, i, &r) || r < r0 || r > 1)
            return err_set(err, ERR_MODEL, "calibration: genuine.fnmr[%zu] is not rising in [0, 1]",
                           i);
    }
    return ERR_OK;
}

static enum err read_object(struct calibration *c, json_t *root, struct err_info *err)
{
    const char *source, *recipe, *model, *command;
    json_int_t format, people, images, impostor_pairs, genuine_pairs;
    json_t *imp_s, *imp_r, *gen_s, *gen_r;
    json_error_t e;
    enum err rc;

    if (json_unpack_ex(
            root, &e, JSON_STRICT,
            "{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:{s:o, s:o !}, s:{s:o, s:o !}, "
            "s:{s:F, s:F !} !}",
            "format", &format, "source", &source, "recipe", &recipe, "model", &model, "command",
            &command, "people", &people, "images", &images, "impostor_pairs", &impostor_pairs,
            "genuine_pairs", &genuine_pairs, "impostor", "similarity", &imp_s, "fmr", &imp_r,
            "genuine", "similarity", &gen_s, "fnmr", &gen_r, "probability", "a", &c->a, "b", &c->b))
        return err_set(err, ERR_MODEL, "calibration: %s", e.text);
    if (format != 1)
        return err_set(err, ERR_MODEL, "calibration: format %lld, this program reads 1",
                       (long long)format);
    if (!*source) return bad(err, "source is empty");
    if (!*recipe) return bad(err, "recipe is empty");
    if (impostor_pairs < 1 || genuine_pairs < 1 || people < 0 || images < 0)
        return bad(err, "a count is out of range");
    if (!isfinite(c->a) || !isfinite(c->b) || !(c->a > 0))
        return bad(err, "probability.a is not above 0");
    c->impostor_pairs = (double)impostor_pairs;
    c->genuine_pairs = (double)genuine_pairs;
    if ((rc = read_table(c, imp_s, imp_r, err))) return rc;
    if ((rc = check_genuine(gen_s, gen_r, err))) return rc;
    c->source = strdup(source);
    c->recipe = strdup(recipe);
    if (!c->source || !c->recipe) return err_set(err, ERR_NOMEM, "no memory for a calibration");
    return ERR_OK;
}

enum err calibration_parse(struct calibration **out, const char *json, struct err_info *err)
{
    json_error_t e;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &e);

    if (!root)
        return err_set(err, ERR_MODEL, "calibration is not JSON: line %d: %s", e.line, e.text);
    struct calibration *c = calloc(1, sizeof *c);
    const enum err rc =
        c ? read_object(c, root, err) : err_set(err, ERR_NOMEM, "no memory for a calibration");
    json_decref(root);
    if (rc)
        calibration_free(c);
    else
        *out = c;
    return rc;
}

void calibration_info(const struct calibration *c, struct calibration_info *out)
{
    out->source = c->source;
    out->recipe = c->recipe;
    out->impostor_pairs = c->impostor_pairs;
    out->genuine_pairs = c->genuine_pairs;
    out->min_fmr = c->least;
}

/* log(fmr) at s: linear between rows; above the last row 1 pair of all, below the first 1. */
static double log_fmr_at(const struct calibration *c, double s)
{
    size_t lo = 0, hi = c->n; /* first row above s */

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (c->similarity[mid] <= s)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0) return 0;
    if (lo == c->n) return c->log_fmr[c->n - 1];
    const double t = (s - c->similarity[lo - 1]) / (c->similarity[lo] - c->similarity[lo - 1]);
    return c->log_fmr[lo - 1] + t * (c->log_fmr[lo] - c->log_fmr[lo - 1]);
}

enum err calibration_cut(const struct calibration *c, double fmr, float *cut, struct err_info *err)
{
    if (!(fmr > 0) || !(fmr < 1))
        return err_set(err, ERR_INVALID, "the false-match rate is %g, it must lie between 0 and 1",
                       fmr);
    if (fmr * EDGE < c->least)
        return err_set(err, ERR_FMR_UNSUPPORTED,
                       "a false-match rate of %g is finer than the calibration %s supports: with "
                       "%.0f pairs of "
                       "strangers at least %.3g",
                       fmr, c->source, c->impostor_pairs, c->least);
    const double want = log(fmr * EDGE);
    size_t k = 0;
    while (k + 1 < c->n && c->log_fmr[k] > want) k++;
    double s = c->similarity[k];
    if (k)
        s = c->similarity[k - 1] + (want - c->log_fmr[k - 1]) /
                                       (c->log_fmr[k] - c->log_fmr[k - 1]) *
                                       (s - c->similarity[k - 1]);
    float f = (float)s;
    /* to the strict side of rounding: the rate at the cut is never above what was asked */
    while (log_fmr_at(c, f) > want) f = nextafterf(f, 2);
    *cut = f;
    return ERR_OK;
}

double calibration_fmr(const struct calibration *c, float similarity)
{
    const double r = exp(log_fmr_at(c, similarity)), least = 1 / c->impostor_pairs;
    return r < least ? least : r > 1 ? 1 : r;
}

double calibration_probability(const struct calibration *c, float similarity)
{
    const double z = c->a * (double)similarity + c->b;
    /* never 0 or 1, so that nobody takes it for certainty */
    return 1 / (1 + exp(-fmin(fmax(z, -30), 30)));
}
