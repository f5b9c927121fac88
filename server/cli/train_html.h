/* The page about a training: needs nothing else, no script, no network. */
#ifndef VISAVIS_SERVER_CLI_TRAIN_HTML_H
#define VISAVIS_SERVER_CLI_TRAIN_HTML_H

#include "engine/base/buf.h"
#include "engine/train.h"

#include <jansson.h>

/* answer: what is printed. */
NODISCARD enum err train_html(struct buf *out, const struct train_report *r, const json_t *answer,
                              struct err_info *err);

#endif
