/* A bounded queue of pointers between threads: any number of producers and consumers. A full queue
 * refuses at once, so that the edge can answer 503 instead of piling up work. */
#ifndef VISAVIS_ENGINE_BASE_QUEUE_H
#define VISAVIS_ENGINE_BASE_QUEUE_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct queue;

/* capacity >= 1 items. ERR_NOMEM. */
NODISCARD enum err queue_new(struct queue **out, size_t capacity, struct err_info *err);
/* Nobody may be inside queue_push or queue_pop any more. Items left in it stay their owner's. */
void queue_free(struct queue *q);

/* Never blocks. false: full, or closed; the item stays the caller's. item is not NULL. */
bool queue_push(struct queue *q, void *item);
/* Oldest first; blocks while the queue is empty and open. NULL: closed, and nothing is left. */
void *queue_pop(struct queue *q);
/* Refuses new items; consumers get what is left, then NULL. */
void queue_close(struct queue *q);
size_t queue_depth(struct queue *q);

#endif
