#include "server/store/answers.h"

#include "server/store/store_internal.h"

#include <string.h>

static const int64_t HOUR_MS = INT64_C(3600) * 1000;
enum {
    DROP_WITH_EACH = 4
}; /* a new answer takes some old ones with it, so that they cannot pile up */

static int64_t oldest_kept(const struct store_tx *tx)
{
    return store_now_ms(tx) - ANSWER_HOURS * HOUR_MS;
}

static enum err read_row(struct store_answer *a, sqlite3_stmt *st, struct err_info *err)
{
    const void *request = sqlite3_column_blob(st, 0);
    if (request && sqlite3_column_bytes(st, 0) == ANSWER_REQUEST_BYTES)
        memcpy(a->request, request, ANSWER_REQUEST_BYTES);
    a->status = sqlite3_column_int(st, 1);
    a->body = sqlite3_column_blob(st, 2);
    a->body_len = (size_t)sqlite3_column_bytes(st, 2);
    a->etag = store__text(st, 3);
    a->erased = sqlite3_column_int(st, 4) != 0;
    return store__columns_read(st, err);
}

enum err store_answer_get(struct store_tx *tx, const char *who, const char *key,
                          store_answer_each *each, void *self, struct err_info *err)
{
    struct store_answer a = {.who = who, .key = key};
    sqlite3_stmt *st;
    bool row;
    enum err rc = store__query(&st, tx,
                               "SELECT request, status, body, etag, erased FROM answers "
                               "WHERE who = ?1 AND key = ?2 AND created_ms > ?3",
                               ARGS(TEXT(who), TEXT(key), INT(oldest_kept(tx))), err);

    if (rc) return rc;
    rc = store__step(&row, st, err);
    if (!rc && !row) rc = err_set(err, ERR_NOT_FOUND, "no answer is kept for this Idempotency-Key");
    if (!rc) rc = read_row(&a, st, err);
    if (!rc) rc = each(self, &a, err);
    store__end(st);
    return rc;
}

/* The next id that is a whole JSON string in [p, end), or NULL. */
static const char *next_id(struct ulid *out, const char *p, const char *end)
{
    for (; (p = memchr(p, '"', (size_t)(end - p))) && end - p > ULID_CHARS + 1; p++) {
        if (p[ULID_CHARS + 1] != '"') continue;
        memcpy(out->s, p + 1, ULID_CHARS);
        out->s[ULID_CHARS] = 0;
        if (ulid_valid(out->s)) return p + ULID_CHARS + 1;
    }
    return NULL;
}

enum err store_answer_add(struct store_tx *tx, const struct store_answer *a, struct err_info *err)
{
    int64_t dropped, row;
    struct ulid id;
    enum err rc = store_answers_expire(&dropped, tx, DROP_WITH_EACH, err);

    if (!rc) /* one that is too old may still be there */
        rc = store__run(NULL, tx, "DELETE FROM answers WHERE who = ?1 AND key = ?2",
                        ARGS(TEXT(a->who), TEXT(a->key)), err);
    if (!rc)
        rc = store__ints(&row, 1, NULL, tx,
                         "INSERT INTO answers (who, key, request, collection, status, body, etag, "
                         "created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING row",
                         ARGS(TEXT(a->who), TEXT(a->key), BLOB(a->request, ANSWER_REQUEST_BYTES),
                              TEXT(a->collection), INT(a->status), BLOB(a->body, a->body_len),
                              TEXT(a->etag), INT(store_now_ms(tx))),
                         err);
    const char *p = a->body, *end = p ? p + a->body_len : p;
    while (!rc && p && (p = next_id(&id, p, end)))
        rc = store__run(NULL, tx, "INSERT OR IGNORE INTO answer_ids (id, answer) VALUES (?1, ?2)",
                        ARGS(TEXT(id.s), INT(row)), err);
    return rc;
}

enum err store_answers_expire(int64_t *dropped, struct store_tx *tx, int most, struct err_info *err)
{
    return store__run(dropped, tx,
                      "DELETE FROM answers WHERE row IN (SELECT row FROM answers "
                      "WHERE created_ms <= ?1 ORDER BY created_ms LIMIT ?2)",
                      ARGS(INT(oldest_kept(tx)), INT(most)), err);
}
