#include "engine/model/export_onnx.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/export_internal.h"
#include "engine/model/new_file.h"

enum { IR_VERSION = 8, OPSET = 13 };
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_DOC = 6, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { MODEL_METADATA = 14, OPSET_VERSION = 2, PAIR_KEY = 1, PAIR_VALUE = 2 };
enum { INFO_NAME = 1, INFO_TYPE = 2, TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME = 2 };
/* A net for any size is looked at in two: what differs depends on the size. Multiples of every
 * usual total stride. */
enum { SIDE = 256, OTHER_SIDE = 512 };
static const size_t FILE_MAX_BYTES = INT32_MAX; /* protobuf's own: lengths are signed 32 bits */

/* The model file's keys that go along, under the same names. */
static const char *const METADATA[] = {"visavis.role",       "visavis.input",  "visavis.license",
                                       "visavis.restricted", "visavis.source", "visavis.classes",
                                       "visavis.note"};

struct job {
    struct export x;
    struct nn_shape *shapes, *other; /* by op, at both sizes; the same where there is only one */
};

static void job_release(struct job *j)
{
    proto_release(&j->x.graph);
    free(j->x.values);
    free(j->shapes);
    free(j->other);
}

static enum err find_shapes(struct job *j, struct err_info *err)
{
    const struct nn_graph *g = j->x.g;
    const bool any = !g->in_h;
    const size_t n = (size_t)g->n_ops;
    enum err rc;

    j->x.values = calloc(n, sizeof *j->x.values);
    j->shapes = calloc(n, sizeof *j->shapes);
    j->other = calloc(n, sizeof *j->other);
    if (!j->x.values || !j->shapes || !j->other)
        return err_set(err, ERR_NOMEM, "no memory for %zu shapes", n);
    rc = nn_graph_shapes(g, any ? SIDE : g->in_h, any ? SIDE : g->in_w, j->shapes, err);
    if (!rc)
        rc = nn_graph_shapes(g, any ? OTHER_SIDE : g->in_h, any ? OTHER_SIDE : g->in_w, j->other,
                             err);
    for (size_t i = 0; !rc && i < n; i++)
        j->x.values[i].vector =
            j->shapes[i].h == 1 && j->shapes[i].w == 1 && j->other[i].h == 1 && j->other[i].w == 1;
    return rc;
}

/* --- inputs and outputs --- */

/* One dimension: its size, or its name where that is open. */
static void dimension(struct proto *shape, int size, const char *name)
{
    struct proto d = proto_new(shape->err);
    if (name)
        proto_text(&d, DIM_NAME, name);
    else
        proto_int(&d, DIM_VALUE, size);
    proto_message(shape, SHAPE_DIM, &d);
}

/* A ValueInfoProto of floats; takes the shape. */
static void value_info(struct proto *graph, uint32_t field, const char *name, struct proto *shape)
{
    struct proto tensor = proto_new(graph->err), type = proto_new(graph->err),
                 info = proto_new(graph->err);
    proto_int(&tensor, TENSOR_ELEMENT, EXPORT_FLOAT);
    proto_message(&tensor, TENSOR_SHAPE, shape);
    proto_message(&type, TYPE_TENSOR, &tensor);
    proto_text(&info, INFO_NAME, name);
    proto_message(&info, INFO_TYPE, &type);
    proto_message(graph, field, &info);
}

static void add_input(struct job *j, struct proto *graph)
{
    const struct nn_graph *g = j->x.g;
    struct proto shape = proto_new(graph->err);
    char name[EXPORT_NAME_BYTES];
    dimension(&shape, 0, "N");
    dimension(&shape, g->in_c, NULL);
    dimension(&shape, g->in_h, g->in_h ? NULL : "H");
    dimension(&shape, g->in_w, g->in_w ? NULL : "W");
    export__input_name(name, &j->x);
    value_info(graph, GRAPH_INPUT, name, &shape);
}

static void add_output(struct job *j, struct proto *graph, const struct nn_output *o)
{
    const struct nn_shape *a = &j->shapes[o->op], *b = &j->other[o->op];
    const int size[3] = {a->c, a->h, a->w}, other[3] = {b->c, b->h, b->w};
    struct proto shape = proto_new(graph->err);
    char name[NN_NAME_BYTES + 4];

    dimension(&shape, 0, "N");
    for (int i = 0; i < (j->x.values[o->op].vector ? 1 : 3); i++) {
        snprintf(name, sizeof name, "%s_%c", o->name, "chw"[i]);
        dimension(&shape, size[i], size[i] == other[i] ? NULL : name);
    }
    value_info(graph, GRAPH_OUTPUT, o->name, &shape);
}

/* --- the model --- */

static void add_metadata(struct proto *model, const struct model *m)
{
    for (size_t i = 0; i < ARRAY_LEN(METADATA); i++) {
        const char *value = st_meta(m->st, METADATA[i]);
        if (!value) continue; /* the last two may be missing */
        struct proto pair = proto_new(model->err);
        proto_text(&pair, PAIR_KEY, METADATA[i]);
        proto_text(&pair, PAIR_VALUE, value);
        proto_message(model, MODEL_METADATA, &pair);
    }
}

static struct proto make_model(struct job *j, const struct model *m, struct err_info *err)
{
    struct proto model = proto_new(err), opset = proto_new(err), *graph = &j->x.graph;
    char purpose[96];

    proto_text(graph, GRAPH_NAME, m->name);
    add_input(j, graph);
    for (int i = 0; i < m->graph.n_outputs; i++) add_output(j, graph, &m->graph.outputs[i]);

    proto_int(&model, MODEL_IR, IR_VERSION);
    proto_text(&model, MODEL_PRODUCER, "visavis");
    snprintf(purpose, sizeof purpose, "face verification: %s", model_role_name(m->role));
    proto_text(&model, MODEL_DOC, purpose);
    proto_message(&model, MODEL_GRAPH, graph);
    proto_int(&opset, OPSET_VERSION, OPSET);
    proto_message(&model, MODEL_OPSET, &opset);
    add_metadata(&model, m);
    return model;
}

static enum err save(const struct proto *model, const char *file, struct err_info *err)
{
    struct new_file f = NEW_FILE_INIT;
    const size_t len = proto_len(model);
    enum err rc = model->rc;
    if (!rc && len > FILE_MAX_BYTES)
        rc =
            err_set(err, ERR_TOO_LARGE, "an ONNX file of %zu bytes, the limit of its format is %zu",
                    len, FILE_MAX_BYTES);
    if (!rc) rc = new_file_open(&f, file, len, err);
    if (!rc) rc = proto_save(model, f.fd, file, err);
    if (!rc) rc = new_file_commit(&f, err);
    new_file_release(&f);
    return rc;
}

enum err model_export_onnx(const struct model *m, const char *file, struct err_info *err)
{
    struct job j = {.x = {.g = &m->graph, .graph = proto_new(err)}};
    if (!m->graph.n_ops)
        return err_set(err, ERR_INVALID, "model %.64s has no network to export (%s)", m->name,
                       model_role_name(m->role));
    enum err rc = find_shapes(&j, err);
    if (!rc) {
        export__nodes(&j.x);
        struct proto model = make_model(&j, m, err);
        rc = save(&model, file, err);
        proto_release(&model);
    }
    job_release(&j);
    return rc;
}
