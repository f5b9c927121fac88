/* Enrolment, its gate, and who is found then, by the routes' handlers on a store and the double of
 * the engine: vectors of two numbers, so that an angle says everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fake_engine.c"

#include "engine/base/mem.h"
#include "server/api/api.h"
#include "server/api/enrol.h"
#include "server/api/names.h"
#include "tests/unit/store_dir.h"

#include <pthread.h>

static struct app app;
static int64_t collection, amy, ben;
static char amy_id[ULID_CHARS + 1], ben_id[ULID_CHARS + 1];
static char *calibration;

/* Strangers' similarities spread evenly over [0, 0.8), one person's over [0.7, 1). */
static char *even_calibration(void)
{
    enum { IMPOSTORS = 100000, GENUINE = 1000 };
    static float impostor[IMPOSTORS], genuine[GENUINE];
    const struct calibration_origin origin = {"even", FAKE_RECIPE, "fake", "test", 10, 100};
    struct roc *roc = NULL;
    char *json = NULL;
    for (int i = 0; i < IMPOSTORS; i++) impostor[i] = 0.8f * (float)i / IMPOSTORS;
    for (int i = 0; i < GENUINE; i++) genuine[i] = 0.7f + 0.3f * (float)i / GENUINE;
    assert_int_equal(roc_new(&roc, genuine, GENUINE, impostor, IMPOSTORS, NULL), ERR_OK);
    assert_int_equal(roc_calibration_json(&json, roc, &origin, NULL), ERR_OK);
    roc_free(roc);
    return json;
}

/* --- a request --- */

/* Linked with --wrap for json_loadb: how often a handler parses the body it was sent. */
static _Thread_local int parses;
json_t *__real_json_loadb(const char *text, size_t len, size_t flags, json_error_t *why);
json_t *__wrap_json_loadb(const char *text, size_t len, size_t flags, json_error_t *why);

json_t *__wrap_json_loadb(const char *text, size_t len, size_t flags, json_error_t *why)
{
    parses++;
    return __real_json_loadb(text, len, flags, why);
}

struct asked {
    enum err rc;
    char message[ERR_MESSAGE_BYTES];
    int status, parses;
    json_t *body, *details;
};

struct ask {
    route_handler *handler;
    const char *identity; /* parameter i; NULL: none */
    const char *json;     /* a body, or */
    const char *image[3]; /* pictures */
    struct pair query[3];
};

static struct asked ask(const struct ask *a)
{
    struct request rq = {
        .method = "POST", .path = "/x", .arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES)};
    struct reply rp = REPLY_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct asked out = {0};

    ulid_make(&rq.id);
    strcpy(rq.principal, "local");
    rq.param[rq.n_params++] = (struct pair){"c", "c"};
    if (a->identity) rq.param[rq.n_params++] = (struct pair){"i", a->identity};
    for (; rq.n_query < 3 && a->query[rq.n_query].key; rq.n_query++)
        rq.query[rq.n_query] = a->query[rq.n_query];
    rq.body_kind = a->json ? BODY_JSON : BODY_MULTIPART;
    rq.body = (const uint8_t *)a->json;
    rq.body_len = a->json ? strlen(a->json) : 0;
    for (; rq.n_parts < 3 && a->image[rq.n_parts]; rq.n_parts++)
        rq.part[rq.n_parts] = (struct part){.name = "image",
                                            .data = (const uint8_t *)a->image[rq.n_parts],
                                            .len = strlen(a->image[rq.n_parts])};
    parses = 0;
    out.rc = a->handler(&app, &rq, &rp, &err);
    out.parses = parses;
    memcpy(out.message, err.message, sizeof out.message);
    out.status = rp.status;
    if (!out.rc) out.body = json_loadb((const char *)rp.owned, rp.len, 0, NULL);
    out.details = json_incref(rp.details);
    reply_release(&rp);
    arena_release(&rq.arena);
    return out;
}

static void done(struct asked *a)
{
    json_decref(a->body);
    json_decref(a->details);
}

/* The codes of the problems, and of which picture. */
static const char *problems(const struct asked *a)
{
    static char text[400];
    const json_t *one, *list = json_object_get(a->rc ? a->details : a->body, "problems");
    size_t i;
    *text = 0;
    json_array_foreach(list, i, one)
    {
        const size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s%s %s", i ? ", " : "",
                 json_string_value(json_object_get(one, "image")),
                 json_string_value(json_object_get(one, "code")));
    }
    return text;
}

static int64_t examples(void)
{
    struct store_tx tx = begin_tx();
    const int64_t n = one(&tx, "SELECT count(*) FROM examples");
    roll_back_tx(&tx);
    return n;
}

/* --- two people: Amy at 0 degrees, of the photograph "face", Ben at 60, of nothing --- */

static void id_of(char out[ULID_CHARS + 1], struct store_tx *tx, int64_t row)
{
    struct err_info err = ERR_INFO_INIT;
    sqlite3_stmt *st;
    bool found;
    must(store__query(&st, tx, "SELECT id FROM identities WHERE row = ?1", ARGS(INT(row)), &err),
         &err);
    must(store__step(&found, st, &err), &err);
    snprintf(out, ULID_CHARS + 1, "%s", store__text(st, 0));
    store__end(st);
}

static int open_app(void **state)
{
    struct store_collection c = test_collection("c");
    struct err_info err = ERR_INFO_INIT;
    struct ulid id;
    if (make_store_dir(state)) return -1;
    memset(&app, 0, sizeof app);
    pthread_mutex_init(&app.reload, NULL);
    keyring_init(&app.keyring);
    app.store = open_store();
    app.engine = &fake_engine;
    if (!calibration) calibration = even_calibration();
    fake_calibration = calibration;
    c.model = "fake";
    c.recipe = FAKE_RECIPE;
    c.dim = 2;
    c.thumbnails = c.photos = true;
    struct store_tx tx = begin_tx();
    must(store_collection_add(&collection, &id, &tx, &c, &err), &err);
    amy = add_identity(&tx, collection, "Amy");
    ben = add_identity(&tx, collection, "Ben");
    id_of(amy_id, &tx, amy);
    id_of(ben_id, &tx, ben);
    commit_tx(&tx);
    must(gallery_open(&app.gallery, app.store, &err), &err);
    struct asked a = ask(&(struct ask){api_enrol, amy_id, .image = {"face"}}),
                 b = ask(
                     &(struct ask){api_enrol, ben_id, .json = "{\"embedding\":[1.0,1.7320508]}"});
    const bool ok = a.status == 201 && b.status == 201;
    done(&a);
    done(&b);
    return ok ? 0 : -1;
}

static int close_app(void **state)
{
    gallery_close(app.gallery);
    store_close(app.store);
    keyring_release(&app.keyring);
    pthread_mutex_destroy(&app.reload);
    fake_calibration = NULL;
    return remove_store_dir(state);
}

static void ask_quality(double least)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_tx tx = begin_tx();
    must(store__run(NULL, &tx,
                    "UPDATE collections SET min_quality = ?1, updated_ms = updated_ms + 1",
                    ARGS(REAL(least)), &err),
         &err);
    commit_tx(&tx);
    must(gallery_follow(app.gallery, &err), &err);
}

/* --- the gate --- */

/* Degrees: 20 is 0.94 from Amy and 0.77 from Ben; 75 is 0.26 and 0.97. The cut is at about 0.796.
 */
#define AT_20 "[0.93969,0.34202]"
#define AT_75 "[0.25882,0.96593]"

static void what_speaks_against_it(void **state)
{
    static const struct {
        const char *name, *who, *json, *image[3];
        const char *want; /* "": it may come in */
    } rows[] = {
        {"the same file", amy_id, NULL, {"face"}, "image duplicate"},
        {"the same file, of somebody else",
         ben_id,
         NULL,
         {"face"},
         "image duplicate, image looks_like"},
        {"the same picture", amy_id, "{\"embedding\":[2,0.001]}", {0}, "embedding[0] duplicate"},
        {"looks like somebody else",
         ben_id,
         "{\"embedding\":" AT_20 "}",
         {0},
         "embedding[0] looks_like"},
        {"looks like who it is", amy_id, "{\"embedding\":" AT_20 "}", {0}, ""},
        {"like nobody", amy_id, "{\"embedding\":[-1,0.2]}", {0}, ""},
        {"twice in one call",
         ben_id,
         "{\"embeddings\":[" AT_75 "," AT_75 "]}",
         {0},
         "embedding[1] duplicate"},
        {"one of three",
         ben_id,
         "{\"embeddings\":[" AT_75 ",[-1,0]," AT_20 "]}",
         {0},
         "embedding[2] looks_like"},
        {"two files, one picture",
         ben_id,
         NULL,
         {"face", "faces"},
         "image duplicate, image looks_like, image[1] duplicate, image[1] duplicate, "
         "image[1] looks_like"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ask a = {api_enrol, rows[i].who, .json = rows[i].json,
                        .query = {{"dry_run", "true"}}};
        memcpy(a.image, rows[i].image, sizeof a.image);
        struct asked got = ask(&a);
        if (got.rc || strcmp(problems(&got), rows[i].want) != 0)
            fail_msg("%s, dry: %s, %s", rows[i].name, problems(&got), got.message);
        assert_true(json_is_true(json_object_get(got.body, "dry_run")));
        done(&got);
        a.query[0] = (struct pair){"dry_run", "false"};
        if (!*rows[i].want) continue; /* would come in */
        got = ask(&a);
        if (got.rc != ERR_CONFLICT || strcmp(problems(&got), rows[i].want) != 0)
            fail_msg("%s: %s, %s", rows[i].name, problems(&got), got.message);
        done(&got);
    }
    assert_int_equal(examples(), 2); /* nothing came in, dry or refused */
}

static void problems_say_what(void **state)
{
    (void)state;
    struct asked got = ask(&(struct ask){api_enrol, ben_id, .image = {"face"}});
    const json_t *list = json_object_get(got.details, "problems"), *twin = json_array_get(list, 0),
                 *other = json_array_get(list, 1);
    assert_true(json_is_null(json_object_get(twin, "similarity"))); /* the same file */
    assert_true(ulid_valid(json_string_value(json_object_get(twin, "example"))));
    const json_t *who = json_object_get(other, "identity");
    assert_string_equal(json_string_value(json_object_get(who, "id")), amy_id);
    assert_string_equal(json_string_value(json_object_get(who, "name")), "Amy");
    assert_true(json_number_value(json_object_get(other, "similarity")) == 1);
    done(&got);
    ask_quality(0.75);
    got = ask(&(struct ask){api_enrol, ben_id, .image = {"faces"}});
    assert_string_equal(problems(&got), "image low_quality, image duplicate, image looks_like");
    const json_t *poor = json_array_get(json_object_get(got.details, "problems"), 0);
    assert_true(json_number_value(json_object_get(poor, "quality")) == 0.5);
    assert_true(json_is_array(json_object_get(poor, "reasons")));
    assert_non_null(strstr(json_string_value(json_object_get(poor, "message")), "0.750"));
    done(&got);
    /* an embedding has no quality */
    got = ask(&(struct ask){api_enrol, ben_id, .json = "{\"embedding\":" AT_75 "}"});
    assert_int_equal(got.status, 201);
    done(&got);
}

static void without_a_calibration(void **state)
{
    (void)state;
    fake_calibration = NULL;
    struct asked got = ask(&(struct ask){api_enrol, ben_id, .json = "{\"embedding\":" AT_20 "}"});
    assert_int_equal(got.status, 201); /* who looks like whom cannot be said */
    done(&got);
    got = ask(&(struct ask){api_enrol, ben_id, .json = "{\"embedding\":" AT_20 "}"});
    assert_string_equal(problems(&got), "embedding[0] duplicate");
    done(&got);
}

static void by_force(void **state)
{
    (void)state;
    struct asked got = ask(
        &(struct ask){api_enrol, ben_id, .image = {"face", "face"}, .query = {{"force", "true"}}});
    assert_int_equal(got.status, 201);
    const json_t *list = json_object_get(got.body, "examples");
    assert_int_equal(json_array_size(list), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *e = json_array_get(list, i);
        assert_string_equal(json_string_value(json_object_get(e, "identity")), ben_id);
        assert_true(json_is_true(json_object_get(e, "has_photo")));
        assert_true(json_is_true(json_object_get(e, "has_thumbnail")));
        assert_string_equal(json_string_value(json_object_get(e, "precision")), "f32");
    }
    done(&got);
    got = ask(&(struct ask){api_enrol, ben_id, .json = "{\"embedding\":[1,0],\"force\":true}"});
    assert_int_equal(got.status, 201);
    done(&got);
    assert_int_equal(examples(), 5);
}

/* Faces of nobody: all that are on a picture, and none looks like somebody else. */
static void of_nobody(void **state)
{
    (void)state;
    struct asked got = ask(&(struct ask){api_enrol_unassigned, NULL, .image = {"faces"}});
    assert_string_equal(problems(&got), "image duplicate"); /* Amy's, at 0 degrees */
    done(&got);
    got = ask(&(struct ask){api_enrol_unassigned, NULL, .image = {"faces"},
                            .query = {{"force", "true"}}});
    assert_int_equal(got.status, 201);
    assert_true(json_is_null(json_object_get(got.body, "identity")));
    assert_int_equal(json_array_size(json_object_get(got.body, "examples")), 2);
    done(&got);
    got = ask(&(struct ask){api_enrol_unassigned, NULL, .image = {"faces"}});
    assert_string_equal(problems(&got), "image duplicate, image duplicate"); /* the file */
    done(&got);
    got = ask(&(struct ask){api_enrol_unassigned, NULL, .image = {"none"}});
    assert_int_equal(got.rc, ERR_NO_FACE);
    done(&got);
    got = ask(&(struct ask){api_enrol_unassigned, NULL, .json = "{\"embedding\":" AT_20 "}"});
    assert_int_equal(got.status, 201);
    done(&got);
}

static void bad_input(void **state)
{
    static const struct {
        const char *name, *who, *json, *image[3];
        struct pair query[3];
        enum err want;
        const char *says;
    } rows[] = {
        {"too short", amy_id, "{\"embedding\":[1]}", {0}, {{0}}, ERR_BAD_EMBEDDING, "1 numbers"},
        {"too long", amy_id, "{\"embedding\":[1,0,0]}", {0}, {{0}}, ERR_BAD_EMBEDDING, "have 2"},
        {"no list", amy_id, "{\"embedding\":7}", {0}, {{0}}, ERR_BAD_EMBEDDING, "0 numbers"},
        {"no number",
         amy_id,
         "{\"embedding\":[1,\"0\"]}",
         {0},
         {{0}},
         ERR_BAD_EMBEDDING,
         "1 is none"},
        {"of no length", amy_id, "{\"embedding\":[0,0]}", {0}, {{0}}, ERR_BAD_EMBEDDING, "length"},
        {"beyond a float",
         amy_id,
         "{\"embedding\":[1,-1e39]}",
         {0},
         {{0}},
         ERR_BAD_EMBEDDING,
         "-1e+39"},
        {"the second is wrong",
         amy_id,
         "{\"embeddings\":[[1,0],[1]]}",
         {0},
         {{0}},
         ERR_BAD_EMBEDDING,
         "embedding[1]"},
        {"an empty list", amy_id, "{\"embeddings\":[]}", {0}, {{0}}, ERR_INVALID, "empty"},
        {"not a list of lists",
         amy_id,
         "{\"embeddings\":{}}",
         {0},
         {{0}},
         ERR_INVALID,
         "list of lists"},
        {"both",
         amy_id,
         "{\"embedding\":[1,0],\"embeddings\":[[1,0]]}",
         {0},
         {{0}},
         ERR_INVALID,
         "both"},
        {"a field too many", amy_id, "{\"embedding\":[1,0],\"x\":1}", {0}, {{0}}, ERR_INVALID, "x"},
        {"another recipe",
         amy_id,
         "{\"embedding\":[1,0],\"recipe\":\"ab\"}",
         {0},
         {{0}},
         ERR_CONFLICT,
         "fa4efa4efa4e"},
        {"no JSON", amy_id, "{\"embedding\":[1,0]", {0}, {{0}}, ERR_BAD_JSON, "line 1"},
        {"no object", amy_id, "[\"embedding\"]", {0}, {{0}}, ERR_INVALID, "not an object"},
        {"a field twice",
         amy_id,
         "{\"embedding\":[1,0],\"embedding\":[1,0]}",
         {0},
         {{0}},
         ERR_BAD_JSON,
         "duplicate"},
        {"the query comes first", amy_id, "{", {0}, {{"forse", "true"}}, ERR_INVALID, "forse"},
        {"a field too many beside a picture",
         amy_id,
         "{\"image\":\"ZmFjZQ==\",\"recipe\":\"ab\"}",
         {0},
         {{0}},
         ERR_INVALID,
         "recipe"},
        {"no base64", amy_id, "{\"image\":\"*\"}", {0}, {{0}}, ERR_BAD_BASE64, "image"},
        {"force of what?",
         amy_id,
         "{\"embedding\":[1,0]}",
         {0},
         {{"force", "yes"}},
         ERR_INVALID,
         "yes"},
        {"an unknown parameter",
         amy_id,
         "{\"embedding\":[1,0]}",
         {0},
         {{"forse", "true"}},
         ERR_INVALID,
         "forse"},
        {"nobody's id",
         "01ARZ3NDEKTSV4RRFFQ69G5FAV",
         "{\"embedding\":[1,0]}",
         {0},
         {{0}},
         ERR_NOT_FOUND,
         "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
        {"no face", amy_id, NULL, {"face", "none"}, {{0}}, ERR_NO_FACE, "image[1]"},
        {"every face", amy_id, NULL, {"face"}, {{"face", "all"}}, ERR_INVALID, "one person"},
        {"another model", amy_id, NULL, {"face"}, {{"model", "vgg"}}, ERR_CONFLICT, "vgg"},
        {"no picture", amy_id, NULL, {"text"}, {{0}}, ERR_UNSUPPORTED_IMAGE, "image"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ask a = {api_enrol, rows[i].who, .json = rows[i].json};
        memcpy(a.image, rows[i].image, sizeof a.image);
        memcpy(a.query, rows[i].query, sizeof a.query);
        struct asked got = ask(&a);
        if (got.rc != rows[i].want || !strstr(got.message, rows[i].says))
            fail_msg("%s: %s, %s", rows[i].name, err_name(got.rc), got.message);
        done(&got);
    }
    assert_int_equal(examples(), 2);
}

static void a_body_is_parsed_once(void **state)
{
    static const struct {
        const char *json;
        size_t faces;
    } rows[] = {
        {"{\"embedding\":[0,-1],\"dry_run\":true}", 1},
        {"{\"embeddings\":[[0,-1],[-1,0]],\"dry_run\":true}", 2},
        {"{\"image\":\"ZmFjZQ==\",\"dry_run\":true}", 1},
        {"{\"image\":[\"ZmFjZQ==\",\"ZmFjZXM=\"],\"face\":\"largest\",\"dry_run\":true}", 2},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked got = ask(&(struct ask){api_enrol, amy_id, .json = rows[i].json});
        if (got.rc || got.parses != 1)
            fail_msg("%s: parsed %d times, %s", rows[i].json, got.parses, got.message);
        assert_int_equal(json_array_size(json_object_get(got.body, "faces")), rows[i].faces);
        done(&got);
    }
}

/* Of each face its own, out of the analysis: no photograph is decoded for them again. */
static void thumbnails(void **state)
{
    (void)state;
    fake_thumbnails = 0;
    struct asked got = ask(&(struct ask){api_enrol_unassigned, NULL, .image = {"faces"},
                                         .query = {{"force", "true"}}});
    assert_int_equal(got.status, 201);
    done(&got);
    assert_int_equal(fake_thumbnails, 0);
    struct store_tx tx = begin_tx();
    const int64_t last = one(&tx, "SELECT max(row) FROM examples");
    for (int i = 0; i < 2; i++) {
        struct buf kept = BUF_INIT(1 << 10);
        struct err_info err = ERR_INFO_INIT;
        must(store_example_picture(&kept, &tx, last - 1 + i, STORE_THUMBNAIL, &err), &err);
        assert_string_equal((char *)kept.data, i ? "\xff\xd8"
                                                   "1 of 112"
                                                 : "\xff\xd8"
                                                   "0 of 112");
        buf_release(&kept);
    }
    roll_back_tx(&tx);
}

static char *many(int n)
{
    struct buf b = BUF_INIT(1 << 20);
    struct err_info err = ERR_INFO_INIT;
    must(buf_puts(&b, "{\"embeddings\":[", &err), &err);
    for (int i = 0; i < n; i++) /* apart by enough: 0.1 degrees are 0.999998 */
        must(buf_printf(&b, &err, "%s[%d,%d]", i ? "," : "", 1, i), &err);
    must(buf_puts(&b, "]}", &err), &err);
    char *text = strndup((const char *)b.data, b.len);
    buf_release(&b);
    return text;
}

static void a_thousand_at_once(void **state)
{
    (void)state;
    char *most = many(ENROL_MAX), *more = many(ENROL_MAX + 1);
    struct asked got =
        ask(&(struct ask){api_enrol, amy_id, .json = more, .query = {{"force", "true"}}});
    assert_int_equal(got.rc, ERR_TOO_LARGE);
    assert_non_null(strstr(got.message, "1001"));
    done(&got);
    got = ask(&(struct ask){api_enrol, amy_id, .json = most, .query = {{"force", "true"}}});
    assert_int_equal(got.status, 201);
    assert_int_equal(json_array_size(json_object_get(got.body, "examples")), ENROL_MAX);
    done(&got);
    assert_int_equal(examples(), 2 + ENROL_MAX);
    free(most);
    free(more);
}

struct attempt {
    struct ask a;
    enum err rc;
};

static void *enrol_it(void *arg)
{
    struct attempt *t = arg;
    struct asked got = ask(&t->a);
    t->rc = got.rc;
    done(&got);
    return NULL;
}

/* The gate lets all of them through, the transaction only one. */
static void the_same_photograph_at_once(void **state)
{
    enum { CLIENTS = 8 };
    struct attempt attempt[CLIENTS];
    struct err_info err = ERR_INFO_INIT;
    struct store_receipt r = {0};
    pthread_t client[CLIENTS];
    int in = 0;
    (void)state;
    struct store_tx tx = begin_tx(); /* nobody is near it */
    must(store_erase_identity(&r, &tx, amy, &err), &err);
    commit_tx(&tx);
    must(gallery_follow(app.gallery, &err), &err);
    for (int i = 0; i < CLIENTS; i++) {
        attempt[i] =
            (struct attempt){{api_enrol_unassigned, NULL, .image = {"\xff\xd8photo"}}, ERR_OK};
        assert_int_equal(pthread_create(&client[i], NULL, enrol_it, &attempt[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(client[i], NULL);
        in += attempt[i].rc == ERR_OK;
        assert_true(attempt[i].rc == ERR_OK || attempt[i].rc == ERR_CONFLICT);
    }
    assert_int_equal(in, 1);
}

/* By another process, a moment ago: vectors of two models never meet. */
static void moved_to_another_model(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    struct store_tx tx = begin_tx();
    must(store__run(NULL, &tx, "UPDATE collections SET recipe = ?1, updated_ms = updated_ms + 1",
                    ARGS(TEXT(test_collection("").recipe)), &err),
         &err);
    commit_tx(&tx);
    for (int followed = 0; followed < 2; followed++) {
        struct asked got = ask(&(struct ask){api_enrol, ben_id, .image = {"\xff\xd8photo"},
                                             .query = {{"force", "true"}}});
        assert_int_equal(got.rc, ERR_CONFLICT);
        assert_non_null(strstr(got.message, "0123456789ab"));
        done(&got);
        must(gallery_follow(app.gallery, &err), &err);
    }
    assert_int_equal(examples(), 2);
}

/* --- who is it? --- */

static struct asked identify(const char *image, const char *key, const char *value)
{
    return ask(&(struct ask){api_identify, NULL, .image = {image},
                             .query = {{key, value}, {"explain", "true"}}});
}

static const json_t *face_of(const struct asked *a, size_t n)
{
    const json_t *image = json_array_get(json_object_get(a->body, "images"), 0);
    return json_array_get(json_object_get(image, "faces"), n);
}

static const char *best_name(const json_t *face)
{
    const json_t *c = json_array_get(json_object_get(face, "candidates"), 0);
    const char *name = json_string_value(json_object_get(json_object_get(c, "identity"), "name"));
    return name ? name : "";
}

static void who_is_it(void **state)
{
    (void)state;
    struct asked got = identify("faces", "top", "2");
    const json_t *at_0 = face_of(&got, 0), *at_90 = face_of(&got, 1);
    assert_string_equal(json_string_value(json_object_get(at_0, "decision")), "match");
    assert_string_equal(best_name(at_0), "Amy");
    assert_true(json_number_value(json_object_get(at_0, "margin")) == 0.5);
    assert_string_equal(best_name(at_90), "Ben"); /* cos 30 = 0.866 */
    assert_int_equal(json_array_size(json_object_get(at_90, "candidates")), 2);
    assert_null(json_object_get(at_0, "embedding"));
    const json_t *cuts = json_object_get(got.body, "threshold");
    assert_int_equal(json_integer_value(json_object_get(cuts, "comparisons")), 2);
    assert_true(json_is_true(json_object_get(got.body, "fpir_guaranteed")));
    done(&got);
    got = identify("face", "top", "1"); /* the second is not shown, but counts */
    assert_int_equal(json_array_size(json_object_get(face_of(&got, 0), "candidates")), 1);
    assert_true(json_number_value(json_object_get(face_of(&got, 0), "margin")) == 0.5);
    done(&got);
    got = identify("face", "fpir", "0.00001"); /* 100,000 pairs support 0.0001 */
    assert_true(json_is_false(json_object_get(got.body, "fpir_guaranteed")));
    done(&got);
    got = identify("face", "tag", "no such");
    assert_int_equal(json_array_size(json_object_get(face_of(&got, 0), "candidates")), 0);
    assert_string_equal(json_string_value(json_object_get(face_of(&got, 0), "decision")),
                        "unknown");
    assert_true(json_is_null(json_object_get(face_of(&got, 0), "margin")));
    done(&got);
    got = identify("none", "top", "1");
    assert_null(face_of(&got, 0));
    assert_int_equal(got.rc, ERR_OK);
    done(&got);
}

/* Erased by another process a moment ago: the index still has her, the answer does not. */
static void erased_meanwhile(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct store_receipt r = {0};
    (void)state;
    struct store_tx tx = begin_tx();
    must(store_erase_identity(&r, &tx, amy, &err), &err);
    commit_tx(&tx);
    struct asked got = identify("face", "top", "5");
    assert_string_equal(best_name(face_of(&got, 0)), "Ben");
    assert_string_equal(json_string_value(json_object_get(face_of(&got, 0), "decision")),
                        "unknown");
    assert_int_equal(json_array_size(json_object_get(face_of(&got, 0), "candidates")), 1);
    done(&got);
    got = ask(&(struct ask){api_claim, NULL, .image = {"face"}, .query = {{"identity", amy_id}}});
    assert_int_equal(got.rc, ERR_NOT_FOUND);
    done(&got);
    got = ask(&(struct ask){api_enrol, amy_id, .json = "{\"embedding\":[-1,0]}"});
    assert_int_equal(got.rc, ERR_NOT_FOUND);
    done(&got);
    got = ask(&(struct ask){api_enrol, ben_id, .json = "{\"embedding\":" AT_20 "}"});
    assert_int_equal(got.status, 201); /* who is gone is nobody to look like */
    done(&got);
}

static void is_it_who_they_say(void **state)
{
    (void)state;
    struct asked got = ask(&(struct ask){api_claim, NULL, .image = {"face"},
                                         .query = {{"identity", amy_id}, {"explain", "true"}}});
    assert_true(json_is_true(json_object_get(got.body, "verified")));
    assert_int_equal(json_array_size(json_object_get(got.body, "scores")), 1);
    done(&got);
    got = ask(&(struct ask){api_claim, NULL, .image = {"face"}, .query = {{"identity", ben_id}}});
    assert_true(json_is_false(json_object_get(got.body, "verified")));
    assert_true(json_number_value(json_object_get(got.body, "similarity")) == 0.5);
    done(&got);
    fake_calibration = NULL;
    got = ask(&(struct ask){api_claim, NULL, .image = {"face"}, .query = {{"identity", ben_id}}});
    assert_int_equal(got.rc, ERR_FMR_UNSUPPORTED);
    done(&got);
}

/* --- names --- */

static void names_of_rows(void **state)
{
    struct err_info err = ERR_INFO_INIT;
    struct names n;
    (void)state;
    must(names_init(&n, &err), &err);
    must(names_want(&n, amy, 1, &err), &err);
    must(names_want(&n, ben, 2, &err), &err);
    must(names_want(&n, ben, 2, &err), &err); /* twice is once */
    must(names_want(&n, 999, INT64_MAX, &err), &err);
    assert_null(names_identity(&n, amy)); /* not read yet */
    must(names_read(&n, app.store, &err), &err);
    assert_string_equal(json_string_value(json_object_get(names_identity(&n, amy), "name")), "Amy");
    assert_string_equal(json_string_value(json_object_get(names_identity(&n, ben), "id")), ben_id);
    assert_true(ulid_valid(json_string_value(names_example(&n, 1))));
    assert_null(names_identity(&n, 999));
    assert_null(names_example(&n, INT64_MAX));
    assert_null(names_example(&n, 3)); /* never asked for */
    names_release(&n);
    names_release(&n);
}

#define IN_APP(test) cmocka_unit_test_setup_teardown(test, open_app, close_app)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_APP(what_speaks_against_it),
        IN_APP(problems_say_what),
        IN_APP(without_a_calibration),
        IN_APP(by_force),
        IN_APP(of_nobody),
        IN_APP(bad_input),
        IN_APP(a_body_is_parsed_once),
        IN_APP(thumbnails),
        IN_APP(a_thousand_at_once),
        IN_APP(the_same_photograph_at_once),
        IN_APP(moved_to_another_model),
        IN_APP(who_is_it),
        IN_APP(erased_meanwhile),
        IN_APP(is_it_who_they_say),
        IN_APP(names_of_rows),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    free(calibration);
    return rc;
}
