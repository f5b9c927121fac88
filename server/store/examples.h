/* Examples: the embeddings a collection knows people by. */
#ifndef VISAVIS_SERVER_STORE_EXAMPLES_H
#define VISAVIS_SERVER_STORE_EXAMPLES_H

#include "server/store/identities.h"

#include "engine/base/buf.h"

enum { STORE_SHA256_BYTES = 32 };

struct store_example {
    int64_t row, collection;
    int64_t identity; /* row; 0: nobody's yet */
    const char *id;
    const char *identity_id; /* NULL: nobody's */
    const float *embedding;  /* dim floats, unit length */
    int dim;
    const char *precision; /* "f32", "bf16", "sent" */
    bool has_face;         /* box, points and quality say something */
    float box[4], points[5][2];
    double quality;
    bool has_source;
    uint8_t source[STORE_SHA256_BYTES]; /* of the photograph */
    bool has_thumbnail, has_photo;
    int64_t created_ms;
};
typedef enum err store_example_each(void *self, const struct store_example *e,
                                    struct err_info *err);

struct store_bytes { /* borrowed; data NULL: none */
    const void *data;
    size_t len;
};
/* Of *e row, id, identity_id, has_* of pictures and time are not read. Raises the identity's
 * version. ERR_NOT_FOUND: the identity is gone or of another collection; ERR_BAD_EMBEDDING: not of
 * the collection's dim. */
NODISCARD enum err store_example_add(int64_t *row, struct ulid *id, struct store_tx *tx,
                                     const struct store_example *e, struct store_bytes thumbnail,
                                     struct store_bytes photo, struct err_info *err);
/* ERR_NOT_FOUND. */
NODISCARD enum err store_example_get(struct store_tx *tx, int64_t collection, const char *id,
                                     store_example_each *each, void *self, struct err_info *err);
NODISCARD enum err store_example_get_rows(struct store_tx *tx, const int64_t *rows, size_t n,
                                          store_example_each *each, void *self,
                                          struct err_info *err);
enum { STORE_ANY = -1, STORE_UNASSIGNED = 0 };
/* identity: a row, STORE_UNASSIGNED or STORE_ANY. By row, greater than after; limit 1..1000. */
NODISCARD enum err store_example_list(struct store_tx *tx, int64_t collection, int64_t identity,
                                      int64_t after, int limit, store_example_each *each,
                                      void *self, struct err_info *err);
/* Those of the collection that come from this photograph. */
NODISCARD enum err store_example_by_source(struct store_tx *tx, int64_t collection,
                                           const uint8_t source[STORE_SHA256_BYTES],
                                           store_example_each *each, void *self,
                                           struct err_info *err);
enum store_picture { STORE_THUMBNAIL, STORE_PHOTO };
/* Appends to out. ERR_NOT_FOUND: none is kept. */
NODISCARD enum err store_example_picture(struct buf *out, struct store_tx *tx, int64_t row,
                                         enum store_picture which, struct err_info *err);
/* To another identity of its collection, or to nobody (0). Raises both versions. Goes into the undo
 * record where one is open (undo.h). ERR_NOT_FOUND. */
NODISCARD enum err store_example_move(struct store_tx *tx, int64_t row, int64_t identity,
                                      struct err_info *err);
/* A new embedding for the same example, for indexes an added one: re-embedding. dim and recipe of
 * the collection are set by store_collection_set in the same job. */
NODISCARD enum err store_example_set_embedding(struct store_tx *tx, int64_t row,
                                               const float *embedding, int dim,
                                               const char *precision, struct err_info *err);

/* --- for search indexes --- */
/* Every embedding of a collection by row. */
typedef enum err store_vector_each(void *self, int64_t example, int64_t identity,
                                   const float *embedding, struct err_info *err);
NODISCARD enum err store_vectors(struct store_tx *tx, int64_t collection, int dim,
                                 store_vector_each *each, void *self, struct err_info *err);
enum store_change { STORE_ADDED = 1, STORE_MOVED = 2, STORE_REMOVED = 3 };
/* The changes after seq, oldest first; embedding and identity as they are now, embedding NULL where
 * the example is gone. ERR_CONFLICT: those right after seq are not kept any more: read everything
 * again. */
typedef enum err store_change_each(void *self, int64_t seq, enum store_change op, int64_t example,
                                   int64_t identity, const float *embedding, struct err_info *err);
NODISCARD enum err store_changes(struct store_tx *tx, int64_t collection, int64_t seq, int dim,
                                 store_change_each *each, void *self, struct err_info *err);

#endif
