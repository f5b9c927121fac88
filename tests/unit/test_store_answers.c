#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/store/answers.h"
#include "tests/unit/store_dir.h"

static const int64_t HOUR_MS = INT64_C(3600) * 1000;

static void keep(struct store_tx *tx, const char *who, const char *key, const char *body)
{
    const struct store_answer a = {.who = who,
                                   .key = key,
                                   .request = {1, 2, 3},
                                   .collection = "",
                                   .status = 201,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .etag = "\"1\""};
    struct err_info err = ERR_INFO_INIT;
    must(store_answer_add(tx, &a, &err), &err);
}

struct seen {
    int status;
    char body[200], etag[20];
    bool erased;
    uint8_t first;
};

static enum err see(void *self, const struct store_answer *a, struct err_info *err)
{
    struct seen *s = self;
    (void)err;
    s->status = a->status;
    s->erased = a->erased;
    s->first = a->request[0];
    snprintf(s->body, sizeof s->body, "%.*s", (int)a->body_len,
             a->body ? (const char *)a->body : "");
    snprintf(s->etag, sizeof s->etag, "%s", a->etag);
    return ERR_OK;
}

static enum err get(struct seen *s, struct store_tx *tx, const char *who, const char *key)
{
    memset(s, 0, sizeof *s);
    return store_answer_get(tx, who, key, see, s, NULL);
}

static void kept_for_a_day_and_apart(void **state)
{
    struct seen s;
    (void)state;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    assert_int_equal(get(&s, &tx, "local", "k"), ERR_NOT_FOUND);
    keep(&tx, "local", "k", "{\"a\":1}");
    keep(&tx, "other", "k", NULL);
    assert_int_equal(get(&s, &tx, "local", "k"), ERR_OK);
    assert_int_equal(s.status, 201);
    assert_int_equal(s.first, 1);
    assert_false(s.erased);
    assert_string_equal(s.body, "{\"a\":1}");
    assert_string_equal(s.etag, "\"1\"");
    assert_int_equal(get(&s, &tx, "other", "k"), ERR_OK);
    assert_string_equal(s.body, "");
    assert_int_equal(get(&s, &tx, "local", "K"), ERR_NOT_FOUND);
    tx.now_ms += ANSWER_HOURS * HOUR_MS - 1;
    assert_int_equal(get(&s, &tx, "local", "k"), ERR_OK);
    tx.now_ms += 1;
    assert_int_equal(get(&s, &tx, "local", "k"), ERR_NOT_FOUND);
    keep(&tx, "local", "k", "{\"a\":2}"); /* the key is free again */
    assert_int_equal(get(&s, &tx, "local", "k"), ERR_OK);
    assert_string_equal(s.body, "{\"a\":2}");
    roll_back_tx(&tx);
}

static void old_ones_go(void **state)
{
    char key[20];
    int64_t dropped = -1;
    (void)state;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "k%d", i);
        keep(&tx, "local", key, "{\"id\":\"01J9ZK3V5T8Q2W4X6Y7Z8A9B0C\"}");
    }
    assert_int_equal(store_answers_expire(&dropped, &tx, 100, NULL), ERR_OK);
    assert_int_equal(dropped, 0);
    tx.now_ms += ANSWER_HOURS * HOUR_MS;
    for (int i = 0; i < 3; i++) { /* each new one takes some with it */
        snprintf(key, sizeof key, "n%d", i);
        keep(&tx, "local", key, "{}");
    }
    assert_true(one(&tx, "SELECT count(*) FROM answers") <= 20);
    assert_int_equal(store_answers_expire(&dropped, &tx, 2, NULL), ERR_OK);
    assert_int_equal(dropped, 2);
    assert_int_equal(store_answers_expire(&dropped, &tx, 100, NULL), ERR_OK);
    assert_int_equal(one(&tx, "SELECT count(*) FROM answers"), 3);
    assert_int_equal(one(&tx, "SELECT count(*) FROM answer_ids"), 0);
    roll_back_tx(&tx);
}

/* The id of a row, as text. */
static enum err copy_id(void *self, const struct store_identity *i, struct err_info *err)
{
    (void)err;
    strcpy(self, i->id);
    return ERR_OK;
}

static void erasing_forgets(void **state)
{
    struct store_receipt r = {0};
    struct seen s;
    char id[27] = "", body[120];
    (void)state;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    int64_t c = add_collection(&tx, "c"), amy = add_identity(&tx, c, "Amy");
    assert_int_equal(store_identity_get_rows(&tx, &amy, 1, copy_id, id, NULL), ERR_OK);
    snprintf(body, sizeof body, "{\"id\":\"%s\",\"name\":\"Amy\",\"again\":[\"%s\"]}", id, id);
    keep(&tx, "local", "amy", body);
    snprintf(body, sizeof body, "{\"name\":\"x%s\"}", id); /* no id, but a name like one */
    keep(&tx, "local", "other", body);
    assert_int_equal(store_erase_identity(&r, &tx, amy, NULL), ERR_OK);
    assert_int_equal(r.answers, 1);
    assert_int_equal(get(&s, &tx, "local", "amy"), ERR_OK);
    assert_true(s.erased);
    assert_string_equal(s.body, "");
    assert_int_equal(get(&s, &tx, "local", "other"), ERR_OK);
    assert_false(s.erased);
    assert_int_equal(one(&tx, "SELECT count(*) FROM answers WHERE instr(body, 'Amy')"), 0);
    roll_back_tx(&tx);
}

static void ids_are_found_wherever_they_stand(void **state)
{
    static const char *const bodies[] = {
        "\"01J9ZK3V5T8Q2W4X6Y7Z8A9B0C\"",
        "[\"\",\"\"01J9ZK3V5T8Q2W4X6Y7Z8A9B0C\"]",
        "{\"x\":\"01J9ZK3V5T8Q2W4X6Y7Z8A9B0C\",\"y\":1}",
        "{\"01J9ZK3V5T8Q2W4X6Y7Z8A9B0C\":\"\"}",
    };
    static const char *const others[] = {"",
                                         "\"",
                                         "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C",
                                         "\"01J9ZK3V5T8Q2W4X6Y7Z8A9B0C",
                                         "\"01J9ZK3V5T8Q2W4X6Y7Z8A9B0\"",
                                         "\"81J9ZK3V5T8Q2W4X6Y7Z8A9B0C\""};
    char key[20];
    (void)state;
    store_close(open_store());
    struct store_tx tx = begin_tx();
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "a%d", i);
        keep(&tx, "local", key, bodies[i]);
        if (one(&tx, "SELECT count(*) FROM answer_ids") != i + 1) fail_msg("%s", bodies[i]);
    }
    for (int i = 0; i < 6; i++) {
        snprintf(key, sizeof key, "b%d", i);
        keep(&tx, "local", key, others[i]);
        if (one(&tx, "SELECT count(*) FROM answer_ids") != 4) fail_msg("%s", others[i]);
    }
    roll_back_tx(&tx);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_store_dir, remove_store_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(kept_for_a_day_and_apart),
        IN_A_FOLDER(old_ones_go),
        IN_A_FOLDER(erasing_forgets),
        IN_A_FOLDER(ids_are_found_wherever_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
