#include "server/api/decide.h"

#include <math.h>
#include <string.h>

enum err decide_cuts(struct decide_cuts *out, const struct calibration *cal, double fpir,
                     size_t comparisons, bool bounded, struct err_info *err)
{
    struct calibration_info info;
    float match, possible;
    enum err rc;

    calibration_info(cal, &info);
    if (info.min_fmr >= 1)
        return err_set(err, ERR_FMR_UNSUPPORTED,
                       "the calibration %.200s has %.0f pairs of strangers, too few to support any "
                       "false-match rate",
                       info.source, info.impostor_pairs);
    /* expm1 and log1p: the same number, without losing small rates to rounding */
    double fmr = -expm1(log1p(-fpir) / (comparisons ? (double)comparisons : 1));
    const bool supported = fmr >= info.min_fmr;
    if (!supported) fmr = info.min_fmr;
    double loose = fmin(fmr * DECIDE_POSSIBLE, 0.5);
    if (loose < fmr) loose = fmr;
    if ((rc = calibration_cut(cal, fmr, &match, err))) return rc;
    if ((rc = calibration_cut(cal, loose, &possible, err))) return rc;
    *out = (struct decide_cuts){.match = match,
                                .possible = possible < match ? possible : match,
                                .fpir = fpir,
                                .fmr = fmr,
                                .comparisons = comparisons,
                                .guaranteed = supported && bounded,
                                .source = info.source};
    return ERR_OK;
}

enum decision decide(const struct decide_cuts *cuts, double similarity)
{
    return similarity >= cuts->match      ? DECISION_MATCH
           : similarity >= cuts->possible ? DECISION_POSSIBLE
                                          : DECISION_UNKNOWN;
}

const char *decision_name(enum decision d)
{
    static const char *const names[] = {"unknown", "possible", "match"};
    return names[d];
}

json_t *decide_threshold_json(const struct decide_cuts *cuts)
{
    return json_pack("{s:f, s:f, s:f, s:I, s:s}", "match", cuts->match, "possible", cuts->possible,
                     "fmr", cuts->fmr, "comparisons", (json_int_t)cuts->comparisons, "source",
                     cuts->source);
}

enum err decide_calibrated(const struct calibration *cal, const struct decide_model *m,
                           struct err_info *err)
{
    struct calibration_info info;

    if (!cal)
        return err_set(
            err, ERR_FMR_UNSUPPORTED,
            "model %s has no calibration, so no false-match rate can be stated; measure one with "
            "visavis eval --save",
            m->name);
    calibration_info(cal, &info);
    if (strcmp(info.recipe, m->recipe) != 0)
        return err_set(err, ERR_FMR_UNSUPPORTED,
                       "the calibration %s of model %s belongs to recipe %.12s; with detector %s, "
                       "this preset and averaging the recipe is %.12s, which has none: measure it "
                       "with visavis eval --save",
                       info.source, m->name, info.recipe, m->detector, m->recipe);
    return ERR_OK;
}

enum err decide_calibration(struct calibration **out, const char *json,
                            const struct decide_model *m, struct err_info *err)
{
    struct calibration *cal = NULL;
    enum err rc = json ? calibration_parse(&cal, json, err) : ERR_OK;

    if (rc) return err_prefix(err, "the calibration of %s", m->name);
    if ((rc = decide_calibrated(cal, m, err))) {
        calibration_free(cal);
        return rc;
    }
    *out = cal;
    return ERR_OK;
}
