#include "server/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/api/face_json.h"

enum { WORKERS_PER_CORE = 3 };
static const double PROGRESS_SECONDS = 0.2, STEPS_SECONDS = 0.5;

/* option, else the environment's value, else tail below $xdg, else below ~/home_part. */
static const char *folder(char out[CLI_DIR_BYTES], const char *option, const char *variable,
                          const char *xdg, const char *home_part, const char *tail)
{
    const char *env = getenv(variable), *base = getenv(xdg), *home = getenv("HOME");

    if (!option && env && *env) option = env;
    if (option)
        snprintf(out, CLI_DIR_BYTES, "%s", option);
    else if (base && *base)
        snprintf(out, CLI_DIR_BYTES, "%s/%s", base, tail);
    else
        snprintf(out, CLI_DIR_BYTES, "%s/%s/%s", home ? home : "", home_part, tail);
    return out;
}

const char *cli_models_dir(char out[CLI_DIR_BYTES], const char *option)
{
    return folder(out, option, "VISAVIS_MODELS", "XDG_CACHE_HOME", ".cache", "visavis/models");
}

const char *cli_data_dir(char out[CLI_DIR_BYTES], const char *option)
{
    return folder(out, option, "VISAVIS_DATA", "XDG_DATA_HOME", ".local/share", "visavis");
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

json_t *cli_name_json(const char *name)
{
    json_t *s = json_string(name);
    return s ? s : json_string("(the name is not valid UTF-8)");
}

const char *cli_last_part(int *len, const char *path)
{
    size_t end = strlen(path), start;

    while (end > 1 && path[end - 1] == '/') end--;
    for (start = end; start > 0 && path[start - 1] != '/';) start--;
    if (len) *len = (int)(end - start);
    return path + start;
}

int cli_make_folder(const char *path)
{
    char *copy AUTO_FREE = strdup(path);
    struct stat st;

    if (!copy) return -1;
    for (char *p = copy; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        (void)mkdir(copy, 0777); /* what is wrong shows at the last one */
        *p = '/';
    }
    if (!mkdir(copy, 0777)) return 0;
    return errno == EEXIST && !stat(copy, &st) && S_ISDIR(st.st_mode) ? 0 : -1;
}

enum err cli_analyse(struct analysis *out, struct engine *e, const char *path,
                     const struct analyse_options *o, struct err_info *err)
{
    AUTO_BUF struct buf bytes = BUF_INIT(CLI_FILE_MAX_BYTES);
    const enum err rc = buf_read_file(&bytes, path, err);
    return rc ? rc : engine_analyse(e, bytes.data, bytes.len, o, out, err);
}

bool cli_face(void *self, const char *option, const char *value)
{
    if (face_select_parse(self, value)) return true;
    cli_fail("--%s is \"%s\", it must be main, largest, single or all", option, value);
    return false;
}

bool cli_orientation(void *self, const char *option, const char *value)
{
    enum train_orientation *out = self;
    *out = strcmp(value, "transposed") == 0 ? TRAIN_TRANSPOSED : TRAIN_UPRIGHT;
    if (*out == TRAIN_TRANSPOSED || strcmp(value, "upright") == 0) return true;
    cli_fail("--%s is \"%s\", it must be upright or transposed", option, value);
    return false;
}

int cli_cores(int threads)
{
    const long cores = threads ? threads : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > CLI_THREADS_MAX ? CLI_THREADS_MAX : (int)cores;
}

enum err cli_engine_open(struct engine **out, struct cli_engine *o, struct err_info *err)
{
    if (o->options.models_dir != o->models_dir) /* it is, when an engine is opened again */
        o->options.models_dir = cli_models_dir(o->models_dir, o->options.models_dir);
    return engine_open(out, &o->options, err);
}

int cli_workers(const struct cli_engine *o)
{
    return WORKERS_PER_CORE * cli_cores(o->options.threads);
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

bool cli_steps(void *self, long step, long steps, double loss, double violating)
{
    struct cli_steps *s = self;
    const double now = clock_seconds();

    if (s->started == 0) *s = (struct cli_steps){.started = now, .first = step, .loss = loss};
    s->loss += 0.05 * (loss - s->loss);
    if (!isatty(STDERR_FILENO) || (now - s->shown < STEPS_SECONDS && step < steps)) return true;
    s->shown = now;
    const double each = step > s->first ? (now - s->started) / (double)(step - s->first) : 0;
    fprintf(stderr, "\rstep %ld of %ld, loss %.4f, %.0f %% within the margin, %.0f s left   ", step,
            steps, s->loss, 100 * violating, each * (double)(steps - step));
    if (step == steps) fputc('\n', stderr);
    return true;
}
