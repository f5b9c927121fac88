/* Jobs over HTTP: what handlers that start one need, and what their routes share. */
#ifndef VISAVIS_SERVER_API_JOBS_H
#define VISAVIS_SERVER_API_JOBS_H

#include "server/api/app.h"
#include "server/jobs/jobs.h"

#include <jansson.h>

/* The kinds of job that this server does; a NULL name ends it. */
extern const struct job_kind api_job_kinds[];

/* Submits o for the request's key and answers 202 with Location and the job's JSON. Of *o, key and
 * parameters are set here. parameters: an object whose reference is taken; NULL is ERR_NOMEM.
 * Errors of jobs_submit. */
NODISCARD enum err job_submit(struct app *app, struct request *rq, struct reply *rp,
                              struct job_order *o, json_t *parameters, struct err_info *err);

/* New reference; NULL: no memory. */
json_t *job_json(const struct job_view *v);
/* The job that the path names, where the request's key may see it: every job without a key, its own
 * with one. ERR_NOT_FOUND. */
NODISCARD enum err job_of(struct job_view *out, struct app *app, const struct request *rq,
                          struct err_info *err);

#endif
