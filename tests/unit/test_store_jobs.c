#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/store/jobs.h"
#include "tests/unit/jobs_dir.h"

enum { DAY_MS = 24 * 3600 * 1000 };
static const char KEY[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C";

static struct store *store;

static int make_tx_dir(void **state)
{
    if (make_store_dir(state)) return -1;
    store = open_store(); /* for the schema */
    return 0;
}

static int remove_tx_dir(void **state)
{
    store_close(store);
    return remove_jobs_dir(state);
}

static struct ulid add(struct store_tx *tx, const char *key, int64_t collection)
{
    static const struct store_job_upload uploads[] = {{"../a b.jpg", 3}, {"x';--", 5}};
    struct store_job_new n = {.kind = "count",
                              .key = key,
                              .parameters = "{\"steps\":3}",
                              .collection = collection,
                              .uploads = uploads,
                              .n_uploads = 2};
    struct err_info err = ERR_INFO_INIT;
    ulid_make(&n.id);
    must(store_job_add(tx, &n, &err), &err);
    return n.id;
}

static struct store_job_row get(struct store_tx *tx, const struct ulid *id)
{
    struct store_job_row j = {0};
    struct err_info err = ERR_INFO_INIT;
    must(store_job_get(&j, tx, id->s, &err), &err);
    return j;
}

static enum err next_upload(void *self, int n, const struct store_job_upload *u,
                            struct err_info *err)
{
    (void)err;
    assert_int_equal(n, (*(int *)self)++);
    assert_string_equal(u->name, n ? "x';--" : "../a b.jpg");
    assert_int_equal(u->bytes, n ? 5 : 3);
    return ERR_OK;
}

static void what_is_kept(void **state)
{
    struct store_tx tx = begin_tx();
    int64_t collection = add_collection(&tx, "c");
    struct ulid id = add(&tx, KEY, collection);
    char *parameters = NULL;
    int n = 0;
    (void)state;
    struct store_job_row j = get(&tx, &id);
    assert_string_equal(j.id.s, id.s);
    assert_string_equal(j.kind, "count");
    assert_int_equal(j.state, STORE_JOB_QUEUED);
    assert_string_equal(j.key, KEY);
    assert_int_equal(j.collection, collection);
    assert_int_equal(strlen(j.collection_id), ULID_CHARS);
    assert_int_equal(j.created_ms, tx.now_ms);
    assert_int_equal(j.started_ms + j.finished_ms + j.expires_ms + j.attempts + j.result_bytes, 0);
    assert_int_equal(j.uploads, 2);
    assert_string_equal(j.result_type, "");
    assert_string_equal(j.error_code, "");
    assert_int_equal(store_job_parameters(&parameters, &tx, id.s, NULL), ERR_OK);
    assert_string_equal(parameters, "{\"steps\":3}");
    free(parameters);
    assert_int_equal(store_job_uploads(&tx, id.s, next_upload, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(store_job_get(&j, &tx, KEY, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_job_parameters(&parameters, &tx, KEY, NULL), ERR_NOT_FOUND);
    struct store_job_new bad = {.kind = "count", .parameters = "{}", .collection = 999};
    ulid_make(&bad.id);
    assert_int_equal(store_job_add(&tx, &bad, NULL), ERR_NOT_FOUND);
    static char long_text[STORE_JOB_PARAMETERS_MAX_BYTES + 2];
    memset(long_text, ' ', sizeof long_text - 1);
    bad.collection = 0;
    bad.parameters = long_text;
    assert_int_equal(store_job_add(&tx, &bad, NULL), ERR_TOO_LARGE);
    commit_tx(&tx);
}

/* Brings a job into a state. */
static void bring(struct store_tx *tx, const char *id, enum store_job_state to)
{
    struct err_info err = ERR_INFO_INIT;
    if (to == STORE_JOB_QUEUED) return;
    must(store_job_start(tx, id, &err), &err);
    if (to == STORE_JOB_RUNNING) return;
    const struct store_job_end end = {.state = to,
                                      .result_type = to == STORE_JOB_DONE ? "text/plain" : NULL,
                                      .result_bytes = 7,
                                      .error_code = to == STORE_JOB_FAILED ? "no_face" : NULL,
                                      .error_message = to == STORE_JOB_FAILED ? "none" : NULL,
                                      .ttl_ms = DAY_MS};
    must(store_job_finish(tx, id, &end, &err), &err);
}

static void states(void **state)
{
    struct store_tx tx = begin_tx();
    const struct store_job_end again = {.state = STORE_JOB_FAILED, .ttl_ms = 1};
    (void)state;
    for (int s = 0; s < STORE_JOB_STATES; s++) {
        struct ulid id = add(&tx, NULL, 0);
        enum store_job_state parsed, was;
        bool cancel = true;
        assert_true(store_job_state_parse(&parsed, store_job_state_name((enum store_job_state)s)));
        assert_int_equal(parsed, s);
        bring(&tx, id.s, (enum store_job_state)s);
        struct store_job_row j = get(&tx, &id);
        assert_int_equal(j.state, s);
        assert_int_equal(j.attempts, s != STORE_JOB_QUEUED);
        assert_int_equal(j.started_ms != 0, s != STORE_JOB_QUEUED);
        bool final = store_job_final(j.state);
        assert_int_equal(final, s >= 2);
        assert_int_equal(j.expires_ms, final ? tx.now_ms + DAY_MS : 0);
        assert_string_equal(j.result_type, s == STORE_JOB_DONE ? "text/plain" : "");
        assert_string_equal(j.error_message, s == STORE_JOB_FAILED ? "none" : "");
        /* what is only for a job that runs */
        enum err want = s == STORE_JOB_RUNNING ? ERR_OK : ERR_NOT_FOUND;
        assert_int_equal(store_job_progress(&cancel, &tx, id.s, "embed", 3, 9, NULL), want);
        if (!want) {
            assert_false(cancel);
            j = get(&tx, &id);
            assert_string_equal(j.phase, "embed");
            assert_int_equal(j.done, 3);
            assert_int_equal(j.total, 9);
        }
        assert_int_equal(store_job_requeue(&tx, id.s, NULL), want);
        if (!want) bring(&tx, id.s, STORE_JOB_RUNNING);
        if (s) assert_int_equal(store_job_start(&tx, id.s, NULL), ERR_NOT_FOUND);
        if (final) assert_int_equal(store_job_finish(&tx, id.s, &again, NULL), ERR_NOT_FOUND);
        /* DELETE */
        assert_int_equal(store_job_cancel(&was, &tx, id.s, DAY_MS, NULL), ERR_OK);
        assert_int_equal(was, s);
        if (final) {
            assert_int_equal(store_job_get(&j, &tx, id.s, NULL), ERR_NOT_FOUND);
            assert_int_equal(store_job_cancel(&was, &tx, id.s, 1, NULL), ERR_NOT_FOUND);
        } else {
            j = get(&tx, &id);
            assert_int_equal(j.state, s ? STORE_JOB_RUNNING : STORE_JOB_CANCELLED);
            assert_int_equal(j.cancel, s);
        }
        if (s == STORE_JOB_RUNNING) {
            assert_int_equal(j.attempts, 2);
            assert_int_equal(store_job_progress(&cancel, &tx, id.s, "", 0, 0, NULL), ERR_OK);
            assert_true(cancel);
        }
    }
    enum store_job_state parsed;
    assert_false(store_job_state_parse(&parsed, "finished"));
    assert_int_equal(one(&tx, "SELECT count(*) FROM job_uploads"), 4); /* gone with their jobs */
    commit_tx(&tx);
}

struct seen {
    struct ulid id[20];
    int n;
};

static enum err see(void *self, const struct store_job_row *j, struct err_info *err)
{
    struct seen *s = self;
    (void)err;
    s->id[s->n++] = j->id;
    return ERR_OK;
}

static void lists(void **state)
{
    struct store_tx tx = begin_tx();
    struct ulid id[6];
    (void)state;
    for (int i = 0; i < 6; i++) {
        id[i] = add(&tx, i < 2 ? KEY : NULL, 0);
        static const uint8_t zeros[ULID_RANDOM_BYTES];
        struct ulid ordered; /* ids of one millisecond have no order */
        ulid_from(&ordered, 1000 + (uint64_t)i, zeros);
        struct err_info err = ERR_INFO_INIT;
        must(store__run(NULL, &tx, "UPDATE jobs SET id = ?2 WHERE id = ?1",
                        ARGS(TEXT(id[i].s), TEXT(ordered.s)), &err),
             &err);
        id[i] = ordered;
    }
    bring(&tx, id[1].s, STORE_JOB_DONE);
    bring(&tx, id[4].s, STORE_JOB_RUNNING);
    const struct {
        const char *name;
        struct store_job_query q;
        const char *want;
    } rows[] = {
        {"all", {NULL, -1, NULL, 100}, "543210"},
        {"a page", {NULL, -1, NULL, 2}, "54"},
        {"the next", {NULL, -1, id[4].s, 2}, "32"},
        {"the last", {NULL, -1, id[0].s, 2}, ""},
        {"of a key", {KEY, -1, NULL, 100}, "10"},
        {"of another", {id[3].s, -1, NULL, 100}, ""},
        {"done", {NULL, STORE_JOB_DONE, NULL, 100}, "1"},
        {"queued of a key", {KEY, STORE_JOB_QUEUED, NULL, 100}, "0"},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct seen seen = {.n = 0};
        char got[20] = "";
        assert_int_equal(store_job_list(&tx, &rows[r].q, see, &seen, NULL), ERR_OK);
        for (int k = 0; k < seen.n; k++)
            for (int i = 0; i < 6; i++)
                if (!strcmp(seen.id[k].s, id[i].s)) got[k] = (char)('0' + i);
        if (strcmp(got, rows[r].want) != 0)
            fail_msg("%s: %s, not %s", rows[r].name, got, rows[r].want);
    }
    struct seen open = {.n = 0};
    assert_int_equal(store_job_unfinished(&tx, see, &open, NULL), ERR_OK);
    assert_int_equal(open.n, 5);
    assert_string_equal(open.id[0].s, id[0].s);
    struct store_job_id *ids = NULL;
    size_t n = 0;
    assert_int_equal(store_job_ids(&ids, &n, &tx, NULL), ERR_OK);
    assert_int_equal(n, 6);
    assert_string_equal(ids[1].id.s, id[1].s);
    assert_int_equal(ids[1].state, STORE_JOB_DONE);
    free(ids);
    commit_tx(&tx);
}

static void expiry_and_erasure(void **state)
{
    struct store_tx tx = begin_tx();
    int64_t c = add_collection(&tx, "c"), other = add_collection(&tx, "other"), n = -1;
    struct store_receipt r = {0};
    struct ulid mine[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        mine[i] = add(&tx, NULL, c);
        bring(&tx, mine[i].s, (enum store_job_state)i);
    }
    struct ulid foreign = add(&tx, NULL, other), free_one = add(&tx, NULL, 0);
    bring(&tx, free_one.s, STORE_JOB_DONE);
    assert_int_equal(store_job_expire(&n, &tx, tx.now_ms + DAY_MS - 1, NULL), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(store_job_erase_collection(&r, &tx, c, NULL), ERR_OK);
    assert_int_equal(r.reports, 1); /* of the one that is done */
    assert_int_equal(r.uploads, 4); /* of those that are not at their end */
    assert_int_equal(one(&tx, "SELECT count(*) FROM jobs"), 2);
    assert_int_equal(one(&tx, "SELECT count(*) FROM job_uploads"), 4);
    assert_int_equal(store_job_erase_collection(&r, &tx, c, NULL), ERR_OK);
    assert_int_equal(r.reports, 1);
    assert_int_equal(store_job_expire(&n, &tx, tx.now_ms + DAY_MS, NULL), ERR_OK);
    assert_int_equal(n, 1);
    /* a collection takes its jobs with it, and so does an identity of it */
    int64_t somebody = add_identity(&tx, other, "Amy");
    assert_int_equal(store_erase_identity(&r, &tx, somebody, NULL), ERR_OK);
    assert_int_equal(r.uploads, 6);
    struct store_job_row j;
    assert_int_equal(store_job_get(&j, &tx, foreign.s, NULL), ERR_NOT_FOUND);
    foreign = add(&tx, NULL, other);
    assert_int_equal(store_erase_collection(&r, &tx, other, NULL), ERR_OK);
    assert_int_equal(r.uploads, 8);
    assert_int_equal(one(&tx, "SELECT count(*) FROM jobs"), 0);
    commit_tx(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_kept, make_tx_dir, remove_tx_dir),
        cmocka_unit_test_setup_teardown(states, make_tx_dir, remove_tx_dir),
        cmocka_unit_test_setup_teardown(lists, make_tx_dir, remove_tx_dir),
        cmocka_unit_test_setup_teardown(expiry_and_erasure, make_tx_dir, remove_tx_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
