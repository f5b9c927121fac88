#include "engine/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/train/augment.h"

static const double STATISTICS_RATE = 0.01; /* of each shard: 0.08 a step */
enum { QUARTERS = 4 };
enum { BATCH_PURPOSE, MINING_PURPOSE, DROPOUT_PURPOSE, GLYPH_PURPOSE }; /* of random numbers */

/* --- making one --- */

static enum err sort_members(struct trainer *t, struct err_info *err)
{
    const struct train_set *s = t->plan.set;
    size_t counts[TRAIN_MAX_CLASSES + 1] = {0}, at[TRAIN_MAX_CLASSES], classes = 0;
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) counts[s->labels[i]]++;
    for (int c = 0; c < TRAIN_MAX_CLASSES; c++) {
        if (counts[c] == 1)
            return err_set(err, ERR_INVALID, "class %d has one glyph, training needs two or more",
                           c);
        classes += counts[c] > 0;
        at[c] = t->first[c];
        t->first[c + 1] = t->first[c] + counts[c];
        if (counts[c]) sum += pow((double)counts[c], t->plan.balance);
        t->chance[c] = sum;
    }
    if (classes < 2)
        return err_set(err, ERR_INVALID, "%zu classes, training needs two or more", classes);
    for (size_t i = 0; i < s->n; i++) t->members[at[s->labels[i]]++] = (uint32_t)i;
    for (int c = 0; c < TRAIN_MAX_CLASSES; c++) t->chance[c] /= sum;
    return ERR_OK;
}

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
    t->rows = calloc(batch, sizeof *t->rows);
    t->labels = calloc(batch, sizeof *t->labels);
    t->turns = calloc(batch, sizeof *t->turns);
    t->members = calloc(t->plan.set->n + 1, sizeof *t->members);
    t->loss = calloc((size_t)t->plan.steps + 1, sizeof *t->loss);
    t->violating = calloc((size_t)t->plan.steps + 1, sizeof *t->violating);
    if (!t->parameters || !t->gradient || !t->turned || !t->m || !t->v || !t->decays ||
        !t->statistics || !t->embeddings || !t->slopes || !t->rows || !t->labels || !t->turns ||
        !t->members || !t->loss || !t->violating)
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
    if (plan->turned > 0 && (plan->softmax || plan->set->n_classes * QUARTERS > TRAIN_MAX_CLASSES))
        return err_set(err, ERR_INVALID,
                       "turned glyphs are for triplets, and for at most %d classes (there are %d)",
                       TRAIN_MAX_CLASSES / QUARTERS, plan->set->n_classes);
    struct trainer *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, ERR_NOMEM, "no memory to train");
    t->plan = *plan;
    if ((rc = train_net_new(&t->net, plan->graph, plan->notes, ops, err))) goto fail;
    if ((rc = allocate(t, err))) goto fail;
    if ((rc = sort_members(t, err))) goto fail;
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
    void *const blocks[] = {t->turns,      t->parameters, t->gradient, t->turned,    t->m,
                            t->v,          t->decays,     t->slopes,   t->rows,      t->labels,
                            t->statistics, t->members,    t->loss,     t->violating, t->embeddings};
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) free(blocks[i]);
    for (int i = 0; i < TRAIN_SHARDS; i++) train_work_free(t->work[i]);
    train_triplets_release(&t->triplets);
    train_net_free(t->net);
    free(t);
}

/* --- a step --- */

/* Groups of TRAIN_GROUP rows of one class. Row i goes to shard i % TRAIN_SHARDS, so that each shard
 * has every class of the batch. */
static void choose_batch(struct trainer *t)
{
    struct train_random r = train_random_of(t->plan.seed, (uint64_t)t->step, BATCH_PURPOSE);
    for (int i = 0; i < t->plan.batch; i += TRAIN_GROUP) {
        const double u = train_uniform(&r);
        int c = 0;
        while (c < TRAIN_MAX_CLASSES - 1 && t->chance[c] <= u) c++;
        const size_t n = t->first[c + 1] - t->first[c];
        const int turn = t->plan.turned > 0 && train_uniform(&r) < t->plan.turned
                             ? 1 + (int)train_below(&r, QUARTERS - 1)
                             : 0;
        for (int k = 0; k < TRAIN_GROUP; k++) {
            t->rows[i + k] = t->members[t->first[c] + train_below(&r, n)];
            t->turns[i + k] = (uint8_t)turn;
            t->labels[i + k] = (uint8_t)(c + turn * t->plan.set->n_classes);
        }
    }
}

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
        train_turn(glyph, t->plan.set->pixels + (size_t)t->rows[row] * TRAIN_PIXELS, t->turns[row]);
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
    train_triplets_mine(&t->triplets, t->embeddings, t->labels, t->plan.set->n_classes, n, d,
                        t->plan.mining, t->plan.margin, &r, t->net->ops);
    const double loss =
        train_triplets_loss(&t->triplets, t->slopes, t->embeddings, n, d,
                            train_mining_plain(t->plan.mining), t->plan.margin, t->net->ops);
    if (t->triplets.tried) *violating = (double)t->triplets.violating / (double)t->triplets.tried;
    return loss;
}

enum err trainer_step(struct trainer *t, const struct cores *cores, struct err_info *err)
{
    double violating;
    choose_batch(t);
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
