/* A pass over a set of rows for up to MATCH_BATCH_MAX queries: bounds from the shadow, and what
 * reaches the cut again in float, then in double (index_simd.h says why nothing is missed). Each
 * thread keeps the best of the rows that it saw; together they are the best of all, whoever saw
 * which: an answer that one thread dropped was beaten by k others there. */
#include "engine/match/index_internal.h"

#include <math.h>
#include <string.h>

enum {
    PART_PRODUCTS = 1 << 23, /* a few milliseconds, even if every row is taken in double */
    SEEN = 256,
};

struct sight { /* what a thread has */
    struct match__top top[MATCH_BATCH_MAX];
    struct match__lens lens[MATCH_BATCH_MAX];
    double middle[MATCH_BATCH_MAX], rest[MATCH_BATCH_MAX]; /* q.mu, |v - v^| */
    bool focused; /* lens, middle and rest are for this centre */
    const struct match__centre *centre;
    float bounds[MATCH_BATCH_MAX * MATCH__TILE];
    uint64_t hits[MATCH_BATCH_MAX];
    int64_t seen[MATCH_BATCH_MAX][SEEN]; /* MATCH__MEANS: identities that were scored, by a hash */
    size_t rescored;
    int8_t *k;      /* [n][steps][4] */
    uint8_t *codes; /* a group of a block's last rows */
    float numbers[3 * MATCH__GROUP];
};

struct run {
    const struct match__pass *pass;
    struct sight *sight; /* [threads] */
    int steps, blocks_of_a_part;
    double dot_error;
};

/* --- queries as the shadow sees them --- */

static void focus(const struct run *r, struct sight *s, int q, const struct match__centre *centre)
{
    const struct match__pass *p = r->pass;
    const float *query = p->vectors + (size_t)q * (size_t)p->d;
    int8_t *k = s->k + (size_t)q * (size_t)r->steps * 4;
    double most = 0, square = 0, rest = 0, middle = 0;
    int32_t sum = 0;

    for (int i = 0; i < p->d; i++) {
        double mu = centre ? (double)centre->v[i] : 0, v = (double)query[i] - mu;
        most = fmax(most, fabs(v));
        square += v * v;
        middle += mu * (double)query[i];
    }
    const double t = (double)(float)(most / 127);
    for (int i = 0; i < p->d; i++) {
        double v = (double)query[i] - (centre ? (double)centre->v[i] : 0);
        int whole = t > 1e-30 ? (int)fmax(-127, fmin(127, rint(v / t))) : 0;
        double gap = v - t * whole;
        rest += gap * gap;
        k[i] = (int8_t)whole;
        sum += whole;
    }
    struct match__lens *l = &s->lens[q];
    l->k = k;
    l->bias = MATCH__CODE_BIAS * sum;
    l->t = (float)t;
    l->norm = (float)sqrt(square);
    s->middle[q] = middle;
    s->rest[q] = sqrt(rest);
}

static void aim(const struct run *r, struct sight *s, const struct match__block *b)
{
    if (!s->focused || s->centre != b->chunk->centre)
        for (int q = 0; q < r->pass->n; q++) focus(r, s, q, b->chunk->centre);
    s->focused = true;
    s->centre = b->chunk->centre;
    for (int q = 0; q < r->pass->n; q++)
        s->lens[q].base = (float)(s->middle[q] + s->rest[q] * (double)b->code_max) + MATCH__SLACK;
}

static void set_cut(struct sight *s, int q)
{
    s->lens[q].cut = (float)match__top_cut(&s->top[q]);
}

/* --- rows whose bound reaches the cut --- */

static bool is_allowed(const struct match__pass *p, int64_t identity)
{
    size_t lo = 0, hi = p->n_allowed;
    if (!p->allowed) return true;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->allowed[mid] < identity)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->n_allowed && p->allowed[lo] == identity;
}

/* The mean of the m greatest products of an identity's examples: added from the greatest down. */
static struct match__found score_mean(const struct match__pass *p, struct sight *s,
                                      const float *query, int64_t identity)
{
    double best[MATCH_TOP_MAX], sum = 0;
    int kept = 0;
    size_t n;
    const struct match__entry *e = match__directory_find(&p->view->directory, identity, &n);
    struct match__found f = {.key = identity, .other_score = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        double score = match__dot(query, match__row(p->set, e[i].at), p->d);
        if (score > f.other_score) f.other_score = score, f.other = e[i].example;
        if (kept == p->m && score <= best[kept - 1]) continue;
        int at = kept < p->m ? kept++ : kept - 1;
        for (; at > 0 && best[at - 1] < score; at--) best[at] = best[at - 1];
        best[at] = score;
    }
    s->rescored += n;
    for (int i = 0; i < kept; i++) sum += best[i];
    f.score = sum / kept;
    return f;
}

static void consider(const struct run *r, struct sight *s, int q, const struct match__block *b,
                     int slot, float bound)
{
    const struct match__pass *p = r->pass;
    const int64_t identity = b->identity[slot];
    double need = match__top_cut(&s->top[q]);
    int64_t *seen = &s->seen[q][(uint64_t)identity % SEEN];
    if (bound < s->lens[q].cut || b->key[slot] == MATCH__NONE) return;
    if (p->want != MATCH__EXAMPLES) {
        if (identity == 0 || (p->want == MATCH__MEANS && *seen == identity)) return;
        const struct match__found *have = match__top_find(&s->top[q], identity);
        if (have && (p->want == MATCH__MEANS || (double)bound < have->score)) return;
        if (have)
            need = have->score;
        else if (!is_allowed(p, identity))
            return;
    }
    const float *query = p->vectors + (size_t)q * (size_t)p->d;
    const float *row = match__vector(b->chunk, slot);
    if ((double)p->simd->dot(query, row, p->d) + r->dot_error < need) return;
    struct match__found f;
    if (p->want == MATCH__MEANS) {
        *seen = identity;
        f = score_mean(p, s, query, identity);
    } else {
        const bool examples = p->want == MATCH__EXAMPLES;
        f.key = examples ? b->key[slot] : identity;
        f.other = examples ? identity : b->key[slot];
        f.score = f.other_score = match__dot(query, row, p->d);
        s->rescored++;
    }
    match__top_offer(&s->top[q], &f);
    set_cut(s, q);
}

/* --- blocks --- */

static void scan_tile(const struct run *r, struct sight *s, const struct match__block *b,
                      const struct match__tile *tile, int first, int rows)
{
    const int n = r->pass->n;
    for (int q = 0; q < n; q++) set_cut(s, q);
    r->pass->simd->scan(s->bounds, s->hits, tile, s->lens, n);
    for (int q = 0; q < n; q++) {
        uint64_t hits = rows < MATCH__TILE ? s->hits[q] & (((uint64_t)1 << rows) - 1) : s->hits[q];
        for (; hits; hits &= hits - 1) {
            int row = __builtin_ctzll(hits);
            consider(r, s, q, b, first + row, s->bounds[q * MATCH__TILE + row]);
        }
    }
}

/* The rows of a group that is not full: copied one by one, because the next row may be written
 * beside them at this moment. */
static struct match__tile last_group(struct sight *s, const struct match__block *b, int first)
{
    const struct match__chunk *c = b->chunk;
    const size_t group = (size_t)c->steps * 4 * MATCH__GROUP;
    const uint8_t *from = c->codes + (size_t)(first / MATCH__GROUP) * group;
    const size_t rows = (size_t)(b->used - first);
    float *scale = s->numbers, *offset = scale + MATCH__GROUP, *residual = offset + MATCH__GROUP;
    for (size_t at = 0; at < group; at += 4 * MATCH__GROUP)
        memcpy(s->codes + at, from + at, 4 * rows);
    memcpy(scale, c->scale + first, rows * sizeof *scale);
    memcpy(offset, c->offset + first, rows * sizeof *offset);
    memcpy(residual, c->residual + first, rows * sizeof *residual);
    return (struct match__tile){s->codes, scale, offset, residual, c->steps, 1};
}

static void scan_block(const struct run *r, struct sight *s, const struct match__block *b)
{
    const struct match__chunk *c = b->chunk;
    const int full = b->used / MATCH__GROUP * MATCH__GROUP;
    aim(r, s, b);
    for (int first = 0; first < full; first += MATCH__TILE) {
        const int rows = full - first < MATCH__TILE ? full - first : MATCH__TILE;
        const struct match__tile tile = {
            .codes = c->codes + (size_t)first * (size_t)c->steps * 4,
            .scale = c->scale + first,
            .offset = c->offset + first,
            .residual = c->residual + first,
            .steps = c->steps,
            .groups = rows / MATCH__GROUP,
        };
        scan_tile(r, s, b, &tile, first, rows);
    }
    if (b->used > full) {
        const struct match__tile tile = last_group(s, b, full);
        scan_tile(r, s, b, &tile, full, b->used - full);
    }
}

static void scan_part(void *arg, int part, int thread)
{
    const struct run *r = arg;
    const struct match__set *set = r->pass->set;
    const int end = (part + 1) * r->blocks_of_a_part;
    for (int i = part * r->blocks_of_a_part; i < end && i < set->n; i++)
        if (set->block[i] && set->block[i]->live > 0)
            scan_block(r, &r->sight[thread], set->block[i]);
}

/* --- the pass --- */

static bool sight_open(struct sight *s, const struct match__pass *p, int steps)
{
    s->k = calloc((size_t)p->n * (size_t)steps * 4, 1);
    s->codes = calloc((size_t)steps * 4 * MATCH__GROUP, 1);
    for (int q = 0; q < p->n; q++) match__top_start(&s->top[q], p->top);
    return s->k && s->codes;
}

static void sight_close(struct sight *s)
{
    free(s->k);
    free(s->codes);
}

enum err match__pass_run(const struct match__pass *p, struct match__top *found,
                         struct match_cost *cost, const struct cores *cores, struct err_info *err)
{
    struct run r = {.pass = p, .steps = (p->d + 3) / 4, .dot_error = match__dot_error(p->d)};
    const double block = (double)p->set->rows * p->d * p->n;
    r.blocks_of_a_part = block < PART_PRODUCTS ? (int)(PART_PRODUCTS / block) : 1;
    const int parts = (p->set->n + r.blocks_of_a_part - 1) / r.blocks_of_a_part;
    const int threads = parts > 1 ? cores_threads(cores) : 1;
    enum err rc = ERR_OK;

    r.sight = calloc((size_t)threads, sizeof *r.sight);
    for (int i = 0; i < threads && !rc; i++)
        if (!r.sight || !sight_open(&r.sight[i], p, r.steps))
            rc = err_set(err, ERR_NOMEM, "no memory for a search of %d vectors", p->n);
    if (!rc) cores_run(parts > 1 ? cores : NULL, scan_part, &r, parts);
    for (int q = 0; q < p->n && !rc; q++) {
        found[q] = r.sight[0].top[q];
        for (int i = 1; i < threads; i++) {
            const struct match__top *t = &r.sight[i].top[q];
            for (int j = 0; j < t->n; j++) match__top_offer(&found[q], &t->found[j]);
        }
        match__top_sort(&found[q]);
    }
    cost->scanned = p->set->live;
    for (int i = 0; i < threads && r.sight; i++) {
        cost->rescored += r.sight[i].rescored;
        sight_close(&r.sight[i]);
    }
    free(r.sight);
    return rc;
}
