#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/http/reply.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static json_t *body_of(const struct reply *rp)
{
    return json_loadb(rp->owned ? (const char *)rp->owned : rp->borrowed, rp->len, 0, NULL);
}

static const char *text_at(json_t *root, const char *key)
{
    return json_string_value(json_object_get(json_object_get(root, "error"), key));
}

static void every_code_has_a_status(void **state)
{
    (void)state;
    for (int c = 1; c < ERR_COUNT; c++) {
        struct reply rp = REPLY_INIT;
        struct err_info err = {(enum err)c, "what went wrong"};
        int status = reply_status((enum err)c);
        if (status < 400 || status > 599) fail_msg("%s: status %d", err_name((enum err)c), status);
        reply_error(&rp, &err, "ID");
        assert_int_equal(rp.status, status);
        json_t *root = body_of(&rp);
        assert_non_null(root);
        assert_string_equal(text_at(root, "code"), err_name((enum err)c));
        assert_string_equal(json_string_value(json_object_get(root, "request_id")), "ID");
        /* what broke inside is not for the client */
        bool told = strcmp(text_at(root, "message"), "what went wrong") == 0;
        if (told != (status != 500))
            fail_msg("%s: %s", err_name((enum err)c), text_at(root, "message"));
        json_decref(root);
        reply_release(&rp);
    }
    assert_int_equal(reply_status(ERR_COUNT), 500);
}

static void details_headers_and_foreign_bytes(void **state)
{
    struct reply rp = REPLY_INIT;
    struct err_info err = {ERR_BUSY, "not UTF-8: \xe4\xff and \"quotes\"\n"};
    (void)state;
    reply_detail(&rp, "image", "im\xe4ge");
    for (int i = 0; i < 10; i++) reply_detail(&rp, "more", "x");
    reply_detail(&rp, "null", NULL);
    reply_error(&rp, &err, "ID");
    json_t *root = body_of(&rp);
    assert_non_null(root);
    assert_string_equal(text_at(root, "message"), "not UTF-8: ?? and \"quotes\"\n");
    json_t *details = json_object_get(json_object_get(root, "error"), "details");
    assert_string_equal(json_string_value(json_object_get(details, "image")), "im?ge");
    assert_int_equal(rp.n_headers, 1);
    assert_string_equal(rp.header[0].key, "Retry-After");
    json_decref(root);
    reply_release(&rp);
}

static void numbers_survive(void **state)
{
    struct reply rp = REPLY_INIT;
    float f = 0.1234567f;
    (void)state;
    assert_int_equal(reply_json(&rp, 201, json_pack("[f, f]", (double)f, 1e-7), NULL), ERR_OK);
    assert_int_equal(rp.status, 201);
    json_t *root = body_of(&rp);
    assert_true((float)json_real_value(json_array_get(root, 0)) == f);
    json_decref(root);
    assert_int_equal(reply_json(&rp, 200, NULL, NULL), ERR_NOMEM);
    reply_release(&rp);
}

static size_t read_nothing(void *self, char *out, size_t max, bool *end)
{
    (void)self, (void)out, (void)max;
    *end = true;
    return 0;
}

static void listen_to_nobody(void *self, void (*wake)(void *arg), void *arg)
{
    (void)self, (void)wake, (void)arg;
}

static void count_close(void *self)
{
    ++*(int *)self;
}

static void a_stream_is_closed_once(void **state)
{
    struct reply rp = REPLY_INIT;
    struct err_info err = {ERR_BUSY, "too many"};
    int closed[2] = {0, 0};
    (void)state;
    for (int i = 0; i < 2; i++)
        reply_stream(
            &rp, 200, "text/plain",
            &(struct reply_stream){&closed[i], listen_to_nobody, read_nothing, count_close, NULL});
    assert_int_equal(rp.kind, REPLY_STREAM);
    assert_int_equal(closed[0], 1); /* the second took its place */
    assert_int_equal(closed[1], 0);
    reply_error(&rp, &err, "ID");
    assert_int_equal(rp.kind, REPLY_BYTES);
    reply_release(&rp);
    assert_int_equal(closed[0] + closed[1], 2);
}

static void one_kind_replaces_another(void **state)
{
    struct reply rp = REPLY_INIT;
    struct buf b = BUF_INIT(100);
    int fd = memfd_create("reply", MFD_CLOEXEC);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(reply_file(&rp, 200, "text/plain", fd, NULL), ERR_OK);
    assert_int_equal(rp.kind, REPLY_FILE);
    assert_int_equal(rp.len, 3);
    assert_int_equal(buf_puts(&b, "hello", NULL), ERR_OK);
    reply_bytes(&rp, 200, "text/plain", &b);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
    assert_null(b.data);
    assert_int_equal(rp.len, 5);
    reply_static(&rp, 200, "text/plain", "xy", 2);
    assert_null(rp.owned);
    assert_int_equal(rp.len, 2);
    assert_int_equal(reply_file(&rp, 200, "text/plain", -1, NULL), ERR_IO);
    reply_release(&rp);
    reply_release(NULL);
}

static void details_with_structure(void **state)
{
    struct reply rp = REPLY_INIT;
    struct err_info err = {ERR_CONFLICT, "looks like somebody else"};
    (void)state;
    reply_detail(&rp, "image", "image1");
    reply_details(&rp, json_pack("{s:s}", "dropped", "x"));
    reply_details(&rp, json_pack("{s:[{s:s, s:f}]}", "looks_like", "id", "A", "similarity", 0.5));
    reply_error(&rp, &err, "ID");
    json_t *root = body_of(&rp), *details = NULL, *first = NULL;
    const char *image = "", *id = "";
    assert_int_equal(json_unpack(root, "{s:{s:o}}", "error", "details", &details), 0);
    assert_int_equal(json_object_size(details), 2);
    assert_int_equal(json_unpack(details, "{s:s, s:[o]}", "image", &image, "looks_like", &first),
                     0);
    assert_int_equal(json_unpack(first, "{s:s}", "id", &id), 0);
    assert_string_equal(image, "image1");
    assert_string_equal(id, "A");
    json_decref(root);
    reply_release(&rp);
    assert_null(rp.details);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_status),
        cmocka_unit_test(details_headers_and_foreign_bytes),
        cmocka_unit_test(details_with_structure),
        cmocka_unit_test(numbers_survive),
        cmocka_unit_test(one_kind_replaces_another),
        cmocka_unit_test(a_stream_is_closed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
