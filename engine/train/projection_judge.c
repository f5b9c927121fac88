/* Is one embedding better than another, on the same rows, by more than chance? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/train.h"
#include "engine/train/random.h"

enum { ROWS_MAX = 3000, BINS = 4096 /* of [-1, 1] */, DRAWS = 400, TAIL = 5, LEAST_BEYOND = 10 };
static const double RATES[] = {1e-4, 1e-3, 1e-2}; /* strictest first */

struct judge {
    size_t n, people;
    uint32_t *row, *who; /* [n]: of the caller's rows; people from 0 in the order they were drawn */
    uint16_t *bin[2];    /* [n][n], below the diagonal: before, after */
    const float *x[2];
    int d[2];
    double fmr;
    uint64_t seed;
    double (*found)[2][2]; /* [DRAWS]: before, after; equal error rate, share of matches at fmr */
};

/* --- which rows --- */

struct place {
    uint64_t key;
    uint32_t person, row;
};

static int by_key(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    if (p->key != q->key) return p->key < q->key ? -1 : 1;
    if (p->person != q->person) return p->person < q->person ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

/* Whole people in an order that the seed gives, until there are enough rows. */
static enum err choose_rows(struct judge *j, const uint32_t *person, size_t n, struct err_info *err)
{
    AUTO_FREE struct place *all = calloc(n + 1, sizeof *all);
    j->row = calloc(n + 1, sizeof *j->row);
    j->who = calloc(n + 1, sizeof *j->who);
    if (!all || !j->row || !j->who) return err_set(err, ERR_NOMEM, "no memory for %zu vectors", n);
    for (size_t i = 0; i < n; i++) {
        const struct train_random r = train_random_of(j->seed, person[i], DRAWS);
        all[i] = (struct place){r.state, person[i], (uint32_t)i};
    }
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 0, end; i < n && j->n < ROWS_MAX; i = end, j->people++) {
        for (end = i; end < n && all[end].person == all[i].person; end++) {
            if (j->n == ROWS_MAX) continue;
            j->row[j->n] = all[end].row;
            j->who[j->n++] = (uint32_t)j->people;
        }
    }
    return ERR_OK;
}

static void fill_row(void *arg, int i, int thread)
{
    const struct judge *j = arg;
    (void)thread;
    for (int side = 0; side < 2; side++) {
        const int d = j->d[side];
        const float *a = j->x[side] + (size_t)j->row[i] * (size_t)d;
        uint16_t *bins = j->bin[side] + (size_t)i * j->n;
        for (int k = 0; k < i; k++) {
            const float s = match_similarity(a, j->x[side] + (size_t)j->row[k] * (size_t)d, d);
            const int bin = (int)((s + 1) / 2 * BINS);
            bins[k] = (uint16_t)(bin < 0 ? 0 : bin < BINS ? bin : BINS - 1);
        }
    }
}

/* --- measures of one draw --- */

struct counts {
    double genuine[2][BINS], impostor[2][BINS];
};

static void count_pairs(struct counts *c, const struct judge *j, const double *weight)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < j->n; i++) {
        const double own = weight[j->who[i]];
        const uint16_t *before = j->bin[0] + i * j->n, *after = j->bin[1] + i * j->n;
        if (own == 0) continue;
        for (size_t k = 0; k < i; k++) {
            /* a person drawn twice brings its pairs twice, but is no stranger to itself */
            const bool same = j->who[i] == j->who[k];
            const double w = same ? own : own * weight[j->who[k]];
            double(*to)[BINS] = same ? c->genuine : c->impostor;
            to[0][before[k]] += w;
            to[1][after[k]] += w;
        }
    }
}

/* Walks down the similarities; out: the equal error rate, where misses and false matches cross
 * (between two bins on a straight line), and the matches at the last cut that keeps fmr. Zeros
 * where a draw has no pair of a kind: then before and after do not differ. */
static void measure(double out[2], const double *genuine, const double *impostor, double fmr)
{
    double all_genuine = 0, all_impostor = 0, matches = 0, false_matches = 0, miss = 1, wrong = 0;

    for (int b = 0; b < BINS; b++) {
        all_genuine += genuine[b];
        all_impostor += impostor[b];
    }
    out[0] = out[1] = 0;
    if (!(all_genuine > 0 && all_impostor > 0)) return;
    for (int b = BINS - 1; b >= 0; b--) {
        matches += genuine[b];
        false_matches += impostor[b];
        const double m = 1 - matches / all_genuine, f = false_matches / all_impostor;
        if (f <= fmr) out[1] = matches / all_genuine;
        if (f >= m && wrong < miss) { /* both were on the other side, one bin ago */
            const double gap = miss - wrong, next = f - m, at = gap / (gap + next);
            out[0] = wrong + at * (f - wrong);
        }
        miss = m;
        wrong = f;
    }
}

static void draw_one(void *arg, int i, int thread)
{
    const struct judge *j = arg;
    struct train_random r = train_random_of(j->seed, (uint64_t)i, 0);
    AUTO_FREE double *weight = calloc(j->people + 1, sizeof *weight);
    AUTO_FREE struct counts *c = malloc(sizeof *c);

    (void)thread;
    j->found[i][0][0] = NAN; /* no memory */
    if (!weight || !c) return;
    for (size_t k = 0; k < j->people; k++) weight[i ? train_below(&r, j->people) : k]++;
    count_pairs(c, j, weight);
    for (int side = 0; side < 2; side++)
        measure(j->found[i][side], c->genuine[side], c->impostor[side], j->fmr);
}

/* --- the judgement --- */

static int ascending(const void *a, const void *b)
{
    const double *p = a, *q = b;
    return *p < *q ? -1 : *p > *q;
}

/* Draw 0 is everybody once. */
static struct train_judged judged(const struct judge *j, int what)
{
    double difference[DRAWS];
    for (int i = 0; i < DRAWS; i++)
        difference[i] = j->found[i + 1][1][what] - j->found[i + 1][0][what];
    qsort(difference, DRAWS, sizeof *difference, ascending);
    return (struct train_judged){j->found[0][0][what],
                                 j->found[0][1][what],
                                 {difference[TAIL - 1], difference[DRAWS - TAIL]}};
}

static void count_kinds(struct train_judgement *out, const struct judge *j)
{
    for (size_t i = 0; i < j->n; i++)
        for (size_t k = 0; k < i; k++) {
            out->genuine_pairs += j->who[i] == j->who[k];
            out->impostor_pairs += j->who[i] != j->who[k];
        }
}

static enum err compare(struct train_judgement *out, struct judge *j, const struct cores *cores,
                        struct err_info *err)
{
    count_kinds(out, j);
    if (!out->genuine_pairs || !out->impostor_pairs)
        return err_set(err, ERR_INVALID,
                       "%zu held-out people make %llu pairs of one person and %llu of two, one of "
                       "each is needed",
                       j->people, (unsigned long long)out->genuine_pairs,
                       (unsigned long long)out->impostor_pairs);
    for (size_t k = 0; k < ARRAY_LEN(RATES) && j->fmr == 0; k++)
        if (RATES[k] * (double)out->impostor_pairs >= LEAST_BEYOND) j->fmr = RATES[k];
    for (int side = 0; side < 2; side++)
        if (!(j->bin[side] = calloc(j->n * j->n, sizeof **j->bin)))
            return err_set(err, ERR_NOMEM, "no memory to compare %zu vectors", j->n);
    if (!(j->found = calloc(DRAWS + 1, sizeof *j->found)))
        return err_set(err, ERR_NOMEM, "no memory to compare %zu vectors", j->n);
    cores_run(cores, fill_row, j, (int)j->n);
    cores_run(cores, draw_one, j, DRAWS + 1);
    for (int i = 0; i <= DRAWS; i++)
        if (isnan(j->found[i][0][0])) return err_set(err, ERR_NOMEM, "no memory to count pairs");
    return ERR_OK;
}

enum err train_judge(struct train_judgement *out, const float *before, int d, const float *after,
                     int dim, const uint32_t *person, size_t n, uint64_t seed,
                     const struct cores *cores, struct err_info *err)
{
    struct judge j = {.x = {before, after}, .d = {d, dim}, .seed = seed};
    struct train_judgement t = {0};
    enum err rc = choose_rows(&j, person, n, err);

    if (!rc) rc = compare(&t, &j, cores, err);
    if (!rc) {
        t.people = j.people;
        t.rows = j.n;
        t.eer = judged(&j, 0);
        if ((t.fmr = j.fmr) > 0) t.tar = judged(&j, 1);
        const bool up = t.eer.interval[1] < 0 || t.tar.interval[0] > 0,
                   down = t.eer.interval[0] > 0 || t.tar.interval[1] < 0;
        t.better = up && !down;
        *out = t;
    }
    free(j.row);
    free(j.who);
    free(j.bin[0]);
    free(j.bin[1]);
    free(j.found);
    return rc;
}
