#include "server/jobs/jobs_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct job_kind *jobs__kind(const struct jobs *j, const char *name)
{
    for (const struct job_kind *k = j->o.kinds; k->name; k++)
        if (!strcmp(k->name, name)) return k;
    return NULL;
}

/* --- what an earlier process left --- */

struct taking_up {
    struct jobs *j;
    struct store_job_row *rows;
    size_t n, room;
};

static enum err remember(void *self, const struct store_job_row *row, struct err_info *err)
{
    struct taking_up *t = self;
    if (t->n == t->room) {
        size_t room = t->room ? t->room * 2 : 16;
        struct store_job_row *more = reallocarray(t->rows, room, sizeof *more);
        if (!more) return err_set(err, ERR_NOMEM, "no memory for %zu jobs", room);
        t->rows = more;
        t->room = room;
    }
    t->rows[t->n++] = *row;
    return ERR_OK;
}

/* Brings one row to what it is after a start: queued or final. */
static enum err take_up_one(struct jobs *j, struct store_tx *tx, struct store_job_row *row,
                            struct err_info *err)
{
    const struct job_kind *kind = jobs__kind(j, row->kind);
    struct store_job_end end = {
        .state = STORE_JOB_INTERRUPTED, .error_code = "interrupted", .ttl_ms = j->o.ttl_s * 1000};
    const bool ran = row->state == STORE_JOB_RUNNING;

    if (ran && row->cancel)
        end = (struct store_job_end){.state = STORE_JOB_CANCELLED, .ttl_ms = end.ttl_ms};
    else if (!kind)
        end.error_message = "this visavis does no jobs of this kind";
    else if (ran && !kind->restartable)
        end.error_message = "the server ended while the job ran, and it cannot be begun again";
    else if (ran && row->attempts >= JOBS_ATTEMPTS_MAX)
        end.error_message = "the job was begun several times, and each time the server ended";
    else {
        row->state = STORE_JOB_QUEUED;
        row->phase[0] = 0;
        row->done = row->total = 0;
        return ran ? store_job_requeue(tx, row->id.s, err) : ERR_OK;
    }
    row->state = end.state;
    return store_job_finish(tx, row->id.s, &end, err);
}

static enum err take_up_rows(struct store_tx *tx, void *self, struct err_info *err)
{
    struct taking_up *t = self;
    t->n = 0;
    enum err rc = store_job_unfinished(tx, remember, t, err);
    for (size_t i = 0; !rc && i < t->n; i++) rc = take_up_one(t->j, tx, &t->rows[i], err);
    return rc;
}

static enum err take_up(struct jobs *j, struct err_info *err)
{
    struct taking_up t = {.j = j};
    enum err rc = store_write(j->o.store, take_up_rows, &t, err);

    pthread_mutex_lock(&j->lock);
    for (size_t i = 0; !rc && i < t.n; i++) {
        if (t.rows[i].state != STORE_JOB_QUEUED) continue;
        struct live *l = live__new();
        if (l)
            live__add(j, l, &t.rows[i]);
        else
            rc = err_set(err, ERR_NOMEM, "no memory for %zu jobs", t.n);
    }
    pthread_mutex_unlock(&j->lock);
    free(t.rows);
    return rc ? rc : jobs_files_follow(j, err);
}

/* --- opening and closing --- */

enum err jobs_open(struct jobs **out, const struct jobs_options *o, struct err_info *err)
{
    pthread_condattr_t monotonic;
    enum err rc;
    struct jobs *j = calloc(1, sizeof *j);

    if (!j) return err_set(err, ERR_NOMEM, "no memory for jobs");
    j->o = *o;
    if (!j->o.queue_max) j->o.queue_max = 16;
    if (!j->o.ttl_s) j->o.ttl_s = 24 * 3600;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->files_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&j->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if ((rc = job_files_open(&j->files, o->dir, err)) || (rc = take_up(j, err))) goto fail;
    if (pthread_create(&j->runner, NULL, jobs__run, j)) {
        rc = err_set(err, ERR_NOMEM, "cannot start the thread of the jobs");
        goto fail;
    }
    j->has_runner = true;
    pthread_setname_np(j->runner, "visavis-jobs");
    *out = j;
    return ERR_OK;
fail:
    jobs_close(j);
    return rc;
}

void jobs_close(struct jobs *j)
{
    if (!j) return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    for (struct live *l = j->first; l; l = l->next) atomic_store(&l->asked_to_end, true);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    if (j->has_runner) pthread_join(j->runner, NULL);
    for (struct live *l = j->first, *next; l; l = next) {
        next = l->next;
        assert(l->holders == 1 && !l->first);
        free(l);
    }
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->files_lock);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

/* --- submitting --- */

struct submission {
    struct store_job_new new;
    struct store_job_row row;
};

static enum err add_row(struct store_tx *tx, void *self, struct err_info *err)
{
    struct submission *s = self;
    enum err rc = store_job_add(tx, &s->new, err);
    return rc ? rc : store_job_get(&s->row, tx, s->new.id.s, err);
}

/* Under the files' lock: files and row come together. */
static enum err add_job(struct job_view *out, struct jobs *j, struct submission *s, struct live *l,
                        struct err_info *err)
{
    const char *id = s->new.id.s;
    enum err rc = s->new.n_uploads ? job_files_adopt(&j->files, id, err) : ERR_OK;

    if (rc) return rc;
    if ((rc = store_write(j->o.store, add_row, s, err))) {
        (void)!job_files_drop(&j->files, id, NULL, NULL); /* else jobs_files_follow will */
        return rc;
    }
    pthread_mutex_lock(&j->lock);
    live__add(j, l, &s->row);
    live__view(out, l);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return ERR_OK;
}

static enum err reserve(struct jobs *j, struct err_info *err)
{
    enum err rc = ERR_OK;
    pthread_mutex_lock(&j->lock);
    if (live__queued(j) + j->reserved >= j->o.queue_max)
        rc = err_set(err, ERR_BUSY, "%d jobs are waiting, which is the limit; try again later",
                     j->o.queue_max);
    else
        j->reserved++;
    pthread_mutex_unlock(&j->lock);
    return rc;
}

static enum err submit(struct job_view *out, struct jobs *j, const struct job_order *o,
                       struct live *l, struct err_info *err)
{
    struct store_job_upload names[JOBS_UPLOADS_MAX];
    struct store_bytes bytes[JOBS_UPLOADS_MAX];
    struct submission s = {.new = {.kind = o->kind,
                                   .key = o->key,
                                   .parameters = o->parameters,
                                   .collection = o->collection,
                                   .uploads = names,
                                   .n_uploads = o->n_uploads}};
    enum err rc;

    for (int i = 0; i < o->n_uploads; i++) {
        names[i] = (struct store_job_upload){o->uploads[i].name, (int64_t)o->uploads[i].len};
        bytes[i] = (struct store_bytes){o->uploads[i].data, o->uploads[i].len};
    }
    ulid_make(&s.new.id);
    if (o->n_uploads && (rc = job_files_put(&j->files, s.new.id.s, bytes, o->n_uploads, err)))
        return rc;
    pthread_mutex_lock(&j->files_lock);
    rc = add_job(out, j, &s, l, err);
    pthread_mutex_unlock(&j->files_lock);
    return rc;
}

enum err jobs_submit(struct job_view *out, struct jobs *j, const struct job_order *o,
                     struct err_info *err)
{
    enum err rc;

    if (!jobs__kind(j, o->kind))
        return err_set(err, ERR_INTERNAL, "no jobs of the kind %.40s are done here", o->kind);
    if (o->n_uploads > JOBS_UPLOADS_MAX)
        return err_set(err, ERR_INVALID, "%d files for one job, the limit is %d", o->n_uploads,
                       JOBS_UPLOADS_MAX);
    if ((rc = reserve(j, err))) return rc;
    struct live *l = live__new();
    rc = l ? submit(out, j, o, l, err) : err_set(err, ERR_NOMEM, "no memory for a job");
    if (rc) free(l);
    pthread_mutex_lock(&j->lock);
    j->reserved--;
    pthread_mutex_unlock(&j->lock);
    return rc;
}

/* --- looking --- */

bool jobs__view_of(struct job_view *out, struct jobs *j, const struct store_job_row *row)
{
    pthread_mutex_lock(&j->lock);
    struct live *l = live__find(j, row->id.s);
    if (l)
        live__view(out, l);
    else
        live__view_row(out, row);
    pthread_mutex_unlock(&j->lock);
    return l;
}

struct looking {
    struct jobs *j;
    const char *id;
    struct store_job_row row;
    const struct store_job_query *query;
    jobs_each *each;
    void *self;
};

static enum err get_row(struct store_tx *tx, void *self, struct err_info *err)
{
    struct looking *k = self;
    return store_job_get(&k->row, tx, k->id, err);
}

enum err jobs_view(struct job_view *out, struct jobs *j, const char *id, struct err_info *err)
{
    struct looking k = {.id = id};
    enum err rc = store_read(j->o.store, get_row, &k, err);

    if (rc || jobs__view_of(out, j, &k.row) || store_job_final(k.row.state)) return rc;
    /* It ended after the row was read and before we looked at the table: now the row says how. */
    if ((rc = store_read(j->o.store, get_row, &k, err))) return rc;
    live__view_row(out, &k.row);
    return ERR_OK;
}

static enum err list_one(void *self, const struct store_job_row *row, struct err_info *err)
{
    struct looking *k = self;
    struct job_view v;
    jobs__view_of(&v, k->j, row);
    return k->each(k->self, &v, err);
}

static enum err list_rows(struct store_tx *tx, void *self, struct err_info *err)
{
    struct looking *k = self;
    return store_job_list(tx, k->query, list_one, k, err);
}

enum err jobs_list(struct jobs *j, const struct store_job_query *q, jobs_each *each, void *self,
                   struct err_info *err)
{
    struct looking k = {.j = j, .query = q, .each = each, .self = self};
    return store_read(j->o.store, list_rows, &k, err);
}

enum err jobs_open_result(int *fd, struct jobs *j, const char *id, struct err_info *err)
{
    return job_files_open_result(fd, &j->files, id, err);
}
