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

/* Registers: mr * nv sums, nv weights, one input. 7, 14 and 28 pixels are what glyphs' rows have.
 */
#if defined(SIMD_AVX512)
enum { MR_MAX = 14, NV = 2, MW_MAX = 12 };
#define ROW_BLOCKS(F)    F(14) F(7) F(4) F(2) F(1)
#define WEIGHT_BLOCKS(F) F(12) F(6) F(3) F(2) F(1)
#else
enum { MR_MAX = 6, NV = 2, MW_MAX = 6 };
#define ROW_BLOCKS(F)    F(6) F(4) F(2) F(1)
#define WEIGHT_BLOCKS(F) F(6) F(3) F(2) F(1)
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
    vf sum[MW_MAX][NV];
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
#define ROW_FUNCTIONS(mr)                                                                          \
    static void rows_##mr##_1(const struct rows_product *k, int p, int o)                          \
    {                                                                                              \
        row_block(mr, 1, k, p, o);                                                                 \
    }                                                                                              \
    static void rows_##mr##_2(const struct rows_product *k, int p, int o)                          \
    {                                                                                              \
        row_block(mr, 2, k, p, o);                                                                 \
    }
#define WEIGHT_FUNCTIONS(mr)                                                                       \
    static void weights_##mr##_1(const struct weights_product *k, int t, int r, int o)             \
    {                                                                                              \
        weight_block(mr, 1, k, t, r, o);                                                           \
    }                                                                                              \
    static void weights_##mr##_2(const struct weights_product *k, int t, int r, int o)             \
    {                                                                                              \
        weight_block(mr, 2, k, t, r, o);                                                           \
    }
ROW_BLOCKS(ROW_FUNCTIONS)
WEIGHT_BLOCKS(WEIGHT_FUNCTIONS)

static void multiply_rows(const struct rows_product *k)
{
    const int whole = k->oc / VL * VL;
    for (int o = 0; o < whole;) {
        const int nv = whole - o >= 2 * VL ? 2 : 1;
        for (int p = 0; p < k->pixels;) {
            const int rest = k->pixels - p;
#define TAKE_ROWS(mr)                                                                              \
    if (rest >= (mr)) {                                                                            \
        if (nv == 2)                                                                               \
            rows_##mr##_2(k, p, o);                                                                \
        else                                                                                       \
            rows_##mr##_1(k, p, o);                                                                \
        p += (mr);                                                                                 \
        continue;                                                                                  \
    }
            ROW_BLOCKS(TAKE_ROWS)
        }
        o += nv * VL;
    }
    if (whole < k->oc) plain_rows(k, whole);
}

static void multiply_weights(const struct weights_product *k)
{
    const int whole = k->oc / VL * VL;
    for (int o = 0; o < whole;) {
        const int nv = whole - o >= 2 * VL ? 2 : 1;
        for (int t = 0; t < k->taps; t++)
            for (int r = 0; r < k->run;) {
                const int rest = k->run - r;
#define TAKE_WEIGHTS(mr)                                                                           \
    if (rest >= (mr)) {                                                                            \
        if (nv == 2)                                                                               \
            weights_##mr##_2(k, t, r, o);                                                          \
        else                                                                                       \
            weights_##mr##_1(k, t, r, o);                                                          \
        r += (mr);                                                                                 \
        continue;                                                                                  \
    }
                WEIGHT_BLOCKS(TAKE_WEIGHTS)
            }
        o += nv * VL;
    }
    if (whole < k->oc) plain_weights(k, whole);
}

#endif
