/* The search index against a plain scan in double (index_model.h), bit for bit: after random
 * changes, on data made to be hard, with every kernel that the CPU has, on 1 to 3 threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/pool.h"
#include "engine/match/index_internal.h"
#include "tests/unit/index_model.h"

#include <time.h>

enum { BATCH = 400, QUERIES = 3, POOLS = 3 };

struct bed {
    struct match_index *x;
    struct model m;
    enum model_data data;
    uint64_t seed;
    struct cores cores[POOLS];
};

static uint64_t first_seed;

static uint64_t draw(struct bed *b, uint64_t n)
{
    return model_random(&b->seed) % n;
}

/* --- changes --- */

/* n random changes, some of them to rows of the same call. spread: how many examples there can be.
 */
static void change(struct bed *b, size_t n, unsigned spread, unsigned removals)
{
    struct match_change *c = calloc(n, sizeof *c);
    float *v = calloc(n * (size_t)b->m.d, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        float *vector = v + i * (size_t)b->m.d;
        const uint64_t what = draw(b, 100);
        c[i].example = (int64_t)draw(b, spread) - 10;
        c[i].identity = (int64_t)draw(b, 3) ? (int64_t)draw(b, 40) : (int64_t)draw(b, spread);
        c[i].kind = what < removals ? MATCH_REMOVE : what < removals + 10 ? MATCH_MOVE : MATCH_PUT;
        if (c[i].kind != MATCH_PUT) continue;
        c[i].vector = vector;
        if (b->m.n > 0 && draw(b, 8) == 0) /* the same photograph again */
            memcpy(vector, b->m.row[draw(b, b->m.n)].vector, (size_t)b->m.d * sizeof *vector);
        else
            model_vector(vector, b->m.d, b->data, c[i].identity, &b->seed);
    }
    struct err_info err = ERR_INFO_INIT;
    if (match_index_apply(b->x, c, n, &err)) fail_msg("%s", err.message);
    model_apply(&b->m, c, n);
    free(c);
    free(v);
}

/* --- comparisons --- */

static void compare_rows(struct bed *b)
{
    struct match_row *rows;
    float *vectors;
    size_t n, identities = 0;
    assert_int_equal(match_index_rows(b->x, &rows, &vectors, &n, NULL), ERR_OK);
    assert_int_equal(n, b->m.n);
    for (size_t i = 0; i < n; i++) {
        const struct model_row *r = &b->m.row[i];
        bool fresh = r->identity != 0;
        for (size_t j = 0; j < i; j++) fresh = fresh && b->m.row[j].identity != r->identity;
        identities += fresh;
        assert_int_equal(rows[i].example, r->example);
        assert_int_equal(rows[i].identity, r->identity);
        assert_memory_equal(vectors + i * (size_t)b->m.d, r->vector,
                            (size_t)b->m.d * sizeof *vectors);
    }
    struct match_index_info info;
    match_index_info(b->x, &info);
    assert_int_equal(info.examples, n);
    assert_int_equal(info.identities, identities);
    assert_true(info.bytes >= n * (size_t)b->m.d * sizeof *vectors);
    free(rows);
    free(vectors);
}

/* No block is more than half holes, and every row is in one. */
static void check_blocks(const struct match__set *s)
{
    size_t live = 0;
    for (int i = 0; i < s->n; i++) {
        const struct match__block *b = s->block[i];
        if (!b) continue;
        assert_true(b->used - b->live <= s->rows / 2);
        live += (size_t)b->live;
    }
    assert_int_equal(live, s->live);
}

static void same(const struct match_candidate *got, const struct match_candidate *want,
                 const char *what, int place)
{
    if (got->identity == want->identity && got->similarity == want->similarity &&
        got->example == want->example && got->example_similarity == want->example_similarity &&
        got->examples == want->examples)
        return;
    fail_msg(
        "%s, seed %llu, place %d: %lld %.17g (%lld %.17g, %zu), want %lld %.17g (%lld %.17g, %zu)",
        what, (unsigned long long)first_seed, place, (long long)got->identity, got->similarity,
        (long long)got->example, got->example_similarity, got->examples, (long long)want->identity,
        want->similarity, (long long)want->example, want->example_similarity, want->examples);
}

static void compare_search(struct bed *b, const struct match_query *q)
{
    struct match_candidate out[QUERIES * MATCH_TOP_MAX];
    int counts[QUERIES];
    const struct match__simd *simd;
    size_t found[QUERIES];
    struct match_cost cost;
    struct match_candidate *all = calloc((b->m.n + 1) * QUERIES, sizeof *all);
    for (size_t i = 0; i < q->n; i++)
        found[i] = model_search(&b->m, q, q->vectors + i * (size_t)b->m.d, all + i * (b->m.n + 1));
    for (int k = 0; (simd = match__simd_at(k)); k++) {
        b->x->simd = simd;
        const struct cores *cores = k ? &b->cores[draw(b, POOLS)] : NULL;
        assert_int_equal(match_index_search(b->x, q, out, counts, &cost, cores, NULL), ERR_OK);
        if (q->rule != MATCH_CENTROID) assert_int_equal(cost.scanned, b->m.n);
        for (size_t i = 0; i < q->n; i++) {
            size_t most = found[i] < (size_t)q->top ? found[i] : (size_t)q->top;
            assert_int_equal(counts[i], most);
            for (size_t j = 0; j < most; j++)
                same(&out[i * (size_t)q->top + j], &all[i * (b->m.n + 1) + j], simd->name, (int)j);
        }
    }
    free(all);
}

static void compare_examples(struct bed *b, const float *vectors, int top)
{
    struct match_row *out = calloc((size_t)QUERIES * MATCH_TOP_MAX, sizeof *out), *scores;
    struct match_row *want = calloc(b->m.n + 1, sizeof *want);
    int counts[QUERIES];
    size_t n;
    assert_int_equal(
        match_index_nearest(b->x, vectors, QUERIES, top, out, counts, NULL, &b->cores[1], NULL),
        ERR_OK);
    for (size_t i = 0; i < QUERIES; i++) {
        size_t all = model_rows(&b->m, -1, vectors + i * (size_t)b->m.d, want);
        assert_int_equal(counts[i], all < (size_t)top ? all : (size_t)top);
        assert_memory_equal(out + i * (size_t)top, want, (size_t)counts[i] * sizeof *want);
    }
    const int64_t identity = 1 + (int64_t)draw(b, 40);
    assert_int_equal(match_index_scores(b->x, identity, vectors, &scores, &n, NULL), ERR_OK);
    assert_int_equal(n, model_rows(&b->m, identity, vectors, want));
    if (n) assert_memory_equal(scores, want, n * sizeof *want);
    free(scores);
    free(out);
    free(want);
}

static int ascending(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void compare(struct bed *b)
{
    static const int tops[] = {1, 2, 5, 10, MATCH_TOP_MAX};
    float *v = calloc(QUERIES * (size_t)b->m.d, sizeof *v);
    int64_t allowed[30];
    for (int i = 0; i < QUERIES; i++) {
        float *query = v + (size_t)i * (size_t)b->m.d;
        model_vector(query, b->m.d, b->data, (int64_t)draw(b, 40), &b->seed);
        if (i == 1 && b->m.n)
            memcpy(query, b->m.row[draw(b, b->m.n)].vector, (size_t)b->m.d * sizeof *v);
    }
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) allowed[i] = (int64_t)draw(b, 100);
    qsort(allowed, ARRAY_LEN(allowed), sizeof *allowed, ascending);
    compare_rows(b);
    check_blocks(&b->x->view->examples);
    check_blocks(&b->x->view->centroids);
    assert_int_equal(b->x->view->directory.identities, b->x->view->centroids.live);
    for (int rule = MATCH_MAX; rule <= MATCH_CENTROID; rule++) {
        const bool filter = draw(b, 3) == 0;
        const struct match_query q = {v,
                                      1 + draw(b, QUERIES),
                                      tops[draw(b, ARRAY_LEN(tops))],
                                      (enum match_rule)rule,
                                      1 + (int)draw(b, 5),
                                      filter ? allowed : NULL,
                                      filter ? draw(b, ARRAY_LEN(allowed) + 1) : 0};
        compare_search(b, &q);
    }
    compare_examples(b, v, tops[draw(b, ARRAY_LEN(tops))]);
    free(v);
}

/* --- the tests --- */

static void life(int d, enum model_data data, const struct cores *cores)
{
    struct bed b = {.m = {.d = d}, .data = data, .seed = first_seed + (uint64_t)(d * 10 + data)};
    memcpy(b.cores, cores, sizeof b.cores);
    assert_int_equal(match_index_new(&b.x, d, true, NULL), ERR_OK);
    /* Small chunks: many of them, and many that empty. */
    b.x->view->examples.rows = b.x->view->centroids.rows = MATCH__TILE;
    compare(&b);
    const size_t batch = d > 1000 ? BATCH / 4 : BATCH;
    const unsigned spread = (unsigned)batch * 2;
    for (int i = 0; i < 3; i++) {
        change(&b, batch, spread, 5);
        compare(&b);
        change(&b, 1 + draw(&b, 20), spread, 20);
        compare(&b);
        change(&b, batch, spread, 85);
        compare(&b);
    }
    match_index_free(b.x);
    model_free(&b.m);
}

static void random_lives(void **state)
{
    static const int dims[] = {1, 2, 3, 17, 127, 128, 129, 512, 4096};
    struct pool *pools[POOLS];
    struct cores cores[POOLS];
    (void)state;
    for (int i = 0; i < POOLS; i++) {
        assert_int_equal(pool_new(&pools[i], i + 1, NULL), ERR_OK);
        cores[i] = pool_cores(pools[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(dims); i++)
        for (int data = 0; data < MODEL_DATA; data++) life(dims[i], (enum model_data)data, cores);
    for (int i = 0; i < POOLS; i++) pool_free(pools[i]);
}

/* Many parts on several threads, many queries in one call, chunks of the usual size; and the shadow
 * earns its place: few rows are taken in double. */
static void large(void **state)
{
    enum { ROWS = 40000, D = 64, N = 40, TOP = 10 };
    static struct match_candidate out[4][N * TOP];
    struct match_cost cost;
    int counts[N];
    (void)state;
    struct match_index *x;
    uint64_t seed = first_seed;
    float *v = calloc((size_t)ROWS * D, sizeof *v);
    struct match_change *c = calloc(ROWS, sizeof *c);
    for (int i = 0; i < ROWS; i++) {
        model_vector(v + i * D, D, MODEL_CONE, i / 3 + 1, &seed);
        c[i] = (struct match_change){MATCH_PUT, i, i / 3 + 1, v + i * D};
    }
    assert_int_equal(match_index_new(&x, D, false, NULL), ERR_OK);
    for (int i = 0; i < ROWS; i += ROWS / 4)
        assert_int_equal(match_index_apply(x, c + i, ROWS / 4, NULL), ERR_OK);
    const struct match_query q = {.vectors = v + 999 * D, .n = N, .top = TOP, .rule = MATCH_MAX};
    for (int threads = 1; threads <= 3; threads++) {
        struct pool *pool;
        assert_int_equal(pool_new(&pool, threads, NULL), ERR_OK);
        struct cores cores = pool_cores(pool);
        memset(out[threads], 0, sizeof out[threads]);
        assert_int_equal(match_index_search(x, &q, out[threads], counts, &cost, &cores, NULL),
                         ERR_OK);
        assert_memory_equal(out[threads], out[1], sizeof out[1]);
        assert_int_equal(cost.scanned, ROWS);
        assert_true(cost.exact);
        if (cost.rescored > (size_t)ROWS * N / 20) fail_msg("%zu rows in double", cost.rescored);
        pool_free(pool);
    }
    for (int i = 0; i < N; i += 7) { /* each query is a row */
        assert_int_equal(counts[i], TOP);
        assert_int_equal(out[1][i * TOP].example, 999 + i);
        double last = out[1][i * TOP + TOP - 1].similarity;
        int better = 0;
        int64_t before = 0;
        for (int j = 0; j < ROWS; j++) {
            bool is = model_dot(v + (999 + i) * D, v + j * D, D) > last && c[j].identity != before;
            better += is;
            before = is ? c[j].identity : before;
        }
        assert_int_equal(better, TOP - 1);
    }
    match_index_free(x);
    free(v);
    free(c);
}

static void refusals(void **state)
{
    struct match_index *x = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct match_candidate out[1];
    int count;
    const float unit[2] = {0.6f, 0.8f}, longer[2] = {0.7f, 0.8f}, nan[2] = {NAN, 0};
    const int64_t wrong[2] = {2, 1};
    (void)state;
    assert_int_equal(match_index_new(&x, 0, false, &err), ERR_INVALID);
    assert_int_equal(match_index_new(&x, MATCH_DIM_MAX + 1, false, &err), ERR_INVALID);
    assert_int_equal(match_index_new(&x, 2, false, &err), ERR_OK);
    const struct match_change bad[] = {
        {MATCH_PUT, 1, 1, longer},       {MATCH_PUT, 1, 1, nan},
        {MATCH_PUT, INT64_MIN, 1, unit}, {MATCH_PUT, 1, -1, unit},
        {MATCH_MOVE, 1, -1, NULL},       {(enum match_change_kind)9, 1, 1, unit},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct match_change both[] = {{MATCH_PUT, 5, 5, unit}, bad[i]};
        struct match_index_info info;
        assert_int_equal(match_index_apply(x, both, 2, &err), ERR_INVALID);
        match_index_info(x, &info);
        assert_int_equal(info.examples, 0);
    }
    const struct match_query queries[] = {
        {unit, 1, 0, MATCH_MAX, 0, NULL, 0},
        {unit, 1, MATCH_TOP_MAX + 1, MATCH_MAX, 0, NULL, 0},
        {longer, 1, 1, MATCH_MAX, 0, NULL, 0},
        {nan, 1, 1, MATCH_MAX, 0, NULL, 0},
        {unit, 1, 1, MATCH_MEAN_TOP, 0, NULL, 0},
        {unit, 1, 1, MATCH_CENTROID, 0, NULL, 0},
        {unit, 1, 1, MATCH_MAX, 0, wrong, 2},
        {unit, 1, 1, (enum match_rule)7, 0, NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(queries); i++)
        assert_int_equal(match_index_search(x, &queries[i], out, &count, NULL, NULL, &err),
                         ERR_INVALID);
    assert_int_equal(match_index_apply(x, NULL, 0, &err), ERR_OK);
    match_index_free(x);
    match_index_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lives),
        cmocka_unit_test(large),
        cmocka_unit_test(refusals),
    };
    first_seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : (uint64_t)time(NULL);
    print_message("SEED=%llu\n", (unsigned long long)first_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
