/* Shared inside server/gallery only. */
#ifndef VISAVIS_SERVER_GALLERY_GALLERY_INTERNAL_H
#define VISAVIS_SERVER_GALLERY_GALLERY_INTERNAL_H

#include "server/gallery/gallery.h"

/* gallery_follow and, unless NULL, `then` in the same state of the store; nobody else follows
 * meanwhile. */
NODISCARD enum err gallery__follow(struct gallery *g, store_job *then, void *arg,
                                   struct err_info *err);

/* Every vector of the collection; one holder, the caller's. */
NODISCARD enum err gallery__index_load(struct gallery_index **out, struct store_tx *tx,
                                       const struct store_collection *is, struct err_info *err);
/* From x->seq to is->seq. ERR_CONFLICT: the changes in between are not kept any more. */
NODISCARD enum err gallery__index_follow(struct gallery_index *x, struct store_tx *tx,
                                         const struct store_collection *is, struct err_info *err);
/* NULL allowed. */
void gallery__index_release(struct gallery_index *x);

#endif
