/* Products of bf16, on both ways there are: our own kernels and oneDNN's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/nn_random.h"

/* bf16 rounds each factor by at most 2^-9 of it: over a net the outputs turn by a cosine of 0.9995
 * at most. A wrong index anywhere gives 0.9 or less. Rows alone and threads: bit for bit, here too.
 */
static void test_bf16(void **state)
{
    (void)state;
    static const struct way REF = {"ref", NN_REF, NULL, NN_F32},
                            BF16 = {"bf16", NN_FAST, NULL, NN_BF16};
    for (int i = 0, k = rounds(12); i < k; i++) {
        struct net_made m;
        if (i == 0)
            nets_resnet(&m, 1);
        else
            random_net(&m, first_seed() + 100 + (uint64_t)i);
        struct nn_net *ref = net_of(&m.g, &REF), *net = net_of(&m.g, &BF16);
        int n = 3, h = m.g.in_h, w = m.g.in_w;
        if (nn_net_precision(net) != NN_BF16) {
            printf("skipped: this CPU has no bf16 instructions\n");
            nn_net_free(ref), nn_net_free(net), nets_release(&m);
            skip();
        }
        float *in = inputs(&m.g, n, h, w, &m.seed);
        struct result want = run(ref, n, h, w, 0, in), together = run(net, n, h, w, 1, in);
        struct result threads = run(net, n, h, w, 2, in);
        char what[64];
        snprintf(what, sizeof what, "bf16, net %d, 2 threads", i);
        same_bits(what, &together, &threads);
        for (int o = 0; o < want.n; o++) {
            double dot = 0, a = 0, b = 0;
            for (size_t j = 0; j < want.count[o]; j++) {
                dot += (double)want.out[o][j] * together.out[o][j];
                a += (double)want.out[o][j] * want.out[o][j];
                b += (double)together.out[o][j] * together.out[o][j];
            }
            if (!(a + b == 0 || dot / sqrt(a * b) > 0.9995))
                fail_msg("bf16, net %d, output %d: cosine %.6f", i, o, dot / sqrt(a * b));
        }
        for (int r = 0; r < n; r++) {
            struct result alone = run(net, 1, h, w, 1, in + (size_t)r * m.g.in_c * h * w);
            struct result part = together;
            for (int o = 0; o < part.n; o++) {
                part.out[o] += (size_t)r * alone.count[o];
                part.count[o] = alone.count[o];
            }
            same_bits("bf16, a row alone", &part, &alone);
            release(&alone);
        }
        release(&want), release(&together), release(&threads);
        nn_net_free(ref), nn_net_free(net);
        free(in);
        nets_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
