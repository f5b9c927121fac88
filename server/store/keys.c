#include "server/store/store_internal.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SECRET_RANDOM_BYTES = 32 };
static const char SECRET_PREFIX[] = "visavis_"; /* so that a leaked key is recognised by scanners */

void key_hash(uint8_t out[KEY_HASH_BYTES], const char *secret)
{
    struct sha256_ctx c;
    sha256_init(&c);
    sha256_update(&c, strlen(secret), (const uint8_t *)secret);
    sha256_digest(&c, KEY_HASH_BYTES, out);
}

bool key_matches(const struct store_key *list, size_t n, const char *secret)
{
    uint8_t hash[KEY_HASH_BYTES];
    int found = 0;

    key_hash(hash, secret);
    for (size_t i = 0; i < n; i++)
        found |= memeql_sec(hash, list[i].hash, KEY_HASH_BYTES) & (list[i].revoked_ms == 0);
    return found;
}

static void read_row(struct store_key *out, sqlite3_stmt *st)
{
    memset(out, 0, sizeof *out);
    store__copy_text(out->id.s, sizeof out->id.s, st, 0);
    store__copy_text(out->name, sizeof out->name, st, 1);
    if (sqlite3_column_bytes(st, 2) == KEY_HASH_BYTES)
        memcpy(out->hash, sqlite3_column_blob(st, 2), KEY_HASH_BYTES);
    out->created_ms = sqlite3_column_int64(st, 3);
    out->revoked_ms = sqlite3_column_int64(st, 4);
}

static enum err add(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct store_key *k = arg;
    k->created_ms = store_now_ms(tx);
    return store__run(
        NULL, tx, "INSERT INTO keys (id, name, hash, created_ms) VALUES (?1, ?2, ?3, ?4)",
        ARGS(TEXT(k->id.s), TEXT(k->name), BLOB(k->hash, KEY_HASH_BYTES), INT(k->created_ms)), err);
}

enum err store_key_create(struct store_key *out, char secret[KEY_SECRET_MAX_BYTES], struct store *s,
                          const char *name, struct err_info *err)
{
    uint8_t random[SECRET_RANDOM_BYTES];

    if (strlen(name) > KEY_NAME_MAX_BYTES)
        return err_set(err, ERR_INVALID, "the key's name has %zu bytes, the limit is %d",
                       strlen(name), KEY_NAME_MAX_BYTES);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(err, ERR_IO, "the system gives no random numbers");
    memset(out, 0, sizeof *out);
    ulid_make(&out->id);
    snprintf(out->name, sizeof out->name, "%s", name);
    char *p = stpcpy(secret, SECRET_PREFIX);
    for (int i = 0; i < SECRET_RANDOM_BYTES; i++) p += sprintf(p, "%02x", random[i]);
    key_hash(out->hash, secret);
    return store_write(s, add, out, err);
}

struct key_list {
    struct store_key *keys;
    size_t n, room;
};

static enum err read_all(struct store_tx *tx, void *arg, struct err_info *err)
{
    struct key_list *l = arg;
    sqlite3_stmt *st = NULL;
    bool row;
    enum err rc = store__query(
        &st, tx, "SELECT id, name, hash, created_ms, revoked_ms FROM keys ORDER BY id", NULL, err);

    while (!rc && !(rc = store__step(&row, st, err)) && row) {
        if (l->n == l->room) {
            l->room = l->room ? l->room * 2 : 16;
            struct store_key *more = reallocarray(l->keys, l->room, sizeof *more);
            if (!more) {
                rc = err_set(err, ERR_NOMEM, "no memory for %zu keys", l->room);
                break;
            }
            l->keys = more;
        }
        read_row(&l->keys[l->n++], st);
        rc = store__columns_read(st, err);
    }
    store__end(st);
    return rc;
}

enum err store_key_list(struct store_key **list, size_t *n, struct store *s, struct err_info *err)
{
    struct key_list l = {0};
    enum err rc = store_read(s, read_all, &l, err);

    if (rc) {
        free(l.keys);
        return rc;
    }
    *list = l.keys;
    *n = l.n;
    return ERR_OK;
}

struct revocation {
    const char *id;
    struct store_key *out;
};

static enum err revoke(struct store_tx *tx, void *arg, struct err_info *err)
{
    const struct revocation *r = arg;
    sqlite3_stmt *st = NULL;
    bool row = false;
    enum err rc = store__query(&st, tx,
                               "UPDATE keys SET revoked_ms = coalesce(revoked_ms, ?2) WHERE id = ?1"
                               " RETURNING id, name, hash, created_ms, revoked_ms",
                               ARGS(TEXT(r->id), INT(store_now_ms(tx))), err);

    if (!rc && !(rc = store__step(&row, st, err)) && row) {
        read_row(r->out, st);
        rc = store__columns_read(st, err);
    }
    store__end(st);
    if (!rc && !row) rc = err_set(err, ERR_NOT_FOUND, "there is no key with the id %.40s", r->id);
    return rc;
}

enum err store_key_revoke(struct store_key *out, struct store *s, const char *id,
                          struct err_info *err)
{
    struct revocation r = {id, out};
    return store_write(s, revoke, &r, err);
}
