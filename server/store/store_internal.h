/* Shared inside server/store only. */
#ifndef VISAVIS_SERVER_STORE_STORE_INTERNAL_H
#define VISAVIS_SERVER_STORE_STORE_INTERNAL_H

#include "server/store/store.h"

#include <pthread.h>
#include <sqlite3.h>

enum store__statement {
    ST_KEY_ADD,
    ST_KEY_LIST,
    ST_KEY_GET,
    ST_KEY_REVOKE,
    ST_DATA_VERSION,
    ST_COUNT
};

struct store {
    pthread_mutex_t lock; /* of everything below */
    sqlite3 *db;
    sqlite3_stmt *st[ST_COUNT];
};

/* An SQLite failure as ours: FULL is ERR_STORAGE_FULL, BUSY is ERR_BUSY, NOMEM is ERR_NOMEM, the
 * rest ERR_IO. */
enum err store__fail(struct store *s, const char *what, struct err_info *err);
/* Applies what is missing of the table, each migration in a transaction of its own. */
struct migration;
NODISCARD enum err store__migrate(struct store *s, const struct migration *table,
                                  struct err_info *err);
int64_t store__now_ms(void);

#endif
