/* The gate of enrolment: what speaks against taking a face into a collection. A wrong example is
 * found by nobody later on, so it is asked about before: too poor a face, a picture that is there
 * already, a face that looks like somebody else. */
#ifndef VISAVIS_SERVER_API_GATE_H
#define VISAVIS_SERVER_API_GATE_H

#include "engine/engine.h"
#include "server/api/app.h"

#include <jansson.h>

/* From this cosine on two embeddings are of one picture (encoded again, scaled, turned): copies
 * of 49 faces in all 8 EXIF orientations agree to 0.999, tests/golden/test_rotations.c. */
#define GATE_SAME_PICTURE 0.999

struct gate_face {
    const char *image;       /* how messages call it: "image[1]", "embedding[0]" */
    const float *embedding;  /* of the collection's dimension, unit length */
    const struct face *face; /* NULL: an embedding that a client sent, of unknown quality */
    const uint8_t *source;   /* SHA-256 of the photograph; NULL with face NULL */
};

/* *problems: what is wrong, one object each, empty where nothing is; the caller's:
 *   {"image","code":"low_quality","message","quality","reasons":[{"code","message"}]}
 *   {"image","code":"duplicate","message","example","similarity"} (similarity null: the same file)
 *   {"image","code":"looks_like","message","identity":{"id","name","external_id"},"similarity"}
 * identity: the row they are to belong to; 0: nobody's, then none looks like somebody else.
 * looks_like: at or above the cut that identify would call a match (decide.h) and closer than to
 * the identity's own examples; left out where cal is NULL. */
NODISCARD enum err gate_check(json_t **problems, struct app *app,
                              const struct gallery_collection *c, const struct calibration *cal,
                              int64_t identity, const struct gate_face *faces, size_t n,
                              struct err_info *err);

#endif
