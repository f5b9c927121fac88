/* One clustering: the cut that the calibration gives, constraints, cluster_run, the report. */
#include "engine/base/mem.h"
#include "server/clusters/run_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* DEFAULT_FMR: where an algorithm needs a cut and none is given, as verify decides. POSSIBLE_FMR:
 * clusters as alike as this may be one person. */
static const double DEFAULT_FMR = 1e-3, POSSIBLE_FMR = 1e-2;
enum { THUMBNAIL_BYTES = 4096, FACE_BYTES = 4096 /* its JSON, as objects and as text */ };

/* --- memory --- */

size_t clusters_memory(size_t n, int dim, const struct clusters_options *o)
{
    struct cluster_options run = o->run;
    struct cluster_report_options report = CLUSTER_REPORT_OPTIONS_INIT;
    static const uint32_t some[1] = {CLUSTER_NO_GROUP}; /* only whether there are any counts */
    size_t sum = 0, bytes;

    report.layout = o->layout;
    if (o->cannot_link) run.constraints.apart = some;
    const size_t clustering = cluster_memory(n, dim, &run);
    const size_t reporting =
        cluster_report_memory(n, dim, (int)(n / 2 < INT32_MAX ? n / 2 : 0) + 1, &report);
    if (!mul_ok(&bytes, n, (size_t)dim * sizeof(float) + FACE_BYTES) ||
        __builtin_add_overflow(clustering, reporting, &sum) ||
        __builtin_add_overflow(sum, bytes, &sum))
        return SIZE_MAX;
    return sum + (n < CLUSTERS_THUMBNAILS_MAX ? n : CLUSTERS_THUMBNAILS_MAX) * THUMBNAIL_BYTES;
}

enum err clusters_check_memory(size_t n, int dim, const struct clusters_options *o,
                               struct err_info *err)
{
    const size_t need = clusters_memory(n, dim, o);

    if (!o->memory_max || need <= o->memory_max) return ERR_OK;
    if (need == SIZE_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s of %zu faces does not fit into any memory",
                       cluster_algorithm_name(o->run.algorithm), n);
    return err_set(err, ERR_TOO_LARGE,
                   "%s and the report of %zu faces of %d numbers would take %zu MB, the limit is "
                   "%zu MB",
                   cluster_algorithm_name(o->run.algorithm), n, dim, (need >> 20) + 1,
                   o->memory_max >> 20);
}

/* --- the cut --- */

struct task {
    const struct clusters_faces *faces;
    const struct clusters_options *asked;
    struct cluster_options run;
    struct calibration *calibration; /* NULL: none that applies */
    const char *source;              /* its; NULL where the cut is not from it */
    char why_none[ERR_MESSAGE_BYTES];
    struct cluster_rate rates[CLUSTER_RATES];
    double fmr; /* of a cut that was asked for by its rate, or chosen; 0: none */
    float possible;
};

/* One that does not apply is not used, and why_none says why. */
static enum err take_calibration(struct task *t, struct err_info *err)
{
    const struct clusters_faces *f = t->faces;
    struct calibration_info info;
    struct calibration *cal = NULL;

    snprintf(t->why_none, sizeof t->why_none, "model %s has no calibration", f->model);
    if (!f->calibration) return ERR_OK;
    enum err rc = calibration_parse(&cal, f->calibration, err);
    if (rc) return err_prefix(err, "the calibration of %s", f->model);
    calibration_info(cal, &info);
    if (f->recipe && !strcmp(info.recipe, f->recipe)) {
        t->calibration = cal;
        return ERR_OK;
    }
    snprintf(t->why_none, sizeof t->why_none,
             "calibration %.60s belongs to another recipe than the faces", info.source);
    calibration_free(cal);
    return ERR_OK;
}

static void note_source(struct task *t)
{
    struct calibration_info info;
    calibration_info(t->calibration, &info);
    t->source = info.source;
}

/* Rates that the data do not support are left out. */
static void set_rates(struct task *t)
{
    int n = 0;
    for (int i = 0; t->calibration && i < CLUSTER_RATES; i++) {
        struct err_info ignored = ERR_INFO_INIT;
        float cut;
        if (calibration_cut(t->calibration, cluster_rates[i], &cut, &ignored)) continue;
        if (n && cut > t->rates[n - 1].similarity) cut = t->rates[n - 1].similarity;
        t->rates[n++] = (struct cluster_rate){cluster_rates[i], cut};
    }
    if (!n) return;
    t->run.rates = t->rates;
    t->run.n_rates = n;
    note_source(t);
}

static enum err cut_at(struct task *t, double fmr, struct err_info *err)
{
    enum err rc;

    if (!t->calibration)
        return err_set(err, ERR_FMR_UNSUPPORTED, "%s: give a cut%s", t->why_none,
                       t->asked->fmr > 0 ? " instead of fmr" : "");
    if ((rc = calibration_cut(t->calibration, fmr, &t->run.cut, err))) return rc;
    t->fmr = fmr;
    note_source(t);
    return ERR_OK;
}

/* The default rate or, where the data do not support it, the strictest that they do. */
static enum err default_cut(struct task *t, struct err_info *err)
{
    struct calibration_info info = {.min_fmr = 0};
    if (t->calibration) calibration_info(t->calibration, &info);
    return cut_at(t, info.min_fmr > DEFAULT_FMR ? info.min_fmr : DEFAULT_FMR, err);
}

static enum err set_cut(struct task *t, struct err_info *err)
{
    struct err_info ignored = ERR_INFO_INIT;
    const enum cluster_algorithm a = t->run.algorithm;
    const bool needs = a == CLUSTER_DBSCAN || a == CLUSTER_WHISPERS;
    const bool linkage = a == CLUSTER_AVERAGE || a == CLUSTER_COMPLETE;
    const bool open = !t->run.k && !t->asked->search_k && isnan(t->run.cut) && !t->asked->fmr;
    enum err rc = ERR_OK;

    if (t->asked->fmr > 0)
        rc = cut_at(t, t->asked->fmr, err);
    else if (a == CLUSTER_AUTO && open)
        set_rates(t);
    else if (isnan(t->run.cut) && (needs || (linkage && open && t->calibration)))
        rc = default_cut(t, err);
    if (!t->calibration || calibration_cut(t->calibration, POSSIBLE_FMR, &t->possible, &ignored))
        t->possible = NAN;
    return rc;
}

/* What cluster_run cannot know of the parameters. */
static void note_cut(struct cluster_result *r, const struct task *t)
{
    const bool searched = t->run.algorithm == CLUSTER_AUTO && !t->run.rates && !t->run.k &&
                          isnan(t->run.cut) && !t->asked->search_k;
    if (r->n_parameters == CLUSTER_PARAMETERS_MAX || (!t->fmr && !searched)) return;
    struct cluster_parameter *p = &r->parameters[r->n_parameters++];
    p->name = searched ? "calibration" : "fmr";
    if (searched) {
        snprintf(p->value, sizeof p->value, "none");
        snprintf(p->why, sizeof p->why, "%.150s: the number of clusters is searched", t->why_none);
        return;
    }
    snprintf(p->value, sizeof p->value, "%g", t->fmr);
    snprintf(p->why, sizeof p->why, "%s; the cut is the similarity at this rate of %.100s",
             t->asked->fmr > 0 ? "as asked" : "the default", t->source);
}

/* --- running --- */

static enum err prepare(struct task *t, const struct clusters_work *work, struct err_info *err)
{
    const struct clusters_faces *f = t->faces;
    const struct clusters_options *o = t->asked;
    enum err rc;

    t->run = o->run;
    if ((rc = clusters_check_memory(f->n, f->dim, o, err)) || (rc = take_calibration(t, err)) ||
        (rc = set_cut(t, err)))
        return rc;
    if (o->cannot_link) t->run.constraints.apart = f->photo;
    if (o->must_link && f->example) t->run.constraints.together = f->identity;
    t->run.memory_max = o->memory_max;
    t->run.cores = work->cores;
    t->run.progress = work->progress;
    return ERR_OK;
}

static enum err run_task(struct cluster_result **out, struct task *t,
                         const struct clusters_work *work, struct err_info *err)
{
    enum err rc = prepare(t, work, err);

    if (!rc) rc = cluster_run(out, t->faces->x, t->faces->n, t->faces->dim, &t->run, err);
    if (!rc) note_cut(*out, t);
    return rc;
}

enum err clusters__report(struct cluster_report **out, const struct clusters_faces *f,
                          const struct cluster_result *r, const struct clusters__reporting *how,
                          const struct clusters_work *work, struct err_info *err)
{
    struct cluster_report_options o = CLUSTER_REPORT_OPTIONS_INIT;

    o.cut = r->cut;
    o.possible = (float)how->possible;
    if (!isnan(r->cut) && o.possible > r->cut) o.possible = r->cut;
    if (how->cannot_link) o.apart = f->photo;
    o.truth = f->truth;
    o.layout = how->layout;
    o.seed = how->seed;
    o.memory_max = how->memory_max;
    o.cores = work->cores;
    o.progress = work->progress;
    return cluster_report_new(out, f->x, f->n, f->dim, r->labels, &o, err);
}

enum err clusters__document(struct clusters_done *out, const struct cluster_result *r,
                            const struct cluster_report *report, const struct clusters_faces *f,
                            const struct clusters_about *about, const char *calibration,
                            struct err_info *err)
{
    const struct report_about a = {.id = about->id,
                                   .title = about->title,
                                   .collection = about->collection,
                                   .model = f->model,
                                   .precision = f->precision,
                                   .recipe = f->recipe,
                                   .calibration = calibration,
                                   .created_ms = about->created_ms,
                                   .skipped = f->skipped,
                                   .photos = f->photos};
    enum err rc = report_json(&out->report, r, report, f->face, f->n, &a, err);

    if (rc) return rc;
    out->n = f->n;
    out->summary = report_summary(out->report);
    out->labels = calloc(f->n + 1, sizeof *out->labels);
    if (report->layout) out->layout = calloc(f->n + 1, 2 * sizeof *out->layout);
    if (!out->summary || !out->labels || (report->layout && !out->layout))
        return err_set(err, ERR_NOMEM, "no memory for a report on %zu faces", f->n);
    memcpy(out->labels, r->labels, f->n * sizeof *out->labels);
    if (report->layout) memcpy(out->layout, report->layout, f->n * 2 * sizeof *out->layout);
    return ERR_OK;
}

void clusters_done_release(struct clusters_done *d)
{
    json_decref(d->report);
    json_decref(d->summary);
    json_decref(d->basis);
    free(d->labels);
    free(d->layout);
    *d = (struct clusters_done){0};
}

enum err clusters_run(struct clusters_done *out, const struct clusters_faces *f,
                      const struct clusters_options *o, const struct clusters_about *about,
                      const struct clusters_work *work, struct err_info *err)
{
    struct task t = {.faces = f, .asked = o};
    struct clusters_done done = {0};
    struct cluster_result *result = NULL;
    struct cluster_report *report = NULL;
    enum err rc = run_task(&result, &t, work, err);

    const struct clusters__reporting how = {.cannot_link = o->cannot_link,
                                            .layout = o->layout,
                                            .possible = (double)t.possible,
                                            .seed = o->run.seed,
                                            .memory_max = o->memory_max,
                                            .calibration = t.source};
    if (!rc) rc = clusters__report(&report, f, result, &how, work, err);
    if (!rc) rc = clusters__document(&done, result, report, f, about, t.source, err);
    if (!rc && !(done.basis = clusters__basis(result, report, &how, about, o->asked)))
        rc = err_set(err, ERR_NOMEM, "no memory for a report on %zu faces", f->n);
    cluster_result_free(result);
    cluster_report_free(report);
    calibration_free(t.calibration);
    if (rc)
        clusters_done_release(&done);
    else
        *out = done;
    return rc;
}

enum err clusters_labels(int32_t **labels, const struct clusters_faces *f,
                         const struct clusters_options *o, const struct clusters_work *work,
                         struct err_info *err)
{
    struct task t = {.faces = f, .asked = o};
    struct cluster_result *result = NULL;
    enum err rc = run_task(&result, &t, work, err);

    if (!rc) {
        *labels = result->labels;
        result->labels = NULL;
    }
    cluster_result_free(result);
    calibration_free(t.calibration);
    return rc;
}
