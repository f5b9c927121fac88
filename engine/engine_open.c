/* Opening an engine: models, networks, lanes, and the recipe that names what its embeddings may be
 * compared with. */
#include "engine/base/mem.h"
#include "engine/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_EMBEDDER "dlib-resnet"
#define DEFAULT_DETECTOR "mtcnn"
enum { THREADS_MAX = 256 };

static const char *const model_names_fixed[EM_COUNT] = {
    [EM_PNET] = "mtcnn-p",     [EM_RNET] = "mtcnn-r",       [EM_ONET] = "mtcnn-o",
    [EM_ERT5] = "dlib-5point", [EM_ERT68] = "dlib-68point",
};

enum err engine__parse_backend(enum nn_backend *out, const char *s, struct err_info *err)
{
    *out = NN_FAST;
    if (!s) return ERR_OK;
    for (int b = 0; b < NN_BACKEND_COUNT; b++) {
        if (strcmp(s, nn_backend_name((enum nn_backend)b)) == 0) {
            *out = (enum nn_backend)b;
            return ERR_OK;
        }
    }
    return err_set(err, ERR_INVALID, "backend '%.32s': expected fast, blas or ref", s);
}

enum err engine__parse_precision(enum nn_precision *out, const char *s, struct err_info *err)
{
    *out = NN_F32;
    if (!s || strcmp(s, "f32") == 0) return ERR_OK;
    if (strcmp(s, "bf16") == 0)
        *out = NN_BF16;
    else if (strcmp(s, "auto") == 0)
        *out = NN_AUTO;
    else
        return err_set(err, ERR_INVALID, "precision '%.32s': expected f32, bf16 or auto", s);
    return ERR_OK;
}

static enum err open_models(struct engine *e, const struct engine_options *o, struct err_info *err)
{
    for (int i = 0; i < EM_COUNT; i++) {
        const char *name = model_names_fixed[i];
        enum err rc = model_open(&e->model[i], o->models_dir, name, err);
        if (rc == ERR_NOT_FOUND && i == EM_ERT68) continue;
        if (rc == ERR_NOT_FOUND)
            return err_set(err, rc, "model %.64s is not in %.200s: run `visavis model fetch`", name,
                           o->models_dir);
        if (rc) return rc;
    }
    return ERR_OK;
}

static enum err make_nets(struct engine *e, struct err_info *err)
{
    enum err rc;
    /* Detectors stay in float32: 1e-3 of noise moves boxes by 2 % of their height. */
    if ((rc = nn_net_new(&e->net_p, &e->model[EM_PNET]->graph, e->backend, NN_F32, err))) return rc;
    if ((rc = nn_net_new(&e->net_r, &e->model[EM_RNET]->graph, e->backend, NN_F32, err))) return rc;
    if ((rc = nn_net_new(&e->net_o, &e->model[EM_ONET]->graph, e->backend, NN_F32, err))) return rc;
    e->mtcnn = (struct mtcnn){e->net_p, e->net_r, e->net_o};
    e->detector.mtcnn = &e->mtcnn;
    return ERR_OK;
}

/* The detector that is a model of its own. */
static enum err open_yunet(struct engine *e, const struct engine_options *o, struct err_info *err)
{
    enum err rc = model_open(&e->yunet_model, o->models_dir, o->detector, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(
            err, rc, "detector %.64s is not in %.200s: there is %s, and YuNet once it is imported",
            o->detector, o->models_dir, DEFAULT_DETECTOR);
    if (rc) return rc;
    const struct model *m = e->yunet_model;
    if (m->role != MODEL_DETECTOR)
        return err_set(err, ERR_INVALID, "model %.64s is a %s, not a detector", o->detector,
                       model_role_name(m->role));
    if ((rc = nn_net_new(&e->net_yunet, &m->graph, e->backend, NN_F32, err))) return rc;
    rc = yunet_init(&e->yunet, e->net_yunet, &m->input, err);
    if (rc == ERR_MODEL) return err_prefix(err, "model %.64s is no YuNet", o->detector);
    e->detector = (struct detector){.yunet = &e->yunet};
    return rc;
}

static void describe_detection(struct engine *e)
{
    size_t at = 0;
    if (e->yunet_model)
        at = (size_t)snprintf(e->detection, sizeof e->detection, "yunet=%s\n",
                              e->yunet_model->sha256);
    for (int i = e->yunet_model ? EM_ONET : EM_PNET; i <= EM_ERT5; i++)
        at += (size_t)snprintf(e->detection + at, sizeof e->detection - at, "%s=%s\n",
                               model_names_fixed[i], e->model[i]->sha256);
}

/* The folder's models; those that find faces are loaded already. */
static enum err list_models(struct engine *e, const char *dir, struct err_info *err)
{
    enum err rc = engine_model_list(&e->infos, &e->n_infos, dir, err);
    if (rc) return rc;
    for (size_t i = 0; i < e->n_infos; i++) {
        struct model_info *m = &e->infos[i];
        for (int k = 0; k < EM_COUNT; k++)
            if (e->model[k] && strcmp(m->name, e->model[k]->name) == 0) m->loaded = true;
        if (e->yunet_model && strcmp(m->name, e->yunet_model->name) == 0) m->loaded = true;
        if (!m->loaded) continue;
        m->backend = nn_backend_name(e->backend);
        m->precision = nn_precision_name(NN_F32);
    }
    return ERR_OK;
}

static int cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (int)n;
}

enum err engine_open(struct engine **out, const struct engine_options *o, struct err_info *err)
{
    const int threads = o->threads ? o->threads : cores();
    const char *embedder = o->embedder ? o->embedder : DEFAULT_EMBEDDER;
    enum err rc;
    struct engine *e;

    if (threads < 1 || threads > THREADS_MAX)
        return err_set(err, ERR_INVALID, "%d threads: expected 1 to %d", threads, THREADS_MAX);
    if (!(e = calloc(1, sizeof *e))) return err_set(err, ERR_NOMEM, "no memory for an engine");
    pthread_mutex_init(&e->loading, NULL);
    pthread_mutex_init(&e->lock, NULL);
    e->threads = threads;
    if ((rc = engine__parse_backend(&e->backend, o->backend, err))) goto fail;
    if ((rc = engine__parse_precision(&e->precision, o->precision, err))) goto fail;
    if ((rc = open_models(e, o, err))) goto fail;
    if ((rc = make_nets(e, err))) goto fail;
    if (o->detector && strcmp(o->detector, DEFAULT_DETECTOR) != 0 && (rc = open_yunet(e, o, err)))
        goto fail;
    if ((rc = ert_open(&e->ert5, e->model[EM_ERT5], err))) goto fail;
    if (e->model[EM_ERT68] && (rc = ert_open(&e->ert68, e->model[EM_ERT68], err))) goto fail;
    describe_detection(e);
    if ((rc = list_models(e, o->models_dir, err))) goto fail;
    /* One thread a lane: small nets' layers are short; large ones have the lane of all cores. */
    if ((rc = lanes_new(&e->lanes, threads, 1, err))) goto fail;
    if ((rc = engine__embedders_init(e, o, err))) goto fail;
    if ((rc = engine__embedder_open_default(e, o, embedder, err))) goto fail;
    *out = e;
    return ERR_OK;
fail:
    engine_close(e);
    return rc;
}

void engine_close(struct engine *e)
{
    if (!e) return;
    lanes_free(e->lanes);
    engine__embedders_release(e);
    engine_model_list_free(e->infos, e->n_infos);
    ert_close(e->ert5);
    ert_close(e->ert68);
    nn_net_free(e->net_p);
    nn_net_free(e->net_r);
    nn_net_free(e->net_o);
    nn_net_free(e->net_yunet);
    model_close(e->yunet_model);
    for (int i = 0; i < EM_COUNT; i++) model_close(e->model[i]);
    pthread_mutex_destroy(&e->lock);
    pthread_mutex_destroy(&e->loading);
    free(e);
}

const struct model_info *engine_embedder(const struct engine *e)
{
    return e->embedder_info;
}

const char *engine_detector(const struct engine *e)
{
    return e->yunet_model ? e->yunet_model->name : DEFAULT_DETECTOR;
}

const struct cores *engine_cores(struct engine *e)
{
    return lanes_cores(e->lanes);
}

void engine_stats(const struct engine *e, struct engine_stats *out)
{
    struct lane_stats s;
    _Static_assert((int)LANE_HISTOGRAM ==
                       (int)ARRAY_LEN(((struct engine_stats *)0)->batch_histogram),
                   "same slots");
    lanes_stats(e->lanes, &s);
    *out = (struct engine_stats){
        .lanes = s.lanes, .queue_depth = s.waiting, .batches = s.batches, .rows = s.rows};
    memcpy(out->batch_histogram, s.histogram, sizeof out->batch_histogram);
}
