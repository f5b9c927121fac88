/* Is a database what it should be? SQLite's own integrity, foreign keys, embeddings (length, unit
 * norm within 1e-3, finite), the numbers of changes that search indexes follow, the audit log. */
#ifndef VISAVIS_SERVER_STORE_CHECK_H
#define VISAVIS_SERVER_STORE_CHECK_H

#include "server/store/store.h"

/* what: one word ("embedding"); id: of the example, collection, ..., "": none; says: a sentence. An
 * error that it returns ends the check. */
typedef enum err store_finding_each(void *self, const char *what, const char *id, const char *says,
                                    struct err_info *err);
struct store_checked {
    int64_t findings;
    int64_t collections, identities, examples, audit; /* that were looked at */
};
/* In a store_read. */
NODISCARD enum err store_check(struct store_checked *out, struct store_tx *tx,
                               store_finding_each *each, void *self, struct err_info *err);

#endif
