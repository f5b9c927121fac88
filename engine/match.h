/* Comparing embeddings: similarity, and what it means. Plain arrays in and out; pure; any thread. */
#ifndef VISAVIS_ENGINE_MATCH_H
#define VISAVIS_ENGINE_MATCH_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Cosine a.b of two unit vectors of d floats, in [-1, 1] (clamped). Distance is 1 - similarity. */
float match_similarity(const float *a, const float *b, int d);

/* Divides v by its length. false when it is zero or not finite (v untouched). */
bool match_normalize(float *v, int d);

/* A calibration: how often strangers, and the same person, reach a similarity. Measured by `visavis eval`, kept as JSON in
 * the model file (format in calibration.c), belongs to one recipe. */
struct calibration;

NODISCARD enum err calibration_parse(struct calibration **out, const char *json, struct err_info *err);
void calibration_free(struct calibration *c);

struct calibration_info {
    const char *source;    /* "lfw-view1-all-pairs" */
    const char *recipe;    /* hash of the recipe it was measured with */
    double impostor_pairs, genuine_pairs;
    double min_fmr;        /* 10 / impostor_pairs: the smallest rate the data supports */
};
void calibration_info(const struct calibration *c, struct calibration_info *out);

/* The cut: the least similarity at which at most fmr of the impostor pairs lie at or above. fmr in (0,1).
 * ERR_INVALID out of range; ERR_FMR_UNSUPPORTED: fewer than 10 impostor pairs beyond it, saying what it can support. */
NODISCARD enum err calibration_cut(const struct calibration *c, double fmr, float *cut, struct err_info *err);
/* Estimated FMR at a similarity, never below min_fmr / 10. */
double calibration_fmr(const struct calibration *c, float similarity);
/* Probability that it is one person, with equal priors, in (0,1), never decreasing in similarity. */
double calibration_probability(const struct calibration *c, float similarity);

/* --- measuring (roc.c) --- */
struct roc;
/* genuine and impostor similarities (any order; copied). At least one of each, finite. */
NODISCARD enum err roc_new(struct roc **out, const float *genuine, size_t n_genuine, const float *impostor,
                           size_t n_impostor, struct err_info *err);
void roc_free(struct roc *r);
double roc_eer(const struct roc *r);
/* Similarity with the best accuracy (mean of TAR and TNR weighted by counts); *accuracy at it. The middle of the widest
 * best gap. */
float roc_best_threshold(const struct roc *r, double *accuracy);
double roc_accuracy_at(const struct roc *r, float threshold);
struct roc_point {
    double fmr, tar;  /* observed */
    double ci[2];     /* 95 % Wilson interval of tar */
    float threshold;
    bool supported;   /* at least 10 impostor pairs at or above the threshold would be allowed: fmr * n >= 10 */
};
/* TAR at the strictest threshold whose observed FMR is <= fmr. */
void roc_at_fmr(const struct roc *r, double fmr, struct roc_point *out);
/* Calibration JSON from the curve (malloc'd text, caller's). */
struct calibration_origin {
    const char *source, *recipe, *model, *command;
    size_t people, images;
};
NODISCARD enum err roc_calibration_json(char **out, const struct roc *r, const struct calibration_origin *o,
                                        struct err_info *err);

/* Wilson score interval (Wilson 1927) of k of n at 95 %. */
void wilson_interval(double k, double n, double out[2]);

#endif
