/* Models on disk: the list, exports, calibrations, and the layer-by-layer bench. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/engine_internal.h"
#include "engine/model/export_onnx.h"
#include "engine/nn/exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BENCH_SECONDS = 1,
    BENCH_MAX_RUNS = 200,
    BENCH_ANY_SIDE = 128 /* of a net that takes any size */
};

static char *copy(const char *s)
{
    return s ? strdup(s) : NULL;
}

/* One malloc'd string a field, so that a list outlives the files it was read from. */
static bool info_fill(struct model_info *i, const char *dir, const char *name)
{
    struct err_info why = ERR_INFO_INIT;
    struct model *m = NULL;

    i->name = copy(name);
    enum err rc = model_open(&m, dir, name, &why);
    if (rc == ERR_NOMEM) return false;
    if (rc) {
        i->role = copy("damaged");
        i->license = copy(why.message);
        return i->name && i->role && i->license;
    }
    i->role = copy(model_role_name(m->role));
    i->license = copy(m->license);
    i->source_file = copy(m->source_file);
    i->source_sha256 = copy(m->source_sha256);
    i->sha256 = copy(m->sha256);
    i->calibration = copy(m->calibration);
    i->note = copy(m->note);
    i->restricted = m->restricted;
    i->outdated = m->importer < MODEL_IMPORTER_VERSION;
    i->dim = m->role == MODEL_EMBEDDER ? m->input.dim : 0;
    bool ok = i->name && i->role && i->license && i->source_file && i->source_sha256 && i->sha256 &&
              (i->calibration || !m->calibration) && (i->note || !m->note);
    model_close(m);
    return ok;
}

enum err engine_model_list(struct model_info **list, size_t *n, const char *models_dir,
                           struct err_info *err)
{
    char **names = NULL;
    size_t count = 0;
    enum err rc = model_names(&names, &count, models_dir, err);
    if (rc) return rc;
    struct model_info *infos = calloc(count + 1, sizeof *infos);
    bool ok = infos != NULL;
    for (size_t i = 0; ok && i < count; i++) ok = info_fill(&infos[i], models_dir, names[i]);
    model_names_free(names, count);
    if (!ok) {
        engine_model_list_free(infos, infos ? count : 0);
        return err_set(err, ERR_NOMEM, "no memory for a list of %zu models", count);
    }
    *list = infos;
    *n = count;
    return ERR_OK;
}

void engine_model_list_free(struct model_info *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct model_info *m = &list[i];
        const char *owned[] = {m->name,        m->role,          m->license,
                               m->source_file, m->source_sha256, m->sha256,
                               m->calibration, m->recipe,        m->note};
        for (size_t k = 0; k < ARRAY_LEN(owned); k++) free((void *)owned[k]);
    }
    free(list);
}

enum err engine_model_verify(const char *models_dir, const char *name, struct err_info *err)
{
    return model_verify(models_dir, name, err);
}

enum err engine_model_export_onnx(const char *models_dir, const char *name, const char *file,
                                  struct err_info *err)
{
    struct model *m = NULL;
    enum err rc = model_open(&m, models_dir, name, err);
    if (!rc) rc = model_export_onnx(m, file, err);
    model_close(m);
    return rc;
}

enum err engine_set_calibration(const char *models_dir, const char *name, const char *json,
                                struct err_info *err)
{
    return model_set_calibration(models_dir, name, json, err);
}

/* --- model bench --- */

struct bench {
    struct model *model;
    struct nn_net *net;
    struct nn_exec *exec; /* times the whole net */
    struct nn_plan *plan; /* times its layers, on one thread */
    float *in;
    int h, w;
};

static void bench_release(struct bench *b)
{
    free(b->in);
    nn_plan_free(b->plan);
    nn_exec_free(b->exec);
    nn_net_free(b->net);
    model_close(b->model);
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
    if ((rc = nn_net_new(&b->net, g, backend, precision, err))) return rc;
    if ((rc = nn_exec_new(&b->exec, o->threads, 0, err))) return rc;
    if ((rc = nn_plan_new(&b->plan, b->net, o->batch, b->h, b->w, err))) return rc;
    size_t floats = (size_t)o->batch * (size_t)g->in_c * (size_t)b->h * (size_t)b->w;
    if (!(b->in = mem_aligned(floats, sizeof *b->in)))
        return err_set(err, ERR_NOMEM, "no memory for a batch of %d", o->batch);
    for (size_t i = 0; i < floats; i++) b->in[i] = (float)(i * 7919 % 255) / 255.0f - 0.5f;
    return ERR_OK;
}

static void bench_layers(const struct bench *b, struct nn_layer_info *layers, double *macs,
                         void (*emit)(void *self, const char *json_line), void *self)
{
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    char line[512];

    nn_plan_forward(b->plan, b->in, outs);
    nn_plan_forward_timed(b->plan, b->in, outs);
    int n = nn_plan_layers(b->plan, layers, NN_MAX_OPS);
    for (int i = 0; i < n; i++) {
        const struct nn_layer_info *l = &layers[i];
        *macs += l->macs;
        snprintf(line, sizeof line,
                 "{\"layer\":\"%s\",\"kernel\":\"%s\",\"ms\":%.4f,\"gflops\":%.1f}", l->name,
                 l->kernel, l->seconds * 1e3, l->seconds > 0 ? 2e-9 * l->macs / l->seconds : 0.0);
        emit(self, line);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum err engine_bench(const char *models_dir, const char *name, const struct bench_options *o,
                      void (*emit)(void *self, const char *json_line), void *self,
                      struct err_info *err)
{
    struct bench b = {0};
    AUTO_FREE struct nn_layer_info *layers = calloc(NN_MAX_OPS, sizeof *layers);
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    double macs = 0, took[BENCH_MAX_RUNS];
    char line[512];
    int runs = 0;
    enum err rc;

    if (!layers) return err_set(err, ERR_NOMEM, "no memory for a list of layers");
    if ((rc = bench_prepare(&b, models_dir, name, o, err))) goto out;
    bench_layers(&b, layers, &macs, emit, self);
    if ((rc = nn_exec_run(b.exec, b.net, o->batch, b.h, b.w, b.in, outs, err))) goto out;
    for (double start = clock_seconds();
         runs < BENCH_MAX_RUNS && clock_seconds() - start < BENCH_SECONDS; runs++) {
        double t = clock_seconds();
        if ((rc = nn_exec_run(b.exec, b.net, o->batch, b.h, b.w, b.in, outs, err))) goto out;
        took[runs] = clock_seconds() - t;
    }
    qsort(took, (size_t)runs, sizeof *took, by_value);
    double median = took[runs / 2];
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
