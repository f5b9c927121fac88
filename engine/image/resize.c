/* Changing sizes. Both functions are separable: rows are combined first, over whole rows of bytes,
 * which the compiler vectorises; then columns, one pixel (R, G, B and one lane unused) at a time as
 * a vector of 4. */
#include "engine/image/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

typedef uint16_t u16x4 __attribute__((vector_size(8)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef float f32x4 __attribute__((vector_size(16)));

enum {
    ROWS_MAX = 257,     /* rows of 8 bits whose sum fits 16 bits */
    STRIP_COLS = 4096,  /* source columns handled at a time: their sums are 24 KB on the stack */
    STRIP_OUTS = 1024,  /* outputs handled at a time */
    PIXEL_LOAD_PAD = 1, /* a load of 4 values at the last pixel reads one beyond it */
};

#define INLINE static inline __attribute__((always_inline))

/* The kernels are compiled twice and chosen at run time (see area_strip): a function of the AVX2
 * build may only inline. */
INLINE void sum_rows_body(uint16_t *restrict out, const uint8_t *rows, size_t stride, int k,
                          size_t n)
{
    const uint8_t *a = rows;
    if (k == 1) {
        for (size_t i = 0; i < n; i++) out[i] = a[i];
        return;
    }
    const uint8_t *b = a + stride;
    if (k == 2) {
        for (size_t i = 0; i < n; i++) out[i] = (uint16_t)(a[i] + b[i]);
        return;
    }
    const uint8_t *c = b + stride;
    for (size_t i = 0; i < n; i++) out[i] = (uint16_t)(a[i] + b[i] + c[i]);
    for (int r = 3; r < k; r++) {
        c += stride;
        for (size_t i = 0; i < n; i++) out[i] = (uint16_t)(out[i] + c[i]);
    }
}

/* ---- area resample ---- */

/* Window of one output: source start..start+count-1. */
struct window {
    uint16_t start, count;
    float inv; /* 1 / count */
};

static struct window window_of(int i, int n, int m)
{
    unsigned s = (unsigned)i * (unsigned)n / (unsigned)m;
    unsigned e = ((unsigned)(i + 1) * (unsigned)n + (unsigned)m - 1) / (unsigned)m;
    return (struct window){(uint16_t)s, (uint16_t)(e - s), 1.0f / (float)(e - s)};
}

/* sums: one row of column sums, 3 interleaved. One output pixel as (r, g, b, unused). */
INLINE u32x4 sum_pixels(const uint16_t *sums, int count)
{
    u16x4 v;
    memcpy(&v, sums, sizeof v);
    u32x4 t = __builtin_convertvector(v, u32x4);
    for (int k = 1; k < count; k++) {
        memcpy(&v, sums + 3 * k, sizeof v);
        t += __builtin_convertvector(v, u32x4);
    }
    return t;
}

INLINE f32x4 to_float(u32x4 t)
{
    /* Sums stay under 2^31 (257 * 4096 * 255), and the signed conversion is one instruction. */
    return __builtin_convertvector((i32x4)t, f32x4);
}

INLINE f32x4 area_pixel(const uint16_t *sums, int first, const struct window *w, float inv_rows,
                        float bias, float scale)
{
    f32x4 mean =
        to_float(sum_pixels(sums + 3 * (w->start - first), w->count)) * (w->inv * inv_rows);
    return (mean + bias) * scale;
}

/* One row of n outputs to three planes, 4 pixels at a time through a 4 x 4 transpose. */
INLINE void area_row_body(float *restrict r, float *restrict g, float *restrict b,
                          const uint16_t *sums, int first, const struct window *win, int n,
                          float inv_rows, float bias, float scale)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        f32x4 p0 = area_pixel(sums, first, win + i, inv_rows, bias, scale);
        f32x4 p1 = area_pixel(sums, first, win + i + 1, inv_rows, bias, scale);
        f32x4 p2 = area_pixel(sums, first, win + i + 2, inv_rows, bias, scale);
        f32x4 p3 = area_pixel(sums, first, win + i + 3, inv_rows, bias, scale);
        f32x4 lo01 = __builtin_shufflevector(p0, p1, 0, 4, 1, 5); /* r0 r1 g0 g1 */
        f32x4 lo23 = __builtin_shufflevector(p2, p3, 0, 4, 1, 5);
        f32x4 hi01 = __builtin_shufflevector(p0, p1, 2, 6, 3, 7); /* b0 b1 . . */
        f32x4 hi23 = __builtin_shufflevector(p2, p3, 2, 6, 3, 7);
        f32x4 rr = __builtin_shufflevector(lo01, lo23, 0, 1, 4, 5);
        f32x4 gg = __builtin_shufflevector(lo01, lo23, 2, 3, 6, 7);
        f32x4 bb = __builtin_shufflevector(hi01, hi23, 0, 1, 4, 5);
        memcpy(r + i, &rr, sizeof rr);
        memcpy(g + i, &gg, sizeof gg);
        memcpy(b + i, &bb, sizeof bb);
    }
    for (; i < n; i++) {
        f32x4 p = area_pixel(sums, first, win + i, inv_rows, bias, scale);
        r[i] = p[0];
        g[i] = p[1];
        b[i] = p[2];
    }
}

/* Outputs x0 .. x0+n-1 of all rows. src: the first row of the part, at the strip's first source
 * column. */
struct strip {
    float *out;
    int ow, oh, h;
    int x0, n;          /* outputs */
    int first, cols;    /* source columns they need */
    const uint8_t *src; /* at column `first` of the part */
    size_t stride;      /* bytes */
    float bias, scale;
};

INLINE void area_strip_body(const struct strip *s, const struct window *win)
{
    uint16_t sums[3 * STRIP_COLS + PIXEL_LOAD_PAD];
    size_t plane = (size_t)s->ow * (size_t)s->oh, n = (size_t)s->cols * 3;
    struct window last = {0, 0, 0};

    sums[n] = 0;
    for (int y = 0; y < s->oh; y++) {
        struct window rows = window_of(y, s->h, s->oh);
        float *r = s->out + (size_t)y * (size_t)s->ow + (size_t)s->x0;
        if (rows.start == last.start && rows.count == last.count) { /* enlarging repeats rows */
            for (int c = 0; c < 3; c++)
                memcpy(r + (size_t)c * plane, r + (size_t)c * plane - s->ow,
                       (size_t)s->n * sizeof *r);
            continue;
        }
        last = rows;
        sum_rows_body(sums, s->src + rows.start * s->stride, s->stride, rows.count, n);
        area_row_body(r, r + plane, r + 2 * plane, sums, s->first, win, s->n, rows.inv, s->bias,
                      s->scale);
    }
}

static void area_strip_base(const struct strip *s, const struct window *win)
{
    area_strip_body(s, win);
}

#if defined(__x86_64__)
/* Without fused multiply-add, so that the results are the same bits on every CPU. */
__attribute__((target("avx2"))) static void area_strip_avx2(const struct strip *s,
                                                            const struct window *win)
{
    area_strip_body(s, win);
}
#endif

static void area_strip(const struct strip *s, const struct window *win)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        area_strip_avx2(s, win);
        return;
    }
#endif
    area_strip_base(s, win);
}

/* Shrinking more than about 256 times, where the sums above would not fit. */
static void area_plain(float *out, int ow, int oh, const uint8_t *src, size_t stride, int w, int h,
                       float bias, float scale)
{
    size_t plane = (size_t)ow * (size_t)oh;
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++) {
            struct window wy = window_of(y, h, oh), wx = window_of(x, w, ow);
            uint64_t sum[3] = {0, 0, 0};
            for (unsigned j = 0; j < wy.count; j++) {
                const uint8_t *p = src + (wy.start + j) * stride + 3u * wx.start;
                uint32_t r = 0, g = 0, b = 0; /* 16384 * 255 fits */
                for (unsigned i = 0; i < wx.count; i++, p += 3) {
                    r += p[0];
                    g += p[1];
                    b += p[2];
                }
                sum[0] += r;
                sum[1] += g;
                sum[2] += b;
            }
            for (size_t c = 0; c < 3; c++)
                out[c * plane + (size_t)y * (size_t)ow + (size_t)x] =
                    ((float)sum[c] * (wx.inv * wy.inv) + bias) * scale;
        }
}

void image_area_resample(float *out, int ow, int oh, const struct image *in, int x, int y, int w,
                         int h, float bias, float scale)
{
    assert(ow > 0 && ow <= IMAGE_MAX_SIDE && oh > 0 && oh <= IMAGE_MAX_SIDE);
    assert(x >= 0 && y >= 0 && w > 0 && h > 0 && w <= in->w - x && h <= in->h - y);
    struct window win[STRIP_OUTS];
    size_t stride = (size_t)in->w * 3;
    const uint8_t *src = in->rgb + (size_t)y * stride + (size_t)x * 3;

    if (h / oh + 2 > ROWS_MAX || w / ow + 2 > STRIP_COLS) {
        area_plain(out, ow, oh, src, stride, w, h, bias, scale);
        return;
    }
    for (int x0 = 0, n; x0 < ow; x0 += n) {
        int first = 0, end = 0;
        for (n = 0; n < STRIP_OUTS && x0 + n < ow; n++) {
            struct window v = window_of(x0 + n, w, ow);
            if (!n) first = v.start;
            if (v.start + v.count - first > STRIP_COLS) break;
            end = v.start + v.count;
            win[n] = v;
        }
        area_strip(&(struct strip){.out = out,
                                   .ow = ow,
                                   .oh = oh,
                                   .h = h,
                                   .x0 = x0,
                                   .n = n,
                                   .first = first,
                                   .cols = end - first,
                                   .src = src + 3 * first,
                                   .stride = stride,
                                   .bias = bias,
                                   .scale = scale},
                   win);
    }
}

/* ---- resize ---- */

/* What one output takes of one axis: lead * [start] + mid * (all between) + tail * [start + count -
 * 1]. count 1: lead only. */
struct taps {
    int start, count;
    float lead, mid, tail;
};

/* Output i of m from n. Shrinking: output i covers [i n, (i+1) n) in units of 1/m of a source
 * pixel. Enlarging: linear between the two nearest centres, the border repeated. */
static struct taps taps_of(int i, int n, int m)
{
    if (n >= m) {
        int64_t a = (int64_t)i * n, b = a + n;
        int s = (int)(a / m), e = (int)((b + m - 1) / m);
        float unit = 1.0f / (float)n;
        if (e - s == 1) return (struct taps){s, 1, 1, 0, 0};
        return (struct taps){s, e - s, (float)((int64_t)(s + 1) * m - a) * unit, (float)m * unit,
                             (float)(b - (int64_t)(e - 1) * m) * unit};
    }
    /* Centre of output i in source pixels, minus a half: ((2 i + 1) n - m) / (2 m). */
    int64_t c = (2 * (int64_t)i + 1) * n - m;
    if (c <= 0) return (struct taps){0, 1, 1, 0, 0};
    int s = (int)(c / (2 * (int64_t)m));
    if (s >= n - 1) return (struct taps){n - 1, 1, 1, 0, 0};
    float t = (float)(c - 2 * (int64_t)m * s) / (2 * (float)m);
    return (struct taps){s, 2, 1 - t, 0, t};
}

/* acc = the rows of t combined, n values. sums: n, scratch. */
static void combine_rows(float *restrict acc, uint16_t *restrict sums, const uint8_t *restrict src,
                         size_t stride, struct taps t, size_t n)
{
    const uint8_t *restrict a = src + (size_t)t.start * stride;
    const uint8_t *restrict b = a + (size_t)(t.count - 1) * stride;
    if (t.count == 1)
        for (size_t i = 0; i < n; i++) acc[i] = a[i];
    else
        for (size_t i = 0; i < n; i++) acc[i] = t.lead * a[i] + t.tail * b[i];
    for (int k = 1; k < t.count - 1;) {
        int rows = t.count - 1 - k < ROWS_MAX ? t.count - 1 - k : ROWS_MAX;
        sum_rows_body(sums, a + (size_t)k * stride, stride, rows, n);
        for (size_t i = 0; i < n; i++) acc[i] += t.mid * sums[i];
        k += rows;
    }
}

INLINE f32x4 load4(const float *p)
{
    f32x4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void combine_columns(uint8_t *out, const float *acc, const struct taps *taps, int n)
{
    for (int i = 0; i < n; i++, out += 3) {
        struct taps t = taps[i];
        const float *p = acc + 3 * (size_t)t.start;
        f32x4 v = load4(p) * t.lead;
        if (t.count > 1) {
            f32x4 mid = {0, 0, 0, 0};
            for (int k = 1; k < t.count - 1; k++) mid += load4(p + 3 * k);
            v += mid * t.mid + load4(p + 3 * (size_t)(t.count - 1)) * t.tail;
        }
        /* The weights add up to 1 within 1e-6, so 255.5 is never reached. */
        i32x4 q = __builtin_convertvector(v + 0.5f, i32x4);
        out[0] = (uint8_t)q[0];
        out[1] = (uint8_t)q[1];
        out[2] = (uint8_t)q[2];
    }
}

enum err image_resize(struct image *out, const struct image *in, int w, int h, struct err_info *err)
{
    struct image im;
    size_t n = (size_t)in->w * 3, stride = n;
    enum err rc = image_new(&im, w, h, err);
    if (rc) return rc;
    struct taps AUTO_FREE *taps = mem_aligned((size_t)w, sizeof *taps);
    float AUTO_FREE *acc = mem_aligned(n + PIXEL_LOAD_PAD, sizeof *acc);
    uint16_t AUTO_FREE *sums = mem_aligned(n, sizeof *sums);
    if (!taps || !acc || !sums) {
        image_release(&im);
        return err_set(err, ERR_NOMEM, "no memory to resize a picture to %dx%d", w, h);
    }
    for (int x = 0; x < w; x++) taps[x] = taps_of(x, in->w, w);
    acc[n] = 0;
    for (int y = 0; y < h; y++) {
        combine_rows(acc, sums, in->rgb, stride, taps_of(y, in->h, h), n);
        combine_columns(im.rgb + (size_t)y * (size_t)w * 3, acc, taps, w);
    }
    *out = im;
    return ERR_OK;
}
