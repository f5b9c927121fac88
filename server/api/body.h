/* A JSON body: an object with known fields, each of its type and within its limits. Every function
 * that fails names the field. Pictures and their options are read by faces_in.h. */
#ifndef VISAVIS_SERVER_API_BODY_H
#define VISAVIS_SERVER_API_BODY_H

#include "server/http/request.h"

#include <jansson.h>

/* *out is the caller's: an object. ERR_BAD_JSON; ERR_INVALID: something else. */
NODISCARD enum err body_load(json_t **out, const struct request *rq, struct err_info *err);
/* ERR_INVALID: body has a field that is not one of these (NULL at the end). */
NODISCARD enum err body_only(json_t *body, const char *const *fields, struct err_info *err);
/* Both. */
NODISCARD enum err body_parse(json_t **out, const struct request *rq, const char *const *fields,
                              struct err_info *err);

/* A text of 1..most characters (of Unicode) without control characters. Absent or null: *out is
 * untouched. Borrowed from body. ERR_INVALID. */
NODISCARD enum err body_text(const char **out, const json_t *body, const char *field, size_t most,
                             struct err_info *err);
/* The same check for a text from elsewhere. */
NODISCARD enum err body_check_text(const char *text, size_t bytes, const char *field, size_t most,
                                   struct err_info *err);
NODISCARD enum err body_bool(bool *out, const json_t *body, const char *field,
                             struct err_info *err);
NODISCARD enum err body_int(int *out, const json_t *body, const char *field, int least, int most,
                            struct err_info *err);
NODISCARD enum err body_double(double *out, const json_t *body, const char *field, double least,
                               double most, struct err_info *err);
/* An object, as compact text of at most most bytes; *out is malloc'd, the caller's. ERR_INVALID;
 * ERR_TOO_LARGE. */
NODISCARD enum err body_object_text(char **out, const json_t *body, const char *field, size_t most,
                                    struct err_info *err);

#endif
