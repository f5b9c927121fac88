/* The training loop: the same bits for any number of threads and after any stop; every loss and
 * mining learns; what cannot be is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/base/pool.h"
#include "engine/train/augment.h"
#include "engine/train/glyph_net.h"
#include "engine/train/glyphs.h"
#include "engine/train/measure.h"
#include "engine/train/trainer.h"

enum { CLASSES = 4, GLYPHS = 80, STEPS = 6 };
static const struct glyph_net_shape SHAPE = {1, {16, 16, 16}, 16, 0, 0.1},
                                    HEADED = {1, {16, 16, 16}, 16, CLASSES, 0};

/* Bars at an angle that is the class's, somewhere. */
static void bars(struct train_set *s)
{
    struct train_random r = train_random_of(3, 4, 5);
    *s = (struct train_set){.n = GLYPHS, .n_classes = CLASSES};
    s->pixels = calloc(GLYPHS, TRAIN_PIXELS);
    s->labels = calloc(GLYPHS, 1);
    assert_true(s->pixels && s->labels);
    for (int i = 0; i < GLYPHS; i++) {
        const int c = i % CLASSES;
        const double angle = M_PI * c / CLASSES, x0 = 11 + 6 * train_uniform(&r),
                     y0 = 11 + 6 * train_uniform(&r);
        s->labels[i] = (uint8_t)c;
        s->codes[c][0] = (uint32_t)('A' + c);
        for (int y = 0; y < TRAIN_SIDE; y++)
            for (int x = 0; x < TRAIN_SIDE; x++) {
                const double along = (x - x0) * cos(angle) + (y - y0) * sin(angle),
                             off = (y - y0) * cos(angle) - (x - x0) * sin(angle);
                if (fabs(along) < 9 && fabs(off) < 1.5)
                    s->pixels[i * TRAIN_PIXELS + y * TRAIN_SIDE + x] = 255;
            }
    }
}

struct bench {
    struct train_set set;
    struct glyph_net net;
    struct train_plan plan;
};

static void begin(struct bench *b, const struct glyph_net_shape *shape)
{
    bars(&b->set);
    assert_int_equal(glyph_net_init(&b->net, shape, NULL), ERR_OK);
    b->plan = (struct train_plan){.graph = &b->net.g,
                                  .notes = b->net.notes,
                                  .set = &b->set,
                                  .seed = 11,
                                  .steps = STEPS,
                                  .batch = 64,
                                  .balance = 0.5,
                                  .softmax = shape->classes > 0,
                                  .mining = TRAIN_MINE_SEMI_RANDOM,
                                  .margin = 0.2,
                                  .optim = {true, 0.01, 1e-4, 0.9, 0.999},
                                  .augment = true};
}

static void end(struct bench *b)
{
    train_set_release(&b->set);
    glyph_net_release(&b->net);
}

static struct trainer *made(const struct bench *b)
{
    struct err_info err = ERR_INFO_INIT;
    struct trainer *t;
    if (trainer_new(&t, &b->plan, &err)) fail_msg("%s", err.message);
    return t;
}

static void steps(struct trainer *t, int n, const struct cores *cores)
{
    struct err_info err = ERR_INFO_INIT;
    for (int i = 0; i < n; i++)
        if (trainer_step(t, cores, &err)) fail_msg("%s", err.message);
}

static void assert_same(const struct trainer *a, const struct trainer *b)
{
    assert_int_equal(a->step, b->step);
    assert_memory_equal(a->parameters, b->parameters, a->net->parameters * sizeof(float));
    assert_memory_equal(a->statistics, b->statistics, a->net->statistics * sizeof(double));
    assert_memory_equal(a->loss, b->loss, (size_t)a->step * sizeof(float));
}

static void threads_change_nothing(void **state)
{
    struct bench b;
    struct pool *pool;
    (void)state;
    for (int headed = 0; headed < 2; headed++) {
        begin(&b, headed ? &HEADED : &SHAPE);
        b.plan.turned = b.plan.spliced = headed ? 0 : 0.3;
        struct trainer *one = made(&b);
        steps(one, STEPS, NULL);
        for (int threads = 2; threads <= 3; threads++) {
            assert_int_equal(pool_new(&pool, threads, NULL), ERR_OK);
            const struct cores cores = pool_cores(pool);
            struct trainer *more = made(&b);
            steps(more, STEPS, &cores);
            assert_same(one, more);
            trainer_free(more);
            pool_free(pool);
        }
        trainer_free(one);
        end(&b);
    }
}

static void train_until_killed(const struct bench *b, const char *path, int ready)
{
    struct trainer *t = made(b);
    for (int i = 0; i < STEPS; i++) {
        steps(t, 1, NULL);
        if (i < 3 && trainer_save(t, path, NULL)) _exit(1);
        if (i == 2 && write(ready, "k", 1) != 1) _exit(1);
    }
    pause();
    _exit(0);
}

/* kill -9 somewhere after the third step was saved. */
static void killed_and_resumed(void **state)
{
    char path[] = "/tmp/visavis-trainer-XXXXXX", byte;
    struct err_info err = ERR_INFO_INIT;
    struct bench b;
    int ready[2], status;
    (void)state;
    begin(&b, &SHAPE);
    close(mkstemp(path));
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) train_until_killed(&b, path, ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));

    struct trainer *whole = made(&b), *resumed = made(&b);
    steps(whole, STEPS, NULL);
    if (trainer_load(resumed, path, &err)) fail_msg("%s", err.message);
    assert_int_equal(resumed->step, 3);
    steps(resumed, STEPS - 3, NULL);
    assert_same(whole, resumed);
    trainer_free(whole);
    trainer_free(resumed);
    unlink(path);
    close(ready[0]);
    close(ready[1]);
    end(&b);
}

static void checkpoints_refused(void **state)
{
    char path[] = "/tmp/visavis-trainer-XXXXXX";
    struct err_info err = ERR_INFO_INIT;
    struct bench b;
    (void)state;
    begin(&b, &SHAPE);
    close(mkstemp(path));
    struct trainer *t = made(&b);
    assert_int_equal(trainer_load(t, path, &err), ERR_INVALID); /* empty */
    steps(t, 1, NULL);
    assert_int_equal(trainer_save(t, path, &err), ERR_OK);
    b.plan.margin = 0.3;
    struct trainer *other = made(&b);
    assert_int_equal(trainer_load(other, path, &err), ERR_CONFLICT);
    trainer_free(other);
    b.plan.margin = 0.2;
    b.set.pixels[5] ^= 1;
    other = made(&b);
    assert_int_equal(trainer_load(other, path, &err), ERR_CONFLICT);
    trainer_free(other);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, 2000, SEEK_SET);
    fputc('x', f);
    fclose(f);
    assert_int_equal(trainer_load(t, path, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "damaged"));
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(trainer_load(t, path, &err), ERR_INVALID);
    assert_int_equal(trainer_load(t, "/tmp/visavis-none", &err), ERR_NOT_FOUND);
    trainer_free(t);
    unlink(path);
    end(&b);
}

/* Share of the glyphs whose nearest other is of their class, with what t has learnt. */
static double nearest_share(const struct bench *b, const struct trainer *t)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_graph g;
    float *weights, x[GLYPHS * 16];
    size_t right = 0;
    if (train_net_export(&g, &weights, t->net, &b->net.g, b->net.embedding_ops, t->parameters,
                         t->statistics, &err))
        fail_msg("%s", err.message);
    assert_int_equal(train_embed(x, &g, b->set.pixels, GLYPHS, NULL, &err), ERR_OK);
    for (int i = 0; i < GLYPHS; i++) {
        double best = -2;
        int found = 0;
        for (int k = 0; k < GLYPHS; k++) {
            double s = 0;
            for (int d = 0; d < 16; d++) s += (double)(x[i * 16 + d] * x[k * 16 + d]);
            if (k != i && s > best) best = s, found = k;
        }
        right += b->set.labels[found] == b->set.labels[i];
    }
    nn_graph_release(&g);
    free(weights);
    return (double)right / GLYPHS;
}

static void every_loss_learns(void **state)
{
    struct bench b;
    (void)state;
    for (int mining = 0; mining <= TRAIN_MINING_COUNT; mining++) { /* the last: softmax */
        const bool softmax = mining == TRAIN_MINING_COUNT;
        begin(&b, softmax ? &HEADED : &SHAPE);
        b.plan.steps = 60;
        b.plan.warm = 3;
        if (!softmax) b.plan.mining = (enum train_mining)mining;
        if (mining == TRAIN_MINE_RANDOM) b.plan.optim = (struct train_optim){false, 0.1, 0, 0.9, 0};
        struct trainer *t = made(&b);
        steps(t, 60, NULL);
        const double share = nearest_share(&b, t);
        if (!(share >= 0.95)) fail_msg("mining %d: %g of the nearest are right", mining, share);
        trainer_free(t);
        end(&b);
    }
}

static void plans_refused(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct trainer *t;
    struct bench b;
    (void)state;
    begin(&b, &SHAPE);
    b.plan.batch = 65;
    assert_int_equal(trainer_new(&t, &b.plan, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "65"));
    b.plan.batch = 64;
    b.plan.steps = 0;
    assert_int_equal(trainer_new(&t, &b.plan, &err), ERR_INVALID);
    b.plan.steps = 1;
    b.plan.turned = 0.5;
    b.plan.softmax = true;
    assert_int_equal(trainer_new(&t, &b.plan, &err), ERR_INVALID);
    b.plan.softmax = false;
    b.plan.turned = 0;
    b.set.labels[0] = 9;
    assert_int_equal(trainer_new(&t, &b.plan, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "class 9 has one glyph"));
    memset(b.set.labels, 0, GLYPHS);
    assert_int_equal(trainer_new(&t, &b.plan, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "1 classes"));
    end(&b);
}

/* Which rows are one character, and what they look like; shares as asked. */
static void batches(void **state)
{
    enum { N = 4096, STEPS_LOOKED_AT = 20 };
    struct train_set s;
    struct train_batches b;
    struct train_pick *p = calloc(N, sizeof *p), *again = calloc(N, sizeof *again);
    uint32_t *labels = calloc(N, sizeof *labels), *kin = calloc(N, sizeof *kin);
    size_t turned = 0, spliced = 0, both = 0;
    (void)state;
    assert_true(p && again && labels && kin);
    bars(&s);
    assert_int_equal(train_batches_init(&b, &s, 0, NULL), ERR_OK);
    b.seed = 5;
    for (long step = 0; step < STEPS_LOOKED_AT; step++) {
        b.turned = 0.5;
        b.spliced = 0.25;
        train_batches_draw(p, labels, kin, &b, step, N);
        for (int i = 0; i < N; i++) {
            const int first = i / TRAIN_GROUP * TRAIN_GROUP;
            const uint32_t upper = s.labels[p[i].upper], lower = s.labels[p[i].lower];
            uint8_t glyph[TRAIN_PIXELS], want[TRAIN_PIXELS];
            assert_true(labels[i] == labels[first] && kin[i] == kin[first]);
            assert_int_equal(upper, s.labels[p[first].upper]);
            assert_int_equal(lower, s.labels[p[first].lower]);
            if (upper == lower) assert_int_equal(p[i].upper, p[i].lower);
            if (upper == lower && !p[i].quarters) assert_int_equal(labels[i], upper);
            turned += p[i].quarters > 0;
            spliced += upper != lower;
            both += p[i].quarters > 0 && upper != lower;
            const size_t cut = (size_t)p[i].row * TRAIN_SIDE;
            assert_int_equal(p[i].row, p[first].row);
            assert_true(cut > TRAIN_PIXELS / 4 && cut < 3 * TRAIN_PIXELS / 4);
            memcpy(glyph, s.pixels + p[i].upper * TRAIN_PIXELS, TRAIN_PIXELS);
            memcpy(glyph + cut, s.pixels + p[i].lower * TRAIN_PIXELS + cut, TRAIN_PIXELS - cut);
            train_turn(want, glyph, p[i].quarters);
            train_pick_pixels(glyph, &p[i], &s);
            assert_memory_equal(glyph, want, sizeof want);
        }
        /* one label, one look; one kin, one look but for the turn */
        for (int i = 0; i < N; i += TRAIN_GROUP)
            for (int k = 0; k < i; k += TRAIN_GROUP) {
                const bool alike = s.labels[p[i].upper] == s.labels[p[k].upper] &&
                                   s.labels[p[i].lower] == s.labels[p[k].lower];
                assert_int_equal(kin[i] == kin[k], alike);
                assert_int_equal(labels[i] == labels[k],
                                 alike && p[i].quarters == p[k].quarters && p[i].row == p[k].row);
            }
        train_batches_draw(again, labels, kin, &b, step, N);
        assert_memory_equal(p, again, N * sizeof *p);
    }
    const double all = (double)N * STEPS_LOOKED_AT;
    assert_true(fabs((double)turned / all - 0.5) < 0.03);
    assert_true(fabs((double)spliced / all - 0.25) < 0.03);
    assert_true(fabs((double)both / all - 0.125) < 0.03);
    train_batches_release(&b);
    train_set_release(&s);
    free(p);
    free(again);
    free(labels);
    free(kin);
}

/* --- within-class covariance, folded into the last layer (within.c) --- */

static void within_by_hand(void **state)
{
    /* two groups that spread by 2 along (0.6, 0.8) and by 1 across it, around means of their own */
    static const float spread[TRAIN_GROUP][2] = {{2, 0}, {-2, 0}, {0, 1}, {0, -1}};
    float x[2 * TRAIN_GROUP][2];
    double l[4];
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    for (int i = 0; i < 2 * TRAIN_GROUP; i++) {
        const float *s = spread[i % TRAIN_GROUP];
        x[i][0] = 0.6f * s[0] - 0.8f * s[1] + (i < TRAIN_GROUP ? 5 : -7);
        x[i][1] = 0.8f * s[0] + 0.6f * s[1] + (i < TRAIN_GROUP ? 1 : 30);
    }
    if (train_within(l, &x[0][0], 2 * TRAIN_GROUP, 2, &err)) fail_msg("%s", err.message);
    /* variances 2 and 1/2 there, their mean 5/4 added: 13/4 and 7/4 */
    const double c[3] = {0.36 * 3.25 + 0.64 * 1.75, 0.48 * (3.25 - 1.75),
                         0.64 * 3.25 + 0.36 * 1.75};
    assert_true(fabs(l[0] * l[0] - c[0]) < 1e-5);
    assert_true(fabs(l[2] * l[0] - c[1]) < 1e-5);
    assert_true(fabs(l[2] * l[2] + l[3] * l[3] - c[2]) < 1e-5);
    memset(x, 0, sizeof x);
    assert_int_equal(train_within(l, &x[0][0], 2 * TRAIN_GROUP, 2, &err), ERR_INVALID);
}

static const struct nn_op *last_dense(const struct nn_graph *g)
{
    int i = g->n_ops - 1;
    while (g->ops[i].kind != NN_DENSE) i--;
    return &g->ops[i];
}

/* L of the glyphs that it is measured on. */
static void expect_l(double *l, const struct train_glyphs *g)
{
    uint8_t *pixels = malloc((size_t)GLYPH_WITHIN * TRAIN_PIXELS);
    float *x = mem_aligned(GLYPH_WITHIN * (size_t)g->dim, sizeof *x);
    assert_true(pixels && x);
    glyph_draw_within(pixels, g->trainer);
    assert_int_equal(train_embed(x, &g->graph, pixels, GLYPH_WITHIN, NULL, NULL), ERR_OK);
    assert_int_equal(train_within(l, x, GLYPH_WITHIN, g->dim, NULL), ERR_OK);
    free(pixels);
    free(x);
}

/* The last layer, before and after: L times what it became is what it was; the same bits with
 * threads. */
static void evened_out(void **state)
{
    enum { D = 16 };
    struct bench b;
    struct err_info err = ERR_INFO_INIT;
    struct train_glyphs g[3];
    double l[D * D];
    (void)state;
    begin(&b, &SHAPE);
    b.plan.spliced = 0.3;
    struct trainer *t = made(&b);
    steps(t, STEPS, NULL);
    for (int k = 0; k < 3; k++) { /* untouched; with one thread; with three */
        struct pool *pool;
        assert_int_equal(pool_new(&pool, k ? 2 * k - 1 : 1, &err), ERR_OK);
        const struct cores cores = pool_cores(pool);
        g[k] = (struct train_glyphs){.trainer = t, .dim = D};
        if (train_net_export(&g[k].graph, &g[k].weights, t->net, &b.net.g, b.net.embedding_ops,
                             t->parameters, t->statistics, &err))
            fail_msg("%s", err.message);
        if (k && glyph_even_out(&g[k], &cores, &err)) fail_msg("%s", err.message);
        pool_free(pool);
    }
    expect_l(l, &g[0]);
    const struct nn_op *was = last_dense(&g[0].graph), *is = last_dense(&g[1].graph);
    const size_t inputs = was->w_count / D;
    for (size_t i = 0; i <= inputs; i++)
        for (size_t row = 0; row < D; row++) {
            double sum = 0;
            for (size_t k = 0; k <= row; k++)
                sum += l[row * D + k] * (double)(i < inputs ? is->w[k * inputs + i] : is->b[k]);
            assert_true(fabs(sum - (double)(i < inputs ? was->w[row * inputs + i] : was->b[row])) <
                        1e-5);
        }
    const struct nn_op *threads = last_dense(&g[2].graph);
    assert_memory_equal(is->w, threads->w, is->w_count * sizeof(float));
    assert_memory_equal(is->b, threads->b, is->b_count * sizeof(float));
    for (int k = 0; k < 3; k++) {
        nn_graph_release(&g[k].graph);
        free(g[k].weights);
    }
    trainer_free(t);
    end(&b);
}

/* Ink stays ink, and within [0, 1]; another seed, another picture; the same seed, the same. */
static void augmented(void **state)
{
    struct train_set s;
    float a[TRAIN_PIXELS], b[TRAIN_PIXELS], plain[TRAIN_PIXELS];
    (void)state;
    bars(&s);
    for (int i = 0; i < GLYPHS; i++) {
        const uint8_t *glyph = s.pixels + i * TRAIN_PIXELS;
        struct train_random r = train_random_of(1, 2, (uint64_t)i), same = r,
                            other = train_random_of(2, 2, (uint64_t)i);
        double ink[2] = {0, 0};
        train_augment(a, glyph, &r);
        train_augment(b, glyph, &same);
        assert_memory_equal(a, b, sizeof a);
        train_augment(b, glyph, &other);
        assert_memory_not_equal(a, b, sizeof a);
        train_plain_glyph(plain, glyph);
        for (int k = 0; k < TRAIN_PIXELS; k++) {
            assert_true(a[k] >= -1e-5f && a[k] <= 1 + 1e-5f); /* to rounding */
            ink[0] += (double)plain[k];
            ink[1] += (double)a[k];
        }
        assert_true(ink[1] > 0.4 * ink[0] && ink[1] < 2.5 * ink[0]);
    }
    uint8_t once[TRAIN_PIXELS], turned[TRAIN_PIXELS] = {7, 8};
    train_turn(once, turned, 1); /* clockwise: the upper left corner goes to the right */
    assert_int_equal(once[TRAIN_SIDE - 1], 7);
    assert_int_equal(once[2 * TRAIN_SIDE - 1], 8);
    train_turn(turned, once, 1);
    assert_int_equal(turned[TRAIN_PIXELS - 1], 7);
    train_turn(once, turned, 2);
    assert_int_equal(once[0], 7);
    train_turn(turned, once, 3);
    assert_int_equal(turned[TRAIN_PIXELS - TRAIN_SIDE], 7);
    train_set_release(&s);
}

/* --- measuring, on embeddings that are known --- */

static void measured_by_hand(void **state)
{
    static const float refs[] = {1, 0, 0.8f, 0.6f, 0, 1, -1, 0}, x[] = {0.96f, 0.28f, 0, -1};
    static const uint8_t ref_labels[] = {0, 1, 1, 2};
    uint8_t read[2];
    uint32_t chosen[2];
    float prototypes[2 * (3 + TRAIN_MAX_CLASSES)], similarity[TRAIN_MAX_CLASSES];
    uint8_t of[3 + TRAIN_MAX_CLASSES];
    struct train_refs means = {prototypes, of, 0};
    double accuracy;
    struct err_info err = ERR_INFO_INIT;
    struct train_set s = {.n_classes = 5};
    (void)state;
    const uint32_t codes[] = {'O', '0', 'l', 'L', 'c'};
    for (int i = 0; i < 5; i++) s.codes[i][0] = codes[i];
    assert_int_equal(train_nearest(read, x, 2, refs, ref_labels, 4, 2, 1, NULL, &err), ERR_OK);
    assert_int_equal(read[0], 0);
    assert_int_equal(train_nearest(read, x, 2, refs, ref_labels, 4, 2, 3, NULL, &err), ERR_OK);
    assert_int_equal(read[0], 1); /* two of the three nearest */
    assert_int_equal(train_nearest(read, x, 2, refs, ref_labels, 4, 2, 0, NULL, &err), ERR_INVALID);
    train_add_means(&means, refs, ref_labels, 4, 2);
    assert_int_equal(means.n, 3);
    assert_true(fabsf(means.x[2] - 0.447214f) < 1e-4f && fabsf(means.x[3] - 0.894427f) < 1e-4f);
    train_add_means(&means, refs, ref_labels + 2, 1, 2); /* of another source: class 1 again */
    assert_true(means.n == 4 && means.labels[3] == 1);
    assert_int_equal(train_nearest_class(similarity, x, &means, 2, NULL),
                     0); /* the first of equals */
    assert_true(fabsf(similarity[1] - 0.96f) < 1e-6f && fabsf(similarity[0] - 0.96f) < 1e-6f);
    assert_true(fabsf(similarity[2] + 0.96f) < 1e-6f && similarity[3] == -1);
    const bool only[TRAIN_MAX_CLASSES] = {false, false, true};
    assert_int_equal(train_nearest_class(similarity, x, &means, 2, only), 2);
    assert_true(similarity[0] == -1);
    const uint8_t truth[] = {0, 1, 2, 3, 4}, said[] = {1, 1, 3, 1, 0};
    assert_true(fabs(train_accuracy(truth, said, 5, &s, NULL) - 0.2) < 1e-9);
    assert_true(fabs(train_accuracy(truth, said, 5, &s, train_same_letter) - 0.4) < 1e-9);
    assert_true(fabs(train_accuracy(truth, said, 5, &s, train_look_alike) - 0.6) < 1e-9);
    /* classes 0 and 1 of two rows each, far apart: every game is won; three ways are too many */
    const uint8_t two[] = {0, 0, 1, 1};
    const float apart[] = {1, 0, 0.99f, 0.1f, -1, 0, -0.99f, 0.1f};
    assert_int_equal(train_one_shot(&accuracy, apart, two, 4, 2, 2, 50, 1, &err), ERR_OK);
    assert_true(accuracy == 1);
    assert_int_equal(train_one_shot(&accuracy, apart, two, 4, 2, 3, 50, 1, &err), ERR_INVALID);
    assert_int_equal(train_medoids(chosen, 2, apart, 4, 2, &err), ERR_OK);
    assert_true((chosen[0] < 2) != (chosen[1] < 2));
    assert_int_equal(train_medoids(chosen, 5, apart, 4, 2, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(killed_and_resumed),
        cmocka_unit_test(checkpoints_refused),
        cmocka_unit_test(every_loss_learns),
        cmocka_unit_test(plans_refused),
        cmocka_unit_test(batches),
        cmocka_unit_test(within_by_hand),
        cmocka_unit_test(evened_out),
        cmocka_unit_test(augmented),
        cmocka_unit_test(measured_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
