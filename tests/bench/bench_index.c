/* The exact search beside what bounds it: CSV rows,d,data,queries,what,ms, and the ratios that
 * count. All of one line is measured in one run, in turns: OpenBLAS (sgemv for one query, sgemm for
 * more) over the same floats, and the bandwidth at which both cores read them. OpenBLAS only
 * multiplies: it has not picked the best yet. BENCH_THREADS (2). */
#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <time.h>

#include "engine/base/pool.h"
#include "engine/match/index_internal.h"
#include "tests/unit/index_model.h"

enum { QUERIES = 32, TURNS = 15, TOP = 10, PHOTOS = 4 };

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
    fprintf(stderr, "bench_index: %s\n", err->message);
    exit(1);
}

/* --- reading --- */

struct reading {
    const float *x;
    size_t n; /* floats of a part */
    _Atomic int sink;
};

/* Sums of whole cache lines, several at once: what a core can read, and nothing else. */
static void read_part(void *arg, int i, int thread)
{
    struct reading *r = arg;
    const uint64_t *p = (const uint64_t *)(const void *)(r->x + (size_t)i * r->n);
    uint64_t sum[32] = {0};
    (void)thread;
    for (size_t at = 0; at + 32 <= r->n / 2; at += 32)
        for (int j = 0; j < 32; j++) sum[j] += p[at + (size_t)j];
    for (int j = 1; j < 32; j++) sum[0] += sum[j];
    r->sink = (int)sum[0];
}

/* --- data --- */

static float normal(uint64_t *seed)
{
    /* The sum of four uniform numbers: quick, and round enough. */
    uint64_t z = model_random(seed);
    float sum = 0;
    for (int i = 0; i < 4; i++, z >>= 16) sum += (float)(z & 0xffff) * (1.0f / 65536) - 0.5f;
    return sum * 1.732f;
}

/* "random": anywhere. "faces": as dlib's network makes them; all in one cone, strangers at about
 * 0.85 +- 0.03, photographs of one person at 0.95. */
static void fill(float *x, size_t n, int d, bool faces, uint64_t *seed)
{
    float *all = calloc((size_t)d * 2, sizeof *all), *own = all + d;
    const float wide = 1 / sqrtf((float)d);
    uint64_t some = 3;
    for (int j = 0; j < d; j++) all[j] = normal(&some) * wide;
    for (size_t i = 0; i < n; i++) {
        for (int j = 0; faces && i % PHOTOS == 0 && j < d; j++)
            own[j] = all[j] + 0.36f * wide * normal(seed);
        for (int j = 0; j < d; j++)
            x[i * (size_t)d + (size_t)j] =
                faces ? own[j] + 0.24f * wide * normal(seed) : normal(seed) * wide;
        match_normalize(x + i * (size_t)d, d);
    }
    free(all);
}

static struct match_index *load(const float *x, size_t n, int d, double *seconds)
{
    enum { STEP = 65536 };
    struct err_info err = ERR_INFO_INIT;
    struct match_change *c = calloc(STEP, sizeof *c);
    struct match_index *index;
    must(match_index_new(&index, d, false, &err), &err);
    *seconds = now();
    for (size_t i = 0; i < n; i += STEP) {
        const size_t some = n - i < STEP ? n - i : STEP;
        for (size_t j = 0; j < some; j++)
            c[j] = (struct match_change){MATCH_PUT, (int64_t)(i + j),
                                         (int64_t)((i + j) / PHOTOS) + 1, x + (i + j) * (size_t)d};
        must(match_index_apply(index, c, some, &err), &err);
    }
    *seconds = now() - *seconds;
    free(c);
    return index;
}

/* --- the comparison --- */

struct bed {
    const float *x, *q;
    float *products;
    size_t n;
    int d;
    struct match_index *index;
    struct cores cores;
    const char *data;
};

enum what { INDEX, BLAS, READ, WHATS };

static double once(const struct bed *b, enum what what, int queries, struct match_cost *cost)
{
    static struct match_candidate out[QUERIES * TOP];
    int counts[QUERIES];
    struct err_info err = ERR_INFO_INIT;
    const double start = now();
    if (what == INDEX) {
        const struct match_query q = {
            .vectors = b->q, .n = (size_t)queries, .top = TOP, .rule = MATCH_MAX};
        must(match_index_search(b->index, &q, out, counts, cost, &b->cores, &err), &err);
    } else if (what == BLAS && queries == 1) {
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)b->n, b->d, 1, b->x, b->d, b->q, 1, 0,
                    b->products, 1);
    } else if (what == BLAS) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)b->n, queries, b->d, 1, b->x,
                    b->d, b->q, b->d, 0, b->products, queries);
    } else {
        enum { PARTS = 64 };
        struct reading r = {b->x, b->n * (size_t)b->d / PARTS, 0};
        cores_run(&b->cores, read_part, &r, PARTS);
    }
    return now() - start;
}

static void compare(const struct bed *b, int queries)
{
    static const char *const names[] = {"index", "openblas", "read"};
    double t[WHATS][TURNS], median[WHATS];
    struct match_cost cost;
    for (int i = 0; i < TURNS; i++)
        for (int w = 0; w < WHATS; w++) t[w][i] = once(b, (enum what)w, queries, &cost);
    for (int w = 0; w < WHATS; w++) {
        qsort(t[w], TURNS, sizeof t[w][0], by_size);
        median[w] = t[w][TURNS / 2];
        printf("%zu,%d,%s,%d,%s,%.3f\n", b->n, b->d, b->data, queries, names[w], 1e3 * median[w]);
    }
    const double gb = 1e-9 * (double)b->n * b->d * sizeof(float);
    printf(
        "# %zux%d %s, %d quer%s: %.2f times as fast as OpenBLAS; the floats at %.1f GB/s, %.0f %% "
        "of the %.1f GB/s that can be read; %.0f rows a query in double\n",
        b->n, b->d, b->data, queries, queries == 1 ? "y" : "ies", median[BLAS] / median[INDEX],
        gb / median[INDEX], 100 * median[READ] / median[INDEX], gb / median[READ],
        (double)cost.exact / queries);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct {
        size_t n;
        int d;
    } sizes[] = {{100000, 128}, {1000000, 128}, {100000, 4096}};
    const int threads = getenv("BENCH_THREADS") ? atoi(getenv("BENCH_THREADS")) : 2;
    const bool quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    struct pool *pool;
    struct err_info err = ERR_INFO_INIT;
    uint64_t seed = 7;
    must(pool_new(&pool, threads, &err), &err);
    omp_set_num_threads(threads);
    printf("# OpenBLAS: %s; index: %s; %d threads\nrows,d,data,queries,what,ms\n",
           openblas_get_corename(), match__simd_pick()->name, threads);
    for (size_t i = 0; i < ARRAY_LEN(sizes) - (quick ? 1 : 0); i++)
        for (int faces = 0; faces < 2; faces++) {
            struct bed b = {.n = sizes[i].n, .d = sizes[i].d, .cores = pool_cores(pool)};
            const size_t d = (size_t)b.d;
            float *x = mem_aligned((b.n + QUERIES * PHOTOS) * d, sizeof *x);
            float *q = mem_aligned(QUERIES * d, sizeof *q);
            b.products = mem_aligned(b.n * QUERIES, sizeof *b.products);
            if (!x || !q || !b.products) exit(1);
            fill(x, b.n + QUERIES * PHOTOS, b.d, faces, &seed);
            /* Half of the queries are someone enrolled, half are strangers. */
            for (size_t j = 0; j < QUERIES; j++) {
                size_t row = j % 2 ? b.n + j * PHOTOS : j * (b.n / QUERIES) / PHOTOS * PHOTOS;
                memcpy(q + j * d, x + row * d, d * sizeof *q);
                for (size_t k = 0; k < d; k++)
                    q[j * d + k] += 0.2f / sqrtf((float)d) * normal(&seed);
                match_normalize(q + j * d, b.d);
            }
            double seconds;
            b.x = x, b.q = q, b.data = faces ? "faces" : "random";
            b.index = load(x, b.n, b.d, &seconds);
            printf("%zu,%d,%s,0,load,%.1f\n", b.n, b.d, b.data, 1e3 * seconds);
            compare(&b, 1);
            compare(&b, QUERIES);
            match_index_free(b.index);
            free(x), free(q), free(b.products);
        }
    pool_free(pool);
    return 0;
}
