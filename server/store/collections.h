/* Collections: galleries of one embedder each. */
#ifndef VISAVIS_SERVER_STORE_COLLECTIONS_H
#define VISAVIS_SERVER_STORE_COLLECTIONS_H

#include "server/store/store.h"

enum {
    STORE_NAME_MAX = 200, /* characters of a name or an external id */
    STORE_TAG_MAX = 64,   /* characters of a tag */
    STORE_TAGS_MAX = 32,  /* of one identity */
    STORE_METADATA_MAX_BYTES = 16 * 1024,
};

struct store_collection {
    int64_t row;
    const char *id, *name;
    const char *model, *recipe; /* 64 hex digits */
    int dim;
    const char *rule; /* "max", "mean_top", "centroid" */
    int rule_top;     /* 1..100 */
    double min_quality;
    bool thumbnails, photos;
    int ttl_days;            /* 0: for ever */
    const char *calibration; /* JSON or NULL: the model's */
    const char *metadata;    /* JSON object */
    int64_t seq, created_ms, updated_ms;
};
typedef enum err store_collection_each(void *self, const struct store_collection *c,
                                       struct err_info *err);

/* Strings, here and in the headers beside this one, are UTF-8, which the caller has checked, and
 * are kept byte by byte. ERR_INVALID: a length or a value is over its limit; ERR_TOO_LARGE:
 * metadata is. */

/* Of *c only what a client decides is read: not row, id, seq, times. ERR_CONFLICT: the name is
 * taken. */
NODISCARD enum err store_collection_add(int64_t *row, struct ulid *id, struct store_tx *tx,
                                        const struct store_collection *c, struct err_info *err);
/* All of them, by name. */
NODISCARD enum err store_collection_list(struct store_tx *tx, store_collection_each *each,
                                         void *self, struct err_info *err);
/* The one with this id, or else with this name. ERR_NOT_FOUND. */
NODISCARD enum err store_collection_get(struct store_tx *tx, const char *id_or_name,
                                        store_collection_each *each, void *self,
                                        struct err_info *err);
/* Sets everything of *c but id, seq and times (row says which). dim and recipe change only when a
 * collection is re-embedded; then no index can follow, store_changes tells each to read all again.
 * ERR_NOT_FOUND; ERR_CONFLICT: the name is taken. */
NODISCARD enum err store_collection_set(struct store_tx *tx, const struct store_collection *c,
                                        struct err_info *err);
struct store_collection_counts {
    int64_t identities, examples, unassigned; /* unassigned: examples of nobody yet */
    int64_t thumbnails, photos;
};
NODISCARD enum err store_collection_counts(struct store_collection_counts *out, struct store_tx *tx,
                                           int64_t row, struct err_info *err);

#endif
