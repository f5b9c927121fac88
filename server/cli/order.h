/* `visavis model import --check PICTURE [--expect CLASS=PROBABILITY]`: the order of colour planes
 * decided by a picture, after the import. */
#ifndef VISAVIS_SERVER_CLI_ORDER_H
#define VISAVIS_SERVER_CLI_ORDER_H

#include "engine/base/buf.h"
#include "engine/engine.h"

#include <jansson.h>

struct order_options {
    const char *picture; /* file; NULL: nothing is checked */
    const char *expect;  /* NULL: the picture is one of those that are known */
};

struct order_picture { /* read before the import, so that a mistake is said first */
    struct buf bytes;
    struct order_check check;
};

/* ERR_INVALID: no CLASS=PROBABILITY, or none is known of the picture; ERR_NOT_FOUND, ERR_IO. On
 * ERR_OK out->bytes is the caller's (buf_release). */
NODISCARD enum err order_load(struct order_picture *out, const struct order_options *o,
                              struct err_info *err);
/* Checks the imported model and puts what came out into answer: "check", and the model's new "note"
 * and "sha256". */
NODISCARD enum err order_run(json_t *answer, const struct order_picture *p,
                             const struct order_options *o, const char *models_dir,
                             struct err_info *err);

#endif
