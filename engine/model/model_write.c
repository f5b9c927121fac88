/* Model files written: a draft becomes one safetensors file; a calibration is exchanged. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/stat.h>

#include "engine/base/mem.h"
#include "engine/model/model_internal.h"
#include "engine/model/st_internal.h"

enum { KEYS_MAX = 16, CALIBRATION_MAX_BYTES = 4 << 20 };

struct model_writer {
    const struct model_draft *d;
    struct nn_graph *g; /* NULL: landmarks */
    struct st_writer *file;
    char *graph, *input, *source; /* metadata */
    char importer[16], sha256[65];
    struct st_tensor *list;
    char (*names)[NN_NAME_BYTES + 8];
    size_t n;
    int *first; /* of each op: its first tensor, or -1 */
    struct st_pair meta[KEYS_MAX];
    size_t n_meta;
};

/* Tensors of one op's weights. */
static void add_weights(struct model_writer *w, int op)
{
    const struct nn_op *o = &w->g->ops[op];
    size_t dims[4];
    int ndim = model__weight_dims(dims, o);
    w->first[op] = -1;
    if (!ndim) return;
    w->first[op] = (int)w->n;
    struct st_tensor *t = &w->list[w->n];
    snprintf(w->names[w->n], sizeof *w->names, "%s.weight", o->name);
    *t = (struct st_tensor){w->names[w->n], ST_F32, ndim, {0}, o->w_count, o->w};
    for (int i = 0; i < ndim; i++) t->dims[i] = dims[i];
    w->n++;
    if (!o->b_count) return;
    snprintf(w->names[w->n], sizeof *w->names, "%s.bias", o->name);
    w->list[w->n] = (struct st_tensor){w->names[w->n], ST_F32, 1, {o->b_count}, o->b_count, o->b};
    w->n++;
}

enum err model__check_calibration(const char *json, struct err_info *err)
{
    json_error_t why;
    if (strlen(json) > CALIBRATION_MAX_BYTES)
        return err_set(err, ERR_INVALID, "calibration of %zu bytes, the limit is %d", strlen(json),
                       (int)CALIBRATION_MAX_BYTES);
    json_auto_t *j = json_loads(json, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(j))
        return err_set(err, ERR_INVALID, "calibration is not a JSON object: %s",
                       j ? "another type" : why.text);
    return ERR_OK;
}

/* The metadata; the digest stays as it is, zeros at first. */
static void describe(struct model_writer *w)
{
    const struct model_draft *d = w->d;
    const struct st_pair meta[] = {
        {"visavis.format", MODEL_FORMAT},
        {"visavis.importer", w->importer},
        {"visavis.role", model_role_name(d->role)},
        {"visavis.graph", w->graph},
        {"visavis.input", w->input},
        {"visavis.license", d->license},
        {"visavis.restricted", d->restricted ? "true" : "false"},
        {"visavis.source", w->source},
        {"visavis.sha256", w->sha256},
        {"visavis.classes", d->classes},
        {"visavis.note", d->note},
        {"visavis.training", d->training},
        {"visavis.calibration", d->calibration},
    };
    _Static_assert(ARRAY_LEN(meta) <= KEYS_MAX, "room for all");
    memcpy(w->meta, meta, sizeof meta);
    w->n_meta = ARRAY_LEN(meta);
}

/* The graph's check, which its JSON begins with, wants weights to be somewhere and reads none;
 * their place in the file is known only when the JSON is. */
static void place_nowhere(struct nn_graph *g)
{
    static const float NOWHERE;
    size_t dims[4];
    for (int i = 0; i < g->n_ops; i++) {
        struct nn_op *op = &g->ops[i];
        if (!model__weight_dims(dims, op)) continue;
        if (op->w_count) op->w = &NOWHERE;
        if (op->b_count) op->b = &NOWHERE;
    }
}

static enum err prepare(struct model_writer *w, struct err_info *err)
{
    const struct model_draft *d = w->d;
    size_t ops = w->g ? (size_t)w->g->n_ops : 0, room = d->n_tensors + 2 * ops;
    json_auto_t *from = json_pack("{s:s, s:s}", "file", d->source_file, "sha256", d->source_sha256);
    enum err rc;

    w->list = calloc(room + 1, sizeof *w->list);
    w->names = calloc(room + 1, sizeof *w->names);
    w->first = calloc(ops + 1, sizeof *w->first);
    if (!w->list || !w->names || !w->first || !from ||
        !(w->source = json_dumps(from, JSON_COMPACT)))
        return err_set(err, ERR_NOMEM, "no memory to write %s (or its source's name is not UTF-8)",
                       d->name);
    if (w->g) {
        place_nowhere(w->g);
        if ((rc = model__graph_to_json(&w->graph, w->g, err))) return rc;
    }
    if ((rc = model__input_to_json(&w->input, &d->input, err))) return rc;
    if (d->calibration && (rc = model__check_calibration(d->calibration, err))) return rc;
    for (int i = 0; i < (int)ops; i++) add_weights(w, i);
    for (size_t i = 0; i < d->n_tensors; i++) w->list[w->n++] = d->tensors[i];
    snprintf(w->importer, sizeof w->importer, "%d", MODEL_IMPORTER_VERSION);
    memset(w->sha256, '0', sizeof w->sha256 - 1);
    describe(w);
    return ERR_OK;
}

void model_writer_abort(struct model_writer *w)
{
    if (!w) return;
    st_writer_abort(w->file);
    free(w->list);
    free(w->names);
    free(w->first);
    free(w->graph);
    free(w->input);
    free(w->source);
    free(w);
}

/* The draft's own tensors are copied; the graph's are the caller's to fill. */
static void bind(struct model_writer *w)
{
    for (int i = 0; w->g && i < w->g->n_ops; i++) {
        struct nn_op *op = &w->g->ops[i];
        if (w->first[i] < 0) continue;
        op->w = st_writer_data(w->file, (size_t)w->first[i]);
        if (op->b_count) op->b = st_writer_data(w->file, (size_t)w->first[i] + 1);
    }
    for (size_t i = 0; i < w->d->n_tensors; i++) {
        const size_t at = w->n - w->d->n_tensors + i;
        const struct st_tensor *t = &w->d->tensors[i];
        if (t->count)
            memcpy(st_writer_data(w->file, at), t->data, t->count * st_dtype_bytes(t->dtype));
    }
    for (size_t i = 0; i < w->n; i++) w->list[i].data = st_writer_data(w->file, i);
}

enum err model_writer_open(struct model_writer **out, const char *dir, const struct model_draft *d,
                           struct nn_graph *g, struct err_info *err)
{
    char path[4096];
    struct model_writer *w = calloc(1, sizeof *w);
    enum err rc;

    if (!w) return err_set(err, ERR_NOMEM, "no memory to write %s", d->name);
    w->d = d;
    w->g = g;
    if ((rc = model__path(path, sizeof path, dir ? dir : ".", d->name, err))) goto fail;
    if ((rc = prepare(w, err))) goto fail;
    if ((rc = st_writer_open(&w->file, dir ? path : NULL, w->meta, w->n_meta, w->list, w->n, err)))
        goto fail;
    bind(w);
    *out = w;
    return ERR_OK;
fail:
    model_writer_abort(w);
    return rc;
}

void model_writer_settle(struct model_writer *w, int op)
{
    if (w->first[op] < 0) return;
    st_writer_settle(w->file, (size_t)w->first[op]);
    if (w->g->ops[op].b_count) st_writer_settle(w->file, (size_t)w->first[op] + 1);
}

enum err model_writer_commit(struct model_writer *w, struct err_info *err)
{
    enum err rc = w->g ? nn_graph_check(w->g, true, err) : ERR_OK;
    if (!rc) {
        struct st_writer *file = w->file;
        model__digest(w->sha256, w->d->role, w->graph, w->input, w->list, w->n);
        w->file = NULL; /* commit ends it */
        rc = st_writer_commit(file, w->meta, w->n_meta, err);
    }
    model_writer_abort(w);
    return rc;
}

enum err model_write(const char *dir, const struct model_draft *d, struct err_info *err)
{
    struct nn_graph g = {0};
    struct model_writer *w;
    enum err rc;

    if (d->graph) { /* a copy, whose weights the writer places */
        g = *d->graph;
        g.ops = malloc(((size_t)g.n_ops + 1) * sizeof *g.ops);
        if (!g.ops) return err_set(err, ERR_NOMEM, "no memory to write %s", d->name);
        memcpy(g.ops, d->graph->ops, (size_t)g.n_ops * sizeof *g.ops);
    }
    rc = model_writer_open(&w, dir, d, d->graph ? &g : NULL, err);
    for (int i = 0; !rc && i < g.n_ops; i++) {
        const struct nn_op *from = &d->graph->ops[i], *to = &g.ops[i];
        if (from->w_count)
            memcpy((float *)(uintptr_t)to->w, from->w, from->w_count * sizeof *to->w);
        if (from->b_count)
            memcpy((float *)(uintptr_t)to->b, from->b, from->b_count * sizeof *to->b);
    }
    if (!rc) rc = model_writer_commit(w, err);
    nn_graph_release(&g);
    return rc;
}

/* The file again, with other values (NULL: none) of some keys. */
static enum err rewrite(const struct model *m, const struct st_pair *changes, size_t n_changes,
                        struct err_info *err)
{
    struct st_pair meta[2 * KEYS_MAX];
    const char *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach((json_t *)st__metadata(m->st), key, value)
    {
        bool changed = false;
        for (size_t i = 0; i < n_changes; i++) changed |= strcmp(key, changes[i].key) == 0;
        if (!changed && n < KEYS_MAX) meta[n++] = (struct st_pair){key, json_string_value(value)};
    }
    memcpy(meta + n, changes, n_changes * sizeof *changes);
    return st_write(m->path, meta, n + n_changes, st_at(m->st, 0), st_count(m->st), err);
}

enum err model_set_calibration(const char *dir, const char *name, const char *json,
                               struct err_info *err)
{
    const struct st_pair change = {"visavis.calibration", json};
    struct model *m = NULL;
    enum err rc = json ? model__check_calibration(json, err) : ERR_OK;

    if (rc) return rc;
    if ((rc = model_open(&m, dir, name, err))) return rc;
    rc = rewrite(m, &change, 1, err);
    model_close(m);
    return rc;
}

enum err model_set_input(const char *dir, const char *name, const struct model_input *in,
                         const char *note, struct err_info *err)
{
    char sha256[65];
    struct model *m = NULL;
    char *input = NULL;
    enum err rc = model_open(&m, dir, name, err);

    if (rc) return rc;
    if (!(rc = model__input_to_json(&input, in, err))) {
        model__digest(sha256, m->role, st_meta(m->st, "visavis.graph"), input, st_at(m->st, 0),
                      st_count(m->st));
        const struct st_pair changes[] = {{"visavis.input", input},
                                          {"visavis.sha256", sha256},
                                          {"visavis.note", note},
                                          {"visavis.calibration", NULL}};
        rc = rewrite(m, changes, ARRAY_LEN(changes), err);
    }
    free(input);
    model_close(m);
    return rc;
}
