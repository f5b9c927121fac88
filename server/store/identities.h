/* Identities: the people (or things) of a collection. */
#ifndef VISAVIS_SERVER_STORE_IDENTITIES_H
#define VISAVIS_SERVER_STORE_IDENTITIES_H

#include "server/store/collections.h"

struct store_identity {
    int64_t row, collection;
    const char *id;
    const char *name;        /* 1..STORE_NAME_MAX characters */
    const char *external_id; /* unique in the collection; NULL: none */
    const char *metadata;    /* JSON object */
    int n_tags;              /* 0..STORE_TAGS_MAX, sorted, each once */
    const char *const *tags;
    int64_t examples; /* how many it has */
    int64_t version;  /* from 1, grows with every change of it or of its examples: the ETag */
    int64_t created_ms, updated_ms;
};
typedef enum err store_identity_each(void *self, const struct store_identity *i,
                                     struct err_info *err);

/* Of *i only collection, name, external_id, metadata and tags are read. ERR_CONFLICT: the external
 * id is taken, naming whose; ERR_NOT_FOUND: the collection is gone. */
NODISCARD enum err store_identity_add(int64_t *row, struct ulid *id, struct store_tx *tx,
                                      const struct store_identity *i, struct err_info *err);
/* ERR_NOT_FOUND. */
NODISCARD enum err store_identity_get(struct store_tx *tx, int64_t collection, const char *id,
                                      store_identity_each *each, void *self, struct err_info *err);
/* The row of the one with this id. ERR_NOT_FOUND. */
NODISCARD enum err store_identity_row(int64_t *row, struct store_tx *tx, int64_t collection,
                                      const char *id, struct err_info *err);
/* Those with these row numbers, in that order; numbers that are gone are passed over. */
NODISCARD enum err store_identity_get_rows(struct store_tx *tx, const int64_t *rows, size_t n,
                                           store_identity_each *each, void *self,
                                           struct err_info *err);
struct store_identity_query {
    int64_t collection;
    const char *name;        /* part of the name, ASCII letters in either case; NULL: any */
    const char *tag;         /* NULL: any */
    const char *external_id; /* NULL: any */
    int64_t after;           /* only rows greater than this */
    int limit;               /* at most this many, 1..1000 */
};
/* In the order in which they were made. */
NODISCARD enum err store_identity_list(struct store_tx *tx, const struct store_identity_query *q,
                                       store_identity_each *each, void *self, struct err_info *err);
/* The rows of all that have one of the tags, ascending; *rows is the caller's (free()). */
NODISCARD enum err store_identity_tagged(int64_t **rows, size_t *n, struct store_tx *tx,
                                         int64_t collection, const char *const *tags, int n_tags,
                                         struct err_info *err);
/* Sets name, external_id, metadata and tags. version: what it must be now, 0: whatever it is.
 * ERR_NOT_FOUND; ERR_PRECONDITION: it is another; ERR_CONFLICT: the external id is taken. */
NODISCARD enum err store_identity_set(struct store_tx *tx, const struct store_identity *i,
                                      int64_t version, struct err_info *err);

#endif
