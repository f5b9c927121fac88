#include "server/store/collections.h"

#include "server/store/store_internal.h"

#include <string.h>

#define COLUMNS                                                                                    \
    "row, id, name, model, recipe, dim, rule, rule_top, min_quality, thumbnails, photos, "         \
    "ttl_days, calibration, metadata, seq, created_ms, updated_ms"

static enum err hand_over(sqlite3_stmt *st, store_collection_each *each, void *self,
                          struct err_info *err)
{
    const struct store_collection c = {
        .row = sqlite3_column_int64(st, 0),
        .id = store__text(st, 1),
        .name = store__text(st, 2),
        .model = store__text(st, 3),
        .recipe = store__text(st, 4),
        .dim = sqlite3_column_int(st, 5),
        .rule = store__text(st, 6),
        .rule_top = sqlite3_column_int(st, 7),
        .min_quality = sqlite3_column_double(st, 8),
        .thumbnails = sqlite3_column_int(st, 9),
        .photos = sqlite3_column_int(st, 10),
        .ttl_days = sqlite3_column_int(st, 11),
        .calibration = store__text(st, 12),
        .metadata = store__text(st, 13),
        .seq = sqlite3_column_int64(st, 14),
        .created_ms = sqlite3_column_int64(st, 15),
        .updated_ms = sqlite3_column_int64(st, 16),
    };
    enum err rc = store__columns_read(st, err);
    return rc ? rc : each(self, &c, err);
}

/* What a client decides: lengths here, so that the message names the limit; the rest is checked by
 * the table. Is the name another collection's? */
static enum err check(struct store_tx *tx, const struct store_collection *c, struct err_info *err)
{
    int64_t other;
    bool taken = false;
    enum err rc = store__check_length("collection's name", c->name, 1, STORE_NAME_MAX, err);

    if (rc || (rc = store__check_metadata(c->metadata, err))) return rc;
    rc = store__ints(&other, 1, &taken, tx,
                     "SELECT row FROM collections WHERE name = ?1 AND row <> ?2",
                     ARGS(TEXT(c->name), INT(c->row)), err);
    if (!rc && taken)
        rc = err_set(err, ERR_CONFLICT, "there is a collection named \"%.200s\" already", c->name);
    return rc;
}

enum err store_collection_add(int64_t *row, struct ulid *id, struct store_tx *tx,
                              const struct store_collection *c, struct err_info *err)
{
    struct store_collection new = *c;
    struct ulid made;
    enum err rc;

    new.row = 0;
    ulid_make(&made);
    if ((rc = check(tx, &new, err))) return rc;
    rc = store__ints(
        row, 1, NULL, tx,
        "INSERT INTO collections (id, name, model, recipe, dim, rule, rule_top, min_quality, "
        "thumbnails, photos, ttl_days, calibration, metadata, created_ms, updated_ms) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14) RETURNING row",
        ARGS(TEXT(made.s), TEXT(c->name), TEXT(c->model), TEXT(c->recipe), INT(c->dim),
             TEXT(c->rule), INT(c->rule_top), REAL(c->min_quality), INT(c->thumbnails),
             INT(c->photos), INT(c->ttl_days), TEXT(c->calibration), TEXT(c->metadata),
             INT(tx->now_ms)),
        err);
    if (!rc) *id = made;
    return rc;
}

enum err store_collection_list(struct store_tx *tx, store_collection_each *each, void *self,
                               struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc =
        store__query(&st, tx, "SELECT " COLUMNS " FROM collections ORDER BY name", NULL, err);

    while (!rc && !(rc = store__step(&row, st, err)) && row) rc = hand_over(st, each, self, err);
    store__end(st);
    return rc;
}

enum err store_collection_get(struct store_tx *tx, const char *id_or_name,
                              store_collection_each *each, void *self, struct err_info *err)
{
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__query(&st, tx,
                               "SELECT " COLUMNS " FROM collections WHERE id = ?1 OR name = ?1 "
                               "ORDER BY id = ?1 DESC LIMIT 1",
                               ARGS(TEXT(id_or_name)), err);

    if (!rc && !(rc = store__step(&row, st, err)))
        rc = row ? hand_over(st, each, self, err)
                 : err_set(err, ERR_NOT_FOUND, "there is no collection \"%.200s\"", id_or_name);
    store__end(st);
    return rc;
}

enum err store_collection_set(struct store_tx *tx, const struct store_collection *c,
                              struct err_info *err)
{
    int64_t forget;
    bool found = false;
    enum err rc = store__ints(&forget, 1, &found, tx,
                              "SELECT dim <> ?2 OR recipe <> ?3 FROM collections WHERE row = ?1",
                              ARGS(INT(c->row), INT(c->dim), TEXT(c->recipe)), err);

    if (rc) return rc;
    if (!found) return err_set(err, ERR_NOT_FOUND, "the collection \"%.200s\" is gone", c->name);
    if ((rc = check(tx, c, err))) return rc;
    if (forget && (rc = store__changes_forget(tx, c->row, err))) return rc;
    return store__run(
        NULL, tx,
        "UPDATE collections SET name = ?2, model = ?3, recipe = ?4, dim = ?5, rule = ?6, "
        "rule_top = ?7, min_quality = ?8, thumbnails = ?9, photos = ?10, ttl_days = ?11, "
        "calibration = ?12, metadata = ?13, updated_ms = ?14 WHERE row = ?1",
        ARGS(INT(c->row), TEXT(c->name), TEXT(c->model), TEXT(c->recipe), INT(c->dim),
             TEXT(c->rule), INT(c->rule_top), REAL(c->min_quality), INT(c->thumbnails),
             INT(c->photos), INT(c->ttl_days), TEXT(c->calibration), TEXT(c->metadata),
             INT(tx->now_ms)),
        err);
}

enum err store_collection_counts(struct store_collection_counts *out, struct store_tx *tx,
                                 int64_t row, struct err_info *err)
{
    int64_t n[5];
    /* typeof: says whether there is a picture without reading it */
    enum err rc = store__ints(
        n, 5, NULL, tx,
        "SELECT (SELECT count(*) FROM identities WHERE collection = ?1),"
        " (SELECT count(*) FROM examples WHERE collection = ?1),"
        " (SELECT count(*) FROM examples WHERE collection = ?1 AND identity IS NULL),"
        " coalesce(sum(typeof(p.thumbnail) = 'blob'), 0), coalesce(sum(typeof(p.photo) = 'blob'), "
        "0)"
        " FROM examples e JOIN example_pictures p ON p.example = e.row WHERE e.collection = ?1",
        ARGS(INT(row)), err);
    if (!rc) *out = (struct store_collection_counts){n[0], n[1], n[2], n[3], n[4]};
    return rc;
}
