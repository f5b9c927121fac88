#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fake_engine.c"

#include "engine/base/mem.h"
#include "engine/face/face.h"
#include "server/api/api.h"
#include "server/assets.h"

#include <math.h>

static struct app app;

struct call {
    const char *name;
    route_handler *handler;
    struct pair query[3];
    const char *json; /* or a form: */
    struct pair form[5];
    enum err want;
    const char *says; /* in the answer or the error's message */
};

static void run_call(const struct call *c)
{
    struct request rq = {.method = "POST", .path = "/x"};
    struct reply rp = REPLY_INIT;
    struct err_info err = ERR_INFO_INIT;

    rq.arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES);
    for (; rq.n_query < 3 && c->query[rq.n_query].key; rq.n_query++)
        rq.query[rq.n_query] = c->query[rq.n_query];
    rq.body_kind = c->json ? BODY_JSON : BODY_MULTIPART;
    rq.body = (const uint8_t *)c->json;
    rq.body_len = c->json ? strlen(c->json) : 0;
    for (; rq.n_parts < 5 && c->form[rq.n_parts].key; rq.n_parts++) {
        const struct pair *f = &c->form[rq.n_parts];
        rq.part[rq.n_parts] =
            (struct part){f->key, (const uint8_t *)f->value, strlen(f->value), NULL};
    }
    enum err rc = c->handler(&app, &rq, &rp, &err);
    char answer[3000];
    snprintf(answer, sizeof answer, "%.*s", (int)(rc ? 0 : rp.len),
             rp.owned      ? (const char *)rp.owned
             : rp.borrowed ? (const char *)rp.borrowed
                           : "");
    if (rc != c->want || !strstr(rc ? err.message : answer, c->says))
        fail_msg("%s: %s (%s) %s", c->name, err_name(rc), err.message, answer);
    reply_release(&rp);
    arena_release(&rq.arena);
}

static const struct call calls[] = {
    {"detect", api_detect, {{0}}, NULL, {{"image", "faces"}}, ERR_OK, "\"width\":100"},
    {"detect, none", api_detect, {{0}}, NULL, {{"image", "none"}}, ERR_OK, "\"faces\":[]"},
    {"detect, none of one",
     api_detect,
     {{"face", "main"}},
     NULL,
     {{"image", "none"}},
     ERR_NO_FACE,
     "image: no face"},
    {"detect, single",
     api_detect,
     {{0}},
     NULL,
     {{"image", "faces"}, {"face", "single"}},
     ERR_MANY_FACES,
     "image: 2"},
    {"detect, two pictures",
     api_detect,
     {{0}},
     NULL,
     {{"image", "face"}, {"image", "faces"}},
     ERR_INVALID,
     "\"image\" is given twice"},
    {"detect, an option twice",
     api_detect,
     {{0}},
     NULL,
     {{"image", "face"}, {"face", "all"}, {"face", "main"}},
     ERR_INVALID,
     "face is given twice"},
    {"detect, broken", api_detect, {{0}}, NULL, {{"image", "broken"}}, ERR_BAD_IMAGE, "image: "},
    {"detect, text",
     api_detect,
     {{0}},
     NULL,
     {{"image", "text"}},
     ERR_UNSUPPORTED_IMAGE,
     "image: "},
    {"detect, no embedding",
     api_detect,
     {{0}},
     NULL,
     {{"image", "face"}, {"fmr", "1"}},
     ERR_INVALID,
     "\"fmr\""},
    {"embed", api_embed, {{0}}, NULL, {{"image", "face"}}, ERR_OK, "\"embedding\":[1.0,0.0]"},
    {"embed, recipe",
     api_embed,
     {{0}},
     "{\"image\":\"ZmFjZQ==\"}",
     {{0}},
     ERR_OK,
     "\"recipe\":\"" FAKE_RECIPE "\""},
    {"JSON, white space",
     api_detect,
     {{0}},
     "{\"image\":\"Zm Fj\\nZQ\"}",
     {{0}},
     ERR_OK,
     "\"width\""},
    {"JSON, data URL",
     api_detect,
     {{0}},
     "{\"image\":\"data:image/png;base64,ZmFjZQ==\"}",
     {{0}},
     ERR_OK,
     ""},
    {"JSON, options",
     api_detect,
     {{0}},
     "{\"image\":\"ZmFjZXM=\",\"face\":\"main\",\"retry\":false,\"min_size\":50}",
     {{0}},
     ERR_OK,
     ""},
    {"JSON, unknown",
     api_detect,
     {{0}},
     "{\"image\":\"ZmFjZQ==\",\"fmr\":0.1}",
     {{0}},
     ERR_INVALID,
     "JSON field \"fmr\""},
    {"JSON, wrong type",
     api_detect,
     {{0}},
     "{\"image\":[]}",
     {{0}},
     ERR_INVALID,
     "\"image\" is not a string"},
    {"JSON, nothing", api_detect, {{0}}, "{}", {{0}}, ERR_INVALID, "image is missing"},
    {"JSON, cut", api_detect, {{0}}, "{\"image\":", {{0}}, ERR_BAD_JSON, "line 1"},
    {"JSON, base64",
     api_verify,
     {{0}},
     "{\"image1\":\"ZmFjZQ==\",\"image2\":\"Z\"}",
     {{0}},
     ERR_BAD_BASE64,
     "image2: "},
    {"both places",
     api_detect,
     {{"face", "all"}},
     "{\"image\":\"ZmFjZQ==\",\"face\":\"all\"}",
     {{0}},
     ERR_INVALID,
     "both in the query and in the body"},
    {"verify, one image",
     api_verify,
     {{0}},
     NULL,
     {{"image1", "face"}},
     ERR_INVALID,
     "image2 is missing"},
    {"verify, empty",
     api_verify,
     {{0}},
     NULL,
     {{"image1", ""}, {"image2", "face"}},
     ERR_INVALID,
     "image1 is empty"},
    {"verify, no face",
     api_verify,
     {{0}},
     NULL,
     {{"image1", "face"}, {"image2", "none"}},
     ERR_NO_FACE,
     "image2: no face"},
    {"verify, all and no face",
     api_verify,
     {{"face", "all"}},
     NULL,
     {{"image1", "none"}, {"image2", "face"}},
     ERR_NO_FACE,
     "image1"},
    {"verify, uncalibrated",
     api_verify,
     {{0}},
     NULL,
     {{"image1", "face"}, {"image2", "face"}},
     ERR_FMR_UNSUPPORTED,
     "fake"},
    {"verify, fmr",
     api_verify,
     {{"fmr", "1"}},
     NULL,
     {{"image1", "face"}, {"image2", "face"}},
     ERR_INVALID,
     "fmr is 1"},
    {"models", api_models, {{0}}, NULL, {{0}}, ERR_OK, "\"embedder\":\"fake\""},
    {"models, parameter", api_models, {{"x", ""}}, NULL, {{0}}, ERR_INVALID, "\"x\""},
    {"live", api_health_live, {{0}}, NULL, {{0}}, ERR_OK, "live"},
    {"ready, not yet", api_health_ready, {{0}}, NULL, {{0}}, ERR_BUSY, "no inference"},
    {"metrics", api_metrics, {{0}}, NULL, {{0}}, ERR_OK, "visavis_batch_rows_bucket{le=\"4\"} 3"},
    {"openapi", api_openapi, {{0}}, NULL, {{0}}, ERR_OK, "openapi: 3.1"},
    {"about", api_about, {{0}}, NULL, {{0}}, ERR_OK, "/v1/verify"},
};

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) run_call(&calls[i]);
}

static void options_reach_the_engine(void **state)
{
    static const struct call all = {"all options",
                                    api_embed,
                                    {{"include", "mask,chip"},
                                     {"min_size", "33.5"},
                                     {"retry", "false"}},
                                    NULL,
                                    {{"image", "face"}, {"face", "largest"}},
                                    ERR_OK,
                                    ""},
                             plain = {"no options",        api_detect, {{0}}, NULL,
                                      {{"image", "face"}}, ERR_OK,     ""};
    (void)state;
    run_call(&all);
    assert_true(fake_last.mask && fake_last.chip_png && !fake_last.mask_png &&
                !fake_last.landmarks68);
    assert_true(fake_last.no_retry && fake_last.embedding && fake_last.select == FACE_LARGEST);
    assert_true(fabsf(fake_last.min_size - 33.5f) < 1e-6f);
    static const struct call classify = {"classify",
                                         api_classify,
                                         {{"model", "vgg"}, {"top", "3"}},
                                         NULL,
                                         {{"image", "face"}, {"precropped", "true"}},
                                         ERR_OK,
                                         "\"model\":\"fake\""},
                             by_default = {"classify as it is", api_classify, {{0}}, NULL,
                                           {{"image", "face"}}, ERR_OK,       ""};
    run_call(&classify);
    assert_int_equal(fake_last.classes, 3);
    assert_string_equal(fake_last.model, "vgg");
    assert_true(!fake_last.embedding && fake_last.select == FACE_MAIN && fake_last.precropped);
    run_call(&by_default);
    assert_false(fake_last.precropped);
    assert_int_equal(fake_last.classes, 5);
    assert_null(fake_last.model);
    run_call(&plain);
    assert_int_equal(fake_last.classes, 0);
    assert_true(!fake_last.mask && !fake_last.chip_png && !fake_last.no_retry &&
                !fake_last.embedding);
    assert_true(fake_last.select == FACE_ALL && fake_last.min_size == 0);
}

static void engine_errors(void **state)
{
    static const struct call
        missing = {"no 68 points", api_detect,          {{"include", "landmarks68"}},
                   NULL,           {{"image", "face"}}, ERR_CONFLICT,
                   "dlib-68point"},
        inside = {"inside",     api_verify, {{0}}, NULL, {{"image1", "face"}, {"image2", "face"}},
                  ERR_INTERNAL, "as told"};
    (void)state;
    fake_error = ERR_NOT_FOUND;
    run_call(&missing);
    fake_error = ERR_INTERNAL;
    run_call(&inside);
    fake_error = ERR_OK;
}

static void warm_up(void **state)
{
    static const struct call ready = {"ready", api_health_ready, {{0}},         NULL,
                                      {{0}},   ERR_OK,           "\"models\":1"};
    struct err_info err = ERR_INFO_INIT;
    (void)state;
    fake_error = ERR_INTERNAL;
    assert_int_equal(app_warm_up(&app, &err), ERR_INTERNAL);
    assert_non_null(strstr(err.message, "first inference"));
    assert_false(atomic_load(&app.ready));
    fake_error = ERR_OK;
    assert_int_equal(app_warm_up(&app, &err), ERR_OK);
    assert_true(fake_last.precropped && fake_last.embedding);
    run_call(&ready);
}

/* Every pass that the detector can name is in the contract, and behind them what a picture that is
 * a face already has in their place. */
static void passes_are_in_the_contract(void **state)
{
    const struct asset *a = assets;
    (void)state;
    while (a->path && strcmp(a->path, "openapi.yaml") != 0) a++;
    assert_non_null(a->path);
    const char *line = strstr(a->text, "enum: [default, ");
    assert_non_null(line);
    const size_t len = strcspn(line, "]");
    for (int p = 0; p < PASS_COUNT; p++) {
        char word[64];
        snprintf(word, sizeof word, "%s,%s", detect_pass_name((enum detect_pass)p),
                 p + 1 < PASS_COUNT ? "" : " precropped]");
        const char *at = strstr(line, word);
        if (!at || at > line + len) fail_msg("%s is not among the passes of openapi.yaml", word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(options_reach_the_engine),
        cmocka_unit_test(engine_errors),
        cmocka_unit_test(warm_up),
        cmocka_unit_test(passes_are_in_the_contract),
    };
    if (engine_open(&app.engine, NULL, NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
