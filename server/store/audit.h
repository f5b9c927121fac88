/* The audit log: one entry a change, written in the transaction of the change. Ids only: never a
 * name, a picture, a vector or a secret. Each entry's hash is SHA-256 of the hash before it (of the
 * first one: 32 zero bytes) and of
 *
 *   SEQ LF AT_MS LF WHO LF ACTION LF COLLECTION LF TARGET LF REQUEST LF
 *
 * so that an entry that is changed, removed or put in later breaks the chain from there on. Who can
 * write to the file can also make a whole new chain: a head that was noted elsewhere shows it. */
#ifndef VISAVIS_SERVER_STORE_AUDIT_H
#define VISAVIS_SERVER_STORE_AUDIT_H

#include "server/store/store.h"

enum { AUDIT_HASH_BYTES = 32 };
#define AUDIT_LOCAL "local" /* who: a request without a key, or the command line */

struct store_audit {
    int64_t seq, at_ms;     /* from 1; since 1970 */
    const char *who;        /* a key's id or AUDIT_LOCAL */
    const char *action;     /* "identity.create" */
    const char *collection; /* id; "": none */
    const char *target;     /* id; "": none */
    const char *request;    /* id; "": the command line */
    uint8_t hash[AUDIT_HASH_BYTES];
};
typedef enum err store_audit_each(void *self, const struct store_audit *a, struct err_info *err);

/* Of *a seq, at_ms and hash are not read. ERR_INTERNAL: a text has a control character. */
NODISCARD enum err store_audit_add(struct store_tx *tx, const struct store_audit *a,
                                   struct err_info *err);
/* At most limit entries (negative: all), newest first: those before seq `from`; or oldest first:
 * those after it. from 0: from the beginning of either order. */
NODISCARD enum err store_audit_list(struct store_tx *tx, int64_t from, bool newest_first, int limit,
                                    store_audit_each *each, void *self, struct err_info *err);

struct store_audit_chain {
    int64_t entries;
    uint8_t head[AUDIT_HASH_BYTES]; /* of the last one; zeros: there is none */
    int64_t broken_at;              /* seq of the first entry that does not fit; 0: all do */
    char why[120];                  /* "": none is broken */
};
/* Reads the whole log. ERR_OK also where it is broken. */
NODISCARD enum err store_audit_verify(struct store_audit_chain *out, struct store_tx *tx,
                                      struct err_info *err);

#endif
