/* Every pair of a set of embeddings, in blocks of one matrix product each. What is kept does not
 * grow with the pairs: a fine histogram of the impostors, the most similar of them one by one, and
 * the genuine pairs, which are few. */
#include "engine/match.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

enum { BLOCK_ROWS = 256, BLOCK_COLUMNS = 1024 };
static const double Z95 = 1.959963984540054;

struct rows {
    const float *x;
    size_t n;
    int d;
    const uint32_t *person, *group;
};

enum pair_kind { PAIR_GENUINE, PAIR_IMPOSTOR, PAIR_LEFT_OUT };

static enum pair_kind kind_of(const struct rows *r, size_t a, size_t b)
{
    if (r->person[a] == r->person[b]) return PAIR_GENUINE;
    return r->group && r->group[a] == r->group[b] ? PAIR_LEFT_OUT : PAIR_IMPOSTOR;
}

/* Calls visit for each pair a < b; a false answer stops it (no memory). */
typedef bool visit_fn(void *self, size_t a, size_t b, float similarity, enum pair_kind kind);

static enum err visit_pairs(const struct rows *r, visit_fn *visit, void *self, struct err_info *err)
{
    if (r->n < 2 || r->n > UINT32_MAX || r->d < 1)
        return err_set(err, ERR_INVALID, "pairs need 2 rows or more, there are %zu of %d numbers",
                       r->n, r->d);
    float *block AUTO_FREE = mem_aligned((size_t)BLOCK_ROWS * BLOCK_COLUMNS, sizeof *block);
    if (!block) return err_set(err, ERR_NOMEM, "no memory for a block of pairs");
    for (size_t i = 0; i < r->n; i += BLOCK_ROWS) {
        const size_t ni = r->n - i < BLOCK_ROWS ? r->n - i : BLOCK_ROWS;
        for (size_t j = i; j < r->n; j += BLOCK_COLUMNS) {
            const size_t nj = r->n - j < BLOCK_COLUMNS ? r->n - j : BLOCK_COLUMNS;
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)ni, (int)nj, r->d, 1,
                        r->x + i * (size_t)r->d, r->d, r->x + j * (size_t)r->d, r->d, 0, block,
                        BLOCK_COLUMNS);
            for (size_t a = i; a < i + ni; a++) {
                const float *row = block + (a - i) * BLOCK_COLUMNS;
                for (size_t b = j > a ? j : a + 1; b < j + nj; b++) {
                    const float s = row[b - j] > 1 ? 1 : row[b - j] < -1 ? -1 : row[b - j];
                    if (!visit(self, a, b, s, kind_of(r, a, b)))
                        return err_set(err, ERR_NOMEM, "no memory for the pairs of %zu rows", r->n);
                }
            }
        }
    }
    return ERR_OK;
}

static enum err each_pair(const struct rows *r, int threads, visit_fn *visit, void *self,
                          struct err_info *err)
{
    const int before = omp_get_max_threads(); /* a setting of the calling thread */

    if (threads) omp_set_num_threads(threads);
    enum err rc = visit_pairs(r, visit, self, err);
    omp_set_num_threads(before);
    return rc;
}

/* Most similar first; equal ones by row, so that the order does not depend on how they were met. */
static int by_falling_similarity(const void *pa, const void *pb)
{
    const struct match_pair *a = pa, *b = pb;
    if (a->similarity != b->similarity) return a->similarity < b->similarity ? 1 : -1;
    if (a->a != b->a) return a->a < b->a ? -1 : 1;
    return a->b < b->b ? -1 : a->b > b->b;
}

static int by_rising_similarity(const void *pa, const void *pb)
{
    return by_falling_similarity(pb, pa);
}

static size_t bin_of(float s)
{
    const double b = floor(((double)s + 1) / 2 * MATCH_PAIRS_BINS);
    return b >= MATCH_PAIRS_BINS ? MATCH_PAIRS_BINS - 1 : (size_t)b;
}

struct collector {
    struct match_pairs *p;
    size_t genuine_cap, tail_max;
    float floor; /* what lies below cannot reach the tail any more */
};

/* Keeps the tail_max most similar; the rest goes into the histogram. */
static void shorten_tail(struct collector *c)
{
    struct match_pairs *p = c->p;

    qsort(p->tail, p->n_tail, sizeof *p->tail, by_falling_similarity);
    for (; p->n_tail > c->tail_max; p->n_tail--)
        p->histogram[bin_of(p->tail[p->n_tail - 1].similarity)]++;
    if (p->n_tail && p->n_tail == c->tail_max) c->floor = p->tail[p->n_tail - 1].similarity;
}

static bool collect(void *self, size_t a, size_t b, float s, enum pair_kind kind)
{
    struct collector *c = self;
    struct match_pairs *p = c->p;
    const struct match_pair pair = {s, (uint32_t)a, (uint32_t)b};

    if (kind == PAIR_LEFT_OUT) return true;
    if (kind == PAIR_GENUINE) {
        if (p->n_genuine == c->genuine_cap) {
            const size_t cap = c->genuine_cap ? 2 * c->genuine_cap : 1024;
            struct match_pair *more = realloc(p->genuine, cap * sizeof *more);
            if (!more) return false;
            p->genuine = more;
            c->genuine_cap = cap;
        }
        p->genuine[p->n_genuine++] = pair;
        return true;
    }
    p->n_impostor++;
    if (s < c->floor || !c->tail_max) {
        p->histogram[bin_of(s)]++;
        return true;
    }
    p->tail[p->n_tail++] = pair;
    if (p->n_tail == 2 * c->tail_max) shorten_tail(c);
    return true;
}

enum err match_pairs_new(struct match_pairs **out, const float *x, size_t n, int d,
                         const uint32_t *person, const uint32_t *group, size_t tail_max,
                         int threads, struct err_info *err)
{
    const struct rows rows = {x, n, d, person, group};
    struct match_pairs *p = calloc(1, sizeof *p);
    struct collector c = {p, 0, tail_max, -2};
    enum err rc;

    if (p) {
        p->tail = calloc(2 * tail_max + 1, sizeof *p->tail);
        p->histogram = calloc(MATCH_PAIRS_BINS, sizeof *p->histogram);
    }
    if (!p || !p->tail || !p->histogram) {
        rc = err_set(err, ERR_NOMEM, "no memory for a tail of %zu pairs", tail_max);
        goto fail;
    }
    if ((rc = each_pair(&rows, threads, collect, &c, err))) goto fail;
    shorten_tail(&c);
    if (p->n_genuine) qsort(p->genuine, p->n_genuine, sizeof *p->genuine, by_rising_similarity);
    *out = p;
    return ERR_OK;
fail:
    match_pairs_free(p);
    return rc;
}

void match_pairs_free(struct match_pairs *p)
{
    if (!p) return;
    free(p->genuine);
    free(p->tail);
    free(p->histogram);
    free(p);
}

struct counter {
    const struct rows *rows;
    const float *cuts;
    int n_cuts;
    uint64_t *reached; /* [persons][n_cuts]: impostor pairs with that person */
    uint64_t *pairs;   /* [persons] */
};

static bool count(void *self, size_t a, size_t b, float s, enum pair_kind kind)
{
    struct counter *c = self;
    const size_t p = c->rows->person[a], q = c->rows->person[b];

    if (kind != PAIR_IMPOSTOR) return true;
    c->pairs[p]++;
    c->pairs[q]++;
    for (int k = 0; k < c->n_cuts; k++) {
        if (s < c->cuts[k]) continue;
        c->reached[p * (size_t)c->n_cuts + (size_t)k]++;
        c->reached[q * (size_t)c->n_cuts + (size_t)k]++;
    }
    return true;
}

/* The rate's standard error when every person is a cluster: u_ij = x_ij - rate, x_ij 1 where the
 * pair reached the cut; var = (sum over persons of (sum of u with that person)^2 - sum over pairs
 * of u^2) / pairs^2. The pairs of the same two persons are inside both persons' sums; counting
 * their u^2 singly keeps the estimate on the wide side. */
static void rate_interval(struct match_rate *r, const uint64_t *reached, size_t stride,
                          const uint64_t *pairs, size_t persons)
{
    const double n = (double)r->pairs, k = (double)r->reached;
    double clusters = 0;

    r->fmr = n > 0 ? k / n : 0;
    r->ci[0] = 0;
    r->ci[1] = 1;
    if (r->reached == 0) return;
    for (size_t p = 0; p < persons; p++) {
        const double u = (double)reached[p * stride] - r->fmr * (double)pairs[p];
        clusters += u * u;
    }
    const double singles = k * (1 - r->fmr); /* sum of u^2 */
    const double least = sqrt(singles);      /* as if the pairs were independent */
    const double sd = clusters - singles > singles ? sqrt(clusters - singles) : least;
    const double spread = Z95 * sd / k;
    r->log_sd = sd / k;
    r->ci[0] = r->fmr * exp(-spread);
    r->ci[1] = r->fmr * exp(spread) < 1 ? r->fmr * exp(spread) : 1;
}

enum err match_pairs_rates(struct match_rate *out, const float *cuts, int n_cuts, const float *x,
                           size_t n, int d, const uint32_t *person, const uint32_t *group,
                           struct err_info *err)
{
    const struct rows rows = {x, n, d, person, group};
    size_t persons = 0;
    enum err rc;

    for (size_t i = 0; i < n; i++) {
        if (person[i] >= persons) persons = (size_t)person[i] + 1;
    }
    uint64_t *reached AUTO_FREE = calloc(persons * (size_t)n_cuts + 1, sizeof *reached);
    uint64_t *pairs AUTO_FREE = calloc(persons + 1, sizeof *pairs);
    if (!reached || !pairs)
        return err_set(err, ERR_NOMEM, "no memory for the rates of %zu people", persons);
    struct counter c = {&rows, cuts, n_cuts, reached, pairs};
    if ((rc = each_pair(&rows, 0, count, &c, err))) return rc;
    for (int k = 0; k < n_cuts; k++) {
        struct match_rate r = {0};
        for (size_t p = 0; p < persons; p++) {
            r.reached += reached[p * (size_t)n_cuts + (size_t)k];
            r.pairs += pairs[p];
        }
        r.reached /= 2; /* each pair was counted at both persons */
        r.pairs /= 2;
        rate_interval(&r, reached + k, (size_t)n_cuts, pairs, persons);
        out[k] = r;
    }
    return ERR_OK;
}
