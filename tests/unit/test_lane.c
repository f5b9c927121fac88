/* Lanes: whoever shares a batch, everybody gets the answer that they would have got alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/lane.h"
#include "engine/nn/exec.h"
#include "engine/nn/graph.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { CALLERS = 12, ROUNDS = 40, SIDE = 9, CHANNELS = 3, OUT = 5, MAX_ROWS = 7 };
enum { ROW = CHANNELS * SIDE * SIDE };

static float conv_w[OUT * CHANNELS * 9], conv_b[OUT];

static void small_graph(struct nn_graph *g)
{
    struct nn_op op;
    *g = (struct nn_graph){.in_c = CHANNELS};
    nn_op_init(&op, NN_CONV2D, "conv");
    op.in[0] = -1;
    op.n_in = 1;
    op.out = OUT;
    op.kernel[0] = op.kernel[1] = 3;
    op.w = conv_w;
    op.b = conv_b;
    op.w_count = OUT * CHANNELS * 9;
    op.b_count = OUT;
    assert_int_equal(nn_graph_add(g, &op), 0);
    nn_op_init(&op, NN_GLOBAL_AVG_POOL, "mean");
    op.in[0] = 0;
    op.n_in = 1;
    assert_int_equal(nn_graph_add(g, &op), 1);
    g->n_outputs = 2;
    strcpy(g->outputs[0].name, "map");
    strcpy(g->outputs[1].name, "mean");
    g->outputs[1].op = 1;
    for (size_t i = 0; i < ARRAY_LEN(conv_w); i++) conv_w[i] = (float)(i * 37 % 23) / 23 - 0.5f;
    for (size_t i = 0; i < ARRAY_LEN(conv_b); i++) conv_b[i] = (float)i;
}

struct caller {
    struct lanes *lanes;
    const struct nn_net *net;
    int id, wrong;
};

static void fill(float *in, int n, unsigned seed)
{
    for (int i = 0; i < n * ROW; i++)
        in[i] = (float)((seed = seed * 1103515245u + 12345u) >> 16 & 255) / 255;
}

static void *call(void *self)
{
    struct caller *c = self;
    struct nn_exec *alone = NULL;
    enum { MAP = OUT * (SIDE - 2) * (SIDE - 2) };
    float *in = malloc(MAX_ROWS * ROW * sizeof *in);
    float *got[2] = {malloc(MAX_ROWS * MAP * sizeof(float)),
                     malloc(MAX_ROWS * OUT * sizeof(float))};
    float *want[2] = {malloc(MAX_ROWS * MAP * sizeof(float)),
                      malloc(MAX_ROWS * OUT * sizeof(float))};

    if (nn_exec_new(&alone, 1, 0, NULL)) c->wrong++;
    for (int round = 0; round < ROUNDS && !c->wrong; round++) {
        int n = 1 + (c->id + round) % MAX_ROWS;
        fill(in, n, (unsigned)(c->id * 1000 + round));
        float *outs[2] = {round % 3 ? got[0] : NULL, got[1]}; /* an output that nobody wants */
        if (nn_exec_run(alone, c->net, n, SIDE, SIDE, in, want, NULL)) c->wrong++;
        if (lanes_run(c->lanes, c->net, n, SIDE, SIDE, in, outs, NULL)) c->wrong++;
        if (outs[0] && memcmp(want[0], got[0], (size_t)n * MAP * sizeof(float)) != 0) c->wrong++;
        if (memcmp(want[1], got[1], (size_t)n * OUT * sizeof(float)) != 0) c->wrong++;
    }
    nn_exec_free(alone);
    free(in);
    for (int i = 0; i < 2; i++) {
        free(got[i]);
        free(want[i]);
    }
    return NULL;
}

static void everybody_gets_their_own_answer(void **state)
{
    struct nn_graph g;
    (void)state;
    small_graph(&g);
    for (int n_lanes = 1; n_lanes <= 3; n_lanes++) {
        struct nn_net *net = NULL;
        struct lanes *lanes = NULL;
        struct caller callers[CALLERS];
        pthread_t threads[CALLERS];
        struct lane_stats stats;

        assert_int_equal(nn_net_new(&net, &g, NN_REF, NN_F32, NULL), ERR_OK);
        assert_int_equal(lanes_new(&lanes, n_lanes, 1, NULL), ERR_OK);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){lanes, net, i, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
        }
        for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < CALLERS; i++)
            if (callers[i].wrong)
                fail_msg("%d lanes, caller %d: %d wrong answers", n_lanes, i, callers[i].wrong);
        lanes_stats(lanes, &stats);
        assert_int_equal(stats.lanes, n_lanes);
        assert_int_equal(stats.waiting, 0);
        unsigned long long rows = 0, batches = 0;
        for (int i = 0; i < CALLERS; i++)
            for (int round = 0; round < ROUNDS; round++)
                rows += 1 + (unsigned)(i + round) % MAX_ROWS;
        for (int i = 0; i < LANE_HISTOGRAM; i++) batches += stats.histogram[i];
        assert_int_equal(stats.rows, rows);
        assert_int_equal(stats.batches, batches);
        lanes_free(lanes);
        nn_net_free(net);
    }
    nn_graph_release(&g);
}

static void a_wrong_size_fails_alone(void **state)
{
    struct nn_graph g;
    struct nn_net *net = NULL;
    struct lanes *lanes = NULL;
    struct err_info err = ERR_INFO_INIT;
    float in[CHANNELS * 4] = {0}, out[64];
    float *outs[2] = {out, NULL};
    (void)state;
    small_graph(&g);
    assert_int_equal(nn_net_new(&net, &g, NN_REF, NN_F32, NULL), ERR_OK);
    assert_int_equal(lanes_new(&lanes, 1, 1, NULL), ERR_OK);
    assert_int_equal(lanes_run(lanes, net, 1, 2, 2, in, outs, &err),
                     ERR_MODEL); /* smaller than the kernel */
    assert_true(strlen(err.message) > 0);
    lanes_free(lanes);
    nn_net_free(net);
    nn_graph_release(&g);
}

/* One row of it is all that a batch of several callers takes (LANE_MAX_FLOATS). */
enum { LARGE_IN = 655360, LARGE_OUT = 26, LARGE_CALLERS = 2, LARGE_ROWS = 12 };

/* One dense layer of 65 MiB. */
static float *large_graph(struct nn_graph *g)
{
    float *w = malloc((size_t)LARGE_IN * LARGE_OUT * sizeof *w);
    struct nn_op op;
    assert_non_null(w);
    for (size_t i = 0; i < (size_t)LARGE_IN * LARGE_OUT; i++) w[i] = (float)(i % 251) / 251 - 0.5f;
    *g = (struct nn_graph){.in_c = LARGE_IN, .in_h = 1, .in_w = 1};
    nn_op_init(&op, NN_DENSE, "fc");
    op.in[0] = -1;
    op.n_in = 1;
    op.out = LARGE_OUT;
    op.w = w;
    op.w_count = (size_t)LARGE_IN * LARGE_OUT;
    assert_int_equal(nn_graph_add(g, &op), 0);
    g->n_outputs = 1;
    strcpy(g->outputs[0].name, "fc");
    return w;
}

struct large_caller {
    struct lanes *lanes;
    const struct nn_net *net;
    float *in, *out; /* LARGE_ROWS rows each */
    enum err rc;
};

static void *call_large(void *self)
{
    struct large_caller *c = self;
    c->rc = lanes_run(c->lanes, c->net, LARGE_ROWS, 1, 1, c->in, &c->out, NULL);
    return NULL;
}

/* Two lanes, two callers of a large net with too many rows for one batch: a small net's caller is
 * served while the first of them computes, a fifth of a second. Then the large net's answers are
 * those of one executor on one thread, and it can be forgotten. */
static void a_small_net_does_not_wait_for_a_large_one(void **state)
{
    (void)state;
    struct nn_graph small, large;
    struct nn_net *small_net, *large_net;
    struct lanes *lanes;
    struct nn_exec *alone;
    struct lane_stats stats = {0};
    struct large_caller callers[LARGE_CALLERS];
    pthread_t threads[LARGE_CALLERS];
    enum { FLOATS = LARGE_ROWS * LARGE_IN, OUTS = LARGE_ROWS * LARGE_OUT };
    float in[ROW], mean[OUT], *small_outs[2] = {NULL, mean};
    float *want = malloc(OUTS * sizeof *want);

    small_graph(&small);
    float *weights = large_graph(&large);
    assert_int_equal(nn_net_new(&small_net, &small, NN_REF, NN_F32, NULL), ERR_OK);
    assert_int_equal(nn_net_new(&large_net, &large, NN_REF, NN_F32, NULL), ERR_OK);
    assert_true(nn_net_is_large(large_net) && !nn_net_is_large(small_net));
    assert_int_equal(lanes_new(&lanes, 2, 1, NULL), ERR_OK);
    for (int i = 0; i < LARGE_CALLERS; i++) {
        callers[i] = (struct large_caller){.lanes = lanes, .net = large_net};
        callers[i].in = malloc(FLOATS * sizeof(float));
        callers[i].out = malloc(OUTS * sizeof(float));
        for (int k = 0; k < FLOATS; k++) callers[i].in[k] = (float)((k * 31 + i * 7) % 17) / 17;
        assert_int_equal(pthread_create(&threads[i], NULL, call_large, &callers[i]), 0);
    }
    /* until one is at work and the other has come */
    while (!stats.batches || stats.rows / LARGE_ROWS + (unsigned)stats.waiting < LARGE_CALLERS) {
        lanes_stats(lanes, &stats);
        sched_yield();
    }
    fill(in, 1, 1);
    assert_int_equal(lanes_run(lanes, small_net, 1, SIDE, SIDE, in, small_outs, NULL), ERR_OK);
    lanes_stats(lanes, &stats);
    assert_int_equal(stats.waiting, 1); /* the first still computes: the second has not begun */
    for (int i = 0; i < LARGE_CALLERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(nn_exec_new(&alone, 1, 0, NULL), ERR_OK);
    for (int i = 0; i < LARGE_CALLERS; i++) {
        assert_int_equal(callers[i].rc, ERR_OK);
        assert_int_equal(
            nn_exec_run(alone, large_net, LARGE_ROWS, 1, 1, callers[i].in, &want, NULL), ERR_OK);
        assert_memory_equal(want, callers[i].out, OUTS * sizeof(float));
        free(callers[i].in);
        free(callers[i].out);
    }
    nn_exec_free(alone);
    lanes_forget(lanes, large_net);
    nn_net_free(large_net);
    lanes_free(lanes);
    nn_net_free(small_net);
    nn_graph_release(&small);
    nn_graph_release(&large);
    free(weights);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_gets_their_own_answer),
        cmocka_unit_test(a_wrong_size_fails_alone),
        cmocka_unit_test(a_small_net_does_not_wait_for_a_large_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
