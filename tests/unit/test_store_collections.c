#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_dir.h"

static struct store_tx fresh(void)
{
    store_close(open_store());
    return begin_tx();
}

static char *repeated(const char *s, int n)
{
    char *out = malloc(strlen(s) * (size_t)n + 1);
    assert_non_null(out);
    *out = 0;
    for (char *p = out; n--;) p = stpcpy(p, s);
    return out;
}

struct seen {
    const struct store_collection *want;
    int n;
    int64_t seq, row;
    char id[27];
    char names[400];
};

static enum err look(void *self, const struct store_collection *c, struct err_info *err)
{
    struct seen *s = self;
    (void)err;
    s->n++;
    s->seq = c->seq;
    s->row = c->row;
    strcpy(s->id, c->id);
    if (strlen(s->names) + strlen(c->name) + 2 < sizeof s->names)
        strcat(strcat(s->names, c->name), "|");
    if (!s->want) return ERR_OK;
    assert_string_equal(c->name, s->want->name);
    assert_string_equal(c->model, s->want->model);
    assert_string_equal(c->recipe, s->want->recipe);
    assert_int_equal(c->dim, s->want->dim);
    assert_string_equal(c->rule, s->want->rule);
    assert_int_equal(c->rule_top, s->want->rule_top);
    assert_true(c->min_quality == s->want->min_quality);
    assert_int_equal(c->thumbnails, s->want->thumbnails);
    assert_int_equal(c->photos, s->want->photos);
    assert_int_equal(c->ttl_days, s->want->ttl_days);
    if (s->want->calibration)
        assert_string_equal(c->calibration, s->want->calibration);
    else
        assert_null(c->calibration);
    assert_string_equal(c->metadata, s->want->metadata);
    assert_true(ulid_valid(c->id));
    return ERR_OK;
}

static void everything_comes_back(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct store_collection c =
        test_collection("'; DROP TABLE collections; -- ../../%00\"\\\x01ü𝒳");
    struct ulid id;
    int64_t row = 0;
    c.rule = "mean_top";
    c.rule_top = 100;
    c.min_quality = 0.25;
    c.thumbnails = true;
    c.ttl_days = 7;
    c.metadata = "{\"a\":\"'--\"}";
    c.calibration = "{\"x\":1}";
    must(store_collection_add(&row, &id, &tx, &c, &err), &err);
    struct seen s = {.want = &c};
    must(store_collection_get(&tx, id.s, look, &s, &err), &err);
    must(store_collection_get(&tx, c.name, look, &s, &err), &err);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.row, row);
    assert_string_equal(s.id, id.s);
    assert_int_equal(s.seq, 0);

    c.row = row;
    c.name = "new name";
    c.model = "other";
    c.rule = "centroid";
    c.photos = true;
    c.thumbnails = false;
    c.calibration = NULL;
    must(store_collection_set(&tx, &c, &err), &err);
    must(store_collection_get(&tx, id.s, look, &s, &err), &err);
    assert_int_equal(s.seq, 0); /* nothing for the indexes */
    c.dim = 8;
    must(store_collection_set(&tx, &c, &err), &err);
    must(store_collection_get(&tx, id.s, look, &s, &err), &err);
    assert_int_equal(s.seq, 1);
    commit_tx(&tx);
}

static void by_name_and_by_id(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct seen s = {0};
    must(store_collection_list(&tx, look, &s, &err), &err);
    assert_int_equal(s.n, 0);
    add_collection(&tx, "b");
    const int64_t a = add_collection(&tx, "a");
    must(store_collection_get(&tx, "a", look, &s, &err), &err);
    assert_int_equal(s.row, a);
    /* named as the other's id: an id comes before a name */
    const int64_t thief = add_collection(&tx, s.id);
    must(store_collection_get(&tx, s.id, look, &s, &err), &err);
    assert_int_equal(s.row, a);
    assert_true(thief != a);
    s.names[0] = 0;
    must(store_collection_list(&tx, look, &s, &err), &err);
    assert_non_null(strstr(s.names, "|a|b|"));
    commit_tx(&tx);
}

static void refusals(void **state)
{
    (void)state;
    char *const longest = repeated("ü", STORE_NAME_MAX), *const too_long = repeated("ü", 201);
    char *const most = repeated("x", STORE_METADATA_MAX_BYTES), *const too_much = repeated(
                                                                    "x",
                                                                    STORE_METADATA_MAX_BYTES + 1);
    struct store_collection ok = test_collection("ok"), c[12];
    for (int i = 0; i < 12; i++) c[i] = ok;
    c[0].name = "";
    c[1].name = too_long;
    c[2].metadata = too_much;
    c[3].name = "taken";
    c[4].dim = 0;
    c[5].rule = "min";
    c[6].rule_top = 0;
    c[7].min_quality = 1.5;
    c[8].ttl_days = -1;
    c[9].recipe = "abc";
    c[10].name = longest;
    c[11].metadata = most;
    static const struct {
        enum err want;
        const char *says;
    } want[12] = {
        {ERR_INVALID, "0 characters"},
        {ERR_INVALID, "201 characters"},
        {ERR_TOO_LARGE, "16385"},
        {ERR_CONFLICT, "\"taken\""},
        {ERR_INVALID, "dim"},
        {ERR_INVALID, "rule"},
        {ERR_INVALID, "rule_top"},
        {ERR_INVALID, "min_quality"},
        {ERR_INVALID, "ttl_days"},
        {ERR_INVALID, "recipe"},
        {ERR_OK, ""},
        {ERR_OK, ""},
    };
    struct store_tx tx = fresh();
    add_collection(&tx, "taken");
    const int64_t mine = add_collection(&tx, "mine");
    for (int i = 0; i < 12; i++) {
        struct err_info err = ERR_INFO_INIT;
        struct ulid id;
        int64_t row = -1;
        enum err rc = store_collection_add(&row, &id, &tx, &c[i], &err);
        if (rc != want[i].want || !strstr(err.message, want[i].says))
            fail_msg("add %d: %s: %s", i, err_name(rc), err.message);
        if (i > 9) continue;
        assert_int_equal(row, -1);
        c[i].row = mine;
        rc = store_collection_set(&tx, &c[i], &err);
        if (rc != want[i].want) fail_msg("set %d: %s: %s", i, err_name(rc), err.message);
    }
    struct err_info err = ERR_INFO_INIT;
    struct seen s = {0};
    ok.row = 999;
    assert_int_equal(store_collection_set(&tx, &ok, &err), ERR_NOT_FOUND);
    assert_int_equal(store_collection_get(&tx, "nobody", look, &s, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "nobody"));
    commit_tx(&tx);
    free(longest);
    free(too_long);
    free(most);
    free(too_much);
}

static enum err stop(void *self, const struct store_collection *c, struct err_info *err)
{
    (void)c;
    ++*(int *)self;
    return err_set(err, ERR_TIMEOUT, "enough");
}

static void each_may_stop(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    int n = 0;
    add_collection(&tx, "a");
    add_collection(&tx, "b");
    assert_int_equal(store_collection_list(&tx, stop, &n, &err), ERR_TIMEOUT);
    assert_int_equal(n, 1);
    commit_tx(&tx);
}

static void counts(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    const int64_t c = add_collection(&tx, "a"), other = add_collection(&tx, "b");
    const int64_t amy = add_identity(&tx, c, "Amy");
    const struct store_example e = {
        .collection = c, .embedding = test_embedding, .dim = TEST_DIM, .precision = "f32"};
    const struct store_bytes none = {0}, jpeg = {"x", 1};
    struct store_collection_counts n;
    struct ulid id;
    int64_t row;
    add_identity(&tx, c, "Ben");
    add_example(&tx, c, amy);
    add_example(&tx, other, 0);
    must(store_example_add(&row, &id, &tx, &e, jpeg, none, &err), &err);
    must(store_example_add(&row, &id, &tx, &e, jpeg, jpeg, &err), &err);
    must(store_collection_counts(&n, &tx, c, &err), &err);
    assert_int_equal(n.identities, 2);
    assert_int_equal(n.examples, 3);
    assert_int_equal(n.unassigned, 2);
    assert_int_equal(n.thumbnails, 2);
    assert_int_equal(n.photos, 1);
    must(store_collection_counts(&n, &tx, other, &err), &err);
    assert_int_equal(n.identities, 0);
    assert_int_equal(n.examples, 1);
    assert_int_equal(n.thumbnails, 0);
    commit_tx(&tx);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(everything_comes_back), T(by_name_and_by_id), T(refusals), T(each_may_stop), T(counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
