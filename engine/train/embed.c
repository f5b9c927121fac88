#include "engine/train/measure.h"

#include <stdlib.h>

#include "engine/base/mem.h"
#include "engine/nn/exec.h"
#include "engine/train/augment.h"

enum { PART = 128 /* glyphs */, THREADS_MAX = 1024 };

struct embedding {
    const struct nn_net *net;
    struct nn_exec **execs; /* one a thread */
    float *in;              /* [threads][PART][TRAIN_PIXELS] */
    const uint8_t *glyphs;
    size_t n;
    int d;
    float *out;
    enum err *failed; /* one a thread */
};

static void embed_part(void *arg, int part, int thread)
{
    struct embedding *e = arg;
    const size_t first = (size_t)part * PART, rest = e->n - first, n = rest < PART ? rest : PART;
    float *in = e->in + (size_t)thread * PART * TRAIN_PIXELS, *outs[NN_MAX_OUTPUTS] = {NULL};
    for (size_t i = 0; i < n; i++)
        train_plain_glyph(in + i * TRAIN_PIXELS, e->glyphs + (first + i) * TRAIN_PIXELS);
    outs[0] = e->out + first * (size_t)e->d;
    const enum err rc =
        nn_exec_run(e->execs[thread], e->net, (int)n, TRAIN_SIDE, TRAIN_SIDE, in, outs, NULL);
    if (rc) e->failed[thread] = rc;
}

static enum err run(struct embedding *e, const struct cores *cores, struct err_info *err)
{
    const int threads = cores_threads(cores);
    enum err rc = ERR_OK;
    for (int i = 0; i < threads && !rc; i++) rc = nn_exec_new(&e->execs[i], 1, 0, err);
    if (rc) return rc;
    cores_run(cores, embed_part, e, (int)((e->n + PART - 1) / PART));
    for (int i = 0; i < threads; i++)
        if (e->failed[i])
            return err_set(err, e->failed[i], "%zu glyphs could not be embedded", e->n);
    return ERR_OK;
}

enum err train_embed(float *out, const struct nn_graph *g, const uint8_t *glyphs, size_t n,
                     const struct cores *cores, struct err_info *err)
{
    const int threads = cores_threads(cores);
    AUTO_FREE struct nn_shape *shapes = calloc((size_t)g->n_ops, sizeof *shapes);
    AUTO_FREE struct nn_exec **execs = calloc((size_t)threads, sizeof *execs);
    AUTO_FREE enum err *failed = calloc((size_t)threads, sizeof *failed);
    AUTO_FREE float *in = mem_aligned((size_t)threads * PART * TRAIN_PIXELS, sizeof *in);
    struct nn_net *net = NULL;
    enum err rc;

    if (!shapes || !execs || !failed || !in)
        return err_set(err, ERR_NOMEM, "no memory to embed %zu glyphs", n);
    if ((rc = nn_graph_shapes(g, TRAIN_SIDE, TRAIN_SIDE, shapes, err))) return rc;
    const struct nn_shape s = shapes[g->outputs[0].op];
    if ((rc = nn_net_new(&net, g, NN_FAST, NN_F32, err))) return rc;
    struct embedding e = {net, execs, in, glyphs, n, s.c * s.h * s.w, out, failed};
    rc = run(&e, cores, err);
    for (int i = 0; i < threads; i++) nn_exec_free(execs[i]);
    nn_net_free(net);
    return rc;
}
