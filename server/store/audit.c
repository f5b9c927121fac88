#include "server/store/audit.h"

#include "server/store/store_internal.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

static void add_number(struct sha256_ctx *c, int64_t n)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%lld\n", (long long)n);
    sha256_update(c, (size_t)len, (const uint8_t *)text);
}

static void add_text(struct sha256_ctx *c, const char *s)
{
    sha256_update(c, strlen(s), (const uint8_t *)s);
    sha256_update(c, 1, (const uint8_t *)"\n");
}

static void hash_of(uint8_t out[AUDIT_HASH_BYTES], const uint8_t before[AUDIT_HASH_BYTES],
                    const struct store_audit *a)
{
    struct sha256_ctx c;

    sha256_init(&c);
    sha256_update(&c, AUDIT_HASH_BYTES, before);
    add_number(&c, a->seq);
    add_number(&c, a->at_ms);
    add_text(&c, a->who);
    add_text(&c, a->action);
    add_text(&c, a->collection);
    add_text(&c, a->target);
    add_text(&c, a->request);
    sha256_digest(&c, AUDIT_HASH_BYTES, out);
}

/* A line feed inside a text would let two entries read alike. */
static bool plain(const char *s)
{
    while ((unsigned char)*s >= 0x20 && *s != 0x7f) s++;
    return !*s;
}

/* The last entry's number and hash; 0 and zeros where there is none. */
static enum err last(int64_t *seq, uint8_t hash[AUDIT_HASH_BYTES], struct store_tx *tx,
                     struct err_info *err)
{
    sqlite3_stmt *st;
    bool row;
    enum err rc =
        store__query(&st, tx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", NULL, err);

    *seq = 0;
    memset(hash, 0, AUDIT_HASH_BYTES);
    if (rc) return rc;
    rc = store__step(&row, st, err);
    if (!rc && row) {
        *seq = sqlite3_column_int64(st, 0);
        const void *bytes = sqlite3_column_blob(st, 1);
        if (bytes && sqlite3_column_bytes(st, 1) == AUDIT_HASH_BYTES)
            memcpy(hash, bytes, AUDIT_HASH_BYTES);
    }
    store__end(st);
    return rc;
}

enum err store_audit_add(struct store_tx *tx, const struct store_audit *a, struct err_info *err)
{
    struct store_audit e = *a;
    uint8_t before[AUDIT_HASH_BYTES];
    enum err rc;

    if (!plain(a->who) || !plain(a->action) || !plain(a->collection) || !plain(a->target) ||
        !plain(a->request))
        return err_set(err, ERR_INTERNAL, "a text for the audit log has a control character");
    if ((rc = last(&e.seq, before, tx, err))) return rc;
    e.seq++;
    e.at_ms = store_now_ms(tx);
    hash_of(e.hash, before, &e);
    return store__run(NULL, tx,
                      "INSERT INTO audit (seq, at_ms, who, action, collection, target, request, "
                      "hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                      ARGS(INT(e.seq), INT(e.at_ms), TEXT(e.who), TEXT(e.action),
                           TEXT(e.collection), TEXT(e.target), TEXT(e.request),
                           BLOB(e.hash, AUDIT_HASH_BYTES)),
                      err);
}

static enum err read_row(struct store_audit *a, sqlite3_stmt *st, struct err_info *err)
{
    a->seq = sqlite3_column_int64(st, 0);
    a->at_ms = sqlite3_column_int64(st, 1);
    a->who = store__text(st, 2);
    a->action = store__text(st, 3);
    a->collection = store__text(st, 4);
    a->target = store__text(st, 5);
    a->request = store__text(st, 6);
    const void *hash = sqlite3_column_blob(st, 7);
    memset(a->hash, 0, sizeof a->hash);
    if (hash && sqlite3_column_bytes(st, 7) == AUDIT_HASH_BYTES)
        memcpy(a->hash, hash, AUDIT_HASH_BYTES);
    return store__columns_read(st, err);
}

enum err store_audit_list(struct store_tx *tx, int64_t from, bool newest_first, int limit,
                          store_audit_each *each, void *self, struct err_info *err)
{
    sqlite3_stmt *st;
    struct store_audit a;
    bool row;
    enum err rc =
        newest_first
            ? store__query(&st, tx,
                           "SELECT seq, at_ms, who, action, collection, target, request, hash "
                           "FROM audit WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
                           ARGS(INT(from ? from : INT64_MAX), INT(limit)), err)
            : store__query(&st, tx,
                           "SELECT seq, at_ms, who, action, collection, target, request, hash "
                           "FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                           ARGS(INT(from), INT(limit)), err);

    if (rc) return rc;
    while (!(rc = store__step(&row, st, err)) && row)
        if ((rc = read_row(&a, st, err)) || (rc = each(self, &a, err))) break;
    store__end(st);
    return rc;
}

static enum err fits(void *self, const struct store_audit *a, struct err_info *err)
{
    struct store_audit_chain *chain = self;
    uint8_t want[AUDIT_HASH_BYTES];
    (void)err;

    if (chain->broken_at) return ERR_OK;
    hash_of(want, chain->head, a);
    if (a->seq != chain->entries + 1) {
        chain->broken_at = a->seq;
        snprintf(chain->why, sizeof chain->why, "entry %lld follows entry %lld: some are missing",
                 (long long)a->seq, (long long)chain->entries);
    } else if (memcmp(want, a->hash, AUDIT_HASH_BYTES) != 0) {
        chain->broken_at = a->seq;
        snprintf(chain->why, sizeof chain->why,
                 "entry %lld, or the one before it, is not what was written", (long long)a->seq);
    } else {
        chain->entries++;
        memcpy(chain->head, a->hash, AUDIT_HASH_BYTES);
    }
    return ERR_OK;
}

enum err store_audit_verify(struct store_audit_chain *out, struct store_tx *tx,
                            struct err_info *err)
{
    int64_t written = 0;
    bool found;
    enum err rc;

    memset(out, 0, sizeof *out);
    if ((rc = store_audit_list(tx, 0, false, -1, fits, out, err))) return rc;
    /* SQLite remembers the highest number that was ever given: entries cut off the end are missed.
     */
    rc = store__ints(&written, 1, &found, tx,
                     "SELECT seq FROM sqlite_sequence WHERE name = 'audit'", NULL, err);
    if (rc || out->broken_at || written <= out->entries) return rc;
    out->broken_at = out->entries + 1;
    snprintf(out->why, sizeof out->why, "%lld entries were written, those after %lld are missing",
             (long long)written, (long long)out->entries);
    return ERR_OK;
}
