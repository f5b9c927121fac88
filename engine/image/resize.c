/* Changing sizes. Both functions are separable: rows are combined first, over whole rows of bytes,
 * which the compiler vectorises; then columns, one pixel (R, G, B and one lane unused) at a time as
 * a vector of 4. */
#include "engine/image/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

typedef uint16_t u16x4 __attribute__((vector_size(8)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef uint64_t u64x2 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef float f32x4 __attribute__((vector_size(16)));

enum {
    BYTES_MAX = 257,     /* bytes whose sum fits 16 bits */
    STRIP_COLS = 1024,   /* source columns handled at a time */
    STRIP_OUTS = 1024,   /* outputs handled at a time */
    PIXEL_LOAD_PAD = 1,  /* a load of 4 values at the last pixel reads one beyond it */
    TABLE_LEAST_MAX = 5, /* narrow windows: at most 5 or 6 columns */
    TABLE_ROW = 3 * (STRIP_COLS + TABLE_LEAST_MAX) + PIXEL_LOAD_PAD,
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

/* The outputs of a strip, one column each: source start .. start + count - 1. count is `least` or
 * one more. */
struct windows {
    uint32_t at[STRIP_OUTS]; /* index into struct sums, see area_strip_body */
    float inv[STRIP_OUTS];   /* 1 / count */
    uint16_t start[STRIP_OUTS], count[STRIP_OUTS];
};

/* Outputs x0 .. x0+n-1 of every row. src: first row of the part, at the strip's first source
 * column; stride in bytes. */
struct strip {
    float *out;
    int ow, oh, h;
    int x0, n;
    int first, cols, least; /* source columns that the outputs need; least count of a window */
    const uint8_t *src;
    size_t stride;
    float bias, scale;
};

struct span {
    int start, count;
};

static struct span span_of(int i, int n, int m)
{
    int s = i * n / m; /* below 2^28 */
    return (struct span){s, ((i + 1) * n + m - 1) / m - s};
}

/* Means become outputs: sum * gain + offset, where gain has 1 / area and scale in it. */
struct affine {
    float gain, offset;
};

INLINE u16x8 load_pair(const uint16_t *a, const uint16_t *b)
{
    uint64_t pa, pb;
    memcpy(&pa, a, sizeof pa);
    memcpy(&pb, b, sizeof pb);
    return (u16x8)(u64x2){pa, pb};
}

INLINE void store8(float *out, u16x8 sum, const f32x8 *gain, float offset)
{
    /* Through signed integers: that conversion is one instruction. */
    f32x8 v = __builtin_convertvector(__builtin_convertvector(sum, i32x8), f32x8) * *gain + offset;
    memcpy(out, &v, sizeof v);
}

/* One row where table[at[i]] is the whole sum of output i as (r, g, b, other): eight outputs at a
 * time, turned from pixels into planes while they are still 16 bits. */
INLINE void row_from_table(float *restrict r, float *restrict g, float *restrict b,
                           const uint16_t *table, const struct windows *win, int n, struct affine f)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint32_t *at = win->at + i;
        u16x8 rg[2], bx[2];
        for (int half = 0; half < 2; half++, at += 4) {
            u16x8 p01 = load_pair(table + at[0], table + at[1]);
            u16x8 p23 = load_pair(table + at[2], table + at[3]);
            u16x8 even = __builtin_shufflevector(p01, p23, 0, 8, 1, 9, 2, 10, 3, 11);
            u16x8 odd = __builtin_shufflevector(p01, p23, 4, 12, 5, 13, 6, 14, 7, 15);
            rg[half] = __builtin_shufflevector(even, odd, 0, 8, 1, 9, 2, 10, 3, 11);
            bx[half] = __builtin_shufflevector(even, odd, 4, 12, 5, 13, 6, 14, 7, 15);
        }
        f32x8 gain;
        memcpy(&gain, win->inv + i, sizeof gain);
        gain *= f.gain;
        store8(r + i, __builtin_shufflevector(rg[0], rg[1], 0, 1, 2, 3, 8, 9, 10, 11), &gain,
               f.offset);
        store8(g + i, __builtin_shufflevector(rg[0], rg[1], 4, 5, 6, 7, 12, 13, 14, 15), &gain,
               f.offset);
        store8(b + i, __builtin_shufflevector(bx[0], bx[1], 0, 1, 2, 3, 8, 9, 10, 11), &gain,
               f.offset);
    }
    for (; i < n; i++) {
        const uint16_t *p = table + win->at[i];
        float gain = win->inv[i] * f.gain;
        r[i] = (float)p[0] * gain + f.offset;
        g[i] = (float)p[1] * gain + f.offset;
        b[i] = (float)p[2] * gain + f.offset;
    }
}

/* One row from sums of columns (3 interleaved): each output adds up its window. */
INLINE void row_from_sums(float *restrict r, float *restrict g, float *restrict b,
                          const uint16_t *sums, int first, const struct windows *win, int n,
                          struct affine f)
{
    for (int i = 0; i < n; i++) {
        const uint16_t *p = sums + 3 * (win->start[i] - first);
        u32x4 t = {0, 0, 0, 0};
        for (int k = 0; k < win->count[i]; k++, p += 3) {
            u16x4 v;
            memcpy(&v, p, sizeof v);
            t += __builtin_convertvector(v, u32x4);
        }
        f32x4 v = __builtin_convertvector((i32x4)t, f32x4) * (win->inv[i] * f.gain) + f.offset;
        r[i] = v[0];
        g[i] = v[1];
        b[i] = v[2];
    }
}

/* out[i] = a[i] + b[i], n values. */
INLINE void add_rows(uint16_t *restrict out, const uint16_t *restrict a, const uint16_t *restrict b,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (uint16_t)(a[i] + b[i]);
}

/* For each output row: sums of the rows of its window, then of its columns. Where windows are
 * narrow, the sums over `least` and least + 1 columns are first made at every source column (whole
 * rows at full vector width); an output is then one load. */
INLINE void area_strip_body(const struct strip *s, const struct windows *win)
{
    /* [0] columns; then the sums of 2, 3, ... of them, beginning at each column. */
    uint16_t sums[TABLE_LEAST_MAX + 1][TABLE_ROW];
    size_t plane = (size_t)s->ow * (size_t)s->oh, n = (size_t)s->cols * 3;
    struct span last = {0, 0};

    memset(sums[0] + n, 0, sizeof sums[0] - n * sizeof sums[0][0]);
    for (int y = 0; y < s->oh; y++) {
        struct span rows = span_of(y, s->h, s->oh);
        float *r = s->out + (size_t)y * (size_t)s->ow + (size_t)s->x0;
        float *g = r + plane, *b = g + plane;
        if (rows.start == last.start && rows.count == last.count) { /* enlarging repeats rows */
            size_t bytes = (size_t)s->n * sizeof *r;
            memcpy(r, r - s->ow, bytes);
            memcpy(g, g - s->ow, bytes);
            memcpy(b, b - s->ow, bytes);
            continue;
        }
        last = rows;
        struct affine f = {s->scale / (float)rows.count, s->bias * s->scale};
        sum_rows_body(sums[0], s->src + (size_t)rows.start * s->stride, s->stride, rows.count, n);
        if (s->least <= TABLE_LEAST_MAX && (s->least + 1) * rows.count <= BYTES_MAX) {
            for (int k = 1; k <= s->least; k++)
                add_rows(sums[k], sums[k - 1], sums[0] + 3 * k, n + PIXEL_LOAD_PAD);
            row_from_table(r, g, b, sums[0], win, s->n, f);
        } else {
            row_from_sums(r, g, b, sums[0], s->first, win, s->n, f);
        }
    }
}

static void area_strip_base(const struct strip *s, const struct windows *win)
{
    area_strip_body(s, win);
}

#if defined(__x86_64__)
/* Without fused multiply-add, so that the results are the same bits on every CPU. */
__attribute__((target("avx2"))) static void area_strip_avx2(const struct strip *s,
                                                            const struct windows *win)
{
    area_strip_body(s, win);
}
#endif

static void area_strip(const struct strip *s, const struct windows *win)
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
            struct span wy = span_of(y, h, oh), wx = span_of(x, w, ow);
            uint64_t sum[3] = {0, 0, 0};
            for (int j = 0; j < wy.count; j++) {
                const uint8_t *p = src + (size_t)(wy.start + j) * stride + 3 * (size_t)wx.start;
                uint32_t r = 0, g = 0, b = 0; /* 16384 * 255 fits */
                for (int i = 0; i < wx.count; i++, p += 3) {
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
                    ((float)sum[c] / ((float)wx.count * (float)wy.count) + bias) * scale;
        }
}

void image_area_resample(float *out, int ow, int oh, const struct image *in, int x, int y, int w,
                         int h, float bias, float scale)
{
    assert(ow > 0 && ow <= IMAGE_MAX_SIDE && oh > 0 && oh <= IMAGE_MAX_SIDE);
    assert(x >= 0 && y >= 0 && w > 0 && h > 0 && w <= in->w - x && h <= in->h - y);
    struct windows win;
    struct strip s = {.out = out, .ow = ow, .oh = oh, .h = h, .bias = bias, .scale = scale};
    s.stride = (size_t)in->w * 3;
    s.least = (w + ow - 1) / ow;
    const uint8_t *src = in->rgb + (size_t)y * s.stride + (size_t)x * 3;

    if (h / oh + 2 > BYTES_MAX || w / ow + 2 > STRIP_COLS) {
        area_plain(out, ow, oh, src, s.stride, w, h, bias, scale);
        return;
    }
    for (; s.x0 < ow; s.x0 += s.n) {
        s.first = span_of(s.x0, w, ow).start;
        s.src = src + 3 * (size_t)s.first;
        for (s.n = 0; s.n < STRIP_OUTS && s.x0 + s.n < ow; s.n++) {
            struct span v = span_of(s.x0 + s.n, w, ow);
            if (v.start + v.count - s.first > STRIP_COLS) break;
            s.cols = v.start + v.count - s.first;
            win.start[s.n] = (uint16_t)v.start;
            win.count[s.n] = (uint16_t)v.count;
            win.inv[s.n] = 1.0f / (float)v.count;
            win.at[s.n] = (uint32_t)((v.count - 1) * TABLE_ROW + 3 * (v.start - s.first));
        }
        area_strip(&s, &win);
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
        int rows = t.count - 1 - k < BYTES_MAX ? t.count - 1 - k : BYTES_MAX;
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
