#include "engine/precision.h"

#include "engine/base/mem.h"
#include "engine/face/face.h"
#include "engine/nn/exec.h"

#include <math.h>
#include <stdlib.h>

/* Picture k: a lit oval with two dark spots on waves, and grain. Smooth and rough parts, all three
 * colours; nobody's face. */
static void draw(uint8_t *rgb, int w, int h, int k)
{
    uint32_t grain = 12345u + (uint32_t)k;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const double u = 2.0 * x / w - 1, v = 2.0 * y / h - 1, r = u * u / 0.45 + v * v / 0.8;
            const double eye = fabs(fabs(u) - 0.3) + fabs(v + 0.2),
                         light = r < 1 ? 70 * (1 - r) : 0;
            for (int c = 0; c < 3; c++) {
                grain = grain * 1664525u + 1013904223u;
                double s = 90 + 15 * c + light - (eye < 0.15 ? 60 : 0) +
                           30 * sin((3 + k) * u + c + 2 * k) * cos((5 - k) * v - c) +
                           (grain >> 24) * 0.1;
                *rgb++ = (uint8_t)(s < 0 ? 0 : s > 255 ? 255 : s);
            }
        }
}

static double one_minus_cosine(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? 1 - dot / sqrt(aa * bb) : INFINITY;
}

static enum err run(float *out, const struct nn_net *net, const struct precision_ask *a,
                    const float *rows, struct err_info *err)
{
    struct nn_exec *x = NULL;
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    enum err rc = nn_exec_new(&x, a->threads, 0, err);
    if (rc) return rc;
    outs[a->output] = out;
    rc = nn_exec_run(x, net, PRECISION_INPUTS, a->input->h, a->input->w, rows, outs, err);
    nn_exec_free(x);
    return rc;
}

/* The float32 side first: its pages are gone when bf16 is packed. */
static enum err measure(double *error, const struct nn_net *net, const struct precision_ask *a,
                        struct err_info *err)
{
    const struct nn_graph *g = &a->model->graph;
    const size_t pixels = (size_t)a->input->w * (size_t)a->input->h;
    AUTO_FREE struct nn_shape *shapes = calloc((size_t)g->n_ops, sizeof *shapes);
    AUTO_FREE uint8_t *rgb = malloc(3 * pixels);
    AUTO_FREE float *rows = mem_aligned(PRECISION_INPUTS * 3 * pixels, sizeof *rows);
    struct nn_net *plain = NULL;
    enum err rc;

    if (!shapes || !rgb || !rows) return err_set(err, ERR_NOMEM, "no memory to measure bf16");
    if ((rc = nn_graph_shapes(g, a->input->h, a->input->w, shapes, err))) return rc;
    const struct nn_shape s = shapes[g->outputs[a->output].op];
    const size_t dim = (size_t)s.c * (size_t)s.h * (size_t)s.w;
    AUTO_FREE float *want = calloc(2 * PRECISION_INPUTS * dim, sizeof *want);
    if (!want) return err_set(err, ERR_NOMEM, "no memory to measure bf16");
    float *got = want + PRECISION_INPUTS * dim;
    for (int i = 0; i < PRECISION_INPUTS; i++) {
        draw(rgb, a->input->w, a->input->h, i);
        embed_input(rows + (size_t)i * 3 * pixels, rgb, a->input, false);
    }
    if ((rc = nn_net_new(&plain, g, NN_BLAS, NN_F32, err))) return rc;
    nn_net_weights_are_mapped(plain);
    rc = run(want, plain, a, rows, err);
    nn_net_free(plain);
    if (!rc) rc = run(got, net, a, rows, err);
    *error = 0;
    for (size_t i = 0; !rc && i < PRECISION_INPUTS; i++) {
        const double e = one_minus_cosine(want + i * dim, got + i * dim, dim);
        if (!(e <= *error)) *error = isnan(e) ? INFINITY : e;
    }
    return rc;
}

static enum err make(struct nn_net **out, const struct precision_ask *a, enum nn_precision p,
                     struct err_info *err)
{
    enum err rc = nn_net_new(out, &a->model->graph, a->backend, p, err);
    if (!rc) nn_net_weights_are_mapped(*out);
    return rc;
}

enum err precision_net(struct nn_net **out, double *error, const struct precision_ask *a,
                       struct err_info *err)
{
    struct nn_net *net;
    enum err rc = make(&net, a, a->wanted == NN_F32 ? NN_F32 : NN_BF16, err);
    if (rc) return rc;
    *error = NAN;
    if (nn_net_precision(net) == NN_BF16) {
        rc = measure(error, net, a, err);
        if (rc == ERR_UNSUPPORTED) *error = INFINITY, rc = ERR_OK; /* OpenBLAS of the wrong kind */
        if (rc || (a->wanted == NN_AUTO && !(*error <= PRECISION_BOUND))) {
            nn_net_free(net);
            if (rc) return rc;
            if ((rc = make(&net, a, NN_F32, err))) return rc;
        }
    }
    *out = net;
    return ERR_OK;
}
