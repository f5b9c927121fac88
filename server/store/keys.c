#include "server/store/keys.h"

#include "engine/base/hex.h"
#include "server/store/store_internal.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SECRET_RANDOM_BYTES = 32 };
static const char SECRET_PREFIX[] = "visavis_"; /* so that a leaked key is recognised by scanners */
static const char *const right_names[] = {
    [KEY_READ] = "read", [KEY_WRITE] = "write", [KEY_ADMIN] = "admin"};

const char *key_right_name(enum key_right right)
{
    return right_names[right];
}

bool key_right_parse(enum key_right *out, const char *name)
{
    for (int r = KEY_READ; r <= KEY_ADMIN; r++)
        if (!strcmp(right_names[r], name)) {
            *out = (enum key_right)r;
            return true;
        }
    return false;
}

void key_hash(uint8_t out[KEY_HASH_BYTES], const char *secret)
{
    struct sha256_ctx c;
    sha256_init(&c);
    sha256_update(&c, strlen(secret), (const uint8_t *)secret);
    sha256_digest(&c, KEY_HASH_BYTES, out);
}

size_t key_find(const struct store_key *list, size_t n, const char *secret)
{
    uint8_t hash[KEY_HASH_BYTES];
    size_t at = n;

    key_hash(hash, secret);
    for (size_t i = 0; i < n; i++) {
        size_t same = (size_t)(memeql_sec(hash, list[i].hash, KEY_HASH_BYTES) != 0);
        at ^= (at ^ i) & (0 - same); /* at = i where same, without a branch */
    }
    return at;
}

bool key_valid(const struct store_key *k, int64_t now_ms)
{
    return !k->revoked_ms && (!k->expires_ms || now_ms < k->expires_ms) &&
           (!*k->collection || *k->collection_name);
}

static enum err read_row(struct store_key *out, sqlite3_stmt *st, struct err_info *err)
{
    memset(out, 0, sizeof *out);
    store__copy_text(out->id.s, sizeof out->id.s, st, 0);
    store__copy_text(out->name, sizeof out->name, st, 1);
    const void *hash = sqlite3_column_blob(st, 2);
    if (hash && sqlite3_column_bytes(st, 2) == KEY_HASH_BYTES)
        memcpy(out->hash, hash, KEY_HASH_BYTES);
    out->right = (enum key_right)sqlite3_column_int(st, 3);
    store__copy_text(out->collection, sizeof out->collection, st, 4);
    store__copy_text(out->collection_name, sizeof out->collection_name, st, 5);
    out->rate = sqlite3_column_int(st, 6);
    out->created_ms = sqlite3_column_int64(st, 7);
    out->expires_ms = sqlite3_column_int64(st, 8);
    out->revoked_ms = sqlite3_column_int64(st, 9);
    return store__columns_read(st, err);
}
#define KEY_COLUMNS                                                                                \
    "k.id, k.name, k.hash, k.access, k.collection, c.name, k.rate, k.created_ms, k.expires_ms, "   \
    "k.revoked_ms FROM keys k LEFT JOIN collections c ON c.id = k.collection "

static enum err get(struct store_key *out, struct store_tx *tx, const char *id,
                    struct err_info *err)
{
    sqlite3_stmt *st;
    bool row;
    enum err rc =
        store__query(&st, tx, "SELECT " KEY_COLUMNS "WHERE k.id = ?1", ARGS(TEXT(id)), err);

    if (rc) return rc;
    rc = store__step(&row, st, err);
    if (!rc && !row) rc = err_set(err, ERR_NOT_FOUND, "there is no key with the id %.40s", id);
    if (!rc) rc = read_row(out, st, err);
    store__end(st);
    return rc;
}

static enum err check(const struct store_key_wish *w, int64_t now_ms, struct err_info *err)
{
    if (strlen(w->name) > KEY_NAME_MAX_BYTES)
        return err_set(err, ERR_INVALID, "the key's name has %zu bytes, the limit is %d",
                       strlen(w->name), KEY_NAME_MAX_BYTES);
    if (w->rate < 0 || w->rate > KEY_RATE_MAX)
        return err_set(err, ERR_INVALID, "the key's rate is %d a minute, the limit is %d", w->rate,
                       KEY_RATE_MAX);
    if (w->expires_ms && w->expires_ms <= now_ms)
        return err_set(err, ERR_INVALID, "the key would expire in the past");
    return ERR_OK;
}

static enum err take_id(void *self, const struct store_collection *c, struct err_info *err)
{
    (void)err;
    snprintf(self, ULID_CHARS + 1, "%s", c->id);
    return ERR_OK;
}

enum err store_key_add(struct store_key *out, char secret[KEY_SECRET_MAX_BYTES],
                       struct store_tx *tx, const struct store_key_wish *w, struct err_info *err)
{
    uint8_t random[SECRET_RANDOM_BYTES], hash[KEY_HASH_BYTES];
    char collection[ULID_CHARS + 1] = "";
    struct ulid id;
    enum err rc = check(w, store_now_ms(tx), err);

    if (!rc && *w->collection)
        rc = store_collection_get(tx, w->collection, take_id, collection, err);
    if (rc) return rc;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(err, ERR_IO, "the system gives no random numbers");
    ulid_make(&id);
    hex_text(stpcpy(secret, SECRET_PREFIX), random, sizeof random);
    key_hash(hash, secret);
    rc = store__run(NULL, tx,
                    "INSERT INTO keys (id, name, hash, access, collection, rate, created_ms, "
                    "expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    ARGS(TEXT(id.s), TEXT(w->name), BLOB(hash, sizeof hash), INT(w->right),
                         TEXT(*collection ? collection : NULL), INT(w->rate), INT(store_now_ms(tx)),
                         ROW(w->expires_ms)),
                    err);
    return rc ? rc : get(out, tx, id.s, err);
}

enum err store_key_list(struct store_key **list, size_t *n, struct store_tx *tx,
                        struct err_info *err)
{
    struct store_key *keys = NULL;
    size_t count = 0, room = 0;
    sqlite3_stmt *st;
    bool row;
    enum err rc = store__query(&st, tx, "SELECT " KEY_COLUMNS "ORDER BY k.id", NULL, err);

    if (rc) return rc;
    while (!(rc = store__step(&row, st, err)) && row) {
        if (count == room) {
            room = room ? room * 2 : 16;
            struct store_key *more = reallocarray(keys, room, sizeof *keys);
            if (!more) {
                rc = err_set(err, ERR_NOMEM, "no memory for %zu keys", room);
                break;
            }
            keys = more;
        }
        if ((rc = read_row(&keys[count++], st, err))) break;
    }
    store__end(st);
    if (rc) {
        free(keys);
        return rc;
    }
    *list = keys;
    *n = count;
    return ERR_OK;
}

enum err store_key_revoke(struct store_key *out, struct store_tx *tx, const char *id,
                          struct err_info *err)
{
    enum err rc =
        store__run(NULL, tx, "UPDATE keys SET revoked_ms = coalesce(revoked_ms, ?2) WHERE id = ?1",
                   ARGS(TEXT(id), INT(store_now_ms(tx))), err);
    return rc ? rc : get(out, tx, id, err);
}
