/* What a handler answers: bytes, a file or a stream, chosen from the start; no MHD type. Once a
 * reply is complete no worker is held: an MHD thread sends it. */
#ifndef VISAVIS_SERVER_HTTP_REPLY_H
#define VISAVIS_SERVER_HTTP_REPLY_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "server/http/request.h"

#include <jansson.h>

enum { REPLY_HEADERS_MAX = 4, REPLY_DETAILS_MAX = 4 };
enum reply_kind { REPLY_BYTES, REPLY_FILE, REPLY_STREAM };

/* Bytes that come as time goes by (events of a job). While there are none the connection sleeps: it
 * holds no thread, and its source wakes it. A client that goes away is noticed within a second. */
struct reply_stream {
    void *self;
    /* Once, before the first read: wake(arg) says that there is something to read. It may be called
     * from any thread, also while the source holds its own locks, until close has returned. */
    void (*listen)(void *self, void (*wake)(void *arg), void *arg);
    /* On an MHD thread: must not block. Up to max bytes (at least 1,000) into out; 0: none now, or
     * with *end set, none any more. */
    size_t (*read)(void *self, char *out, size_t max, bool *end);
    void (*close)(void *self); /* the last call; also where nothing was ever read */
    const char *idle; /* static; sent after every http_options.stream_idle_s without bytes */
};

struct reply {
    int status;
    enum reply_kind kind;
    const char *content_type;   /* lives as long as the request; NULL: none (204) */
    uint8_t *owned;             /* REPLY_BYTES: freed with the reply, or */
    const void *borrowed;       /* REPLY_BYTES: static */
    size_t len;                 /* of either kind */
    int fd;                     /* REPLY_FILE: sent from its start, closed with the reply */
    struct reply_stream stream; /* REPLY_STREAM: closed with the reply */
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
/* *s is taken. */
void reply_stream(struct reply *rp, int status, const char *content_type,
                  const struct reply_stream *s);

/* One more response header, one more entry of error.details. Both strings must live as long as the
 * request (static, or from its arena). Silently ignored beyond the maximum. */
void reply_header(struct reply *rp, const char *name, const char *value);
void reply_detail(struct reply *rp, const char *key, const char *value);
/* An object whose members go into error.details. The reference is taken; NULL is left out. */
void reply_details(struct reply *rp, json_t *details);

/* A message as JSON: it may quote what a client sent, which need not be UTF-8 (and may have been
 * cut inside a character). New reference; NULL: no memory. */
json_t *reply_text(const char *s);
/* Turns rp into the error envelope, keeping headers and details. For status 500 the message stays
 * out of it. Cannot fail: without memory a constant body is sent. */
void reply_error(struct reply *rp, const struct err_info *err, const char *request_id);
/* The HTTP status of each code: the one table. */
int reply_status(enum err code);

void reply_release(struct reply *rp);

#endif
