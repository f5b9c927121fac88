/* The one thread that runs jobs, and what run() may ask for. */
#include "server/jobs/jobs_internal.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const double TELL_S = 0.1; /* between two announcements of progress, at least */
static const double SAVE_S = 2;   /* between two times that it is written */
enum { RETRY_MS = 1000 };         /* after the store refused: a full disk, mostly */

struct input {
    char *name;
    void *map; /* NULL: not mapped yet, or empty */
    size_t len;
};

struct job {
    struct jobs *jobs;
    struct live *live;
    const struct job_kind *kind;
    char id[ULID_CHARS + 1];
    char *parameters;
    struct input *inputs;
    int n_inputs;
    const char *result_type; /* NULL: none given */
    size_t result_bytes;
};

/* --- what run() asks for --- */

const char *job_id(const struct job *job)
{
    return job->id;
}

const char *job_parameters(const struct job *job)
{
    return job->parameters;
}

int64_t job_collection(const struct job *job)
{
    return job->live->row.collection;
}

int job_n_uploads(const struct job *job)
{
    return job->n_inputs;
}

const char *job_upload_name(const struct job *job, int n)
{
    return job->inputs[n].name;
}

enum err job_upload_bytes(const uint8_t **data, size_t *len, struct job *job, int n,
                          struct err_info *err)
{
    struct input *in = &job->inputs[n];
    if (!in->map && in->len) {
        int fd;
        enum err rc = job_files_open_upload(&fd, &job->jobs->files, job->id, n, err);
        if (rc) return rc;
        off_t size = lseek(fd, 0, SEEK_END);
        void *map = size == (off_t)in->len ? mmap(NULL, in->len, PROT_READ, MAP_PRIVATE, fd, 0)
                                           : MAP_FAILED;
        close(fd);
        if (size != (off_t)in->len)
            return err_set(err, ERR_IO, "upload %d of a job has %lld bytes, %zu were written", n,
                           (long long)size, in->len);
        if (map == MAP_FAILED)
            return err_set(err, errno == ENOMEM ? ERR_NOMEM : ERR_IO,
                           "cannot map upload %d of a job: %s", n, strerror(errno));
        in->map = map;
    }
    *data = in->len ? in->map : (const uint8_t *)"";
    *len = in->len;
    return ERR_OK;
}

struct saving {
    const struct job *job;
    bool cancel;
};

static enum err save_progress(struct store_tx *tx, void *self, struct err_info *err)
{
    struct saving *s = self;
    const struct store_job_row *r = &s->job->live->row; /* ours: others only read it */
    return store_job_progress(&s->cancel, tx, s->job->id, r->phase, r->done, r->total, err);
}

/* Also how it learns that another process cancelled or erased it. */
static void save(struct job *job)
{
    struct saving s = {.job = job};
    struct err_info ignored; /* the next time, or at the end */
    enum err rc = store_write(job->jobs->o.store, save_progress, &s, &ignored);

    job->live->saved = clock_seconds();
    if (rc != ERR_NOT_FOUND && !s.cancel) return;
    pthread_mutex_lock(&job->jobs->lock);
    job->live->row.cancel |= s.cancel;
    atomic_store(&job->live->asked_to_end, true);
    pthread_mutex_unlock(&job->jobs->lock);
}

void job_phase(struct job *job, const char *word, int64_t total)
{
    struct live *l = job->live;
    pthread_mutex_lock(&job->jobs->lock);
    snprintf(l->row.phase, sizeof l->row.phase, "%s", word);
    l->row.done = 0;
    l->row.total = total;
    l->phase_began = clock_seconds();
    live__changed(l);
    pthread_mutex_unlock(&job->jobs->lock);
    save(job);
}

void job_progress(struct job *job, int64_t done)
{
    struct live *l = job->live;
    double now = clock_seconds();
    pthread_mutex_lock(&job->jobs->lock);
    l->row.done = done;
    if (now > l->told + TELL_S) live__changed(l);
    pthread_mutex_unlock(&job->jobs->lock);
    if (now > l->saved + SAVE_S) save(job);
}

bool job_cancelled(struct job *job)
{
    return atomic_load(&job->live->asked_to_end);
}

enum err job_result(struct job *job, const char *type, const void *bytes, size_t len,
                    struct err_info *err)
{
    if (job->result_type || strlen(type) > STORE_JOB_WORD_MAX)
        return err_set(err, ERR_INTERNAL, "a job gave its result twice, or with a long type");
    enum err rc = job_files_put_result(&job->jobs->files, job->id, bytes, len, err);
    if (rc) return rc;
    job->result_type = type;
    job->result_bytes = len;
    return ERR_OK;
}

/* --- its beginning --- */

static enum err add_input(void *self, int n, const struct store_job_upload *u, struct err_info *err)
{
    struct job *job = self;
    struct input *more = reallocarray(job->inputs, (size_t)n + 1, sizeof *more);
    if (more) job->inputs = more;
    char *name = more ? strdup(u->name) : NULL;
    if (!name) return err_set(err, ERR_NOMEM, "no memory for a job's uploads");
    job->inputs[job->n_inputs++] = (struct input){.name = name, .len = (size_t)u->bytes};
    return ERR_OK;
}

static void release(struct job *job)
{
    for (int i = 0; i < job->n_inputs; i++) {
        if (job->inputs[i].map) munmap(job->inputs[i].map, job->inputs[i].len);
        free(job->inputs[i].name);
    }
    free(job->inputs);
    free(job->parameters);
    job->inputs = NULL;
    job->n_inputs = 0;
    job->parameters = NULL;
}

struct beginning {
    struct job *job;
    struct store_job_row row;
};

static enum err begin_row(struct store_tx *tx, void *self, struct err_info *err)
{
    struct beginning *b = self;
    const char *id = b->job->id;
    release(b->job); /* of an earlier try */
    enum err rc = store_job_start(tx, id, err);
    if (!rc) rc = store_job_get(&b->row, tx, id, err);
    if (!rc) rc = store_job_parameters(&b->job->parameters, tx, id, err);
    return rc ? rc : store_job_uploads(tx, id, add_input, b->job, err);
}

/* --- its end --- */

struct finishing {
    struct saving saving;
    struct store_job_end end;
    struct store_job_row row;
};

static enum err finish_row(struct store_tx *tx, void *self, struct err_info *err)
{
    struct finishing *f = self;
    const char *id = f->saving.job->id;
    enum err rc = save_progress(tx, &f->saving, err);
    if (!rc) rc = store_job_finish(tx, id, &f->end, err);
    return rc ? rc : store_job_get(&f->row, tx, id, err);
}

static enum err requeue_row(struct store_tx *tx, void *id, struct err_info *err)
{
    return store_job_requeue(tx, id, err);
}

static void log_job(enum log_level level, const char *msg, const struct job *job, const char *state,
                    const struct err_info *err)
{
    char detail[2 * ERR_MESSAGE_BYTES] = "";
    log_line(level, msg, "\"job\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\",\"detail\":\"%s\"",
             job->id, job->kind->name, state,
             log_escape(detail, sizeof detail, err && err->code ? err->message : ""));
}

/* Waits; false: the server stops. */
static bool pause_before_retry(struct jobs *j)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_MS / 1000;
    pthread_mutex_lock(&j->lock);
    while (!j->stopping && pthread_cond_timedwait(&j->changed, &j->lock, &until) == 0) continue;
    bool go_on = !j->stopping;
    pthread_mutex_unlock(&j->lock);
    return go_on;
}

/* store_write until it works, the row is gone (ERR_NOT_FOUND) or the server stops. */
static enum err write_at_last(struct jobs *j, const struct job *job, store_job *write, void *arg)
{
    struct err_info err = ERR_INFO_INIT;
    enum err rc;
    bool said = false;
    while ((rc = store_write(j->o.store, write, arg, &err)) && rc != ERR_NOT_FOUND) {
        if (!said) log_job(LOG_ERROR, "a job's state cannot be written", job, "", &err);
        said = true;
        if (!pause_before_retry(j)) break;
    }
    return rc;
}

/* An error whose message is for the log, not for the client; the other way round for the rest,
 * which may quote what the client sent. */
static bool is_ours(enum err rc)
{
    return rc == ERR_INTERNAL || rc == ERR_IO || rc == ERR_NOMEM;
}

/* What has become of it. rc, err: of run(). */
static struct store_job_end end_of(const struct job *job, bool cancelled, bool stopping,
                                   enum err rc, const struct err_info *err)
{
    struct store_job_end end = {.state = STORE_JOB_DONE, .ttl_ms = job->jobs->o.ttl_s * 1000};

    if (cancelled) {
        end.state = STORE_JOB_CANCELLED;
    } else if (!rc) {
        end.result_type = job->result_type;
        end.result_bytes = (int64_t)job->result_bytes;
    } else if (stopping) {
        end.state = STORE_JOB_INTERRUPTED;
        end.error_code = "interrupted";
        end.error_message = "the server was stopped while the job ran";
    } else {
        end.state = STORE_JOB_FAILED;
        end.error_code = err_name(rc);
        end.error_message =
            is_ours(rc)
                ? "something went wrong here; the server's log has the details under this job's id"
                : err->message;
    }
    return end;
}

static void finish(struct job *job, enum err rc, const struct err_info *err)
{
    struct jobs *j = job->jobs;
    struct live *l = job->live;
    struct err_info left = ERR_INFO_INIT;

    pthread_mutex_lock(&j->lock);
    const bool stopping = j->stopping, cancelled = l->row.cancel;
    pthread_mutex_unlock(&j->lock);
    if (rc && stopping && !cancelled && job->kind->restartable) {
        write_at_last(j, job, requeue_row, job->id);
        log_job(LOG_INFO, "job", job, "queued", NULL);
        return; /* the next start begins it again */
    }
    struct finishing f = {.saving = {.job = job}, .end = end_of(job, cancelled, stopping, rc, err)};
    enum err written = write_at_last(j, job, finish_row, &f);
    if (written && written != ERR_NOT_FOUND) return; /* stopping: the next start sees to it */
    enum store_job_state state = written ? STORE_JOB_CANCELLED : f.row.state; /* it was erased */
    log_job(state == STORE_JOB_FAILED ? LOG_WARN : LOG_INFO, "job", job,
            written ? "erased" : store_job_state_name(state), is_ours(rc) ? err : NULL);
    if (job_files_drop(&j->files, job->id, state == STORE_JOB_DONE ? job_files_keep_result : NULL,
                       &left))
        log_job(LOG_ERROR, "a job's files cannot be removed", job, "", &left);
    pthread_mutex_lock(&j->lock);
    if (!written) l->row = f.row;
    live__settle(j, l, state);
    pthread_mutex_unlock(&j->lock);
}

static void run_one(struct jobs *j, struct live *l)
{
    struct job job = {.jobs = j, .live = l};
    struct beginning b = {.job = &job};
    struct err_info err = ERR_INFO_INIT;

    pthread_mutex_lock(&j->lock);
    memcpy(job.id, l->row.id.s, sizeof job.id);
    job.kind = jobs__kind(j, l->row.kind);
    pthread_mutex_unlock(&j->lock);
    enum err rc = store_write(j->o.store, begin_row, &b, &err);
    pthread_mutex_lock(&j->lock);
    if (l->over) rc = ERR_NOT_FOUND; /* its row was erased right after it was begun */
    if (!rc) {
        b.row.cancel |= l->row.cancel;
        l->row = b.row;
        l->events = 0;
        l->phase_began = clock_seconds();
        live__changed(l);
    } else if (rc == ERR_NOT_FOUND) { /* cancelled or erased a moment ago */
        live__settle(j, l, STORE_JOB_CANCELLED);
    }
    pthread_mutex_unlock(&j->lock);
    if (!rc) {
        log_job(LOG_INFO, "job", &job, "running", NULL);
        rc = job.kind->run(&job, j->o.self, &err);
        finish(&job, rc, &err);
    } else if (rc != ERR_NOT_FOUND) {
        log_job(LOG_ERROR, "a job cannot be begun", &job, "queued", &err);
        pause_before_retry(j);
    }
    release(&job);
}

void *jobs__run(void *jobs)
{
    struct jobs *j = jobs;

    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (!j->stopping && !j->first) pthread_cond_wait(&j->changed, &j->lock);
        if (j->stopping) break;
        struct live *l = j->first; /* it leaves the table when it ends */
        l->holders++;
        pthread_mutex_unlock(&j->lock);
        run_one(j, l);
        pthread_mutex_lock(&j->lock);
        live__let_go(l);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}
