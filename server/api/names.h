/* A search gives row numbers; an answer has ids and names. Collects the rows of an answer, reads
 * them in one go. What is gone by then has no name: it is left out of the answer. */
#ifndef VISAVIS_SERVER_API_NAMES_H
#define VISAVIS_SERVER_API_NAMES_H

#include "engine/match.h"
#include "server/store/examples.h"

#include <jansson.h>

struct names {
    json_t *identities; /* row, in decimal -> {"id","name","external_id"}; null: not read or gone */
    json_t *examples;   /* the same -> id */
};

NODISCARD enum err names_init(struct names *n, struct err_info *err);
void names_release(struct names *n);
NODISCARD enum err names_want(struct names *n, int64_t identity, int64_t example,
                              struct err_info *err);
NODISCARD enum err names_read(struct names *n, struct store *s, struct err_info *err);
/* Borrowed; NULL: gone. */
json_t *names_identity(const struct names *n, int64_t row);
json_t *names_example(const struct names *n, int64_t row);
/* [{"example","similarity"}] of those that are there; new reference, NULL: no memory. */
json_t *names_scores_json(const struct names *n, const struct match_row *rows, size_t count);

#endif
