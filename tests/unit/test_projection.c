/* Projections of embeddings: the gradient in double, the same bits on any number of threads, better
 * where a projection helps by construction, and nothing claimed where there is nothing to learn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/pool.h"
#include "engine/match.h"
#include "engine/train.h"
#include "engine/train/projection_net.h"
#include "engine/train/random.h"

/* --- vectors of people --- */

struct vectors {
    float *x;
    uint32_t *person;
    size_t n;
    int d;
};

/* `own` is what a person's vectors share in the first SIGNAL dimensions, `noise` what each has in
 * all others. */
enum { SIGNAL = 6, D = 24, ROWS_EACH = 4 };

static struct vectors people_of(size_t people, double own, double noise, uint64_t seed)
{
    struct vectors v = {.n = people * ROWS_EACH, .d = D};
    struct train_random r = train_random_of(seed, 0, 0);

    v.x = calloc(v.n * D, sizeof *v.x);
    v.person = calloc(v.n, sizeof *v.person);
    assert_true(v.x && v.person);
    for (size_t p = 0; p < people; p++) {
        double face[SIGNAL];
        for (int k = 0; k < SIGNAL; k++) face[k] = own * train_normal(&r);
        for (size_t i = p * ROWS_EACH; i < (p + 1) * ROWS_EACH; i++) {
            float *x = v.x + i * D;
            for (int k = 0; k < D; k++)
                x[k] = (float)(k < SIGNAL ? face[k] + 0.3 * train_normal(&r)
                                          : noise * train_normal(&r));
            assert_true(match_normalize(x, D));
            v.person[i] = (uint32_t)(100 + 7 * p);
        }
    }
    return v;
}

static void release(struct vectors *v)
{
    free(v->x);
    free(v->person);
}

static struct train_projection_options options_of(int dim)
{
    struct train_projection_options o = TRAIN_PROJECTION_DEFAULT;
    o.dim = dim;
    o.steps = 150;
    return o;
}

static float *learnt(const struct vectors *v, const struct train_projection_options *o)
{
    struct err_info err = ERR_INFO_INIT;
    float *w = calloc((size_t)v->d * (size_t)o->dim, sizeof *w);
    if (train_projection(w, v->x, v->person, v->n, v->d, o, &err)) fail_msg("%s", err.message);
    return w;
}

static struct train_judgement judged(const struct vectors *v, const float *w, int dim)
{
    struct err_info err = ERR_INFO_INIT;
    struct train_judgement j;
    float *y = calloc(v->n * (size_t)dim, sizeof *y);
    assert_int_equal(train_project(y, v->x, v->n, v->d, w, dim, NULL, &err), ERR_OK);
    if (train_judge(&j, v->x, v->d, y, dim, v->person, v->n, 5, NULL, &err))
        fail_msg("%s", err.message);
    free(y);
    return j;
}

/* --- the gradient --- */

enum { IN = 7, OUT = 4, ROWS = 21 };

struct slope {
    struct projection_net *net;
    double w[IN * OUT], x[ROWS * IN];
    const void *rows[ROWS];
    uint32_t labels[ROWS];
    enum train_mining mining;
    struct train_triplet list[ROWS * ROWS];
    size_t n;
};

/* mine: chooses the triplets; else those of last time are taken: what is differentiated is the
 * loss, not the choice. */
static double loss_of(struct slope *s, bool mine)
{
    struct train_random r = train_random_of(3, 0, 0);
    const struct projection_batch b = {s->rows, s->labels, ROWS};
    struct train_triplets *t = &s->net->triplets;

    projection_forward(s->net, s->w, &b, NULL);
    train_triplets_mine(t, s->net->z, s->labels, s->labels, ROWS, OUT, s->mining, 0.5, &r,
                        &train_ops_f64); /* and the distances */
    if (mine) {
        s->n = t->n;
        memcpy(s->list, t->list, t->n * sizeof *t->list);
    } else {
        t->n = s->n;
        memcpy(t->list, s->list, t->n * sizeof *t->list);
    }
    return train_triplets_loss(t, s->net->slopes, s->net->z, ROWS, OUT,
                               train_mining_plain(s->mining), 0.5, &train_ops_f64);
}

static void check_gradient(enum train_mining mining, const struct cores *cores)
{
    struct train_random r = train_random_of(17, 0, 0);
    struct slope s = {.mining = mining};
    double off = 0, size = 0;

    assert_int_equal(projection_net_new(&s.net, IN, OUT, &train_ops_f64, NULL), ERR_OK);
    for (int i = 0; i < IN * OUT; i++) s.w[i] = train_normal(&r);
    for (int i = 0; i < ROWS * IN; i++) s.x[i] = train_normal(&r);
    for (int i = 0; i < ROWS; i++) {
        s.rows[i] = s.x + i * IN;
        s.labels[i] = (uint32_t)i / 3;
    }
    const struct projection_batch b = {s.rows, s.labels, ROWS};
    assert_true(loss_of(&s, true) > 0);
    assert_true(s.n >= ROWS);
    projection_backward(s.net, s.w, &b, cores);
    double found[IN * OUT];
    memcpy(found, s.net->gradient, sizeof found);
    for (int i = 0; i < IN * OUT; i++) {
        const double step = 1e-6, at = s.w[i];
        s.w[i] = at + step;
        const double up = loss_of(&s, false);
        s.w[i] = at - step;
        const double down = loss_of(&s, false), want = (up - down) / (2 * step);
        s.w[i] = at;
        off += (found[i] - want) * (found[i] - want);
        size += want * want;
    }
    if (!(sqrt(off / size) <= 1e-6))
        fail_msg("mining %d: relative error %g", (int)mining, sqrt(off / size));
    projection_net_free(s.net);
}

static void gradient_in_double(void **state)
{
    struct pool *pool;
    (void)state;
    assert_int_equal(pool_new(&pool, 2, NULL), ERR_OK);
    const struct cores cores = pool_cores(pool);
    for (int m = 0; m < TRAIN_MINING_COUNT; m++) {
        check_gradient((enum train_mining)m, NULL);
        check_gradient((enum train_mining)m, &cores);
    }
    pool_free(pool);
}

/* --- the start --- */

/* Rows in three directions out of ten: they and nothing else are found, and the rest is filled up
 * to an orthonormal whole. */
static void principal_directions(void **state)
{
    enum { N = 90, FROM = 10, TO = 5, RANK = 3 };
    static float x[N * FROM], q[FROM * TO];
    struct train_random r = train_random_of(8, 0, 0);
    double axes[RANK][FROM];
    (void)state;
    for (int a = 0; a < RANK; a++)
        for (int k = 0; k < FROM; k++) axes[a][k] = train_normal(&r);
    for (int i = 0; i < N; i++)
        for (int a = 0; a < RANK; a++) {
            const double part = train_normal(&r);
            for (int k = 0; k < FROM; k++) x[i * FROM + k] += (float)(part * axes[a][k]);
        }
    assert_int_equal(projection_principal(q, x, N, FROM, TO, 1, NULL, NULL), ERR_OK);
    for (int a = 0; a < TO; a++)
        for (int b = 0; b < TO; b++) {
            double dot = 0;
            for (int k = 0; k < FROM; k++) dot += (double)q[k * TO + a] * (double)q[k * TO + b];
            if (!(fabs(dot - (a == b)) < 1e-5)) fail_msg("direction %d . %d is %g", a, b, dot);
        }
    for (int i = 0; i < N; i++) { /* nothing of a row is lost */
        double all = 0, kept = 0;
        for (int k = 0; k < FROM; k++) all += (double)x[i * FROM + k] * (double)x[i * FROM + k];
        for (int c = 0; c < TO; c++) {
            double dot = 0;
            for (int k = 0; k < FROM; k++) dot += (double)q[k * TO + c] * (double)x[i * FROM + k];
            kept += dot * dot;
        }
        if (!(kept > all * (1 - 1e-5))) fail_msg("row %d keeps %g of %g", i, kept, all);
    }
}

/* --- training --- */

static void same_bits_on_any_threads(void **state)
{
    struct vectors v = people_of(40, 1, 1.2, 1);
    struct train_projection_options o = options_of(8);
    struct pool *pool;
    (void)state;
    o.steps = 25;
    float *one = learnt(&v, &o), *again = learnt(&v, &o);
    assert_int_equal(pool_new(&pool, 3, NULL), ERR_OK);
    const struct cores cores = pool_cores(pool);
    o.cores = &cores;
    float *three = learnt(&v, &o);
    o.seed++;
    float *other = learnt(&v, &o);
    assert_memory_equal(one, again, D * 8 * sizeof *one);
    assert_memory_equal(one, three, D * 8 * sizeof *one);
    assert_memory_not_equal(one, other, D * 8 * sizeof *one);
    free(one), free(again), free(three), free(other);
    pool_free(pool);
    release(&v);
}

static void better_where_noise_can_go(void **state)
{
    struct vectors train = people_of(150, 1, 0.6, 1), held = people_of(120, 1, 0.6, 2);
    (void)state;
    for (int dim = SIGNAL; dim <= D; dim += D - SIGNAL) {
        const struct train_projection_options o = options_of(dim);
        float *w = learnt(&train, &o);
        const struct train_judgement j = judged(&held, w, dim);
        if (!(j.better && j.eer.after < 0.75 * j.eer.before && j.tar.after > j.tar.before))
            fail_msg("%d dimensions: EER %g -> %g, TAR at %g %g -> %g", dim, j.eer.before,
                     j.eer.after, j.fmr, j.tar.before, j.tar.after);
        assert_true(j.eer.interval[0] <= j.eer.interval[1] && j.eer.interval[1] < 0);
        assert_int_equal(j.people, 120);
        assert_int_equal(j.genuine_pairs, 120 * 6);
        assert_int_equal(j.impostor_pairs, 480 * 479 / 2 - 120 * 6);
        assert_true(j.fmr == 1e-4);
        free(w);
    }
    release(&train);
    release(&held);
}

/* Vectors that say nothing of the person; and vectors in which every direction says as much. */
static void refused_where_nothing_can_be_learnt(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct vectors train = people_of(60, 0, 0.3, seed), held = people_of(60, 0, 0.3, 50 + seed);
        const struct train_projection_options o = options_of(D);
        float *w = learnt(&train, &o);
        const struct train_judgement j = judged(&held, w, D);
        if (j.better)
            fail_msg("seed %d: better on noise, EER %g -> %g", (int)seed, j.eer.before,
                     j.eer.after);
        free(w);
        release(&train);
        release(&held);
    }
}

/* A thing is not better than itself, and better is not symmetric. */
static void the_judge(void **state)
{
    struct vectors good = people_of(100, 1, 0.2, 1), bad = people_of(100, 1, 1.2, 1);
    struct train_judgement j;
    (void)state;
    assert_int_equal(train_judge(&j, good.x, D, good.x, D, good.person, good.n, 1, NULL, NULL),
                     ERR_OK);
    assert_false(j.better);
    assert_true(j.eer.before == j.eer.after && j.eer.interval[0] == 0 && j.eer.interval[1] == 0);
    assert_int_equal(train_judge(&j, bad.x, D, good.x, D, good.person, good.n, 1, NULL, NULL),
                     ERR_OK);
    assert_true(j.better);
    assert_int_equal(train_judge(&j, good.x, D, bad.x, D, good.person, good.n, 1, NULL, NULL),
                     ERR_OK);
    assert_false(j.better);
    release(&good);
    release(&bad);
}

/* The judge's own equal error rate and matches are those of the curve that the figures are from,
 * within a bin. */
static void the_judge_agrees_with_roc(void **state)
{
    struct vectors v = people_of(100, 1, 1, 9);
    struct match_pairs *pairs;
    struct train_judgement j;
    struct roc *roc;
    struct roc_point p;
    (void)state;
    assert_int_equal(match_pairs_new(&pairs, v.x, v.n, D, v.person, NULL, 1000, 1, NULL), ERR_OK);
    assert_int_equal(roc_new_pairs(&roc, pairs, NULL), ERR_OK);
    assert_int_equal(train_judge(&j, v.x, D, v.x, D, v.person, v.n, 1, NULL, NULL), ERR_OK);
    roc_at_fmr(roc, j.fmr, &p);
    assert_true(p.supported);
    assert_true(fabs(roc_eer(roc) - j.eer.before) < 0.003);
    assert_true(fabs(p.tar - j.tar.before) < 0.01);
    roc_free(roc);
    match_pairs_free(pairs);
    release(&v);
}

/* --- what cannot be --- */

static bool stop(void *self, long step, long steps, double loss, double violating)
{
    (void)self, (void)steps, (void)loss, (void)violating;
    return step < 3;
}

static void refusals(void **state)
{
    struct vectors v = people_of(5, 1, 1, 1);
    static const struct {
        const char *name, *says;
        int dim;
        long steps;
        double margin, rate, hold;
        const char *mining;
    } CASES[] = {
        {"no dimension", "to 0", 0, 5, 0.2, 0.02, 1, "random"},
        {"more than there are", "to 25", D + 1, 5, 0.2, 0.02, 1, "random"},
        {"no step", "0 steps", 4, 0, 0.2, 0.02, 1, "random"},
        {"a margin of nothing", "margin 0", 4, 5, 0, 0.02, 1, "random"},
        {"no number", "rate nan", 4, 5, 0.2, NAN, 1, "random"},
        {"held beyond its start", "hold 100", 4, 5, 0.2, 0.02, 100, "random"},
        {"a mining that is none", "soft", 4, 5, 0.2, 0.02, 1, "soft"},
    };
    float w[D * (D + 1)];
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const struct train_projection_options o = {.dim = CASES[i].dim,
                                                   .steps = CASES[i].steps,
                                                   .margin = CASES[i].margin,
                                                   .rate = CASES[i].rate,
                                                   .hold = CASES[i].hold,
                                                   .mining = CASES[i].mining};
        if (train_projection(w, v.x, v.person, v.n, D, &o, &err) != ERR_INVALID ||
            !strstr(err.message, CASES[i].says))
            fail_msg("%s: %s", CASES[i].name, err.message);
    }
    struct train_projection_options o = options_of(4);
    o.progress = stop;
    assert_int_equal(train_projection(w, v.x, v.person, v.n, D, &o, &err), ERR_TIMEOUT);
    o.progress = NULL;
    for (size_t i = 0; i < v.n; i++) v.person[i] = (uint32_t)i;
    assert_int_equal(train_projection(w, v.x, v.person, v.n, D, &o, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "0 of them with two"));
    struct train_judgement j;
    assert_int_equal(train_judge(&j, v.x, D, v.x, D, v.person, v.n, 1, NULL, &err), ERR_INVALID);
    for (size_t i = 0; i < v.n; i++) v.person[i] = 1;
    assert_int_equal(train_projection(w, v.x, v.person, v.n, D, &o, &err), ERR_INVALID);
    assert_int_equal(train_judge(&j, v.x, D, v.x, D, v.person, v.n, 1, NULL, &err), ERR_INVALID);
    release(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_in_double),
        cmocka_unit_test(principal_directions),
        cmocka_unit_test(same_bits_on_any_threads),
        cmocka_unit_test(better_where_noise_can_go),
        cmocka_unit_test(refused_where_nothing_can_be_learnt),
        cmocka_unit_test(the_judge),
        cmocka_unit_test(the_judge_agrees_with_roc),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
