/* Executors: several share a net; plans come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "tests/unit/nn_random.h"

struct lane {
    const struct nn_net *net;
    const float *in;
    const struct result *want;
    int n, h, w, wrong;
};

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    for (int i = 0; i < 5; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct nn_exec *x = NULL;
        float *out[OUTS] = {NULL};
        for (int o = 0; o < l->want->n; o++)
            if (!(out[o] = malloc(l->want->count[o] * sizeof(float)))) l->wrong++;
        if (nn_exec_new(&x, 1 + i % 2, 2, &err) ||
            nn_exec_run(x, l->net, l->n, l->h, l->w, l->in, out, &err))
            l->wrong++;
        for (int o = 0; o < l->want->n; o++) {
            if (memcmp(out[o], l->want->out[o], l->want->count[o] * sizeof(float))) l->wrong++;
            free(out[o]);
        }
        nn_exec_free(x);
    }
    return NULL;
}

/* Executors on threads of their own share one net; its weights are packed by whoever comes first.
 */
static void test_lanes_share_a_net(void **state)
{
    (void)state;
    struct way all[WAYS_MAX];
    for (int i = 0, k = ways(all); i < k; i++) {
        struct net_made m;
        nets_rnet(&m, 3);
        float *in = inputs(&m.g, 7, 24, 24, &m.seed);
        struct nn_net *before = net_of(&m.g, &all[i]), *net = net_of(&m.g, &all[i]);
        struct result want = run(before, 7, 24, 24, 1, in);
        struct lane lanes[3];
        pthread_t id[3];
        for (int t = 0; t < 3; t++) {
            lanes[t] = (struct lane){net, in, &want, 7, 24, 24, 0};
            assert_int_equal(pthread_create(&id[t], NULL, lane_main, &lanes[t]), 0);
        }
        for (int t = 0; t < 3; t++) {
            pthread_join(id[t], NULL);
            if (lanes[t].wrong) fail_msg("%s: lane %d differs", all[i].name, t);
        }
        release(&want);
        nn_net_free(before);
        nn_net_free(net);
        free(in);
        nets_release(&m);
    }
}

/* More sizes than plans are kept for; a net forgotten in between; outputs that are not wanted. */
static void test_plans_come_and_go(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct net_made m;
    nets_pnet(&m, 5);
    static const struct way FAST = {"fast", NN_FAST, NULL, NN_F32};
    struct nn_net *net = net_of(&m.g, &FAST);
    struct nn_exec *x = NULL;
    assert_int_equal(nn_exec_new(&x, 1, 3, &err), ERR_OK);
    for (int i = 0; i < 60; i++) {
        int h = 12 + i * 7 % 40, w = 12 + i * 11 % 50;
        float *in = inputs(&m.g, 1, h, w, &m.seed);
        struct result want = run(net, 1, h, w, 0, in), got = run(net, 1, h, w, 0, in);
        float *outs[2] = {i % 3 ? got.out[0] : NULL, got.out[1]};
        for (size_t k = 0; k < got.count[1]; k++) got.out[1][k] = NAN;
        if (nn_exec_run(x, net, 1, h, w, in, outs, &err)) fail_msg("%s", err.message);
        same_bits("executor against plan", &want, &got);
        release(&want);
        release(&got);
        free(in);
        if (i % 20 == 19) nn_exec_forget(x, net);
    }
    float dummy[3 * 11 * 9] = {0}, *none[2] = {NULL, NULL};
    assert_int_equal(nn_exec_run(x, net, 0, 12, 12, dummy, none, &err), ERR_INVALID);
    assert_int_equal(nn_exec_run(x, net, 1, 11, 9, dummy, none, &err), ERR_MODEL);
    nn_exec_free(x);
    assert_int_equal(nn_exec_new(&x, 0, 0, &err), ERR_INVALID);
    assert_int_equal(nn_exec_new(&x, 1, -1, &err), ERR_INVALID);
    struct nn_plan *p = NULL;
    assert_int_equal(nn_plan_new(&p, net, 0, 12, 12, &err), ERR_MODEL);
    assert_int_equal(nn_plan_new(&p, net, 65, 12, 12, &err), ERR_MODEL);
    nn_net_free(net);
    nets_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_share_a_net),
        cmocka_unit_test(test_plans_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
