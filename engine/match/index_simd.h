/* The kernels of the exact search, one table per instruction set, chosen at run time (nothing is
 * compiled with -march=native).
 *
 * The shadow. Next to its floats each row x has a copy in bytes, about a point mu (the centre of
 * the data, so that faces, which all lie in one narrow cone, keep their precision):
 *
 *     u = x - mu,   u^ = s c,   c whole numbers in -127..127,   s = max|u_i| / 127,   r = |u - u^|
 *
 * and a query q in the same way: v = q - mu, v^ = t k. Then
 *
 *     q.x = q.mu + mu.u + v.u   and   v.u = v^.u^ + v.(u - u^) + (v - v^).u^
 *
 * so by Cauchy and Schwarz
 *
 *     q.x <= q.mu + mu.u + t s (k.c) + |v| r + |v - v^| |u^|
 *
 * for any q, x, mu, s and t: that bound is what a scan computes, with mu.u, s and r kept per row
 * and the greatest |u^| per block. k.c is exact in int32: (c + 128).k is at most 255 * 127 * 8192,
 * below 2^31. Rows and queries are at most 1.01 long, so mu is too, |u|, |v| <= 2.02, r <= sqrt(d)
 * s / 2 <= 0.73 for d <= 8192 and |u^| <= 2.75: each of the about twelve roundings to float on the
 * way (u itself and the cut among them) concerns a number below 8 and moves the bound by at most
 * 8 * 2^-24 = 4.8e-7. MATCH__SLACK, which is added, covers three times as many, and the 1e-13 by
 * which the scan in double may itself be off. A row whose bound does not reach the score that is
 * needed cannot be in the answer. */
#ifndef VISAVIS_ENGINE_MATCH_INDEX_SIMD_H
#define VISAVIS_ENGINE_MATCH_INDEX_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MATCH__GROUP = 16,      /* rows whose codes are interleaved, four bytes of each at a time */
    MATCH__TILE = 64,       /* rows that one call looks at, at most */
    MATCH__CODE_BIAS = 128, /* codes are stored as c + 128 */
};
#define MATCH__SLACK 2e-5f

/* Groups of rows. codes [group][step][row of the group][4], steps = d / 4 rounded up; where d ends,
 * the query's numbers are zero. */
struct match__tile {
    const uint8_t *codes;
    const float *scale, *offset, *residual; /* s, mu.u, r; offset -1e30: no row is here */
    int steps, groups;                      /* groups 1..4 */
};

struct match__lens {     /* one query */
    const int8_t *k;     /* [steps][4] */
    int32_t bias;        /* MATCH__CODE_BIAS * sum of k */
    float t, norm, base; /* t, |v|; q.mu + |v - v^| max|u^| + MATCH__SLACK */
    float cut;           /* bounds from here on are hits */
};

struct match__simd {
    const char *name;
    /* bounds [n][MATCH__TILE], of the tile's rows; hits [n]: bit i for row i. */
    void (*scan)(float *bounds, uint64_t *hits, const struct match__tile *tile,
                 const struct match__lens *queries, int n);
    /* a.b in float, in at least 16 sums side by side: off by at most match__dot_error(d) for
     * vectors of length 1.01 at most. */
    float (*dot)(const float *a, const float *b, int d);
};

/* Each of the sums has at most d / 16 + 1 terms and joins the others in at most 6 additions:
 * gamma(d / 16 + 8) |a||b| (Higham 2002, section 3.1), and something for numbers below 1e-38. */
static inline double match__dot_error(int d)
{
    return 1.05 * (d / 16 + 8) * 0x1p-24 + 1e-9;
}

extern const struct match__simd match__simd_base;
#if defined(__x86_64__)
extern const struct match__simd match__simd_avx2, match__simd_avx512;
#endif

/* The i-th that this CPU has, best first; NULL past the last. */
const struct match__simd *match__simd_at(int i);
/* The best; VISAVIS_MATCH_SIMD=base|avx2|avx512 asks for a lesser one (comparisons). */
const struct match__simd *match__simd_pick(void);

#endif
