/* The first look at a request, before its body: on an MHD thread, nothing here blocks. */
#include "server/http/http_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { JSON_SLACK_BYTES = 64 * 1024 }; /* what a JSON body may have around its base64 */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

struct query_scan {
    struct request *rq;
    struct err_info *err;
    enum err rc;
};

static enum MHD_Result add_query(void *cls, enum MHD_ValueKind kind, const char *key,
                                 size_t key_size, const char *value, size_t value_size)
{
    struct query_scan *s = cls;
    struct request *rq = s->rq;
    (void)kind;

    if (!value) value = "", value_size = 0;
    if (strlen(key) != key_size || strlen(value) != value_size)
        s->rc = err_set(s->err, ERR_INVALID, "a query parameter has a NUL byte in it");
    else if (key_size > REQUEST_NAME_MAX_BYTES)
        s->rc =
            err_set(s->err, ERR_INVALID, "a query parameter's name has %zu bytes, the limit is %d",
                    key_size, REQUEST_NAME_MAX_BYTES);
    else if (rq->n_query == REQUEST_QUERY_MAX)
        s->rc = err_set(s->err, ERR_INVALID, "more than the %d query parameters allowed",
                        REQUEST_QUERY_MAX);
    else /* MHD keeps both strings as long as the request */
        rq->query[rq->n_query++] = (struct pair){key, value};
    return s->rc ? MHD_NO : MHD_YES;
}

enum err admit_read(struct request *rq, struct MHD_Connection *connection, struct err_info *err)
{
    struct query_scan s = {rq, err, ERR_OK};

    rq->host = header(connection, "Host");
    rq->origin = header(connection, "Origin");
    rq->authorization = header(connection, "Authorization");
    rq->api_key = header(connection, "X-API-Key");
    rq->idempotency_key = header(connection, "Idempotency-Key");
    rq->if_match = header(connection, "If-Match");
    rq->last_event_id = header(connection, "Last-Event-ID");
    rq->accept = header(connection, "Accept");
    rq->forwarded = header(connection, "X-Forwarded-For") || header(connection, "Forwarded") ||
                    header(connection, "X-Real-IP");
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, add_query, &s);
    return s.rc;
}

bool admit_expects(struct MHD_Connection *connection)
{
    const char *e = header(connection, "Expect");
    return e && !strcasecmp(e, "100-continue");
}

enum err admit_length(long long *out, struct MHD_Connection *connection, struct err_info *err)
{
    const char *length = header(connection, "Content-Length");
    const char *coding = header(connection, "Transfer-Encoding");
    char *end;

    *out = 0;
    if (coding && length)
        return err_set(err, ERR_INVALID, "both Content-Length and Transfer-Encoding are given");
    if (coding) *out = -1;
    if (!length) return ERR_OK;
    errno = 0;
    *out = strtoll(length, &end, 10);
    if (errno || *end || *out < 0) { /* MHD refuses these itself; its number is what counts */
        *out = LLONG_MAX;
        return err_set(err, ERR_INVALID, "Content-Length is not a number of bytes");
    }
    return ERR_OK;
}

/* Is the media type (parameters after ';' aside) this one? */
static bool type_is(const char *type, const char *want)
{
    size_t n = strcspn(type, "; \t");
    return n == strlen(want) && !strncasecmp(type, want, n);
}

enum err admit_body(struct request *rq, size_t *cap, struct MHD_Connection *connection,
                    const struct route *route, long long length, struct err_info *err)
{
    const char *type = header(connection, "Content-Type");
    bool multipart = route->flags & ROUTE_MULTIPART, json = route->flags & ROUTE_JSON;

    *cap = 0;
    if (!multipart && !json) {
        if (!length) return ERR_OK;
        return err_set(err, ERR_TOO_LARGE, "%s takes no body", route->path);
    }
    if (!length)
        return err_set(err, ERR_INVALID, "the body is empty; %s takes multipart/form-data or JSON",
                       route->path);
    if (type && multipart && type_is(type, "multipart/form-data")) {
        rq->body_kind = BODY_MULTIPART;
        *cap = route->body_max;
    } else if (type && json && type_is(type, "application/json")) {
        rq->body_kind = BODY_JSON;
        *cap = route->body_max / 3 * 4 + JSON_SLACK_BYTES;
    } else {
        return err_set(err, ERR_UNSUPPORTED, "Content-Type is %.100s; %s takes %s%s%s",
                       type ? type : "missing", route->path, multipart ? "multipart/form-data" : "",
                       multipart && json ? " or " : "", json ? "application/json" : "");
    }
    if (length > 0 && (unsigned long long)length > *cap)
        return err_set(err, ERR_TOO_LARGE, "the body has %lld bytes, the limit is %zu", length,
                       *cap);
    return ERR_OK;
}
