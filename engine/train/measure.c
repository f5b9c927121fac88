#include "engine/train/measure.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"

enum { NEAREST_MAX = 16, QUERIES = 64, REFERENCES = 1024 /* a block of similarities */ };

/* --- the k nearest --- */

struct found {
    float similarity[NEAREST_MAX];
    uint8_t label[NEAREST_MAX];
    int n;
};

/* Kept most similar first; of equals the one that came first. */
static void keep(struct found *f, int k, float similarity, uint8_t label)
{
    int at = f->n;
    if (at == k && similarity <= f->similarity[k - 1]) return;
    if (at == k) at--;
    for (; at > 0 && f->similarity[at - 1] < similarity; at--) {
        f->similarity[at] = f->similarity[at - 1];
        f->label[at] = f->label[at - 1];
    }
    f->similarity[at] = similarity;
    f->label[at] = label;
    if (f->n < k) f->n++;
}

static uint8_t vote(const struct found *f)
{
    int votes[TRAIN_MAX_CLASSES] = {0};
    double sum[TRAIN_MAX_CLASSES] = {0};
    uint8_t best = f->label[0];
    for (int i = 0; i < f->n; i++) {
        votes[f->label[i]]++;
        sum[f->label[i]] += (double)f->similarity[i];
    }
    for (int i = 0; i < f->n; i++) {
        const uint8_t c = f->label[i];
        if (votes[c] > votes[best] || (votes[c] == votes[best] && sum[c] > sum[best])) best = c;
    }
    return best;
}

struct search {
    uint8_t *read;
    const float *x, *refs;
    const uint8_t *ref_labels;
    size_t n, n_refs;
    int d, k;
    float *scores; /* [threads][QUERIES][REFERENCES] */
};

static void search_part(void *arg, int part, int thread)
{
    const struct search *s = arg;
    const size_t first = (size_t)part * QUERIES, rest = s->n - first,
                 n = rest < QUERIES ? rest : QUERIES;
    float *scores = s->scores + (size_t)thread * QUERIES * REFERENCES;
    struct found found[QUERIES] = {0};
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* OpenBLAS asks OpenMP; the parts are what is shared */
    for (size_t r = 0; r < s->n_refs; r += REFERENCES) {
        const size_t m = s->n_refs - r < REFERENCES ? s->n_refs - r : REFERENCES;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)m, s->d, 1,
                    s->x + first * (size_t)s->d, s->d, s->refs + r * (size_t)s->d, s->d, 0, scores,
                    REFERENCES);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < m; j++)
                keep(&found[i], s->k, scores[i * REFERENCES + j], s->ref_labels[r + j]);
    }
    omp_set_num_threads(threads);
    for (size_t i = 0; i < n; i++) s->read[first + i] = vote(&found[i]);
}

enum err train_nearest(uint8_t *read, const float *x, size_t n, const float *refs,
                       const uint8_t *ref_labels, size_t n_refs, int d, int k,
                       const struct cores *cores, struct err_info *err)
{
    AUTO_FREE float *scores =
        mem_aligned((size_t)cores_threads(cores) * QUERIES * REFERENCES, sizeof *scores);
    if (k < 1 || k > NEAREST_MAX || !n_refs)
        return err_set(err, ERR_INVALID, "%d nearest of %zu, the limit is 1 to %d", k, n_refs,
                       (int)NEAREST_MAX);
    if (!scores) return err_set(err, ERR_NOMEM, "no memory to compare with %zu glyphs", n_refs);
    struct search s = {read, x, refs, ref_labels, n, n_refs, d, k, scores};
    cores_run(cores, search_part, &s, (int)((n + QUERIES - 1) / QUERIES));
    return ERR_OK;
}

void train_add_means(struct train_refs *to, const float *x, const uint8_t *labels, size_t n, int d)
{
    bool there[TRAIN_MAX_CLASSES] = {false};
    for (size_t i = 0; i < n; i++) there[labels[i]] = true;
    for (int c = 0; c < TRAIN_MAX_CLASSES; c++) {
        if (!there[c]) continue;
        float *mean = to->x + to->n * (size_t)d;
        memset(mean, 0, (size_t)d * sizeof *mean);
        for (size_t i = 0; i < n; i++)
            if (labels[i] == c)
                for (int k = 0; k < d; k++) mean[k] += x[i * (size_t)d + (size_t)k];
        if (match_normalize(mean, d)) to->labels[to->n++] = (uint8_t)c;
    }
}

int train_nearest_class(float similarity[TRAIN_MAX_CLASSES], const float *x,
                        const struct train_refs *refs, int d, const bool *allowed)
{
    int best = -1;
    for (int c = 0; c < TRAIN_MAX_CLASSES; c++) similarity[c] = -1;
    for (size_t i = 0; i < refs->n; i++) {
        const int c = refs->labels[i];
        if (allowed && !allowed[c]) continue;
        const float s = match_similarity(x, refs->x + i * (size_t)d, d);
        if (s > similarity[c]) similarity[c] = s;
        if (best < 0 || similarity[c] > similarity[best]) best = c;
    }
    return best;
}

/* --- accuracy --- */

static uint32_t lower(uint32_t code)
{
    return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
}

bool train_same_letter(const struct train_set *s, int a, int b)
{
    return lower(s->codes[a][0]) == lower(s->codes[b][0]);
}

static uint32_t shape_of(uint32_t code)
{
    const uint32_t c = lower(code);
    return c == '0' ? 'o' : c == '1' || c == 'l' ? 'i' : c;
}

bool train_look_alike(const struct train_set *s, int a, int b)
{
    return shape_of(s->codes[a][0]) == shape_of(s->codes[b][0]);
}

double train_accuracy(const uint8_t *labels, const uint8_t *read, size_t n,
                      const struct train_set *s, train_same *same)
{
    size_t right = 0;
    for (size_t i = 0; i < n; i++)
        right += labels[i] == read[i] || (same && same(s, labels[i], read[i]));
    return n ? (double)right / (double)n : 0;
}

/* --- one example a class --- */

struct game {
    uint32_t *members; /* row numbers, class by class */
    size_t first[TRAIN_MAX_CLASSES + 1];
    int classes[TRAIN_MAX_CLASSES], n_classes; /* those of two glyphs or more */
};

static bool prepare(struct game *g, const uint8_t *labels, size_t n)
{
    size_t at[TRAIN_MAX_CLASSES];
    *g = (struct game){.members = calloc(n + 1, sizeof *g->members)};
    if (!g->members) return false;
    for (size_t i = 0; i < n; i++) g->first[labels[i] + 1]++;
    for (int c = 0; c < TRAIN_MAX_CLASSES; c++) {
        if (g->first[c + 1] > 1) g->classes[g->n_classes++] = c;
        g->first[c + 1] += g->first[c];
        at[c] = g->first[c];
    }
    for (size_t i = 0; i < n; i++) g->members[at[labels[i]]++] = (uint32_t)i;
    return true;
}

/* How many of `ways` glyphs are nearest to the example of their class. */
static int play(struct game *g, const float *x, int d, int ways, struct train_random *r)
{
    const float *example[TRAIN_MAX_CLASSES], *query[TRAIN_MAX_CLASSES];
    int right = 0;
    for (int i = 0; i < ways; i++) {
        const int other = i + (int)train_below(r, (size_t)(g->n_classes - i)),
                  c = g->classes[other];
        g->classes[other] = g->classes[i];
        g->classes[i] = c;
        const size_t n = g->first[c + 1] - g->first[c], a = train_below(r, n),
                     b = (a + 1 + train_below(r, n - 1)) % n;
        example[i] = x + g->members[g->first[c] + a] * (size_t)d;
        query[i] = x + g->members[g->first[c] + b] * (size_t)d;
    }
    for (int i = 0; i < ways; i++) {
        int best = 0;
        for (int k = 1; k < ways; k++)
            if (match_similarity(query[i], example[k], d) >
                match_similarity(query[i], example[best], d))
                best = k;
        right += best == i;
    }
    return right;
}

enum err train_one_shot(double *accuracy, const float *x, const uint8_t *labels, size_t n, int d,
                        int ways, int episodes, uint64_t seed, struct err_info *err)
{
    struct train_random r = train_random_of(seed, (uint64_t)ways, 0);
    struct game g;
    size_t right = 0;
    if (!prepare(&g, labels, n))
        return err_set(err, ERR_NOMEM, "no memory to compare %zu glyphs", n);
    if (ways > g.n_classes) {
        free(g.members);
        return err_set(err, ERR_INVALID, "%d classes of two glyphs or more, %d are wanted",
                       g.n_classes, ways);
    }
    for (int i = 0; i < episodes; i++) right += (size_t)play(&g, x, d, ways, &r);
    free(g.members);
    *accuracy = (double)right / ((double)episodes * ways);
    return ERR_OK;
}
