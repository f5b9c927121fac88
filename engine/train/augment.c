#include "engine/train/augment.h"

#include <math.h>

enum {
    NODES = 5, /* of the elastic field, a side; its cells are 7 pixels wide */
    MARGIN = 1 /* zeros around the glyph, so that no sample asks for a border */
};
static const double TURN_DEGREES = 12, SHEAR = 0.15, SCALE = 0.12, SHIFT_PIXELS = 1.5,
                    BEND_PIXELS = 1.2, THICKER = 0.7, THINNER = 0.35;

struct field {
    float dx[NODES][NODES], dy[NODES][NODES];
};

/* In [-1, 1). */
static double both_ways(struct train_random *r)
{
    return 2 * train_uniform(r) - 1;
}

void train_plain_glyph(float *out, const uint8_t *glyph)
{
    for (int i = 0; i < TRAIN_PIXELS; i++) out[i] = (float)glyph[i] / 255.0f;
}

void train_turn(uint8_t *out, const uint8_t *glyph, int quarter)
{
    const int last = TRAIN_SIDE - 1;
    for (int y = 0; y < TRAIN_SIDE; y++)
        for (int x = 0; x < TRAIN_SIDE; x++) {
            const int from[4][2] = {{x, y}, {y, last - x}, {last - x, last - y}, {last - y, x}};
            *out++ = glyph[from[quarter][1] * TRAIN_SIDE + from[quarter][0]];
        }
}

/* m: source = m * (x, y, 1), about the picture's middle. */
static void random_affine(float m[2][3], struct train_random *r)
{
    const double angle = both_ways(r) * TURN_DEGREES * M_PI / 180, shear = both_ways(r) * SHEAR,
                 sx = 1 + both_ways(r) * SCALE, sy = 1 + both_ways(r) * SCALE, c = cos(angle),
                 s = sin(angle), middle = (TRAIN_SIDE - 1) / 2.0;
    const double a[2][2] = {{c * sx, (shear * c - s) * sy}, {s * sx, (shear * s + c) * sy}};
    for (int i = 0; i < 2; i++) {
        m[i][0] = (float)a[i][0];
        m[i][1] = (float)a[i][1];
        m[i][2] = (float)(middle - (a[i][0] + a[i][1]) * middle + both_ways(r) * SHIFT_PIXELS);
    }
}

static float between(const float nodes[NODES][NODES], float x, float y)
{
    const float cell = (float)TRAIN_SIDE / (NODES - 1);
    const float u = x / cell, v = y / cell;
    const int i = (int)u < NODES - 2 ? (int)u : NODES - 2,
              j = (int)v < NODES - 2 ? (int)v : NODES - 2;
    const float fx = u - (float)i, fy = v - (float)j;
    return (nodes[j][i] * (1 - fx) + nodes[j][i + 1] * fx) * (1 - fy) +
           (nodes[j + 1][i] * (1 - fx) + nodes[j + 1][i + 1] * fx) * fy;
}

/* Bilinear; black beside the picture. */
static float sample(const uint8_t *glyph, float x, float y)
{
    const int x0 = (int)floorf(x), y0 = (int)floorf(y);
    const float fx = x - (float)x0, fy = y - (float)y0;
    float sum = 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++) {
            const int px = x0 + i, py = y0 + j;
            if (px < 0 || py < 0 || px >= TRAIN_SIDE || py >= TRAIN_SIDE) continue;
            sum += (float)glyph[py * TRAIN_SIDE + px] * (i ? fx : 1 - fx) * (j ? fy : 1 - fy);
        }
    return sum / 255.0f;
}

/* out = in mixed with the greatest (share > 0) or least (share < 0) of each 3 x 3 pixels. */
static void change_thickness(float *out, const float *in, float share)
{
    const float sign = share > 0 ? 1 : -1, part = fabsf(share);
    float padded[TRAIN_SIDE + 2 * MARGIN][TRAIN_SIDE + 2 * MARGIN] = {{0}},
                                                           across[TRAIN_SIDE + 2 * MARGIN]
                                                                 [TRAIN_SIDE] = {{0}};
    for (int y = 0; y < TRAIN_SIDE; y++)
        for (int x = 0; x < TRAIN_SIDE; x++)
            padded[y + MARGIN][x + MARGIN] = sign * in[y * TRAIN_SIDE + x];
    for (int y = 0; y < TRAIN_SIDE + 2 * MARGIN; y++)
        for (int x = 0; x < TRAIN_SIDE; x++) {
            const float *p = &padded[y][x];
            const float left = p[0] > p[1] ? p[0] : p[1];
            across[y][x] = left > p[2] ? left : p[2];
        }
    for (int y = 0; y < TRAIN_SIDE; y++)
        for (int x = 0; x < TRAIN_SIDE; x++) {
            const float a = across[y][x], b = across[y + 1][x], c = across[y + 2][x];
            const float most = sign * (a > b ? (a > c ? a : c) : (b > c ? b : c));
            out[y * TRAIN_SIDE + x] = (1 - part) * in[y * TRAIN_SIDE + x] + part * most;
        }
}

void train_augment(float *out, const uint8_t *glyph, struct train_random *r)
{
    struct field f;
    float m[2][3], bent[TRAIN_PIXELS];
    random_affine(m, r);
    for (int j = 0; j < NODES; j++)
        for (int i = 0; i < NODES; i++) {
            f.dx[j][i] = (float)(both_ways(r) * BEND_PIXELS);
            f.dy[j][i] = (float)(both_ways(r) * BEND_PIXELS);
        }
    for (int y = 0; y < TRAIN_SIDE; y++)
        for (int x = 0; x < TRAIN_SIDE; x++) {
            const float fx = (float)x + between(f.dx, (float)x, (float)y),
                        fy = (float)y + between(f.dy, (float)x, (float)y);
            bent[y * TRAIN_SIDE + x] = sample(glyph, m[0][0] * fx + m[0][1] * fy + m[0][2],
                                              m[1][0] * fx + m[1][1] * fy + m[1][2]);
        }
    change_thickness(out, bent, (float)(train_uniform(r) * (THICKER + THINNER) - THINNER));
}
