#include "server/api/bound.h"

#include <string.h>

enum err bound_model(const struct gallery_collection *c, const char *model, struct err_info *err)
{
    if (!model || !strcmp(c->is.model, model)) return ERR_OK;
    return err_set(err, ERR_CONFLICT, "model is %.64s, the collection is bound to %.64s", model,
                   c->is.model);
}

enum err bound_recipe(const struct gallery_collection *c, const char *recipe, struct err_info *err)
{
    if (!strcmp(c->is.recipe, recipe)) return ERR_OK;
    return err_set(err, ERR_CONFLICT,
                   "the collection's embeddings are of recipe %.12s, these of %.12s: they cannot "
                   "be compared (another model, detector, preset or averaging)",
                   c->is.recipe, recipe);
}
