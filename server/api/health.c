#include "server/api/api.h"

static const char *const no_parameters[] = {NULL};

/* GET /health/live: the process answers. */
enum err api_health_live(struct app *app, struct request *rq, struct reply *rp,
                         struct err_info *err)
{
    (void)app;
    enum err rc = request_query_only(rq, no_parameters, err);
    return rc ? rc : reply_json(rp, 200, json_pack("{s:s}", "status", "live"), err);
}

/* GET /health/ready: models are loaded, a real inference succeeded, and the server is not on its
 * way out. */
enum err api_health_ready(struct app *app, struct request *rq, struct reply *rp,
                          struct err_info *err)
{
    size_t n = 0;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc) return rc;
    if (app->http && http_stopping(app->http))
        return err_set(err, ERR_BUSY, "not ready: the server is shutting down");
    if (!app->engine || !atomic_load(&app->ready))
        return err_set(err, ERR_BUSY, "not ready: no inference has succeeded yet");
    n = engine_models(app->engine, NULL, 0);
    if (!n) return err_set(err, ERR_BUSY, "not ready: no models are loaded");
    return reply_json(rp, 200, json_pack("{s:s, s:i}", "status", "ready", "models", (int)n), err);
}
