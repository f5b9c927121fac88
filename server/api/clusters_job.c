/* A clustering as a job: what is too much for one request. Restartable: it begins again with the
 * uploads that the job keeps, or with the collection as it is then. */
#include "server/api/clusters.h"
#include "server/api/clusters_in.h"
#include "server/jobs/jobs.h"

#include "engine/base/mem.h"

#include <string.h>
#include <time.h>

enum err clusters_add_upload(struct clusters_photos *p, bool zip, const char *name,
                             const void *data, size_t len, struct err_info *err)
{
    return zip ? clusters_photos_add_zip(p, name, data, len, err)
               : clusters_photos_add(p, name, data, len, err);
}

struct running {
    struct job *job;
    const char *phase;
};

/* cluster_progress.tell, and that of embedding. */
static bool tell(void *self, const char *phase, size_t done, size_t total)
{
    struct running *r = self;

    if (!r->phase || strcmp(r->phase, phase) != 0) {
        r->phase = phase;
        job_phase(r->job, phase, (int64_t)total);
    }
    job_progress(r->job, (int64_t)done);
    return !job_cancelled(r->job);
}

static enum err take_uploads(struct clusters_photos *p, struct job *job, struct err_info *err)
{
    enum err rc = clusters_photos_init(p, err);

    for (int i = 0; !rc && i < job_n_uploads(job); i++) {
        const char *name = job_upload_name(job, i);
        const bool zip = !strncmp(name, CLUSTERS_ZIP, strlen(CLUSTERS_ZIP));
        const uint8_t *data;
        size_t len;
        rc = job_upload_bytes(&data, &len, job, i, err);
        if (!rc)
            rc = clusters_add_upload(p, zip,
                                     name + (zip ? strlen(CLUSTERS_ZIP) : strlen(CLUSTERS_IMAGE)),
                                     data, len, err);
    }
    return rc;
}

static enum err embed(struct clusters_faces *f, struct app *app, struct job *job,
                      const struct clusters_in *in, const struct clusters_work *work,
                      struct err_info *err)
{
    struct clusters_photos p = {0};
    enum err rc = take_uploads(&p, job, err);

    if (!rc) rc = clusters_embed(f, app->engine, &p, &in->options, true, work, err);
    clusters_photos_release(&p);
    return rc;
}

static enum err give_result(struct job *job, const struct clusters_done *d, struct err_info *err)
{
    AUTO_FREE char *text = NULL;
    char report[64];
    json_auto_t *o = json_deep_copy(d->summary);

    snprintf(report, sizeof report, "/v1/clusters/%s", job_id(job));
    if (!o || json_object_set_new(o, "report", json_string(report)))
        return err_set(err, ERR_NOMEM, "no memory for a result");
    enum err rc = clusters_text(&text, o, err);
    return rc ? rc : job_result(job, "application/json", text, strlen(text), err);
}

static enum err run(struct job *job, struct app *app, const struct clusters_in *in,
                    struct gallery_collection *c, const struct clusters_work *work,
                    struct err_info *err)
{
    const struct clusters_choice choice = {.tag = in->tag, .unassigned = in->unassigned};
    struct clusters_faces f = CLUSTERS_FACES_INIT;
    struct clusters_done d = {0};
    enum err rc = c ? clusters_gather(&f, app->store, app->engine, c, &choice, true, err)
                    : embed(&f, app, job, in, work, err);

    if (rc) return rc;
    const struct clusters_about about = {.id = job_id(job),
                                         .title = in->title ? in->title
                                                  : c       ? c->is.name
                                                            : "photographs",
                                         .collection = c ? c->is.id : NULL,
                                         .created_ms = (int64_t)time(NULL) * 1000};
    rc = clusters_run(&d, &f, &in->options, &about, work, err);
    if (!rc) job_phase(job, "keeping", 0);
    const struct clusters_keep keep = {.id = job_id(job),
                                       .key = "",
                                       .collection = c ? c->is.row : 0,
                                       .job = true,
                                       .done = &d,
                                       .faces = &f};
    if (!rc) rc = clusters_keep(app, &keep, err);
    if (!rc) rc = give_result(job, &d, err);
    clusters_done_release(&d);
    clusters_faces_release(&f);
    return rc;
}

enum err clusters_job(struct job *job, void *self, struct err_info *err)
{
    struct app *app = self;
    AUTO_GALLERY struct gallery_collection *c = NULL;
    json_auto_t *asked = json_loads(job_parameters(job), 0, NULL);
    struct running r = {.job = job};
    const struct clusters_work work = {engine_cores(app->engine), {&r, tell}};
    struct clusters_in in;
    enum err rc;

    if (!asked) return err_set(err, ERR_INTERNAL, "the parameters of a job cannot be read");
    if ((rc = clusters_in_parse(&in, asked, err)) ||
        (in.collection && (rc = gallery_hold(&c, app->gallery, in.collection, err))))
        return rc;
    in.options.memory_max = app->cluster_memory_max;
    return run(job, app, &in, c, &work, err);
}
