#include "server/api/time_json.h"

#include <stdio.h>
#include <time.h>

static const int64_t SECOND_MS = 1000;

json_t *time_json(int64_t ms)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)(ms / SECOND_MS);

    if (!ms) return json_null();
    gmtime_r(&t, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(ms % SECOND_MS));
    return json_string(text);
}
