/* `visavis detect`, `visavis embed` and `visavis classify`: a line of JSON for each file, in the
 * order they were named. A file that cannot be processed is a line too ({"file","error"}), and the
 * exit code is 0 all the same: every file was dealt with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/face_json.h"
#include "server/cli/cli.h"
#include "engine/base/ordered.h"

enum { TOP = 5, TOP_MOST = 100000 };

struct run {
    struct engine *engine;
    struct analyse_options options;
    char **names; /* of the command line; "-": names follow on standard input */
    int n_names, next;
    bool reading;
    struct cli_progress progress;
    size_t done;
};

/* The next line of standard input without its end; empty lines are passed over. */
static char *next_line(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    while ((n = getline(&line, &cap, stdin)) >= 0) {
        if (n && line[n - 1] == '\n') line[--n] = 0;
        if (n && line[n - 1] == '\r') line[--n] = 0;
        if (n) return line;
    }
    free(line);
    return NULL;
}

static char *next_name(void *self)
{
    struct run *r = self;

    for (;;) {
        if (r->reading) {
            char *line = next_line();
            if (line) return line;
            r->reading = false;
        }
        if (r->next == r->n_names) return NULL;
        const char *name = r->names[r->next++];
        if (strcmp(name, "-") != 0) return strdup(name);
        r->reading = true;
    }
}

static void *analyse_file(void *self, size_t index, const char *name)
{
    struct run *r = self;
    struct err_info err = ERR_INFO_INIT;
    struct analysis a;
    json_t *line = json_pack("{s:o}", "file", cli_name_json(name));

    (void)index;
    if (cli_analyse(&a, r->engine, name, &r->options, &err)) {
        json_object_set_new(line, "error", error_json(&err));
        return line;
    }
    json_t *rest = analysis_json(&a);
    json_object_del(rest, "took_ms"); /* the same files give the same lines */
    if (!rest || json_object_update(line, rest)) {
        err_set(&err, ERR_NOMEM, "no memory for the answer");
        json_object_set_new(line, "error", error_json(&err));
    }
    json_decref(rest);
    analysis_release(&a);
    return line;
}

static bool print_line(void *self, size_t index, const char *name, void *result)
{
    struct run *r = self;

    (void)name;
    cli_print(result);
    r->done = index + 1;
    cli_progress(&r->progress, r->done, 0);
    return !ferror(stdout); /* nobody reads any more */
}

static void drop_line(void *result)
{
    json_decref(result);
}

static const char detect_help[] =
    "usage: visavis detect [OPTIONS] FILE...\n"
    "  one JSON object a line and file, in their order; FILE - reads names from standard input\n"
    "  --face F           main, largest, single or all (default all)\n"
    "  --landmarks68      the 68 points (an optional model)\n"
    "  --mask             the outline of each face; --mask-png: also as a picture, base64\n"
    "  --chip             the aligned face as PNG, base64\n"
    "  --min-size N       least face, pixels (default 20)\n"
    "  --no-retry         only the first pass\n" CLI_ENGINE_HELP;
static const char embed_help[] =
    "usage: visavis embed [OPTIONS] FILE...\n"
    "  one JSON object a line and file, in their order; FILE - reads names from standard input\n"
    "  --face F           main, largest, single or all (default all)\n"
    "  --precropped       each file is an aligned face already: nothing is looked for\n"
    "  --landmarks68, --mask, --mask-png, --chip, --min-size N, --no-retry: as for "
    "detect\n" CLI_ENGINE_HELP;

static const char classify_help[] =
    "usage: visavis classify --model NAME [OPTIONS] FILE...\n"
    "  whom the model's own classifier takes each face for; one JSON object a line and file\n"
    "  --top K            how many classes of each face (default 5)\n"
    "  --precropped       each file is an aligned face already: nothing is looked for\n"
    "  --face F, --min-size N, --no-retry: as for detect\n" CLI_ENGINE_HELP;

static int analyse_main(int argc, char **argv, const struct analyse_options *o, const char *help)
{
    struct run r = {.options = *o, .progress = {.what = "pictures"}};
    struct cli_engine e = {0};
    struct err_info err = ERR_INFO_INIT;
    struct cli_words w;
    double min_size = 0;
    const struct cli_option options[] = {
        {"face", .take = cli_face, .self = &r.options.select},
        {"landmarks68", .flag = &r.options.landmarks68},
        {"mask", .flag = &r.options.mask},
        {"mask-png", .flag = &r.options.mask_png},
        {"chip", .flag = &r.options.chip_png},
        {"precropped", .flag = &r.options.precropped},
        {"no-retry", .flag = &r.options.no_retry},
        {"min-size", .number = &min_size, .least = 8, .most = 10000},
        {"top", .whole = &r.options.classes, .least = 1, .most = TOP_MOST},
        CLI_ENGINE_OPTIONS(&e),
        {0}};

    if (!cli_options(&w, argc, argv, options, help)) return w.code;
    if (!w.n) return cli_usage(help);
    if (r.options.mask_png) r.options.mask = true;
    r.options.min_size = (float)min_size;
    r.names = w.word;
    r.n_names = w.n;
    if (cli_engine_open(&r.engine, &e, &err)) return cli_fail_err(&err);
    const struct ordered_work work = {next_name, analyse_file, print_line,
                                      drop_line, &r,           cli_workers(&e)};
    const enum err rc = ordered_run(&work, &err);
    cli_progress_end(&r.progress, r.done);
    engine_close(r.engine);
    if (rc) return cli_fail_err(&err);
    return ferror(stdout) ? cli_fail("standard output cannot be written") : CLI_OK;
}

int cli_detect(int argc, char **argv)
{
    const struct analyse_options o = {.select = FACE_ALL};
    return analyse_main(argc, argv, &o, detect_help);
}

int cli_embed(int argc, char **argv)
{
    const struct analyse_options o = {.select = FACE_ALL, .embedding = true};
    return analyse_main(argc, argv, &o, embed_help);
}

int cli_classify(int argc, char **argv)
{
    const struct analyse_options o = {.select = FACE_ALL, .classes = TOP};
    return analyse_main(argc, argv, &o, classify_help);
}
