/* A model that wraps another: its network, and a matrix after it. */
#include "engine/base/mem.h"
#include "engine/engine.h"
#include "engine/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The base's ops up to the one that its embedding is read from, and the projection. What comes
 * after that op (a classifier) is left behind. Weights are borrowed. */
static enum err wrap(struct nn_graph *out, const struct model *base,
                     const struct model_projection *p, struct err_info *err)
{
    const struct nn_graph *from = &base->graph;
    const int output =
        nn_graph_output(from, base->input.output[0] ? base->input.output : "embedding");
    struct nn_graph g = {.in_c = from->in_c, .in_h = from->in_h, .in_w = from->in_w};
    struct nn_op dense;
    char name[NN_NAME_BYTES]; /* another one where the base is a projection itself */

    if (base->role != MODEL_EMBEDDER || output < 0)
        return err_set(err, ERR_INVALID, "model %.64s is a %s, not an embedder", base->name,
                       model_role_name(base->role));
    if (p->d != base->input.dim || p->dim < 1)
        return err_set(err, ERR_INVALID, "a projection of %d to %d dimensions, model %.64s has %d",
                       p->d, p->dim, base->name, base->input.dim);
    for (int i = 0; i <= from->outputs[output].op; i++)
        if (nn_graph_add(&g, &from->ops[i]) < 0) goto no_memory;
    snprintf(name, sizeof name, "visavis.projection.%d", g.n_ops);
    nn_op_init(&dense, NN_DENSE, name);
    dense.n_in = 1;
    dense.in[0] = g.n_ops - 1;
    dense.out = p->dim;
    dense.w = p->w;
    dense.w_count = (size_t)p->d * (size_t)p->dim;
    const int last = nn_graph_add(&g, &dense);
    if (last < 0) goto no_memory;
    g.n_outputs = 1;
    g.outputs[0].op = last;
    snprintf(g.outputs[0].name, sizeof g.outputs[0].name, "embedding");
    *out = g;
    return ERR_OK;
no_memory:
    nn_graph_release(&g);
    return err_set(err, ERR_NOMEM, "no memory or no room for another layer after model %.64s",
                   base->name);
}

static enum err check_name(const char *models_dir, const char *name, struct err_info *err)
{
    struct err_info why = ERR_INFO_INIT;
    struct model *m = NULL;
    const enum err rc = model_open(&m, models_dir, name, &why);

    model_close(m);
    if (rc == ERR_NOT_FOUND) return ERR_OK;
    if (rc == ERR_OK || rc == ERR_MODEL)
        return err_set(err, ERR_CONFLICT, "there is a model %.64s already", name);
    return err_set(err, rc, "%s", why.message);
}

enum err engine_model_project(const char *models_dir, const struct model_projection *p,
                              struct err_info *err)
{
    struct nn_graph g = {0};
    struct model *base = NULL;
    enum err rc = check_name(models_dir, p->name, err);

    if (rc) return rc;
    if ((rc = model_open(&base, models_dir, p->base, err))) return rc;
    if (!(rc = wrap(&g, base, p, err))) {
        struct model_draft draft = {.name = p->name,
                                    .role = MODEL_EMBEDDER,
                                    .input = base->input,
                                    .graph = &g,
                                    .license = base->license,
                                    .restricted = base->restricted,
                                    .source_file = base->source_file,
                                    .source_sha256 = base->source_sha256,
                                    .note = p->note,
                                    .training = p->training};
        draft.input.dim = p->dim;
        draft.input.output[0] = 0;
        rc = model_write(models_dir, &draft, err);
    }
    nn_graph_release(&g);
    model_close(base);
    return rc;
}
