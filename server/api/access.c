#include "server/api/app.h"

#include "engine/base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "localhost", "127.x.y.z" or "[::1]", n characters? */
static bool loopback_name(const char *s, size_t n)
{
    if (n == 9 && !strncasecmp(s, "localhost", n)) return true;
    if (n == 5 && !strncmp(s, "[::1]", n)) return true;
    if (n < 7 || n > 15 || strncmp(s, "127.", 4) != 0) return false;
    return strspn(s, "0123456789.") >= n; /* digits and dots alone: "127.evil.example" is a name */
}

/* Host: NAME[:PORT] */
static bool loopback_host(const char *host)
{
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (n > strlen(host)) return false;
    const char *rest = host + n;
    if (*rest == ':') rest += 1 + strspn(rest + 1, "0123456789");
    return !*rest && loopback_name(host, n);
}

/* Origin: SCHEME://NAME[:PORT]; "null" is a page without one. */
static bool loopback_origin(const char *origin)
{
    const char *host = strstr(origin, "://");
    return host && loopback_host(host + 3);
}

/* The key that the request carries; NULL: none. */
static const char *key_of(const struct request *rq)
{
    if (rq->api_key) return rq->api_key;
    if (rq->authorization && !strncasecmp(rq->authorization, "Bearer ", 7)) {
        const char *key = rq->authorization + 7;
        return key + strspn(key, " ");
    }
    return NULL;
}

static enum key_right right_of(const struct route *route)
{
    return route->flags & ROUTE_READ    ? KEY_READ
           : route->flags & ROUTE_WRITE ? KEY_WRITE
                                        : KEY_ADMIN;
}

/* Is the piece of a path this collection? A name that looks like an id is none: it would open the
 * collection that has it. */
static bool is_collection(const char *piece, const struct store_key *k)
{
    return !strcmp(piece, ulid_valid(piece) ? k->collection : k->collection_name);
}

static enum err check_key(const struct store_key *k, struct request *rq, struct reply *rp,
                          const struct route *route, struct err_info *err)
{
    static const char below[] = "/v1/collections/{";
    const enum key_right needs = right_of(route);

    if (k->right < needs) {
        reply_detail(rp, "needs", key_right_name(needs));
        return err_set(err, ERR_FORBIDDEN, "this key's right is %s; %s %s needs %s",
                       key_right_name(k->right), route->method, route->path, key_right_name(needs));
    }
    if (!*k->collection || route->flags & ROUTE_STATELESS) return ERR_OK;
    if (!strncmp(route->path, below, sizeof below - 1) && is_collection(rq->param[0].value, k)) {
        rq->param[0].value = rq->scope;
        return ERR_OK;
    }
    reply_detail(rp, "collection", arena_copy(&rq->arena, k->collection, ULID_CHARS));
    return err_set(err, ERR_FORBIDDEN, "this key is for the collection %s alone", k->collection);
}

static enum err authorize_key(struct app *app, struct request *rq, struct reply *rp,
                              const struct route *route, const char *secret, struct err_info *err)
{
    struct store_key k;
    double wait_s = 0;
    enum err rc = keyring_use(&k, &wait_s, &app->keyring, secret, keyring_now(), err);

    if (rc == ERR_RATE)
        reply_header(rp, "Retry-After", arena_printf(&rq->arena, "%.0f", ceil(wait_s)));
    if (rc) return rc;
    memcpy(rq->principal, k.id.s, sizeof rq->principal);
    memcpy(rq->scope, k.collection, sizeof rq->scope);
    return check_key(&k, rq, rp, route, err);
}

enum err app_authorize(struct app *app, struct request *rq, struct reply *rp,
                       const struct route *route, struct err_info *err)
{
    const char *secret = key_of(rq);

    strcpy(rq->principal, "local");
    if (route->flags & ROUTE_OPEN) return ERR_OK;
    if (secret) return authorize_key(app, rq, rp, route, secret, err);
    if (!app->loopback || app->require_key)
        return err_set(err, ERR_UNAUTHORIZED,
                       "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY");
    if (rq->forwarded)
        return err_set(err, ERR_UNAUTHORIZED, "a request that a proxy forwarded needs a key");
    if (rq->host && !loopback_host(rq->host))
        return err_set(err, ERR_FORBIDDEN,
                       "Host is \"%.100s\"; without a key only loopback names are served",
                       rq->host);
    if (rq->origin && !loopback_origin(rq->origin))
        return err_set(err, ERR_FORBIDDEN,
                       "Origin is \"%.100s\"; without a key only loopback pages are served",
                       rq->origin);
    return ERR_OK;
}

struct key_list {
    struct store_key *keys;
    size_t n;
};

static enum err read_keys(struct store_tx *tx, void *self, struct err_info *err)
{
    struct key_list *list = self;
    return store_key_list(&list->keys, &list->n, tx, err);
}

enum err app_keys_reload(struct app *app, struct err_info *err)
{
    struct key_list list = {0};
    uint64_t version;

    pthread_mutex_lock(&app->reload); /* so that no older list comes after a newer one */
    /* first: a change in between is seen next time */
    enum err rc = store_version(&version, app->store, err);
    if (!rc && version != app->keys_version) {
        rc = store_read(app->store, read_keys, &list, err);
        if (!rc) rc = keyring_set(&app->keyring, list.keys, list.n, err);
        if (rc)
            free(list.keys);
        else
            app->keys_version = version;
    }
    pthread_mutex_unlock(&app->reload);
    return rc;
}

size_t app_valid_keys(struct app *app)
{
    return keyring_valid(&app->keyring, keyring_now().now_ms);
}

void app_keys_follow(struct app *app)
{
    struct err_info err = ERR_INFO_INIT;
    char escaped[ERR_MESSAGE_BYTES * 2];

    if (app_keys_reload(app, &err))
        log_line(LOG_ERROR, "the keys cannot be read again", "\"detail\":\"%s\"",
                 log_escape(escaped, sizeof escaped, err.message));
}

enum err app_in_scope(const struct request *rq, const char *collection, struct err_info *err)
{
    if (!*rq->scope || !strcmp(rq->scope, collection)) return ERR_OK;
    return err_set(err, ERR_FORBIDDEN, "this key is for the collection %s alone", rq->scope);
}
