/* Work done by several threads, results in the order of the input, in bounded memory: a feeder
 * thread reads names, workers turn each into a result, the caller's thread takes the results in
 * order. A result is handed over as soon as it and all before it are ready, also while the feeder
 * waits for the next name (names may come from a pipe, one at a time). */
#ifndef VISAVIS_ENGINE_BASE_ORDERED_H
#define VISAVIS_ENGINE_BASE_ORDERED_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ordered_work {
    /* The next name (malloc'd; ordered_run frees it), NULL at the end. Feeder thread. */
    char *(*next)(void *self);
    /* A name's result, in any form; NULL is a result too. Worker threads, several at once. */
    void *(*work)(void *self, size_t index, const char *name);
    /* Takes a result, in order. false stops everything: results not taken yet go to drop. Caller's
     * thread. */
    bool (*take)(void *self, size_t index, const char *name, void *result);
    void (*drop)(void *result);
    void *self;
    int workers;
};
/* ERR_OK also where take stopped it; ERR_NOMEM; ERR_INTERNAL: no thread could be started. When take
 * stops it while the feeder waits in next(), the call returns only after next() did. */
NODISCARD enum err ordered_run(const struct ordered_work *w, struct err_info *err);

#endif
