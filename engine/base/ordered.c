#include "engine/base/ordered.h"

#include <pthread.h>
#include <stdlib.h>

#include "engine/base/mem.h"

enum { SLOTS_PER_WORKER = 4 };

enum slot_state { SLOT_EMPTY, SLOT_NAMED, SLOT_TAKEN, SLOT_DONE };

struct slot {
    enum slot_state state;
    char *name;
    void *result;
};

/* The ring: index i lives in slot i % n_slots. taken <= claimed <= named <= taken + n_slots; all
 * under lock. */
struct ring {
    const struct ordered_work *w;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct slot *slots;
    size_t n_slots;
    size_t named, claimed, taken; /* names read, given to workers, results taken */
    bool ended, stopped;
};

static void *feed(void *arg)
{
    struct ring *r = arg;

    pthread_mutex_lock(&r->lock);
    while (!r->stopped) {
        if (r->named == r->taken + r->n_slots) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        char *name = r->w->next(r->w->self);
        pthread_mutex_lock(&r->lock);
        if (!name) break;
        struct slot *s = &r->slots[r->named++ % r->n_slots];
        s->name = name;
        s->state = SLOT_NAMED;
        pthread_cond_broadcast(&r->changed);
    }
    r->ended = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void *work(void *arg)
{
    struct ring *r = arg;

    pthread_mutex_lock(&r->lock);
    for (;;) {
        if (r->stopped || (r->ended && r->claimed == r->named)) break;
        if (r->claimed == r->named) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        const size_t index = r->claimed++;
        struct slot *s = &r->slots[index % r->n_slots];
        s->state = SLOT_TAKEN;
        pthread_mutex_unlock(&r->lock);
        void *result = r->w->work(r->w->self, index, s->name);
        pthread_mutex_lock(&r->lock);
        s->result = result;
        s->state = SLOT_DONE;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void hand_over(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    for (;;) {
        if (r->ended && r->taken == r->named) break;
        struct slot *s = &r->slots[r->taken % r->n_slots];
        if (r->taken == r->named || s->state != SLOT_DONE) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        const bool go_on = r->w->take(r->w->self, r->taken, s->name, s->result);
        free(s->name);
        pthread_mutex_lock(&r->lock);
        *s = (struct slot){SLOT_EMPTY, NULL, NULL};
        r->taken++;
        pthread_cond_broadcast(&r->changed);
        if (!go_on) break;
    }
    r->stopped = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

enum err ordered_run(const struct ordered_work *w, struct err_info *err)
{
    const size_t n = w->workers > 0 ? (size_t)w->workers : 1;
    struct ring r = {.w = w,
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .changed = PTHREAD_COND_INITIALIZER,
                     .n_slots = n * SLOTS_PER_WORKER};
    pthread_t feeder;
    size_t started = 0;
    enum err rc = ERR_OK;

    r.slots = calloc(r.n_slots, sizeof *r.slots);
    pthread_t *threads AUTO_FREE = calloc(n, sizeof *threads);
    if (!r.slots || !threads) {
        free(r.slots);
        return err_set(err, ERR_NOMEM, "no memory for %zu workers", n);
    }
    while (started < n && !pthread_create(&threads[started], NULL, work, &r)) started++;
    const bool feeding = started > 0 && !pthread_create(&feeder, NULL, feed, &r);
    if (feeding) {
        hand_over(&r);
        pthread_join(feeder, NULL);
    } else {
        rc = err_set(err, ERR_INTERNAL, "no thread could be started");
        pthread_mutex_lock(&r.lock);
        r.stopped = true;
        pthread_cond_broadcast(&r.changed);
        pthread_mutex_unlock(&r.lock);
    }
    for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < r.n_slots; i++) { /* what was stopped midway */
        if (r.slots[i].state == SLOT_DONE && w->drop) w->drop(r.slots[i].result);
        free(r.slots[i].name);
    }
    free(r.slots);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
    return rc;
}
