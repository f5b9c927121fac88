#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "server/http/multipart.h"
#include "server/http/spool.h"
#include "tests/unit/mhd_call.h"

#include <string.h>

/* One form: what it is, and what came of it. */
struct form {
    const char *body;
    size_t len, step; /* step: bytes a call */
    enum err rc;      /* of the first call that failed */
    struct err_info err;
    struct request rq;
    char names[REQUEST_PARTS_MAX][REQUEST_NAME_MAX_BYTES + 1];
    char values[REQUEST_PARTS_MAX][64]; /* their first bytes */
    size_t lens[REQUEST_PARTS_MAX];
    int n;
};

static void parse(struct MHD_Connection *connection, void *self)
{
    struct form *f = self;
    struct multipart *m = NULL;
    f->rq.arena = ARENA_INIT(REQUEST_ARENA_MAX_BYTES);
    f->rc = multipart_new(&m, connection, &f->rq, "/tmp", &f->err);
    for (size_t at = 0; !f->rc && at < f->len; at += f->step) {
        size_t n = f->len - at < f->step ? f->len - at : f->step;
        f->rc = multipart_feed(m, f->body + at, n, &f->err);
    }
    if (!f->rc) f->rc = multipart_finish(m, &f->err);
    for (f->n = 0; !f->rc && f->n < f->rq.n_parts; f->n++) {
        const struct part *p = &f->rq.part[f->n];
        snprintf(f->names[f->n], sizeof f->names[0], "%s", p->name);
        memcpy(f->values[f->n], p->data, p->len < 63 ? p->len : 63);
        f->lens[f->n] = p->len;
    }
    multipart_free(m);
    arena_release(&f->rq.arena);
}

#define PART(name, value)                                                                          \
    "--BB\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define END "--BB--\r\n"

static const char *const TYPE = "multipart/form-data; boundary=BB";

static const struct {
    const char *name, *type, *body;
    enum err want;
    const char *says;     /* in the message */
    const char *parts[3]; /* "name=value" */
} rows[] = {
    {"one", NULL, PART("a", "1") END, ERR_OK, "", {"a=1"}},
    {"three",
     NULL,
     PART("a", "1") PART("b", "") PART("c", "x\r\n--y") END,
     ERR_OK,
     "",
     {"a=1", "b=", "c=x\r\n--y"}},
    {"an empty one last", NULL, PART("a", "1") PART("b", "") END, ERR_OK, "", {"a=1", "b="}},
    {"a quoted boundary",
     "multipart/form-data; boundary=\"BB\"",
     PART("a", "1") END,
     ERR_OK,
     "",
     {"a=1"}},
    {"upper case", "Multipart/Form-Data; boundary=BB", PART("a", "1") END, ERR_OK, "", {"a=1"}},
    {"a file name",
     NULL,
     "--BB\r\nContent-Disposition: form-data; name=\"a\"; filename=\"/etc/passwd\"\r\n"
     "Content-Type: image/png\r\n\r\nx\r\n" END,
     ERR_OK,
     "",
     {"a=x"}},
    {"boundary in a value",
     NULL,
     PART("a", "--BB") PART("b", "\r\n-B") END,
     ERR_OK,
     "",
     {"a=--BB", "b=\r\n-B"}},
    {"twice",
     NULL,
     PART("a", "1") PART("b", "2") PART("a", "3") END,
     ERR_OK,
     "",
     {"a=1", "b=2", "a=3"}},
    {"no name",
     NULL,
     "--BB\r\nContent-Disposition: form-data\r\n\r\nx\r\n" END,
     ERR_INVALID,
     "has no name",
     {0}},
    {"no headers", NULL, "--BB\r\n\r\nx\r\n" END, ERR_INVALID, "", {0}},
    {"an empty name", NULL, PART("", "1") END, ERR_INVALID, "has no name", {0}},
    {"a long name",
     NULL,
     PART("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1") END,
     ERR_INVALID,
     "65 bytes",
     {0}},
    {"cut in a value", NULL, PART("a", "12345"), ERR_INVALID, "ends before", {0}},
    {"cut in a header", NULL, "--BB\r\nContent-Dispo", ERR_INVALID, "", {0}},
    {"another boundary",
     NULL,
     "--C\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--C--\r\n",
     ERR_INVALID,
     "",
     {0}},
    {"no boundary", "multipart/form-data", PART("a", "1") END, ERR_INVALID, "no boundary", {0}},
    {"an empty boundary",
     "multipart/form-data; boundary=",
     PART("a", "1") END,
     ERR_INVALID,
     "",
     {0}},
    {"no type", "", PART("a", "1") END, ERR_INVALID, "no boundary", {0}},
};

static void check_row(size_t i, size_t step)
{
    struct form f = {.body = rows[i].body, .len = strlen(rows[i].body), .step = step};
    const char *type = rows[i].type ? rows[i].type : TYPE;
    if (!mhd_call(*type ? type : NULL, parse, &f)) fail_msg("%s: not called", rows[i].name);
    if (f.rc != rows[i].want || (f.rc && !strstr(f.err.message, rows[i].says)))
        fail_msg("%s, %zu bytes a call: %s (%s)", rows[i].name, step, err_name(f.rc),
                 f.err.message);
    int n = 0;
    for (; n < 3 && rows[i].parts[n]; n++) {
        char got[140];
        snprintf(got, sizeof got, "%s=%s", f.names[n], f.values[n]);
        if (n >= f.n || strcmp(got, rows[i].parts[n]) != 0)
            fail_msg("%s, %zu bytes a call: part %d is %s", rows[i].name, step, n, got);
    }
    if (f.n != n) fail_msg("%s, %zu bytes a call: %d parts", rows[i].name, step, f.n);
}

static void table_in_pieces_of_every_size(void **state)
{
    static const size_t steps[] = {100000, 1, 2, 3, 7, 50};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(steps); k++) check_row(i, steps[k]);
}

static void parts_are_counted(void **state)
{
    (void)state;
    for (int n = REQUEST_PARTS_MAX; n <= REQUEST_PARTS_MAX + 1; n++) {
        struct buf b = BUF_INIT(10000);
        for (int i = 0; i < n; i++)
            assert_int_equal(buf_printf(&b, NULL, PART("p%d", "%d"), i, i), ERR_OK);
        assert_int_equal(buf_puts(&b, END, NULL), ERR_OK);
        struct form f = {.body = (char *)b.data, .len = b.len, .step = 64};
        assert_true(mhd_call(TYPE, parse, &f));
        assert_int_equal(f.rc, n > REQUEST_PARTS_MAX ? ERR_INVALID : ERR_OK);
        buf_release(&b);
    }
}

static void big_parts_go_through_files(void **state)
{
    enum { BIG = SPOOL_MEMORY_MAX_BYTES - 1000 };
    struct buf b = BUF_INIT(3 * BIG);
    uint8_t *bytes = malloc(BIG);
    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (uint8_t)(i * 7 ^ i >> 9); /* CR and LF among them */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            buf_printf(&b, NULL, "--BB\r\nContent-Disposition: form-data; name=\"%d\"\r\n\r\n", i),
            ERR_OK);
        assert_int_equal(buf_add(&b, bytes, BIG, NULL), ERR_OK);
        assert_int_equal(buf_puts(&b, "\r\n", NULL), ERR_OK);
    }
    assert_int_equal(buf_puts(&b, END, NULL), ERR_OK);
    struct form f = {.body = (char *)b.data, .len = b.len, .step = 60000};
    assert_true(mhd_call(TYPE, parse, &f));
    assert_int_equal(f.rc, ERR_OK);
    assert_int_equal(f.n, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(f.lens[i], BIG);
        assert_memory_equal(f.values[i], bytes, 63);
    }
    free(bytes);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_in_pieces_of_every_size),
        cmocka_unit_test(parts_are_counted),
        cmocka_unit_test(big_parts_go_through_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
