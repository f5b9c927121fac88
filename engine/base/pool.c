/* Layers of small nets take 20 to 200 us, so helpers spin for a while between loops before they
 * sleep: waking a sleeping thread costs about as much as such a layer. On a busy machine a helper
 * may not run for milliseconds, so the caller never waits for one that has not come: a helper
 * enters a loop while it is open; the caller takes chunks until there are none, closes the loop,
 * and waits only for those inside. `gate` holds all of it in one word: the loop's number, whether
 * it is open, how many are inside. */
#include "engine/base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/mem.h"

enum { SPINS = 20000, THREADS_MAX = 256 }; /* about 50 us of pauses */
enum {
    YIELD_AFTER = 200
}; /* pauses of the caller before it offers its core to the helper it waits for */

/* gate: bits 0-15 helpers inside, 16 open, 17.. number of the loop */
static const uint64_t INSIDE = 0xffff, OPEN = 1 << 16, LOOP = 1 << 17;

struct helper {
    struct pool *pool;
    pthread_t id;
    int thread;
};

struct pool {
    int threads;
    struct helper *helpers; /* threads - 1 */
    int started;
    void (*fn)(void *arg, int chunk, int thread);
    void *arg;
    int chunks;
    _Atomic uint64_t gate;
    _Atomic int next; /* chunk to take */
    _Atomic bool quit;
    _Atomic int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_chunks(struct pool *p, int thread)
{
    int i;
    while ((i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->chunks)
        p->fn(p->arg, i, thread);
}

/* Returns when there is a loop that is not `seen`, open or already over, or when the pool ends. */
static uint64_t wait_for_loop(struct pool *p, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        uint64_t gate = atomic_load(&p->gate);
        if (gate / LOOP != seen) return gate / LOOP;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->gate) / LOOP == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->gate) / LOOP;
}

static bool enter(struct pool *p, uint64_t loop)
{
    uint64_t gate = atomic_load(&p->gate);
    while (gate / LOOP == loop && (gate & OPEN))
        if (atomic_compare_exchange_weak(&p->gate, &gate, gate + 1)) return true;
    return false;
}

static void *help(void *arg)
{
    struct helper *h = arg;
    struct pool *p = h->pool;
    uint64_t seen = 0;
    for (;;) {
        seen = wait_for_loop(p, seen);
        if (atomic_load(&p->quit)) return NULL;
        if (!enter(p, seen)) continue;
        take_chunks(p, h->thread);
        atomic_fetch_sub(&p->gate, 1);
    }
}

/* Only the caller changes the loop's number, and nobody is inside when it does. */
static void begin(struct pool *p)
{
    atomic_store(&p->gate, (atomic_load(&p->gate) / LOOP + 1) * LOOP + OPEN);
    if (!atomic_load(&p->sleepers)) return;
    pthread_mutex_lock(&p->lock); /* a helper between its last look and the wait holds the lock */
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void end(struct pool *p)
{
    atomic_fetch_and(&p->gate, ~OPEN);
    for (int i = 0; atomic_load(&p->gate) & INSIDE; i++)
        if (i < YIELD_AFTER)
            relax();
        else
            sched_yield();
}

enum err pool_new(struct pool **out, int threads, struct err_info *err)
{
    if (threads < 1 || threads > THREADS_MAX)
        return err_set(err, ERR_INVALID, "%d threads asked for, the limit is 1 to %d", threads,
                       (int)THREADS_MAX);
    struct pool *p = calloc(1, sizeof *p);
    if (!p) return err_set(err, ERR_NOMEM, "no memory for %d threads", threads);
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->helpers = calloc((size_t)threads, sizeof *p->helpers);
    if (!p->helpers) goto fail;
    for (; p->started < threads - 1; p->started++) {
        struct helper *h = &p->helpers[p->started];
        h->pool = p;
        h->thread = p->started + 1;
        if (pthread_create(&h->id, NULL, help, h)) goto fail;
        pthread_setname_np(h->id, "helper");
    }
    *out = p;
    return ERR_OK;
fail:
    pool_free(p);
    return err_set(err, ERR_NOMEM, "cannot start %d threads", threads);
}

void pool_free(struct pool *p)
{
    if (!p) return;
    atomic_store(&p->quit, true);
    begin(p);
    for (int i = 0; i < p->started; i++) pthread_join(p->helpers[i].id, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->helpers);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p ? p->threads : 1;
}

void pool_run(struct pool *p, cores_part *fn, void *arg, int chunks)
{
    if (!p || p->threads == 1 || chunks < 2) {
        for (int i = 0; i < chunks; i++) fn(arg, i, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->chunks = chunks;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    begin(p);
    take_chunks(p, 0);
    end(p);
}

static void run_cores(void *self, cores_part *part, void *arg, int n)
{
    pool_run(self, part, arg, n);
}

struct cores pool_cores(struct pool *p)
{
    return (struct cores){pool_threads(p), run_cores, p};
}
