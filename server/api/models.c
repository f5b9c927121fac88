#include "server/api/api.h"

#include "server/api/face_json.h"

static const char *const no_parameters[] = {NULL};

/* GET /v1/models: what is loaded, its licence, where it came from, and what its scores mean. */
enum err api_models(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    size_t n = 0;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc) return rc;
    const struct model_info *models = engine_models(app->engine, &n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, model_json(&models[i]))) {
            json_decref(list);
            return err_set(err, ERR_NOMEM, "no memory for the list of models");
        }
    return reply_json(rp, 200,
                      json_pack("{s:s, s:s, s:o}", "embedder", engine_embedder(app->engine)->name,
                                "recipe", engine_recipe(app->engine), "models", list),
                      err);
}
