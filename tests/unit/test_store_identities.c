#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_dir.h"

static int64_t c, other;

static struct store_tx fresh(void)
{
    store_close(open_store());
    struct store_tx tx = begin_tx();
    c = add_collection(&tx, "c");
    other = add_collection(&tx, "other");
    return tx;
}

struct seen {
    int n;
    int64_t version, examples;
    char names[600]; /* "a|b|" */
    char tags[600];
    char metadata[600], external[300];
};

static enum err look(void *self, const struct store_identity *i, struct err_info *err)
{
    struct seen *s = self;
    (void)err;
    s->n++;
    s->version = i->version;
    s->examples = i->examples;
    assert_true(strlen(s->names) + strlen(i->name) + 2 < sizeof s->names);
    strcat(strcat(s->names, i->name), "|");
    s->tags[0] = 0;
    for (int t = 0; t < i->n_tags; t++) strcat(strcat(s->tags, i->tags[t]), "|");
    snprintf(s->metadata, sizeof s->metadata, "%s", i->metadata);
    snprintf(s->external, sizeof s->external, "%s", i->external_id ? i->external_id : "none");
    assert_true(ulid_valid(i->id));
    assert_true(i->created_ms <= i->updated_ms);
    return ERR_OK;
}

static int64_t add(struct store_tx *tx, const struct store_identity *i, struct ulid *id)
{
    struct err_info err = ERR_INFO_INIT;
    int64_t row = 0;
    must(store_identity_add(&row, id, tx, i, &err), &err);
    return row;
}

/* Strings that look like something to a layer below come back as they are. */
static void strings_are_kept_verbatim(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "Amy",
        "Robert'); DROP TABLE identities;--",
        "\" OR 1=1 --",
        "../../../etc/passwd",
        "%_\\",
        "?1 :x @y $z",
        "\x01\x1f\t\r\n",
        "\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf",
        "e\xcc\x81 \xc3\xa9", /* the same letter in two ways */
        "\xef\xbb\xbf",       /* a byte order mark */
        " ",
        "NULL",
        "0x41",
        "1e3",
    };
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    for (size_t k = 0; k < sizeof strings / sizeof *strings; k++) {
        const struct store_identity i = {.collection = c,
                                         .name = strings[k],
                                         .external_id = strings[k],
                                         .metadata = strings[k],
                                         .tags = &strings[k],
                                         .n_tags = 1};
        struct seen s = {0};
        struct ulid id;
        add(&tx, &i, &id);
        must(store_identity_get(&tx, c, id.s, look, &s, &err), &err);
        assert_int_equal(strlen(s.names), strlen(strings[k]) + 1);
        assert_memory_equal(s.names, strings[k], strlen(strings[k]));
        assert_memory_equal(s.tags, strings[k], strlen(strings[k]));
        assert_string_equal(s.metadata, strings[k]);
        assert_string_equal(s.external, strings[k]);
        /* and are found by */
        const struct store_identity_query by[] = {
            {.collection = c, .name = strings[k], .limit = 1000},
            {.collection = c, .tag = strings[k], .limit = 1000},
            {.collection = c, .external_id = strings[k], .limit = 1000},
        };
        for (int q = 0; q < 3; q++) {
            struct seen found = {0};
            must(store_identity_list(&tx, &by[q], look, &found, &err), &err);
            if (found.n < 1 || (q && found.n != 1)) fail_msg("%zu by %d: %d", k, q, found.n);
        }
    }
    commit_tx(&tx);
}

static void lists(void **state)
{
    (void)state;
    static const char *const red[] = {"red"}, *const both[] = {"red", "blue", "red"},
                             *const blue[] = {"blue"};
    const struct store_identity people[] = {
        {.collection = c, .name = "Anna", .metadata = "{}", .tags = red, .n_tags = 1},
        {.collection = c, .name = "Hannah", .metadata = "{}", .tags = both, .n_tags = 3},
        {.collection = c,
         .name = "Ben",
         .metadata = "{}",
         .tags = blue,
         .n_tags = 1,
         .external_id = "7"},
        {.collection = c, .name = "\xc3\x84nne", .metadata = "{}"},
        {.collection = other,
         .name = "Anna",
         .metadata = "{}",
         .tags = red,
         .n_tags = 1,
         .external_id = "7"},
    };
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    int64_t row[5];
    struct ulid id;
    for (int i = 0; i < 5; i++) {
        struct store_identity p = people[i];
        p.collection = i == 4 ? other : c;
        row[i] = add(&tx, &p, &id);
    }
    const struct {
        const char *name;
        struct store_identity_query q;
        const char *want;
    } cases[] = {
        {"all", {c, NULL, NULL, NULL, 0, 1000}, "Anna|Hannah|Ben|\xc3\x84nne|"},
        {"first two", {c, NULL, NULL, NULL, 0, 2}, "Anna|Hannah|"},
        {"after", {c, NULL, NULL, NULL, row[1], 2}, "Ben|\xc3\x84nne|"},
        {"after all", {c, NULL, NULL, NULL, row[3], 2}, ""},
        {"part of a name, other case", {c, "NNA", NULL, NULL, 0, 9}, "Anna|Hannah|"},
        {"not over ASCII", {c, "\xc3\xa4nne", NULL, NULL, 0, 9}, ""},
        {"no wildcard", {c, "%", NULL, NULL, 0, 9}, ""},
        {"empty part", {c, "", NULL, NULL, 0, 9}, "Anna|Hannah|Ben|\xc3\x84nne|"},
        {"tag", {c, NULL, "red", NULL, 0, 9}, "Anna|Hannah|"},
        {"tag is whole", {c, NULL, "re", NULL, 0, 9}, ""},
        {"tag, after", {c, NULL, "red", NULL, row[0], 9}, "Hannah|"},
        {"tag and name", {c, "hann", "red", NULL, 0, 9}, "Hannah|"},
        {"tag, first", {c, NULL, "blue", NULL, 0, 1}, "Hannah|"},
        {"external id", {c, NULL, NULL, "7", 0, 9}, "Ben|"},
        {"external id and tag", {c, NULL, "blue", "7", 0, 9}, "Ben|"},
        {"external id, not that tag", {c, NULL, "red", "7", 0, 9}, ""},
        {"external id, not that name", {c, "x", NULL, "7", 0, 9}, ""},
        {"external id, after", {c, NULL, NULL, "7", row[2], 9}, ""},
        {"other collection", {other, NULL, "red", NULL, 0, 9}, "Anna|"},
        {"no collection", {999, NULL, NULL, NULL, 0, 9}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen s = {0};
        must(store_identity_list(&tx, &cases[i].q, look, &s, &err), &err);
        if (strcmp(s.names, cases[i].want) != 0)
            fail_msg("%s: %s, not %s", cases[i].name, s.names, cases[i].want);
    }
    const int64_t rows[] = {row[2], 999, row[0], row[2]};
    struct seen s = {0};
    must(store_identity_get_rows(&tx, rows, 4, look, &s, &err), &err);
    assert_string_equal(s.names, "Ben|Anna|Ben|");

    int64_t *tagged = NULL;
    size_t n = 9;
    must(store_identity_tagged(&tagged, &n, &tx, c, both, 3, &err), &err);
    assert_int_equal(n, 3); /* each once, ascending, of this collection */
    for (int i = 0; i < 3; i++) assert_int_equal(tagged[i], row[i]);
    free(tagged);
    must(store_identity_tagged(&tagged, &n, &tx, c, both, 0, &err), &err);
    assert_int_equal(n, 0);
    free(tagged);
    commit_tx(&tx);
}

static char *repeated(char ch, int n)
{
    char *out = malloc((size_t)n + 1);
    assert_non_null(out);
    memset(out, ch, (size_t)n);
    out[n] = 0;
    return out;
}

static void refusals(void **state)
{
    (void)state;
    char *const long_name = repeated('x', 201), *const long_tag = repeated('x', 65),
                *const big = repeated('x', STORE_METADATA_MAX_BYTES + 1),
                *const fits = repeated('x', STORE_METADATA_MAX_BYTES);
    const char *const tags[33] = {"0",  "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",  "9",  "10",
                                  "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21",
                                  "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32"};
    const char *const bad_tag[] = {long_tag}, *const empty_tag[] = {""};
    struct store_tx tx = fresh();
    const struct {
        const char *name;
        struct store_identity i;
        enum err want;
        const char *says;
    } cases[] = {
        {"empty name", {.name = ""}, ERR_INVALID, "0 characters"},
        {"long name", {.name = long_name}, ERR_INVALID, "201 characters"},
        {"long tag", {.name = "a", .tags = bad_tag, .n_tags = 1}, ERR_INVALID, "65 characters"},
        {"empty tag", {.name = "a", .tags = empty_tag, .n_tags = 1}, ERR_INVALID, "tag"},
        {"many tags", {.name = "a", .tags = tags, .n_tags = 33}, ERR_INVALID, "33 tags"},
        {"most tags", {.name = "a", .tags = tags, .n_tags = 32}, ERR_OK, ""},
        {"big metadata", {.name = "a", .metadata = big}, ERR_TOO_LARGE, "16385"},
        {"most metadata", {.name = "a", .metadata = fits}, ERR_OK, ""},
        {"empty external id", {.name = "a", .external_id = ""}, ERR_INVALID, "external id"},
        {"long external id", {.name = "a", .external_id = long_name}, ERR_INVALID, "201"},
        {"taken",
         {.name = "a", .external_id = "E1"},
         ERR_CONFLICT,
         "\"E1\" is taken by the identity 0"},
        {"taken elsewhere", {.name = "a", .external_id = "E2"}, ERR_OK, ""},
        {"no collection", {.name = "a", .collection = 999}, ERR_NOT_FOUND, "collection"},
    };
    const struct store_identity
        e1 = {.collection = c, .name = "e", .external_id = "E1", .metadata = "{}"},
        e2 = {.collection = other, .name = "e", .external_id = "E2", .metadata = "{}"};
    struct ulid id, others;
    add(&tx, &e1, &id);
    const int64_t victim = add_identity(&tx, c, "victim");
    add(&tx, &e2, &others);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct err_info err = ERR_INFO_INIT;
        struct store_identity i = cases[k].i;
        int64_t row = -1;
        if (!i.collection) i.collection = c;
        if (!i.metadata) i.metadata = "{}";
        enum err rc = store_identity_add(&row, &id, &tx, &i, &err);
        if (rc != cases[k].want || !strstr(err.message, cases[k].says))
            fail_msg("add, %s: %s: %s", cases[k].name, err_name(rc), err.message);
        if (!rc) continue;
        assert_int_equal(row, -1);
        i.row = victim;
        rc = store_identity_set(&tx, &i, 0, &err);
        if (rc != cases[k].want) fail_msg("set, %s: %s", cases[k].name, err_name(rc));
    }
    struct err_info err = ERR_INFO_INIT;
    struct seen s = {0};
    assert_int_equal(store_identity_get(&tx, c, "01ARZ3NDEKTSV4RRFFQ69G5FAV", look, &s, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(store_identity_get(&tx, c, others.s, look, &s, &err), ERR_NOT_FOUND);
    commit_tx(&tx);
    free(long_name);
    free(long_tag);
    free(big);
    free(fits);
}

static void versions(void **state)
{
    (void)state;
    static const char *const tags[] = {"z", "a", "z"}, *const new_tags[] = {"n"};
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    struct store_identity i = {.collection = c,
                               .name = "Amy",
                               .external_id = "E",
                               .metadata = "{}",
                               .tags = tags,
                               .n_tags = 3};
    struct seen s = {0};
    struct ulid id;
    i.row = add(&tx, &i, &id);
    const int64_t ben = add_identity(&tx, c, "Ben");
    must(store_identity_get(&tx, c, id.s, look, &s, &err), &err);
    assert_int_equal(s.version, 1);
    assert_string_equal(s.tags, "a|z|");
    i.name = "Amelia";
    i.tags = new_tags;
    i.n_tags = 1;
    must(store_identity_set(&tx, &i, 1, &err), &err); /* its own external id is no conflict */
    assert_int_equal(store_identity_set(&tx, &i, 1, &err), ERR_PRECONDITION);
    assert_non_null(strstr(err.message, "version 2"));
    must(store_identity_get(&tx, c, id.s, look, &s, &err), &err);
    assert_int_equal(s.version, 2);
    assert_string_equal(s.tags, "n|");
    i.external_id = NULL;
    must(store_identity_set(&tx, &i, 0, &err), &err);
    must(store_identity_get(&tx, c, id.s, look, &s, &err), &err);
    assert_string_equal(s.external, "none");
    /* examples that come and go count as well */
    const int64_t e = add_example(&tx, c, i.row);
    must(store_example_move(&tx, e, ben, &err), &err);
    must(store_example_move(&tx, e, i.row, &err), &err);
    must(store_identity_get(&tx, c, id.s, look, &s, &err), &err);
    assert_int_equal(s.version, 6);
    assert_int_equal(s.examples, 1);
    i.row = 999;
    assert_int_equal(store_identity_set(&tx, &i, 0, &err), ERR_NOT_FOUND);
    i.row = ben;
    i.collection = other;
    assert_int_equal(store_identity_set(&tx, &i, 0, &err), ERR_NOT_FOUND);
    commit_tx(&tx);
}

static enum err look_inside(void *self, const struct store_identity *i, struct err_info *err)
{
    const struct store_identity_query again = {.collection = i->collection, .limit = 10};
    struct seen s = {0};
    enum err rc = store_identity_list(self, &again, look, &s, err);
    assert_int_equal(s.n, 3);
    assert_true(strlen(i->name) == 1); /* still there */
    return rc;
}

/* A list within a list: each has its own statement. */
static void lists_nest(void **state)
{
    (void)state;
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = fresh();
    const struct store_identity_query q = {.collection = c, .limit = 10};
    add_identity(&tx, c, "a");
    add_identity(&tx, c, "b");
    add_identity(&tx, c, "c");
    must(store_identity_list(&tx, &q, look_inside, &tx, &err), &err);
    commit_tx(&tx);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(strings_are_kept_verbatim), T(lists), T(refusals), T(versions), T(lists_nest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
