/* `visavis detect`, `visavis embed` and `visavis classify`: a line of JSON for each file, in the
 * order they were named. A file that cannot be processed is a line too ({"file","error"}), and the
 * exit code is 0 all the same: every file was dealt with. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/face_json.h"
#include "server/cli/cli.h"
#include "engine/base/ordered.h"

enum { FILE_MAX_BYTES = 256 << 20, TOP = 5, TOP_MOST = 100000 };

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

static json_t *file_name(const char *name)
{
    json_t *s = json_string(name);
    return s ? s : json_string("(the name is not valid UTF-8)");
}

static void *analyse_file(void *self, size_t index, const char *name)
{
    struct run *r = self;
    AUTO_BUF struct buf bytes = BUF_INIT(FILE_MAX_BYTES);
    struct err_info err = ERR_INFO_INIT;
    struct analysis a;
    json_t *line = json_pack("{s:o}", "file", file_name(name));

    (void)index;
    if (buf_read_file(&bytes, name, &err) ||
        engine_analyse(r->engine, bytes.data, bytes.len, &r->options, &a, &err)) {
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

enum {
    OPT_FACE = 1,
    OPT_TOP,
    OPT_LANDMARKS,
    OPT_MASK,
    OPT_MASK_PNG,
    OPT_CHIP,
    OPT_PRECROPPED,
    OPT_NO_RETRY,
    OPT_MIN_SIZE,
    OPT_HELP
};
static const struct option options[] = {{"face", required_argument, NULL, OPT_FACE},
                                        {"landmarks68", no_argument, NULL, OPT_LANDMARKS},
                                        {"mask", no_argument, NULL, OPT_MASK},
                                        {"mask-png", no_argument, NULL, OPT_MASK_PNG},
                                        {"chip", no_argument, NULL, OPT_CHIP},
                                        {"precropped", no_argument, NULL, OPT_PRECROPPED},
                                        {"no-retry", no_argument, NULL, OPT_NO_RETRY},
                                        {"min-size", required_argument, NULL, OPT_MIN_SIZE},
                                        {"top", required_argument, NULL, OPT_TOP},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        CLI_ENGINE_OPTIONS,
                                        {0}};

static bool take_option(struct analyse_options *o, struct cli_engine *e, int opt)
{
    double size;

    switch (opt) {
    case OPT_FACE:
        return cli_face(&o->select, optarg);
    case OPT_TOP:
        return cli_int(&o->classes, "--top", optarg, 1, TOP_MOST);
    case OPT_LANDMARKS:
        return o->landmarks68 = true;
    case OPT_MASK:
        return o->mask = true;
    case OPT_MASK_PNG:
        return o->mask = o->mask_png = true;
    case OPT_CHIP:
        return o->chip_png = true;
    case OPT_PRECROPPED:
        return o->precropped = true;
    case OPT_NO_RETRY:
        return o->no_retry = true;
    case OPT_MIN_SIZE:
        if (!cli_double(&size, "--min-size", optarg, 8, 10000)) return false;
        o->min_size = (float)size;
        return true;
    default:
        return cli_engine_option(e, opt, optarg) > 0;
    }
}

static int analyse_main(int argc, char **argv, const struct analyse_options *o, const char *help)
{
    struct run r = {.options = *o, .progress = {.what = "pictures"}};
    struct cli_engine e = {0};
    struct err_info err = ERR_INFO_INIT;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == OPT_HELP) {
            fputs(help, stdout);
            return CLI_OK;
        }
        if (!take_option(&r.options, &e, opt)) return CLI_ERROR;
    }
    if (optind == argc) {
        fputs(help, stderr);
        return CLI_ERROR;
    }
    r.names = argv + optind;
    r.n_names = argc - optind;
    if (cli_engine_open(&r.engine, &e, &err)) return cli_fail_err(&err);
    const struct ordered_work w = {next_name, analyse_file, print_line,
                                   drop_line, &r,           cli_workers(&e)};
    const enum err rc = ordered_run(&w, &err);
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
