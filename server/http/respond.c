#include "server/http/http_internal.h"

#include <stdio.h>
#include <string.h>

enum MHD_Result respond(struct http *h, struct MHD_Connection *connection, struct reply *rp,
                        const struct request *rq, size_t *sent)
{
    struct MHD_Response *r = NULL;

    *sent = rp->len;
    if (rp->kind == REPLY_STREAM) {
        r = stream_response(h, connection, &rp->stream, sent);
        if (r) rp->stream = (struct reply_stream){0};
    } else if (rp->kind == REPLY_FILE) {
        r = MHD_create_response_from_fd64(rp->len, rp->fd);
        if (r) rp->fd = -1;
    } else if (rp->owned) {
        r = MHD_create_response_from_buffer(rp->len, rp->owned, MHD_RESPMEM_MUST_FREE);
        if (r) rp->owned = NULL;
    } else {
        r = MHD_create_response_from_buffer(rp->len, (void *)(uintptr_t)rp->borrowed,
                                            MHD_RESPMEM_PERSISTENT);
    }
    if (!r) return MHD_NO;
    bool ok = (!rp->content_type || MHD_add_response_header(r, "Content-Type", rp->content_type)) &&
              MHD_add_response_header(r, "Cache-Control", "no-store") &&
              MHD_add_response_header(r, "X-Content-Type-Options", "nosniff") &&
              MHD_add_response_header(r, "X-Request-Id", rq->id.s);
    for (int i = 0; ok && i < rp->n_headers; i++)
        ok = MHD_add_response_header(r, rp->header[i].key, rp->header[i].value);
    if (ok && atomic_load(&h->stopping)) ok = MHD_add_response_header(r, "Connection", "close");
    ok = ok && MHD_queue_response(connection, (unsigned)rp->status, r);
    MHD_destroy_response(r);
    return ok ? MHD_YES : MHD_NO;
}

char *respond_text(const struct err_info *err, const struct request *rq)
{
    struct reply rp = REPLY_INIT;
    char *text = NULL;

    reply_error(&rp, err, rq->id.s);
    const char *body = rp.owned ? (const char *)rp.owned : rp.borrowed;
    if (asprintf(&text,
                 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                 "X-Request-Id: %s\r\nConnection: close\r\n\r\n%.*s",
                 rp.status, MHD_get_reason_phrase_for((unsigned)rp.status), rp.content_type, rp.len,
                 rq->id.s, (int)rp.len, body) < 0)
        text = NULL;
    reply_release(&rp);
    return text;
}
