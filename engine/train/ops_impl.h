/* The tables of ops.h. Included once by each ops_<set>.c, which defines REAL, OPS_TABLE, OPS_NAME
 * and, for floats, OPS_VECTORS, and switches the compiler to its instruction set. */
#include <math.h>
#include <string.h>

#include "engine/train/ops.h"

#if defined(OPS_VECTORS)
#include "engine/nn/simd_vec.h"
#endif

/* An element is read and written at one index: loops may be vectorised though in and out may be the
 * same array. */
#if defined(__clang__)
#define EACH _Pragma("clang loop vectorize(assume_safety)")
#else
#define EACH _Pragma("GCC ivdep")
#endif

#include "engine/train/ops_products.h"
#if defined(OPS_VECTORS)
#include "engine/train/ops_winograd.h"
#endif

enum { CHANNELS_MAX = 1024 /* TRAIN_MAX_CHANNELS of net.h */ };

/* --- convolutions --- */

static int padded_h(const struct train_window *t)
{
    return (t->oh - 1) * t->sh + t->kh;
}

static int padded_w(const struct train_window *t)
{
    return (t->ow - 1) * t->sw + t->kw;
}

static bool is_dense(const struct train_window *t)
{
    return t->h == 1 && t->w == 1 && t->kh == 1 && t->kw == 1;
}

/* The window of the gradient's way back, for stride 1: the same kind of product. */
static struct train_window turned_window(const struct train_window *t)
{
    return (struct train_window){
        t->n, t->oh, t->ow, t->oc, t->kh, t->kw, 1, 1, t->kh - 1 - t->pt, t->kw - 1 - t->pl,
        t->h, t->w,  t->c};
}

static size_t conv_scratch(const struct train_window *t)
{
    const struct train_window back = turned_window(t);
    const size_t there = (size_t)padded_h(t) * (size_t)padded_w(t) * (size_t)t->c,
                 here = (size_t)padded_h(&back) * (size_t)padded_w(&back) * (size_t)t->oc;
    size_t most = there > here ? there : here;
#if defined(OPS_VECTORS)
    if (wino_fits(t) && wino_scratch(t) > most) most = wino_scratch(t);
#endif
    return most;
}

/* One image with the zeros around it that the kernel reads; x itself where there are none. */
static const REAL *pad_image(REAL *out, const REAL *x, const struct train_window *t)
{
    const int ph = padded_h(t), pw = padded_w(t);
    if (!t->pt && !t->pl && ph == t->h && pw == t->w) return x;
    const size_t c = (size_t)t->c;
    int left = t->pl, from = 0;
    if (left < 0) from = -left, left = 0;
    int copied = t->w - from < pw - left ? t->w - from : pw - left;
    if (copied < 0) copied = 0;
    for (int y = 0; y < ph; y++) {
        const int sy = y - t->pt;
        REAL *row = out + (size_t)y * (size_t)pw * c;
        if (sy < 0 || sy >= t->h) {
            memset(row, 0, (size_t)pw * c * sizeof *row);
            continue;
        }
        memset(row, 0, (size_t)left * c * sizeof *row);
        memcpy(row + (size_t)left * c, x + ((size_t)sy * (size_t)t->w + (size_t)from) * c,
               (size_t)copied * c * sizeof *row);
        memset(row + (size_t)(left + copied) * c, 0,
               (size_t)(pw - left - copied) * c * sizeof *row);
    }
    return out;
}

static void conv(void *y_, const void *x_, const void *w, const void *b,
                 const struct train_window *t, void *scratch)
{
    REAL *y = y_;
    const REAL *x = x_;
    struct rows_product k = {x, (size_t)t->c, 0, 1, t->c, w, b, y, t->n, t->oc};
    if (is_dense(t)) {
        multiply_rows(&k);
        return;
    }
#if defined(OPS_VECTORS)
    if (wino_fits(t)) {
        wino_conv(y, x, w, b, t, scratch);
        return;
    }
#endif
    const size_t c = (size_t)t->c, row = (size_t)padded_w(t) * c;
    k = (struct rows_product){NULL, (size_t)t->sw * c, row, t->kh, t->kw * t->c, w, b, NULL, t->ow,
                              t->oc};
    for (int i = 0; i < t->n; i++, x += (size_t)t->h * (size_t)t->w * c) {
        const REAL *in = pad_image(scratch, x, t);
        for (int oy = 0; oy < t->oh; oy++, y += (size_t)t->ow * (size_t)t->oc) {
            k.in = in + (size_t)oy * (size_t)t->sh * row;
            k.out = y;
            multiply_rows(&k);
        }
    }
}

static void add_bias(REAL *db, const REAL *dy, size_t pixels, int oc)
{
    for (size_t p = 0; p < pixels; p++, dy += oc) EACH for (int o = 0; o < oc; o++) db[o] += dy[o];
}

static void conv_weights(void *dw, void *db, const void *dy_, const void *x_,
                         const struct train_window *t, void *scratch)
{
    const REAL *dy = dy_, *x = x_;
    const size_t c = (size_t)t->c, outs = (size_t)t->oh * (size_t)t->ow;
    struct weights_product k = {x, dy, 0, c, 0, 1, t->c, 1, t->n, t->oc, dw};
    if (db) add_bias(db, dy, (size_t)t->n * outs, t->oc);
    if (is_dense(t)) {
        multiply_weights(&k);
        return;
    }
#if defined(OPS_VECTORS)
    if (wino_fits(t)) {
        wino_conv_weights(dw, dy, x, t, scratch);
        return;
    }
#endif
    const size_t row = (size_t)padded_w(t) * c;
    k = (struct weights_product){
        NULL,  NULL, (size_t)t->sh * row, (size_t)t->sw * c, row, t->kh, t->kw * t->c, t->oh, t->ow,
        t->oc, dw};
    for (int i = 0; i < t->n; i++) {
        k.in = pad_image(scratch, x + (size_t)i * (size_t)t->h * (size_t)t->w * c, t);
        k.dy = dy + (size_t)i * outs * (size_t)t->oc;
        multiply_weights(&k);
    }
}

static void turn_weights(void *turned_, const void *w_, const struct train_window *t)
{
    REAL *turned = turned_;
    const REAL *w = w_;
    const int taps = t->kh * t->kw;
    for (int tap = 0; tap < taps; tap++)
        for (int c = 0; c < t->c; c++)
            for (int o = 0; o < t->oc; o++)
                turned[((size_t)(taps - 1 - tap) * (size_t)t->oc + (size_t)o) * (size_t)t->c +
                       (size_t)c] = *w++;
}

/* Strides other than 1: each output's gradient goes where its window was. */
static void scatter(REAL *dx, const REAL *dy, const REAL *turned, const struct train_window *t)
{
    memset(dx, 0, (size_t)t->n * (size_t)t->h * (size_t)t->w * (size_t)t->c * sizeof *dx);
    for (int i = 0; i < t->n; i++)
        for (int oy = 0; oy < t->oh; oy++)
            for (int ox = 0; ox < t->ow; ox++, dy += t->oc)
                for (int tap = 0; tap < t->kh * t->kw; tap++) {
                    const int y = oy * t->sh - t->pt + tap / t->kw,
                              x = ox * t->sw - t->pl + tap % t->kw;
                    if (y < 0 || y >= t->h || x < 0 || x >= t->w) continue;
                    const REAL *w =
                        turned + (size_t)(t->kh * t->kw - 1 - tap) * (size_t)t->oc * (size_t)t->c;
                    REAL *to =
                        dx + (((size_t)i * (size_t)t->h + (size_t)y) * (size_t)t->w + (size_t)x) *
                                 (size_t)t->c;
                    for (int o = 0; o < t->oc; o++, w += t->c)
                        for (int c = 0; c < t->c; c++) to[c] += dy[o] * w[c];
                }
}

static void conv_input(void *dx, const void *dy, const void *turned, const struct train_window *t,
                       void *scratch)
{
    const struct train_window back = turned_window(t);
    if (t->sh == 1 && t->sw == 1)
        conv(dx, dy, turned, NULL, &back, scratch);
    else
        scatter(dx, dy, turned, t);
}

/* --- max_pool: positions outside the input never win --- */

static void max_pool(void *y_, uint16_t *from, const void *x_, const struct train_window *t)
{
    REAL *y = y_;
    const REAL *x = x_;
    const int c = t->c;
    for (int i = 0; i < t->n; i++, x += (size_t)t->h * (size_t)t->w * (size_t)c)
        for (int oy = 0; oy < t->oh; oy++)
            for (int ox = 0; ox < t->ow; ox++, y += c, from += c) {
                bool first = true;
                for (int tap = 0; tap < t->kh * t->kw; tap++) {
                    const int sy = oy * t->sh - t->pt + tap / t->kw,
                              sx = ox * t->sw - t->pl + tap % t->kw;
                    if (sy < 0 || sy >= t->h || sx < 0 || sx >= t->w) continue;
                    const REAL *v = x + ((size_t)sy * (size_t)t->w + (size_t)sx) * (size_t)c;
                    EACH for (int k = 0; k < c; k++)
                    {
                        const bool wins = first || v[k] > y[k];
                        y[k] = wins ? v[k] : y[k];
                        from[k] = wins ? (uint16_t)tap : from[k];
                    }
                    first = false;
                }
            }
}

static void max_pool_input(void *dx_, const void *dy_, const uint16_t *from,
                           const struct train_window *t)
{
    REAL *dx = dx_;
    const REAL *dy = dy_;
    const size_t c = (size_t)t->c, image = (size_t)t->h * (size_t)t->w * c;
    memset(dx, 0, (size_t)t->n * image * sizeof *dx);
    for (int i = 0; i < t->n; i++, dx += image)
        for (int oy = 0; oy < t->oh; oy++)
            for (int ox = 0; ox < t->ow; ox++, dy += c, from += c)
                for (size_t k = 0; k < c; k++) {
                    const int y = oy * t->sh - t->pt + from[k] / t->kw,
                              x = ox * t->sw - t->pl + from[k] % t->kw;
                    dx[((size_t)y * (size_t)t->w + (size_t)x) * c + k] += dy[k];
                }
}

/* --- activations --- */

static void act(void *y_, const void *x_, const void *slope_, size_t pixels, int c)
{
    REAL *y = y_;
    const REAL *x = x_, *slope = slope_;
    if (!slope) {
        EACH for (size_t i = 0; i < pixels * (size_t)c; i++) y[i] = x[i] > 0 ? x[i] : 0;
        return;
    }
    for (size_t p = 0; p < pixels; p++, x += c, y += c)
        EACH for (int k = 0; k < c; k++) y[k] = x[k] > 0 ? x[k] : slope[k] * x[k];
}

static void act_input(void *dx_, void *dslope_, const void *dy_, const void *x_, const void *slope_,
                      size_t pixels, int c)
{
    REAL *dx = dx_, *dslope = dslope_;
    const REAL *dy = dy_, *x = x_, *slope = slope_;
    if (!slope) {
        EACH for (size_t i = 0; i < pixels * (size_t)c; i++) dx[i] = x[i] > 0 ? dy[i] : 0;
        return;
    }
    for (size_t p = 0; p < pixels; p++, x += c, dx += c, dy += c) EACH for (int k = 0; k < c; k++)
        {
            const REAL g = dy[k];
            dslope[k] += x[k] > 0 ? 0 : g * x[k];
            dx[k] = x[k] > 0 ? g : g * slope[k];
        }
}

/* --- batch normalisation --- */

enum {
    NORM_PIXELS = 64 /* whose mean and spread are taken at once, while they are in the cache */
};

/* Means, and sums of squared distances from them, of all pixels: of some at a time, put together as
 * in Chan, Golub and LeVeque 1983. */
static void moments(REAL *mean, REAL *squares, const REAL *x, size_t pixels, int c)
{
    for (int k = 0; k < c; k++) mean[k] = squares[k] = 0;
    for (size_t done = 0; done < pixels;) {
        const size_t n = pixels - done < NORM_PIXELS ? pixels - done : NORM_PIXELS;
        const REAL *part = x + done * (size_t)c, share = (REAL)n / (REAL)(done + n),
                   weight = (REAL)done * share;
        REAL m[CHANNELS_MAX], q[CHANNELS_MAX];
        for (int k = 0; k < c; k++) m[k] = q[k] = 0;
        for (size_t p = 0; p < n; p++)
            EACH for (int k = 0; k < c; k++) m[k] += part[p * (size_t)c + (size_t)k];
        for (int k = 0; k < c; k++) m[k] /= (REAL)n;
        for (size_t p = 0; p < n; p++) EACH for (int k = 0; k < c; k++)
            {
                const REAL d = part[p * (size_t)c + (size_t)k] - m[k];
                q[k] += d * d;
            }
        for (int k = 0; k < c; k++) {
            const REAL apart = m[k] - mean[k];
            squares[k] += q[k] + apart * apart * weight;
            mean[k] += apart * share;
        }
        done += n;
    }
}

static void norm(void *y_, void *mean_, void *inv_, const void *x_, const void *gamma_,
                 const void *beta_, double epsilon, bool relu, size_t pixels, int c)
{
    REAL *y = y_, *mean = mean_, *inv = inv_;
    const REAL *x = x_, *gamma = gamma_, *beta = beta_, low = relu ? 0 : (REAL)-INFINITY;
    REAL scale[CHANNELS_MAX], shift[CHANNELS_MAX];
    moments(mean, inv, x, pixels, c);
    for (int k = 0; k < c; k++) {
        inv[k] = (REAL)(1 / sqrt((double)inv[k] / (double)pixels + epsilon));
        scale[k] = gamma[k] * inv[k];
        shift[k] = beta[k] - mean[k] * scale[k];
    }
    for (size_t p = 0; p < pixels; p++, x += c, y += c) EACH for (int k = 0; k < c; k++)
        {
            const REAL v = x[k] * scale[k] + shift[k];
            y[k] = v > low ? v : low;
        }
}

/* With g = dy where relu let it through: dx = gamma inv (g - mean(g) - xhat mean(g xhat)). */
static void norm_input(void *dx_, void *dgamma_, void *dbeta_, const void *dy_, const void *x_,
                       const void *y_, const void *mean_, const void *inv_, const void *gamma_,
                       bool relu, size_t pixels, int c)
{
    REAL *dx = dx_, *dgamma = dgamma_, *dbeta = dbeta_;
    const REAL *dy = dy_, *x = x_, *y = y_, *mean = mean_, *inv = inv_, *gamma = gamma_,
               low = relu ? 0 : (REAL)-INFINITY;
    REAL sum[CHANNELS_MAX] = {0}, sum_hat[CHANNELS_MAX] = {0};
    for (size_t p = 0; p < pixels; p++) {
        const REAL *gp = dy + p * (size_t)c, *xp = x + p * (size_t)c, *yp = y + p * (size_t)c;
        EACH for (int k = 0; k < c; k++)
        {
            const REAL g = yp[k] > low ? gp[k] : 0;
            sum[k] += g;
            sum_hat[k] += g * (xp[k] - mean[k]) * inv[k];
        }
    }
    for (int k = 0; k < c; k++) {
        dbeta[k] += sum[k];
        dgamma[k] += sum_hat[k];
        sum[k] /= (REAL)pixels;
        sum_hat[k] /= (REAL)pixels;
    }
    for (size_t p = 0; p < pixels; p++, dx += c, dy += c, x += c, y += c)
        EACH for (int k = 0; k < c; k++)
        {
            const REAL g = y[k] > low ? dy[k] : 0, hat = (x[k] - mean[k]) * inv[k];
            dx[k] = gamma[k] * inv[k] * (g - sum[k] - hat * sum_hat[k]);
        }
}

/* --- dropout --- */

/* splitmix64's output function (Vigna 2015) of a counter. */
static uint64_t hash(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void dropout(void *out_, const void *in_, double p, uint64_t seed, size_t count)
{
    REAL *out = out_;
    const REAL *in = in_, keep = (REAL)(1 / (1 - p));
    const uint64_t cut = (uint64_t)(p * 0x1p53);
    for (size_t i = 0; i < count; i++)
        out[i] = hash(seed + (i + 1) * 0x9E3779B97F4A7C15u) >> 11 < cut ? 0 : in[i] * keep;
}

/* --- l2_normalize --- */

static REAL dot(const REAL *a, const REAL *b, int d)
{
    REAL sum = 0;
    for (int k = 0; k < d; k++) sum += a[k] * b[k];
    return sum;
}

static void l2_normalize(void *y_, void *length_, const void *x_, size_t n, int d)
{
    REAL *y = y_, *length = length_;
    const REAL *x = x_;
    for (size_t i = 0; i < n; i++, x += d, y += d) {
        const double l = sqrt((double)dot(x, x, d));
        length[i] = (REAL)(l > 1e-12 ? l : 1e-12);
        for (int k = 0; k < d; k++) y[k] = x[k] / length[i];
    }
}

static void l2_normalize_input(void *dx_, const void *dy_, const void *y_, const void *length_,
                               size_t n, int d)
{
    REAL *dx = dx_;
    const REAL *dy = dy_, *y = y_, *length = length_;
    for (size_t i = 0; i < n; i++, dx += d, dy += d, y += d) {
        const REAL along = dot(dy, y, d);
        EACH for (int k = 0; k < d; k++) dx[k] = (dy[k] - along * y[k]) / length[i];
    }
}

/* --- for the losses --- */

static double softmax_loss(void *dx_, const void *x_, const uint32_t *labels, double weight,
                           size_t n, int d)
{
    REAL *dx = dx_;
    const REAL *x = x_;
    double loss = 0;
    for (size_t i = 0; i < n; i++, x += d, dx += d) {
        double most = -INFINITY, sum = 0;
        for (int k = 0; k < d; k++) most = fmax(most, (double)x[k]);
        for (int k = 0; k < d; k++) sum += exp((double)x[k] - most);
        for (int k = 0; k < d; k++)
            dx[k] = (REAL)(weight * (exp((double)x[k] - most) / sum - ((uint32_t)k == labels[i])));
        loss += weight * (log(sum) + most - (double)x[labels[i]]);
    }
    return loss;
}

static void gram(void *out_, const void *a_, size_t n, int d)
{
    REAL *out = out_;
    const REAL *a = a_;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            REAL part[16] = {0}, sum = 0;
            const REAL *p = a + i * (size_t)d, *q = a + j * (size_t)d;
            int k = 0;
            for (; k + 16 <= d; k += 16)
                for (int l = 0; l < 16; l++) part[l] += p[k + l] * q[k + l];
            for (int l = 0; l < 16; l++) sum += part[l];
            for (; k < d; k++) sum += p[k] * q[k];
            out[i * n + j] = out[j * n + i] = sum;
        }
}

static void add_difference(void *dx_, const void *a_, double scale, size_t i, size_t j, size_t k,
                           int d)
{
    REAL *dx = (REAL *)dx_ + i * (size_t)d;
    const REAL *a = (const REAL *)a_ + j * (size_t)d, *b = (const REAL *)a_ + k * (size_t)d,
               s = (REAL)scale;
    for (int l = 0; l < d; l++) dx[l] += s * (a[l] - b[l]);
}

const struct train_ops OPS_TABLE = {
    .name = OPS_NAME,
    .size = sizeof(REAL),
    .conv_scratch = conv_scratch,
    .conv = conv,
    .conv_weights = conv_weights,
    .conv_input = conv_input,
    .turn_weights = turn_weights,
    .max_pool = max_pool,
    .max_pool_input = max_pool_input,
    .act = act,
    .act_input = act_input,
    .norm = norm,
    .norm_input = norm_input,
    .dropout = dropout,
    .l2_normalize = l2_normalize,
    .l2_normalize_input = l2_normalize_input,
    .softmax_loss = softmax_loss,
    .gram = gram,
    .add_difference = add_difference,
};
