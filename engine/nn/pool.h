/* A few threads that share the chunks of one loop, for the kernels that are ours (the libraries
 * bring OpenMP). The answer must not depend on who ran which chunk. One loop at a time; the caller
 * takes part. */
#ifndef VISAVIS_ENGINE_NN_POOL_H
#define VISAVIS_ENGINE_NN_POOL_H

#include "engine/base/err.h"

struct nn__pool;

/* threads includes the caller: 1 makes none. */
NODISCARD enum err nn__pool_new(struct nn__pool **out, int threads, struct err_info *err);
void nn__pool_free(struct nn__pool *pool);
int nn__pool_threads(const struct nn__pool *pool); /* NULL: 1 */

/* Calls fn(arg, chunk, thread) for chunk 0..chunks-1, each once; thread is 0..threads-1, no two at
 * a time with one number. Returns when all are done. pool NULL: all by the caller. */
void nn__pool_run(struct nn__pool *pool, void (*fn)(void *arg, int chunk, int thread), void *arg,
                  int chunks);

#endif
