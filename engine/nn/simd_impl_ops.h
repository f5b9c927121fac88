/* Everything that is not a product; part of simd_impl.h. */

struct range {
    int lo, hi;
};

/* Kernel positions [lo, hi) of a window at `start` that fall inside n elements. */
INLINE struct range inside(int start, int k, int dilation, int n)
{
    struct range r = {start < 0 ? (-start + dilation - 1) / dilation : 0, 0};
    if (start < n) r.hi = (n - 1 - start) / dilation + 1;
    if (r.hi > k) r.hi = k;
    return r;
}

enum window_kind { WINDOW_MAX, WINDOW_AVG, WINDOW_DEPTHWISE };

/* The sum of an average's window, whose first pixel is in. Of a large one with what each addition
 * lost carried along (Kahan 1965): a plain chain over 224 x 224 equal pixels is off by 1e-3. */
INLINE vf window_sum(const float *in, size_t in_row, size_t pixel, int rows, int columns)
{
    enum { PLAIN_MOST = 32 };
    const bool plain = rows * columns <= PLAIN_MOST;
    vf sum = v_set(0), lost = v_set(0);
    for (int y = 0; y < rows; y++, in += in_row)
        for (int x = 0; x < columns; x++) {
            const vf v = v_load(in + (size_t)x * pixel);
            if (plain) {
                sum += v;
                continue;
            }
            const vf more = v - lost, next = sum + more;
            lost = (next - sum) - more;
            sum = next;
        }
    return sum;
}

INLINE void window_rows(const enum window_kind kind, const struct nn__window *t, int row, int rows)
{
    size_t in_row = (size_t)t->iw * t->c, pitch = (size_t)t->c;
    for (int r = row; r < row + rows; r++) {
        const float *img = t->in + (size_t)(r / t->oh) * t->ih * in_row;
        float *out = t->out + (size_t)r * t->ow * pitch;
        int y0 = r % t->oh * t->sh - t->pt;
        struct range ky = inside(y0, t->kh, t->dilation, t->ih);
        for (int ox = 0; ox < t->ow; ox++, out += pitch) {
            int x0 = ox * t->sw - t->pl;
            struct range kx = inside(x0, t->kw, t->dilation, t->iw);
            float share = 0;
            if (kind == WINDOW_AVG) { /* padding inside the padded input counts where asked */
                int h = ky.hi - ky.lo, w = kx.hi - kx.lo;
                if (t->count_pad) {
                    h = t->ih + t->pb - y0 < t->kh ? t->ih + t->pb - y0 : t->kh;
                    w = t->iw + t->pr - x0 < t->kw ? t->iw + t->pr - x0 : t->kw;
                }
                share = 1.0f / (float)(h * w);
            }
            for (size_t ch = 0; ch < pitch; ch += VL) {
                if (kind == WINDOW_AVG) {
                    const float *in =
                        img + (size_t)(y0 + ky.lo) * in_row + (size_t)(x0 + kx.lo) * pitch + ch;
                    vf sum = window_sum(in, in_row, pitch, ky.hi - ky.lo, kx.hi - kx.lo);
                    v_store(out + ch, act(&t->act, ch, sum * v_set(share)));
                    continue;
                }
                vf s = kind == WINDOW_DEPTHWISE ? v_load(t->b + ch) : v_set(-INFINITY);
                for (int y = ky.lo; y < ky.hi; y++) {
                    const float *in = img + (size_t)(y0 + y * t->dilation) * in_row + ch;
                    for (int x = kx.lo; x < kx.hi; x++) {
                        vf v = v_load(in + (size_t)(x0 + x * t->dilation) * pitch);
                        if (kind == WINDOW_MAX) s = v_max(s, v);
                        if (kind == WINDOW_DEPTHWISE)
                            s = v_fma(v, v_load(t->w + ((size_t)y * t->kw + x) * pitch + ch), s);
                    }
                }
                v_store(out + ch, act(&t->act, ch, s));
            }
        }
    }
}

static void max_pool(const struct nn__window *t, int row, int rows)
{
    window_rows(WINDOW_MAX, t, row, rows);
}

static void avg_pool(const struct nn__window *t, int row, int rows)
{
    window_rows(WINDOW_AVG, t, row, rows);
}

static void depthwise(const struct nn__window *t, int row, int rows)
{
    window_rows(WINDOW_DEPTHWISE, t, row, rows);
}

static void pixels(const struct nn__pixels *t, int row, int rows)
{
    const vf one = v_set(1);
    for (int r = row; r < row + rows; r++)
        for (int x = 0; x < t->ow; x++) {
            struct pixel at = {r / t->oh, r % t->oh, x}, first = {r / t->oh, 0, 0};
            const float *a = plus_at(&t->a, at);
            const float *b = plus_at(&t->b, t->b_everywhere ? first : at);
            float *out = t->out + ((size_t)r * t->ow + x) * t->oc;
            for (int ch = 0; ch < t->oc; ch += VL) {
                vf va = a && ch < t->a.lanes ? v_load(a + ch) : v_set(0);
                vf vb = b && ch < t->b.lanes ? v_load(b + ch) : v_set(0);
                vf s = t->kind == NN__PRODUCT ? va * vb : va + vb;
                if (t->kind == NN__SIGMOID) s = one / (one + v_exp(v_set(0) - va));
                v_store(out + ch, act(&t->act, (size_t)ch, s));
            }
        }
}

/* VL pixels side by side where there are few channels, so that no lane computes an exponential for
 * nothing. */
static void softmax_few(float *out, const float *in, int c, size_t pixel, int count)
{
    float x[NN__LANES][VL] = {{0}};
    for (int i = 0; i < count; i++)
        for (int k = 0; k < c; k++) x[k][i] = in[(size_t)i * pixel + k];
    vf max = v_load(x[0]), sum = v_set(0);
    for (int k = 1; k < c; k++) max = v_max(max, v_load(x[k]));
    for (int k = 0; k < c; k++) {
        vf e = v_exp(v_load(x[k]) - max);
        v_store(x[k], e);
        sum += e;
    }
    for (int k = 0; k < c; k++) v_store(x[k], v_load(x[k]) / sum);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < c; k++) out[(size_t)i * pixel + k] = x[k][i];
}

static void softmax(float *out, const float *in, int c, size_t pixel, int count)
{
    if (c < NN__LANES) { /* the lanes past c must stay zero */
        if (out != in) memset(out, 0, (size_t)count * pixel * sizeof *out);
        for (int i = 0; i < count; i += VL)
            softmax_few(out + (size_t)i * pixel, in + (size_t)i * pixel, c, pixel,
                        count - i < VL ? count - i : VL);
        return;
    }
    for (int i = 0; i < count; i++, in += pixel, out += pixel) {
        float max = in[0];
        double sum = 0;
        for (int k = 1; k < c; k++) max = in[k] > max ? in[k] : max;
        for (size_t k = 0; k < pixel; k += VL) v_store(out + k, v_exp(v_load(in + k) - v_set(max)));
        for (int k = 0; k < c; k++) sum += out[k];
        for (size_t k = 0; k < pixel; k++) out[k] = k < (size_t)c ? (float)(out[k] / sum) : 0;
    }
}

static void to_bf16(uint16_t *out, const float *in, size_t n)
{
    typedef uint32_t vu __attribute__((vector_size(VL * 4)));
    typedef uint16_t vh __attribute__((vector_size(VL * 2)));
    typedef uint16_t vh_mem __attribute__((vector_size(VL * 2), aligned(2), may_alias));
    for (size_t i = 0; i < n; i += VL) { /* n is a multiple of 16 */
        vf x = v_load(in + i);
        vu u = (vu)x, nan = (vu)(x != x);
        u = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
        u = (u & ~nan) | (0x7fc0 & nan);
        *(vh_mem *)(out + i) = __builtin_convertvector(u, vh);
    }
}

const struct nn__simd SIMD_TABLE = {
    .name = SIMD_NAME,
    .panel = panel,
    .block = BLOCK_MAX == 12 ? 120 : BLOCK_MAX, /* a multiple of 12, 10, 8 and 6 */
    .conv = conv,
    .conv_max2_takes = conv_max2_takes,
    .conv_max2 = conv_max2,
    .wino_in = wino_in,
    .wino_mul = wino_mul,
    .wino_out = wino_out,
    .max_pool = max_pool,
    .avg_pool = avg_pool,
    .depthwise = depthwise,
    .pixels = pixels,
    .to_bf16 = to_bf16,
    .softmax = softmax,
};
