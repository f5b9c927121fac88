#include "server/api/api.h"

#include "server/assets.h"

#include <string.h>

static const char *const no_parameters[] = {NULL};

/* GET /openapi.yaml: the contract, from the binary. */
enum err api_openapi(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    (void)app;
    enum err rc = request_query_only(rq, no_parameters, err);
    if (rc) return rc;
    for (const struct asset *a = assets; a->path; a++)
        if (!strcmp(a->path, "openapi.yaml")) {
            reply_static(rp, 200, "application/yaml", a->text, a->len);
            return ERR_OK;
        }
    return err_set(err, ERR_INTERNAL, "the binary carries no openapi.yaml");
}

/* GET /: what this is, for someone who opens the address. */
enum err api_about(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    (void)app;
    enum err rc = request_query_only(rq, no_parameters, err);
    if (rc) return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < api_n_routes; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "method", api_routes[i].method, "path",
                                              api_routes[i].path));
    return reply_json(rp, 200,
                      json_pack("{s:s, s:s, s:s, s:o}", "name", "visavis", "about",
                                "Are these two photographs of the same person? POST them as image1 "
                                "and image2 to /v1/verify.",
                                "openapi", "/openapi.yaml", "routes", list),
                      err);
}
