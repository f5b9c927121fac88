/* Model files written: a draft becomes one safetensors file; a calibration is exchanged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/stat.h>

#include "engine/base/mem.h"
#include "engine/model/model_internal.h"
#include "engine/model/st_internal.h"

enum { KEYS_MAX = 16, CALIBRATION_MAX_BYTES = 4 << 20 };

/* Tensors of one op's weights, named into names. */
static void add_weights(struct st_tensor *list, size_t *n, char (*names)[NN_NAME_BYTES + 8],
                        const struct nn_op *op)
{
    struct st_tensor *t = &list[*n];
    size_t dims[4];
    int ndim = model__weight_dims(dims, op);
    if (!ndim) return;
    snprintf(names[*n], sizeof *names, "%s.weight", op->name);
    *t = (struct st_tensor){names[*n], ST_F32, ndim, {0}, op->w_count, op->w};
    for (int i = 0; i < ndim; i++) t->dims[i] = dims[i];
    ++*n;
    if (!op->b) return;
    snprintf(names[*n], sizeof *names, "%s.bias", op->name);
    list[*n] = (struct st_tensor){names[*n], ST_F32, 1, {op->b_count}, op->b_count, op->b};
    ++*n;
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

enum err model_write(const char *dir, const struct model_draft *d, struct err_info *err)
{
    const struct nn_graph *g = d->graph;
    size_t room = d->n_tensors + (g ? 2 * (size_t)g->n_ops : 0), n = 0;
    struct st_tensor *list = calloc(room + 1, sizeof *list);
    char(*names)[NN_NAME_BYTES + 8] = calloc(room + 1, sizeof *names);
    char *graph = NULL, *input = NULL, *source = NULL, path[4096], sha256[65], importer[16];
    json_auto_t *from = json_pack("{s:s, s:s}", "file", d->source_file, "sha256", d->source_sha256);
    enum err rc = ERR_OK;

    if (!list || !names || !from || !(source = json_dumps(from, JSON_COMPACT))) {
        rc = err_set(err, ERR_NOMEM, "no memory to write %s (or its source's name is not UTF-8)",
                     d->name);
        goto done;
    }
    if ((rc = model__path(path, sizeof path, dir, d->name, err))) goto done;
    if (g && (rc = model__graph_to_json(&graph, g, err))) goto done;
    if ((rc = model__input_to_json(&input, &d->input, err))) goto done;
    if (d->calibration && (rc = model__check_calibration(d->calibration, err))) goto done;
    for (int i = 0; g && i < g->n_ops; i++) add_weights(list, &n, names, &g->ops[i]);
    for (size_t i = 0; i < d->n_tensors; i++) list[n++] = d->tensors[i];
    model__digest(sha256, d->role, graph, input, list, n);
    snprintf(importer, sizeof importer, "%d", MODEL_IMPORTER_VERSION);
    const struct st_pair meta[] = {
        {"visavis.format", MODEL_FORMAT},
        {"visavis.importer", importer},
        {"visavis.role", model_role_name(d->role)},
        {"visavis.graph", graph},
        {"visavis.input", input},
        {"visavis.license", d->license},
        {"visavis.restricted", d->restricted ? "true" : "false"},
        {"visavis.source", source},
        {"visavis.sha256", sha256},
        {"visavis.calibration", d->calibration},
    };
    rc = st_write(path, meta, ARRAY_LEN(meta), list, n, err);
done:
    free(list);
    free(names);
    free(graph);
    free(input);
    free(source);
    return rc;
}

enum err model_set_calibration(const char *dir, const char *name, const char *json,
                               struct err_info *err)
{
    struct st_pair meta[KEYS_MAX];
    struct model *m = NULL;
    const char *key;
    json_t *value;
    size_t n = 0;
    enum err rc = json ? model__check_calibration(json, err) : ERR_OK;

    if (rc) return rc;
    if ((rc = model_open(&m, dir, name, err))) return rc;
    json_object_foreach((json_t *)st__metadata(m->st), key, value)
    {
        if (strcmp(key, "visavis.calibration") != 0 && n < KEYS_MAX - 1)
            meta[n++] = (struct st_pair){key, json_string_value(value)};
    }
    meta[n++] = (struct st_pair){"visavis.calibration", json};
    rc = st_write(m->path, meta, n, st_at(m->st, 0), st_count(m->st), err);
    model_close(m);
    return rc;
}
