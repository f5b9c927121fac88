/* Keys: who may use the server, for what. The secret is made here, shown once and kept nowhere; the
 * database has its SHA-256, which is enough for 256 random bits. */
#ifndef VISAVIS_SERVER_STORE_KEYS_H
#define VISAVIS_SERVER_STORE_KEYS_H

#include "server/store/collections.h"

enum {
    KEY_NAME_MAX_BYTES = 100,
    KEY_HASH_BYTES = 32,
    KEY_SECRET_MAX_BYTES = 80,
    KEY_RATE_MAX = 1000000, /* requests a minute */
};
/* Each includes the ones before it. */
enum key_right { KEY_READ = 1, KEY_WRITE = 2, KEY_ADMIN = 3 };

struct store_key {
    struct ulid id;
    char name[KEY_NAME_MAX_BYTES + 1];
    uint8_t hash[KEY_HASH_BYTES];
    enum key_right right;
    /* The id of the one collection that it is for, and that collection's name now; both "": every
     * one. Only the name "": the collection is gone, and the key is good for nothing. */
    char collection[ULID_CHARS + 1], collection_name[4 * STORE_NAME_MAX + 1];
    int rate;                                   /* requests a minute; 0: as many as it likes */
    int64_t created_ms, expires_ms, revoked_ms; /* since 1970; expires, revoked 0: never */
};

struct store_key_wish {
    const char *name;       /* UTF-8, for people; may be "" */
    const char *collection; /* id or name; "": every one */
    enum key_right right;
    int rate;
    int64_t expires_ms;
};
/* Makes a key: 256 random bits. secret: what the client sends, shown once. ERR_INVALID: the name is
 * too long, the rate over its limit, expires_ms has passed; ERR_NOT_FOUND: no such collection. */
NODISCARD enum err store_key_add(struct store_key *out, char secret[KEY_SECRET_MAX_BYTES],
                                 struct store_tx *tx, const struct store_key_wish *wish,
                                 struct err_info *err);
/* Every key, also those that are revoked or have expired, oldest first. *list is the caller's
 * (free()); NULL where *n is 0. */
NODISCARD enum err store_key_list(struct store_key **list, size_t *n, struct store_tx *tx,
                                  struct err_info *err);
/* ERR_NOT_FOUND: no such id. Revoking twice keeps the first time. */
NODISCARD enum err store_key_revoke(struct store_key *out, struct store_tx *tx, const char *id,
                                    struct err_info *err);

const char *key_right_name(enum key_right right); /* "read", "write", "admin" */
bool key_right_parse(enum key_right *out, const char *name);
/* SHA-256 of a secret, as keys keep it. */
void key_hash(uint8_t out[KEY_HASH_BYTES], const char *secret);
/* Which of the list has this secret; n: none. Takes the same time whichever it is. */
size_t key_find(const struct store_key *list, size_t n, const char *secret);
/* Not revoked, not expired, its collection not gone? */
bool key_valid(const struct store_key *k, int64_t now_ms);

#endif
