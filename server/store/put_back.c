#include "server/store/put_back.h"

#include "server/store/store_internal.h"

enum err store_put_back(bool *kept_id, struct store_tx *tx, enum store_table table, int64_t row,
                        const struct store_was *was, struct err_info *err)
{
    /* A retired identity can come back by undo, so that its id is taken too. */
    static const char *const owner[] = {
        [STORE_COLLECTIONS] = "SELECT row FROM collections WHERE id = ?1",
        [STORE_IDENTITIES] = ("SELECT row FROM identities WHERE id = ?1 "
                              "UNION ALL SELECT row FROM retired WHERE id = ?1"),
        [STORE_EXAMPLES] = "SELECT row FROM examples WHERE id = ?1",
    };
    static const char *const update[] = {
        [STORE_COLLECTIONS] = "UPDATE collections SET id = coalesce(?2, id), created_ms = ?3, "
                              "updated_ms = ?4 WHERE row = ?1",
        [STORE_IDENTITIES] = "UPDATE identities SET id = coalesce(?2, id), created_ms = ?3, "
                             "updated_ms = ?4, version = ?5 WHERE row = ?1",
        [STORE_EXAMPLES] =
            "UPDATE examples SET id = coalesce(?2, id), created_ms = ?3 WHERE row = ?1",
    };
    int64_t other;
    bool taken = false;
    enum err rc = store__ints(&other, 1, &taken, tx, owner[table], ARGS(TEXT(was->id)), err);

    if (rc) return rc;
    *kept_id = !taken;
    struct store__arg args[6] = {INT(row), TEXT(taken ? NULL : was->id), INT(was->created_ms)};
    int n = 3;
    if (table != STORE_EXAMPLES) args[n++] = (struct store__arg)INT(was->updated_ms);
    if (table == STORE_IDENTITIES) args[n++] = (struct store__arg)INT(was->version);
    args[n] = (struct store__arg){.type = ARG_END};
    return store__run(NULL, tx, update[table], args, err);
}
