/* The two products that take all the time, on rows of pixels whose channels lie together. Included
 * by ops_impl.h. Doubles and channels that fill no vector take the plain loops; floats otherwise
 * keep a block of outputs in registers. Each output is one chain of multiply-adds in the order of
 * the weights (or of the pixels). */

/* out[p][o] = b[o] + sum over taps t and r < run of in[p pixel + t row + r] w[(t run + r) oc + o]
 */
struct rows_product {
    const REAL *in;
    size_t pixel, row;
    int taps, run;
    const REAL *w, *b;
    REAL *out;
    int pixels, oc;
};

static void plain_rows(const struct rows_product *k, int first)
{
    for (int p = 0; p < k->pixels; p++) {
        REAL *out = k->out + (size_t)p * (size_t)k->oc;
        for (int o = first; o < k->oc; o++) out[o] = k->b ? k->b[o] : 0;
        for (int t = 0; t < k->taps; t++) {
            const REAL *in = k->in + (size_t)p * k->pixel + (size_t)t * k->row,
                       *w = k->w + (size_t)t * (size_t)k->run * (size_t)k->oc;
            for (int r = 0; r < k->run; r++, w += k->oc)
                for (int o = first; o < k->oc; o++) out[o] += in[r] * w[o];
        }
    }
}

/* dw[(t run + r) oc + o] += sum over y, x of in[y line + x pixel + t row + r] dy[(y ow + x) oc + o]
 */
struct weights_product {
    const REAL *in, *dy;
    size_t line, pixel, row;
    int taps, run, oh, ow, oc;
    REAL *dw;
};

static void plain_weights(const struct weights_product *k, int first)
{
    for (int y = 0; y < k->oh; y++)
        for (int x = 0; x < k->ow; x++) {
            const REAL *dy = k->dy + ((size_t)y * (size_t)k->ow + (size_t)x) * (size_t)k->oc;
            for (int t = 0; t < k->taps; t++) {
                const REAL *in =
                    k->in + (size_t)y * k->line + (size_t)x * k->pixel + (size_t)t * k->row;
                REAL *dw = k->dw + (size_t)t * (size_t)k->run * (size_t)k->oc;
                for (int r = 0; r < k->run; r++, dw += k->oc)
                    for (int o = first; o < k->oc; o++) dw[o] += in[r] * dy[o];
            }
        }
}

#if !defined(OPS_VECTORS)

static void multiply_rows(const struct rows_product *k)
{
    plain_rows(k, 0);
}

static void multiply_weights(const struct weights_product *k)
{
    plain_weights(k, 0);
}

#else

/* Registers: mr * nv sums, nv weights, one input. */
#if defined(SIMD_AVX512)
enum { MR_MAX = 14, NV = 2 };
#define BLOCKS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14)
#else
enum { MR_MAX = 6, NV = 2 };
#define BLOCKS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#endif

INLINE void row_block(const int mr, const int nv, const struct rows_product *k, int p, int o)
{
    vf sum[MR_MAX][NV];
    const float *in = k->in + (size_t)p * k->pixel, *w = k->w + o;
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] =
        k->b ? v_load(k->b + o + j * VL) : v_set(0);
    for (int t = 0; t < k->taps; t++, in += k->row)
        for (int r = 0; r < k->run; r++, w += k->oc) {
            vf b[NV];
            UNROLL for (int j = 0; j < nv; j++) b[j] = v_load(w + j * VL);
            UNROLL for (int i = 0; i < mr; i++)
            {
                const vf x = v_set(in[(size_t)i * k->pixel + (size_t)r]);
                UNROLL for (int j = 0; j < nv; j++) sum[i][j] = v_fma(x, b[j], sum[i][j]);
            }
        }
    float *out = k->out + (size_t)p * (size_t)k->oc + o;
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++)
        v_store(out + (size_t)i * (size_t)k->oc + j * VL, sum[i][j]);
}

INLINE void weight_block(const int mr, const int nv, const struct weights_product *k, int t, int r,
                         int o)
{
    vf sum[MR_MAX][NV];
    const float *dy = k->dy + o, *line = k->in + (size_t)t * k->row + r;
    float *dw = k->dw + ((size_t)t * (size_t)k->run + (size_t)r) * (size_t)k->oc + o;
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] =
        v_load(dw + (size_t)i * (size_t)k->oc + j * VL);
    for (int y = 0; y < k->oh; y++, line += k->line) {
        const float *in = line;
        for (int x = 0; x < k->ow; x++, in += k->pixel, dy += k->oc) {
            vf b[NV];
            UNROLL for (int j = 0; j < nv; j++) b[j] = v_load(dy + j * VL);
            UNROLL for (int i = 0; i < mr; i++)
            {
                const vf a = v_set(in[i]);
                UNROLL for (int j = 0; j < nv; j++) sum[i][j] = v_fma(a, b[j], sum[i][j]);
            }
        }
    }
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++)
        v_store(dw + (size_t)i * (size_t)k->oc + j * VL, sum[i][j]);
}

/* Each size of block as a function of its own: the compiler keeps its sums in registers. */
typedef void rows_fn(const struct rows_product *k, int p, int o);
typedef void weights_fn(const struct weights_product *k, int t, int r, int o);

#define FUNCTIONS(mr)                                                                              \
    static void rows_##mr##_1(const struct rows_product *k, int p, int o)                          \
    {                                                                                              \
        row_block(mr, 1, k, p, o);                                                                 \
    }                                                                                              \
    static void rows_##mr##_2(const struct rows_product *k, int p, int o)                          \
    {                                                                                              \
        row_block(mr, 2, k, p, o);                                                                 \
    }                                                                                              \
    static void weights_##mr##_1(const struct weights_product *k, int t, int r, int o)             \
    {                                                                                              \
        weight_block(mr, 1, k, t, r, o);                                                           \
    }                                                                                              \
    static void weights_##mr##_2(const struct weights_product *k, int t, int r, int o)             \
    {                                                                                              \
        weight_block(mr, 2, k, t, r, o);                                                           \
    }
BLOCKS(FUNCTIONS)

#define ROW(mr)    {rows_##mr##_1, rows_##mr##_2},
#define WEIGHT(mr) {weights_##mr##_1, weights_##mr##_2},
static rows_fn *const ROWS[MR_MAX][NV] = {BLOCKS(ROW)};
static weights_fn *const WEIGHTS[MR_MAX][NV] = {BLOCKS(WEIGHT)};

/* The next block of `left`: as many blocks as there must be, all as large as each other. */
static int block_of(int left)
{
    const int blocks = (left + MR_MAX - 1) / MR_MAX;
    return (left + blocks - 1) / blocks;
}

static void multiply_rows(const struct rows_product *k)
{
    const int whole = k->oc / VL * VL;
    for (int o = 0, nv; o < whole; o += nv * VL) {
        nv = whole - o >= NV * VL ? NV : 1;
        for (int p = 0, mr; p < k->pixels; p += mr) {
            mr = block_of(k->pixels - p);
            ROWS[mr - 1][nv - 1](k, p, o);
        }
    }
    if (whole < k->oc) plain_rows(k, whole);
}

static void multiply_weights(const struct weights_product *k)
{
    const int whole = k->oc / VL * VL;
    for (int o = 0, nv; o < whole; o += nv * VL) {
        nv = whole - o >= NV * VL ? NV : 1;
        for (int t = 0; t < k->taps; t++)
            for (int r = 0, mr; r < k->run; r += mr) {
                mr = block_of(k->run - r);
                WEIGHTS[mr - 1][nv - 1](k, t, r, o);
            }
    }
    if (whole < k->oc) plain_weights(k, whole);
}

#endif
