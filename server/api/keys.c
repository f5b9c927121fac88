#include "server/api/api.h"

#include "server/api/access_json.h"
#include "server/api/body.h"
#include "server/api/time_json.h"
#include "server/api/write.h"

#include <string.h>

static const char *const no_parameters[] = {NULL};

struct create {
    struct store_key_wish wish;
    json_t *body; /* owns the wish's texts */
};

static enum err field(struct store_key_wish *w, const char *name, const json_t *value,
                      struct err_info *err)
{
    const char *text = json_string_value(value);

    if (!strcmp(name, "rate")) {
        const json_int_t n = json_integer_value(value);
        if (!json_is_integer(value) || n < 0 || n > KEY_RATE_MAX)
            return err_set(err, ERR_INVALID,
                           "rate is not a whole number of requests a minute from 0 to %d",
                           KEY_RATE_MAX);
        w->rate = (int)n;
        return ERR_OK;
    }
    const bool known = !strcmp(name, "name") || !strcmp(name, "right") ||
                       !strcmp(name, "collection") || !strcmp(name, "expires");
    if (!known)
        return err_set(err, ERR_INVALID,
                       "unknown JSON field \"%.64s\"; this route takes name, right, collection, "
                       "expires and rate",
                       name);
    if (json_is_null(value) && (!strcmp(name, "collection") || !strcmp(name, "expires")))
        return ERR_OK;
    if (!text) return err_set(err, ERR_INVALID, "JSON field \"%s\" is not a string", name);
    if (!strcmp(name, "name")) {
        w->name = text;
    } else if (!strcmp(name, "collection")) {
        if (!*text) return err_set(err, ERR_INVALID, "collection is empty; null means every one");
        w->collection = text;
    } else if (!strcmp(name, "right")) {
        if (!key_right_parse(&w->right, text))
            return err_set(err, ERR_INVALID, "right is \"%.40s\"; it takes read, write or admin",
                           text);
    } else {
        return time_parse(&w->expires_ms, "expires", text, keyring_now().now_ms, err);
    }
    return ERR_OK;
}

static enum err parse(struct create *c, const struct request *rq, struct err_info *err)
{
    const char *name;
    json_t *value;
    enum err rc;

    c->wish = (struct store_key_wish){.name = "", .collection = "", .right = KEY_ADMIN};
    if ((rc = body_load(&c->body, rq, err))) return rc;
    json_object_foreach(c->body, name, value)
    {
        if ((rc = field(&c->wish, name, value, err))) return rc;
    }
    return ERR_OK;
}

static enum err answer(struct write_answer *a, int status, const struct store_key *k,
                       const char *secret, struct err_info *err)
{
    a->status = status;
    a->body = key_json(k, secret);
    if (secret) a->kept = key_json(k, NULL);
    if (!a->body || (secret && !a->kept)) return err_set(err, ERR_NOMEM, "no memory for a key");
    memcpy(a->target, k->id.s, sizeof a->target);
    memcpy(a->collection, k->collection, sizeof a->collection);
    return ERR_OK;
}

static enum err create(struct store_tx *tx, void *self, struct write_answer *a,
                       struct err_info *err)
{
    const struct create *c = self;
    char secret[KEY_SECRET_MAX_BYTES];
    struct store_key k;
    enum err rc = store_key_add(&k, secret, tx, &c->wish, err);
    return rc ? rc : answer(a, 201, &k, secret, err);
}

/* POST /v1/keys: a new key; the secret is in the answer and nowhere else. */
enum err api_key_create(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct create c = {0};
    const struct write w = {"key.create", create, &c};
    bool done = false;
    enum err rc = request_query_only(rq, no_parameters, err);

    if (!rc) rc = write_replay(&done, app, rq, rp, err);
    if (!rc && !done) rc = parse(&c, rq, err);
    if (!rc && !done) rc = write_run(app, rq, rp, &w, err);
    json_decref(c.body);
    return rc;
}

struct key_list {
    struct store_key *keys;
    size_t n;
};

static enum err list(struct store_tx *tx, void *self, struct err_info *err)
{
    struct key_list *l = self;
    return store_key_list(&l->keys, &l->n, tx, err);
}

/* GET /v1/keys: all that were ever made, oldest first. */
enum err api_key_list(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct key_list l = {0};
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc || (rc = store_read(app->store, list, &l, err))) return rc;
    json_t *items = json_array();
    bool ok = items != NULL;
    for (size_t i = 0; ok && i < l.n; i++)
        ok = json_array_append_new(items, key_json(&l.keys[i], NULL)) == 0;
    free(l.keys);
    if (!ok) {
        json_decref(items);
        return err_set(err, ERR_NOMEM, "no memory for the list of keys");
    }
    return reply_json(rp, 200, json_pack("{s:o}", "items", items), err);
}

static enum err revoke(struct store_tx *tx, void *self, struct write_answer *a,
                       struct err_info *err)
{
    struct store_key k;
    enum err rc = store_key_revoke(&k, tx, self, err);
    return rc ? rc : answer(a, 200, &k, NULL, err);
}

/* DELETE /v1/keys/{key}: it stays in the list and opens nothing any more, from now on. */
enum err api_key_revoke(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    char *id = arena_printf(&rq->arena, "%s", request_param(rq, "key"));
    const struct write w = {"key.revoke", revoke, id};
    enum err rc = request_query_only(rq, no_parameters, err);

    if (rc) return rc;
    if (!id) return err_set(err, ERR_NOMEM, "no memory for a key's id");
    return write_run(app, rq, rp, &w, err);
}
