#include "server/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "server/api/face_json.h"

enum { THREADS_MAX = 1024, WORKERS_PER_CORE = 3 };
static const double PROGRESS_SECONDS = 0.2;

const char *cli_models_dir(char out[4096], const char *option)
{
    const char *env = getenv("VISAVIS_MODELS"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");

    if (!option && env && *env) option = env;
    if (option)
        snprintf(out, 4096, "%s", option);
    else if (cache && *cache)
        snprintf(out, 4096, "%s/visavis/models", cache);
    else
        snprintf(out, 4096, "%s/.cache/visavis/models", home ? home : "");
    return out;
}

void cli_print(json_t *o)
{
    if (!o || json_dumpf(o, stdout, FACE_JSON_DUMP))
        fputs("{\"error\":{\"code\":\"out_of_memory\"}}", stdout);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

int cli_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("visavis: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return CLI_ERROR;
}

int cli_fail_err(const struct err_info *err)
{
    return cli_fail("%s", err->message);
}

bool cli_int(int *out, const char *option, const char *text, int least, int most)
{
    char *end;
    errno = 0;
    const long v = strtol(text, &end, 10);

    if (end == text || *end || errno || v < least || v > most) {
        cli_fail("%s is \"%s\", it must be a whole number from %d to %d", option, text, least,
                 most);
        return false;
    }
    *out = (int)v;
    return true;
}

bool cli_double(double *out, const char *option, const char *text, double least, double most)
{
    char *end;
    const double v = strtod(text, &end);

    if (end == text || *end || !isfinite(v) || v < least || v > most) {
        cli_fail("%s is \"%s\", it must be a number from %g to %g", option, text, least, most);
        return false;
    }
    *out = v;
    return true;
}

bool cli_face(enum face_select *out, const char *text)
{
    if (face_select_parse(out, text)) return true;
    cli_fail("--face is \"%s\", it must be main, largest, single or all", text);
    return false;
}

bool cli_orientation(enum train_orientation *out, const char *text)
{
    *out = strcmp(text, "transposed") == 0 ? TRAIN_TRANSPOSED : TRAIN_UPRIGHT;
    if (*out == TRAIN_TRANSPOSED || strcmp(text, "upright") == 0) return true;
    cli_fail("--orientation is \"%s\", it must be upright or transposed", text);
    return false;
}

int cli_engine_option(struct cli_engine *o, int opt, const char *value)
{
    switch (opt) {
    case CLI_OPT_MODELS:
        o->options.models_dir = value;
        return 1;
    case CLI_OPT_MODEL:
        o->options.embedder = value;
        return 1;
    case CLI_OPT_DETECTOR:
        o->options.detector = value;
        return 1;
    case CLI_OPT_BACKEND:
        o->options.backend = value;
        return 1;
    case CLI_OPT_PRECISION:
        o->options.precision = value;
        return 1;
    case CLI_OPT_AVERAGE:
        o->options.average = value;
        return 1;
    case CLI_OPT_PRESET:
        o->options.preset = value;
        return 1;
    case CLI_OPT_THREADS:
        return cli_int(&o->options.threads, "--threads", value, 1, THREADS_MAX) ? 1 : -1;
    default:
        return 0;
    }
}

enum err cli_engine_open(struct engine **out, struct cli_engine *o, struct err_info *err)
{
    if (o->options.models_dir != o->models_dir) /* it is, when an engine is opened again */
        o->options.models_dir = cli_models_dir(o->models_dir, o->options.models_dir);
    return engine_open(out, &o->options, err);
}

int cli_workers(const struct cli_engine *o)
{
    const long cores = o->options.threads ? o->options.threads : sysconf(_SC_NPROCESSORS_ONLN);
    return WORKERS_PER_CORE * (int)(cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : cores);
}

void cli_progress(struct cli_progress *p, size_t done, size_t total)
{
    const double now = clock_seconds();

    if (!isatty(STDERR_FILENO)) return;
    if (p->started == 0) p->started = now;
    if (now - p->shown < PROGRESS_SECONDS) return;
    p->shown = now;
    const double rate = now > p->started ? (double)done / (now - p->started) : 0;
    if (total)
        fprintf(stderr, "\r%s %zu of %zu, %.0f/s ", p->what, done, total, rate);
    else
        fprintf(stderr, "\r%s %zu, %.0f/s ", p->what, done, rate);
}

void cli_progress_end(struct cli_progress *p, size_t done)
{
    if (p->shown == 0) return;
    fprintf(stderr, "\r%s %zu in %.1f s          \n", p->what, done, clock_seconds() - p->started);
}
