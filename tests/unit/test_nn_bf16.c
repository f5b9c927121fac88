/* Products of bf16, on both ways there are: our own kernels and oneDNN's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/nn/fast.h"
#include "tests/unit/nn_random.h"

/* Our own kernel belongs to the AVX-512 set; with a lesser one, and with AMX, oneDNN's are taken.
 */
static int bf16_ways(struct way out[2])
{
    const struct nn__simd *own = nn__simd_at(0), *other = nn__simd_at(1);
    if (!nn__onednn_has_bf16()) {
        printf("skipped: this CPU has no bf16 instructions\n");
        skip();
    }
    if (nn__onednn_has_amx()) printf("AMX: both ways are oneDNN's\n");
    out[0] = (struct way){"bf16, own", NN_FAST, own, NN_BF16};
    out[1] = (struct way){"bf16, oneDNN", NN_FAST, other, NN_BF16};
    assert_true(nn__simd_bf16(own) && !nn__simd_bf16(other));
    return 2;
}

/* Multiples of 1/64 in [-1, 1]: as bf16 they are what they are, their products and sums are exact
 * in float32; so whatever is not right is seen. */
static void make_exact(float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) v[i] = roundf(v[i] * 64) / 64;
}

static int random_layer(struct net_made *m, int c, int h, int w, uint64_t *s)
{
    int x;
    if (nets_int(s, 0, 2) == 0) {
        x = nets_dense(m, -1, c * h * w, nets_int(s, 1, 150), nets_int(s, 0, 1));
    } else {
        x = nets_conv(m, -1, c, nets_int(s, 1, 150), nets_int(s, 1, 3), nets_int(s, 1, 2),
                      nets_int(s, 0, 1));
        m->g.ops[x].dilation = nets_int(s, 0, 3) ? 1 : 2;
    }
    return x;
}

static void test_exact_layers(void **state)
{
    (void)state;
    static const struct way REF = {"ref", NN_REF, NULL, NN_F32};
    struct way all[2];
    const int n_ways = bf16_ways(all);
    int taken = 0;
    for (int i = 0, k = rounds(120); i < k; i++) {
        struct net_made m;
        struct err_info err = ERR_INFO_INIT;
        uint64_t s = first_seed() + (uint64_t)i * 77, seed = s;
        const int c = nets_int(&s, 1, 90), h = nets_int(&s, 1, 9), w = nets_int(&s, 1, 9),
                  n = 1 + i % 9;
        nets_start(&m, s, c, h, w);
        /* a layer before it, so that its input is not the graph's */
        const int first = nets_op(&m, NN_RELU, -1);
        const int x = random_layer(&m, c, h, w, &s);
        m.g.ops[x].in[0] = first;
        nets_output(&m, "o", nets_int(&s, 0, 1) ? nets_op(&m, NN_RELU, x) : x);
        for (int b = 0; b < m.n_blocks; b++) {
            const struct nn_op *op = &m.g.ops[x];
            make_exact(m.blocks[b], b == 0 ? op->w_count : op->b_count);
        }
        if (nn_graph_check(&m.g, true, &err)) {
            nets_release(&m);
            continue;
        }
        float *in = inputs(&m.g, n, h, w, &m.seed);
        make_exact(in, (size_t)n * c * h * w);
        struct nn_net *ref = net_of(&m.g, &REF);
        struct result want = run(ref, n, h, w, 0, in);
        for (int v = 0; v < n_ways; v++) {
            struct nn_net *net = net_of(&m.g, &all[v]);
            struct result got = run(net, n, h, w, 1 + i % 2, in);
            compare(all[v].name, seed, want.out[0], got.out[0], want.count[0]);
            release(&got);
            nn_net_free(net);
        }
        taken++;
        release(&want);
        nn_net_free(ref);
        free(in);
        nets_release(&m);
    }
    assert_true(taken > 20);
}

/* bf16 rounds each factor by at most 2^-9 of it: over a net the outputs turn by a cosine of 0.9995
 * at most. A wrong index anywhere gives 0.9 or less. Rows alone and threads: bit for bit, here too.
 */
static void nets_on(const struct way *way)
{
    static const struct way REF = {"ref", NN_REF, NULL, NN_F32};
    for (int i = 0, k = rounds(12); i < k; i++) {
        struct net_made m;
        if (i == 0)
            nets_resnet(&m, 1);
        else
            random_net(&m, first_seed() + 100 + (uint64_t)i);
        struct nn_net *ref = net_of(&m.g, &REF), *net = net_of(&m.g, way);
        int n = 3, h = m.g.in_h, w = m.g.in_w;
        float *in = inputs(&m.g, n, h, w, &m.seed);
        struct result want = run(ref, n, h, w, 0, in), together = run(net, n, h, w, 1, in);
        struct result threads = run(net, n, h, w, 2, in);
        char what[64];
        snprintf(what, sizeof what, "%s, net %d, 2 threads", way->name, i);
        same_bits(what, &together, &threads);
        for (int o = 0; o < want.n; o++) {
            double dot = 0, a = 0, b = 0;
            for (size_t j = 0; j < want.count[o]; j++) {
                dot += (double)want.out[o][j] * together.out[o][j];
                a += (double)want.out[o][j] * want.out[o][j];
                b += (double)together.out[o][j] * together.out[o][j];
            }
            if (!(a + b == 0 || dot / sqrt(a * b) > 0.9995))
                fail_msg("%s, net %d, output %d: cosine %.6f", way->name, i, o, dot / sqrt(a * b));
        }
        for (int r = 0; r < n; r++) {
            struct result alone = run(net, 1, h, w, 1, in + (size_t)r * m.g.in_c * h * w);
            struct result part = together;
            for (int o = 0; o < part.n; o++) {
                part.out[o] += (size_t)r * alone.count[o];
                part.count[o] = alone.count[o];
            }
            same_bits(way->name, &part, &alone);
            release(&alone);
        }
        release(&want), release(&together), release(&threads);
        nn_net_free(ref), nn_net_free(net);
        free(in);
        nets_release(&m);
    }
}

static void test_bf16(void **state)
{
    (void)state;
    struct way all[2];
    for (int i = 0, k = bf16_ways(all); i < k; i++) nets_on(&all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_layers),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
