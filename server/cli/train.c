/* `visavis train glyphs`: the training engine from the command line. One JSON object: what it was
 * trained with, and the figures. */
#include <stdio.h>
#include <string.h>

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

enum { STEPS_MAX = 1000000, BATCH_MAX = 4096, HTML_MAX_BYTES = 64 << 20, COMMAND_BYTES = 1024 };

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
    "  --steps N, --batch N   (default 4000 of 256)\n"
    "  --loss L           triplet or softmax; --mining M: semi-random (default), random, semi-hard "
    "or "
    "batch-hard\n"
    "  --margin X         of the triplets (default 0.3 for batch-hard, else 0.2)\n"
    "  --optimizer O      adam or sgd; --rate X, --decay X, --dropout X\n"
    "  --balance X        classes are drawn in proportion to (their glyphs)^X (default 0.3; small "
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

struct run {
    struct train_options o;
    const char *out, *report, *license;
    int threads;
    struct cli_steps steps;
    char command[COMMAND_BYTES];
};

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
        const char *equals = strncmp(argv[i], "--", 2) == 0 ? strchr(argv[i], '=') : NULL,
                   *value = equals ? equals + 1 : argv[i];
        const bool license =
            strcmp(argv[i - 1], "--license") == 0 || strncmp(argv[i], "--license=", 10) == 0;
        int len = (int)strlen(value);
        if (!license && len) value = cli_last_part(&len, value);
        const char *quote = strchr(value, ' ') ? "'" : "";
        const int n =
            snprintf(out + at, COMMAND_BYTES - at, " %.*s%s%.*s%s",
                     equals ? (int)(equals + 1 - argv[i]) : 0, argv[i], quote, len, value, quote);
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
    return page_write(NULL, r->report, page.data, page.len, err);
}

static int run(struct run *r)
{
    struct err_info err = ERR_INFO_INIT;
    struct train_glyphs *t = NULL;
    struct train_report report;
    struct pool *pool = NULL;
    bool calibrated = false;
    if (pool_new(&pool, cli_cores(r->threads), &err)) return cli_fail_err(&err);
    const struct cores cores = pool_cores(pool);
    const double started = clock_seconds();
    r->o.cores = &cores;
    r->o.progress = cli_steps;
    r->o.self = &r->steps;
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
    struct train_options *o = &r.o;
    int seed = (int)o->seed, steps = (int)o->steps;
    struct cli_words w;
    const struct cli_option options[] = {
        {"data", .text = &o->data},
        {"out", .text = &r.out},
        {"report", .text = &r.report},
        {"license", .text = &r.license},
        {"seed", .whole = &seed, .most = 1 << 30},
        {"small", .flag = &o->small},
        {"steps", .whole = &steps, .least = 1, .most = STEPS_MAX},
        {"batch", .whole = &o->batch, .least = 1, .most = BATCH_MAX},
        {"loss", .text = &o->loss},
        {"mining", .text = &o->mining},
        {"margin", .number = &o->margin, .least = 0.001, .most = 2},
        {"optimizer", .text = &o->optimizer},
        {"rate", .number = &o->rate, .least = 1e-7, .most = 10},
        {"decay", .number = &o->decay, .most = 1},
        {"dropout", .number = &o->dropout, .most = 0.9},
        {"balance", .number = &o->balance, .most = 1},
        {"plain", .flag = &o->plain},
        {"turned", .number = &o->turned, .most = 1},
        {"spliced", .number = &o->spliced, .most = 1},
        {"hold-out", .text = &o->hold_out},
        {"orientation", .take = cli_orientation, .self = &o->orientation},
        {"checkpoint", .text = &o->checkpoint},
        CLI_THREADS_OPTION(&r.threads),
        {0}};

    if (argc > 1 && strcmp(argv[1], "projection") == 0)
        return train_projection_run(argc - 1, argv + 1);
    o->data = NULL;
    keep_command(r.command, argc, argv);
    if (!cli_options(&w, argc, argv, options, help)) return w.code;
    if (w.n != 1 || strcmp(w.word[0], "glyphs") != 0 || !o->data) return cli_usage(help);
    o->seed = (uint64_t)seed;
    o->steps = steps;
    return run(&r);
}
