/* Inside engine/match only: the curve's arrays (invariants in roc.c). */
#ifndef VISAVIS_ENGINE_MATCH_ROC_INTERNAL_H
#define VISAVIS_ENGINE_MATCH_ROC_INTERNAL_H

#include "engine/match.h"

struct roc {
    float *genuine;
    size_t n_genuine;
    float *value;
    uint64_t *above;
    size_t steps;
    uint64_t n_impostor;
};

/* How many pairs lie at or above t. */
uint64_t roc__impostors_at(const struct roc *r, float t);
size_t roc__genuine_at(const struct roc *r, float t);
/* The least threshold that at most fmr of the impostor pairs reach. */
float roc__threshold_for(const struct roc *r, double fmr);

#endif
