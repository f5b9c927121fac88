/* Our own float kernels, one table per instruction set, chosen when a net is made (nothing is
 * compiled with -march=native). They hold the channels of a pixel together, [n][h][w][pitch], with
 * a pitch that is a multiple of 16 and zeros in the lanes past the last channel; the graph's input
 * may instead be [n][h][w][c] with nothing between.
 *
 * Every output element is one chain of multiply-adds in the order of the weights, whatever block of
 * pixels it is computed in. So answers depend neither on the batch nor on the threads, bit for bit;
 * they do depend on the instruction set. */
#ifndef VISAVIS_ENGINE_NN_SIMD_H
#define VISAVIS_ENGINE_NN_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NN__LANES = 16,     /* pitches are multiples of this */
    NN__TAPS_MAX = 128, /* kernel positions that nn__conv takes */
};

static inline size_t nn__pitch(int c)
{
    return ((size_t)c + NN__LANES - 1) / NN__LANES * NN__LANES;
}

enum nn__act_kind { NN__ACT_NONE, NN__ACT_RELU, NN__ACT_SLOPE, NN__ACT_RELU6 };

/* y = a x for x < 0 with a per channel (leaky_relu: all the same). slope: [pitch], padded with
 * zeros. */
struct nn__act {
    enum nn__act_kind kind;
    const float *slope;
};

/* Something added to the result before the activation: pixel (y, x) and channel c of the output get
 * img[y][x][c] where y < h, x < w and c < lanes. data NULL: nothing. */
struct nn__plus {
    const float *data;
    int h, w, lanes;
    size_t pixel, image; /* strides in floats; rows are w pixels */
};

/* y[pixel][o] = act(b[o] + sum over taps t and r < run of in[tap t of pixel][r] w[o][t][r] + plus).
 * Taps outside the input read zeros. A dense layer is one tap at pixel 0 of an image of 1x1. */
struct nn__conv {
    const float *in;
    size_t image, row, pixel; /* strides of in, in floats */
    int ih, iw;
    int kh, kx; /* taps: kh rows of kx; kx is 1 where one run covers a whole kernel row */
    int sh, sw, pt, pl, dilation;
    int run;
    int oh, ow, oc; /* oc: a multiple of 16 */
    bool half;      /* at most 8 channels are more than padding; no plus, no activation */
    const float *w; /* panels of panel() channels: [panel][tap][run][channel of the panel] */
    const float *b; /* [oc] */
    const float *zeros;
    struct nn__act act;
    struct nn__plus plus;
    float *out; /* [pixels][oc], from pixel out_first on */
    int out_first;
};

/* Convolutions of stride 1 by Winograd (Lavin and Gray 2015): F(2x2, 3x3), F(4x4, 3x3) or F(3x3,
 * 4x4), by m. Tiles of side^2 inputs, side 4 or 6, give m^2 outputs; points = side^2. v
 * [points][tiles][ic] and m [points][tiles][oc] are scratch, with v_point and m_point floats from
 * one point to the next; w [point][panel][run][channel of the panel]. */
struct nn__wino {
    int m, ic, oc; /* ic, oc: pitches */
    int run;       /* input channels that are not padding: what w holds */
    const float *in;
    int ih, iw, pt, pl, oh, ow, tiles_y, tiles_x;
    const float *w, *b;
    struct nn__act act;
    struct nn__plus plus;
    float *out;
    size_t v_point, m_point;
};

struct nn__window { /* pools, depthwise convolution (taps in w [tap][c], with a bias) */
    const float *in;
    float *out;
    int ih, iw, oh, ow, c; /* c: the pitch */
    int kh, kw, sh, sw, pt, pl, pb, pr, dilation;
    int count_pad;
    const float *w, *b;
    struct nn__act act;
};

/* out = act(a + b), each taken as zero where it ends; or act(a * b), act(a): see kind. */
struct nn__pixels {
    enum { NN__SUM, NN__PRODUCT, NN__SIGMOID } kind;
    struct nn__plus a, b; /* b.w == 1 and b.h == 1 with b_everywhere: one pixel for all */
    int b_everywhere;
    int oh, ow, oc;
    struct nn__act act;
    float *out;
};

typedef void nn__conv_fn(const struct nn__conv *c, int pixel, int pixels, int channel,
                         int channels);

struct nn__simd {
    const char *name;
    /* How many of `rest` output channels (a multiple of 16) the next panel of weights takes. */
    int (*panel)(int rest);
    int block; /* pixels that go well together: chunks of work should be a multiple */
    nn__conv_fn *conv;
    /* The convolution and a max_pool of 2x2, stride 2, unpadded, at once: the pool's output rows of
     * all images, where takes(oc). Nothing is added (plus). */
    bool (*conv_max2_takes)(int oc);
    void (*conv_max2)(const struct nn__conv *c, const struct nn__window *pool, int row, int rows);
    void (*wino_in)(const struct nn__wino *t, float *v, int tile, int tiles);
    void (*wino_mul)(const struct nn__wino *t, float *m, const float *v, int tiles, int point,
                     int points);
    void (*wino_out)(const struct nn__wino *t, const float *m, int tile, int tiles);
    /* Output rows of all images: row r is row r % oh of image r / oh. */
    void (*max_pool)(const struct nn__window *t, int row, int rows);
    void (*avg_pool)(const struct nn__window *t, int row, int rows);
    void (*depthwise)(const struct nn__window *t, int row, int rows);
    void (*pixels)(const struct nn__pixels *t, int row, int rows);
    /* Rounded to nearest, ties to even; a NaN stays one. */
    void (*to_bf16)(uint16_t *out, const float *in, size_t n);
    /* In place over the c channels of each pixel. */
    void (*softmax)(float *out, const float *in, int c, size_t pixel, int pixels);
};

extern const struct nn__simd nn__simd_base;
#if defined(__x86_64__)
extern const struct nn__simd nn__simd_avx2, nn__simd_avx512;
nn__conv_fn nn__conv_bf16;
#endif

/* conv where a "float" of in, w and zeros (and of their strides and of run) is a pair of bf16, the
 * earlier channel in the low half; sums, bias and results are floats as before. For the sets whose
 * panels it shares and CPUs that have the instruction (AVX512-BF16), else NULL. It rounds once a
 * pair, denormals count as zero: the bits depend on nothing else. */
nn__conv_fn *nn__simd_bf16(const struct nn__simd *s);

/* The best of those that this CPU has. VISAVIS_NN_SIMD=base|avx2|avx512 asks for a lesser one
 * (tests, comparisons). */
const struct nn__simd *nn__simd_pick(void);
/* The i-th that this CPU has, best first; NULL past the last. */
const struct nn__simd *nn__simd_at(int i);

#endif
