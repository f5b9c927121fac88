/* What the picture routes are asked: pictures and options, from a form's fields, a JSON body and
 * the query, into one typed struct; every limit is checked here. Options may stand in the query or
 * in the body, not in both. */
#ifndef VISAVIS_SERVER_API_FACES_IN_H
#define VISAVIS_SERVER_API_FACES_IN_H

#include "engine/engine.h"
#include "server/http/reply.h"
#include "server/http/request.h"

#include <jansson.h>

/* What a route takes. */
struct faces_spec {
    const char *image[3];   /* names of its pictures, NULL at the end */
    bool several;           /* the only one may come up to FACES_IN_IMAGES_MAX times; in JSON as a
                               list */
    const char *option[11]; /* of those in faces_in.c; NULL at the end */
    enum face_select face;  /* unless asked otherwise */
    int top;                /* unless asked otherwise */
};

extern const struct faces_spec faces_spec_verify;   /* verify.c */
extern const struct faces_spec faces_spec_one;      /* faces.c: detect */
extern const struct faces_spec faces_spec_embed;    /* faces.c */
extern const struct faces_spec faces_spec_classify; /* faces.c */

enum { FACES_IN_IMAGES_MAX = 32 };
struct faces_in {
    int n_images;
    struct {
        const char *name;    /* static or the request's: "image2", "image[3]" */
        const uint8_t *data; /* the encoded picture; borrowed from the request or from decoded */
        size_t len;
        struct buf decoded;
    } image[FACES_IN_IMAGES_MAX];
    struct analyse_options options; /* model (borrowed from the request), select, what to include,
                                       min_size, no_retry, precropped */
    double fmr, fpir;               /* 0: the default */
    int top;                        /* how many classes or candidates */
    bool explain, force, dry_run;
    const char *identity, *tag; /* NULL: not given; the request's */
};

/* On ERR_OK *out is the caller's (faces_in_release). ERR_INVALID: an unknown, missing, repeated or
 * empty field, an option that is not one of its values, by name; ERR_BAD_JSON; ERR_BAD_BASE64;
 * ERR_TOO_LARGE. Names the picture in rp's details. */
NODISCARD enum err faces_in_parse(struct faces_in *out, const struct faces_spec *spec,
                                  struct request *rq, struct reply *rp, struct err_info *err);
/* The same where the caller may have parsed the request's JSON already: body (body_load's) is
 * borrowed for the call, and *out keeps nothing of it; NULL: it is parsed here. */
NODISCARD enum err faces_in_parse_body(struct faces_in *out, const struct faces_spec *spec,
                                       json_t *body, struct request *rq, struct reply *rp,
                                       struct err_info *err);
void faces_in_release(struct faces_in *in);

/* engine_analyse of picture i; its times are added to the request's. An error names the picture,
 * also in rp's details. On ERR_OK *a is the caller's (analysis_release). */
NODISCARD enum err faces_in_analyse(struct analysis *a, struct engine *e, const struct faces_in *in,
                                    int i, struct request *rq, struct reply *rp,
                                    struct err_info *err);

#endif
