/* A JSON body that is not pictures: an object with known fields, each of its type and within its
 * limits. Every function that fails names the field. */
#ifndef VISAVIS_SERVER_API_BODY_H
#define VISAVIS_SERVER_API_BODY_H

#include "server/http/request.h"

#include <jansson.h>

/* *out is the caller's: an object that has no other fields than these (NULL at the end).
 * ERR_BAD_JSON; ERR_INVALID: no object, or another field. */
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
