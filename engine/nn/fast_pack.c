/* Weights as the kernels of simd.h read them: made once a net, on first use (nn__net_pack). */
#include "engine/nn/fast.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { PANEL_CHANNELS = 64 /* of every simd.h's panel() at most */ };

/* Which weight of one output channel is read for channel r of a tap; SIZE_MAX: none, a zero. */
typedef size_t at_fn(const struct nn__pack_of *k, int tap, int r);

/* to[c] = what output channels ch.. read there. */
static void gather(float *to, const struct nn__pack_of *k, size_t from, int ch, int wide)
{
    const size_t each = k->op->w_count / (size_t)k->channels;
    for (int c = ch; c < ch + wide; c++)
        *to++ = c < k->channels && from != SIZE_MAX ? k->op->w[c * each + from] : 0;
}

/* The weights of these output channels have been read, and lie together in the source. */
static void done(const struct nn__pack_of *k, int first, int channels)
{
    const size_t each = k->op->w_count / (size_t)k->channels;
    if (first + channels > k->channels) channels = k->channels - first;
    if (channels > 0)
        nn__weights_done(k->net, k->op->w + (size_t)first * each, (size_t)channels * each);
}

/* The weights as the product reads them: [panel][tap][run][channel of the panel]. */
static float *pack_product(const struct nn__pack_of *k, int taps, int run, at_fn *at)
{
    const int pitch = (int)nn__pitch(k->channels);
    float *out = mem_aligned((size_t)taps * run * pitch, sizeof *out), *o = out;
    if (!out) return NULL;
    for (int ch = 0, wide; ch < pitch; ch += wide) {
        wide = k->simd->panel(pitch - ch);
        for (int t = 0; t < taps; t++)
            for (int r = 0; r < run; r++, o += wide) gather(o, k, at(k, t, r), ch, wide);
        done(k, ch, wide);
    }
    return out;
}

/* The same in bf16, two of a run together. */
static float *pack_pairs(const struct nn__pack_of *k, int taps, int run, at_fn *at)
{
    const int pitch = (int)nn__pitch(k->channels);
    const size_t words = (size_t)taps * ((run + 1) / 2) * pitch;
    uint16_t *out = mem_aligned(words, 2 * sizeof *out), *o = out, rounded[2][PANEL_CHANNELS];
    float pair[2][PANEL_CHANNELS];
    if (!out) return NULL;
    for (int ch = 0, wide; ch < pitch; ch += wide) {
        wide = k->simd->panel(pitch - ch);
        assert(wide <= PANEL_CHANNELS);
        for (int t = 0; t < taps; t++)
            for (int r = 0; r < run; r += 2) {
                for (int i = 0; i < 2; i++) {
                    gather(pair[i], k, r + i < run ? at(k, t, r + i) : SIZE_MAX, ch, wide);
                    k->simd->to_bf16(rounded[i], pair[i], (size_t)wide);
                }
                for (int c = 0; c < wide; c++) *o++ = rounded[0][c], *o++ = rounded[1][c];
            }
        done(k, ch, wide);
    }
    return (float *)out;
}

static size_t at_taps(const struct nn__pack_of *k, int tap, int r)
{
    return (size_t)r * k->op->kernel[0] * k->op->kernel[1] + (size_t)tap;
}

static size_t at_merged(const struct nn__pack_of *k, int tap, int r)
{
    int kx = r / k->in.c, c = r % k->in.c;
    return ((size_t)c * k->op->kernel[0] + tap) * k->op->kernel[1] + kx;
}

static size_t at_dense(const struct nn__pack_of *k, int tap, int r)
{
    size_t c = (size_t)r % k->pixel, cell = (size_t)r / k->pixel;
    (void)tap;
    return c < (size_t)k->in.c ? c * k->in.h * k->in.w + cell : SIZE_MAX;
}

typedef float *pack_fn(const struct nn__pack_of *k, int taps, int run, at_fn *at);

static float *taps(const struct nn__pack_of *k, pack_fn *pack_with)
{
    if (k->op->kind == NN_DENSE)
        return pack_with(k, 1, (int)(k->pixel * (size_t)k->in.h * k->in.w), at_dense);
    return pack_with(k, k->op->kernel[0] * k->op->kernel[1], k->in.c, at_taps);
}

static float *merged(const struct nn__pack_of *k, pack_fn *pack_with)
{
    return pack_with(k, k->op->kernel[0], k->op->kernel[1] * k->in.c, at_merged);
}

static float *make_taps(const void *arg)
{
    return taps(arg, pack_product);
}

static float *make_merged(const void *arg)
{
    return merged(arg, pack_product);
}

static float *make_taps_bf16(const void *arg)
{
    return taps(arg, pack_pairs);
}

static float *make_merged_bf16(const void *arg)
{
    return merged(arg, pack_pairs);
}

/* Winograd's G for the points 0, 1, -1, 2, -2, infinity (three taps, and four), and 0, 1, -1,
 * infinity. */
static const double G4[6][4] = {{1. / 4},
                                {-1. / 6, -1. / 6, -1. / 6},
                                {-1. / 6, 1. / 6, -1. / 6},
                                {1. / 24, 1. / 12, 1. / 6},
                                {1. / 24, -1. / 12, 1. / 6},
                                {0, 0, 1}};
static const double G3[6][4] = {{1. / 4},
                                {-1. / 6, -1. / 6, -1. / 6, -1. / 6},
                                {-1. / 6, 1. / 6, -1. / 6, 1. / 6},
                                {1. / 24, 1. / 12, 1. / 6, 1. / 3},
                                {1. / 24, -1. / 12, 1. / 6, -1. / 3},
                                {0, 0, 0, 1}};
static const double G2[4][4] = {{1}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};

/* The 4x4 taps of output o and lane i: one input channel's 3x3, or (folded) one phase of a
 * channel's larger kernel. */
static void taps_of(double g[4][4], const struct nn__pack_of *k, int o, int i, bool folded)
{
    const struct nn_op *op = k->op;
    int c = i % k->in.c, phase = i / k->in.c, step = folded ? 2 : 1;
    const float *w = op->w + ((size_t)o * k->in.c + c) * op->kernel[0] * op->kernel[1];
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++) {
            int ky = step * y + phase / 2, kx = step * x + phase % 2;
            bool there = ky < op->kernel[0] && kx < op->kernel[1];
            g[y][x] = there ? w[ky * op->kernel[1] + kx] : 0;
        }
}

/* U = G g G^T in double, [point][panel][run][channel]. */
static float *pack_wino(const struct nn__pack_of *k, const double (*G)[4], int side, bool folded)
{
    int oc = (int)nn__pitch(k->channels), run = folded ? 4 * k->in.c : k->in.c;
    size_t points = (size_t)side * side, each = (size_t)run * oc;
    float *out = mem_aligned(points * each, sizeof *out);
    if (!out) return NULL;
    memset(out, 0, points * each * sizeof *out);
    for (int ch = 0, wide; ch < oc; ch += wide) {
        wide = k->simd->panel(oc - ch);
        for (int o = ch; o < ch + wide && o < k->channels; o++)
            for (int i = 0; i < run; i++) {
                float *to = out + (size_t)ch * run + (size_t)i * wide + (o - ch);
                double g[4][4], half[6][4];
                taps_of(g, k, o, i, folded);
                for (int y = 0; y < side; y++)
                    for (int x = 0; x < 4; x++)
                        half[y][x] = G[y][0] * g[0][x] + G[y][1] * g[1][x] + G[y][2] * g[2][x] +
                                     G[y][3] * g[3][x];
                for (int y = 0; y < side; y++)
                    for (int x = 0; x < side; x++)
                        to[(size_t)(y * side + x) * each] =
                            (float)(half[y][0] * G[x][0] + half[y][1] * G[x][1] +
                                    half[y][2] * G[x][2] + half[y][3] * G[x][3]);
            }
    }
    return out;
}

static float *make_wino2(const void *arg)
{
    return pack_wino(arg, G2, 4, false);
}

static float *make_wino4(const void *arg)
{
    return pack_wino(arg, G4, 6, false);
}

static float *make_folded(const void *arg)
{
    return pack_wino(arg, G3, 6, true);
}

static float *make_depthwise(const void *arg)
{
    const struct nn__pack_of *k = arg;
    size_t pitch = nn__pitch(k->channels), taps = (size_t)k->op->kernel[0] * k->op->kernel[1];
    float *out = mem_aligned(taps * pitch, sizeof *out);
    for (size_t t = 0; out && t < taps; t++)
        for (size_t c = 0; c < pitch; c++)
            out[t * pitch + c] = c < (size_t)k->channels ? k->op->w[c * taps + t] : 0;
    return out;
}

static float *padded(const float *from, size_t n, size_t room, float otherwise)
{
    float *out = mem_aligned(room, sizeof *out);
    for (size_t i = 0; out && i < room; i++) out[i] = i >= n ? 0 : from ? from[i] : otherwise;
    return out;
}

static float *make_bias(const void *arg)
{
    const struct nn__pack_of *k = arg;
    return padded(k->op->b, (size_t)k->channels, nn__pitch(k->channels), 0);
}

static float *make_slope(const void *arg)
{
    const struct nn__pack_of *k = arg;
    return padded(k->op->w, (size_t)k->channels, nn__pitch(k->channels), k->op->alpha);
}

static float *make_zeros(const void *arg)
{
    const struct nn__pack_of *k = arg;
    size_t run = k->pixel * (size_t)k->op->kernel[1]; /* at most */
    return padded(NULL, run, run, 0);
}

enum err nn__fast_pack(const float **out, const struct nn_plan *p, int op, enum nn__pack_kind kind,
                       const struct nn__pack_of *k, struct err_info *err)
{
    static float *(*const MAKE[])(const void *arg) = {
        [NN__PACK_TAPS] = make_taps,           [NN__PACK_MERGED] = make_merged,
        [NN__PACK_TAPS_BF16] = make_taps_bf16, [NN__PACK_MERGED_BF16] = make_merged_bf16,
        [NN__PACK_WINO2] = make_wino2,         [NN__PACK_WINO4] = make_wino4,
        [NN__PACK_FOLDED] = make_folded,       [NN__PACK_BIAS] = make_bias,
        [NN__PACK_SLOPE] = make_slope,         [NN__PACK_ZEROS] = make_zeros,
        [NN__PACK_DEPTHWISE] = make_depthwise,
    };
    struct nn__pack_of with = *k;
    with.net = p->net;
    bool by_size =
        k->op->kind == NN_DENSE &&
        (kind == NN__PACK_TAPS || kind == NN__PACK_TAPS_BF16); /* c,h,w there, h,w,c here */
    return nn__net_pack(out, p->net, op, (int)kind, by_size ? k->in.h : 0, by_size ? k->in.w : 0,
                        MAKE[kind], &with, err);
}
