/* The nets alone, with random weights: CSV name,n,p50_us,p99_us (a row of the batch), then the
 * ratios that matter. The yardstick of one core is measured here too: OpenBLAS sgemm (and which
 * kernel it took: OPENBLAS_CORETYPE=SKYLAKEX or COOPERLAKE helps where it says Haswell on a newer
 * CPU). BENCH_THREADS sets "all threads" (2). */
#include <cblas.h>
#include <omp.h>
#include <time.h>

#include "engine/nn/nn_internal.h"
#include "tests/unit/nets.h"

enum { REPEATS_MAX = 200, ROWS = 16, GEMM_SIDE = 1024 };
static const double SECONDS_EACH = 0.4;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void must(enum err rc, const struct err_info *err)
{
    if (!rc) return;
    fprintf(stderr, "bench_nn: %s\n", err->message);
    exit(1);
}

static double gemm_gmacs(void)
{
    size_t n = (size_t)GEMM_SIDE * GEMM_SIDE;
    float *a = mem_aligned(n, sizeof *a), *b = mem_aligned(n, sizeof *b), *c = mem_aligned(n, 4);
    if (!a || !b || !c) exit(1);
    uint64_t seed = 1;
    nets_fill(a, n, 1, &seed);
    nets_fill(b, n, 1, &seed);
    double best = 1e9;
    omp_set_num_threads(1);
    for (int i = 0; i < 12; i++) {
        double t = now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, GEMM_SIDE, GEMM_SIDE, GEMM_SIDE, 1,
                    a, GEMM_SIDE, b, GEMM_SIDE, 0, c, GEMM_SIDE);
        t = now() - t;
        best = t < best ? t : best;
    }
    free(a), free(b), free(c);
    return 1e-9 * GEMM_SIDE * GEMM_SIDE * GEMM_SIDE / best;
}

struct size {
    int h, w;
};

/* One call runs every size once, n rows each. Returns the median of a call, in seconds. */
static double bench(const char *name, const struct nn_net *net, int threads, int n,
                    const struct size *sizes, int n_sizes)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_exec *x = NULL;
    must(nn_exec_new(&x, threads, 256, &err), &err);
    const struct nn_graph *g = nn_net_graph(net);
    size_t largest = 0, room = 0;
    for (int i = 0; i < n_sizes; i++) {
        size_t e = (size_t)n * g->in_c * sizes[i].h * sizes[i].w;
        largest = e > largest ? e : largest;
    }
    room = largest * 2 + 4096; /* no output of these nets is larger */
    float *in = mem_aligned(largest, sizeof *in), *outs[NN_MAX_OUTPUTS];
    if (!in) exit(1);
    uint64_t seed = 7;
    nets_fill(in, largest, 1, &seed);
    for (int i = 0; i < g->n_outputs; i++)
        if (!(outs[i] = mem_aligned(room, sizeof **outs))) exit(1);
    double t[REPEATS_MAX], start = 0;
    int done = 0;
    for (int warm = -2; done < REPEATS_MAX && (done < 5 || now() - start < SECONDS_EACH); warm++) {
        double a = now();
        for (int i = 0; i < n_sizes; i++)
            must(nn_exec_run(x, net, n, sizes[i].h, sizes[i].w, in, outs, &err), &err);
        if (warm < 0)
            start = now();
        else
            t[done++] = now() - a;
    }
    qsort(t, (size_t)done, sizeof *t, by_size);
    double p50 = t[done / 2], p99 = t[done * 99 / 100];
    printf("%s/%dt,%d,%.1f,%.1f\n", name, threads, n, p50 / n * 1e6, p99 / n * 1e6);
    for (int i = 0; i < g->n_outputs; i++) free(outs[i]);
    free(in);
    nn_exec_free(x);
    return p50;
}

static double macs(const struct nn_net *net, int n, const struct size *sizes, int n_sizes)
{
    double sum = 0;
    for (int i = 0; i < n_sizes; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct nn_plan *p = NULL;
        struct nn_layer_info info[128];
        must(nn_plan_new(&p, net, 1, sizes[i].h, sizes[i].w, &err), &err);
        for (int k = 0, m = nn_plan_layers(p, info, 128); k < m; k++) sum += n * info[k].macs;
        nn_plan_free(p);
    }
    return sum;
}

/* Largest difference to the plain loops, in units of the largest output. */
static double error_of(const struct nn_net *net, const struct nn_net *ref, int h, int w)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_plan *p = NULL, *q = NULL;
    must(nn_plan_new(&p, net, 1, h, w, &err), &err);
    must(nn_plan_new(&q, ref, 1, h, w, &err), &err);
    struct nn_shape s = nn_plan_output_shape(p, 0);
    size_t count = (size_t)s.c * s.h * s.w, in_count = (size_t)3 * h * w;
    float *in = mem_aligned(in_count, 4), *a = mem_aligned(count, 4), *b = mem_aligned(count, 4);
    if (!in || !a || !b) exit(1);
    uint64_t seed = 9;
    nets_fill(in, in_count, 1, &seed);
    float *oa[NN_MAX_OUTPUTS] = {a}, *ob[NN_MAX_OUTPUTS] = {b};
    nn_plan_forward(p, in, oa);
    nn_plan_forward(q, in, ob);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)a[i] - b[i]));
        largest = fmax(largest, fabs((double)b[i]));
    }
    nn_plan_free(p), nn_plan_free(q);
    free(in), free(a), free(b);
    return worst / largest;
}

static struct nn_net *net_of(const struct net_made *m, enum nn_backend b, enum nn_precision p,
                             const struct nn__simd *simd)
{
    struct err_info err = ERR_INFO_INIT;
    struct nn_net *net = NULL;
    must(nn_net_new(&net, &m->g, b, p, &err), &err);
    if (simd) net->simd = simd;
    return net;
}

static void bench_net(const char *name, struct net_made *m, const struct size *sizes, int n_sizes,
                      const int *batches, int n_batches, int threads, double peak)
{
    char label[64];
    const struct nn__simd *simd;
    struct nn_net *ref = net_of(m, NN_REF, NN_F32, NULL);
    struct nn_net *blas = net_of(m, NN_BLAS, NN_F32, NULL);
    int n = batches[n_batches - 1];
    snprintf(label, sizeof label, "%s/blas", name);
    double by_blas = bench(label, blas, 1, n, sizes, n_sizes), first = 0;
    for (int i = 0; (simd = nn__simd_at(i)); i++) {
        struct nn_net *net = net_of(m, NN_FAST, NN_F32, simd);
        double one = 0;
        snprintf(label, sizeof label, "%s/%s", name, simd->name);
        for (int b = 0; b < n_batches; b++) {
            one = bench(label, net, 1, batches[b], sizes, n_sizes);
            if (i || threads == 1) continue;
            double all = bench(label, net, threads, batches[b], sizes, n_sizes);
            printf("# %s n %d: %d threads are %.2f times as fast as one\n", label, batches[b],
                   threads, one / all);
        }
        double rate = 1e-9 * macs(net, n, sizes, n_sizes) / one;
        printf("# %s n %d: %.1f GFLOP/s, %.2f of sgemm, %.2f times blas; error %.1e\n", label, n,
               2 * rate, rate / peak, by_blas / one, error_of(net, ref, sizes[0].h, sizes[0].w));
        if (!i) first = one;
        nn_net_free(net);
    }
    struct nn_net *bf16 = net_of(m, NN_FAST, NN_BF16, NULL);
    if (nn_net_precision(bf16) == NN_BF16) {
        snprintf(label, sizeof label, "%s/bf16", name);
        double t = bench(label, bf16, 1, n, sizes, n_sizes);
        if (threads > 1) bench(label, bf16, threads, n, sizes, n_sizes);
        omp_set_num_threads(1);
        printf("# %s n %d: %.2f times float32; error %.1e\n", label, n, first / t,
               error_of(bf16, ref, sizes[0].h, sizes[0].w));
    }
    nn_net_free(bf16);
    nn_net_free(blas);
    nn_net_free(ref);
}

int main(void)
{
    static const int BATCHES[] = {1, 2, ROWS}, ONE[] = {1};
    static const struct size CHIP = {150, 150}, R = {24, 24}, O = {48, 48};
    /* The pyramid of a 250x250 picture (smallest face 20), and one of mixed sizes. */
    static const struct size LEVELS[] = {{151, 151}, {107, 107}, {76, 76}, {54, 54},
                                         {38, 38},   {27, 27},   {19, 19}, {14, 14}};
    const char *text = getenv("BENCH_THREADS");
    int threads = text ? atoi(text) : 2;
    struct size mixed[24];
    uint64_t seed = 3;
    for (size_t i = 0; i < ARRAY_LEN(mixed); i++)
        mixed[i] = (struct size){nets_int(&seed, 14, 240), nets_int(&seed, 14, 240)};
    printf("name,n,p50_us,p99_us\n");
    double peak = gemm_gmacs();
    printf("# OpenBLAS %s (parallel %d), sgemm %d^3, one thread: %.1f GFLOP/s\n",
           openblas_get_corename(), openblas_get_parallel(), (int)GEMM_SIDE, 2 * peak);
    struct net_made m;
    nets_resnet(&m, 1);
    bench_net("resnet", &m, &CHIP, 1, BATCHES, 3, threads, peak);
    nets_release(&m);
    nets_rnet(&m, 1);
    bench_net("rnet", &m, &R, 1, BATCHES, 3, threads, peak);
    nets_release(&m);
    nets_onet(&m, 1);
    bench_net("onet", &m, &O, 1, BATCHES, 3, threads, peak);
    nets_release(&m);
    nets_pnet(&m, 1);
    bench_net("pnet-250", &m, LEVELS, ARRAY_LEN(LEVELS), ONE, 1, threads, peak);
    bench_net("pnet-mixed", &m, mixed, ARRAY_LEN(mixed), ONE, 1, threads, peak);
    nets_release(&m);
    return 0;
}
