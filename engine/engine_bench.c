/* `model bench`: one network alone, layer by layer and as a whole, beside what this machine can do
 * at most. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/engine_internal.h"
#include "engine/nn/exec.h"
#include "engine/precision.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BENCH_SECONDS = 1,
    BENCH_MAX_RUNS = 200,
    BENCH_ANY_SIDE = 128 /* of a net that takes any size */
};

struct bench {
    struct model *model;
    struct nn_net *net;
    struct nn_exec *exec;
    struct nn_peak peak;
    double bf16_error;
    float *in, *outs[NN_MAX_OUTPUTS]; /* the outputs that are wanted */
    int h, w;
};

static void bench_release(struct bench *b)
{
    for (int i = 0; i < NN_MAX_OUTPUTS; i++) free(b->outs[i]);
    free(b->in);
    nn_exec_free(b->exec);
    nn_net_free(b->net);
    model_close(b->model);
}

/* An embedder is asked for its embedding, as in serving; other nets for all they have. */
static enum err want_outputs(struct bench *b, int batch, struct err_info *err)
{
    const struct nn_graph *g = &b->model->graph;
    const char *name = b->model->input.output[0] ? b->model->input.output : "embedding";
    const int only = b->model->role == MODEL_EMBEDDER ? nn_graph_output(g, name) : -1;
    AUTO_FREE struct nn_shape *shapes = calloc((size_t)g->n_ops, sizeof *shapes);
    enum err rc;

    if (!shapes) return err_set(err, ERR_NOMEM, "no memory for %d shapes", g->n_ops);
    if ((rc = nn_graph_shapes(g, b->h, b->w, shapes, err))) return rc;
    for (int i = 0; i < g->n_outputs; i++) {
        const struct nn_shape s = shapes[g->outputs[i].op];
        if (only >= 0 && i != only) continue;
        b->outs[i] =
            calloc((size_t)batch * (size_t)s.c * (size_t)s.h * (size_t)s.w, sizeof *b->outs[i]);
        if (!b->outs[i]) return err_set(err, ERR_NOMEM, "no memory for a batch of %d", batch);
    }
    return ERR_OK;
}

/* As the engine would: detectors in float32, embedders as they are asked for. */
static enum err make_net(struct bench *b, enum nn_backend backend, enum nn_precision precision,
                         int threads, struct err_info *err)
{
    const struct nn_graph *g = &b->model->graph;
    const char *name = b->model->input.output[0] ? b->model->input.output : "embedding";
    const struct precision_ask ask = {.model = b->model,
                                      .input = &b->model->input,
                                      .output = nn_graph_output(g, name),
                                      .backend = backend,
                                      .wanted = precision,
                                      .threads = threads};
    b->bf16_error = NAN;
    if (b->model->role == MODEL_EMBEDDER && ask.output >= 0)
        return precision_net(&b->net, &b->bf16_error, &ask, err);
    return nn_net_new(&b->net, g, backend, precision, err);
}

static enum err bench_prepare(struct bench *b, const char *dir, const char *name,
                              const struct bench_options *o, struct err_info *err)
{
    enum nn_backend backend;
    enum nn_precision precision;
    enum err rc;

    if ((rc = engine__parse_backend(&backend, o->backend, err))) return rc;
    if ((rc = engine__parse_precision(&precision, o->precision, err))) return rc;
    if ((rc = model_open(&b->model, dir, name, err))) return rc;
    const struct nn_graph *g = &b->model->graph;
    if (!g->n_ops) return err_set(err, ERR_INVALID, "model %.64s has no network to time", name);
    b->h = g->in_h ? g->in_h : BENCH_ANY_SIDE;
    b->w = g->in_w ? g->in_w : BENCH_ANY_SIDE;
    if ((rc = make_net(b, backend, precision, o->threads, err))) return rc;
    if ((rc = nn_exec_new(&b->exec, o->threads, 0, err))) return rc;
    if ((rc = nn_exec_peak(b->exec, &b->peak, err))) return rc;
    if ((rc = want_outputs(b, o->batch, err))) return rc;
    size_t floats = (size_t)o->batch * (size_t)g->in_c * (size_t)b->h * (size_t)b->w;
    if (!(b->in = mem_aligned(floats, sizeof *b->in)))
        return err_set(err, ERR_NOMEM, "no memory for a batch of %d", o->batch);
    for (size_t i = 0; i < floats; i++) b->in[i] = (float)(i * 7919 % 255) / 255.0f - 0.5f;
    return ERR_OK;
}

/* of_peak counts a convolution's own multiply-adds, so that Winograd passes 1. gb_s: its weights,
 * read once. */
static void emit_layer(const struct nn_layer_info *l, const struct nn_peak *peak,
                       void (*emit)(void *self, const char *json_line), void *self)
{
    const double gflops = l->seconds > 0 ? 2e-9 * l->macs / l->seconds : 0,
                 gb_s = l->seconds > 0 ? 1e-9 * l->weight_bytes / l->seconds : 0,
                 most = l->bf16 ? peak->gflops_bf16 : peak->gflops;
    char line[512];

    snprintf(line, sizeof line,
             "{\"layer\":\"%s\",\"kernel\":\"%s\",\"ms\":%.4f,\"gflops\":%.1f,\"of_peak\":%.3f,"
             "\"weights_mb\":%.2f,\"gb_s\":%.2f,\"of_read\":%.3f}",
             l->name, l->kernel, l->seconds * 1e3, gflops, most > 0 ? gflops / most : 0,
             l->weight_bytes * 1e-6, gb_s, gb_s / peak->read_gb_s);
    emit(self, line);
}

static enum err bench_layers(const struct bench *b, int batch, double *macs,
                             void (*emit)(void *self, const char *json_line), void *self,
                             struct err_info *err)
{
    AUTO_FREE struct nn_layer_info *layers = calloc(NN_MAX_OPS, sizeof *layers);
    int n;

    if (!layers) return err_set(err, ERR_NOMEM, "no memory for a list of layers");
    enum err rc = nn_exec_run_timed(b->exec, b->net, batch, b->h, b->w, b->in, b->outs, layers,
                                    NN_MAX_OPS, &n, err);
    for (int i = 0; !rc && i < n; i++) {
        *macs += layers[i].macs;
        emit_layer(&layers[i], &b->peak, emit, self);
    }
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whole runs, sorted; returns how many. */
static enum err bench_whole(double took[BENCH_MAX_RUNS], int *runs, struct bench *b, int batch,
                            struct err_info *err)
{
    *runs = 0;
    for (double start = clock_seconds();
         *runs < BENCH_MAX_RUNS && (!*runs || clock_seconds() - start < BENCH_SECONDS); ++*runs) {
        double t = clock_seconds();
        enum err rc = nn_exec_run(b->exec, b->net, batch, b->h, b->w, b->in, b->outs, err);
        if (rc) return rc;
        took[*runs] = clock_seconds() - t;
    }
    qsort(took, (size_t)*runs, sizeof *took, by_value);
    return ERR_OK;
}

enum err engine_bench(const char *models_dir, const char *name, const struct bench_options *o,
                      void (*emit)(void *self, const char *json_line), void *self,
                      struct err_info *err)
{
    struct bench b = {0};
    double macs = 0, took[BENCH_MAX_RUNS];
    char line[512];
    int runs;
    enum err rc;

    if ((rc = bench_prepare(&b, models_dir, name, o, err))) goto out;
    if ((rc = nn_exec_run(b.exec, b.net, o->batch, b.h, b.w, b.in, b.outs, err))) goto out;
    if ((rc = bench_layers(&b, o->batch, &macs, emit, self, err))) goto out;
    if ((rc = bench_whole(took, &runs, &b, o->batch, err))) goto out;
    snprintf(line, sizeof line,
             "{\"peak_gflops\":%.1f,\"peak_gflops_bf16\":%.1f,\"read_gb_s\":%.2f,\"threads\":%d}",
             b.peak.gflops, b.peak.gflops_bf16, b.peak.read_gb_s, o->threads);
    emit(self, line);
    if (isfinite(b.bf16_error)) {
        snprintf(line, sizeof line, "{\"bf16_error\":%.3g,\"bound\":%g}", b.bf16_error,
                 PRECISION_BOUND);
        emit(self, line);
    }
    const double median = took[runs / 2];
    snprintf(
        line, sizeof line,
        "{\"model\":\"%s\",\"backend\":\"%s\",\"precision\":\"%s\",\"batch\":%d,\"threads\":%d,"
        "\"runs\":%d,"
        "\"ms_median\":%.4f,\"ms_least\":%.4f,\"ms_a_row\":%.4f,\"gmacs\":%.4f,\"gflops\":%.1f}",
        name, o->backend ? o->backend : nn_backend_name(NN_FAST),
        nn_precision_name(nn_net_precision(b.net)), o->batch, o->threads, runs, median * 1e3,
        took[0] * 1e3, median * 1e3 / o->batch, macs * 1e-9, 2e-9 * macs / median);
    emit(self, line);
out:
    bench_release(&b);
    return rc;
}
