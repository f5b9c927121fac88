/* The routes. One handler each; the table is routes.c, the contract openapi.yaml (a test compares
 * the two). */
#ifndef VISAVIS_SERVER_API_API_H
#define VISAVIS_SERVER_API_API_H

#include "server/api/app.h"
#include "server/http/http.h"

extern const struct route api_routes[];
extern const size_t api_n_routes;

enum { IMAGE_MAX_BYTES = 20 * 1024 * 1024 }; /* of one encoded picture */

route_handler api_verify;       /* verify.c */
route_handler api_detect;       /* faces.c */
route_handler api_embed;        /* faces.c */
route_handler api_classify;     /* faces.c */
route_handler api_models;       /* models.c */
route_handler api_jobs;         /* jobs.c */
route_handler api_job;          /* jobs.c */
route_handler api_job_delete;   /* jobs.c */
route_handler api_job_result;   /* jobs.c */
route_handler api_job_events;   /* job_events.c */
route_handler api_health_live;  /* health.c */
route_handler api_health_ready; /* health.c */
route_handler api_metrics;      /* metrics.c */
route_handler api_openapi;      /* about.c */
route_handler api_about;        /* about.c */

#endif
