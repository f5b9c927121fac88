/* Gradients in double against finite differences; the float tables against the double one; the
 * exported graph against the plain loops of engine/nn. */
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
#include "engine/nn/nn.h"
#include "engine/train/loss.h"
#include "engine/train/net.h"
#include "engine/train/optim.h"
#include "engine/train/random.h"

enum { SEED = 7, CHECKED = 400 /* parameters of a net, at most: evenly among them */ };

/* --- small nets, one layer of each kind among what it needs --- */

struct built {
    struct nn_graph g;
    struct train_note notes[16];
};

static struct nn_op *last(struct built *b)
{
    return &b->g.ops[b->g.n_ops - 1];
}

static struct nn_shape shape_of(const struct built *b)
{
    struct nn_shape shapes[16] = {{b->g.in_c, b->g.in_h, b->g.in_w}};
    if (b->g.n_ops)
        assert_int_equal(nn_graph_shapes(&b->g, b->g.in_h, b->g.in_w, shapes, NULL), ERR_OK);
    return shapes[b->g.n_ops ? b->g.n_ops - 1 : 0];
}

static void add(struct built *b, enum nn_kind kind, int out, int kernel, int stride, int pad,
                bool bias)
{
    const struct nn_shape in = shape_of(b);
    struct nn_op op;
    char name[16];
    snprintf(name, sizeof name, "op%d", b->g.n_ops);
    nn_op_init(&op, kind, name);
    op.n_in = 1;
    op.in[0] = b->g.n_ops - 1;
    op.out = out;
    for (int i = 0; i < 2; i++) op.kernel[i] = kernel, op.stride[i] = stride;
    for (int i = 0; i < 4; i++) op.pad[i] = pad;
    if (kind == NN_CONV2D) op.w_count = (size_t)(out * in.c * kernel * kernel);
    if (kind == NN_DENSE) op.w_count = (size_t)(out * in.c * in.h * in.w);
    if (kind == NN_PRELU) op.w_count = (size_t)in.c;
    op.b_count = bias ? (size_t)out : 0;
    assert_true(nn_graph_add(&b->g, &op) >= 0);
}

static struct built built_of(int c, int h, int w)
{
    return (struct built){.g = {.in_c = c, .in_h = h, .in_w = w}};
}

/* kind: which layer is looked at. */
static struct built build(const char *kind)
{
    struct built b = built_of(3, 7, 6);
    if (strcmp(kind, "conv2d, stride 2") == 0) {
        add(&b, NN_RELU, 0, 1, 1, 0, false); /* so that the gradient of its input counts */
        add(&b, NN_CONV2D, 5, 3, 2, 1, true);
    } else if (strcmp(kind, "conv2d, no pad") == 0) {
        add(&b, NN_PRELU, 0, 1, 1, 0, false);
        add(&b, NN_CONV2D, 5, 2, 1, 0, true);
    } else if (strcmp(kind, "max_pool") == 0) {
        add(&b, NN_CONV2D, 4, 3, 1, 1, false);
        add(&b, NN_MAX_POOL, 0, 3, 2, 1, false);
    } else if (strcmp(kind, "norm") == 0) {
        add(&b, NN_CONV2D, 4, 3, 1, 1, true);
        b.notes[0].norm = true;
    } else if (strcmp(kind, "norm and relu") == 0) {
        add(&b, NN_CONV2D, 4, 3, 1, 1, false);
        b.notes[0].norm = true;
        add(&b, NN_RELU, 0, 1, 1, 0, false);
    } else if (strcmp(kind, "dropout") == 0) {
        add(&b, NN_CONV2D, 4, 3, 1, 1, false);
        b.notes[0].dropout = 0.3;
    } else if (strcmp(kind, "prelu") == 0) {
        add(&b, NN_CONV2D, 4, 3, 1, 1, true);
        add(&b, NN_PRELU, 0, 1, 1, 0, false);
    } else if (strcmp(kind, "wide") == 0) { /* whole vectors and tails of the float tables */
        add(&b, NN_CONV2D, 48, 3, 1, 1, true);
        b.notes[0].norm = true;
        add(&b, NN_RELU, 0, 1, 1, 0, false);
        add(&b, NN_CONV2D, 37, 3, 1, 1, true);
    } else if (strcmp(kind, "winograd") == 0) { /* what the float tables transform */
        add(&b, NN_CONV2D, 16, 3, 1, 1, true);
        add(&b, NN_CONV2D, 16, 3, 1, 1, true);
        add(&b, NN_CONV2D, 32, 3, 1, 0, false);
    }
    add(&b, NN_FLATTEN, 0, 1, 1, 0, false);
    add(&b, NN_DENSE, 6, 1, 1, 0, true);
    add(&b, NN_L2_NORMALIZE, 0, 1, 1, 0, false);
    return b;
}

static const char *const KINDS[] = {
    "dense, l2_normalize", "conv2d, stride 2", "conv2d, no pad", "max_pool", "norm",
    "norm and relu",       "dropout",          "prelu",          "wide",     "winograd"};

/* --- a net, its numbers, and a loss: the outputs' product with fixed numbers --- */

enum { ROWS = 5 };

struct run {
    struct train_net *net;
    struct train_work *work;
    void *parameters, *turned, *dy;
    double *statistics, *x, *factor;
};

static void set(const struct run *r, void *array, size_t i, double v)
{
    if (r->net->ops->size == sizeof(double))
        ((double *)array)[i] = v;
    else
        ((float *)array)[i] = (float)v;
}

static double get(const struct run *r, const void *array, size_t i)
{
    return r->net->ops->size == sizeof(double) ? ((const double *)array)[i]
                                               : (double)((const float *)array)[i];
}

static struct run run_of(const struct built *b, const struct train_ops *ops)
{
    struct run r = {0};
    struct err_info err = ERR_INFO_INIT;
    struct train_random random = train_random_of(SEED, 1, 2);
    if (train_net_new(&r.net, &b->g, b->notes, ops, &err)) fail_msg("%s", err.message);
    assert_int_equal(train_work_new(&r.work, r.net, ROWS, &err), ERR_OK);
    r.parameters = mem_aligned(r.net->parameters, ops->size);
    r.turned = mem_aligned(r.net->parameters, ops->size);
    r.dy = mem_aligned(ROWS * r.net->out_row, ops->size);
    r.statistics = mem_aligned(r.net->statistics, sizeof(double));
    r.x = mem_aligned(ROWS * r.net->in_row, sizeof(double));
    r.factor = mem_aligned(ROWS * r.net->out_row, sizeof(double));
    train_net_init(r.net, r.parameters, r.statistics, SEED);
    /* nothing may be zero by chance: biases, gamma and beta move a little */
    for (size_t i = 0; i < r.net->parameters; i++)
        set(&r, r.parameters, i, get(&r, r.parameters, i) + 0.1 * train_normal(&random));
    for (size_t i = 0; i < ROWS * r.net->in_row; i++) r.x[i] = (float)train_normal(&random);
    for (size_t i = 0; i < ROWS * r.net->out_row; i++) r.factor[i] = train_normal(&random);
    return r;
}

static void run_free(struct run *r)
{
    train_net_free(r->net);
    train_work_free(r->work);
    free(r->parameters);
    free(r->turned);
    free(r->dy);
    free(r->statistics);
    free(r->x);
    free(r->factor);
}

static double loss(const struct run *r)
{
    double sum = 0;
    for (size_t i = 0; i < ROWS * r->net->in_row; i++) set(r, r->work->values[0], i, r->x[i]);
    const void *y = train_work_forward(r->work, r->net, r->parameters, ROWS, SEED);
    for (size_t i = 0; i < ROWS * r->net->out_row; i++) sum += r->factor[i] * get(r, y, i);
    return sum;
}

static void back(struct run *r)
{
    loss(r);
    for (size_t i = 0; i < ROWS * r->net->out_row; i++) set(r, r->dy, i, r->factor[i]);
    train_net_turn(r->net, r->turned, r->parameters);
    train_work_backward(r->work, r->net, r->parameters, r->turned, r->dy);
}

/* |a - b| / max(|a|, |b|) over the whole gradient, as one vector. */
static double relative(const double *a, const double *b, size_t n)
{
    double diff = 0, of_a = 0, of_b = 0;
    for (size_t i = 0; i < n; i++) {
        diff += (a[i] - b[i]) * (a[i] - b[i]);
        of_a += a[i] * a[i];
        of_b += b[i] * b[i];
    }
    return sqrt(diff) / fmax(1e-12, sqrt(fmax(of_a, of_b)));
}

static void gradients_of_layers(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(KINDS); k++) {
        struct built b = build(KINDS[k]);
        struct run r = run_of(&b, &train_ops_f64);
        const size_t n = r.net->parameters;
        double *p = r.parameters, *found = mem_aligned(n, sizeof *found),
               *want = mem_aligned(n, sizeof *want);
        size_t checked = 0;
        back(&r);
        for (size_t i = 0; i < n; i += n / CHECKED + 1, checked++) {
            const double step = 1e-5, at = p[i];
            found[checked] = ((double *)r.work->gradient)[i];
            p[i] = at + step;
            const double up = loss(&r);
            p[i] = at - step;
            const double down = loss(&r);
            p[i] = at;
            want[checked] = (up - down) / (2 * step);
        }
        const double off = relative(found, want, checked);
        if (!(off <= 1e-6)) fail_msg("%s: relative error %g", KINDS[k], off);
        free(found);
        free(want);
        run_free(&r);
        nn_graph_release(&b.g);
    }
}

/* Float tables: 1e-4 of the gradient, thousands of sums in another order. */
static void float_tables_agree(void **state)
{
    const struct train_ops *ops;
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(KINDS); k++) {
        struct built b = build(KINDS[k]);
        struct run exact = run_of(&b, &train_ops_f64);
        const size_t n = exact.net->parameters;
        const double want = loss(&exact);
        back(&exact);
        for (int i = 0; (ops = train_ops_at(i)); i++) {
            struct run r = run_of(&b, ops);
            double *found = mem_aligned(n, sizeof *found);
            const double value = loss(&r);
            if (!(fabs(value - want) <= 1e-4)) fail_msg("%s %s: %g", ops->name, KINDS[k], value);
            back(&r);
            for (size_t q = 0; q < n; q++) found[q] = get(&r, r.work->gradient, q);
            const double off = relative(found, (double *)exact.work->gradient, n);
            if (!(off <= 1e-4)) fail_msg("%s, %s: off by %g", ops->name, KINDS[k], off);
            free(found);
            run_free(&r);
        }
        run_free(&exact);
        nn_graph_release(&b.g);
    }
}

/* With the statistics of a batch, the exported graph gives that batch the same embeddings. */
static void exported_graph_agrees(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(KINDS); k++) {
        struct built b = build(KINDS[k]);
        if (strcmp(KINDS[k], "dropout") == 0) b.notes[0].dropout = 0;
        struct run r = run_of(&b, &train_ops_f64);
        struct nn_graph g;
        struct nn_net *net;
        struct nn_plan *plan;
        struct err_info err = ERR_INFO_INIT;
        float *weights, planes[ROWS * 3 * 7 * 6], out[ROWS * 6];
        float *outs[NN_MAX_OUTPUTS] = {out};
        loss(&r);
        train_work_statistics(r.statistics, r.work, r.net, 1);
        if (train_net_export(&g, &weights, r.net, &b.g, b.g.n_ops, r.parameters, r.statistics,
                             &err))
            fail_msg("%s: %s", KINDS[k], err.message);
        for (int i = 0; i < ROWS; i++)
            for (int c = 0; c < 3; c++)
                for (int p = 0; p < 42; p++)
                    planes[(i * 3 + c) * 42 + p] = (float)r.x[(i * 42 + p) * 3 + c];
        assert_int_equal(nn_net_new(&net, &g, NN_REF, NN_F32, &err), ERR_OK);
        assert_int_equal(nn_plan_new(&plan, net, ROWS, 7, 6, &err), ERR_OK);
        nn_plan_forward(plan, planes, outs);
        const double *y = (double *)r.work->values[r.net->n_layers];
        for (int i = 0; i < ROWS * 6; i++)
            if (!(fabs(y[i] - (double)out[i]) <= 1e-5))
                fail_msg("%s: value %d is %g, not %g", KINDS[k], i, (double)out[i], y[i]);
        nn_plan_free(plan);
        nn_net_free(net);
        nn_graph_release(&g);
        free(weights);
        run_free(&r);
        nn_graph_release(&b.g);
    }
}

static void what_cannot_be_trained(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct train_net *net;
    (void)state;
    struct built b = built_of(3, 7, 6);
    add(&b, NN_SIGMOID, 0, 1, 1, 0, false);
    assert_int_equal(train_net_new(&net, &b.g, b.notes, &train_ops_f64, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "op0 (sigmoid)"));
    last(&b)->kind = NN_RELU;
    b.notes[0].norm = true;
    assert_int_equal(train_net_new(&net, &b.g, b.notes, &train_ops_f64, &err), ERR_INVALID);
    b.notes[0] = (struct train_note){.dropout = 1};
    assert_int_equal(train_net_new(&net, &b.g, b.notes, &train_ops_f64, &err), ERR_INVALID);
    b.notes[0] = (struct train_note){0};
    add(&b, NN_RELU, 0, 1, 1, 0, false);
    last(&b)->in[0] = -1;
    assert_int_equal(train_net_new(&net, &b.g, b.notes, &train_ops_f64, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "op1"));
    nn_graph_release(&b.g);
}

/* --- losses --- */

enum { N = 12, D = 5 };

static void embeddings(double *x, uint32_t *labels, struct train_random *r)
{
    for (int i = 0; i < N * D; i++) x[i] = train_normal(r);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int k = 0; k < D; k++) sum += x[i * D + k] * x[i * D + k];
        for (int k = 0; k < D; k++) x[i * D + k] /= sqrt(sum);
        labels[i] = (uint32_t)i / 3;
    }
}

/* The value of a list of triplets, written out. */
static double triplet_value(const struct train_triplets *t, const double *x, bool plain,
                            double margin)
{
    double sum = 0;
    for (size_t i = 0; i < t->n; i++) {
        double d[2] = {0, 0};
        for (int k = 0; k < D; k++) {
            const double a = x[t->list[i].a * D + k];
            d[0] += pow(a - x[t->list[i].p * D + k], 2);
            d[1] += pow(a - x[t->list[i].n * D + k], 2);
        }
        for (int k = 0; plain && k < 2; k++) d[k] = sqrt(d[k]);
        sum += fmax(0, d[0] + margin - d[1]);
    }
    return sum / (double)t->n;
}

static void gradients_of_triplets(void **state)
{
    double x[N * D], dx[N * D], want[N * D];
    uint32_t labels[N];
    struct train_random r = train_random_of(SEED, 3, 4);
    struct train_triplets t;
    (void)state;
    assert_int_equal(train_triplets_init(&t, N, &train_ops_f64, NULL), ERR_OK);
    for (int mining = 0; mining < TRAIN_MINING_COUNT; mining++) {
        const bool plain = train_mining_plain((enum train_mining)mining);
        embeddings(x, labels, &r);
        train_triplets_mine(&t, x, labels, labels, N, D, (enum train_mining)mining, 0.5, &r,
                            &train_ops_f64);
        assert_true(t.n >= N);
        for (size_t i = 0; i < t.n; i++) {
            assert_int_equal(labels[t.list[i].a], labels[t.list[i].p]);
            assert_int_not_equal(t.list[i].a, t.list[i].p);
            assert_int_not_equal(labels[t.list[i].a], labels[t.list[i].n]);
        }
        const double value = train_triplets_loss(&t, dx, x, N, D, plain, 0.5, &train_ops_f64);
        assert_true(fabs(value - triplet_value(&t, x, plain, 0.5)) <= 1e-12);
        assert_true(value > 0 && t.violating > 0);
        for (int i = 0; i < N * D; i++) {
            const double at = x[i];
            x[i] = at + 1e-6;
            const double up = triplet_value(&t, x, plain, 0.5);
            x[i] = at - 1e-6;
            want[i] = (up - triplet_value(&t, x, plain, 0.5)) / 2e-6;
            x[i] = at;
        }
        const double off = relative(dx, want, N * D);
        if (!(off <= 1e-6)) fail_msg("mining %d: relative error %g", mining, off);
    }
    train_triplets_release(&t);
}

/* What each mining promises, on embeddings of a circle where it can be told by eye. */
static void mining_by_hand(void **state)
{
    static const double DEGREES[6] = {0, 30, 70, 20, 50, 180};
    static const uint32_t labels[6] = {0, 0, 0, 1, 1, 1}, one[6] = {0};
    double x[12];
    struct train_random r = train_random_of(SEED, 5, 6);
    struct train_triplets t;
    (void)state;
    for (int i = 0; i < 6; i++) {
        x[2 * i] = cos(DEGREES[i] * M_PI / 180);
        x[2 * i + 1] = sin(DEGREES[i] * M_PI / 180);
    }
    assert_int_equal(train_triplets_init(&t, 6, &train_ops_f64, NULL), ERR_OK);
    train_triplets_mine(&t, x, labels, labels, 6, 2, TRAIN_MINE_BATCH_HARD, 0.2, &r,
                        &train_ops_f64);
    assert_int_equal(t.n, 6);
    assert_memory_equal(&t.list[0], (&(struct train_triplet){0, 2, 3}), sizeof *t.list);
    assert_memory_equal(&t.list[5], (&(struct train_triplet){5, 3, 2}), sizeof *t.list);
    /* anchor 0, positive 1 at 30 degrees: 3 is nearer, 4 (at 50) is the nearest farther one, and
     * within the margin */
    train_triplets_mine(&t, x, labels, labels, 6, 2, TRAIN_MINE_SEMI_HARD, 0.5, &r, &train_ops_f64);
    assert_int_equal(t.n, 12);
    assert_memory_equal(&t.list[0], (&(struct train_triplet){0, 1, 4}), sizeof *t.list);
    /* and with a small margin there is none: the farthest */
    train_triplets_mine(&t, x, labels, labels, 6, 2, TRAIN_MINE_SEMI_HARD, 0.1, &r, &train_ops_f64);
    assert_memory_equal(&t.list[0], (&(struct train_triplet){0, 1, 5}), sizeof *t.list);
    /* only negatives that violate: for (0, 1) that is 3, or 3 and 4 */
    for (int i = 0; i < 50; i++) {
        train_triplets_mine(&t, x, labels, labels, 6, 2, TRAIN_MINE_SEMI_RANDOM, 0.1, &r,
                            &train_ops_f64);
        assert_memory_equal(&t.list[0], (&(struct train_triplet){0, 1, 3}), sizeof *t.list);
    }
    train_triplets_mine(&t, x, one, one, 6, 2, TRAIN_MINE_RANDOM, 0.1, &r, &train_ops_f64);
    assert_int_equal(t.n, 0);
    /* labels 0 and 4 are of one kin: 4 has no negative but 1 */
    train_triplets_mine(&t, x, (uint32_t[6]){0, 0, 4, 4, 1, 1}, (uint32_t[6]){0, 0, 0, 0, 1, 1}, 6,
                        2, TRAIN_MINE_BATCH_HARD, 0.1, &r, &train_ops_f64);
    assert_memory_equal(&t.list[2], (&(struct train_triplet){2, 3, 4}), sizeof *t.list);
    assert_memory_equal(&t.list[0], (&(struct train_triplet){0, 1, 4}), sizeof *t.list);
    train_triplets_release(&t);
}

static void gradient_of_softmax(void **state)
{
    double x[N * D], dx[N * D], scratch[N * D], want[N * D];
    uint32_t labels[N];
    struct train_random r = train_random_of(SEED, 7, 8);
    (void)state;
    embeddings(x, labels, &r);
    train_ops_f64.softmax_loss(dx, x, labels, 1.0 / N, N, D);
    for (int i = 0; i < N * D; i++) {
        const double at = x[i];
        x[i] = at + 1e-6;
        const double up = train_ops_f64.softmax_loss(scratch, x, labels, 1.0 / N, N, D);
        x[i] = at - 1e-6;
        want[i] = (up - train_ops_f64.softmax_loss(scratch, x, labels, 1.0 / N, N, D)) / 2e-6;
        x[i] = at;
    }
    const double off = relative(dx, want, N * D);
    if (!(off <= 1e-6)) fail_msg("relative error %g", off);
}

/* --- steps --- */

static void steps_by_hand(void **state)
{
    struct train_optim o = {true, 0.1, 0, 0.9, 0.999};
    float p[2] = {1, 1}, m[2] = {0}, v[2] = {0}, g[2] = {0.5f, -2};
    const bool decays[2] = {true, false};
    (void)state;
    /* adam's first step is the rate, whatever the gradient's size */
    train_optim_step(&o, p, m, v, g, decays, 0, 0, 2);
    assert_true(fabsf(p[0] - 0.9f) < 1e-5f && fabsf(p[1] - 1.1f) < 1e-5f);
    o.decay = 0.5; /* 0.9 * (1 - 0.1 * 0.5) - 0.1; the second does not decay */
    train_optim_step(&o, p, m, v, g, decays, 1, 0, 2);
    assert_true(fabsf(p[0] - 0.755f) < 1e-4f && fabsf(p[1] - 1.2f) < 1e-4f);
    o = (struct train_optim){false, 0.1, 0, 0.9, 0};
    p[0] = 1, m[0] = 0;
    train_optim_step(&o, p, m, v, g, decays, 0, 0, 1);
    train_optim_step(&o, p, m, v, g, decays, 1, 0, 1);
    assert_true(fabsf(p[0] - (1 - 0.05f - 0.095f)) < 1e-6f);
    assert_true(fabs(train_schedule(1, 0, 9, 100) - 0.1) < 1e-12);
    assert_true(fabs(train_schedule(1, 9, 9, 109) - 1) < 1e-12);
    assert_true(fabs(train_schedule(1, 59, 9, 109) - 0.5) < 1e-12);
    assert_true(train_schedule(1, 109, 9, 109) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_layers),   cmocka_unit_test(float_tables_agree),
        cmocka_unit_test(exported_graph_agrees), cmocka_unit_test(what_cannot_be_trained),
        cmocka_unit_test(gradients_of_triplets), cmocka_unit_test(mining_by_hand),
        cmocka_unit_test(gradient_of_softmax),   cmocka_unit_test(steps_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
