/* What nn.h promises: answers that depend neither on the batch, nor on the threads, nor on which
 * other outputs are wanted, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/nn_random.h"

/* n rows together against each row alone, and 1 thread against more. */
static void invariant(const char *name, const struct nn_graph *g, int n, int h, int w,
                      uint64_t *seed)
{
    struct way all[WAYS_MAX];
    float *in = inputs(g, n, h, w, seed);
    size_t row = (size_t)g->in_c * h * w;
    for (int i = 0, k = ways(all); i < k; i++) {
        char what[512];
        struct nn_net *net = net_of(g, &all[i]);
        struct result together = run(net, n, h, w, 1, in);
        for (int threads = 2; threads <= 3; threads++) {
            struct result more = run(net, n, h, w, threads, in);
            snprintf(what, sizeof what, "%s on %s, %d threads", name, all[i].name, threads);
            same_bits(what, &together, &more);
            release(&more);
        }
        for (int r = 0; r < n; r++) {
            struct result alone = run(net, 1, h, w, 1 + r % 2, in + (size_t)r * row),
                          part = together;
            for (int o = 0; o < part.n; o++) {
                part.out[o] += (size_t)r * alone.count[o];
                part.count[o] = alone.count[o];
            }
            snprintf(what, sizeof what, "%s on %s, row %d alone", name, all[i].name, r);
            same_bits(what, &part, &alone);
            release(&alone);
        }
        release(&together);
        nn_net_free(net);
    }
    free(in);
}

static void test_invariance(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(NETS); i++) {
        struct net_made m;
        NETS[i].make(&m, first_seed());
        invariant(NETS[i].name, &m.g, i == 4 ? 7 : 11, NETS[i].h, NETS[i].w, &m.seed);
        nets_release(&m);
    }
    for (int i = 0, k = rounds(10); i < k; i++) {
        struct net_made m;
        random_net(&m, first_seed() + (uint64_t)i);
        invariant("random net", &m.g, 5, m.g.in_h, m.g.in_w, &m.seed);
        nets_release(&m);
    }
}

/* Outputs that are not wanted leave the others as they are, in every backend; what is NULL is not
 * written. */
static void test_some_outputs(void **state)
{
    (void)state;
    for (int b = 0; b < NN_BACKEND_COUNT; b++) {
        const struct way way = {.backend = (enum nn_backend)b, .precision = NN_F32};
        struct net_made m;
        struct err_info err = ERR_INFO_INIT;
        nets_onet(&m, first_seed());
        struct nn_net *net = net_of(&m.g, &way);
        struct nn_exec *x;
        const int n = 3;
        float *in = inputs(&m.g, n, 48, 48, &m.seed);
        struct result all = run(net, n, 48, 48, 1, in);
        assert_int_equal(all.n, 3);
        assert_int_equal(nn_exec_new(&x, 1, 0, &err), ERR_OK);
        for (int some = 1; some < 1 << all.n; some++) {
            float *outs[NN_MAX_OUTPUTS] = {NULL};
            for (int i = 0; i < all.n; i++)
                if (some >> i & 1) outs[i] = calloc(all.count[i], sizeof(float));
            assert_int_equal(nn_exec_run(x, net, n, 48, 48, in, outs, &err), ERR_OK);
            for (int i = 0; i < all.n; i++) {
                if (outs[i]) assert_memory_equal(outs[i], all.out[i], all.count[i] * sizeof(float));
                free(outs[i]);
            }
        }
        nn_exec_free(x);
        free(in);
        release(&all);
        nn_net_free(net);
        nets_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariance),
        cmocka_unit_test(test_some_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
