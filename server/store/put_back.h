/* For rows that come back from an export: after they were added as new ones, what only the database
 * gives is set to what it was. */
#ifndef VISAVIS_SERVER_STORE_PUT_BACK_H
#define VISAVIS_SERVER_STORE_PUT_BACK_H

#include "server/store/store.h"

enum store_table { STORE_COLLECTIONS, STORE_IDENTITIES, STORE_EXAMPLES };
struct store_was {
    const char *id;
    int64_t created_ms;
    int64_t updated_ms, version; /* not of examples; version of identities alone */
};
/* *kept_id: false: another row has the id, and this one keeps the new one that it was given. */
NODISCARD enum err store_put_back(bool *kept_id, struct store_tx *tx, enum store_table table,
                                  int64_t row, const struct store_was *was, struct err_info *err);

#endif
