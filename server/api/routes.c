#include "server/api/api.h"

#include "engine/base/mem.h"

enum {
    FORM_SLACK_BYTES = 1024 * 1024, /* a form's boundaries and small fields */
    ONE_IMAGE_BYTES = IMAGE_MAX_BYTES + FORM_SLACK_BYTES,
    TWO_IMAGES_BYTES = 2 * ONE_IMAGE_BYTES,
    PICTURES = ROUTE_MULTIPART | ROUTE_JSON,
    OPEN = ROUTE_INLINE | ROUTE_OPEN,
};

const struct route api_routes[] = {
    {"POST", "/v1/verify", PICTURES, TWO_IMAGES_BYTES, api_verify},
    {"POST", "/v1/detect", PICTURES, ONE_IMAGE_BYTES, api_detect},
    {"POST", "/v1/embed", PICTURES, ONE_IMAGE_BYTES, api_embed},
    {"POST", "/v1/classify", PICTURES, ONE_IMAGE_BYTES, api_classify},
    {"GET", "/v1/models", ROUTE_INLINE, 0, api_models},
    {"GET", "/v1/jobs", 0, 0, api_jobs},
    {"GET", "/v1/jobs/{id}", 0, 0, api_job},
    {"DELETE", "/v1/jobs/{id}", 0, 0, api_job_delete},
    {"GET", "/v1/jobs/{id}/result", 0, 0, api_job_result},
    {"GET", "/v1/jobs/{id}/events", 0, 0, api_job_events},
    {"GET", "/health/live", OPEN, 0, api_health_live},
    {"GET", "/health/ready", OPEN, 0, api_health_ready},
    {"GET", "/metrics", ROUTE_INLINE, 0, api_metrics},
    {"GET", "/openapi.yaml", OPEN, 0, api_openapi},
    {"GET", "/", OPEN, 0, api_about},
};
const size_t api_n_routes = ARRAY_LEN(api_routes);
