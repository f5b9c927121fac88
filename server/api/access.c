#include "server/api/app.h"

#include "engine/base/log.h"

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

enum err app_authorize(struct app *app, const struct request *rq, const struct route *route,
                       struct err_info *err)
{
    const char *key = key_of(rq);

    if (route->flags & ROUTE_OPEN) return ERR_OK;
    if (key) {
        pthread_rwlock_rdlock(&app->keys_lock);
        bool valid = key_matches(app->keys, app->n_keys, key);
        pthread_rwlock_unlock(&app->keys_lock);
        return valid ? ERR_OK : err_set(err, ERR_UNAUTHORIZED, "the key is not valid");
    }
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

enum err app_keys_reload(struct app *app, struct err_info *err)
{
    struct store_key *keys = NULL;
    size_t n = 0;
    uint64_t version;
    enum err rc =
        store_version(&version, app->store, err); /* first: a change in between is seen next time */

    if (rc || version == app->keys_version) return rc;
    if ((rc = store_key_list(&keys, &n, app->store, err))) return rc;
    pthread_rwlock_wrlock(&app->keys_lock);
    struct store_key *old = app->keys;
    app->keys = keys;
    app->n_keys = n;
    pthread_rwlock_unlock(&app->keys_lock);
    app->keys_version = version;
    free(old);
    return ERR_OK;
}

size_t app_valid_keys(struct app *app)
{
    size_t n = 0;
    pthread_rwlock_rdlock(&app->keys_lock);
    for (size_t i = 0; i < app->n_keys; i++) n += app->keys[i].revoked_ms == 0;
    pthread_rwlock_unlock(&app->keys_lock);
    return n;
}

void app_keys_follow(struct app *app)
{
    struct err_info err = ERR_INFO_INIT;
    char escaped[ERR_MESSAGE_BYTES * 2];

    if (app_keys_reload(app, &err))
        log_line(LOG_ERROR, "the keys cannot be read again", "\"detail\":\"%s\"",
                 log_escape(escaped, sizeof escaped, err.message));
}
