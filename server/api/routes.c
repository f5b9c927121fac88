#include "server/api/api.h"

#include "engine/base/mem.h"

enum {
    FORM_SLACK_BYTES = 1024 * 1024, /* a form's boundaries and small fields */
    ONE_IMAGE_BYTES = IMAGE_MAX_BYTES + FORM_SLACK_BYTES,
    TWO_IMAGES_BYTES = 2 * ONE_IMAGE_BYTES,
    SEVERAL_IMAGES_BYTES = 4 * ONE_IMAGE_BYTES, /* up to FACES_IN_IMAGES_MAX smaller ones */
    CLUSTER_BYTES = 256 * 1024 * 1024,          /* photographs and archives of them */
    PICTURES = ROUTE_MULTIPART | ROUTE_JSON | ROUTE_READ | ROUTE_STATELESS,
    ASK = ROUTE_MULTIPART | ROUTE_JSON | ROUTE_READ,
    ENROL = ROUTE_MULTIPART | ROUTE_JSON | ROUTE_WRITE,
    CHANGE = ROUTE_JSON | ROUTE_WRITE,
    REPORT = ROUTE_READ | ROUTE_STATELESS, /* whose a report is, its handler checks */
    ACT = ROUTE_JSON | ROUTE_WRITE | ROUTE_STATELESS,
    JOBS = ROUTE_READ | ROUTE_STATELESS, /* whose a job is, its handler checks */
    OPEN = ROUTE_INLINE | ROUTE_OPEN,
};
#define COLLECTION "/v1/collections/{c}"
#define IDENTITY   COLLECTION "/identities/{i}"
#define EXAMPLE    COLLECTION "/examples/{e}"
#define CLUSTERS   "/v1/clusters"

const struct route api_routes[] = {
    {"POST", "/v1/verify", PICTURES, TWO_IMAGES_BYTES, api_verify},
    {"POST", "/v1/detect", PICTURES, ONE_IMAGE_BYTES, api_detect},
    {"POST", "/v1/embed", PICTURES, ONE_IMAGE_BYTES, api_embed},
    {"POST", "/v1/classify", PICTURES, ONE_IMAGE_BYTES, api_classify},
    {"GET", "/v1/models", ROUTE_INLINE | ROUTE_READ | ROUTE_STATELESS, 0, api_models},
    {"POST", "/v1/collections", CHANGE, 0, api_collections_create},
    {"GET", "/v1/collections", ROUTE_READ, 0, api_collections_list},
    {"GET", COLLECTION, ROUTE_READ, 0, api_collections_get},
    {"PATCH", COLLECTION, CHANGE, 0, api_collections_change},
    {"DELETE", COLLECTION, ROUTE_WRITE, 0, api_collections_erase},
    {"POST", COLLECTION "/undo", ROUTE_WRITE, 0, api_collections_undo},
    {"POST", COLLECTION "/reembed", CHANGE, 0, api_reembed},
    {"POST", COLLECTION "/calibration", ROUTE_WRITE, 0, api_calibration_measure},
    {"GET", COLLECTION "/calibration", ROUTE_READ, 0, api_calibration_get},
    {"DELETE", COLLECTION "/calibration", ROUTE_WRITE, 0, api_calibration_drop},
    {"POST", COLLECTION "/identify", ASK, SEVERAL_IMAGES_BYTES, api_identify},
    {"POST", COLLECTION "/verify", ASK, ONE_IMAGE_BYTES, api_claim},
    {"POST", COLLECTION "/identities", CHANGE, 0, api_identities_create},
    {"GET", COLLECTION "/identities", ROUTE_READ, 0, api_identities_list},
    {"GET", IDENTITY, ROUTE_READ, 0, api_identities_get},
    {"PATCH", IDENTITY, CHANGE, 0, api_identities_change},
    {"DELETE", IDENTITY, ROUTE_WRITE, 0, api_identities_erase},
    {"POST", IDENTITY "/merge", CHANGE, 0, api_identities_merge},
    {"POST", IDENTITY "/examples", ENROL, SEVERAL_IMAGES_BYTES, api_enrol},
    {"GET", IDENTITY "/examples", ROUTE_READ, 0, api_examples_list},
    {"GET", IDENTITY "/examples/{e}", ROUTE_READ, 0, api_examples_get},
    {"DELETE", IDENTITY "/examples/{e}", ROUTE_WRITE, 0, api_examples_erase},
    {"POST", COLLECTION "/examples", ENROL, SEVERAL_IMAGES_BYTES, api_enrol_unassigned},
    {"GET", COLLECTION "/examples", ROUTE_READ, 0, api_examples_list},
    {"GET", EXAMPLE, ROUTE_READ, 0, api_examples_get},
    {"DELETE", EXAMPLE, ROUTE_WRITE, 0, api_examples_erase},
    {"POST", EXAMPLE "/move", CHANGE, 0, api_examples_move},
    {"GET", EXAMPLE "/thumbnail", ROUTE_READ, 0, api_examples_thumbnail},
    {"GET", EXAMPLE "/photo", ROUTE_READ, 0, api_examples_photo},
    {"POST", CLUSTERS, PICTURES, CLUSTER_BYTES, api_clusters},
    {"GET", CLUSTERS, REPORT, 0, api_clusters_list},
    {"GET", CLUSTERS "/{id}", REPORT, 0, api_clusters_get},
    {"DELETE", CLUSTERS "/{id}", ROUTE_WRITE | ROUTE_STATELESS, 0, api_clusters_erase},
    {"POST", CLUSTERS "/{id}/promote", ACT, 0, api_clusters_promote},
    {"POST", CLUSTERS "/{id}/assign", ACT, 0, api_clusters_assign},
    {"POST", CLUSTERS "/{id}/split", ACT, 0, api_clusters_split},
    {"POST", CLUSTERS "/{id}/merge", ACT, 0, api_clusters_merge},
    {"POST", CLUSTERS "/{id}/outlier", ACT, 0, api_clusters_outlier},
    {"POST", CLUSTERS "/{id}/update", ACT, 0, api_clusters_update},
    {"POST", "/v1/keys", ROUTE_JSON, 0, api_key_create},
    {"GET", "/v1/keys", 0, 0, api_key_list},
    {"DELETE", "/v1/keys/{key}", 0, 0, api_key_revoke},
    {"GET", "/v1/audit", 0, 0, api_audit},
    {"POST", "/v1/admin/backup", 0, 0, api_backup},
    {"GET", "/v1/jobs", JOBS, 0, api_jobs},
    {"GET", "/v1/jobs/{id}", JOBS, 0, api_job},
    {"DELETE", "/v1/jobs/{id}", ROUTE_WRITE | ROUTE_STATELESS, 0, api_job_delete},
    {"GET", "/v1/jobs/{id}/result", JOBS, 0, api_job_result},
    {"GET", "/v1/jobs/{id}/events", JOBS, 0, api_job_events},
    {"GET", "/health/live", OPEN, 0, api_health_live},
    {"GET", "/health/ready", OPEN, 0, api_health_ready},
    {"GET", "/metrics", ROUTE_INLINE | ROUTE_READ, 0, api_metrics},
    {"GET", "/openapi.yaml", OPEN, 0, api_openapi},
    {"GET", "/", OPEN, 0, api_about},
};
const size_t api_n_routes = ARRAY_LEN(api_routes);
