#include "engine/lane.h"

#include "engine/base/mem.h"
#include "engine/nn/exec.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct item {
    const struct nn_net *net;
    int n, h, w;
    const float *in;
    float *const *outs;
    struct err_info *err;
    enum err rc;
    bool done;
    pthread_cond_t finished; /* one condition an item: a lane wakes only those it served */
    struct item *next;
};

struct queue {
    struct item *head, **tail;
    pthread_cond_t work;
};

/* A loop whose parts the small lanes share; on its owner's stack. */
struct loop {
    cores_part *part;
    void *arg;
    int n, taken, done;
    pthread_cond_t finished;
    struct loop *next;
};

struct lane {
    struct lanes *all;
    struct queue *queue;
    pthread_t thread;
    struct nn_exec *exec;
    float *scratch; /* gathered inputs and outputs of a batch with several owners */
    size_t scratch_floats;
    unsigned forgot; /* how many of the lanes' forgettings it has done */
    bool had_part;   /* its last work was a part of a loop: now it is a batch's turn */
};

struct lanes {
    pthread_mutex_t lock; /* guards both queues, and what follows but for the lanes' own */
    struct queue small, large;
    bool stop;
    /* A net to forget: the forgets-th; one at a time. */
    pthread_mutex_t forgetting;
    pthread_cond_t forgotten;
    const struct nn_net *forget;
    unsigned forgets;
    int n, started;
    struct loop *loops; /* with parts that nobody has taken, oldest first */
    struct cores cores;
    struct lane *lane; /* n, and the wide one after them where there is one */
    bool wide;
    struct lane_stats stats;
};

static size_t row_floats(struct nn_shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

/* Takes the oldest item and those behind it that fit into its batch; the lock is held. */
static struct item *take_batch(struct queue *q, int *rows)
{
    struct item *first = q->head, *last = first, **at;
    q->head = first->next;
    first->next = NULL;
    *rows = first->n;
    at = &q->head;
    const struct nn_graph *g = nn_net_graph(first->net);
    const size_t row = (size_t)g->in_c * (size_t)first->h * (size_t)first->w;
    const int most =
        row && LANE_MAX_FLOATS / row < LANE_MAX_ROWS ? (int)(LANE_MAX_FLOATS / row) : LANE_MAX_ROWS;
    while (*at) {
        struct item *i = *at;
        if (i->net == first->net && i->h == first->h && i->w == first->w && *rows + i->n <= most) {
            *at = i->next;
            i->next = NULL;
            last = last->next = i;
            *rows += i->n;
        } else {
            at = &i->next;
        }
    }
    q->tail = at;
    return first;
}

static enum err scratch_reserve(struct lane *lane, size_t floats, struct err_info *err)
{
    if (floats <= lane->scratch_floats) return ERR_OK;
    float *p = mem_aligned(floats, sizeof *p);
    if (!p) return err_set(err, ERR_NOMEM, "no memory for a batch of %zu floats", floats);
    free(lane->scratch);
    lane->scratch = p;
    lane->scratch_floats = floats;
    return ERR_OK;
}

/* Several owners: copies their rows together, runs once, copies the results back. */
static enum err run_gathered(struct lane *lane, struct item *first, int rows, struct err_info *err)
{
    const struct nn_graph *g = nn_net_graph(first->net);
    AUTO_FREE struct nn_shape *shapes = malloc((size_t)g->n_ops * sizeof *shapes);
    float *outs[NN_MAX_OUTPUTS] = {NULL};
    size_t in_floats, total, out_floats[NN_MAX_OUTPUTS] = {0};
    int h = g->in_h ? g->in_h : first->h, w = g->in_w ? g->in_w : first->w;
    enum err rc;

    if (!shapes) return err_set(err, ERR_NOMEM, "no memory for %d shapes", g->n_ops);
    if ((rc = nn_graph_shapes(g, h, w, shapes, err))) return rc;
    in_floats = (size_t)g->in_c * (size_t)h * (size_t)w;
    total = in_floats * (size_t)rows;
    for (int k = 0; k < g->n_outputs; k++) {
        out_floats[k] = row_floats(shapes[g->outputs[k].op]);
        total += out_floats[k] * (size_t)rows;
    }
    if ((rc = scratch_reserve(lane, total, err))) return rc;

    float *in = lane->scratch, *at = in;
    for (struct item *i = first; i; i = i->next) {
        memcpy(at, i->in, in_floats * (size_t)i->n * sizeof *at);
        at += in_floats * (size_t)i->n;
    }
    for (int k = 0; k < g->n_outputs; k++) {
        for (const struct item *i = first; i; i = i->next)
            if (i->outs[k]) outs[k] = at; /* what nobody wants is not computed */
        at += out_floats[k] * (size_t)rows;
    }
    if ((rc = nn_exec_run(lane->exec, first->net, rows, first->h, first->w, in, outs, err)))
        return rc;
    for (int k = 0; k < g->n_outputs; k++) {
        const float *from = outs[k];
        for (struct item *i = first; i && from; i = i->next) {
            size_t floats = out_floats[k] * (size_t)i->n;
            if (i->outs[k]) memcpy(i->outs[k], from, floats * sizeof *from);
            from += floats;
        }
    }
    return ERR_OK;
}

static void run_batch(struct lane *lane, struct item *first, int rows)
{
    struct err_info err = ERR_INFO_INIT;
    enum err rc = first->next ? run_gathered(lane, first, rows, &err)
                              : nn_exec_run(lane->exec, first->net, first->n, first->h, first->w,
                                            first->in, first->outs, &err);
    for (struct item *i = first; i; i = i->next) {
        i->rc = rc;
        if (rc && i->err) *i->err = err;
    }
}

static void count_batch(struct lane_stats *s, int rows)
{
    int slot = 0;
    while (slot < LANE_HISTOGRAM - 1 && rows > 1 << slot) slot++;
    s->histogram[slot]++;
    s->batches++;
    s->rows += (unsigned long long)rows;
}

static bool has_part(const struct lane *lane)
{
    return lane->all->loops && lane->queue == &lane->all->small;
}

/* Takes a part of the oldest loop and runs it; the lock is held, but not meanwhile. */
static void run_part(struct lane *lane)
{
    struct lanes *l = lane->all;
    struct loop *loop = l->loops;
    const int i = loop->taken++;

    if (loop->taken == loop->n) l->loops = loop->next;
    pthread_mutex_unlock(&l->lock);
    loop->part(loop->arg, i, (int)(lane - l->lane));
    pthread_mutex_lock(&l->lock);
    if (++loop->done == loop->n) pthread_cond_signal(&loop->finished);
}

static void run_loop(void *self, cores_part *part, void *arg, int n)
{
    struct lanes *l = self;
    struct loop loop = {.part = part, .arg = arg, .n = n}, **at = &l->loops;

    if (n < 1) return;
    pthread_cond_init(&loop.finished, NULL);
    pthread_mutex_lock(&l->lock);
    while (*at) at = &(*at)->next;
    *at = &loop;
    pthread_cond_broadcast(&l->small.work);
    while (loop.done < n) pthread_cond_wait(&loop.finished, &l->lock);
    pthread_mutex_unlock(&l->lock);
    pthread_cond_destroy(&loop.finished);
}

const struct cores *lanes_cores(const struct lanes *l)
{
    return &l->cores;
}

static void *lane_main(void *self)
{
    struct lane *lane = self;
    struct lanes *l = lane->all;
    struct queue *q = lane->queue;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!q->head && !has_part(lane) && !l->stop && lane->forgot == l->forgets)
            pthread_cond_wait(&q->work, &l->lock);
        if (lane->forgot != l->forgets) {
            nn_exec_forget(lane->exec, l->forget);
            lane->forgot = l->forgets;
            pthread_cond_broadcast(&l->forgotten);
            continue;
        }
        if (has_part(lane) && !(lane->had_part && q->head)) {
            run_part(lane);
            lane->had_part = true;
            continue;
        }
        if (!q->head) break;
        lane->had_part = false;
        int rows;
        struct item *first = take_batch(q, &rows);
        count_batch(&l->stats, rows);
        pthread_mutex_unlock(&l->lock);

        run_batch(lane, first, rows);

        pthread_mutex_lock(&l->lock);
        while (first) {
            struct item *next =
                first->next; /* the owner may return, and its stack go, once done is seen */
            first->done = true;
            pthread_cond_signal(&first->finished);
            first = next;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

enum err lanes_run(void *self, const struct nn_net *net, int n, int h, int w, const float *in,
                   float *const *outs, struct err_info *err)
{
    struct lanes *l = self;
    struct queue *q = l->wide && nn_net_is_large(net) ? &l->large : &l->small;
    struct item item = {.net = net, .n = n, .h = h, .w = w, .in = in, .outs = outs, .err = err};

    pthread_cond_init(&item.finished, NULL);
    pthread_mutex_lock(&l->lock);
    *q->tail = &item;
    q->tail = &item.next;
    pthread_cond_signal(&q->work);
    while (!item.done) pthread_cond_wait(&item.finished, &l->lock);
    pthread_mutex_unlock(&l->lock);
    pthread_cond_destroy(&item.finished);
    return item.rc;
}

static void wake_all(struct lanes *l)
{
    pthread_cond_broadcast(&l->small.work);
    pthread_cond_broadcast(&l->large.work);
}

void lanes_forget(struct lanes *l, const struct nn_net *net)
{
    pthread_mutex_lock(&l->forgetting);
    pthread_mutex_lock(&l->lock);
    l->forget = net;
    l->forgets++;
    wake_all(l);
    for (int i = 0; i < l->started; i++)
        while (l->lane[i].forgot != l->forgets) pthread_cond_wait(&l->forgotten, &l->lock);
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->forgetting);
}

void lanes_stats(struct lanes *l, struct lane_stats *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->stats;
    out->lanes = l->n;
    out->waiting = 0;
    for (const struct item *i = l->small.head; i; i = i->next) out->waiting++;
    for (const struct item *i = l->large.head; i; i = i->next) out->waiting++;
    pthread_mutex_unlock(&l->lock);
}

static void queue_init(struct queue *q)
{
    pthread_cond_init(&q->work, NULL);
    q->tail = &q->head;
}

static enum err start(struct lanes *l, struct queue *q, int threads, const char *name,
                      struct err_info *err)
{
    struct lane *lane = &l->lane[l->started];
    enum err rc;
    lane->all = l;
    lane->queue = q;
    if ((rc = nn_exec_new(&lane->exec, threads, 0, err))) return rc;
    if (pthread_create(&lane->thread, NULL, lane_main, lane)) {
        nn_exec_free(lane->exec);
        return err_set(err, ERR_INTERNAL, "cannot start thread %s of %d lanes", name, l->n);
    }
    l->started++;
    pthread_setname_np(lane->thread, name);
    return ERR_OK;
}

enum err lanes_new(struct lanes **out, int n_lanes, int threads_each, struct err_info *err)
{
    enum err rc = ERR_OK;
    struct lanes *l = calloc(1, sizeof *l);
    if (!l) return err_set(err, ERR_NOMEM, "no memory for the lanes");
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->forgetting, NULL);
    pthread_cond_init(&l->forgotten, NULL);
    queue_init(&l->small);
    queue_init(&l->large);
    l->n = n_lanes;
    l->wide = n_lanes > 1;
    l->cores = (struct cores){n_lanes, run_loop, l};
    l->lane = calloc((size_t)n_lanes + 1, sizeof *l->lane);
    if (!l->lane) {
        rc = err_set(err, ERR_NOMEM, "no memory for %d lanes", n_lanes);
        goto fail;
    }
    for (int i = 0; i < n_lanes; i++) {
        char name[24];
        snprintf(name, sizeof name, "lane-%d", i);
        if ((rc = start(l, &l->small, threads_each, name, err))) goto fail;
    }
    if (l->wide && (rc = start(l, &l->large, n_lanes * threads_each, "lane-wide", err))) goto fail;
    *out = l;
    return ERR_OK;
fail:
    lanes_free(l);
    return rc;
}

void lanes_free(struct lanes *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    wake_all(l);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++) {
        pthread_join(l->lane[i].thread, NULL);
        nn_exec_free(l->lane[i].exec);
        free(l->lane[i].scratch);
    }
    free(l->lane);
    pthread_cond_destroy(&l->small.work);
    pthread_cond_destroy(&l->large.work);
    pthread_cond_destroy(&l->forgotten);
    pthread_mutex_destroy(&l->forgetting);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
