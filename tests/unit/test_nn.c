/* Every backend, and every instruction set of our own kernels that this CPU has, against the plain
 * loops: each op on random shapes, small random nets with residual sums (so that fusions happen),
 * MTCNN's and dlib's nets. Then what nn.h promises: answers that depend neither on the batch nor on
 * the threads, bit for bit.
 *
 * Tolerance: TOLERANCE of the largest value of the tensor (at least 1). Sums of K products of size
 * 1 err by about sqrt(K) 2^-24 of that; Winograd F(4x4) multiplies by factors up to 8 and 25 on the
 * way, which costs up to ten times more: 3e-6 was the largest seen in 4,000 seeds. A wrong index
 * gives 1e-1. NN_TEST_SEED picks the seed, NN_TEST_ROUNDS how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "engine/nn/nn_internal.h"
#include "tests/unit/nets.h"

static const double TOLERANCE = 1e-5;

enum { OUTS = 4, WAYS_MAX = 8 };

/* One way to run a graph. */
struct way {
    char name[32];
    enum nn_backend backend;
    const struct nn__simd *simd;
    enum nn_precision precision;
};

static int ways(struct way *out)
{
    int n = 0;
    const struct nn__simd *simd;
    out[n++] = (struct way){"blas", NN_BLAS, NULL, NN_F32};
    for (int i = 0; (simd = nn__simd_at(i)); i++) {
        out[n] = (struct way){"", NN_FAST, simd, NN_F32};
        snprintf(out[n++].name, sizeof out->name, "onednn/%s", simd->name);
    }
    return n;
}

static uint64_t first_seed(void)
{
    const char *s = getenv("NN_TEST_SEED");
    return s ? strtoull(s, NULL, 10) : 1;
}

static int rounds(int usual)
{
    const char *s = getenv("NN_TEST_ROUNDS");
    return s ? atoi(s) : usual;
}

static struct nn_net *net_of(const struct nn_graph *g, const struct way *w)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net = NULL;
    if (nn_net_new(&net, g, w->backend, w->precision, &err))
        fail_msg("%s: %s", w->name, err.message);
    if (w->simd) net->simd = w->simd;
    return net;
}

static float *room(size_t n)
{
    float *v = malloc((n ? n : 1) * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++) v[i] = NAN; /* what a kernel forgets to write is seen */
    return v;
}

struct result {
    int n;
    size_t count[OUTS];
    float *out[OUTS];
};

static void release(struct result *r)
{
    for (int i = 0; i < OUTS; i++) free(r->out[i]);
}

/* threads 0: a plan of its own, without an executor. */
static struct result run(const struct nn_net *net, int n, int h, int w, int threads,
                         const float *in)
{
    struct err_info err = ERR_INFO_INIT;
    const struct nn_graph *g = nn_net_graph(net);
    struct result r = {.n = g->n_outputs};
    struct nn_shape shapes[NN_MAX_OPS];
    if (nn_graph_shapes(g, h, w, shapes, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < r.n; i++) {
        struct nn_shape s = shapes[g->outputs[i].op];
        r.count[i] = (size_t)n * s.c * s.h * s.w;
        r.out[i] = room(r.count[i]);
    }
    if (threads) {
        struct nn_exec *x = NULL;
        if (nn_exec_new(&x, threads, 0, &err)) fail_msg("%s", err.message);
        if (nn_exec_run(x, net, n, h, w, in, r.out, &err)) fail_msg("%s", err.message);
        nn_exec_free(x);
    } else {
        struct nn_plan *p = NULL;
        if (nn_plan_new(&p, net, n, h, w, &err)) fail_msg("%s", err.message);
        nn_plan_forward(p, in, r.out);
        nn_plan_free(p);
    }
    return r;
}

static void compare(const char *what, uint64_t seed, const float *want, const float *got, size_t n)
{
    double worst = 0, largest = 1;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)want[i] - got[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d, at = i;
        largest = fmax(largest, fabs(want[i]));
    }
    if (worst > TOLERANCE * largest)
        fail_msg("%s, seed %llu: value %zu of %zu is %.9g, want %.9g (largest %g)", what,
                 (unsigned long long)seed, at, n, got[at], want[at], largest);
}

static float *inputs(const struct nn_graph *g, int n, int h, int w, uint64_t *seed)
{
    size_t count = (size_t)n * g->in_c * h * w;
    float *in = room(count);
    nets_fill(in, count, 1, seed);
    return in;
}

static void against_ref(const char *what, struct net_made *m, uint64_t seed, int n, int h, int w)
{
    static const struct way REF = {"ref", NN_REF, NULL, NN_F32};
    struct way all[WAYS_MAX];
    float *in = inputs(&m->g, n, h, w, &m->seed);
    struct nn_net *ref = net_of(&m->g, &REF);
    struct result want = run(ref, n, h, w, 0, in);
    for (int i = 0, k = ways(all); i < k; i++) {
        char name[512];
        struct nn_net *net = net_of(&m->g, &all[i]);
        struct result got = run(net, n, h, w, 0, in);
        snprintf(name, sizeof name, "%s on %s (%d x %dx%dx%d)", what, all[i].name, n, m->g.in_c, h,
                 w);
        for (int o = 0; o < want.n; o++)
            compare(name, seed, want.out[o], got.out[o], want.count[o]);
        release(&got);
        nn_net_free(net);
    }
    release(&want);
    nn_net_free(ref);
    free(in);
}

/* ---- Each op on random shapes ---- */

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

/* ---- Random nets ---- */

static int maybe_act(struct net_made *m, int x, int c, uint64_t *s)
{
    struct nn_op op;
    switch (nets_int(s, 0, 4)) {
    case 0:
        return nets_op(m, NN_RELU, x);
    case 1:
        return nets_prelu(m, x, c);
    case 2:
        return nets_op(m, NN_RELU6, x);
    case 3:
        nn_op_init(&op, NN_LEAKY_RELU, "");
        op.alpha = 0.2f;
        return nets_add(m, &op, x);
    default:
        return x;
    }
}

static void output_once(struct net_made *m, const char *what, int block, int op)
{
    char name[16];
    snprintf(name, sizeof name, "%s%d", what, block);
    if (m->g.n_outputs < OUTS - 1) nets_output(m, name, op);
}

/* Blocks of the kinds that are fused, cut short in every way: sums of padded branches, branches
 * read twice, outputs in the middle, ops nobody reads. */
static void random_net(struct net_made *m, uint64_t seed)
{
    uint64_t *s = &m->seed;
    int c = nets_int(&seed, 1, 20), side = nets_int(&seed, 6, 20);
    nets_start(m, seed, c, side, side);
    int x = -1;
    for (int i = 0, k = nets_int(s, 1, 5); i < k; i++) {
        int oc = nets_int(s, 1, 3) == 1 ? nets_int(s, 1, 80) : 16 * nets_int(s, 1, 5);
        int from = x, y;
        switch (nets_int(s, 0, 5)) {
        case 0: /* residual, same size */
            y = maybe_act(m, nets_conv(m, x, c, c, 3, 1, 1), c, s);
            y = nets_conv(m, y, c, c, nets_int(s, 0, 1) ? 3 : 1, 1, 0);
            if (m->g.ops[y].kernel[0] == 3)
                for (int b = 0; b < 4; b++) m->g.ops[y].pad[b] = 1;
            x = maybe_act(m, nets_int(s, 0, 1) ? nets_sum(m, y, x) : nets_sum(m, x, y), c, s);
            break;
        case 1: /* dlib's down block: a branch that lacks a row and a column, one that lacks
                   channels */
            if (side < 7) break;
            oc = c + nets_int(s, 0, 1) * nets_int(s, 1, 20);
            y = nets_conv(m, nets_op(m, NN_RELU, nets_conv(m, x, c, oc, 3, 2, 0)), oc, oc, 3, 1, 1);
            int half = side / 2, conv = (side - 3) / 2 + 1;
            if (half > conv) y = nets_pad(m, y, half - conv, half - conv, 0);
            int z = nets_pool(m, NN_AVG_POOL, x, 2, 2, false);
            if (oc > c) z = nets_pad(m, z, 0, 0, oc - c);
            x = maybe_act(m, nets_int(s, 0, 1) ? nets_sum(m, y, z) : nets_sum(m, z, y), oc, s);
            if (nets_int(s, 0, 3) == 0) output_once(m, "pad", i, z);
            c = oc, side = half;
            break;
        case 2: /* two convolutions added, one of them read twice */
            y = nets_conv(m, x, c, oc, 3, 1, 1);
            x = nets_sum(m, nets_conv(m, x, c, oc, 1, 1, 0), y);
            x = maybe_act(m, nets_int(s, 0, 1) ? nets_sum(m, x, y) : x, oc, s);
            c = oc;
            break;
        case 3:
            if (side < 6) break;
            x = nets_pool(m, nets_int(s, 0, 1) ? NN_MAX_POOL : NN_AVG_POOL, x, 3, 2, true);
            side = (side - 3 + 1) / 2 + 1;
            break;
        case 4: /* doubled by adding to itself; and a dead end */
            x = nets_sum(m, x, x);
            nets_op(m, NN_SIGMOID, nets_conv(m, x, c, 7, 1, 1, 0));
            break;
        default:
            x = maybe_act(m, nets_conv(m, x, c, oc, 3, 1, 1), oc, s);
            c = oc;
            break;
        }
        if (from >= 0 && nets_int(s, 0, 4) == 0) output_once(m, "mid", i, from);
    }
    if (nets_int(s, 0, 1))
        x = nets_op(m, NN_FLATTEN, x);
    else if (nets_int(s, 0, 1))
        x = nets_op(m, NN_GLOBAL_AVG_POOL, x), side = 1;
    x = nets_dense(m, x, c * side * side, nets_int(s, 1, 40), true);
    nets_output(m, "last", nets_op(m, NN_L2_NORMALIZE, x));
}

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

/* ---- The nets we ship ---- */

static const struct {
    const char *name;
    void (*make)(struct net_made *m, uint64_t seed);
    int n, h, w;
} NETS[] = {
    {"pnet", nets_pnet, 2, 61, 97},       {"pnet of 12", nets_pnet, 1, 12, 12},
    {"rnet", nets_rnet, 5, 24, 24},       {"onet", nets_onet, 3, 48, 48},
    {"resnet", nets_resnet, 1, 150, 150},
};

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

static void same_bits(const char *what, const struct result *a, const struct result *b)
{
    for (int o = 0; o < a->n; o++)
        for (size_t i = 0; i < a->count[o]; i++)
            if (memcmp(&a->out[o][i], &b->out[o][i], sizeof(float)))
                fail_msg("%s: output %d, value %zu is %.9g and %.9g", what, o, i, a->out[o][i],
                         b->out[o][i]);
}

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

/* ---- Executors ---- */

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
        cmocka_unit_test(test_each_op),
        cmocka_unit_test(test_random_nets),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_shipped_nets),
        cmocka_unit_test(test_invariance),
        cmocka_unit_test(test_some_outputs),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_lanes_share_a_net),
        cmocka_unit_test(test_plans_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
