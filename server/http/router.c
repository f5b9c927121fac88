#include "server/http/http.h"

#include <string.h>

/* Length of the piece of a path that begins at s (up to '/' or the end). */
static size_t piece(const char *s)
{
    return strcspn(s, "/");
}

/* Does path fit pattern, piece by piece? A pattern's "{name}" takes any piece that is not empty.
 * Parameters go to rq. */
static bool fits(struct request *rq, const char *pattern, const char *path)
{
    rq->n_params = 0;
    for (;;) {
        if (*pattern != '/' || *path != '/') return !*pattern && !*path;
        pattern++, path++;
        size_t np = piece(pattern), n = piece(path);
        if (np >= 2 && pattern[0] == '{' && pattern[np - 1] == '}') {
            if (!n || rq->n_params == REQUEST_PARAMS_MAX) return false;
            struct pair *p = &rq->param[rq->n_params++];
            p->key = arena_copy(&rq->arena, pattern + 1, np - 2);
            p->value = arena_copy(&rq->arena, path, n);
            if (!p->key || !p->value) return false;
        } else if (np != n || memcmp(pattern, path, n) != 0) {
            return false;
        }
        pattern += np;
        path += n;
    }
}

enum err http_route(const struct route **out, const char **allow, struct request *rq,
                    const struct route *routes, size_t n, struct err_info *err)
{
    const char *method = strcmp(rq->method, "HEAD") == 0 ? "GET" : rq->method;
    const char *allowed = NULL;

    for (size_t i = 0; i < n; i++) {
        if (!fits(rq, routes[i].path, rq->path)) continue;
        if (!strcmp(routes[i].method, method)) {
            *out = &routes[i];
            return ERR_OK;
        }
        bool get = !strcmp(routes[i].method, "GET");
        allowed = arena_printf(&rq->arena, "%s%s%s%s", allowed ? allowed : "", allowed ? ", " : "",
                               routes[i].method, get ? ", HEAD" : "");
        if (!allowed) return err_set(err, ERR_NOMEM, "no memory for a request");
    }
    rq->n_params = 0;
    if (!allowed)
        return err_set(err, ERR_NOT_FOUND, "there is no %.200s here; GET / lists the routes",
                       rq->path);
    *allow = allowed;
    return err_set(err, ERR_METHOD, "%.20s is not for %.200s, which takes %s", rq->method, rq->path,
                   allowed);
}
