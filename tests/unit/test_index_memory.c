/* The search index when memory runs out, beside readers, and what it leaves behind. Linked with
 * --wrap for malloc, calloc, realloc, aligned_alloc and free, so that each allocation can be
 * refused and each piece of memory looked at as it is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/pool.h"
#include "engine/match/index_internal.h"
#include "tests/unit/index_model.h"

#include <malloc.h>

/* How many allocations until the one that fails; negative: none does. */
static atomic_long left = -1;
/* Bytes that nobody may leave in memory that is given back; NULL: not looked for. */
static const float *_Atomic secret;
static atomic_int leaks;
enum { SECRET_BYTES = 16 };

static bool refused(void)
{
    return atomic_load(&left) >= 0 && atomic_fetch_sub(&left, 1) == 0;
}

#define REFUSE(name, params, args)                                                                 \
    void *__real_##name params;                                                                    \
    void *__wrap_##name params;                                                                    \
    void *__wrap_##name params                                                                     \
    {                                                                                              \
        return refused() ? NULL : __real_##name args;                                              \
    }
REFUSE(malloc, (size_t n), (n))
REFUSE(calloc, (size_t n, size_t size), (n, size))
REFUSE(realloc, (void *p, size_t n), (p, n))
REFUSE(aligned_alloc, (size_t align, size_t n), (align, n))

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
    const float *s = atomic_load(&secret);
    if (s && p && memmem(p, malloc_usable_size(p), s, SECRET_BYTES)) atomic_fetch_add(&leaks, 1);
    __real_free(p);
}

enum { D = 24, ROWS = 300, SMALL = 64 };

static struct match_index *make(bool centroids)
{
    struct match_index *x;
    assert_int_equal(match_index_new(&x, D, centroids, NULL), ERR_OK);
    x->view->examples.rows = x->view->centroids.rows = SMALL;
    return x;
}

/* Rows from..from + n - 1, three an identity. */
static void put(struct match_index *x, struct model *m, int from, int n, uint64_t *seed)
{
    struct match_change *c = calloc((size_t)n, sizeof *c);
    float *v = calloc((size_t)n * D, sizeof *v);
    for (int i = 0; i < n; i++) {
        model_vector(v + i * D, D, MODEL_CONE, (from + i) / 3 + 1, seed);
        c[i] = (struct match_change){MATCH_PUT, from + i, (from + i) / 3 + 1, v + i * D};
    }
    assert_int_equal(match_index_apply(x, c, (size_t)n, NULL), ERR_OK);
    if (m) model_apply(m, c, (size_t)n);
    free(c);
    free(v);
}

/* --- no memory --- */

static void same_rows(struct match_index *x, const struct model *m)
{
    struct match_row *rows;
    float *vectors;
    size_t n;
    assert_int_equal(match_index_rows(x, &rows, &vectors, &n, NULL), ERR_OK);
    assert_int_equal(n, m->n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(rows[i].example, m->row[i].example);
        assert_int_equal(rows[i].identity, m->row[i].identity);
        assert_memory_equal(vectors + i * D, m->row[i].vector, D * sizeof *vectors);
    }
    free(rows);
    free(vectors);
}

static void changes_without_memory(void **state)
{
    uint64_t seed = 11;
    struct model m = {.d = D};
    struct match_index *x = make(true);
    (void)state;
    put(x, &m, 0, ROWS, &seed);
    /* Some of all: new rows, other vectors, other people, and blocks that empty. */
    enum { N = 240 };
    struct match_change c[N];
    static float v[N][D];
    for (int i = 0; i < N; i++) {
        model_vector(v[i], D, MODEL_CONE, i, &seed);
        c[i] = (struct match_change){i % 4 ? MATCH_REMOVE : MATCH_MOVE, i / 2, 7, NULL};
        if (i >= 150) c[i] = (struct match_change){MATCH_PUT, i + 120, i / 2, v[i]};
    }
    long n = 0;
    for (bool done = false; !done; n++) {
        struct err_info err = ERR_INFO_INIT;
        atomic_store(&left, n);
        enum err rc = match_index_apply(x, c, N, &err);
        done = atomic_load(&left) >= 0;
        atomic_store(&left, -1);
        assert_int_equal(rc, done ? ERR_OK : ERR_NOMEM);
        if (done) model_apply(&m, c, N);
        same_rows(x, &m);
    }
    assert_true(n > 20);
    match_index_free(x);
    model_free(&m);
}

static enum err ask(struct match_index *x, const struct match_query *q, int which,
                    struct match_candidate *out)
{
    int count;
    struct match_row *rows, near[5];
    float *vectors;
    size_t n;
    enum err rc = ERR_OK;
    switch (which) {
    case 0:
        return match_index_search(x, q, out, &count, NULL, NULL, NULL);
    case 1:
        return match_index_nearest(x, q->vectors, 1, 5, near, &count, NULL, NULL, NULL);
    case 2:
        rc = match_index_scores(x, 2, q->vectors, &rows, &n, NULL);
        if (!rc) free(rows);
        return rc;
    default:
        rc = match_index_rows(x, &rows, &vectors, &n, NULL);
        if (!rc) free(rows), free(vectors);
        return rc;
    }
}

static void questions_without_memory(void **state)
{
    uint64_t seed = 12;
    struct match_index *x = make(false);
    float v[D];
    struct match_candidate want[5], out[5];
    const struct match_query q = {.vectors = v, .n = 1, .top = 5, .rule = MATCH_MAX};
    (void)state;
    put(x, NULL, 0, ROWS, &seed);
    model_vector(v, D, MODEL_CONE, 3, &seed);
    assert_int_equal(ask(x, &q, 0, want), ERR_OK);
    for (int which = 0; which < 4; which++)
        for (long i = 0;; i++) {
            atomic_store(&left, i);
            enum err rc = ask(x, &q, which, out);
            bool done = atomic_load(&left) >= 0;
            atomic_store(&left, -1);
            assert_int_equal(rc, done ? ERR_OK : ERR_NOMEM);
            if (done) {
                assert_true(i > 0);
                break;
            }
        }
    assert_int_equal(ask(x, &q, 0, out), ERR_OK);
    assert_memory_equal(out, want, sizeof want);
    match_index_free(x);
    struct match_index *none;
    for (long i = 0; i < 3; i++) {
        atomic_store(&left, i);
        enum err rc = match_index_new(&none, D, true, NULL);
        atomic_store(&left, -1);
        assert_int_equal(rc, ERR_NOMEM);
    }
}

/* --- erasure --- */

static bool holds(const struct match_index *x, const float *v)
{
    const struct match__set *sets[] = {&x->view->examples, &x->view->centroids};
    bool found = false;
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < sets[s]->n; i++) {
            const struct match__block *b = sets[s]->block[i];
            const size_t bytes = b ? (size_t)b->chunk->filled * D * sizeof *v : 0;
            found = found || (b && memmem(b->chunk->vectors, bytes, v, SECRET_BYTES));
        }
    return found;
}

static void erasure(void **state)
{
    enum { VICTIM = 1000 };
    static float v[D], other[D];
    uint64_t seed = 13;
    (void)state;
    model_vector(v, D, MODEL_CONE, 99, &seed);
    model_vector(other, D, MODEL_CONE, 99, &seed);
    const struct match_change enrol = {MATCH_PUT, VICTIM, 99999, v};
    const struct match_change ends[] = {{MATCH_REMOVE, VICTIM, 0, NULL},
                                        {MATCH_PUT, VICTIM, 99999, other}};
    for (int fill = 0; fill < 3 * SMALL; fill += 17)
        for (size_t end = 0; end < ARRAY_LEN(ends); end++) {
            struct match_index *x = make(true);
            put(x, NULL, 0, fill + 1, &seed);
            assert_int_equal(match_index_apply(x, &enrol, 1, NULL), ERR_OK);
            put(x, NULL, 2000, fill, &seed);
            assert_true(holds(x, v));
            atomic_store(&secret, v);
            struct match__view *reader = match__view_take(x);
            assert_int_equal(match_index_apply(x, &ends[end], 1, NULL), ERR_OK);
            assert_false(holds(x, v));
            match__view_drop(reader);
            match_index_free(x);
            atomic_store(&secret, NULL);
            assert_int_equal(atomic_load(&leaks), 0);
        }
    /* Everything goes with the index; and what a failed change wrote goes with the failure. */
    struct match_index *x = make(true);
    put(x, NULL, 0, 10, &seed);
    atomic_store(&secret, v);
    for (long i = 0;; i++) {
        atomic_store(&left, i);
        enum err rc = match_index_apply(x, &enrol, 1, NULL);
        atomic_store(&left, -1);
        if (!rc) break;
        assert_false(holds(x, v));
        for (int s = 0; s < SMALL; s++)
            assert_memory_not_equal(match__vector(x->view->examples.block[0]->chunk, s), v,
                                    sizeof v);
    }
    assert_true(holds(x, v));
    match_index_free(x);
    atomic_store(&secret, NULL);
    assert_int_equal(atomic_load(&leaks), 0);
}

/* --- readers beside a writer --- */

enum { ALWAYS = 30, ROUNDS = 150, READERS = 3 };

struct stage {
    struct match_index *x;
    float query[D];
    atomic_bool over;
    atomic_int asked, wrong;
};

/* Identity 1 is there in every state, with ALWAYS examples or none besides them: the writer adds
 * and removes the second half in one change. So a reader sees either half or all, never something
 * between. */
static void *reader(void *arg)
{
    struct stage *s = arg;
    struct match_candidate out[3];
    const struct match_query q = {
        .vectors = s->query, .n = 1, .top = 3, .rule = MATCH_MEAN_TOP, .m = 3};
    int count;
    while (!atomic_load(&s->over)) {
        size_t n = 0;
        struct match_row *rows = NULL;
        bool ok = !match_index_search(s->x, &q, out, &count, NULL, NULL, NULL) && count == 3;
        for (int i = 0; ok && i < count; i++)
            ok = out[i].identity != 1 || out[i].examples == ALWAYS || out[i].examples == 2 * ALWAYS;
        ok = ok && !match_index_scores(s->x, 1, s->query, &rows, &n, NULL) &&
             (n == ALWAYS || n == 2 * ALWAYS);
        free(rows);
        if (!ok) atomic_fetch_add(&s->wrong, 1);
        atomic_fetch_add(&s->asked, 1);
    }
    return NULL;
}

static void readers_and_a_writer(void **state)
{
    struct stage s = {.x = make(true)};
    pthread_t threads[READERS];
    static float v[2 * ALWAYS][D];
    struct match_change c[2 * ALWAYS];
    uint64_t seed = 14;
    (void)state;
    put(s.x, NULL, 1000, ROWS, &seed);
    for (int i = 0; i < 2 * ALWAYS; i++) {
        model_vector(v[i], D, MODEL_CONE, 1, &seed);
        c[i] = (struct match_change){MATCH_PUT, i, 1, v[i]};
    }
    assert_int_equal(match_index_apply(s.x, c, ALWAYS, NULL), ERR_OK);
    memcpy(s.query, v[0], sizeof s.query);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &s), 0);
    for (int round = 0; round < ROUNDS || atomic_load(&s.asked) < ROUNDS; round++) {
        for (int i = ALWAYS; i < 2 * ALWAYS; i++) c[i].kind = round % 2 ? MATCH_REMOVE : MATCH_PUT;
        assert_int_equal(match_index_apply(s.x, c + ALWAYS, ALWAYS, NULL), ERR_OK);
        const struct match_change moved = {MATCH_MOVE, 1000 + round % ROWS, 500 + round % 5, NULL};
        assert_int_equal(match_index_apply(s.x, &moved, 1, NULL), ERR_OK);
        put(s.x, NULL, 5000 + round % 100, 1 + round % 7, &seed);
    }
    atomic_store(&s.over, true);
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&s.wrong), 0);
    match_index_free(s.x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_without_memory),
        cmocka_unit_test(questions_without_memory),
        cmocka_unit_test(erasure),
        cmocka_unit_test(readers_and_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
