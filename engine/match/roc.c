/* The two curves of a verification test: how many strangers (FMR) and how many of the same person
 * (TAR) reach a threshold.
 *
 * Invariants: genuine is sorted ascending; value is strictly ascending and above[k] impostor pairs
 * lie at or above value[k], so above is strictly descending and above[0] is all of them. A pair at
 * the threshold counts as accepted. */
#include "engine/match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match/roc_internal.h"

enum { RADIX_BITS = 11, RADIX_BUCKETS = 1 << RADIX_BITS, RADIX_PASSES = 3 };

/* Floats sort like unsigned integers once negative ones are inverted and positive ones moved above
 * them. */
static uint32_t key_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static float of_key(uint32_t k)
{
    const uint32_t u = k & 0x80000000u ? k & 0x7fffffffu : ~k;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Sorts v ascending (least significant digit first: linear, so that ten million pairs take a
 * fraction of a second). */
static bool sort_floats(float *v, size_t n)
{
    uint32_t *from = malloc((n + 1) * sizeof *from), *to = malloc((n + 1) * sizeof *to);
    const bool ok = from && to;

    for (size_t i = 0; ok && i < n; i++) from[i] = key_of(v[i]);
    for (int pass = 0; ok && pass < RADIX_PASSES; pass++) {
        size_t start[RADIX_BUCKETS + 1] = {0};
        const int shift = pass * RADIX_BITS;
        for (size_t i = 0; i < n; i++) start[(from[i] >> shift) % RADIX_BUCKETS + 1]++;
        for (int b = 0; b < RADIX_BUCKETS; b++) start[b + 1] += start[b];
        for (size_t i = 0; i < n; i++) to[start[(from[i] >> shift) % RADIX_BUCKETS]++] = from[i];
        uint32_t *t = from;
        from = to;
        to = t;
    }
    for (size_t i = 0; ok && i < n; i++) v[i] = of_key(from[i]);
    free(from);
    free(to);
    return ok;
}

void roc_free(struct roc *r)
{
    if (!r) return;
    free(r->genuine);
    free(r->value);
    free(r->above);
    free(r);
}

/* A curve with room for steps of the impostors; the genuine similarities sorted. */
static enum err start(struct roc **out, const float *genuine, size_t n_genuine, size_t max_steps,
                      struct err_info *err)
{
    struct roc *r = calloc(1, sizeof *r);

    if (r) {
        r->genuine = malloc((n_genuine + 1) * sizeof *r->genuine);
        r->value = malloc((max_steps + 1) * sizeof *r->value);
        r->above = malloc((max_steps + 1) * sizeof *r->above);
    }
    if (r && r->genuine && r->value && r->above) {
        memcpy(r->genuine, genuine, n_genuine * sizeof *genuine);
        r->n_genuine = n_genuine;
        if (sort_floats(r->genuine, n_genuine)) {
            *out = r;
            return ERR_OK;
        }
    }
    roc_free(r);
    return err_set(err, ERR_NOMEM, "no memory for a curve of %zu genuine pairs", n_genuine);
}

/* Adds n impostor pairs at v; values must come in ascending order. above holds plain counts until
 * finish(). */
static void step(struct roc *r, float v, uint64_t n)
{
    if (!r->steps || v > r->value[r->steps - 1]) {
        r->value[r->steps] = v;
        r->above[r->steps++] = 0;
    }
    r->above[r->steps - 1] += n;
    r->n_impostor += n;
}

static void finish(struct roc *r)
{
    for (size_t k = r->steps - 1; k-- > 0;) r->above[k] += r->above[k + 1];
}

enum err roc_new(struct roc **out, const float *genuine, size_t n_genuine, const float *impostor,
                 size_t n_impostor, struct err_info *err)
{
    struct roc *r;
    enum err rc;

    if (!n_genuine || !n_impostor)
        return err_set(err, ERR_INVALID,
                       "a curve needs genuine and impostor pairs, there are %zu and %zu", n_genuine,
                       n_impostor);
    for (size_t i = 0; i < n_genuine; i++) {
        if (!isfinite(genuine[i]))
            return err_set(err, ERR_INVALID, "genuine similarity %zu is not finite", i);
    }
    for (size_t i = 0; i < n_impostor; i++) {
        if (!isfinite(impostor[i]))
            return err_set(err, ERR_INVALID, "impostor similarity %zu is not finite", i);
    }
    float *sorted AUTO_FREE = malloc(n_impostor * sizeof *sorted);
    if (!sorted) return err_set(err, ERR_NOMEM, "no memory for %zu impostor pairs", n_impostor);
    memcpy(sorted, impostor, n_impostor * sizeof *sorted);
    if (!sort_floats(sorted, n_impostor))
        return err_set(err, ERR_NOMEM, "no memory for %zu impostor pairs", n_impostor);
    if ((rc = start(&r, genuine, n_genuine, n_impostor, err))) return rc;
    for (size_t i = 0; i < n_impostor; i++) step(r, sorted[i], 1);
    finish(r);
    *out = r;
    return ERR_OK;
}

enum err roc_new_pairs(struct roc **out, const struct match_pairs *p, struct err_info *err)
{
    const float least = p->n_tail ? p->tail[p->n_tail - 1].similarity : 2;
    struct roc *r;
    enum err rc;

    if (!p->n_genuine || !p->n_impostor)
        return err_set(err, ERR_INVALID,
                       "a curve needs genuine and impostor pairs, there are %zu and %llu",
                       p->n_genuine, (unsigned long long)p->n_impostor);
    float *genuine AUTO_FREE = malloc(p->n_genuine * sizeof *genuine);
    if (!genuine) return err_set(err, ERR_NOMEM, "no memory for %zu genuine pairs", p->n_genuine);
    for (size_t i = 0; i < p->n_genuine; i++) genuine[i] = p->genuine[i].similarity;
    if ((rc = start(&r, genuine, p->n_genuine, MATCH_PAIRS_BINS + p->n_tail, err))) return rc;
    for (size_t b = 0; b < MATCH_PAIRS_BINS; b++) {
        /* upper edge, but what was not kept for the tail is not above the tail */
        const float edge = (float)(-1 + 2 * (double)(b + 1) / MATCH_PAIRS_BINS);
        if (p->histogram[b]) step(r, edge < least ? edge : least, p->histogram[b]);
    }
    for (size_t i = p->n_tail; i-- > 0;) step(r, p->tail[i].similarity, 1);
    finish(r);
    *out = r;
    return ERR_OK;
}

/* First index of ascending v that is not below t. */
static size_t lower_bound(const float *v, size_t n, float t)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (v[mid] < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint64_t roc__impostors_at(const struct roc *r, float t)
{
    const size_t k = lower_bound(r->value, r->steps, t);
    return k < r->steps ? r->above[k] : 0;
}

size_t roc__genuine_at(const struct roc *r, float t)
{
    return r->n_genuine - lower_bound(r->genuine, r->n_genuine, t);
}

double roc_fmr(const struct roc *r, float threshold)
{
    return (double)roc__impostors_at(r, threshold) / (double)r->n_impostor;
}

double roc_tar(const struct roc *r, float threshold)
{
    return (double)roc__genuine_at(r, threshold) / (double)r->n_genuine;
}

float roc__threshold_for(const struct roc *r, double fmr)
{
    /* 1e-9: 0.1 * 500 must allow 50 pairs although the product is rounded */
    const uint64_t allowed = (uint64_t)(fmr * (double)r->n_impostor * (1 + 1e-9));
    size_t lo = 0, hi = r->steps;

    while (lo < hi) { /* the first value that few enough reach */
        const size_t mid = lo + (hi - lo) / 2;
        if (r->above[mid] > allowed)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? nextafterf(r->value[lo - 1], 2) : -1;
}

void roc_at_fmr(const struct roc *r, double fmr, struct roc_point *out)
{
    out->threshold = roc__threshold_for(r, fmr);
    out->fmr = roc_fmr(r, out->threshold);
    out->tar = roc_tar(r, out->threshold);
    out->supported = fmr * (double)r->n_impostor * (1 + 1e-9) >= 10;
    wilson_interval(out->tar * (double)r->n_genuine, (double)r->n_genuine, out->ci);
}

/* Walks the distinct similarities of both kinds upwards. */
struct walk {
    const struct roc *r;
    size_t g, k; /* genuine and impostor steps below the present value */
};

static bool walk_value(const struct walk *w, float *v)
{
    const bool more_g = w->g < w->r->n_genuine, more_k = w->k < w->r->steps;

    if (!more_g && !more_k) return false;
    if (more_g && (!more_k || w->r->genuine[w->g] <= w->r->value[w->k]))
        *v = w->r->genuine[w->g];
    else
        *v = w->r->value[w->k];
    return true;
}

static void walk_past(struct walk *w, float v)
{
    while (w->g < w->r->n_genuine && w->r->genuine[w->g] <= v) w->g++;
    while (w->k < w->r->steps && w->r->value[w->k] <= v) w->k++;
}

static double above_now(const struct walk *w)
{
    return w->k < w->r->steps ? (double)w->r->above[w->k] : 0;
}

double roc_eer(const struct roc *r)
{
    const double ng = (double)r->n_genuine, ni = (double)r->n_impostor;
    struct walk w = {r, 0, 0};
    double fmr0 = 1, fnmr0 = 0; /* at the value before */
    float v;

    for (;;) {
        const double fmr = above_now(&w) / ni, fnmr = (double)w.g / ng;
        if (fnmr >= fmr) { /* crossed on the line from the step before */
            const double gap0 = fmr0 - fnmr0, gap1 = fnmr - fmr;
            const double t = gap0 + gap1 > 0 ? gap0 / (gap0 + gap1) : 0;
            return fmr0 + t * (fmr - fmr0);
        }
        fmr0 = fmr;
        fnmr0 = fnmr;
        if (!walk_value(&w, &v)) return fmr; /* not reached: at the end fmr is 0, fnmr 1 */
        walk_past(&w, v);
    }
}

double roc_accuracy_at(const struct roc *r, float threshold)
{
    const double right = (double)roc__genuine_at(r, threshold) + (double)r->n_impostor -
                         (double)roc__impostors_at(r, threshold);
    return right / ((double)r->n_genuine + (double)r->n_impostor);
}

float roc_best_threshold(const struct roc *r, double *accuracy)
{
    const double ng = (double)r->n_genuine, ni = (double)r->n_impostor;
    struct walk w = {r, 0, 0};
    float v, below = -1, best = -1;
    double best_right = -1;
    float best_gap = -1;

    for (;;) { /* thresholds in (below, v] all decide the same */
        const bool more = walk_value(&w, &v);
        const float above = more ? v : 1;
        const double right = ng - (double)w.g + ni - above_now(&w);
        const float gap = above - below;
        if (right > best_right || (right == best_right && gap > best_gap)) {
            best_right = right;
            best_gap = gap;
            best = below + gap / 2;
            if (!(best > below)) best = above; /* neighbouring floats */
        }
        if (!more) break;
        below = v;
        walk_past(&w, v);
    }
    if (accuracy) *accuracy = best_right / (ng + ni);
    return best;
}

void wilson_interval(double k, double n, double out[2])
{
    const double z = 1.959963984540054; /* 95 %, two-sided */

    if (!(n > 0)) {
        out[0] = 0;
        out[1] = 1;
        return;
    }
    const double p = k / n, zz = z * z / n;
    const double centre = (p + zz / 2) / (1 + zz);
    const double half = z / (1 + zz) * sqrt(p * (1 - p) / n + zz / (4 * n));
    out[0] = k <= 0 || centre - half < 0 ? 0 : centre - half;
    out[1] = k >= n || centre + half > 1 ? 1 : centre + half;
}
