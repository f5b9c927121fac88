/* Points in time as answers show them. */
#ifndef VISAVIS_SERVER_API_TIME_JSON_H
#define VISAVIS_SERVER_API_TIME_JSON_H

#include <jansson.h>
#include <stdint.h>

/* "2026-01-31T23:59:59.123Z" (RFC 3339, UTC) of milliseconds since 1970; 0 is null. NULL: no
 * memory. */
json_t *time_json(int64_t ms);

#endif
