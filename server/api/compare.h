/* Verify's answer from two analyses: which faces were compared, the decision, and how sure it is
 * (ARCHITECTURE, "Decisions, not just numbers"). Used by POST /v1/verify and `visavis verify`. */
#ifndef VISAVIS_SERVER_API_COMPARE_H
#define VISAVIS_SERVER_API_COMPARE_H

#include "engine/engine.h"
#include "server/api/decide.h"

#include <jansson.h>

struct compare_options {
    enum face_select select;
    double fmr; /* false-match rate that picks the cut; 0: COMPARE_DEFAULT_FMR, or the least that
                   the calibration supports */
};
#define COMPARE_DEFAULT_FMR 1e-3

/* *out:
 * {"verified":bool,"decision":"match"|"no_match","similarity":..,"distance":..,"metric":"cosine","probability":..,
 * "fmr":(estimated at this
 * similarity),"threshold":{"value","fmr","source"},"model":..,"precision":.., "faces":[{face of
 * a},{face of b}],"pair":[i,j],"took_ms":{..}}. With FACE_ALL also
 * "pairs":[{"pair":[i,j],"similarity", "decision",..}] over every pair, "matches":[[i,j]..] (best
 * first, each face used once) and "unmatched":[[i..],[j..]]; faces is then
 * [[faces of a],[faces of b]], and the top-level decision is that of the best pair. cal NULL (the
 * model has no calibration) or one of another recipe: ERR_FMR_UNSUPPORTED. A missing face is
 * ERR_NO_FACE naming image1 or image2. */
NODISCARD enum err compare_answer(json_t **out, const struct analysis *a, const struct analysis *b,
                                  const struct compare_options *o, struct err_info *err);
/* The same with a calibration that is parsed already. */
NODISCARD enum err compare_faces(json_t **out, const struct decide_model *m,
                                 const struct calibration *cal, const struct analysis *a,
                                 const struct analysis *b, const struct compare_options *o,
                                 struct err_info *err);

#endif
