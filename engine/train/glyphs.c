/* Training the glyph embedder, from a folder of sets to a result that can be saved. */
#include "engine/train/glyphs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"

enum {
    STEPS = 4000,
    SMALL_STEPS = 150,
    BATCH = 256,
    CHECKPOINT_STEPS = 100,
    WARM_SHARE = 20 /* of the steps: the first 1/20 raise the rate */
};

static const double NEW_SHARE = 0.5; /* of the groups that are turned, and that are spliced */
static const struct glyph_net_shape FULL = {2, {32, 48, 64}, 128, 0, 0},
                                    SMALL = {1, {16, 16, 32}, 64, 0, 0};

static enum err one_of(bool *second, const char *what, const char *value, const char *a,
                       const char *b, struct err_info *err)
{
    *second = value && strcmp(value, b) == 0;
    if (!value || *second || strcmp(value, a) == 0) return ERR_OK;
    return err_set(err, ERR_INVALID, "%s \"%.32s\": there is %s and %s", what, value, a, b);
}

static enum err make_plan(struct train_plan *p, const struct train_options *o, struct err_info *err)
{
    bool sgd;
    enum err rc;
    *p = (struct train_plan){.seed = o->seed,
                             .steps = o->steps   ? o->steps
                                      : o->small ? SMALL_STEPS
                                                 : STEPS,
                             .batch = o->batch ? o->batch : BATCH,

                             .augment = !o->plain};
    if ((rc = one_of(&p->softmax, "loss", o->loss, "triplet", "softmax", err))) return rc;
    if ((rc = one_of(&sgd, "optimizer", o->optimizer, "adam", "sgd", err))) return rc;
    p->mining = TRAIN_MINE_SEMI_RANDOM;
    if ((rc = train_mining_parse(&p->mining, o->mining, err))) return rc;
    const bool plain = o->small || p->softmax;
    p->balance = o->balance >= 0 ? o->balance : o->small ? 0.5 : 0.3;
    p->turned = o->turned >= 0 ? o->turned : plain ? 0 : NEW_SHARE;
    p->spliced = o->spliced >= 0 ? o->spliced : plain ? 0 : NEW_SHARE;
    p->warm = p->steps / WARM_SHARE;
    p->margin = o->margin > 0 ? o->margin : p->mining == TRAIN_MINE_BATCH_HARD ? 0.3 : 0.2;
    p->optim = (struct train_optim){!sgd, sgd ? 0.05 : 0.002, o->decay, 0.9, 0.999};
    if (o->rate > 0) p->optim.rate = o->rate;
    return ERR_OK;
}

static enum err run(struct trainer *t, const struct train_options *o, struct err_info *err)
{
    const int every = o->checkpoint_steps > 0 ? o->checkpoint_steps : CHECKPOINT_STEPS;
    bool go_on = true;
    enum err rc = ERR_OK;
    if (o->checkpoint && access(o->checkpoint, F_OK) == 0 &&
        (rc = trainer_load(t, o->checkpoint, err)))
        return rc;
    while (!rc && go_on && t->step < t->plan.steps) {
        if ((rc = trainer_step(t, o->cores, err))) return rc;
        const long last = t->step - 1;
        if (o->progress)
            go_on = o->progress(o->self, t->step, t->plan.steps, (double)t->loss[last],
                                (double)t->violating[last]);
        if (o->checkpoint && (t->step % every == 0 || t->step == t->plan.steps || !go_on))
            rc = trainer_save(t, o->checkpoint, err);
    }
    if (rc || go_on) return rc;
    return err_set(err, ERR_TIMEOUT, "stopped after step %ld of %ld", t->step, t->plan.steps);
}

static enum err train(struct train_glyphs *t, const struct train_options *o, struct err_info *err)
{
    struct glyph_net_shape shape = o->small ? SMALL : FULL;
    struct train_plan plan;
    enum err rc = make_plan(&plan, o, err);
    if (rc) return rc;
    shape.dropout = o->dropout;
    if (plan.softmax) shape.classes = t->data.train.n_classes;
    t->dim = shape.dim;
    if ((rc = glyph_net_init(&t->design, &shape, err))) return rc;
    plan.graph = &t->design.g;
    plan.notes = t->design.notes;
    plan.set = &t->data.train;
    if ((rc = trainer_new(&t->trainer, &plan, err))) return rc;
    if ((rc = run(t->trainer, o, err))) return rc;
    return train_net_export(&t->graph, &t->weights, t->trainer->net, &t->design.g,
                            t->design.embedding_ops, t->trainer->parameters, t->trainer->statistics,
                            err);
}

enum err train_glyphs(struct train_glyphs **out, const struct train_options *o,
                      struct err_info *err)
{
    char warning[TRAIN_WARNING_BYTES];
    struct train_glyphs *t = calloc(1, sizeof *t);
    enum err rc;
    if (!t) return err_set(err, ERR_NOMEM, "no memory to train");
    if ((rc = glyph_data_read(&t->data, warning, o, err))) goto fail;
    if (warning[0]) { /* a training on turned glyphs would be for nothing */
        rc = err_set(err, ERR_INVALID, "%s", warning);
        goto fail;
    }
    if ((rc = train(t, o, err)) || (rc = glyph_even_out(t, o->cores, err))) goto fail;
    if ((rc = glyph_figures(t, o->seed, o->cores, err))) goto fail;
    *out = t;
    return ERR_OK;
fail:
    train_glyphs_free(t);
    return rc;
}

void train_glyphs_free(struct train_glyphs *t)
{
    if (!t) return;
    trainer_free(t->trainer);
    glyph_net_release(&t->design);
    nn_graph_release(&t->graph);
    glyph_data_release(&t->data);
    train_set_release(&t->examples);
    free(t->weights);
    free(t->train_x);
    free(t->held_x);
    free(t->prototypes.x);
    free(t->prototypes.labels);
    free(t->read);
    free(t->lead);
    free(t->scatter);
    free(t);
}

void train_glyphs_report(const struct train_glyphs *t, struct train_report *out)
{
    *out = (struct train_report){.n_sources = t->data.n_sources,
                                 .n_figures = t->n_figures,

                                 .sources = t->data.sources,
                                 .figures = t->figures,
                                 .steps = t->trainer->step,
                                 .loss = t->trainer->loss,
                                 .violating = t->trainer->violating,
                                 .parameters = t->trainer->net->parameters,
                                 .dim = t->dim,
                                 .held = &t->data.held,
                                 .read = t->read,
                                 .lead = t->lead,
                                 .scatter = (const float(*)[2])t->scatter,
                                 .confidence = t->confidence};
}
