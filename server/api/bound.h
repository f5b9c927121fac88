/* A collection is bound to one embedder: its vectors are of one recipe, and a picture is only ever
 * compared with its like. What every route of a collection asks before it compares. */
#ifndef VISAVIS_SERVER_API_BOUND_H
#define VISAVIS_SERVER_API_BOUND_H

#include "server/gallery/gallery.h"

/* model: what a request asks for; NULL: nothing, which is the collection's. ERR_CONFLICT: another.
 */
NODISCARD enum err bound_model(const struct gallery_collection *c, const char *model,
                               struct err_info *err);
/* recipe: of what is to be compared with the collection's vectors. ERR_CONFLICT: another. */
NODISCARD enum err bound_recipe(const struct gallery_collection *c, const char *recipe,
                                struct err_info *err);

#endif
