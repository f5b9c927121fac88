/* What is to be enrolled: faces of photographs, or embeddings that a client sent, until they are
 * written. Parts of enrol.c. */
#ifndef VISAVIS_SERVER_API_ENROL_H
#define VISAVIS_SERVER_API_ENROL_H

#include "server/api/faces_in.h"
#include "server/api/gate.h"

enum { ENROL_MAX = 1000 /* faces or embeddings in one call */ };

struct enrol_item {
    struct gate_face as; /* its embedding is of unit length */
    uint8_t source[STORE_SHA256_BYTES];
    const char *precision;               /* static */
    struct store_bytes thumbnail, photo; /* kept with it; borrowed from the analysis and from in */
};

struct enrol {
    const struct gallery_collection *collection;
    int64_t identity; /* row; 0: nobody's */
    bool force, dry_run;
    struct calibration *calibration; /* NULL: none that applies */
    struct faces_in in;              /* the photographs, and */
    struct analysis *analysis;       /* what was found on each; [n_analyses] */
    int n_analyses;
    float *sent; /* or embeddings, [n][dim] */
    struct enrol_item *item;
    size_t n;
};

/* --- enrol_photos.c --- */
/* The request's photographs, into e->in. all: every face of each is wanted, else (unless ?face=
 * says otherwise) the main one. body: as faces_in_parse_body. ERR_CONFLICT: another model than the
 * collection's. */
NODISCARD enum err enrol_photos_read(struct enrol *e, bool all, json_t *body, struct request *rq,
                                     struct reply *rp, struct err_info *err);
/* Their faces. ERR_CONFLICT: the collection's model is not what it was bound to. */
NODISCARD enum err enrol_photos_analyse(struct enrol *e, struct app *app, struct request *rq,
                                        struct reply *rp, struct err_info *err);

/* --- enrol_vectors.c --- */
/* Does the JSON body (NULL: none) bring embeddings? */
bool enrol_has_vectors(const json_t *body);
/* From {"embedding":[..]} or {"embeddings":[[..],..]}, with "force" and "dry_run" in it or in the
 * query, and "recipe", where the client knows what made them. body is borrowed for the call.
 * ERR_BAD_EMBEDDING: not as long as the collection's, not finite, or of no length; ERR_CONFLICT:
 * another recipe. */
NODISCARD enum err enrol_vectors(struct enrol *e, json_t *body, struct request *rq,
                                 struct err_info *err);

void enrol_release(struct enrol *e);

#endif
