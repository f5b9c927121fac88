/* The exact search beside what bounds it: CSV rows,d,data,queries,what,ms, and the ratios that
 * count. All of one line is measured in one run, in turns: OpenBLAS (sgemv for one query, sgemm for
 * more) over the same floats, and the bandwidth at which both cores read them. OpenBLAS only
 * multiplies: it has not picked the best yet. BENCH_THREADS (2). */
#include <cblas.h>
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

static void check(enum err rc, const struct err_info *err)
{
    if (rc) {
        fprintf(stderr, "bench_index: %s\n", err->message);
        exit(1);
    }
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

/* RANDOM: anywhere. FACES: as dlib's network makes them, all in one cone, strangers at about 0.85
 * +- 0.03, photographs of one person at 0.95. CLUSTERS: hard for the shadow, an eighth of the rows
 * is nearer to a query than it can tell apart. */
enum data { RANDOM, FACES, CLUSTERS, DATA };
static const char *const data_names[] = {"random", "faces", "clusters"};

static void fill(float *x, size_t n, int d, enum data data, uint64_t *seed)
{
    enum { MIDDLES = 8 };
    static const float apart[DATA] = {0, 0.36f, 0.1f}, noise[DATA] = {1, 0.24f, 0.02f};
    float *middle = calloc((size_t)d * (MIDDLES + 1), sizeof *middle), *own = middle + d * MIDDLES;
    const float wide = 1 / sqrtf((float)d);
    if (!middle) exit(1);
    for (int j = 0; data != RANDOM && j < d * MIDDLES; j++) middle[j] = normal(seed) * wide;
    for (size_t i = 0; i < n; i++) {
        const size_t person = i / PHOTOS;
        const float *from = middle + (data == CLUSTERS ? person % MIDDLES : 0) * (size_t)d;
        float *row = x + i * (size_t)d;
        for (int j = 0; i % PHOTOS == 0 && j < d; j++)
            own[j] = from[j] + apart[data] * wide * normal(seed);
        for (int j = 0; j < d; j++) row[j] = own[j] + noise[data] * wide * normal(seed);
        match_normalize(row, d);
    }
    free(middle);
}

static struct match_index *load(const float *x, size_t n, int d, double *seconds)
{
    enum { STEP = 65536 };
    struct err_info err = ERR_INFO_INIT;
    struct match_change *c = calloc(STEP, sizeof *c);
    struct match_index *index;
    check(match_index_new(&index, d, false, &err), &err);
    *seconds = now();
    for (size_t i = 0; i < n; i += STEP) {
        const size_t some = n - i < STEP ? n - i : STEP;
        for (size_t j = 0; j < some; j++)
            c[j] = (struct match_change){MATCH_PUT, (int64_t)(i + j),
                                         (int64_t)((i + j) / PHOTOS) + 1, x + (i + j) * (size_t)d};
        check(match_index_apply(index, c, some, &err), &err);
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
        check(match_index_search(b->index, &q, out, counts, cost, &b->cores, &err), &err);
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
    double best[WHATS] = {1e9, 1e9, 1e9};
    struct match_cost cost;
    for (int i = 0; i < TURNS; i++)
        for (int w = 0; w < WHATS; w++)
            best[w] = fmin(best[w], once(b, (enum what)w, queries, &cost));
    for (int w = 0; w < WHATS; w++)
        printf("%zu,%d,%s,%d,%s,%.3f\n", b->n, b->d, b->data, queries, names[w], 1e3 * best[w]);
    const double gb = 1e-9 * (double)b->n * b->d * sizeof(float);
    printf(
        "# %zux%d %s, %d quer%s: %.2f times as fast as OpenBLAS; the floats at %.1f GB/s, %.0f %% "
        "of the %.1f GB/s that can be read; %.0f rows a query in double\n",
        b->n, b->d, b->data, queries, queries == 1 ? "y" : "ies", best[BLAS] / best[INDEX],
        gb / best[INDEX], 100 * best[READ] / best[INDEX], gb / best[READ],
        (double)cost.rescored / queries);
    fflush(stdout);
}

/* One row put, moved, removed, each a change of its own: what a server does for a single request.
 */
static void change_one(const struct bed *b)
{
    static const char *const names[] = {"put one", "move one", "remove one"};
    struct err_info err = ERR_INFO_INIT;
    for (int kind = 0; kind < 3; kind++) {
        double best = 1e9;
        for (int i = 0; i < TURNS; i++) {
            const struct match_change c = {(enum match_change_kind)kind, -1 - i, 1 + i, b->q};
            const double start = now();
            check(match_index_apply(b->index, &c, 1, &err), &err);
            best = fmin(best, now() - start);
        }
        printf("%zu,%d,%s,0,%s,%.3f\n", b->n, b->d, b->data, names[kind], 1e3 * best);
    }
}

static void run(size_t n, int dims, enum data data, struct pool *pool)
{
    struct bed b = {.n = n, .d = dims, .cores = pool_cores(pool), .data = data_names[data]};
    const size_t d = (size_t)dims;
    const size_t more = QUERIES * PHOTOS; /* strangers */
    float *x = mem_aligned((n + more) * d, sizeof *x), *q = mem_aligned(QUERIES * d, sizeof *q);
    uint64_t seed = 7;
    double seconds;
    b.products = mem_aligned(n * QUERIES, sizeof *b.products);
    if (!x || !q || !b.products) exit(1);
    fill(x, n + more, dims, data, &seed);
    /* Half of the queries are another photograph of someone enrolled, half are strangers. */
    for (size_t i = 0; i < QUERIES; i++) {
        const size_t row = i % 2 ? n + i * PHOTOS : i * (n / QUERIES) / PHOTOS * PHOTOS;
        for (size_t j = 0; j < d; j++)
            q[i * d + j] = x[row * d + j] + 0.2f / sqrtf((float)dims) * normal(&seed);
        match_normalize(q + i * d, dims);
    }
    b.x = x, b.q = q;
    b.index = load(x, n, dims, &seconds);
    printf("%zu,%d,%s,0,load,%.1f\n", n, dims, b.data, 1e3 * seconds);
    compare(&b, 1);
    compare(&b, QUERIES);
    change_one(&b);
    match_index_free(b.index);
    free(x), free(q), free(b.products);
}

int main(void)
{
    static const struct {
        size_t n;
        int d;
        enum data hardest;
    } sizes[] = {{100000, 128, CLUSTERS}, {1000000, 128, CLUSTERS}, {100000, 4096, FACES}};
    const int threads = getenv("BENCH_THREADS") ? atoi(getenv("BENCH_THREADS")) : 2;
    struct pool *pool;
    struct err_info err = ERR_INFO_INIT;
    check(pool_new(&pool, threads, &err), &err);
    openblas_set_num_threads(threads);
    printf("# OpenBLAS: %s; index: %s; %d threads\nrows,d,data,queries,what,ms\n",
           openblas_get_corename(), match__simd_pick()->name, threads);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int data = 0; data <= (int)sizes[i].hardest; data++)
            run(sizes[i].n, sizes[i].d, (enum data)data, pool);
    pool_free(pool);
    return 0;
}
