/* Answers to requests that had an Idempotency-Key, kept for 24 hours: the same request sent again
 * gets the same answer. */
#ifndef VISAVIS_SERVER_STORE_ANSWERS_H
#define VISAVIS_SERVER_STORE_ANSWERS_H

#include "server/store/store.h"

enum { ANSWER_KEY_MAX = 200, ANSWER_REQUEST_BYTES = 32, ANSWER_HOURS = 24 };

/* Erasing somebody (undo.h) forgets the bodies of the answers that have the id of what is erased,
 * as a whole JSON string, in them. Their keys stay used, so that a request that comes again does
 * not undo the erasure. */
struct store_answer {
    const char *who;                       /* as in audit.h */
    const char *key;                       /* the client's, 1..ANSWER_KEY_MAX characters */
    uint8_t request[ANSWER_REQUEST_BYTES]; /* SHA-256 of what was asked */
    const char *collection;                /* id of the one it is about; "": none. Not read back */
    int status;
    const void *body; /* JSON; NULL: none, or erased */
    size_t body_len;
    const char *etag; /* "": none */
    bool erased;      /* what it told of is erased since */
};
typedef enum err store_answer_each(void *self, const struct store_answer *a, struct err_info *err);

/* ERR_NOT_FOUND: none, or it is too old. */
NODISCARD enum err store_answer_get(struct store_tx *tx, const char *who, const char *key,
                                    store_answer_each *each, void *self, struct err_info *err);
/* Keeps a new one; store_answer_get has said that there is none. Drops some that are too old. */
NODISCARD enum err store_answer_add(struct store_tx *tx, const struct store_answer *a,
                                    struct err_info *err);
/* Drops at most `most` that are too old; *dropped: how many. */
NODISCARD enum err store_answers_expire(int64_t *dropped, struct store_tx *tx, int most,
                                        struct err_info *err);

#endif
