/* The routes. One handler each; the table is routes.c, the contract openapi.yaml (a test compares
 * the two). */
#ifndef VISAVIS_SERVER_API_API_H
#define VISAVIS_SERVER_API_API_H

#include "server/api/app.h"
#include "server/http/http.h"

extern const struct route api_routes[];
extern const size_t api_n_routes;

enum { IMAGE_MAX_BYTES = 20 * 1024 * 1024 }; /* of one encoded picture */

route_handler api_verify;   /* verify.c */
route_handler api_detect;   /* faces.c */
route_handler api_embed;    /* faces.c */
route_handler api_classify; /* faces.c */
route_handler api_collections_create, api_collections_list, api_collections_get,
    api_collections_change, api_collections_erase, api_collections_undo; /* collections.c */
route_handler api_identities_create, api_identities_list, api_identities_get, api_identities_change,
    api_identities_erase;                              /* identities.c */
route_handler api_identities_merge, api_examples_move; /* rearrange.c */
route_handler api_enrol, api_enrol_unassigned;         /* enrol.c */
route_handler api_examples_list, api_examples_get, api_examples_erase, api_examples_thumbnail,
    api_examples_photo;     /* examples.c */
route_handler api_identify; /* identify.c */
route_handler api_calibration_measure, api_calibration_get,
    api_calibration_drop;     /* gallery_calibration.c */
route_handler api_reembed;    /* reembed.c */
route_handler api_claim;      /* claim.c */
route_handler api_models;     /* models.c */
route_handler api_jobs;       /* jobs.c */
route_handler api_job;        /* jobs.c */
route_handler api_job_delete; /* jobs.c */
route_handler api_job_result; /* jobs.c */
route_handler api_job_events; /* job_events.c */
route_handler api_clusters, api_clusters_list, api_clusters_get,
    api_clusters_erase;                                                     /* clusters.c */
route_handler api_clusters_promote, api_clusters_assign;                    /* clusters_promote.c */
route_handler api_clusters_split, api_clusters_merge, api_clusters_outlier; /* clusters_relabel.c */
route_handler api_clusters_update;                                          /* clusters_update.c */
route_handler api_health_live;                                              /* health.c */
route_handler api_health_ready;                                             /* health.c */
route_handler api_metrics;                                                  /* metrics.c */
route_handler api_openapi;                                                  /* about.c */
route_handler api_about;                                                    /* about.c */
route_handler api_key_create;                                               /* keys.c */
route_handler api_key_list;                                                 /* keys.c */
route_handler api_key_revoke;                                               /* keys.c */
route_handler api_audit;                                                    /* audit.c */
route_handler api_backup;                                                   /* backup.c */

#endif
