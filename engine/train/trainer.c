#include "engine/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/train/augment.h"

static const double STATISTICS_RATE = 0.01;                  /* of each shard: 0.08 a step */
enum { MINING_PURPOSE = 1, DROPOUT_PURPOSE, GLYPH_PURPOSE }; /* of random numbers; 0: batch.c */

/* --- making one --- */

static enum err allocate(struct trainer *t, struct err_info *err)
{
    const size_t p = t->net->parameters, batch = (size_t)t->plan.batch,
                 out = batch * t->net->out_row;
    enum err rc;
    t->parameters = mem_aligned(p, sizeof(float));
    t->gradient = mem_aligned(p, sizeof(float));
    t->turned = mem_aligned(p, sizeof(float));
    t->m = calloc(p, sizeof(float));
    t->v = calloc(p, sizeof(float));
    t->decays = calloc(p, sizeof *t->decays);
    t->statistics = calloc(t->net->statistics + 1, sizeof *t->statistics);
    t->embeddings = mem_aligned(out, sizeof(float));
    t->slopes = mem_aligned(out, sizeof(float));
    t->picks = calloc(batch, sizeof *t->picks);
    t->labels = calloc(batch, sizeof *t->labels);
    t->kin = calloc(batch, sizeof *t->kin);
    t->loss = calloc((size_t)t->plan.steps + 1, sizeof *t->loss);
    t->violating = calloc((size_t)t->plan.steps + 1, sizeof *t->violating);
    if (!t->parameters || !t->gradient || !t->turned || !t->m || !t->v || !t->decays ||
        !t->statistics || !t->embeddings || !t->slopes || !t->picks || !t->labels || !t->kin ||
        !t->loss || !t->violating)
        return err_set(err, ERR_NOMEM, "no memory to train %zu parameters", p);
    for (int i = 0; i < TRAIN_SHARDS; i++)
        if ((rc = train_work_new(&t->work[i], t->net, t->plan.batch / TRAIN_SHARDS, err)))
            return rc;
    return train_triplets_init(&t->triplets, t->plan.batch, t->net->ops, err);
}

enum err trainer_new(struct trainer **out, const struct train_plan *plan, struct err_info *err)
{
    const struct train_ops *ops = plan->ops ? plan->ops : train_ops_at(0);
    const int unit = TRAIN_SHARDS * TRAIN_GROUP;
    enum err rc;
    if (plan->batch < unit || plan->batch > TRAIN_MAX_BATCH || plan->batch % unit ||
        plan->steps < 1 || plan->steps > 10 * 1000 * 1000)
        return err_set(err, ERR_INVALID,
                       "batch %d and %ld steps: a batch is a multiple of %d up to %d, steps are 1 "
                       "to 10 million",
                       plan->batch, plan->steps, unit, (int)TRAIN_MAX_BATCH);
    if (plan->softmax && (plan->turned > 0 || plan->spliced > 0))
        return err_set(err, ERR_INVALID,
                       "turned and spliced glyphs are for triplets: softmax knows its classes");
    struct trainer *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, ERR_NOMEM, "no memory to train");
    t->plan = *plan;
    if ((rc = train_net_new(&t->net, plan->graph, plan->notes, ops, err))) goto fail;
    if ((rc = allocate(t, err))) goto fail;
    if ((rc = train_batches_init(&t->batches, plan->set, plan->balance, err))) goto fail;
    t->batches.seed = plan->seed;
    t->batches.turned = plan->turned;
    t->batches.spliced = plan->spliced;
    for (size_t i = 0; i < t->net->parameters; i++) t->decays[i] = train_net_decays(t->net, i);
    train_net_init(t->net, t->parameters, t->statistics, plan->seed);
    *out = t;
    return ERR_OK;
fail:
    trainer_free(t);
    return rc;
}

void trainer_free(struct trainer *t)
{
    if (!t) return;
    void *const blocks[] = {t->parameters, t->gradient, t->turned,     t->m,    t->v,
                            t->decays,     t->slopes,   t->statistics, t->loss, t->violating,
                            t->embeddings, t->picks,    t->labels,     t->kin};
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) free(blocks[i]);
    for (int i = 0; i < TRAIN_SHARDS; i++) train_work_free(t->work[i]);
    train_triplets_release(&t->triplets);
    train_batches_release(&t->batches);
    train_net_free(t->net);
    free(t);
}

/* --- a step --- */

/* Row i of the batch goes to shard i % TRAIN_SHARDS: a group's rows lie in different shards, whose
 * batch statistics are of half of the groups. */
static void shard_forward(void *arg, int shard, int thread)
{
    struct trainer *t = arg;
    struct train_work *w = t->work[shard];
    const size_t out = t->net->out_row;
    const int rows = t->plan.batch / TRAIN_SHARDS;
    (void)thread;
    for (int i = 0; i < rows; i++) {
        const int row = i * TRAIN_SHARDS + shard;
        uint8_t glyph[TRAIN_PIXELS];
        train_pick_pixels(glyph, &t->picks[row], t->plan.set);
        float *x = (float *)(void *)w->values[0] + (size_t)i * TRAIN_PIXELS;
        struct train_random r =
            train_random_of(t->plan.seed, (uint64_t)t->step, GLYPH_PURPOSE + (uint64_t)row);
        if (t->plan.augment)
            train_augment(x, glyph, &r);
        else
            train_plain_glyph(x, glyph);
    }
    struct train_random r =
        train_random_of(t->plan.seed ^ DROPOUT_PURPOSE, (uint64_t)t->step, (uint64_t)shard);
    const float *y = train_work_forward(w, t->net, t->parameters, rows, train_next(&r));
    for (int i = 0; i < rows; i++)
        memcpy(t->embeddings + (size_t)(i * TRAIN_SHARDS + shard) * out, y + (size_t)i * out,
               out * sizeof *y);
}

static void shard_backward(void *arg, int shard, int thread)
{
    struct trainer *t = arg;
    struct train_work *w = t->work[shard];
    const size_t out = t->net->out_row;
    float *dy = (void *)w->back[0];
    (void)thread;
    for (int i = 0; i < t->plan.batch / TRAIN_SHARDS; i++)
        memcpy(dy + (size_t)i * out, t->slopes + (size_t)(i * TRAIN_SHARDS + shard) * out,
               out * sizeof *dy);
    train_work_backward(w, t->net, t->parameters, t->turned, dy);
}

/* A slice of the parameters: the shards' gradients in their order, then the step. */
static void slice_step(void *arg, int slice, int thread)
{
    struct trainer *t = arg;
    const size_t p = t->net->parameters, first = p * (size_t)slice / TRAIN_SHARDS,
                 end = p * ((size_t)slice + 1) / TRAIN_SHARDS;
    struct train_optim o = t->plan.optim;
    (void)thread;
    for (int k = 0; k < TRAIN_SHARDS; k++) {
        const float *g = (const void *)t->work[k]->gradient;
        for (size_t i = first; i < end; i++) t->gradient[i] = (k ? t->gradient[i] : 0) + g[i];
    }
    o.rate = train_schedule(o.rate, t->step, t->plan.warm, t->plan.steps);
    train_optim_step(&o, t->parameters, t->m, t->v, t->gradient, t->decays, t->step, first,
                     end - first);
}

static double find_loss(struct trainer *t, double *violating)
{
    const int n = t->plan.batch, d = (int)t->net->out_row;
    struct train_random r = train_random_of(t->plan.seed, (uint64_t)t->step, MINING_PURPOSE);
    *violating = 0;
    if (t->plan.softmax)
        return t->net->ops->softmax_loss(t->slopes, t->embeddings, t->labels, 1 / (double)n,
                                         (size_t)n, d);
    train_triplets_mine(&t->triplets, t->embeddings, t->labels, t->kin, n, d, t->plan.mining,
                        t->plan.margin, &r, t->net->ops);
    const double loss =
        train_triplets_loss(&t->triplets, t->slopes, t->embeddings, n, d,
                            train_mining_plain(t->plan.mining), t->plan.margin, t->net->ops);
    if (t->triplets.tried) *violating = (double)t->triplets.violating / (double)t->triplets.tried;
    return loss;
}

enum err trainer_step(struct trainer *t, const struct cores *cores, struct err_info *err)
{
    double violating;
    train_batches_draw(t->picks, t->labels, t->kin, &t->batches, t->step, t->plan.batch);
    train_net_turn(t->net, t->turned, t->parameters);
    cores_run(cores, shard_forward, t, TRAIN_SHARDS);
    const double loss = find_loss(t, &violating);
    if (!isfinite(loss))
        return err_set(err, ERR_INTERNAL, "the loss of step %ld is not a number: a smaller rate?",
                       t->step);
    cores_run(cores, shard_backward, t, TRAIN_SHARDS);
    cores_run(cores, slice_step, t, TRAIN_SHARDS);
    for (int i = 0; i < TRAIN_SHARDS; i++)
        train_work_statistics(t->statistics, t->work[i], t->net, STATISTICS_RATE);
    t->loss[t->step] = (float)loss;
    t->violating[t->step] = (float)violating;
    t->step++;
    return ERR_OK;
}
