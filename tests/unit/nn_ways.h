/* What the tests of engine/nn share: ways to run a graph (every backend, and every instruction set
 * of our own kernels that this CPU has), and how their answers are compared. Include after
 * cmocka.h.
 *
 * Tolerance: TOLERANCE of the largest value of the tensor (at least 1). Sums of K products of size
 * 1 err by about sqrt(K) 2^-24 of that; Winograd F(4x4) multiplies by factors up to 8 and 25 on the
 * way, which costs up to ten times more: 3e-6 was the largest seen in 4,000 seeds. A wrong index
 * gives 1e-1. NN_TEST_SEED picks the seed, NN_TEST_ROUNDS how often. */
#ifndef VISAVIS_TESTS_UNIT_NN_WAYS_H
#define VISAVIS_TESTS_UNIT_NN_WAYS_H

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

static inline int ways(struct way *out)
{
    int n = 0;
    const struct nn__simd *simd;
    out[n++] = (struct way){"blas", NN_BLAS, NULL, NN_F32};
    for (int i = 0; (simd = nn__simd_at(i)); i++) {
        out[n] = (struct way){"", NN_FAST, simd, NN_F32};
        snprintf(out[n++].name, sizeof out->name, "fast/%s", simd->name);
    }
    return n;
}

static inline uint64_t first_seed(void)
{
    const char *s = getenv("NN_TEST_SEED");
    return s ? strtoull(s, NULL, 10) : 1;
}

static inline int rounds(int usual)
{
    const char *s = getenv("NN_TEST_ROUNDS");
    return s ? atoi(s) : usual;
}

static inline struct nn_net *net_of(const struct nn_graph *g, const struct way *w)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net = NULL;
    if (nn_net_new(&net, g, w->backend, w->precision, &err))
        fail_msg("%s: %s", w->name, err.message);
    if (w->simd) net->simd = w->simd;
    return net;
}

static inline float *room(size_t n)
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

static inline void release(struct result *r)
{
    for (int i = 0; i < OUTS; i++) free(r->out[i]);
}

/* threads 0: a plan of its own, without an executor. */
static inline struct result run(const struct nn_net *net, int n, int h, int w, int threads,
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

static inline void compare(const char *what, uint64_t seed, const float *want, const float *got,
                           size_t n)
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

static inline float *inputs(const struct nn_graph *g, int n, int h, int w, uint64_t *seed)
{
    size_t count = (size_t)n * g->in_c * h * w;
    float *in = room(count);
    nets_fill(in, count, 1, seed);
    return in;
}

static inline void against_ref(const char *what, struct net_made *m, uint64_t seed, int n, int h,
                               int w)
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

static inline void same_bits(const char *what, const struct result *a, const struct result *b)
{
    for (int o = 0; o < a->n; o++)
        for (size_t i = 0; i < a->count[o]; i++)
            if (memcmp(&a->out[o][i], &b->out[o][i], sizeof(float)))
                fail_msg("%s: output %d, value %zu is %.9g and %.9g", what, o, i, a->out[o][i],
                         b->out[o][i]);
}

#endif
