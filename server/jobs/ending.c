/* How jobs end other than by their own run(): cancelled, removed, erased, expired. */
#include "server/jobs/jobs_internal.h"

#include <stdlib.h>
#include <string.h>

struct ending {
    const char *id;
    int64_t ttl_ms;
    enum store_job_state was;
    struct store_job_row row;
};

static enum err cancel_row(struct store_tx *tx, void *self, struct err_info *err)
{
    struct ending *e = self;
    enum err rc = store_job_get(&e->row, tx, e->id, err);
    if (rc || (rc = store_job_cancel(&e->was, tx, e->id, e->ttl_ms, err))) return rc;
    return store_job_final(e->was) ? ERR_OK : store_job_get(&e->row, tx, e->id, err);
}

enum err jobs_cancel(struct job_view *out, bool *removed, struct jobs *j, const char *id,
                     struct err_info *err)
{
    struct ending e = {.id = id, .ttl_ms = j->o.ttl_s * 1000};
    enum err rc = store_write(j->o.store, cancel_row, &e, err);

    if (rc) return rc;
    pthread_mutex_lock(&j->lock);
    struct live *l = live__find(j, id);
    if (l && e.was == STORE_JOB_QUEUED) {
        l->row = e.row;
        live__settle(j, l, STORE_JOB_CANCELLED);
    } else if (l && e.was == STORE_JOB_RUNNING) {
        l->row.cancel = true;
        atomic_store(&l->asked_to_end, true);
        live__changed(l);
    }
    pthread_mutex_unlock(&j->lock);
    *removed = store_job_final(e.was);
    jobs__view_of(out, j, &e.row);
    return e.was == STORE_JOB_RUNNING ? ERR_OK : job_files_drop(&j->files, id, NULL, err);
}

struct following {
    struct store_job_id *ids;
    size_t n;
};

static enum err read_ids(struct store_tx *tx, void *self, struct err_info *err)
{
    struct following *f = self;
    return store_job_ids(&f->ids, &f->n, tx, err);
}

static int compare_id(const void *id, const void *job)
{
    return strcmp(id, ((const struct store_job_id *)job)->id.s);
}

static void end_erased(struct jobs *j, const struct following *f)
{
    pthread_mutex_lock(&j->lock);
    for (struct live *l = j->first, *next; l; l = next) {
        next = l->next;
        if (f->n && bsearch(l->row.id.s, f->ids, f->n, sizeof *f->ids, compare_id)) continue;
        atomic_store(&l->asked_to_end, true);
        if (l->row.state == STORE_JOB_QUEUED) live__settle(j, l, STORE_JOB_CANCELLED);
    }
    pthread_mutex_unlock(&j->lock);
}

enum err jobs_files_follow(struct jobs *j, struct err_info *err)
{
    struct following f = {0};
    pthread_mutex_lock(&j->files_lock);
    enum err rc = store_read(j->o.store, read_ids, &f, err);
    if (!rc) {
        end_erased(j, &f);
        rc = job_files_follow(&j->files, f.ids, f.n, err);
    }
    pthread_mutex_unlock(&j->files_lock);
    free(f.ids);
    return rc;
}

struct expiring {
    int64_t now_ms, n;
};

static enum err expire_rows(struct store_tx *tx, void *self, struct err_info *err)
{
    struct expiring *e = self;
    return store_job_expire(&e->n, tx, e->now_ms, err);
}

enum err jobs_expire(struct jobs *j, int64_t now_ms, struct err_info *err)
{
    struct expiring e = {.now_ms = now_ms};
    enum err rc = store_write(j->o.store, expire_rows, &e, err);
    /* Also where none expired: another process may have erased some. */
    return rc ? rc : jobs_files_follow(j, err);
}
