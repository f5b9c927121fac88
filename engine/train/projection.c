/* A projection trained by triplets: batches by person, mining, Adam. What a step does follows from
 * the seed and its number alone, and gradients are summed over fixed shards: the number of threads
 * does not change a bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/train.h"
#include "engine/train/optim.h"
#include "engine/train/projection_net.h"
#include "engine/train/random.h"

enum {
    STEPS_MAX = 1000000,
    ROWS_OF_ONE = 4,                         /* of a person in a batch, at most */
    ROWS_OF_MANY = PROJECTION_BATCH * 3 / 4, /* of people with several rows; then strangers */
    PARTS = 32                               /* of a pass over many rows */
};
enum { BATCH_PURPOSE, MINING_PURPOSE, START_PURPOSE }; /* of random numbers */
static const double MARGIN_MAX = 4;

struct training {
    const struct train_projection_options *o;
    const float *x;
    int d;
    enum train_mining mining;
    struct train_optim optim;
    struct projection_net *net;
    float *w, *start, *m, *v; /* [d][dim] */
    bool *decays;             /* all false: w is held to its start instead */
    uint32_t *members;        /* rows, person by person; people with several rows come first */
    size_t *first;            /* [people + 1]: of each person, in members */
    uint32_t *order;          /* [people]: to be shuffled */
    size_t many, people;      /* with several rows; all */
    const void *rows[PROJECTION_BATCH];
    uint32_t labels[PROJECTION_BATCH];
    long step;
};

/* --- whose rows are whose --- */

struct owned {
    uint32_t person, row;
};

static int by_person(const void *a, const void *b)
{
    const struct owned *p = a, *q = b;
    if (p->person != q->person) return p->person < q->person ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

/* People with several rows, or those with one. */
static void add_people(struct training *t, const struct owned *rows, size_t n, bool several)
{
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && rows[end].person == rows[i].person;) end++;
        if ((end - i > 1) != several) continue;
        size_t at = t->first[t->people];
        for (size_t k = i; k < end; k++) t->members[at++] = rows[k].row;
        t->order[t->people] = (uint32_t)t->people;
        t->first[++t->people] = at;
    }
    if (several) t->many = t->people;
}

static enum err sort_people(struct training *t, const uint32_t *person, size_t n,
                            struct err_info *err)
{
    AUTO_FREE struct owned *rows = calloc(n + 1, sizeof *rows);
    t->members = calloc(n + 1, sizeof *t->members);
    t->first = calloc(n + 2, sizeof *t->first);
    t->order = calloc(n + 1, sizeof *t->order);
    if (!rows || !t->members || !t->first || !t->order)
        return err_set(err, ERR_NOMEM, "no memory for %zu vectors", n);
    for (size_t i = 0; i < n; i++) rows[i] = (struct owned){person[i], (uint32_t)i};
    qsort(rows, n, sizeof *rows, by_person);
    add_people(t, rows, n, true);
    add_people(t, rows, n, false);
    if (t->people < 2 || t->many < 1)
        return err_set(err, ERR_INVALID,
                       "%zu people to train with, %zu of them with two vectors or more: two people "
                       "are needed, one of them with two",
                       t->people, t->many);
    return ERR_OK;
}

/* --- a step --- */

static void swap(uint32_t *a, uint32_t *b)
{
    const uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

/* People from..to in random order, each once, up to ROWS_OF_ONE of their rows, until the batch has
 * `limit` rows. Returns how many it has. */
static int draw_people(struct training *t, int n, int *label, size_t from, size_t to, int limit,
                       struct train_random *r)
{
    for (size_t i = from; i < to && n < limit && *label < PROJECTION_LABELS; i++, ++*label) {
        swap(&t->order[i], &t->order[i + train_below(r, to - i)]);
        uint32_t *rows = t->members + t->first[t->order[i]];
        const size_t all = t->first[t->order[i] + 1] - t->first[t->order[i]];
        for (size_t k = 0; k < all && k < ROWS_OF_ONE && n < limit; k++, n++) {
            swap(&rows[k], &rows[k + train_below(r, all - k)]);
            t->rows[n] = t->x + (size_t)rows[k] * (size_t)t->d;
            t->labels[n] = (uint32_t)*label;
        }
    }
    return n;
}

static struct projection_batch choose_batch(struct training *t)
{
    struct train_random r = train_random_of(t->o->seed, (uint64_t)t->step, BATCH_PURPOSE);
    int label = 0, n = draw_people(t, 0, &label, 0, t->many, ROWS_OF_MANY, &r);
    n = draw_people(t, n, &label, t->many, t->people, PROJECTION_BATCH, &r);
    return (struct projection_batch){t->rows, t->labels, n};
}

struct slice_run {
    struct training *t;
    struct train_optim optim;
};

/* Adam, and a pull back to the start: decoupled, as weight decay is in AdamW, but towards what the
 * embedder knows (Li, Grandvalet and Davoine 2018, L2-SP) instead of zero, which would say nothing
 * here, where the length of w has no meaning. */
static void slice_step(void *arg, int slice, int thread)
{
    const struct slice_run *r = arg;
    struct training *t = r->t;
    const size_t all = t->net->net->parameters, first = all * (size_t)slice / PROJECTION_SHARDS,
                 end = all * ((size_t)slice + 1) / PROJECTION_SHARDS;
    const float back = (float)(r->optim.rate * t->o->hold);

    (void)thread;
    for (size_t i = first; i < end; i++) t->w[i] -= back * (t->w[i] - t->start[i]);
    train_optim_step(&r->optim, t->w, t->m, t->v, t->net->gradient, t->decays, t->step, first,
                     end - first);
}

static double take_step(struct training *t, double *violating)
{
    struct train_triplets *k = &t->net->triplets;
    const struct train_ops *ops = t->net->net->ops;
    const struct cores *cores = t->o->cores;
    const struct projection_batch b = choose_batch(t);
    struct train_random r = train_random_of(t->o->seed, (uint64_t)t->step, MINING_PURPOSE);
    struct slice_run s = {t, t->optim};

    projection_forward(t->net, t->w, &b, cores);
    train_triplets_mine(k, t->net->z, b.labels, b.labels, b.n, t->o->dim, t->mining, t->o->margin,
                        &r, ops);
    const double loss = train_triplets_loss(k, t->net->slopes, t->net->z, b.n, t->o->dim,
                                            train_mining_plain(t->mining), t->o->margin, ops);
    *violating = k->tried ? (double)k->violating / (double)k->tried : 0;
    projection_backward(t->net, t->w, &b, cores);
    s.optim.rate = train_schedule(s.optim.rate, t->step, t->o->steps / 20, t->o->steps);
    cores_run(cores, slice_step, &s, PROJECTION_SHARDS);
    return loss;
}

/* --- all of them --- */

static enum err check(const struct train_projection_options *o, size_t n, int d,
                      struct err_info *err)
{
    if (d < 1 || d > TRAIN_PROJECTION_MAX || o->dim < 1 || o->dim > d)
        return err_set(err, ERR_INVALID,
                       "a projection of %d dimensions to %d: 1 to all of them can be kept, of up "
                       "to %d",
                       d, o->dim, (int)TRAIN_PROJECTION_MAX);
    if (n < 3 || n > INT32_MAX)
        return err_set(err, ERR_INVALID, "%zu vectors to train with, at least 3 are needed", n);
    if (o->steps < 1 || o->steps > STEPS_MAX || !(o->margin > 0 && o->margin <= MARGIN_MAX) ||
        !(o->rate > 0 && o->rate <= 1) || !(o->hold >= 0 && o->hold * o->rate <= 1))
        return err_set(err, ERR_INVALID,
                       "%ld steps, margin %g, rate %g, hold %g: steps are 1 to %d, margins up to "
                       "%g, rates up to 1, hold times rate too",
                       o->steps, o->margin, o->rate, o->hold, (int)STEPS_MAX, MARGIN_MAX);
    return ERR_OK;
}

static enum err start(struct training *t, size_t n, struct err_info *err)
{
    const int d = t->d, dim = t->o->dim;
    const size_t size = (size_t)d * (size_t)dim;
    enum err rc = ERR_OK;

    t->w = mem_aligned(size, sizeof *t->w);
    t->start = mem_aligned(size, sizeof *t->start);
    t->m = calloc(size, sizeof *t->m);
    t->v = calloc(size, sizeof *t->v);
    t->decays = calloc(size, sizeof *t->decays);
    if (!t->w || !t->start || !t->m || !t->v || !t->decays)
        return err_set(err, ERR_NOMEM, "no memory for a projection of %d x %d", d, dim);
    if (dim == d) {
        for (size_t i = 0; i < size; i++) t->w[i] = i % ((size_t)d + 1) == 0;
    } else {
        const struct train_random r = train_random_of(t->o->seed, 0, START_PURPOSE);
        rc = projection_principal(t->w, t->x, n, d, dim, r.state, t->o->cores, err);
    }
    if (!rc) memcpy(t->start, t->w, size * sizeof *t->w);
    return rc;
}

static enum err train(struct training *t, struct err_info *err)
{
    const struct train_projection_options *o = t->o;
    for (t->step = 0; t->step < t->o->steps; t->step++) {
        double violating;
        const double loss = take_step(t, &violating);
        if (!isfinite(loss))
            return err_set(err, ERR_INTERNAL,
                           "the loss of step %ld is not a number: a smaller rate?", t->step);
        if (o->progress && !o->progress(o->self, t->step + 1, t->o->steps, loss, violating))
            return err_set(err, ERR_TIMEOUT, "stopped after step %ld", t->step + 1);
    }
    return ERR_OK;
}

static void release(struct training *t)
{
    void *const blocks[] = {t->w, t->start, t->m, t->v, t->decays, t->members, t->first, t->order};
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) free(blocks[i]);
    projection_net_free(t->net);
}

enum err train_projection(float *w, const float *x, const uint32_t *person, size_t n, int d,
                          const struct train_projection_options *o, struct err_info *err)
{
    struct training t = {.o = o, .x = x, .d = d, .mining = TRAIN_MINE_SEMI_HARD};
    enum err rc = check(o, n, d, err);

    if (rc) return rc;
    if ((rc = train_mining_parse(&t.mining, o->mining, err))) return rc;
    /* an entry of an orthonormal w is about 1 / sqrt(d) */
    t.optim = (struct train_optim){
        .adam = true, .rate = o->rate / sqrt((double)d), .beta1 = 0.9, .beta2 = 0.999};
    rc = sort_people(&t, person, n, err);
    if (!rc) rc = projection_net_new(&t.net, d, o->dim, train_ops_at(0), err);
    if (!rc) rc = start(&t, n, err);
    if (!rc) rc = train(&t, err);
    for (int k = 0; !rc && k < o->dim; k++)
        for (int i = 0; i < d; i++)
            w[(size_t)k * (size_t)d + (size_t)i] = t.w[(size_t)i * (size_t)o->dim + (size_t)k];
    release(&t);
    return rc;
}

/* --- its use --- */

struct project_run {
    float *y;
    const float *x, *w; /* w [d][dim] */
    size_t n;
    int d, dim;
};

static void project_part(void *arg, int part, int thread)
{
    const struct project_run *r = arg;
    const size_t first = r->n * (size_t)part / PARTS, n = r->n * ((size_t)part + 1) / PARTS - first;
    const struct train_window t = {(int)n, 1, 1, r->d, 1, 1, 1, 1, 0, 0, 1, 1, r->dim};
    float *y = r->y + first * (size_t)r->dim;

    (void)thread;
    if (!n) return;
    train_ops_at(0)->conv(y, r->x + first * (size_t)r->d, r->w, NULL, &t, NULL);
    for (size_t i = 0; i < n; i++) (void)match_normalize(y + i * (size_t)r->dim, r->dim);
}

enum err train_project(float *y, const float *x, size_t n, int d, const float *w, int dim,
                       const struct cores *cores, struct err_info *err)
{
    AUTO_FREE float *turned = mem_aligned((size_t)d * (size_t)dim, sizeof *turned);
    struct project_run r = {y, x, turned, n, d, dim};

    if (!turned) return err_set(err, ERR_NOMEM, "no memory for a projection of %d x %d", d, dim);
    for (int k = 0; k < dim; k++)
        for (int i = 0; i < d; i++)
            turned[(size_t)i * (size_t)dim + (size_t)k] = w[(size_t)k * (size_t)d + (size_t)i];
    cores_run(cores, project_part, &r, PARTS);
    return ERR_OK;
}
