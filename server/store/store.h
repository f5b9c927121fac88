/* What the server keeps: one SQLite database, DIR/visavis.db. The only folder that knows SQL; this
 * header names no SQLite type. A store may be used by any number of threads (one lock, one
 * connection) and by several processes at once: `visavis key` works beside a running server. */
#ifndef VISAVIS_SERVER_STORE_STORE_H
#define VISAVIS_SERVER_STORE_STORE_H

#include "engine/base/err.h"
#include "engine/base/ulid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/* Opens, or makes, the folder (mode 0700) and its database, and brings the schema to this binary's
 * version. ERR_CONFLICT: the database was written by a newer visavis; ERR_STORAGE_FULL; ERR_IO;
 * ERR_NOMEM. */
NODISCARD enum err store_open(struct store **out, const char *dir, struct err_info *err);
void store_close(struct store *s);

/* Grows whenever anything, also another process, has changed the database since the last call. */
NODISCARD enum err store_version(uint64_t *out, struct store *s, struct err_info *err);

/* --- keys.c --- */
enum { KEY_NAME_MAX_BYTES = 100, KEY_HASH_BYTES = 32, KEY_SECRET_MAX_BYTES = 80 };

struct store_key {
    struct ulid id;
    char name[KEY_NAME_MAX_BYTES + 1];
    uint8_t hash[KEY_HASH_BYTES];
    int64_t created_ms, revoked_ms; /* since 1970; revoked 0: valid */
};

/* Makes a key: 256 random bits. secret: what the client sends, shown once. name: UTF-8, may be "".
 * ERR_INVALID: name too long. */
NODISCARD enum err store_key_create(struct store_key *out, char secret[KEY_SECRET_MAX_BYTES],
                                    struct store *s, const char *name, struct err_info *err);
/* Every key, revoked ones too, oldest first. *list is the caller's (free()); NULL where *n is 0. */
NODISCARD enum err store_key_list(struct store_key **list, size_t *n, struct store *s,
                                  struct err_info *err);
/* ERR_NOT_FOUND: no such id. Revoking twice keeps the first time. */
NODISCARD enum err store_key_revoke(struct store_key *out, struct store *s, const char *id,
                                    struct err_info *err);

/* SHA-256 of a secret, as keys keep it. */
void key_hash(uint8_t out[KEY_HASH_BYTES], const char *secret);
/* Is secret one of the valid keys of the list? Takes the same time whichever it is. */
bool key_matches(const struct store_key *list, size_t n, const char *secret);

#endif
