#include "server/api/time_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t SECOND_MS = 1000;
static const int64_t LAST_S = INT64_C(253402300799); /* 9999-12-31T23:59:59Z */

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

/* "90d" in seconds; -1: it is none. */
static int64_t duration(const char *text)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    char *end;

    if (*text < '0' || *text > '9') return -1;
    const long long n = strtoll(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (!unit || end[1] || n > LAST_S / seconds[unit - units]) return -1;
    return n * seconds[unit - units];
}

/* Seconds since 1970; -1: it is none. */
static int64_t point(const char *text)
{
    struct tm tm = {0}, same;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end) end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end) return -1;
    same = tm;
    const time_t t = timegm(&same);
    /* timegm makes the 31st of June the 1st of July */
    return same.tm_mday == tm.tm_mday && t >= 0 && t <= LAST_S ? (int64_t)t : -1;
}

enum err time_parse(int64_t *ms, const char *what, const char *text, int64_t now_ms,
                    struct err_info *err)
{
    const int64_t later = duration(text), then = later < 0 ? point(text) : 0;

    if (later < 0 && then < 0)
        return err_set(err, ERR_INVALID,
                       "%s is \"%.40s\"; it takes a time like 2026-01-31T23:59:59Z, a day like "
                       "2026-01-31, or a number of s, m, h or d from now, like 90d",
                       what, text);
    *ms = later >= 0 ? now_ms + later * SECOND_MS : then * SECOND_MS;
    return ERR_OK;
}
