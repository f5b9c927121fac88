#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "server/store/identities.h"
#include "server/store/reports.h"
#include "tests/unit/store_dir.h"

static const char ID[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C", OTHER[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0D",
                  KEY[] = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0E";

/* What an each-function saw, copied. */
struct seen {
    int n;
    int64_t row, state, collection;
    char id[27], key[27], act[100], document[100], summary[100];
    int32_t labels[8];
    int64_t examples[8];
    float layout[16];
    size_t faces;
    bool has_examples, has_layout;
};

static enum err see(void *self, const struct store_report *r, const struct store_report_state *s,
                    struct err_info *err)
{
    struct seen *x = self;
    (void)err;
    x->n++;
    x->row = r->row;
    x->collection = r->collection;
    x->state = s->n;
    x->faces = s->faces;
    snprintf(x->id, sizeof x->id, "%s", r->id);
    snprintf(x->key, sizeof x->key, "%s", r->key);
    snprintf(x->act, sizeof x->act, "%s", s->act ? s->act : "");
    snprintf(x->document, sizeof x->document, "%s", s->document ? s->document : "");
    snprintf(x->summary, sizeof x->summary, "%s", s->summary);
    x->has_examples = s->examples;
    x->has_layout = s->layout;
    if (s->labels) memcpy(x->labels, s->labels, s->faces * sizeof *s->labels);
    if (s->examples) memcpy(x->examples, s->examples, s->faces * sizeof *s->examples);
    if (s->layout) memcpy(x->layout, s->layout, 2 * s->faces * sizeof *s->layout);
    return ERR_OK;
}

/* Adds a report of three faces; ids of what it shows. */
static enum err add(struct store_tx *tx, const char *id, const char *key, int64_t collection,
                    const int64_t *examples, const char *const *ids, size_t n_ids,
                    struct err_info *err)
{
    static const int32_t labels[3] = {0, 0, -1};
    static const float layout[6] = {1, 2, 3, 4, 5, 6};
    const struct store_report r = {
        .id = id, .key = key, .collection = collection, .basis = "{\"basis\":1}"};
    const struct store_report_state s = {.labels = labels,
                                         .examples = examples,
                                         .layout = layout,
                                         .faces = 3,
                                         .document = "{\"document\":0}",
                                         .summary = "{\"clusters\":1}"};
    const struct store_report_ids shows = {ids, n_ids};
    return store_report_add(tx, &r, &s, "[\"t\"]", &shows, err);
}

static struct seen get(struct store_tx *tx, const char *id)
{
    struct err_info err = ERR_INFO_INIT;
    struct seen x = {0};
    must(store_report_get(tx, id, NULL, see, &x, &err), &err);
    return x;
}

static void keeps_what_was_given(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct buf t = BUF_INIT(100);
    bool found = false;
    (void)state;

    store_close(open_store());
    struct store_tx tx = begin_tx();
    must(add(&tx, ID, KEY, 0, NULL, NULL, 0, &err), &err);
    must(add(&tx, OTHER, "", 0, NULL, NULL, 0, &err), &err);
    struct seen x = get(&tx, ID);
    assert_int_equal(x.n, 1);
    assert_string_equal(x.key, KEY);
    assert_int_equal(x.state, 0);
    assert_int_equal(x.faces, 3);
    assert_int_equal(x.labels[2], -1);
    assert_false(x.has_examples);
    assert_true(x.has_layout && x.layout[5] == 6);
    assert_string_equal(x.document, "{\"document\":0}");
    must(store_report_thumbnails(&found, &t, &tx, x.row, &err), &err);
    assert_true(found);
    assert_string_equal((const char *)t.data, "[\"t\"]");
    buf_release(&t);
    /* whose it is */
    assert_int_equal(store_report_get(&tx, OTHER, KEY, see, &x, &err), ERR_NOT_FOUND);
    assert_int_equal(store_report_get(&tx, "nix", NULL, see, &x, &err), ERR_NOT_FOUND);
    struct store_report_query q = {.limit = 10};
    x.n = 0;
    must(store_report_list(&tx, &q, see, &x, &err), &err);
    assert_int_equal(x.n, 2);
    assert_string_equal(x.id, ID); /* the oldest last */
    q.key = KEY;
    x.n = 0;
    must(store_report_list(&tx, &q, see, &x, &err), &err);
    assert_int_equal(x.n, 1);
    q = (struct store_report_query){.before = OTHER, .limit = 10};
    x.n = 0;
    must(store_report_list(&tx, &q, see, &x, &err), &err);
    assert_int_equal(x.n, 1);
    /* once more, as a job that is begun again */
    must(add(&tx, ID, "", 0, NULL, NULL, 0, &err), &err);
    assert_int_equal(one(&tx, "SELECT count(*) FROM reports"), 2);
    x = get(&tx, ID);
    must(store_report_erase(&tx, x.row, &err), &err);
    assert_int_equal(store_report_erase(&tx, x.row, &err), ERR_NOT_FOUND);
    commit_tx(&tx);
}

/* A collection with three examples, the first of an identity, and a report of them. */
struct scene {
    int64_t collection, identity, examples[3];
    char ids[4][27];
};

static enum err take_id(void *self, const struct store_example *e, struct err_info *err)
{
    (void)err;
    strcpy(self, e->id);
    return ERR_OK;
}

static enum err take_identity_id(void *self, const struct store_identity *i, struct err_info *err)
{
    (void)err;
    strcpy(self, i->id);
    return ERR_OK;
}

static struct scene make_scene(struct store_tx *tx)
{
    struct err_info err = ERR_INFO_INIT;
    struct scene s = {.collection = add_collection(tx, "c")};
    const char *ids[4];
    s.identity = add_identity(tx, s.collection, "Amy");
    for (int i = 0; i < 3; i++) {
        s.examples[i] = add_example(tx, s.collection, i ? 0 : s.identity);
        must(store_example_get_rows(tx, &s.examples[i], 1, take_id, s.ids[i], &err), &err);
    }
    must(store_identity_get_rows(tx, &s.identity, 1, take_identity_id, s.ids[3], &err), &err);
    for (int i = 0; i < 4; i++) ids[i] = s.ids[i];
    must(add(tx, ID, "", s.collection, s.examples, ids, 4, &err), &err);
    return s;
}

static enum err act(struct store_tx *tx, int64_t row, int64_t n, const char *document,
                    struct err_info *err)
{
    static const int32_t labels[3] = {0, 1, 1};
    static const int64_t examples[3] = {1, 2, 3};
    const struct store_report_state s = {.n = n,
                                         .act = "{\"act\":\"x\"}",
                                         .labels = labels,
                                         .examples = examples,
                                         .faces = 3,
                                         .document = document,
                                         .summary = "{\"clusters\":2}"};
    const struct store_report_ids none = {NULL, 0};
    return store_report_act(tx, row, &s, &none, err);
}

static enum err count_acts(void *self, int64_t n, const char *what, int64_t at_ms, bool can_undo,
                           struct err_info *err)
{
    int *acts = self;
    (void)n, (void)what, (void)at_ms, (void)err;
    *acts += can_undo ? 1 : 100;
    return ERR_OK;
}

static void acts_and_their_undoing(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_undone undone;
    struct ulid undo;
    int acts = 0;
    (void)state;

    store_close(open_store());
    struct store_tx tx = begin_tx();
    struct scene s = make_scene(&tx);
    const int64_t row = get(&tx, ID).row;
    assert_int_equal(act(&tx, row, 1, NULL, &err), ERR_INTERNAL); /* no undo record is open */
    commit_tx(&tx);

    tx = begin_tx(); /* one that changes the report alone */
    must(store_undo_begin(&undo, &tx, s.collection, "split", &err), &err);
    assert_int_equal(act(&tx, row, 0, NULL, &err), ERR_CONFLICT);
    assert_int_equal(act(&tx, row, 2, NULL, &err), ERR_CONFLICT);
    must(act(&tx, row, 1, "{\"document\":1}", &err), &err);
    commit_tx(&tx);
    tx = begin_tx(); /* one of both */
    must(store_undo_begin(&undo, &tx, s.collection, "assign", &err), &err);
    must(store_example_move(&tx, s.examples[1], s.identity, &err), &err);
    must(act(&tx, row, 2, NULL, &err), &err);
    commit_tx(&tx);

    tx = begin_tx();
    struct seen x = get(&tx, ID);
    assert_int_equal(x.state, 2);
    assert_string_equal(x.document, "{\"document\":1}"); /* that of the state before */
    assert_string_equal(x.act, "{\"act\":\"x\"}");
    assert_int_equal(x.labels[2], 1);
    must(store_report_acts(&tx, row, count_acts, &acts, &err), &err);
    assert_int_equal(acts, 2);
    must(store_undo_last(&undone, &tx, s.collection, &err), &err);
    assert_string_equal(undone.what, "assign");
    assert_int_equal(undone.examples, 1);
    assert_int_equal(get(&tx, ID).state, 1);
    must(store_undo_last(&undone, &tx, s.collection, &err), &err);
    assert_string_equal(undone.what, "split");
    x = get(&tx, ID);
    assert_int_equal(x.state, 0);
    assert_string_equal(x.document, "{\"document\":0}");
    assert_int_equal(x.labels[2], -1);
    assert_int_equal(store_undo_last(&undone, &tx, s.collection, &err), ERR_NOT_FOUND);
    commit_tx(&tx);
}

/* Acts whose undo records are over: their states stay, those before them go. */
static void passes_by(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_undone undone;
    struct ulid undo;
    int64_t n = 0;
    (void)state;

    store_close(open_store());
    struct store_tx tx = begin_tx();
    struct scene s = make_scene(&tx);
    const int64_t row = get(&tx, ID).row;
    for (int i = 1; i <= 3; i++) {
        must(store_undo_begin(&undo, &tx, s.collection, "act", &err), &err);
        must(act(&tx, row, i, i == 2 ? "{\"document\":2}" : NULL, &err), &err);
    }
    must(store__run(NULL, &tx, "DELETE FROM undo WHERE row <= 2", NULL, &err), &err);
    must(store_reports_expire(&n, &tx, &err), &err);
    assert_int_equal(n, 0);
    assert_int_equal(one(&tx, "SELECT min(n) FROM report_states"), 2);
    assert_string_equal(get(&tx, ID).document, "{\"document\":2}");
    must(store_undo_last(&undone, &tx, s.collection, &err), &err);
    assert_int_equal(get(&tx, ID).state, 2);
    tx.now_ms += (STORE_REPORT_DAYS * 86400LL - 1) * 1000;
    must(store_reports_expire(&n, &tx, &err), &err);
    assert_int_equal(n, 0);
    tx.now_ms += 1000;
    must(store_reports_expire(&n, &tx, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(one(&tx, "SELECT count(*) FROM report_states"), 0);
    assert_int_equal(one(&tx, "SELECT count(*) FROM report_ids"), 0);
    tx.undo = 0;
    commit_tx(&tx);
}

static void goes_with_whom_it_shows(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_receipt r;
    (void)state;

    store_close(open_store());
    for (int what = 0; what < 4; what++) {
        struct store_tx tx = begin_tx();
        struct scene s = make_scene(&tx);
        memset(&r, 0, sizeof r);
        if (what == 0) must(store_erase_example(&r, &tx, s.examples[2], &err), &err);
        if (what == 1) must(store_erase_identity(&r, &tx, s.identity, &err), &err);
        if (what == 2) must(store_erase_collection(&r, &tx, s.collection, &err), &err);
        if (what == 3) { /* somebody else's example */
            int64_t other = add_example(&tx, s.collection, 0);
            must(store_erase_example(&r, &tx, other, &err), &err);
        }
        assert_int_equal(r.reports, what < 3);
        assert_int_equal(one(&tx, "SELECT count(*) FROM reports"), what == 3);
        roll_back_tx(&tx);
    }
    /* an identity that an example of the report has left is still in it */
    struct store_tx tx = begin_tx();
    struct scene s = make_scene(&tx);
    must(store_example_move(&tx, s.examples[0], 0, &err), &err);
    memset(&r, 0, sizeof r);
    must(store_erase_identity(&r, &tx, s.identity, &err), &err);
    assert_int_equal(r.reports, 1);
    /* and what is gone cannot come into one */
    const char *gone[1] = {s.ids[3]};
    assert_int_equal(add(&tx, OTHER, "", s.collection, s.examples, gone, 1, &err), ERR_CONFLICT);
    roll_back_tx(&tx);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {T(keeps_what_was_given), T(acts_and_their_undoing),
                                       T(passes_by), T(goes_with_whom_it_shows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
