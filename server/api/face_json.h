/* How a face and an analysis look in JSON: one place, used by the routes and by the command line.
 * New references. */
#ifndef VISAVIS_SERVER_API_FACE_JSON_H
#define VISAVIS_SERVER_API_FACE_JSON_H

#include "engine/engine.h"

#include <jansson.h>

/* How every answer is dumped: numbers with 9 significant digits, which is what a float has. */
#define FACE_JSON_DUMP (JSON_COMPACT | JSON_REAL_PRECISION(9))

/* {"box":[x,y,w,h],"box_normalized":[..],"points":[[x,y] x
 * 5],"score":..,"pass":..,"quality":{"unified":..,name:..,
 * "reasons":[{"code","message"}]},"pose":{"yaw","pitch","roll"}} and, where the analysis has them,
 * "embedding", "classes":[{"index","name","probability"}], "landmarks68",
 * "mask":{"source","polygon","box","png"(base64)}, "chip"(base64 PNG). NULL: no memory. */
json_t *face_json(const struct face *f, int width, int height);

/* {"width","height","faces":[..],"took_ms":{"decode","detect","align","embed","total"}} */
json_t *analysis_json(const struct analysis *a);
json_t *timings_json(const struct timings *t);
/* {"code":"no_face","message":".."} */
json_t *error_json(const struct err_info *err);
/* One entry of GET /v1/models and `model list`. */
json_t *model_json(const struct model_info *m);

#endif
