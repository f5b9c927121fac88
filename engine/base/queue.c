#include "engine/base/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    bool closed;
    size_t capacity, first, count;
    void *items[]; /* a ring: items[(first + i) % capacity] for i < count */
};

enum err queue_new(struct queue **out, size_t capacity, struct err_info *err)
{
    assert(capacity >= 1 && capacity < ((size_t)-1 - sizeof(struct queue)) / sizeof(void *));
    struct queue *q = calloc(1, sizeof *q + capacity * sizeof q->items[0]);
    if (!q) return err_set(err, ERR_NOMEM, "no memory for a queue of %zu", capacity);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, NULL);
    q->capacity = capacity;
    *out = q;
    return ERR_OK;
}

void queue_free(struct queue *q)
{
    if (!q) return;
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool queue_push(struct queue *q, void *item)
{
    assert(item);
    pthread_mutex_lock(&q->lock);
    bool ok = !q->closed && q->count < q->capacity;
    if (ok) {
        q->items[(q->first + q->count++) % q->capacity] = item;
        pthread_cond_signal(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

void *queue_pop(struct queue *q)
{
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (!q->count && !q->closed) pthread_cond_wait(&q->filled, &q->lock);
    if (q->count) {
        item = q->items[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->count--;
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_depth(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->count;
    pthread_mutex_unlock(&q->lock);
    return n;
}
