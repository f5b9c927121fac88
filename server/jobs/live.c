#include "server/jobs/jobs_internal.h"

#include "engine/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double ETA_AFTER_S = 0.5; /* a pace of less is a guess */

struct live *live__new(void)
{
    struct live *l = calloc(1, sizeof *l);
    if (l) l->holders = 1;
    return l;
}

void live__add(struct jobs *j, struct live *l, const struct store_job_row *row)
{
    struct live **p = &j->first;
    l->row = *row;
    while (*p) p = &(*p)->next;
    *p = l;
}

struct live *live__find(struct jobs *j, const char *id)
{
    for (struct live *l = j->first; l; l = l->next)
        if (!strcmp(l->row.id.s, id)) return l;
    return NULL;
}

int live__queued(const struct jobs *j)
{
    int n = 0;
    for (struct live *l = j->first; l; l = l->next) n += l->row.state == STORE_JOB_QUEUED;
    return n;
}

void live__changed(struct live *l)
{
    l->events++;
    l->told = clock_seconds();
    for (struct job_listener *i = l->first; i; i = i->next)
        if (i->wake) i->wake(i->arg);
}

void live__let_go(struct live *l)
{
    if (--l->holders == 0) free(l);
}

void live__settle(struct jobs *j, struct live *l, enum store_job_state state)
{
    struct live **p = &j->first;
    if (l->over) return;
    while (*p != l) p = &(*p)->next;
    *p = l->next;
    l->next = NULL;
    l->over = true;
    l->row.state = state;
    live__changed(l);
    live__let_go(l);
}

static void view(struct job_view *out, const struct store_job_row *r, unsigned events)
{
    out->row = *r;
    out->eta_s = -1;
    if (store_job_final(r->state))
        snprintf(out->event, sizeof out->event, "%d-end", r->attempts);
    else
        snprintf(out->event, sizeof out->event, "%d-%u", r->attempts, events);
}

void live__view(struct job_view *out, const struct live *l)
{
    const struct store_job_row *r = &l->row;
    double passed = clock_seconds() - l->phase_began;

    view(out, r, l->events);
    if (r->state == STORE_JOB_RUNNING && r->done > 0 && r->total >= r->done && passed > ETA_AFTER_S)
        out->eta_s = passed / (double)r->done * (double)(r->total - r->done);
}

void live__view_row(struct job_view *out, const struct store_job_row *row)
{
    view(out, row, 0);
}

int jobs_waiting(struct jobs *j)
{
    int n = 0;
    pthread_mutex_lock(&j->lock);
    for (struct live *l = j->first; l; l = l->next) n++;
    pthread_mutex_unlock(&j->lock);
    return n;
}

enum err jobs_listen(struct job_listener *l, struct jobs *j, const char *id, struct err_info *err)
{
    pthread_mutex_lock(&j->lock);
    struct live *live = live__find(j, id);
    if (live) {
        *l = (struct job_listener){.live = live, .next = live->first};
        if (l->next) l->next->prev = l;
        live->first = l;
        live->holders++;
    }
    pthread_mutex_unlock(&j->lock);
    return live ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no job %.40s is queued or runs", id);
}

void job_listener_wake(struct job_listener *l, struct jobs *j, void (*wake)(void *arg), void *arg)
{
    pthread_mutex_lock(&j->lock);
    l->wake = wake;
    l->arg = arg;
    pthread_mutex_unlock(&j->lock);
}

void job_listener_view(struct job_view *out, struct job_listener *l, struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    live__view(out, l->live);
    pthread_mutex_unlock(&j->lock);
}

void jobs_unlisten(struct job_listener *l, struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    if (l->prev)
        l->prev->next = l->next;
    else
        l->live->first = l->next;
    if (l->next) l->next->prev = l->prev;
    live__let_go(l->live);
    pthread_mutex_unlock(&j->lock);
}
