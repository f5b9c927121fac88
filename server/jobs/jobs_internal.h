/* Shared inside server/jobs only. */
#ifndef VISAVIS_SERVER_JOBS_JOBS_INTERNAL_H
#define VISAVIS_SERVER_JOBS_JOBS_INTERNAL_H

#include "server/jobs/jobs.h"
#include "server/store/job_files.h"

#include <pthread.h>
#include <stdatomic.h>

/* A job that is queued or runs, and one that has just ended while somebody still holds it. */
struct live {
    struct live *next;        /* in the table: in the order in which they run */
    struct store_job_row row; /* as it is now; the row on the disk is a little behind */
    unsigned events;          /* states of this attempt so far */
    double phase_began;       /* clock_seconds() */
    double told, saved;       /* when progress was last announced and written */
    atomic_bool asked_to_end; /* cancelled, erased, or the server stops */
    bool over;                /* settled: out of the table */
    struct job_listener *first;
    int holders; /* the table, the runner, each listener */
};

struct jobs {
    struct jobs_options o; /* defaults filled in */
    struct job_files files;
    pthread_mutex_t files_lock; /* a row and its files come, or are compared, together */
    pthread_mutex_t lock;       /* of everything below, and of every struct live */
    pthread_cond_t changed;     /* for the runner */
    struct live *first;
    int reserved; /* places in the queue for jobs whose uploads are being written */
    bool stopping, has_runner;
    pthread_t runner;
};

/* --- live.c: the table; the caller holds the lock --- */
/* Needs no lock. Held by its maker. NULL: no memory. */
struct live *live__new(void);
/* Behind the others; the maker's hold becomes the table's. */
void live__add(struct jobs *j, struct live *l, const struct store_job_row *row);
struct live *live__find(struct jobs *j, const char *id);
int live__queued(const struct jobs *j);
/* Another state: listeners are woken. */
void live__changed(struct live *l);
/* It has ended as row.state says: out of the table. A second time nothing happens. */
void live__settle(struct jobs *j, struct live *l, enum store_job_state state);
void live__let_go(struct live *l);
void live__view(struct job_view *out, const struct live *l);
/* Of a job that is not in the table. */
void live__view_row(struct job_view *out, const struct store_job_row *row);

/* --- jobs.c --- */
const struct job_kind *jobs__kind(const struct jobs *j, const char *name); /* NULL: none */
/* *row, or what the table knows better. true: it is in the table. Takes the lock. */
bool jobs__view_of(struct job_view *out, struct jobs *j, const struct store_job_row *row);

/* --- runner.c --- */
void *jobs__run(void *jobs);

#endif
