/* A few threads that share the chunks of one loop, for the kernels that are ours (the libraries
 * bring OpenMP). The answer must not depend on who ran which chunk. One loop at a time; the caller
 * takes part. */
#ifndef VISAVIS_ENGINE_BASE_POOL_H
#define VISAVIS_ENGINE_BASE_POOL_H

#include "engine/base/cores.h"
#include "engine/base/err.h"

struct pool;

/* threads includes the caller: 1 makes none. */
NODISCARD enum err pool_new(struct pool **out, int threads, struct err_info *err);
void pool_free(struct pool *pool);
int pool_threads(const struct pool *pool); /* NULL: 1 */

/* Calls fn(arg, chunk, thread) for chunk 0..chunks-1, each once; thread is 0..threads-1, no two at
 * a time with one number. Returns when all are done. pool NULL: all by the caller. */
void pool_run(struct pool *pool, cores_part *fn, void *arg, int chunks);

/* The pool as cores; lives as long as the pool. One loop at a time here too. */
struct cores pool_cores(struct pool *pool);

#endif
