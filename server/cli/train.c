/* `visavis train glyphs`: the training engine from the command line. One JSON object: what it was
 * trained with, and the figures. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/pool.h"
#include "engine/engine.h"
#include "engine/match.h"
#include "engine/train.h"
#include "server/cli/cli.h"
#include "server/cli/page.h"
#include "server/cli/train_html.h"
#include "server/cli/train_projection.h"

enum {
    STEPS_MAX = 1000000,
    BATCH_MAX = 4096,
    THREADS_MAX = 256,
    HTML_MAX_BYTES = 64 << 20,
    COMMAND_BYTES = 1024
};
static const double PROGRESS_SECONDS = 0.5;

static const char help[] =
    "usage: visavis train glyphs --data DIR [OPTIONS]\n"
    "       visavis train projection ...     (see train projection --help)\n"
    "  trains the embedder of handwritten characters on the IDX files of a folder\n"
    "  --data DIR         NAME-images-idx3-ubyte[.gz], NAME-labels-idx1-ubyte[.gz], "
    "NAME-mapping.txt; or one folder of pictures a class\n"
    "  --out FILE         write the model there: a .safetensors file\n"
    "  --report FILE      write a page with curves, scatter, confusion matrix, worst mistakes\n"
    "  --license TEXT     of the result (default: not stated)\n"
    "  --seed N           (default 1)\n"
    "  --small            a smaller network and 150 steps\n"
    "  --steps N, --batch N   (default 1500 of 256)\n"
    "  --loss L           triplet or softmax; --mining M: semi-random (default), random, semi-hard "
    "or "
    "batch-hard\n"
    "  --margin X         of the triplets (default 0.3 for batch-hard, else 0.2)\n"
    "  --optimizer O      adam or sgd; --rate X, --decay X, --dropout X\n"
    "  --balance X        classes are drawn in proportion to (their glyphs)^X (default 0.2; small "
    "0.5)\n"
    "  --plain            glyphs as they are, without augmentation\n"
    "  --turned X         share of glyphs that are turned by quarters and count as other "
    "characters\n"
    "                     (default 0.5; 0 for small and softmax)\n"
    "  --spliced X        share of the upper part of one character and the lower of another, "
    "likewise\n"
    "  --hold-out LETTERS leave these out in both cases; tell them apart by one example "
    "afterwards\n"
    "  --orientation O    upright or transposed (default: by the files' names)\n"
    "  --checkpoint FILE  keep the state there, and go on from it\n"
    "  --threads N        cores to compute on (default: all)\n";

enum {
    OPT_DATA = 1,
    OPT_OUT,
    OPT_REPORT,
    OPT_LICENSE,
    OPT_SEED,
    OPT_SMALL,
    OPT_STEPS,
    OPT_BATCH,
    OPT_LOSS,
    OPT_MINING,
    OPT_MARGIN,
    OPT_OPTIMIZER,
    OPT_RATE,
    OPT_DECAY,
    OPT_DROPOUT,
    OPT_BALANCE,
    OPT_PLAIN,
    OPT_TURNED,
    OPT_SPLICED,
    OPT_HOLD_OUT,
    OPT_ORIENTATION,
    OPT_CHECKPOINT,
    OPT_THREADS,
    OPT_HELP
};
static const struct option options[] = {{"data", required_argument, NULL, OPT_DATA},
                                        {"out", required_argument, NULL, OPT_OUT},
                                        {"report", required_argument, NULL, OPT_REPORT},
                                        {"license", required_argument, NULL, OPT_LICENSE},
                                        {"seed", required_argument, NULL, OPT_SEED},
                                        {"small", no_argument, NULL, OPT_SMALL},
                                        {"steps", required_argument, NULL, OPT_STEPS},
                                        {"batch", required_argument, NULL, OPT_BATCH},
                                        {"loss", required_argument, NULL, OPT_LOSS},
                                        {"mining", required_argument, NULL, OPT_MINING},
                                        {"margin", required_argument, NULL, OPT_MARGIN},
                                        {"optimizer", required_argument, NULL, OPT_OPTIMIZER},
                                        {"rate", required_argument, NULL, OPT_RATE},
                                        {"decay", required_argument, NULL, OPT_DECAY},
                                        {"dropout", required_argument, NULL, OPT_DROPOUT},
                                        {"balance", required_argument, NULL, OPT_BALANCE},
                                        {"plain", no_argument, NULL, OPT_PLAIN},
                                        {"turned", required_argument, NULL, OPT_TURNED},
                                        {"spliced", required_argument, NULL, OPT_SPLICED},
                                        {"hold-out", required_argument, NULL, OPT_HOLD_OUT},
                                        {"orientation", required_argument, NULL, OPT_ORIENTATION},
                                        {"checkpoint", required_argument, NULL, OPT_CHECKPOINT},
                                        {"threads", required_argument, NULL, OPT_THREADS},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        {0}};

struct run {
    struct train_options o;
    const char *out, *report, *license;
    int threads;
    double started, shown;
    long first;  /* step that this run began with */
    double loss; /* smoothed */
    char command[COMMAND_BYTES];
};

static bool take_number(double *out, const char *option, double least, double most)
{
    return cli_double(out, option, optarg, least, most);
}

static bool take_option(struct run *r, int opt)
{
    struct train_options *o = &r->o;
    int n = 0;
    switch (opt) {
    case OPT_DATA:
        o->data = optarg;
        return true;
    case OPT_OUT:
        r->out = optarg;
        return true;
    case OPT_REPORT:
        r->report = optarg;
        return true;
    case OPT_LICENSE:
        r->license = optarg;
        return true;
    case OPT_SEED:
        if (!cli_int(&n, "--seed", optarg, 0, 1 << 30)) return false;
        o->seed = (uint64_t)n;
        return true;
    case OPT_SMALL:
        return o->small = true;
    case OPT_STEPS:
        if (!cli_int(&n, "--steps", optarg, 1, STEPS_MAX)) return false;
        o->steps = n;
        return true;
    case OPT_BATCH:
        return cli_int(&o->batch, "--batch", optarg, 1, BATCH_MAX);
    case OPT_LOSS:
        o->loss = optarg;
        return true;
    case OPT_MINING:
        o->mining = optarg;
        return true;
    case OPT_MARGIN:
        return take_number(&o->margin, "--margin", 0.001, 2);
    case OPT_OPTIMIZER:
        o->optimizer = optarg;
        return true;
    case OPT_RATE:
        return take_number(&o->rate, "--rate", 1e-7, 10);
    case OPT_DECAY:
        return take_number(&o->decay, "--decay", 0, 1);
    case OPT_DROPOUT:
        return take_number(&o->dropout, "--dropout", 0, 0.9);
    case OPT_BALANCE:
        return take_number(&o->balance, "--balance", 0, 1);
    case OPT_PLAIN:
        return o->plain = true;
    case OPT_TURNED:
        return take_number(&o->turned, "--turned", 0, 1);
    case OPT_SPLICED:
        return take_number(&o->spliced, "--spliced", 0, 1);
    case OPT_HOLD_OUT:
        o->hold_out = optarg;
        return true;
    case OPT_ORIENTATION:
        return cli_orientation(&o->orientation, optarg);
    case OPT_CHECKPOINT:
        o->checkpoint = optarg;
        return true;
    default:
        return cli_int(&r->threads, "--threads", optarg, 1, THREADS_MAX);
    }
}

static bool show_progress(void *self, long step, long steps, double loss, double violating)
{
    struct run *r = self;
    const double now = clock_seconds();
    if (r->started == 0) {
        r->started = now;
        r->first = step;
        r->loss = loss;
    }
    r->loss += 0.05 * (loss - r->loss);
    if (now - r->shown < PROGRESS_SECONDS && step < steps) return true;
    r->shown = now;
    if (!isatty(STDERR_FILENO)) return true;
    const double each = step > r->first ? (now - r->started) / (double)(step - r->first) : 0;
    fprintf(stderr, "\rstep %ld of %ld, loss %.4f, %.0f %% within the margin, %.0f s left   ", step,
            steps, r->loss, 100 * violating, each * (double)(steps - step));
    if (step == steps) fputc('\n', stderr);
    return true;
}

/* Whose the sets are that we know, by their names' beginnings. */
static const char *set_license(const char *name)
{
    static const char *const KNOWN[][2] = {
        {"mnist", "MNIST, CC BY-SA 3.0"},
        {"emnist", "EMNIST, from NIST Special Database 19"},
        {"sd19", "NIST Special Database 19"},
        {"chars74k", "Chars74K, for research"},
    };
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        if (strncmp(name, KNOWN[i][0], strlen(KNOWN[i][0])) == 0) return KNOWN[i][1];
    return "not known";
}

static json_t *sources_json(const struct train_report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_sources; i++) {
        const struct train_source_info *s = &r->sources[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "name", s->name,
                                              "license", set_license(s->name), "images_sha256",
                                              s->images_sha256, "labels_sha256", s->labels_sha256,
                                              "train", (json_int_t)s->train, "held_out",
                                              (json_int_t)s->held));
    }
    return list;
}

static json_t *figures_json(const struct train_report *r)
{
    json_t *all = json_object();
    for (int i = 0; i < r->n_figures; i++)
        json_object_set_new(all, r->figures[i].name,
                            json_pack("{s:f, s:I}", "accuracy", r->figures[i].value, "n",
                                      (json_int_t)r->figures[i].n));
    return all;
}

/* The command that makes the same again: its words without this machine's paths. Before getopt
 * changes their order. */
static void keep_command(char out[COMMAND_BYTES], int argc, char **argv)
{
    size_t at = (size_t)snprintf(out, COMMAND_BYTES, "visavis train");
    for (int i = 1; i < argc; i++) {
        const bool path =
            i > 1 &&
            (strcmp(argv[i - 1], "--data") == 0 || strcmp(argv[i - 1], "--out") == 0 ||
             strcmp(argv[i - 1], "--report") == 0 || strcmp(argv[i - 1], "--checkpoint") == 0);
        const char *slash = path ? strrchr(argv[i], '/') : NULL,
                   *word = slash ? slash + 1 : argv[i], *quote = strchr(word, ' ') ? "'" : "";
        const int n = snprintf(out + at, COMMAND_BYTES - at, " %s%s%s", quote, word, quote);
        if (n < 0 || (size_t)n >= COMMAND_BYTES - at) break;
        at += (size_t)n;
    }
}

static json_t *answer_json(const struct run *r, const struct train_report *report)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "command", r->command, "seed",
                     (json_int_t)r->o.seed, "steps", (json_int_t)report->steps, "parameters",
                     (json_int_t)report->parameters, "dim", (json_int_t)report->dim, "data",
                     sources_json(report), "figures", figures_json(report));
}

/* Too few held-out glyphs are no error: then the model has no calibration. */
static enum err calibrate(const struct train_glyphs *t, const struct run *r, const char *dir,
                          const char *name, bool *done, struct err_info *err)
{
    AUTO_FREE char *json = NULL;
    char recipe[65];
    enum err rc = engine_ready_recipe(recipe, dir, name, err);
    const struct calibration_origin o = {
        .source = "held-out-glyphs", .recipe = recipe, .model = name, .command = r->command};
    if (rc) return rc;
    rc = train_glyphs_calibration(&json, t, &o, err);
    *done = !rc;
    if (rc == ERR_FMR_UNSUPPORTED) return ERR_OK;
    return rc ? rc : engine_set_calibration(dir, name, json, err);
}

/* FILE -> DIR and NAME. */
static enum err save(const struct train_glyphs *t, const struct run *r, const char *about,
                     bool *calibrated, struct err_info *err)
{
    AUTO_FREE char *path = strdup(r->out);
    static const char SUFFIX[] = ".safetensors";
    if (!path) return err_set(err, ERR_NOMEM, "no memory for a path");
    char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t n = strlen(name);
    if (n <= strlen(SUFFIX) || strcmp(name + n - strlen(SUFFIX), SUFFIX) != 0)
        return err_set(err, ERR_INVALID, "--out %.200s does not end with %s", r->out, SUFFIX);
    name[n - strlen(SUFFIX)] = 0;
    if (slash) *slash = 0;
    const struct train_save s = {slash ? (slash == path ? "/" : path) : ".", name,
                                 r->license ? r->license : "not stated", NULL, about};
    enum err rc = train_glyphs_save(t, &s, err);
    return rc ? rc : calibrate(t, r, s.dir, s.name, calibrated, err);
}

static enum err write_report(const struct run *r, const struct train_report *report,
                             const json_t *answer, struct err_info *err)
{
    AUTO_BUF struct buf page = BUF_INIT(HTML_MAX_BYTES);
    enum err rc = train_html(&page, report, answer, err);
    if (rc) return rc;
    return page_write(r->report, page.data, page.len, err);
}

static int run(struct run *r)
{
    struct err_info err = ERR_INFO_INIT;
    struct train_glyphs *t = NULL;
    struct train_report report;
    struct pool *pool = NULL;
    bool calibrated = false;
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (pool_new(&pool, r->threads ? r->threads : online < 1 ? 1 : (int)online, &err))
        return cli_fail_err(&err);
    const struct cores cores = pool_cores(pool);
    const double started = clock_seconds();
    r->o.cores = &cores;
    r->o.progress = show_progress;
    r->o.self = r;
    enum err rc = train_glyphs(&t, &r->o, &err);
    pool_free(pool);
    if (rc) return cli_fail_err(&err);
    train_glyphs_report(t, &report);
    json_t *answer = answer_json(r, &report);
    AUTO_FREE char *about =
        answer ? json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (!about) rc = err_set(&err, ERR_NOMEM, "no memory for the answer");
    if (!rc && r->out) rc = save(t, r, about, &calibrated, &err);
    if (!rc && r->report) rc = write_report(r, &report, answer, &err);
    train_glyphs_free(t);
    if (rc) {
        json_decref(answer);
        return cli_fail_err(&err);
    }
    if (r->out) json_object_set_new(answer, "calibrated", json_boolean(calibrated));
    json_object_set_new(answer, "took_s", json_real(clock_seconds() - started));
    cli_print(answer);
    return CLI_OK;
}

int cli_train(int argc, char **argv)
{
    struct run r = {.o = TRAIN_OPTIONS_DEFAULT};
    int opt;
    if (argc > 1 && strcmp(argv[1], "projection") == 0)
        return train_projection_run(argc - 1, argv + 1);
    r.o.data = NULL;
    keep_command(r.command, argc, argv);
    while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (opt == OPT_HELP || opt == 'h') {
            fputs(help, stdout);
            return CLI_OK;
        }
        if (opt == '?') {
            fputs(help, stderr);
            return CLI_ERROR;
        }
        if (!take_option(&r, opt)) return CLI_ERROR;
    }
    if (argc - optind != 1 || strcmp(argv[optind], "glyphs") != 0 || !r.o.data) {
        fputs(help, stderr);
        return CLI_ERROR;
    }
    return run(&r);
}
