#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/match.h"
#include "server/cli/db.h"
#include "tests/unit/store_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static char out_dir[80], exported[100]; /* out_dir/x */

static void remove_tree(const char *path)
{
    char below[4096];
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        remove_tree(below);
    }
    if (d) closedir(d);
    remove(path);
}

static int make_both(void **state)
{
    if (make_store_dir(state)) return -1;
    strcpy(out_dir, "/tmp/visavis-export-XXXXXX");
    if (!mkdtemp(out_dir)) return -1;
    snprintf(exported, sizeof exported, "%s/x", out_dir);
    return 0;
}

static int remove_both(void **state)
{
    (void)state;
    remove_tree(out_dir);
    remove_tree(store_dir);
    return 0;
}

/* A collection with everything that an export can have. */
static void fill(void)
{
    static const char *const tags[] = {"cast \"1\"", "ünï"};
    struct err_info err = ERR_INFO_INIT;
    struct store_collection c = test_collection("cast/../1");
    struct store_identity amy = {.name = "Amy \\ 'x'; --",
                                 .external_id = "a/1",
                                 .metadata = "{\"n\":0.5,\"o\":{\"p\":[1,null,true]}}",
                                 .tags = tags,
                                 .n_tags = 2};
    const struct store_bytes thumbnail = {"thumb\0nail", 10}, photo = {"photo", 5}, none = {0};
    struct ulid id;
    int64_t row = 0, other = 0, e = 0;
    c.rule = "mean_top";
    c.rule_top = 3;
    c.min_quality = 0.1;
    c.thumbnails = c.photos = true;
    c.ttl_days = 7;
    c.calibration =
        "{\"format\":1,\"source\":\"t\",\"recipe\":\"r\",\"model\":\"m\",\"command\":\"c\","
        "\"people\":2,"
        "\"images\":4,\"impostor_pairs\":100,\"genuine_pairs\":10,\"impostor\":{\"similarity\":[0."
        "125,"
        "0.5],\"fmr\":[0.5,0.0625]},\"genuine\":{\"similarity\":[0.25,0.75],\"fnmr\":[0.0,0.5]},"
        "\"probability\":{\"a\":10.5,\"b\":-0.30000000000000004}}";
    c.metadata = "{\"why\":\"tests\"}";
    struct store_tx tx = begin_tx();
    must(store_collection_add(&row, &id, &tx, &c, &err), &err);
    amy.collection = row;
    must(store_identity_add(&other, &id, &tx, &amy, &err), &err);
    struct store_example x = {.collection = row,
                              .identity = other,
                              .embedding = test_embedding,
                              .dim = TEST_DIM,
                              .precision = "bf16",
                              .has_face = true,
                              .box = {1.1f, 2.2f, 3.3f, 4.4f},
                              .points = {{0.1f, 0.2f}, {0.3f, 0.4f}},
                              .quality = 0.7,
                              .has_source = true,
                              .source = {1, 255, 16}};
    must(store_example_add(&e, &id, &tx, &x, thumbnail, photo, &err), &err);
    must(store_example_add(&e, &id, &tx, &x, thumbnail, none, &err), &err);
    add_example(&tx, row, 0);
    add_example(&tx, row, add_identity(&tx, row, "Ben"));
    for (int i = 0; i < 1500; i++) add_identity(&tx, row, "of a second page");
    commit_tx(&tx);
}

/* Every value of every row but those that a database numbers itself, hashed by SQLite's text. */
static const char *const tables[] = {
    "SELECT group_concat(quote(id) || quote(name) || quote(model) || quote(recipe) || dim || "
    "quote(rule) || rule_top || min_quality || thumbnails || photos || ttl_days || "
    "quote(calibration) || quote(metadata) || created_ms || '.' || updated_ms) FROM collections",
    "SELECT group_concat(quote(id) || quote(name) || quote(external_id) || quote(metadata) || "
    "version || '.' || created_ms || '.' || updated_ms) FROM (SELECT * FROM identities "
    "ORDER BY row)",
    "SELECT group_concat(i.id || quote(tag)) FROM identity_tags t JOIN identities i ON "
    "i.row = t.identity",
    "SELECT group_concat(x) FROM (SELECT quote(e.id) || quote(i.id) || quote(e.embedding) || "
    "quote(e.precision) || quote(e.box) || quote(e.points) || quote(e.quality) || quote(e.source) "
    "|| e.created_ms || quote(p.thumbnail) || quote(p.photo) AS x FROM examples e LEFT JOIN "
    "identities i ON i.row = e.identity LEFT JOIN example_pictures p ON p.example = e.row "
    "ORDER BY e.row)",
};

static char *text_of(const char *sql)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = begin_tx();
    sqlite3_stmt *st;
    bool row;
    must(store__query(&st, &tx, sql, NULL, &err), &err);
    must(store__step(&row, st, &err), &err);
    char *text = strdup(store__text(st, 0));
    store__end(st);
    roll_back_tx(&tx);
    return text;
}

static void new_database(void)
{
    remove_tree(store_dir);
    assert_int_equal(mkdir(store_dir, 0700), 0);
}

static int64_t number(json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static void nothing_is_lost(void **state)
{
    char *before[4], *after;
    json_t *summary = NULL;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    struct store *s = open_store();
    fill();
    for (int i = 0; i < 4; i++) before[i] = text_of(tables[i]);
    must(db_export(&summary, s, "cast/../1", exported, true, &err), &err);
    assert_int_equal(number(summary, "identities"), 1502);
    assert_int_equal(number(summary, "examples"), 4);
    assert_int_equal(number(summary, "pictures"), 3);
    json_decref(summary);
    store_close(s);
    new_database();
    s = open_store();
    must(db_import(&summary, s, exported, NULL, &err), &err);
    assert_int_equal(number(summary, "new_ids"), 0);
    json_decref(summary);
    for (int i = 0; i < 4; i++) {
        after = text_of(tables[i]);
        assert_string_equal(before[i], after);
        free(before[i]);
        free(after);
    }
    store_close(s);
}

/* Beside the original: another name, and every id a new one. */
static void beside_itself(void **state)
{
    json_t *summary = NULL;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    struct store *s = open_store();
    fill();
    must(db_export(&summary, s, "cast/../1", exported, false, &err), &err);
    json_decref(summary);
    assert_int_equal(db_import(&summary, s, exported, NULL, &err), ERR_CONFLICT);
    must(db_import(&summary, s, exported, "copy", &err), &err);
    assert_int_equal(number(summary, "new_ids"), 1 + 1502 + 4);
    json_decref(summary);
    struct store_tx tx = begin_tx();
    assert_int_equal(one(&tx, "SELECT count(*) FROM collections"), 2);
    assert_int_equal(one(&tx, "SELECT count(*) FROM identities"), 2 * 1502);
    assert_int_equal(one(&tx, "SELECT count(*) FROM audit WHERE action = 'collection.import' AND "
                              "collection = (SELECT id FROM collections WHERE name = 'copy')"),
                     1);
    roll_back_tx(&tx);
    store_close(s);
}

static void refused_exports(void **state)
{
    json_t *summary = NULL;
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    struct store *s = open_store();
    fill();
    assert_int_equal(db_export(&summary, s, "nobody", exported, true, &err), ERR_NOT_FOUND);
    assert_int_not_equal(access(exported, F_OK), 0);
    assert_int_equal(db_export(&summary, s, "cast/../1", out_dir, true, &err), ERR_CONFLICT);
    must(db_export(&summary, s, "cast/../1", exported, false, &err), &err); /* after the failure */
    json_decref(summary);
    store_close(s);
}

/* Replaces the first `from` in a file of the export. */
static void edit(const char *file, const char *from, const char *to)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", exported, file);
    struct buf b = BUF_INIT(1 << 22), out = BUF_INIT(1 << 22);
    struct err_info err = ERR_INFO_INIT;
    must(buf_read_file(&b, path, &err), &err);
    char *at = strstr((char *)b.data, from);
    assert_non_null(at);
    must(buf_add(&out, b.data, (size_t)(at - (char *)b.data), &err), &err);
    must(buf_puts(&out, to, &err), &err);
    must(buf_puts(&out, at + strlen(from), &err), &err);
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(out.data, 1, out.len, f), out.len);
    fclose(f);
    buf_release(&b);
    buf_release(&out);
}

static void damaged(void **state)
{
    static const struct {
        const char *name, *file, *from, *to;
        enum err want;
        const char *says;
    } rows[] = {
        {"not JSON", "identities.jsonl", "{", "", ERR_BAD_JSON, "identities.jsonl, line 1"},
        {"a field missing", "collection.json", "\"dim\":4,", "", ERR_INVALID, "dim"},
        {"an unknown field", "examples.jsonl", "{", "{\"x\":1,", ERR_INVALID, "line 1"},
        {"another format", "collection.json", "collection-1", "collection-2", ERR_INVALID,
         "collection-2"},
        {"another dim", "collection.json", "\"dim\":4", "\"dim\":5", ERR_INVALID, "has 4"},
        {"a calibration that is none", "collection.json", "\"calibration\":{",
         "\"calibration\":{\"x\":1,", ERR_INVALID, "calibration"},
        {"a bad rule", "collection.json", "mean_top", "dice", ERR_INVALID, ""},
        {"an id that is none", "identities.jsonl", "{\"id\":\"0", "{\"id\":\"../0", ERR_INVALID,
         "is no id"},
        {"an example's id that is none", "examples.jsonl", "{\"id\":\"0", "{\"id\":\"../../0",
         ERR_INVALID, "is no id"},
        {"an unknown identity", "examples.jsonl", "\"identity\":\"0", "\"identity\":\"7",
         ERR_INVALID, "not in identities.jsonl"},
        {"a point too few", "examples.jsonl", "\"points\":[", "\"points\":[7,", ERR_INVALID,
         "points"},
        {"a source of no hex", "examples.jsonl", "\"source\":\"0", "\"source\":\"x", ERR_INVALID,
         "source"},
        {"an example too few", "examples.jsonl", "{", "\n{", ERR_BAD_JSON, "line 1"},
        {"a missing picture", "examples.jsonl", "\"photo\":false", "\"photo\":true", ERR_NOT_FOUND,
         "examples.jsonl, line 2"},
        {"an embedding that is none", "embeddings.npy", "\n", "\n\n", ERR_INVALID, "bytes"},
        {"a tag that is none", "identities.jsonl", "\"tags\":[", "\"tags\":[7,", ERR_INVALID,
         "tag"},
    };
    (void)state;
    struct store *s = open_store();
    fill();
    store_close(s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *summary = NULL;
        struct err_info err = ERR_INFO_INIT;
        s = open_store();
        must(db_export(&summary, s, "cast/../1", exported, true, &err), &err);
        json_decref(summary);
        if (!strcmp(rows[i].file, "embeddings.npy"))
            assert_int_equal(
                truncate(strcat(strcpy((char[200]){0}, exported), "/embeddings.npy"), 150), 0);
        else
            edit(rows[i].file, rows[i].from, rows[i].to);
        enum err rc = db_import(&summary, s, exported, "copy", &err);
        if (rc != rows[i].want || !strstr(err.message, rows[i].says))
            fail_msg("%s: %s, %s", rows[i].name, err_name(rc), err.message);
        struct store_tx tx = begin_tx(); /* nothing of it is there */
        if (one(&tx, "SELECT count(*) FROM collections") != 1) fail_msg("%s", rows[i].name);
        roll_back_tx(&tx);
        store_close(s);
        remove_tree(exported);
    }
}

/* What the search index would refuse would stop the server at its next start. */
static void longer_than_an_index_takes(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_collection c = test_collection("long");
    json_t *summary = NULL;
    struct ulid id;
    int64_t row;
    (void)state;
    c.dim = MATCH_DIM_MAX + 1;
    struct store *s = open_store();
    struct store_tx tx = begin_tx();
    must(store_collection_add(&row, &id, &tx, &c, &err), &err);
    commit_tx(&tx);
    must(db_export(&summary, s, "long", exported, false, &err), &err);
    json_decref(summary);
    assert_int_equal(db_import(&summary, s, exported, "copy", &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "8193"));
    assert_non_null(strstr(err.message, "8192"));
    store_close(s);
}

#define IN_BOTH(test) cmocka_unit_test_setup_teardown(test, make_both, remove_both)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(nothing_is_lost),
        IN_BOTH(beside_itself),
        IN_BOTH(refused_exports),
        IN_BOTH(damaged),
        IN_BOTH(longer_than_an_index_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
