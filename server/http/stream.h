/* Replies that are streams: a connection each, asleep (suspended in MHD) while its source has
 * nothing, so that a thousand listeners hold no thread and cost nothing between events.
 *
 * Who wakes one: its source, from any thread; the housekeeper, when the client has gone (MHD does
 * not look at a suspended socket) or has heard nothing for too long; http_stop. An MHD thread then
 * reads the source again.
 *
 * Locks, in this order: the source's own, the list's, a stream's, MHD's. The source is never called
 * under one of ours.
 * Invariants: a stream suspends its connection under its lock and after it has looked whether it
 * was woken, so that no wake is lost; once the server is stopping no stream goes to sleep. */
#ifndef VISAVIS_SERVER_HTTP_STREAM_H
#define VISAVIS_SERVER_HTTP_STREAM_H

#include "server/http/reply.h"

#include <microhttpd.h>
#include <pthread.h>

struct http;
struct stream;

struct streams {
    pthread_mutex_t lock;
    struct stream *first;
    int count;
};

/* The response that reads *source, which is taken; its bytes are added to *sent. NULL: no memory,
 * and the source is still the caller's. */
struct MHD_Response *stream_response(struct http *h, struct MHD_Connection *connection,
                                     const struct reply_stream *source, size_t *sent);
int streams_count(struct http *h);
bool streams_full(struct http *h);
/* A few times a second, on the housekeeper. */
void streams_sweep(struct http *h);
/* The server is stopping: every stream ends after what it has already sent. */
void streams_end(struct http *h);

#endif
