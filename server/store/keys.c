#include "server/store/store_internal.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/base/hex.h"

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
    snprintf(out->id.s, sizeof out->id.s, "%s", (const char *)sqlite3_column_text(st, 0));
    snprintf(out->name, sizeof out->name, "%s", (const char *)sqlite3_column_text(st, 1));
    if (sqlite3_column_bytes(st, 2) == KEY_HASH_BYTES)
        memcpy(out->hash, sqlite3_column_blob(st, 2), KEY_HASH_BYTES);
    out->created_ms = sqlite3_column_int64(st, 3);
    out->revoked_ms = sqlite3_column_int64(st, 4);
}

enum err store_key_create(struct store_key *out, char secret[KEY_SECRET_MAX_BYTES], struct store *s,
                          const char *name, struct err_info *err)
{
    uint8_t random[SECRET_RANDOM_BYTES];
    enum err rc = ERR_OK;

    if (strlen(name) > KEY_NAME_MAX_BYTES)
        return err_set(err, ERR_INVALID, "the key's name has %zu bytes, the limit is %d",
                       strlen(name), KEY_NAME_MAX_BYTES);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(err, ERR_IO, "the system gives no random numbers");
    memset(out, 0, sizeof *out);
    ulid_make(&out->id);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->created_ms = store__now_ms();
    char *p = stpcpy(secret, SECRET_PREFIX);
    hex_text(p, random, sizeof random);
    key_hash(out->hash, secret);

    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *st = s->st[ST_KEY_ADD];
    sqlite3_bind_text(st, 1, out->id.s, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, out->name, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 3, out->hash, KEY_HASH_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(st, 4, out->created_ms);
    if (sqlite3_step(st) != SQLITE_DONE) rc = store__fail(s, "keep the key", err);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

enum err store_key_list(struct store_key **list, size_t *n, struct store *s, struct err_info *err)
{
    struct store_key *keys = NULL;
    size_t count = 0, room = 0;
    enum err rc = ERR_OK;
    int step;

    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *st = s->st[ST_KEY_LIST];
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        if (count == room) {
            room = room ? room * 2 : 16;
            struct store_key *more = reallocarray(keys, room, sizeof *keys);
            if (!more) {
                rc = err_set(err, ERR_NOMEM, "no memory for %zu keys", room);
                break;
            }
            keys = more;
        }
        read_row(&keys[count++], st);
    }
    if (!rc && step != SQLITE_DONE) rc = store__fail(s, "read the keys", err);
    sqlite3_reset(st);
    pthread_mutex_unlock(&s->lock);
    if (rc) {
        free(keys);
        return rc;
    }
    *list = keys;
    *n = count;
    return ERR_OK;
}

enum err store_key_revoke(struct store_key *out, struct store *s, const char *id,
                          struct err_info *err)
{
    sqlite3_stmt *revoke = s->st[ST_KEY_REVOKE], *get = s->st[ST_KEY_GET];
    enum err rc = ERR_OK;

    pthread_mutex_lock(&s->lock);
    sqlite3_bind_text(revoke, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(revoke, 2, store__now_ms());
    sqlite3_bind_text(get, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_step(revoke) != SQLITE_DONE)
        rc = store__fail(s, "revoke the key", err);
    else if (sqlite3_changes(s->db) == 0)
        rc = err_set(err, ERR_NOT_FOUND, "there is no key with the id %.40s", id);
    else if (sqlite3_step(get) != SQLITE_ROW)
        rc = store__fail(s, "read the key", err);
    else
        read_row(out, get);
    sqlite3_reset(revoke);
    sqlite3_reset(get);
    sqlite3_clear_bindings(revoke);
    sqlite3_clear_bindings(get);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
