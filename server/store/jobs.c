#include "server/store/jobs.h"

#include "server/store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[STORE_JOB_STATES] = {
    [STORE_JOB_QUEUED] = "queued",       [STORE_JOB_RUNNING] = "running",
    [STORE_JOB_DONE] = "done",           [STORE_JOB_FAILED] = "failed",
    [STORE_JOB_CANCELLED] = "cancelled", [STORE_JOB_INTERRUPTED] = "interrupted",
};

#define COLUMNS                                                                                    \
    "SELECT j.id, j.kind, j.state, j.attempts, j.cancel, j.phase, j.done, j.total, j.key,"         \
    " j.collection, c.id, j.created_ms, j.started_ms, j.finished_ms, j.expires_ms, j.result_type," \
    " j.result_bytes, j.error_code, j.error_message,"                                              \
    " (SELECT count(*) FROM job_uploads u WHERE u.job = j.row)"                                    \
    " FROM jobs j LEFT JOIN collections c ON c.row = j.collection "

const char *store_job_state_name(enum store_job_state s)
{
    return state_names[s];
}

bool store_job_state_parse(enum store_job_state *out, const char *name)
{
    for (int i = 0; i < STORE_JOB_STATES; i++)
        if (!strcmp(state_names[i], name)) {
            *out = (enum store_job_state)i;
            return true;
        }
    return false;
}

static enum err not_found(const char *id, struct err_info *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no job with the id %.40s", id);
}

static void copy_text(char *out, size_t size, sqlite3_stmt *st, int column)
{
    const char *s = store__text(st, column);
    snprintf(out, size, "%s", s ? s : "");
}

static enum err read_row(struct store_job_row *out, sqlite3_stmt *st, struct err_info *err)
{
    memset(out, 0, sizeof *out);
    copy_text(out->id.s, sizeof out->id.s, st, 0);
    copy_text(out->kind, sizeof out->kind, st, 1);
    const char *state = store__text(st, 2);
    if (!state || !store_job_state_parse(&out->state, state)) {
        enum err rc = store__columns_read(st, err);
        return rc ? rc : err_set(err, ERR_INTERNAL, "a job has no state");
    }
    out->attempts = sqlite3_column_int(st, 3);
    out->cancel = sqlite3_column_int(st, 4);
    copy_text(out->phase, sizeof out->phase, st, 5);
    out->done = sqlite3_column_int64(st, 6);
    out->total = sqlite3_column_int64(st, 7);
    copy_text(out->key, sizeof out->key, st, 8);
    out->collection = sqlite3_column_int64(st, 9);
    copy_text(out->collection_id, sizeof out->collection_id, st, 10);
    out->created_ms = sqlite3_column_int64(st, 11);
    out->started_ms = sqlite3_column_int64(st, 12);
    out->finished_ms = sqlite3_column_int64(st, 13);
    out->expires_ms = sqlite3_column_int64(st, 14);
    copy_text(out->result_type, sizeof out->result_type, st, 15);
    out->result_bytes = sqlite3_column_int64(st, 16);
    copy_text(out->error_code, sizeof out->error_code, st, 17);
    copy_text(out->error_message, sizeof out->error_message, st, 18);
    out->uploads = sqlite3_column_int64(st, 19);
    return store__columns_read(st, err);
}

static enum err read_each(struct store_tx *tx, const char *sql, const struct store__arg *args,
                          store_job_each *each, void *self, struct err_info *err)
{
    struct store_job_row j;
    sqlite3_stmt *st;
    bool row;
    enum err rc = store__query(&st, tx, sql, args, err);

    if (rc) return rc;
    while (!(rc = store__step(&row, st, err)) && row)
        if ((rc = read_row(&j, st, err)) || (rc = each(self, &j, err))) break;
    store__end(st);
    return rc;
}

enum err store_job_add(struct store_tx *tx, const struct store_job_new *n, struct err_info *err)
{
    static const char insert[] =
        "INSERT INTO jobs (id, kind, state, parameters, key, collection, created_ms)"
        " VALUES (?1, ?2, 'queued', ?3, ?4, ?5, ?6) RETURNING row";
    static const char upload[] =
        "INSERT INTO job_uploads (job, n, name, bytes) VALUES (?1, ?2, ?3, ?4)";
    static const char collection[] = "SELECT 1 FROM collections WHERE row = ?1";
    int64_t row, one;
    bool found = true;
    enum err rc;

    if (strlen(n->parameters) > STORE_JOB_PARAMETERS_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "a job's parameters have %zu bytes, the limit is %d",
                       strlen(n->parameters), STORE_JOB_PARAMETERS_MAX_BYTES);
    if (n->collection &&
        (rc = store__ints(&one, 1, &found, tx, collection, ARGS(INT(n->collection)), err)))
        return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the job's collection is gone");
    if ((rc = store__ints(&row, 1, NULL, tx, insert,
                          ARGS(TEXT(n->id.s), TEXT(n->kind), TEXT(n->parameters), TEXT(n->key),
                               ROW(n->collection), INT(store_now_ms(tx))),
                          err)))
        return rc;
    for (int i = 0; !rc && i < n->n_uploads; i++)
        rc = store__run(NULL, tx, upload,
                        ARGS(INT(row), INT(i), TEXT(n->uploads[i].name), INT(n->uploads[i].bytes)),
                        err);
    return rc;
}

static enum err keep_row(void *self, const struct store_job_row *j, struct err_info *err)
{
    (void)err;
    *(struct store_job_row *)self = *j;
    return ERR_OK;
}

enum err store_job_get(struct store_job_row *out, struct store_tx *tx, const char *id,
                       struct err_info *err)
{
    static const char sql[] = COLUMNS "WHERE j.id = ?1";
    struct store_job_row j = {0};
    enum err rc = read_each(tx, sql, ARGS(TEXT(id)), keep_row, &j, err);
    if (rc) return rc;
    if (!j.id.s[0]) return not_found(id, err);
    *out = j;
    return ERR_OK;
}

enum err store_job_parameters(char **out, struct store_tx *tx, const char *id, struct err_info *err)
{
    static const char sql[] = "SELECT parameters FROM jobs WHERE id = ?1";
    sqlite3_stmt *st;
    bool row;
    enum err rc = store__query(&st, tx, sql, ARGS(TEXT(id)), err);

    if (rc) return rc;
    if (!(rc = store__step(&row, st, err))) {
        const char *text = row ? store__text(st, 0) : NULL;
        char *copy = text ? strdup(text) : NULL;
        if (!row)
            rc = not_found(id, err);
        else if (!copy)
            rc = err_set(err, ERR_NOMEM, "no memory for a job's parameters");
        else
            *out = copy;
    }
    store__end(st);
    return rc;
}

enum err store_job_uploads(struct store_tx *tx, const char *id, store_job_upload_each *each,
                           void *self, struct err_info *err)
{
    static const char sql[] = "SELECT u.n, u.name, u.bytes FROM job_uploads u"
                              " JOIN jobs j ON j.row = u.job WHERE j.id = ?1 ORDER BY u.n";
    sqlite3_stmt *st;
    bool row;
    enum err rc = store__query(&st, tx, sql, ARGS(TEXT(id)), err);

    if (rc) return rc;
    while (!(rc = store__step(&row, st, err)) && row) {
        struct store_job_upload u = {store__text(st, 1), sqlite3_column_int64(st, 2)};
        int n = sqlite3_column_int(st, 0);
        if ((rc = store__columns_read(st, err)) || (rc = each(self, n, &u, err))) break;
    }
    store__end(st);
    return rc;
}

enum err store_job_list(struct store_tx *tx, const struct store_job_query *q, store_job_each *each,
                        void *self, struct err_info *err)
{
    static const char sql[] =
        COLUMNS "WHERE (?1 IS NULL OR j.key = ?1) AND (?2 IS NULL OR j.state = ?2)"
                " AND (?3 IS NULL OR j.id < ?3) ORDER BY j.id DESC LIMIT ?4";
    const char *state = q->state < 0 ? NULL : state_names[q->state];
    return read_each(tx, sql, ARGS(TEXT(q->key), TEXT(state), TEXT(q->before), INT(q->limit)), each,
                     self, err);
}

enum err store_job_unfinished(struct store_tx *tx, store_job_each *each, void *self,
                              struct err_info *err)
{
    static const char sql[] = COLUMNS "WHERE j.state IN ('queued', 'running') ORDER BY j.row";
    return read_each(tx, sql, NULL, each, self, err);
}

enum err store_job_ids(struct store_job_id **ids, size_t *n, struct store_tx *tx,
                       struct err_info *err)
{
    static const char sql[] = "SELECT id, state FROM jobs ORDER BY id";
    struct store_job_id *list = NULL;
    size_t count = 0, room = 0;
    sqlite3_stmt *st;
    bool row;
    enum err rc = store__query(&st, tx, sql, NULL, err);

    if (rc) return rc;
    while (!(rc = store__step(&row, st, err)) && row) {
        if (count == room) {
            room = room ? room * 2 : 64;
            struct store_job_id *more = reallocarray(list, room, sizeof *more);
            if (!more) {
                rc = err_set(err, ERR_NOMEM, "no memory for %zu jobs", room);
                break;
            }
            list = more;
        }
        const char *state = store__text(st, 1);
        copy_text(list[count].id.s, sizeof list[count].id.s, st, 0);
        if ((rc = store__columns_read(st, err))) break;
        if (!state || !store_job_state_parse(&list[count].state, state)) {
            rc = err_set(err, ERR_INTERNAL, "a job has no state");
            break;
        }
        count++;
    }
    store__end(st);
    if (rc) {
        free(list);
        return rc;
    }
    *ids = list;
    *n = count;
    return ERR_OK;
}

/* An UPDATE of the one job ?1 that must be in the right state. */
static enum err change(struct store_tx *tx, const char *sql, const char *id,
                       const struct store__arg *args, struct err_info *err)
{
    int64_t n = 0;
    enum err rc = store__run(&n, tx, sql, args, err);
    return rc || n ? rc : not_found(id, err);
}

enum err store_job_start(struct store_tx *tx, const char *id, struct err_info *err)
{
    static const char sql[] = "UPDATE jobs SET state = 'running', attempts = attempts + 1,"
                              " started_ms = ?2, phase = '', done = 0, total = 0"
                              " WHERE id = ?1 AND state = 'queued'";
    return change(tx, sql, id, ARGS(TEXT(id), INT(store_now_ms(tx))), err);
}

enum err store_job_progress(bool *cancel, struct store_tx *tx, const char *id, const char *phase,
                            int64_t done, int64_t total, struct err_info *err)
{
    static const char sql[] = "UPDATE jobs SET phase = ?2, done = ?3, total = ?4"
                              " WHERE id = ?1 AND state = 'running' RETURNING cancel";
    int64_t flag;
    bool found;
    enum err rc = store__ints(&flag, 1, &found, tx, sql,
                              ARGS(TEXT(id), TEXT(phase), INT(done), INT(total)), err);
    if (rc) return rc;
    if (!found) return not_found(id, err);
    *cancel = flag;
    return ERR_OK;
}

enum err store_job_requeue(struct store_tx *tx, const char *id, struct err_info *err)
{
    static const char sql[] = "UPDATE jobs SET state = 'queued', phase = '', done = 0, total = 0"
                              " WHERE id = ?1 AND state = 'running'";
    return change(tx, sql, id, ARGS(TEXT(id)), err);
}

enum err store_job_finish(struct store_tx *tx, const char *id, const struct store_job_end *end,
                          struct err_info *err)
{
    static const char sql[] =
        "UPDATE jobs SET state = ?2, finished_ms = ?3, expires_ms = ?4, result_type = ?5,"
        " result_bytes = ?6, error_code = ?7, error_message = ?8"
        " WHERE id = ?1 AND state IN ('queued', 'running')";
    int64_t now = store_now_ms(tx);
    const struct store__arg none = NOTHING, bytes = INT(end->result_bytes);
    return change(tx, sql, id,
                  ARGS(TEXT(id), TEXT(state_names[end->state]), INT(now), INT(now + end->ttl_ms),
                       TEXT(end->result_type), end->result_type ? bytes : none,
                       TEXT(end->error_code), TEXT(end->error_message)),
                  err);
}

enum err store_job_cancel(enum store_job_state *was, struct store_tx *tx, const char *id,
                          int64_t ttl_ms, struct err_info *err)
{
    static const char mark[] = "UPDATE jobs SET cancel = 1 WHERE id = ?1";
    static const char remove[] = "DELETE FROM jobs WHERE id = ?1";
    struct store_job_row j = {0};
    enum err rc = store_job_get(&j, tx, id, err);

    if (rc) return rc;
    *was = j.state;
    if (j.state == STORE_JOB_QUEUED)
        return store_job_finish(
            tx, id, &(struct store_job_end){.state = STORE_JOB_CANCELLED, .ttl_ms = ttl_ms}, err);
    return change(tx, j.state == STORE_JOB_RUNNING ? mark : remove, id, ARGS(TEXT(id)), err);
}

enum err store_job_expire(int64_t *n, struct store_tx *tx, int64_t now_ms, struct err_info *err)
{
    static const char sql[] = "DELETE FROM jobs WHERE expires_ms <= ?1";
    return store__run(n, tx, sql, ARGS(INT(now_ms)), err);
}

enum err store_job_erase_collection(struct store_receipt *r, struct store_tx *tx,
                                    int64_t collection, struct err_info *err)
{
    static const char count[] = "SELECT count(result_type), (SELECT count(*) FROM job_uploads u "
                                "JOIN jobs k ON k.row = u.job"
                                " WHERE k.collection = ?1 AND k.state IN ('queued', 'running'))"
                                " FROM jobs WHERE collection = ?1";
    static const char remove[] = "DELETE FROM jobs WHERE collection = ?1";
    int64_t counts[2];
    enum err rc = store__ints(counts, 2, NULL, tx, count, ARGS(INT(collection)), err);

    if (rc || (rc = store__run(NULL, tx, remove, ARGS(INT(collection)), err))) return rc;
    r->reports += counts[0];
    r->uploads += counts[1];
    return ERR_OK;
}
