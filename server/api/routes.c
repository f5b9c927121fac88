#include "server/api/api.h"

#include "engine/base/mem.h"

enum {
    FORM_SLACK_BYTES = 1024 * 1024, /* a form's boundaries and small fields */
    ONE_IMAGE_BYTES = IMAGE_MAX_BYTES + FORM_SLACK_BYTES,
    TWO_IMAGES_BYTES = 2 * ONE_IMAGE_BYTES,
    PICTURES = ROUTE_MULTIPART | ROUTE_JSON | ROUTE_READ | ROUTE_STATELESS,
    OPEN = ROUTE_INLINE | ROUTE_OPEN,
};

const struct route api_routes[] = {
    {"POST", "/v1/verify", PICTURES, TWO_IMAGES_BYTES, api_verify},
    {"POST", "/v1/detect", PICTURES, ONE_IMAGE_BYTES, api_detect},
    {"POST", "/v1/embed", PICTURES, ONE_IMAGE_BYTES, api_embed},
    {"POST", "/v1/classify", PICTURES, ONE_IMAGE_BYTES, api_classify},
    {"GET", "/v1/models", ROUTE_INLINE | ROUTE_READ | ROUTE_STATELESS, 0, api_models},
    {"POST", "/v1/keys", ROUTE_JSON, 0, api_key_create},
    {"GET", "/v1/keys", 0, 0, api_key_list},
    {"DELETE", "/v1/keys/{key}", 0, 0, api_key_revoke},
    {"GET", "/v1/audit", 0, 0, api_audit},
    {"POST", "/v1/admin/backup", 0, 0, api_backup},
    {"GET", "/health/live", OPEN, 0, api_health_live},
    {"GET", "/health/ready", OPEN, 0, api_health_ready},
    {"GET", "/metrics", ROUTE_INLINE | ROUTE_READ, 0, api_metrics},
    {"GET", "/openapi.yaml", OPEN, 0, api_openapi},
    {"GET", "/", OPEN, 0, api_about},
};
const size_t api_n_routes = ARRAY_LEN(api_routes);
