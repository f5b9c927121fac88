#include "server/http/http_internal.h"

#include "engine/base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 4096 }; /* what read() is offered to an HTTP/1.0 client */

struct stream {
    struct stream *prev, *next;
    struct http *http;
    struct MHD_Connection *connection;
    struct watched *watched;
    struct reply_stream source;
    size_t *sent;
    pthread_mutex_t lock; /* of everything below */
    bool suspended;
    bool woken;    /* since read() was last asked */
    bool idle_due; /* it was silent for too long */
    bool gone;     /* the client */
    double last_s; /* when bytes last went */
};

/* Under the stream's lock. */
static void resume(struct stream *s)
{
    s->woken = true;
    if (!s->suspended) return;
    s->suspended = false;
    MHD_resume_connection(s->connection);
}

static void wake(void *arg)
{
    struct stream *s = arg;
    pthread_mutex_lock(&s->lock);
    resume(s);
    pthread_mutex_unlock(&s->lock);
}

/* n bytes go out now. false: the connection's time is over. */
static bool note_sent(struct stream *s, size_t n)
{
    pthread_mutex_lock(&s->lock);
    s->last_s = clock_seconds();
    pthread_mutex_unlock(&s->lock);
    *s->sent += n;
    return watch_enter(s->http->watch, s->watched, WATCH_ANSWERING, HTTP_REPLY_S, 0, NULL);
}

/* To sleep, unless something happened since read() was asked. */
static bool fall_asleep(struct stream *s)
{
    bool quiet;
    pthread_mutex_lock(&s->lock);
    quiet = !s->woken && !atomic_load(&s->http->stopping);
    if (quiet) {
        watch_enter(s->http->watch, s->watched, WATCH_ANSWERING, 0, 0, NULL);
        s->suspended = true;
        MHD_suspend_connection(s->connection);
    }
    pthread_mutex_unlock(&s->lock);
    return quiet;
}

/* MHD_ContentReaderCallback. */
static ssize_t give(void *cls, uint64_t pos, char *out, size_t max)
{
    struct stream *s = cls;
    (void)pos;

    do {
        pthread_mutex_lock(&s->lock);
        bool idle = s->idle_due, gone = s->gone, end = false;
        s->woken = s->idle_due = false;
        pthread_mutex_unlock(&s->lock);
        if (gone) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (atomic_load(&s->http->stopping)) return MHD_CONTENT_READER_END_OF_STREAM;
        size_t n = s->source.read(s->source.self, out, max, &end);
        if (!n && end) return MHD_CONTENT_READER_END_OF_STREAM;
        if (!n && idle && s->source.idle && strlen(s->source.idle) <= max) {
            n = strlen(s->source.idle);
            memcpy(out, s->source.idle, n);
        }
        if (n) return note_sent(s, n) ? (ssize_t)n : MHD_CONTENT_READER_END_WITH_ERROR;
    } while (!fall_asleep(s));
    return 0;
}

/* MHD_ContentReaderFreeCallback: the answer is over, however it ended. */
static void give_up(void *cls)
{
    struct stream *s = cls;
    struct streams *list = &s->http->streams;

    pthread_mutex_lock(&list->lock);
    if (s->prev)
        s->prev->next = s->next;
    else
        list->first = s->next;
    if (s->next) s->next->prev = s->prev;
    list->count--;
    pthread_mutex_unlock(&list->lock);
    s->source.close(s->source.self);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct MHD_Response *stream_response(struct http *h, struct MHD_Connection *connection,
                                     const struct reply_stream *source, size_t *sent)
{
    struct stream *s = calloc(1, sizeof *s);
    struct MHD_Response *r =
        s ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, give, s, give_up)
          : NULL;
    if (!r) {
        free(s);
        return NULL;
    }
    s->http = h;
    s->connection = connection;
    s->watched = exchange_watched(connection);
    s->source = *source;
    s->sent = sent;
    s->last_s = clock_seconds();
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_lock(&h->streams.lock);
    s->next = h->streams.first;
    if (s->next) s->next->prev = s;
    h->streams.first = s;
    h->streams.count++;
    pthread_mutex_unlock(&h->streams.lock);
    s->source.listen(s->source.self, wake, s);
    return r;
}

int streams_count(struct http *h)
{
    pthread_mutex_lock(&h->streams.lock);
    int n = h->streams.count;
    pthread_mutex_unlock(&h->streams.lock);
    return n;
}

bool streams_full(struct http *h)
{
    return streams_count(h) >= h->o.streams_max;
}

void streams_sweep(struct http *h)
{
    double now = clock_seconds();
    pthread_mutex_lock(&h->streams.lock);
    for (struct stream *s = h->streams.first; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        if (s->suspended) { /* only then the socket is nobody's, and cannot be closed */
            s->gone = watch_client_gone(s->watched);
            s->idle_due = now > s->last_s + h->o.stream_idle_s;
            if (s->gone || s->idle_due) resume(s);
        }
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&h->streams.lock);
}

void streams_end(struct http *h)
{
    pthread_mutex_lock(&h->streams.lock);
    for (struct stream *s = h->streams.first; s; s = s->next) wake(s);
    pthread_mutex_unlock(&h->streams.lock);
}
