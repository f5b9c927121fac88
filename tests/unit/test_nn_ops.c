/* Each op of engine/nn on random shapes: every backend against the plain loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/nn_ways.h"

static void random_window(struct nn_op *op, uint64_t *s, bool pool)
{
    int same = nets_int(s, 0, 1);
    for (int i = 0; i < 2; i++) {
        op->kernel[i] = nets_int(s, 1, 5);
        op->stride[i] = nets_int(s, 1, 3);
    }
    if (same) op->kernel[0] = op->kernel[1] = nets_int(s, 0, 2) ? 3 : 1;
    if (same && nets_int(s, 0, 1)) op->stride[0] = op->stride[1] = 1; /* Winograd's case */
    for (int i = 0; i < 4; i++)
        op->pad[i] = nets_int(s, 0, 2) ? 0 : nets_int(s, 0, pool ? op->kernel[i & 1] - 1 : 3);
    if (same && !nets_int(s, 0, 2))
        for (int i = 0; i < 4; i++) op->pad[i] = pool ? 0 : op->kernel[0] / 2;
    if (pool) op->ceil_mode = nets_int(s, 0, 1);
}

static int random_conv(struct net_made *m, int in, int ic, uint64_t *s)
{
    struct nn_op op;
    nn_op_init(&op, NN_CONV2D, "");
    random_window(&op, s, false);
    op.dilation = nets_int(s, 0, 3) ? 1 : 2;
    if (ic <= 4 && nets_int(s, 0, 1)) { /* a stem, which is folded */
        op.dilation = 1;
        for (int i = 0; i < 2; i++) op.kernel[i] = nets_int(s, 5, 8), op.stride[i] = 2;
    }
    op.out = nets_int(s, 0, 1) ? nets_int(s, 1, 70) : 16 * nets_int(s, 1, 9);
    switch (nets_int(s, 0, 5)) {
    case 0:
        op.groups = op.out = ic;
        break; /* depthwise */
    case 1:
        op.groups = ic % 2 ? ic : 2, op.out = op.groups * nets_int(s, 1, 20);
        break;
    default:
        break;
    }
    op.w_count = (size_t)op.out * (ic / op.groups) * op.kernel[0] * op.kernel[1];
    op.w = nets_weights(m, op.w_count, 1);
    if (nets_int(s, 0, 2)) op.b = nets_weights(m, op.b_count = (size_t)op.out, 1);
    return nets_add(m, &op, in);
}

static int random_op(struct net_made *m, enum nn_kind kind, int h, int w, uint64_t *s)
{
    struct nn_op op;
    int c = m->g.in_c, again = -1;
    nn_op_init(&op, kind, "");
    switch (kind) {
    case NN_CONV2D:
        return random_conv(m, -1, c, s);
    case NN_DENSE:
        return nets_dense(m, -1, c * h * w, nets_int(s, 1, 90), nets_int(s, 0, 1));
    case NN_PRELU:
        return nets_prelu(m, -1, c);
    case NN_LEAKY_RELU:
        op.alpha = nets_uniform(s);
        break;
    case NN_MAX_POOL:
        random_window(&op, s, true);
        break;
    case NN_AVG_POOL:
        random_window(&op, s, true);
        op.count_pad = nets_int(s, 0, 1);
        break;
    case NN_ADD:
    case NN_MUL:
        op.n_in = 2;
        op.in[1] = nets_op(m, nets_int(s, 0, 1) ? NN_GLOBAL_AVG_POOL : NN_SIGMOID, -1);
        break;
    case NN_CONCAT:
        again = nets_conv(m, -1, c, nets_int(s, 1, 40), 1, 1, 0);
        op.n_in = nets_int(s, 2, 4);
        for (int i = 1; i < op.n_in; i++) op.in[i] = i == 1 ? again : -1;
        break;
    case NN_PAD:
        for (int i = 0; i < 4; i++) op.pad[i] = nets_int(s, 0, 3);
        op.pad_c = nets_int(s, 0, 20);
        break;
    case NN_RESHAPE:
        op.shape[0] = w, op.shape[1] = c, op.shape[2] = h;
        break;
    case NN_TRANSPOSE: {
        static const int PERMS[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        memcpy(op.perm, PERMS[nets_int(s, 0, 5)], sizeof op.perm);
        break;
    }
    case NN_RESIZE_NEAREST:
        op.scale[0] = nets_int(s, 1, 3), op.scale[1] = nets_int(s, 1, 3);
        break;
    default:
        break;
    }
    return nets_add(m, &op, -1);
}

static void test_each_op(void **state)
{
    (void)state;
    uint64_t seed = first_seed();
    printf("seed %llu\n", (unsigned long long)seed);
    for (int kind = 0; kind < NN_KIND_COUNT; kind++)
        for (int i = 0, k = rounds(kind == NN_CONV2D ? 150 : 20); i < k; i++) {
            uint64_t s = seed + (uint64_t)i * 1000 + (uint64_t)kind, mine = s;
            struct net_made m;
            struct err_info err = ERR_INFO_INIT;
            int c = nets_int(&s, 0, 2) ? nets_int(&s, 1, 70) : 16 * nets_int(&s, 1, 6);
            if (nets_int(&s, 0, 3) == 0) c = nets_int(&s, 1, 4);
            int h = nets_int(&s, 1, 20), w = nets_int(&s, 1, 20);
            nets_start(&m, s, c, h, w);
            nets_output(&m, "o", random_op(&m, (enum nn_kind)kind, h, w, &s));
            /* A kernel that is larger than its input is not a net. */
            if (nn_graph_check(&m.g, true, &err) == ERR_OK)
                against_ref(nn_kind_name((enum nn_kind)kind), &m, mine, nets_int(&s, 1, 5), h, w);
            nets_release(&m);
        }
}

/* A plane of a whole picture: one chain of float sums over its 50,176 pixels was off by up to 1e-3.
 */
static void test_average_of_a_large_plane(void **state)
{
    (void)state;
    static const struct way REF = {"ref", NN_REF, NULL, NN_F32};
    enum { SIDE = 224, CHANNELS = 3 };
    const struct {
        int h, w;
    } sizes[] = {{SIDE, SIDE}, {4, SIDE * SIDE / 4}, {SIDE * SIDE / 4, 4}};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        struct net_made m;
        struct way all[WAYS_MAX];
        nets_start(&m, 1, CHANNELS, sizes[k].h, sizes[k].w);
        nets_output(&m, "mean", nets_op(&m, NN_GLOBAL_AVG_POOL, -1));
        float *in = inputs(&m.g, 1, sizes[k].h, sizes[k].w, &m.seed);
        for (int i = 0; i < CHANNELS * SIDE * SIDE; i++) in[i] = 0.7f; /* errors all go one way */
        struct nn_net *ref = net_of(&m.g, &REF);
        struct result want = run(ref, 1, sizes[k].h, sizes[k].w, 0, in);
        for (int i = 0, n = ways(all); i < n; i++) {
            struct nn_net *net = net_of(&m.g, &all[i]);
            struct result got = run(net, 1, sizes[k].h, sizes[k].w, 0, in);
            compare(all[i].name, 1, want.out[0], got.out[0], want.count[0]);
            release(&got);
            nn_net_free(net);
        }
        release(&want);
        nn_net_free(ref);
        free(in);
        nets_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_op),
        cmocka_unit_test(test_average_of_a_large_plane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
