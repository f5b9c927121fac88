/* What a machine can do at most, as a yardstick for `model bench`: the product kernel that the
 * layers run on, on matrices that stay in the second cache, and reading from the memory. */
#include "engine/nn/nn_internal.h"

#include <string.h>
#include <time.h>

enum {
    DEPTH = 256,   /* of the product; its matrices: 120 x 256 and 256 x 256 */
    PIXELS = 120,  /* simd.h's block */
    REPEATS = 100, /* of a chunk: about 2 ms */
    ROUNDS = 10,   /* the fastest counts */
    LINE_BYTES = 64,
};
static const size_t READ_BYTES = 256 * 1024 * 1024, READ_CHUNK = 4 * 1024 * 1024;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct products {
    struct nn__conv conv;
    nn__conv_fn *product;
    float *outs; /* [threads][PIXELS][DEPTH] */
};

static void product_chunk(void *arg, int chunk, int thread)
{
    const struct products *p = arg;
    struct nn__conv c = p->conv;
    (void)chunk;
    c.out = p->outs + (size_t)thread * PIXELS * DEPTH;
    for (int i = 0; i < REPEATS; i++) p->product(&c, 0, PIXELS, 0, DEPTH);
}

/* words: of a row, each a float or a pair of bf16. */
static double product_gflops(struct products *p, int words, struct pool *pool)
{
    const int chunks = 2 * pool_threads(pool);
    double best = 0;
    p->conv.pixel = p->conv.row = p->conv.image = (size_t)words;
    p->conv.run = words;
    for (int i = 0; i < ROUNDS; i++) {
        const double start = now();
        pool_run(pool, product_chunk, p, chunks);
        const double rate = 2e-9 * chunks * REPEATS * PIXELS * DEPTH * DEPTH / (now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

struct reading {
    const uint64_t *data;
    _Atomic uint64_t sum; /* so that nothing is left out */
};

static void read_chunk(void *arg, int chunk, int thread)
{
    struct reading *r = arg;
    const size_t words = READ_CHUNK / sizeof(uint64_t);
    const uint64_t *at = r->data + (size_t)chunk * words;
    uint64_t sum = 0;
    (void)thread;
    for (size_t i = 0; i < words; i += LINE_BYTES / sizeof *at) sum += at[i];
    r->sum += sum;
}

static double read_gb_s(struct reading *r, struct pool *pool)
{
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const double start = now();
        pool_run(pool, read_chunk, r, (int)(READ_BYTES / READ_CHUNK));
        const double rate = 1e-9 * (double)READ_BYTES / (now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

enum err nn__peak(struct nn_peak *out, struct pool *pool, struct err_info *err)
{
    const struct nn__simd *simd = nn__simd_pick();
    const size_t in = PIXELS * DEPTH, weights = DEPTH * DEPTH,
                 outs = (size_t)pool_threads(pool) * PIXELS * DEPTH;
    AUTO_FREE float *data = mem_aligned(in + weights + DEPTH + outs, sizeof *data);
    AUTO_FREE uint64_t *memory = mem_aligned(READ_BYTES, 1);
    if (!data || !memory)
        return err_set(err, ERR_NOMEM, "no memory to measure what the machine can do");
    memset(data, 0, (in + weights + DEPTH) * sizeof *data);
    memset(memory, 1, READ_BYTES); /* pages of its own */
    struct products p = {.conv = {.in = data,
                                  .ih = 1,
                                  .iw = PIXELS,
                                  .kh = 1,
                                  .kx = 1,
                                  .sh = 1,
                                  .sw = 1,
                                  .dilation = 1,
                                  .oh = 1,
                                  .ow = PIXELS,
                                  .oc = DEPTH,
                                  .w = data + in,
                                  .b = data + in + weights,
                                  .zeros = data},
                         .product = simd->conv,
                         .outs = data + in + weights + DEPTH};
    struct reading r = {.data = memory};
    *out = (struct nn_peak){.gflops = product_gflops(&p, DEPTH, pool),
                            .read_gb_s = read_gb_s(&r, pool)};
    if ((p.product = nn__simd_bf16(simd))) out->gflops_bf16 = product_gflops(&p, DEPTH / 2, pool);
    return ERR_OK;
}
