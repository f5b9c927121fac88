/* Opening an engine: models, networks, lanes, and the recipe that names what its embeddings may be
 * compared with. */
#include "engine/base/mem.h"
#include "engine/engine_internal.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_EMBEDDER "dlib-resnet"
/* To be raised with every change of code that moves embeddings by more than rounding: the ladder,
 * how crops are placed, how they are averaged. Then calibrations are measured again. 2: refined
 * detections. */
enum { PIPELINE_VERSION = 2 };
enum { THREADS_MAX = 256 };

static const char *const model_names_fixed[EM_COUNT] = {
    [EM_PNET] = "mtcnn-p",     [EM_RNET] = "mtcnn-r", [EM_ONET] = "mtcnn-o",
    [EM_ERT5] = "dlib-5point", [EM_EMBEDDER] = NULL,  [EM_ERT68] = "dlib-68point",
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
        if (!name) name = o->embedder ? o->embedder : DEFAULT_EMBEDDER;
        enum err rc = model_open(&e->model[i], o->models_dir, name, err);
        if (rc == ERR_NOT_FOUND && i == EM_ERT68) continue;
        if (rc == ERR_NOT_FOUND)
            return err_set(err, rc, "model %.64s is not in %.200s: run `visavis model fetch`", name,
                           o->models_dir);
        if (rc) return rc;
    }
    e->embedder = e->model[EM_EMBEDDER];
    if (e->embedder->role != MODEL_EMBEDDER)
        return err_set(err, ERR_INVALID, "model %.64s is a %s, not an embedder", e->embedder->name,
                       model_role_name(e->embedder->role));
    const struct model_input *in = &e->embedder->input;
    if (in->crop != CROP_DLIB_CHIP || in->w != CHIP_SIDE || in->h != CHIP_SIDE)
        return err_set(err, ERR_UNSUPPORTED,
                       "model %.64s wants a %d x %d crop of a kind that this version cannot make",
                       e->embedder->name, in->w, in->h);
    return ERR_OK;
}

static enum err choose_crops(struct engine *e, const char *average, struct err_info *err)
{
    if (!average) average = e->embedder->input.average;
    if (!*average) average = "none";
    e->crops = crops_by_name(average);
    if (!e->crops)
        return err_set(err, ERR_INVALID, "average '%.32s' is not a set of crops that we know",
                       average);
    return ERR_OK;
}

static enum err make_nets(struct engine *e, const struct engine_options *o, struct err_info *err)
{
    enum nn_backend backend;
    enum nn_precision precision;
    struct nn_shape *shapes;
    enum err rc;

    if ((rc = engine__parse_backend(&backend, o->backend, err))) return rc;
    if ((rc = engine__parse_precision(&precision, o->precision, err))) return rc;
    /* Detectors stay in float32: 1e-3 of noise moves boxes by 2 % of their height. */
    if ((rc = nn_net_new(&e->net_p, &e->model[EM_PNET]->graph, backend, NN_F32, err))) return rc;
    if ((rc = nn_net_new(&e->net_r, &e->model[EM_RNET]->graph, backend, NN_F32, err))) return rc;
    if ((rc = nn_net_new(&e->net_o, &e->model[EM_ONET]->graph, backend, NN_F32, err))) return rc;
    if ((rc = nn_net_new(&e->net_embed, &e->embedder->graph, backend, precision, err))) return rc;
    e->mtcnn = (struct mtcnn){e->net_p, e->net_r, e->net_o};

    const struct nn_graph *g = &e->embedder->graph;
    e->embedding_output = nn_graph_output(g, "embedding");
    if (e->embedding_output < 0)
        return err_set(err, ERR_MODEL, "model %.64s has no output named embedding",
                       e->embedder->name);
    shapes = malloc((size_t)g->n_ops * sizeof *shapes);
    if (!shapes) return err_set(err, ERR_NOMEM, "no memory for %d shapes", g->n_ops);
    rc = nn_graph_shapes(g, e->embedder->input.h, e->embedder->input.w, shapes, err);
    if (!rc) {
        struct nn_shape s = shapes[g->outputs[e->embedding_output].op];
        e->dim = s.c * s.h * s.w;
    }
    free(shapes);
    return rc;
}

/* Everything that decides an embedding's numbers, beyond rounding: the detector and predictor that
 * place the chip, the network with its preprocessing, which crops are averaged, the code between
 * them, which output is read. */
static void make_recipe(struct engine *e)
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char text[512];

    sha256_init(&sha);
    for (int i = EM_PNET; i <= EM_EMBEDDER; i++) {
        int n = snprintf(text, sizeof text, "%s=%s\n",
                         i == EM_EMBEDDER ? "embedder" : model_names_fixed[i], e->model[i]->sha256);
        sha256_update(&sha, (size_t)n, (const uint8_t *)text);
    }
    int n = snprintf(text, sizeof text, "average=%s\npipeline=%d\noutput=embedding,unit\n",
                     e->crops->name, PIPELINE_VERSION);
    sha256_update(&sha, (size_t)n, (const uint8_t *)text);
    sha256_digest(&sha, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(e->recipe + 2 * i, 3, "%02x", digest[i]);
}

static enum err make_infos(struct engine *e, const char *dir, const char *backend,
                           struct err_info *err)
{
    enum err rc = engine_model_list(&e->infos, &e->n_infos, dir, err);
    if (rc) return rc;
    for (size_t i = 0; i < e->n_infos; i++) {
        struct model_info *m = &e->infos[i];
        for (int k = 0; k < EM_COUNT; k++)
            if (e->model[k] && strcmp(m->name, e->model[k]->name) == 0) m->loaded = true;
        if (!m->loaded) continue;
        m->backend = backend;
        m->precision = nn_precision_name(NN_F32);
        if (strcmp(m->name, e->embedder->name) == 0) {
            m->precision = nn_precision_name(nn_net_precision(e->net_embed));
            m->average = e->crops->name;
            m->dim = e->dim;
            e->embedder_info = m;
        }
    }
    if (!e->embedder_info)
        return err_set(err, ERR_IO, "model %.64s has gone from %.200s", e->embedder->name, dir);
    return ERR_OK;
}

static int cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (int)n;
}

enum err engine_open(struct engine **out, const struct engine_options *o, struct err_info *err)
{
    int threads = o->threads ? o->threads : cores();
    enum err rc;
    struct engine *e;

    if (threads < 1 || threads > THREADS_MAX)
        return err_set(err, ERR_INVALID, "%d threads: expected 1 to %d", threads, THREADS_MAX);
    if (!(e = calloc(1, sizeof *e))) return err_set(err, ERR_NOMEM, "no memory for an engine");
    if ((rc = open_models(e, o, err))) goto fail;
    if ((rc = choose_crops(e, o->average, err))) goto fail;
    if ((rc = make_nets(e, o, err))) goto fail;
    if ((rc = ert_open(&e->ert5, e->model[EM_ERT5], err))) goto fail;
    if (e->model[EM_ERT68] && (rc = ert_open(&e->ert68, e->model[EM_ERT68], err))) goto fail;
    make_recipe(e);
    if ((rc =
             make_infos(e, o->models_dir, o->backend ? o->backend : nn_backend_name(NN_FAST), err)))
        goto fail;
    /* One thread a lane: the nets are small, so cores are better spent on different pictures than
     * on barriers. */
    if ((rc = lanes_new(&e->lanes, threads, 1, err))) goto fail;
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
    engine_model_list_free(e->infos, e->n_infos);
    ert_close(e->ert5);
    ert_close(e->ert68);
    nn_net_free(e->net_p);
    nn_net_free(e->net_r);
    nn_net_free(e->net_o);
    nn_net_free(e->net_embed);
    for (int i = 0; i < EM_COUNT; i++) model_close(e->model[i]);
    free(e);
}

const struct model_info *engine_models(const struct engine *e, size_t *n)
{
    *n = e->n_infos;
    return e->infos;
}

const struct model_info *engine_embedder(const struct engine *e)
{
    return e->embedder_info;
}

const char *engine_recipe(const struct engine *e)
{
    return e->recipe;
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
