/* ONNX files: which model a graph is, and its weights put where the model file wants them. The
 * graph itself is made by onnx_graph.c. Sources: facts/models.md sections 1 and 6. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "engine/base/mem.h"
#include "engine/model/import/import_internal.h"
#include "engine/model/import/onnx_graph.h"
#include "engine/model/import/onnx_own.h"
#include "engine/model/import/onnx_vgg.h"

enum { ARENA_BYTES = 16 << 20, CHIP_SIDE = 112 };

/* What is known of a file by its digest. */
static const struct known {
    const char *sha256, *name, *license;
} KNOWN[] = {
    {"8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4", "yunet", "MIT"},
    {"0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79", "sface", "Apache-2.0"},
};

/* YuNet's outputs, for strides of 8, 16 and 32. */
static const char *const YUNET[] = {"cls_8",  "cls_16",  "cls_32",  "obj_8", "obj_16", "obj_32",
                                    "bbox_8", "bbox_16", "bbox_32", "kps_8", "kps_16", "kps_32"};

static const struct known *known_file(const struct import_job *job)
{
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        if (strcasecmp(KNOWN[i].sha256, job->sha256) == 0) return &KNOWN[i];
    return NULL;
}

static bool is_yunet(const struct onnx_builder *b)
{
    if (b->g->n_outputs != (int)ARRAY_LEN(YUNET) || b->g->in_c != 3) return false;
    for (size_t i = 0; i < ARRAY_LEN(YUNET); i++)
        if (nn_graph_output(b->g, YUNET[i]) < 0) return false;
    return true;
}

/* Any size; pixels as they come. */
static void describe_yunet(struct onnx_builder *b, struct model_draft *d)
{
    d->role = MODEL_DETECTOR;
    d->input.bgr = true;
    for (int i = 0; i < 3; i++) d->input.scale[i] = 1;
    b->g->in_h = b->g->in_w = 0;
}

static bool is_embedder(const struct onnx_builder *b)
{
    if (b->any_size || b->g->n_outputs != 1 || b->g->in_c != 3 || b->g->in_h != CHIP_SIDE ||
        b->g->in_w != CHIP_SIDE)
        return false;
    const struct onnx_value *v = b->values[b->m->outputs[0].id];
    size_t count = 1, most = 1;
    for (int i = 0; i < v->ndim; i++) {
        count *= v->dims[i];
        if (v->dims[i] > most) most = v->dims[i];
    }
    return count == most; /* a vector: all axes but one are 1 */
}

/* A graph that begins with a subtraction and a product takes pixels as they are (facts 6.3). */
static enum err describe_embedder(struct onnx_builder *b, struct model_draft *d)
{
    const bool inside = b->begins_with_sub && b->begins_with_mul;
    struct nn_output *o = &b->g->outputs[0];
    struct onnx_value vector = *b->values[b->m->outputs[0].id];
    size_t dim = 1;

    for (int i = 0; i < vector.ndim; i++) dim *= vector.dims[i];
    vector.ndim = 2;
    vector.dims[0] = 1;
    vector.dims[1] = dim;
    vector.batch = true;
    enum err rc = onnx_planes(b, &vector);
    if (rc) return rc;
    o->op = vector.op;
    snprintf(o->name, sizeof o->name, "embedding");
    d->role = MODEL_EMBEDDER;
    d->input = (struct model_input){.w = CHIP_SIDE, .h = CHIP_SIDE};
    model_five_points(&d->input);
    for (int i = 0; i < 3; i++) {
        d->input.mean[i] = inside ? 0 : 127.5f;
        d->input.scale[i] = inside ? 1 : 1 / 127.5f;
    }
    snprintf(d->input.average, sizeof d->input.average, "none");
    d->input.dim = (int)dim;
    return ERR_OK;
}

/* --- weights --- */

static void fill(struct import_job *job, const struct onnx_builder *b, struct model_writer *w)
{
    size_t done = 0, total = 0;
    for (int i = 0; i < b->g->n_ops; i++) total += b->g->ops[i].w_count;
    for (int i = 0; i < b->g->n_ops; i++) {
        if (!b->weights[i]) continue;
        onnx_fill(b->weights[i], &b->g->ops[i]);
        model_writer_settle(w, i);
        done += b->g->ops[i].w_count;
        import__progress(job, done, total);
    }
}

static enum err write_graph(struct import_job *job, struct onnx_builder *b,
                            struct model_draft *draft, const char *known_as)
{
    struct model_writer *w;

    draft->graph = b->g;
    enum err rc = import__begin(&w, job, draft, b->g, known_as, b->err);
    if (rc) return rc;
    fill(job, b, w);
    return import__end(w, job, b->err);
}

/* A file whose digest is known has a name and a licence. */
static enum err write_foreign(struct import_job *job, struct onnx_builder *b,
                              struct model_draft *draft, const char *known_as)
{
    const struct known *k = known_file(job);
    draft->license = k ? k->license : "unknown";
    draft->restricted = !k;
    return write_graph(job, b, draft, k ? k->name : known_as);
}

/* --- which model --- */

static enum err unknown(const struct onnx_builder *b)
{
    return err_set(
        b->err, ERR_MODEL,
        "a network that is not known: input %dx%dx%d, %d outputs, the first is %s; VGG-Face, "
        "embedders of 112x112 pixels and YuNet are",
        b->g->in_c, b->g->in_h, b->g->in_w, b->g->n_outputs, b->g->outputs[0].name);
}

static enum err import_graph(struct import_job *job, struct onnx_builder *b)
{
    struct model_draft draft = {0};
    struct vgg_net net;
    enum err rc;

    if (onnx_is_own(b)) {
        rc = onnx_own(&draft, b);
        return rc ? rc : write_graph(job, b, &draft, NULL);
    }
    if (onnx_vgg(&net, b)) return vggface_import(job, &net, b->err);
    if (is_yunet(b)) {
        describe_yunet(b, &draft);
        return write_foreign(job, b, &draft, "yunet");
    }
    if (!is_embedder(b)) return unknown(b);
    if ((rc = describe_embedder(b, &draft))) return rc;
    return write_foreign(job, b, &draft, NULL);
}

enum err import_onnx(struct import_job *job, struct err_info *err)
{
    struct arena a = {.max = ARENA_BYTES + job->len};
    struct nn_graph g = {0};
    struct onnx_model m;
    struct onnx_builder b = {.m = &m, .g = &g, .a = &a, .err = err};
    enum err rc = onnx_read(&m, job->data, job->len, &a, err);
    if (!rc) rc = onnx_build(&b);
    if (!rc) rc = import_graph(job, &b);
    nn_graph_release(&g);
    arena_release(&a);
    return rc;
}
