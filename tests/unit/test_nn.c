/* Whole nets on every backend, against the plain loops: small random ones with residual sums (so
 * that fusions happen), MTCNN's and dlib's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/nn_random.h"

static void test_random_nets(void **state)
{
    (void)state;
    uint64_t seed = first_seed();
    for (int i = 0, k = rounds(60); i < k; i++) {
        struct net_made m;
        struct err_info err = ERR_INFO_INIT;
        random_net(&m, seed + (uint64_t)i);
        if (nn_graph_check(&m.g, true, &err)) fail_msg("seed %d: %s", (int)seed + i, err.message);
        against_ref("random net", &m, seed + (uint64_t)i, 1 + i % 3, m.g.in_h, m.g.in_w);
        nets_release(&m);
    }
}

/* Every op's value, though most are fused away in a plain forward. */
static void test_taps(void **state)
{
    (void)state;
    static const struct way REF = {"ref", NN_REF, NULL, NN_F32};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct net_made m;
        struct err_info err = ERR_INFO_INIT;
        struct way all[WAYS_MAX];
        random_net(&m, seed);
        int n = 2, h = m.g.in_h, w = m.g.in_w, n_ways = ways(all);
        float *in = inputs(&m.g, n, h, w, &m.seed);
        struct nn_shape shapes[NN_MAX_OPS];
        assert_int_equal(nn_graph_shapes(&m.g, h, w, shapes, &err), ERR_OK);
        float *want[NN_MAX_OPS], *got[NN_MAX_OPS];
        for (int way = -1; way < n_ways; way++) {
            struct nn_net *net = net_of(&m.g, way < 0 ? &REF : &all[way]);
            struct nn_plan *p = NULL;
            float *outs[OUTS] = {NULL};
            for (int i = 0; i < m.g.n_ops; i++) {
                size_t count = (size_t)n * shapes[i].c * shapes[i].h * shapes[i].w;
                (way < 0 ? want : got)[i] = room(count);
            }
            assert_int_equal(nn_plan_new(&p, net, n, 0, 0, &err), ERR_OK);
            assert_int_equal(nn_plan_forward_tapped(p, in, outs, way < 0 ? want : got, &err),
                             ERR_OK);
            for (int i = 0; way >= 0 && i < m.g.n_ops; i++) {
                size_t count = (size_t)n * shapes[i].c * shapes[i].h * shapes[i].w;
                compare(m.g.ops[i].name, seed, want[i], got[i], count);
                free(got[i]);
            }
            nn_plan_free(p);
            nn_net_free(net);
        }
        for (int i = 0; i < m.g.n_ops; i++) free(want[i]);
        free(in);
        nets_release(&m);
    }
}

static void test_shipped_nets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(NETS); i++) {
        struct net_made m;
        NETS[i].make(&m, first_seed());
        against_ref(NETS[i].name, &m, first_seed(), NETS[i].n, NETS[i].h, NETS[i].w);
        nets_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_nets),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_shipped_nets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
