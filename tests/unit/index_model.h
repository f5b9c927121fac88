/* The search index done plainly: an array of rows, and a scan in double for every question. Slow,
 * and short enough to be seen right. */
#ifndef VISAVIS_TESTS_UNIT_INDEX_MODEL_H
#define VISAVIS_TESTS_UNIT_INDEX_MODEL_H

#include "engine/match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct model_row {
    int64_t example, identity;
    float *vector; /* malloc'd */
};
struct model {
    int d;
    size_t n, room;
    struct model_row *row; /* in ascending order of example */
};

static inline uint64_t model_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u); /* splitmix64 (Steele, Lea and Flood 2014) */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline double model_normal(uint64_t *seed)
{
    double u = ((double)(model_random(seed) >> 11) + 0.5) / 9007199254740992.0;
    double v = (double)(model_random(seed) >> 11) / 9007199254740992.0;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* What vectors look like. CONE: people around one direction, and their photographs around them:
 * what dlib's network makes of faces. GRID: few values, so that many products are equal. NEAR:
 * apart by less than the shadow can tell. AXES: one number is not zero. */
enum model_data { MODEL_RANDOM, MODEL_CONE, MODEL_GRID, MODEL_NEAR, MODEL_AXES, MODEL_DATA };

static inline void model_vector(float *v, int d, enum model_data data, int64_t person,
                                uint64_t *seed)
{
    uint64_t own = (uint64_t)person * 77 + 5, all = 3;
    const double wide = sqrt(1.0 / d);
    do {
        for (int i = 0; i < d; i++) {
            double x = model_normal(seed) * wide;
            if (data == MODEL_CONE)
                x = model_normal(&all) * wide + 0.42 * wide * model_normal(&own) + 0.22 * x;
            if (data == MODEL_GRID) x = rint(model_normal(seed));
            if (data == MODEL_NEAR) x = model_normal(&all) * wide + 1e-6 * x;
            if (data == MODEL_AXES) x = 0;
            v[i] = (float)x;
        }
        if (data == MODEL_AXES)
            v[model_random(seed) % (unsigned)d] = model_random(seed) & 1 ? 1 : -1;
    } while (!match_normalize(v, d));
}

static inline size_t model_find(const struct model *m, int64_t example)
{
    size_t i = 0;
    while (i < m->n && m->row[i].example < example) i++;
    return i;
}

static inline void model_apply(struct model *m, const struct match_change *c, size_t n)
{
    const size_t bytes = (size_t)m->d * sizeof(float);
    for (; n > 0; n--, c++) {
        size_t i = model_find(m, c->example);
        bool there = i < m->n && m->row[i].example == c->example;
        struct model_row *row = &m->row[i];
        if (c->kind == MATCH_MOVE && there) row->identity = c->identity;
        if (c->kind == MATCH_REMOVE && there) {
            free(row->vector);
            memmove(row, row + 1, (--m->n - i) * sizeof *row);
        }
        if (c->kind != MATCH_PUT) continue;
        if (!there) {
            if (m->n == m->room) {
                m->room = 2 * m->room + 64;
                m->row = realloc(m->row, m->room * sizeof *m->row);
                row = &m->row[i];
            }
            memmove(row + 1, row, (m->n++ - i) * sizeof *row);
            *row = (struct model_row){c->example, 0, malloc(bytes)};
        }
        row->identity = c->identity;
        memcpy(row->vector, c->vector, bytes);
    }
}

static inline void model_free(struct model *m)
{
    for (size_t i = 0; i < m->n; i++) free(m->row[i].vector);
    free(m->row);
}

static inline double model_dot(const float *a, const float *b, int d)
{
    double sum = 0;
    for (int i = 0; i < d; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static inline int model_descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static inline int model_by_rank(const void *a, const void *b)
{
    const struct match_candidate *x = a, *y = b;
    if (x->similarity != y->similarity) return x->similarity > y->similarity ? -1 : 1;
    return x->identity < y->identity ? -1 : x->identity > y->identity;
}

static inline double model_centroid(const struct model *m, int64_t identity, const float *query)
{
    double *sum = calloc((size_t)m->d, sizeof *sum), square = 0;
    float *mean = calloc((size_t)m->d, sizeof *mean);
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (m->row[i].identity != identity) continue;
        if (n++ == 0) memcpy(mean, m->row[i].vector, (size_t)m->d * sizeof *mean);
        for (int j = 0; j < m->d; j++) sum[j] += (double)m->row[i].vector[j];
    }
    for (int j = 0; j < m->d; j++) square += sum[j] * sum[j];
    if (n > 1 && sqrt(square) > 1e-9 * (double)n)
        for (int j = 0; j < m->d; j++) mean[j] = (float)(sum[j] / sqrt(square));
    double s = model_dot(query, mean, m->d);
    free(sum);
    free(mean);
    return s;
}

/* One query of q: out has room for every identity; returns how many candidates there are in all,
 * all of them sorted. */
static inline size_t model_search(const struct model *m, const struct match_query *q,
                                  const float *query, struct match_candidate *out)
{
    double *score = malloc((m->n + 1) * sizeof *score);
    bool *done = calloc(m->n + 1, 1);
    size_t found = 0;
    for (size_t first = 0; first < m->n; first++) {
        const int64_t id = m->row[first].identity;
        bool may = q->allowed == NULL;
        for (size_t i = 0; i < q->n_allowed; i++) may = may || q->allowed[i] == id;
        if (done[first] || id == 0 || !may) continue;
        struct match_candidate c = {id, 0, 0, -9, 0};
        for (size_t i = first; i < m->n; i++) {
            if (m->row[i].identity != id) continue;
            done[i] = true;
            double s = model_dot(query, m->row[i].vector, m->d);
            if (s > c.example_similarity) c.example_similarity = s, c.example = m->row[i].example;
            score[c.examples++] = s;
        }
        qsort(score, c.examples, sizeof *score, model_descending);
        c.similarity = score[0];
        if (q->rule == MATCH_MEAN_TOP) {
            size_t most = c.examples < (size_t)q->m ? c.examples : (size_t)q->m;
            for (size_t i = 1; i < most; i++) c.similarity += score[i];
            c.similarity /= (double)most;
        }
        if (q->rule == MATCH_CENTROID) c.similarity = model_centroid(m, id, query);
        out[found++] = c;
    }
    qsort(out, found, sizeof *out, model_by_rank);
    free(score);
    free(done);
    return found;
}

static inline int model_row_by_rank(const void *a, const void *b)
{
    const struct match_row *x = a, *y = b;
    if (x->similarity != y->similarity) return x->similarity > y->similarity ? -1 : 1;
    return x->example < y->example ? -1 : x->example > y->example;
}

/* All rows (identity < 0) or one identity's by their similarity; out [m->n]. */
static inline size_t model_rows(const struct model *m, int64_t identity, const float *query,
                                struct match_row *out)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct model_row *r = &m->row[i];
        if (identity >= 0 && r->identity != identity) continue;
        out[n++] = (struct match_row){r->example, r->identity, model_dot(query, r->vector, m->d)};
    }
    qsort(out, n, sizeof *out, model_row_by_rank);
    return n;
}

#endif
