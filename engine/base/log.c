#include "engine/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 }; /* PIPE_BUF: a line this long is written whole */

static _Atomic int least_level = LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level least)
{
    atomic_store(&least_level, (int)least);
}

char *log_escape(char *out, unsigned long size, const char *s)
{
    unsigned long n = 0;
    for (; *s && n + 7 < size; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (unsigned long)snprintf(out + n, 7, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = 0;
    return out;
}

void log_line(enum log_level level, const char *msg, const char *fields, ...)
{
    char line[LINE_BYTES], escaped[512];
    struct timespec now;
    struct tm tm;

    if ((int)level < atomic_load(&least_level)) return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "{\"ts\":\"%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ\",\"level\":\"%s\",\"msg\":\"%s\"",
                          now.tv_nsec / 1000000, level_names[level],
                          log_escape(escaped, sizeof escaped, msg));
    if (*fields) {
        line[n++] = ',';
        va_list ap;
        va_start(ap, fields);
        int more = vsnprintf(line + n, sizeof line - n - 3, fields, ap);
        va_end(ap);
        if (more > 0) n += (size_t)more < sizeof line - n - 3 ? (size_t)more : sizeof line - n - 4;
    }
    line[n++] = '}';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0) return; /* nowhere left to say so */
}
