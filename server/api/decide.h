/* What a similarity means in a gallery (ARCHITECTURE, "Decisions, not just numbers"). Pure. */
#ifndef VISAVIS_SERVER_API_DECIDE_H
#define VISAVIS_SERVER_API_DECIDE_H

#include "engine/match.h"

#include <jansson.h>

enum decision { DECISION_UNKNOWN, DECISION_POSSIBLE, DECISION_MATCH };

/* DECIDE_FPIR: how often a stranger may be taken for someone of the gallery, unless asked otherwise
 * (false-positive identification rate, ISO/IEC 19795-1). DECIDE_POSSIBLE: how many times that rate
 * `possible` allows. */
#define DECIDE_FPIR     0.01
#define DECIDE_POSSIBLE 10.0

struct decide_cuts {
    double match, possible; /* the least similarities of both decisions */
    double fpir;            /* that was asked for */
    double fmr;             /* the false-match rate of one comparison that chose `match` */
    size_t comparisons;     /* with examples that a face is compared with */
    bool guaranteed;        /* the calibration's data support that rate */
    const char *source;     /* the calibration's; lives as long as it */
};

/* A stranger is compared with every example, and each comparison may go wrong: at most fpir of all
 * strangers are matched when one comparison goes wrong at the rate
 *     fmr = 1 - (1 - fpir)^(1 / comparisons).
 * Where the calibration's data cannot support so small a rate, the strictest that they do support
 * is used and guaranteed is false. bounded: the rule's similarity never exceeds that of the best
 * example (MATCH_MAX and MATCH_MEAN_TOP; a centroid's may, so that it is never guaranteed). cal
 * must be of the recipe compared. fpir in (0, 1); comparisons 0: as 1. ERR_FMR_UNSUPPORTED: the
 * calibration supports no rate at all. */
NODISCARD enum err decide_cuts(struct decide_cuts *out, const struct calibration *cal, double fpir,
                               size_t comparisons, bool bounded, struct err_info *err);
enum decision decide(const struct decide_cuts *cuts, double similarity);
const char *decision_name(enum decision d);

/* {"match","possible","fmr","comparisons","source"}: how the decisions of an answer were made;
 * NULL: no memory. */
json_t *decide_threshold_json(const struct decide_cuts *cuts);

/* What embeddings were made with. */
struct decide_model {
    const char *name, *precision, *recipe, *detector;
};
/* May similarities of these embeddings be judged by this calibration? ERR_FMR_UNSUPPORTED: there is
 * none (NULL), or it was measured with another recipe. */
NODISCARD enum err decide_calibrated(const struct calibration *cal, const struct decide_model *m,
                                     struct err_info *err);
/* The calibration of a model from its JSON (NULL: it has none), which is checked as above; *out is
 * the caller's. */
NODISCARD enum err decide_calibration(struct calibration **out, const char *json,
                                      const struct decide_model *m, struct err_info *err);

#endif
