#include "server/api/api.h"

#include "engine/base/mem.h"
#include "server/api/face_json.h"

static const char *const no_parameters[] = {NULL};

/* GET /v1/models: what is loaded, its licence, where it came from, and what its scores mean. */
enum err api_models(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc) return rc;
    const struct model_info *embedder = engine_embedder(app->engine);
    const size_t n = engine_models(app->engine, NULL, 0);
    struct model_info *models AUTO_FREE = calloc(n + 1, sizeof *models);
    json_t *list = json_array();
    bool ok = models && list;
    if (ok) engine_models(app->engine, models, n);
    for (size_t i = 0; ok && i < n; i++)
        ok = json_array_append_new(list, model_json(&models[i])) == 0;
    if (!ok) {
        json_decref(list);
        return err_set(err, ERR_NOMEM, "no memory for the list of models");
    }
    return reply_json(rp, 200,
                      json_pack("{s:s, s:s, s:s, s:o}", "embedder", embedder->name, "detector",
                                engine_detector(app->engine), "recipe", embedder->recipe, "models",
                                list),
                      err);
}
