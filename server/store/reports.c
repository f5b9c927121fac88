#include "server/store/reports.h"

#include "server/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

static const int64_t DAY_MS = 24LL * 3600 * 1000;

/* --- what it shows --- */

static enum err add_ids(struct store_tx *tx, int64_t report, const struct store_report_ids *shows,
                        struct err_info *err)
{
    enum err rc = ERR_OK;
    for (size_t i = 0; !rc && i < shows->n; i++) {
        int64_t there = 0;
        rc = store__ints(&there, 1, NULL, tx,
                         "SELECT EXISTS (SELECT 1 FROM examples WHERE id = ?1)"
                         " OR EXISTS (SELECT 1 FROM identities WHERE id = ?1)",
                         ARGS(TEXT(shows->ids[i])), err);
        if (!rc && !there)
            rc = err_set(err, ERR_CONFLICT,
                         "an example or identity of the report was erased meanwhile: ask again");
        if (!rc)
            rc = store__run(NULL, tx,
                            "INSERT OR IGNORE INTO report_ids (id, report) VALUES (?1, ?2)",
                            ARGS(TEXT(shows->ids[i]), INT(report)), err);
    }
    return rc;
}

static enum err add_state(struct store_tx *tx, int64_t report, int64_t n, int64_t undo,
                          const struct store_report_state *s, struct err_info *err)
{
    return store__run(
        NULL, tx,
        "INSERT INTO report_states (report, n, act, undo, labels, examples, layout, document,"
        " summary, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        ARGS(INT(report), INT(n), TEXT(s->act), ROW(undo),
             BLOB(s->labels, s->faces * sizeof *s->labels),
             BLOB(s->examples, s->faces * sizeof *s->examples),
             BLOB(s->layout, s->faces * 2 * sizeof *s->layout), TEXT(s->document), TEXT(s->summary),
             INT(tx->now_ms)),
        err);
}

enum err store_report_add(struct store_tx *tx, const struct store_report *r,
                          const struct store_report_state *s, const char *thumbnails,
                          const struct store_report_ids *shows, struct err_info *err)
{
    int64_t row = 0;
    enum err rc = store__run(NULL, tx, "DELETE FROM reports WHERE id = ?1", ARGS(TEXT(r->id)), err);

    if (!rc)
        rc = store__ints(&row, 1, NULL, tx,
                         "INSERT INTO reports (id, key, collection, basis, thumbnails, created_ms,"
                         " expires_ms) VALUES (?1, nullif(?2, ''), ?3, ?4, ?5, ?6, ?7)"
                         " RETURNING row",
                         ARGS(TEXT(r->id), TEXT(r->key), ROW(r->collection), TEXT(r->basis),
                              TEXT(thumbnails), INT(tx->now_ms),
                              INT(tx->now_ms + STORE_REPORT_DAYS * DAY_MS)),
                         err);
    if (!rc) rc = add_state(tx, row, 0, 0, s, err);
    return rc ? rc : add_ids(tx, row, shows, err);
}

/* --- reading --- */

/* A copy of a blob that may be read as numbers: SQLite's are not aligned. NULL: there is none. */
static enum err copy_blob(void **out, size_t *len, sqlite3_stmt *st, int column,
                          struct err_info *err)
{
    const void *data = sqlite3_column_blob(st, column);
    *len = data ? (size_t)sqlite3_column_bytes(st, column) : 0;
    if (!data) return ERR_OK;
    if (!(*out = malloc(*len))) return err_set(err, ERR_NOMEM, "no memory for a report");
    memcpy(*out, data, *len);
    return ERR_OK;
}

#define REPORT_COLUMNS                                                                             \
    "SELECT r.row, r.id, coalesce(r.key, ''), r.collection, coalesce(c.id, ''), r.created_ms,"     \
    " r.expires_ms, s.n, s.summary, s.at_ms"
#define REPORT_TABLES                                                                              \
    " FROM reports r LEFT JOIN collections c ON c.row = r.collection"                              \
    " JOIN report_states s ON s.report = r.row"                                                    \
    " AND s.n = (SELECT max(n) FROM report_states WHERE report = r.row)"

static void read_columns(struct store_report *r, struct store_report_state *s, sqlite3_stmt *st)
{
    *r = (struct store_report){.row = sqlite3_column_int64(st, 0),
                               .id = store__text(st, 1),
                               .key = store__text(st, 2),
                               .collection = sqlite3_column_int64(st, 3),
                               .collection_id = store__text(st, 4),
                               .created_ms = sqlite3_column_int64(st, 5),
                               .expires_ms = sqlite3_column_int64(st, 6)};
    *s = (struct store_report_state){.n = sqlite3_column_int64(st, 7),
                                     .summary = store__text(st, 8),
                                     .at_ms = sqlite3_column_int64(st, 9)};
}

static enum err hand_whole(sqlite3_stmt *st, store_report_each *each, void *self,
                           struct err_info *err)
{
    struct store_report r;
    struct store_report_state s;
    void *labels = NULL, *examples = NULL, *layout = NULL;
    size_t bytes = 0, ignored;
    enum err rc;

    read_columns(&r, &s, st);
    r.basis = store__text(st, 10);
    s.act = store__text(st, 11);
    s.document = store__text(st, 15);
    if ((rc = copy_blob(&labels, &bytes, st, 12, err)) ||
        (rc = copy_blob(&examples, &ignored, st, 13, err)) ||
        (rc = copy_blob(&layout, &ignored, st, 14, err)) || (rc = store__columns_read(st, err)))
        goto done;
    s.labels = labels;
    s.faces = bytes / sizeof *s.labels;
    s.examples = examples;
    s.layout = layout;
    rc = each(self, &r, &s, err);
done:
    free(labels);
    free(examples);
    free(layout);
    return rc;
}

enum err store_report_get(struct store_tx *tx, const char *id, const char *key,
                          store_report_each *each, void *self, struct err_info *err)
{
    static const char sql[] =
        REPORT_COLUMNS ", r.basis, s.act, s.labels, s.examples, s.layout,"
                       " (SELECT document FROM report_states WHERE report = r.row"
                       "  AND document IS NOT NULL ORDER BY n DESC LIMIT 1)" REPORT_TABLES
                       " WHERE r.id = ?1 AND (?2 IS NULL OR r.key = ?2)";
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__query(&st, tx, sql, ARGS(TEXT(id), TEXT(key)), err);

    if (!rc && !(rc = store__step(&row, st, err)))
        rc = row ? hand_whole(st, each, self, err)
                 : err_set(err, ERR_NOT_FOUND, "there is no report with the id %.40s", id);
    store__end(st);
    return rc;
}

enum err store_report_thumbnails(bool *found, struct buf *out, struct store_tx *tx, int64_t row,
                                 struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    enum err rc = store__query(
        &st, tx, "SELECT thumbnails FROM reports WHERE row = ?1 AND thumbnails IS NOT NULL",
        ARGS(INT(row)), err);

    if (!rc && !(rc = store__step(found, st, err)) && *found) {
        const char *text = store__text(st, 0);
        rc = store__columns_read(st, err);
        if (!rc) rc = buf_add(out, text, (size_t)sqlite3_column_bytes(st, 0), err);
    }
    store__end(st);
    return rc;
}

enum err store_report_acts(struct store_tx *tx, int64_t row, store_report_act_each *each,
                           void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool more = false;
    enum err rc = store__query(&st, tx,
                               "SELECT n, act, at_ms, undo IS NOT NULL FROM report_states"
                               " WHERE report = ?1 AND act IS NOT NULL ORDER BY n",
                               ARGS(INT(row)), err);

    while (!rc && !(rc = store__step(&more, st, err)) && more) {
        const char *act = store__text(st, 1);
        rc = store__columns_read(st, err);
        if (!rc)
            rc = each(self, sqlite3_column_int64(st, 0), act, sqlite3_column_int64(st, 2),
                      sqlite3_column_int(st, 3), err);
    }
    store__end(st);
    return rc;
}

enum err store_report_list(struct store_tx *tx, const struct store_report_query *q,
                           store_report_each *each, void *self, struct err_info *err)
{
    static const char sql[] = REPORT_COLUMNS REPORT_TABLES
        " WHERE (?1 IS NULL OR r.key = ?1) AND (?2 IS NULL OR r.id < ?2)"
        " ORDER BY r.id DESC LIMIT ?3";
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc =
        store__query(&st, tx, sql, ARGS(TEXT(q->key), TEXT(q->before), INT(q->limit)), err);

    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        struct store_report r;
        struct store_report_state s;
        read_columns(&r, &s, st);
        rc = store__columns_read(st, err);
        if (!rc) rc = each(self, &r, &s, err);
    }
    store__end(st);
    return rc;
}

/* --- acts, and their undoing --- */

enum err store_report_act(struct store_tx *tx, int64_t row, const struct store_report_state *s,
                          const struct store_report_ids *shows, struct err_info *err)
{
    int64_t newest = 0;
    bool found = false;
    enum err rc;

    if (!tx->undo) return err_set(err, ERR_INTERNAL, "an act on a report without an undo record");
    rc = store__ints(&newest, 1, &found, tx,
                     "SELECT n FROM report_states WHERE report = ?1 ORDER BY n DESC LIMIT 1",
                     ARGS(INT(row)), err);
    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the report is gone");
    if (s->n != newest + 1)
        return err_set(
            err, ERR_CONFLICT,
            "the report has changed meanwhile: its state is %lld, this was made for %lld",
            (long long)newest, (long long)s->n - 1);
    if ((rc = add_state(tx, row, s->n, tx->undo, s, err))) return rc;
    tx->undo_other = true;
    return add_ids(tx, row, shows, err);
}

enum err store__report_undo(struct store_tx *tx, int64_t undo, struct err_info *err)
{
    int64_t later = 0;
    enum err rc = store__ints(&later, 1, NULL, tx,
                              "SELECT count(*) FROM report_states s JOIN report_states t"
                              " ON t.report = s.report AND t.n > s.n WHERE s.undo = ?1",
                              ARGS(INT(undo)), err);
    if (!rc && later)
        rc = err_set(err, ERR_CONFLICT, "the report has been acted on since in a way that stays");
    return rc ? rc
              : store__run(NULL, tx, "DELETE FROM report_states WHERE undo = ?1", ARGS(INT(undo)),
                           err);
}

/* --- their end --- */

enum err store_report_erase(struct store_tx *tx, int64_t row, struct err_info *err)
{
    int64_t n = 0;
    enum err rc = store__run(&n, tx, "DELETE FROM reports WHERE row = ?1", ARGS(INT(row)), err);
    return rc || n ? rc : err_set(err, ERR_NOT_FOUND, "the report is gone");
}

enum err store_reports_expire(int64_t *n, struct store_tx *tx, struct err_info *err)
{
    /* States before the newest that cannot be undone are never shown again, but for the document
     * that one without its own still shows. */
    static const char passed[] =
        "DELETE FROM report_states AS s WHERE n <"
        " (SELECT max(n) FROM report_states t WHERE t.report = s.report AND t.undo IS NULL"
        "  AND t.document IS NOT NULL)";
    enum err rc =
        store__run(n, tx, "DELETE FROM reports WHERE expires_ms <= ?1", ARGS(INT(tx->now_ms)), err);
    return rc ? rc : store__run(NULL, tx, passed, NULL, err);
}
