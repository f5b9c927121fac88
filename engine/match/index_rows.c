/* Chunks of the search index: vectors and their shadow (index_simd.h). */
#include "engine/match/index_internal.h"

#include <math.h>
#include <string.h>

static const float NO_ROW = -1e30f; /* an offset that no bound comes back from */

static size_t codes_bytes(const struct match__chunk *c, int slots)
{
    size_t groups = ((size_t)slots + MATCH__GROUP - 1) / MATCH__GROUP;
    return groups * (size_t)c->steps * 4 * MATCH__GROUP;
}

struct match__chunk *match__chunk_new(int d, int capacity, struct match__centre *centre)
{
    struct match__chunk *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->d = d, c->steps = (d + 3) / 4, c->capacity = capacity;
    const size_t rows = (size_t)capacity;
    const size_t vectors = (rows * (size_t)d * sizeof *c->vectors + MEM_ALIGN_BYTES - 1) /
                           MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
    const size_t codes = codes_bytes(c, capacity);
    c->bytes = vectors + codes + 3 * rows * sizeof *c->scale;
    char *data = mem_aligned(c->bytes, 1);
    if (!data) {
        free(c);
        return NULL;
    }
    c->vectors = (float *)(void *)data;
    c->codes = (uint8_t *)data + vectors;
    c->scale = (float *)(void *)(data + vectors + codes);
    c->offset = c->scale + rows;
    c->residual = c->offset + rows;
    c->centre = centre;
    if (centre) atomic_fetch_add(&centre->refs, 1);
    atomic_init(&c->refs, 1);
    return c;
}

struct match__chunk *match__chunk_copy(const struct match__chunk *c, int used)
{
    struct match__chunk *to = match__chunk_new(c->d, c->capacity, c->centre);
    if (!to) return NULL;
    const size_t floats = (size_t)used * sizeof *c->scale;
    memcpy(to->vectors, c->vectors, floats * (size_t)c->d);
    memcpy(to->codes, c->codes, codes_bytes(c, used));
    memcpy(to->scale, c->scale, floats);
    memcpy(to->offset, c->offset, floats);
    memcpy(to->residual, c->residual, floats);
    to->filled = used;
    return to;
}

void match__centre_drop(struct match__centre *c)
{
    if (c && atomic_fetch_sub(&c->refs, 1) == 1) free(c);
}

void match__chunk_drop(struct match__chunk *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1) return;
    explicit_bzero(c->vectors, c->bytes);
    free(c->vectors);
    match__centre_drop(c->centre);
    free(c);
}

static uint8_t *code_of(const struct match__chunk *c, int slot)
{
    size_t group = (size_t)(slot / MATCH__GROUP) * (size_t)c->steps * 4 * MATCH__GROUP;
    return c->codes + group + (size_t)(slot % MATCH__GROUP) * 4;
}

/* x rounded to a whole number, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bit for a
 * fraction. Of u / s, which is below 127.5, never more than 127. */
static inline float whole(float x)
{
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

/* Sixteen numbers side by side, so that the compiler makes vectors of them. */
enum { LANES = 16 };

/* u of the lanes from i on; zeros where d ends. */
static inline void about(float u[LANES], const float *x, const float *mu, int i, int d)
{
    const int n = d - i;
    if (n >= LANES) {
        for (int j = 0; j < LANES; j++) u[j] = x[i + j] - mu[i + j];
        return;
    }
    for (int j = 0; j < LANES; j++) u[j] = j < n ? x[i + j] - mu[i + j] : 0;
}

static float most(const float *x, const float *mu, int d)
{
    float lane[LANES] = {0}, u[LANES];
    for (int i = 0; i < d; i += LANES) {
        about(u, x, mu, i, d);
        for (int j = 0; j < LANES; j++) {
            float size = fabsf(u[j]);
            lane[j] = size > lane[j] ? size : lane[j];
        }
    }
    for (int j = 1; j < LANES; j++) lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
    return lane[0];
}

static double offset(const float *x, const float *mu, int d)
{
    double sum[4] = {0};
    int i = 0;
    for (; i + 4 <= d; i += 4)
        for (int j = 0; j < 4; j++) sum[j] += (double)mu[i + j] * (double)(x[i + j] - mu[i + j]);
    for (; i < d; i++) sum[0] += (double)mu[i] * (double)(x[i] - mu[i]);
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* Square sums in float, 16 side by side: off by less than one in 10^4 for d <= 8192 (gamma(520)),
 * which UP makes up for. */
static const float UP = 1.0002f;

float match__chunk_write(struct match__chunk *c, int slot, const float *vector)
{
    static const float zero[MATCH_DIM_MAX];
    const float *mu = c->centre ? c->centre->v : zero;
    const int d = c->d;
    memcpy(c->vectors + (size_t)slot * (size_t)d, vector, (size_t)d * sizeof *vector);
    const float s = most(vector, mu, d) / 127, per = s > 1e-30f ? 1 / s : 0;
    float rest[LANES] = {0}, size[LANES] = {0}, u[LANES];
    uint8_t *out = code_of(c, slot);
    for (int i = 0; i < d; i += LANES) {
        uint8_t code[LANES];
        about(u, vector, mu, i, d);
        for (int j = 0; j < LANES; j++) {
            float k = whole(u[j] * per), near = s * k, r = u[j] - near;
            rest[j] += r * r;
            size[j] += near * near;
            code[j] = (uint8_t)((int)k + MATCH__CODE_BIAS);
        }
        for (int j = 0; j < LANES && i + j < d; j += 4, out += 4 * MATCH__GROUP)
            memcpy(out, code + j, 4);
    }
    for (int j = 1; j < LANES; j++) rest[0] += rest[j], size[0] += size[j];
    c->scale[slot] = s;
    c->offset[slot] = (float)offset(vector, mu, d);
    c->residual[slot] = sqrtf(rest[0]) * UP;
    if (slot >= c->filled) c->filled = slot + 1;
    return sqrtf(size[0]) * UP;
}

void match__chunk_erase(struct match__chunk *c, int slot)
{
    explicit_bzero(c->vectors + (size_t)slot * (size_t)c->d, (size_t)c->d * sizeof *c->vectors);
    uint8_t *out = code_of(c, slot);
    for (int i = 0; i < c->steps; i++) memset(out + (size_t)i * 4 * MATCH__GROUP, 0, 4);
    c->scale[slot] = c->residual[slot] = 0;
    c->offset[slot] = NO_ROW;
}
