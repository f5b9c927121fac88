/* Points in time as answers show them and as requests give them. */
#ifndef VISAVIS_SERVER_API_TIME_JSON_H
#define VISAVIS_SERVER_API_TIME_JSON_H

#include "engine/base/err.h"

#include <jansson.h>
#include <stdint.h>

/* "2026-01-31T23:59:59.123Z" (RFC 3339, UTC) of milliseconds since 1970; 0 is null. NULL: no
 * memory. */
json_t *time_json(int64_t ms);

/* A point in time, "2026-01-31T23:59:59Z" or "2026-01-31" (its first moment), in UTC; or one from
 * now on: a whole number and s, m, h or d ("90d"). ERR_INVALID, beginning with what. */
NODISCARD enum err time_parse(int64_t *ms, const char *what, const char *text, int64_t now_ms,
                              struct err_info *err);

#endif
