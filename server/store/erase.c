/* Erasing. secure_delete (conn.c) overwrites what is deleted in the pages of the database file;
 * undo records that name what goes, go with it, and answers kept for Idempotency-Key forget what
 * they told of it. */
#include "server/store/undo.h"

#include "server/store/answers.h"
#include "server/store/jobs.h"
#include "server/store/reports.h"
#include "server/store/store_internal.h"

static const int64_t DAY_MS = 24LL * 3600 * 1000;

/* Adds the pictures of the examples that `count` picks. */
static enum err count_pictures(struct store_receipt *r, struct store_tx *tx, const char *count,
                               int64_t row, struct err_info *err)
{
    int64_t n[2];
    enum err rc = store__ints(n, 2, NULL, tx, count, ARGS(INT(row)), err);
    if (rc) return rc;
    r->thumbnails += n[0];
    r->photos += n[1];
    return ERR_OK;
}

#define COUNT_PICTURES                                                                             \
    "SELECT coalesce(sum(typeof(p.thumbnail) = 'blob'), 0),"                                       \
    " coalesce(sum(typeof(p.photo) = 'blob'), 0)"                                                  \
    " FROM examples e JOIN example_pictures p ON p.example = e.row WHERE "

/* Runs `sql` on the row and adds what it changed to *n. */
static enum err drop(int64_t *n, struct store_tx *tx, const char *sql, int64_t row,
                     struct err_info *err)
{
    int64_t changed = 0;
    enum err rc = store__run(&changed, tx, sql, ARGS(INT(row)), err);
    *n += changed;
    return rc;
}

/* Of the answers that have one of these ids in them. */
#define FORGET_ANSWERS(ids)                                                                        \
    "UPDATE answers SET body = NULL, etag = '', erased = 1 WHERE NOT erased AND row IN"            \
    " (SELECT answer FROM answer_ids WHERE id IN (" ids "))"

/* Of the reports that show one of these ids. */
#define DROP_REPORTS(ids)                                                                          \
    "DELETE FROM reports WHERE row IN (SELECT report FROM report_ids WHERE id IN (" ids "))"

enum err store_erase_example(struct store_receipt *r, struct store_tx *tx, int64_t row,
                             struct err_info *err)
{
    int64_t at[2] = {0, 0};
    bool found = false;
    enum err rc =
        store__ints(at, 2, &found, tx, "SELECT collection, identity FROM examples WHERE row = ?1",
                    ARGS(INT(row)), err);

    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the example is gone");
    if ((rc = count_pictures(r, tx, COUNT_PICTURES "e.row = ?1", row, err)) ||
        (rc = drop(&r->undo_records, tx,
                   "DELETE FROM undo WHERE row IN (SELECT undo FROM undo_steps WHERE example = ?1)",
                   row, err)) ||
        (rc = drop(&r->answers, tx, FORGET_ANSWERS("SELECT id FROM examples WHERE row = ?1"), row,
                   err)) ||
        (rc = drop(&r->reports, tx, DROP_REPORTS("SELECT id FROM examples WHERE row = ?1"), row,
                   err)) ||
        (rc = store__changed(tx, at[0], STORE_REMOVED, row, err)) ||
        (at[1] && (rc = store__identity_touch(tx, at[0], at[1], err))))
        return rc;
    return drop(&r->examples, tx, "DELETE FROM examples WHERE row = ?1", row, err);
}

enum err store_erase_identity(struct store_receipt *r, struct store_tx *tx, int64_t row,
                              struct err_info *err)
{
    static const char forget[] =
        "DELETE FROM undo WHERE row IN (SELECT undo FROM undo_steps WHERE identity = ?1"
        " UNION SELECT undo FROM undo_steps WHERE from_identity = ?1"
        " UNION SELECT s.undo FROM examples e JOIN undo_steps s ON s.example = e.row"
        " WHERE e.identity = ?1)";
    static const char tell[] =
        "INSERT INTO changes (collection, seq, op, example) SELECT c.row,"
        " c.seq + row_number() OVER (ORDER BY e.row), 3, e.row FROM examples e"
        " JOIN collections c ON c.row = e.collection WHERE e.identity = ?1";
    int64_t collection = 0, told = 0;
    bool found = false;
    enum err rc =
        store__ints(&collection, 1, &found, tx, "SELECT collection FROM identities WHERE row = ?1",
                    ARGS(INT(row)), err);

    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the identity is gone");
    if ((rc = store_job_erase_collection(r, tx, collection, err)) ||
        (rc = count_pictures(r, tx, COUNT_PICTURES "e.identity = ?1", row, err)) ||
        (rc = drop(&r->undo_records, tx, forget, row, err)) ||
        (rc = drop(&r->answers, tx,
                   FORGET_ANSWERS("SELECT id FROM identities WHERE row = ?1"
                                  " UNION ALL SELECT id FROM examples WHERE identity = ?1"),
                   row, err)) ||
        (rc = drop(&r->reports, tx,
                   DROP_REPORTS("SELECT id FROM identities WHERE row = ?1"
                                " UNION ALL SELECT id FROM examples WHERE identity = ?1"),
                   row, err)) ||
        (rc = drop(&told, tx, tell, row, err)) ||
        (rc = store__run(NULL, tx, "UPDATE collections SET seq = seq + ?2 WHERE row = ?1",
                         ARGS(INT(collection), INT(told)), err)) ||
        (rc = drop(&r->examples, tx, "DELETE FROM examples WHERE identity = ?1", row, err)))
        return rc;
    return drop(&r->identities, tx, "DELETE FROM identities WHERE row = ?1", row, err);
}

enum err store_erase_collection(struct store_receipt *r, struct store_tx *tx, int64_t row,
                                struct err_info *err)
{
    int64_t gone = 0;
    enum err rc = count_pictures(r, tx, COUNT_PICTURES "e.collection = ?1", row, err);

    if (rc || (rc = store_job_erase_collection(r, tx, row, err)) ||
        (rc = drop(&r->reports, tx, "DELETE FROM reports WHERE collection = ?1", row, err)) ||
        (rc = drop(&r->undo_records, tx, "DELETE FROM undo WHERE collection = ?1", row, err)) ||
        (rc = drop(&r->answers, tx,
                   "UPDATE answers SET body = NULL, etag = '', erased = 1 WHERE NOT erased"
                   " AND collection = (SELECT id FROM collections WHERE row = ?1)",
                   row, err)) ||
        (rc = drop(&r->examples, tx, "DELETE FROM examples WHERE collection = ?1", row, err)) ||
        (rc = drop(&r->identities, tx, "DELETE FROM identities WHERE collection = ?1", row, err)) ||
        (rc = drop(&gone, tx, "DELETE FROM collections WHERE row = ?1", row, err)))
        return rc;
    r->collections += gone;
    return gone ? ERR_OK : err_set(err, ERR_NOT_FOUND, "the collection is gone");
}

enum err store_erase_expired(struct store_receipt *r, bool *more, struct store_tx *tx, int most,
                             struct err_info *err)
{
    bool row = false;
    int n = 0;
    static const char oldest[] =
        "SELECT e.row FROM collections c JOIN examples e ON e.collection = c.row"
        " AND e.created_ms < ?1 - c.ttl_days * ?2 WHERE c.ttl_days > 0 LIMIT 1";
    enum err rc = ERR_OK;

    *more = false;
    for (; !rc; n++) {
        int64_t example = 0;
        rc = store__ints(&example, 1, &row, tx, oldest, ARGS(INT(tx->now_ms), INT(DAY_MS)), err);
        if (rc || !row) break;
        if (n == most) {
            *more = true;
            break;
        }
        rc = store_erase_example(r, tx, example, err);
    }
    if (!rc)
        rc = store__run(NULL, tx, "DELETE FROM undo WHERE expires_ms <= ?1", ARGS(INT(tx->now_ms)),
                        err);
    int64_t reports = 0;
    if (!rc) rc = store_reports_expire(&reports, tx, err);
    r->reports += reports;
    int64_t dropped = 0;
    if (!rc) rc = store_answers_expire(&dropped, tx, most, err);
    if (dropped == most) *more = true;
    return rc ? rc : store__changes_trim(more, tx, most, err);
}
