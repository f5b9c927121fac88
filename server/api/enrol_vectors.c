#include "server/api/enrol.h"

#include "engine/base/mem.h"
#include "server/api/body.h"
#include "server/api/bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const fields[] = {"embedding", "embeddings", "recipe", "force", "dry_run", NULL};

bool enrol_has_vectors(const json_t *body)
{
    return json_object_get(body, "embedding") || json_object_get(body, "embeddings");
}

/* Into v [d], of unit length. */
static enum err read_vector(float *v, int d, const char *name, const json_t *list,
                            struct err_info *err)
{
    size_t i;
    const json_t *x;

    if (!json_is_array(list) || json_array_size(list) != (size_t)d)
        return err_set(err, ERR_BAD_EMBEDDING, "%s has %zu numbers, the collection's have %d", name,
                       json_array_size(list), d);
    json_array_foreach(list, i, x)
    {
        if (!json_is_number(x))
            return err_set(err, ERR_BAD_EMBEDDING, "%s: number %zu is none", name, i);
        v[i] = (float)json_number_value(x);
        if (!isfinite(v[i]))
            return err_set(err, ERR_BAD_EMBEDDING,
                           "%s: number %zu is %g, beyond what a float holds", name, i,
                           json_number_value(x));
    }
    if (!match_normalize(v, d))
        return err_set(err, ERR_BAD_EMBEDDING, "%s has no length that can be made 1", name);
    return ERR_OK;
}

static enum err read_all(struct enrol *e, struct request *rq, const json_t *list,
                         struct err_info *err)
{
    const int d = e->collection->is.dim;
    const size_t n = json_array_size(list);
    enum err rc;

    if (!n) return err_set(err, ERR_INVALID, "embeddings is empty");
    if (n > ENROL_MAX)
        return err_set(err, ERR_TOO_LARGE, "%zu embeddings, the limit is %d in one call", n,
                       ENROL_MAX);
    e->sent = calloc(n * (size_t)d, sizeof *e->sent);
    e->item = calloc(n, sizeof *e->item);
    if (!e->sent || !e->item) return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", n);
    for (; e->n < n; e->n++) {
        float *v = e->sent + e->n * (size_t)d;
        const char *name = arena_printf(&rq->arena, "embedding[%zu]", e->n);
        if (!name) return err_set(err, ERR_NOMEM, "no memory for %zu embeddings", n);
        if ((rc = read_vector(v, d, name, json_array_get(list, e->n), err))) return rc;
        e->item[e->n] = (struct enrol_item){.as = {name, v, NULL, NULL}, .precision = "sent"};
    }
    return ERR_OK;
}

enum err enrol_vectors(struct enrol *e, json_t *body, struct request *rq, struct err_info *err)
{
    static const char *const parameters[] = {"force", "dry_run", NULL};
    const char *recipe = NULL;
    json_auto_t *single = NULL;
    enum err rc;

    if ((rc = request_query_only(rq, parameters, err)) ||
        (rc = request_query_bool(&e->force, rq, "force", err)) ||
        (rc = request_query_bool(&e->dry_run, rq, "dry_run", err)) ||
        (rc = body_only(body, fields, err)) || (rc = body_bool(&e->force, body, "force", err)) ||
        (rc = body_bool(&e->dry_run, body, "dry_run", err)) ||
        (rc = body_text(&recipe, body, "recipe", 64, err)))
        return rc;
    if (recipe && (rc = bound_recipe(e->collection, recipe, err))) return rc;
    const json_t *one = json_object_get(body, "embedding"),
                 *list = json_object_get(body, "embeddings");
    if (one && list) return err_set(err, ERR_INVALID, "both embedding and embeddings are given");
    if (list && !json_is_array(list))
        return err_set(err, ERR_INVALID, "embeddings is not a list of lists");
    if (one) list = single = json_pack("[O]", one);
    if (!list) return err_set(err, ERR_NOMEM, "no memory for an embedding");
    return read_all(e, rq, list, err);
}
