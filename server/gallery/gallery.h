/* The collections in memory: their settings and, of each, the search index over its examples. All
 * of it is a cache of the store, rebuilt when a gallery is opened; afterwards it follows the
 * changes that every collection counts (store/examples.h), also those of other processes.
 *
 * A reader takes hold of a collection as it is now; its settings never change under him, its index
 * always shows the last state (engine/match.h: readers and the writer do not wait for each other).
 * Any thread. */
#ifndef VISAVIS_SERVER_GALLERY_GALLERY_H
#define VISAVIS_SERVER_GALLERY_GALLERY_H

#include "engine/match.h"
#include "server/store/examples.h"

#include <stdatomic.h>

struct gallery;

/* The vectors of a collection under one recipe. */
struct gallery_index {
    atomic_int holders;
    struct match_index *rows; /* examples and identities by their row numbers in the store */
    int64_t seq;              /* how far it has followed; the follower's */
};

struct gallery_collection {
    atomic_int holders;
    struct store_collection is; /* its strings live as long as this */
    enum match_rule rule;
    struct gallery_index *index;
};

/* Reads every collection. ERR_NOMEM, and the errors of store_read. */
NODISCARD enum err gallery_open(struct gallery **out, struct store *s, struct err_info *err);
/* Nobody may hold a collection. */
void gallery_close(struct gallery *g);

/* What has been committed before the call is seen after it. Costs nothing where nothing has
 * changed. On an error the collections stay as far as they had come, and the next call tries again.
 */
NODISCARD enum err gallery_follow(struct gallery *g, struct err_info *err);

/* The collection of this id, or else of this name. ERR_NOT_FOUND. The caller's until
 * gallery_release. */
NODISCARD enum err gallery_hold(struct gallery_collection **out, struct gallery *g,
                                const char *id_or_name, struct err_info *err);
void gallery_release(struct gallery_collection *c);
#define AUTO_GALLERY __attribute__((cleanup(gallery__release_at)))
static inline void gallery__release_at(struct gallery_collection **c)
{
    gallery_release(*c);
}

struct gallery_info {
    size_t collections, examples, bytes;
};
void gallery_info(struct gallery *g, struct gallery_info *out);

/* --- check.c --- */
struct gallery_checked {
    int64_t collections, examples; /* that were compared */
    int64_t findings;
};
/* collection: its id; says: a sentence. An error that it returns ends the check. */
typedef enum err gallery_finding_each(void *self, const char *collection, const char *says,
                                      struct err_info *err);
/* Follows, and compares every row of every index, bit for bit, with the state of the store that it
 * has followed to; a finding for each collection that differs. */
NODISCARD enum err gallery_check(struct gallery_checked *out, struct gallery *g,
                                 gallery_finding_each *each, void *self, struct err_info *err);

/* "max", "mean_top", "centroid"; false when s is none of them. */
bool gallery_rule_parse(enum match_rule *out, const char *s);

#endif
