/* Where the parts of a heavy loop run. Search, clustering and training cut their work into parts
 * that do not depend on each other, and leave it to the caller on how many cores: the command line
 * gives a pool (engine/base/pool.h), the server its lanes (engine.h), which take the parts between
 * batches of networks. A result must not depend on who ran which part. */
#ifndef VISAVIS_ENGINE_BASE_CORES_H
#define VISAVIS_ENGINE_BASE_CORES_H

/* Part i of a loop; thread is 0..threads-1, no two at a time with one number. */
typedef void cores_part(void *arg, int i, int thread);

struct cores {
    int threads; /* >= 1 */
    /* part(arg, i, thread) for i 0..n-1, each once; returns when all are done. */
    void (*run)(void *self, cores_part *part, void *arg, int n);
    void *self;
};

/* NULL: the calling thread alone. */
static inline int cores_threads(const struct cores *c)
{
    return c ? c->threads : 1;
}

static inline void cores_run(const struct cores *c, cores_part *part, void *arg, int n)
{
    if (c && n > 1) {
        c->run(c->self, part, arg, n);
        return;
    }
    for (int i = 0; i < n; i++) part(arg, i, 0);
}

#endif
