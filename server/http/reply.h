/* What a handler answers: bytes or a file, chosen from the start; no MHD type. Once a reply is
 * complete no worker is held: an MHD thread sends it.
 *
 * A third kind, a stream (events of a job), fits here as REPLY_STREAM with {read, wake, close,
 * self}: read() gives the next bytes or "nothing yet" (the MHD thread then suspends the
 * connection), the job runner calls wake() (which resumes it), close() ends it when the client
 * goes. respond.c is the only file that would change beside this one. */
#ifndef VISAVIS_SERVER_HTTP_REPLY_H
#define VISAVIS_SERVER_HTTP_REPLY_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "server/http/request.h"

#include <jansson.h>

enum { REPLY_HEADERS_MAX = 4, REPLY_DETAILS_MAX = 4 };
enum reply_kind { REPLY_BYTES, REPLY_FILE };

struct reply {
    int status;
    enum reply_kind kind;
    const char *content_type; /* static; NULL: none, with 204 */
    uint8_t *owned;           /* REPLY_BYTES: freed with the reply, or */
    const void *borrowed;     /* REPLY_BYTES: static */
    size_t len;               /* of either kind */
    int fd;                   /* REPLY_FILE: sent from its start, closed with the reply */
    struct pair header[REPLY_HEADERS_MAX];
    int n_headers;
    struct pair detail[REPLY_DETAILS_MAX]; /* for error.details */
    int n_details;
    json_t *details; /* more of them, with structure; an object or NULL; freed with the reply */
};
#define REPLY_INIT                                                                                 \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* The body's reference is taken in every case; NULL is ERR_NOMEM (json_pack failed). */
NODISCARD enum err reply_json(struct reply *rp, int status, json_t *body, struct err_info *err);
/* Takes over the bytes of b. */
void reply_bytes(struct reply *rp, int status, const char *content_type, struct buf *b);
void reply_static(struct reply *rp, int status, const char *content_type, const void *bytes,
                  size_t len);
/* fd is taken in every case. ERR_IO: its size cannot be read. */
NODISCARD enum err reply_file(struct reply *rp, int status, const char *content_type, int fd,
                              struct err_info *err);

/* One more response header, one more entry of error.details. Both strings must live as long as the
 * request (static, or from its arena). Silently ignored beyond the maximum. */
void reply_header(struct reply *rp, const char *name, const char *value);
void reply_detail(struct reply *rp, const char *key, const char *value);
/* An object whose members go into error.details. The reference is taken; NULL is left out. */
void reply_details(struct reply *rp, json_t *details);

/* Turns rp into the error envelope, keeping headers and details. For status 500 the message stays
 * out of it. Cannot fail: without memory a constant body is sent. */
void reply_error(struct reply *rp, const struct err_info *err, const char *request_id);
/* The HTTP status of each code: the one table. */
int reply_status(enum err code);

void reply_release(struct reply *rp);

#endif
