#include "server/http/watch.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const double QUIET_S = 0.1; /* a connection that just had bytes is MHD's to read */

struct watched {
    struct watched *prev, *next;
    int fd;
    enum watch_phase phase;
    bool ended;             /* by us */
    bool gone;              /* the client: MHD was told */
    double deadline, stall; /* clock_seconds(), seconds; 0: none */
    char *last_words;
    _Atomic double alive;
};

struct watch {
    pthread_mutex_t lock;
    struct watched *first;
    size_t count;
};

enum err watch_new(struct watch **out, struct err_info *err)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w) return err_set(err, ERR_NOMEM, "no memory for the connections' deadlines");
    pthread_mutex_init(&w->lock, NULL);
    *out = w;
    return ERR_OK;
}

void watch_free(struct watch *w)
{
    if (!w) return;
    assert(!w->first);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct watched *watch_add(struct watch *w, int fd, double seconds)
{
    struct watched *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->fd = fd;
    c->deadline = clock_seconds() + seconds;
    pthread_mutex_lock(&w->lock);
    c->next = w->first;
    if (w->first) w->first->prev = c;
    w->first = c;
    w->count++;
    pthread_mutex_unlock(&w->lock);
    return c;
}

void watch_remove(struct watch *w, struct watched *c)
{
    if (!c) return;
    pthread_mutex_lock(&w->lock);
    if (c->prev)
        c->prev->next = c->next;
    else
        w->first = c->next;
    if (c->next) c->next->prev = c->prev;
    w->count--;
    pthread_mutex_unlock(&w->lock);
    free(c->last_words);
    free(c);
}

bool watch_enter(struct watch *w, struct watched *c, enum watch_phase phase, double seconds,
                 double stall, char *last_words)
{
    double now = clock_seconds();
    atomic_store_explicit(&c->alive, now, memory_order_relaxed);
    pthread_mutex_lock(&w->lock);
    bool in_time = !c->ended;
    if (in_time) {
        char *old = c->last_words;
        c->last_words = last_words;
        last_words = old;
        c->phase = phase;
        c->deadline = seconds > 0 ? now + seconds : 0;
        c->stall = stall;
    }
    pthread_mutex_unlock(&w->lock);
    free(last_words);
    return in_time;
}

void watch_alive(struct watched *c)
{
    atomic_store_explicit(&c->alive, clock_seconds(), memory_order_relaxed);
}

/* Under the lock. how: SHUT_WR lets us go on reading (a close with unread bytes would reset the
 * connection, and the client might never see the answer). */
static void end(struct watched *c, int how)
{
    if (c->last_words) {
        /* One small segment into an empty send buffer; a client that does not take it loses only
         * the explanation. */
        ssize_t n = send(c->fd, c->last_words, strlen(c->last_words), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)n;
        free(c->last_words);
        c->last_words = NULL;
    }
    shutdown(c->fd, how);
    c->ended = true;
}

bool watch_end_now(struct watch *w, struct watched *c)
{
    pthread_mutex_lock(&w->lock);
    bool mine = !c->ended;
    if (mine) end(c, SHUT_WR);
    pthread_mutex_unlock(&w->lock);
    return mine;
}

bool watch_ended(struct watch *w, struct watched *c)
{
    pthread_mutex_lock(&w->lock);
    bool ended = c->ended;
    pthread_mutex_unlock(&w->lock);
    return ended;
}

bool watch_client_gone(const struct watched *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void watch_sweep(struct watch *w)
{
    double now = clock_seconds();
    pthread_mutex_lock(&w->lock);
    for (struct watched *c = w->first; c; c = c->next) {
        double alive = atomic_load_explicit(&c->alive, memory_order_relaxed);
        bool late =
            (c->deadline > 0 && now > c->deadline) || (c->stall > 0 && now > alive + c->stall);
        if (!late && c->phase == WATCH_READING && !c->ended && !c->gone && now > alive + QUIET_S &&
            watch_client_gone(c)) {
            shutdown(c->fd, SHUT_RDWR); /* wakes MHD's epoll, which then reads the end itself */
            c->gone = true;
        }
        if (!late) continue;
        /* Once more for a connection that lingers after its last words: now both ways. */
        end(c, SHUT_RDWR);
        c->deadline = c->stall = 0;
    }
    pthread_mutex_unlock(&w->lock);
}

size_t watch_count(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->count;
    pthread_mutex_unlock(&w->lock);
    return n;
}
