/* `visavis eval --glyphs IMAGES LABELS`: how many glyphs of an IDX pair are read right, against the
 * examples of a glyph model. One JSON object. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/base/pool.h"
#include "server/cli/cli.h"
#include "server/cli/eval.h"
#include "server/cli/glyphs.h"

enum { THREADS_MAX = 256 };

static const char help[] =
    "usage: visavis eval --glyphs IMAGES LABELS [--mapping FILE] [OPTIONS]\n"
    "  IMAGES, LABELS     an IDX pair, plain or gzip: 28 x 28 pixels and a label each\n"
    "  --mapping FILE     lines `label code [code]`: the candidates are its characters (default: "
    "the ten digits)\n"
    "  --orientation O    upright or transposed (default: transposed where IMAGES begins with "
    "emnist)\n"
    "  --model NAME       (default glyphs, which comes with visavis)\n"
    "  --models DIR, --threads N\n";

enum { OPT_GLYPHS = 1, OPT_MAPPING, OPT_ORIENTATION, OPT_MODEL, OPT_MODELS, OPT_THREADS, OPT_HELP };
static const struct option long_options[] = {
    {"glyphs", no_argument, NULL, OPT_GLYPHS},
    {"mapping", required_argument, NULL, OPT_MAPPING},
    {"orientation", required_argument, NULL, OPT_ORIENTATION},
    {"model", required_argument, NULL, OPT_MODEL},
    {"models", required_argument, NULL, OPT_MODELS},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"help", no_argument, NULL, OPT_HELP},
    {0}};

struct run {
    struct train_source source;
    const char *model, *models;
    int threads;
};

/* The characters of a set's classes. */
static size_t candidates_of(uint32_t *out, const struct train_set *s)
{
    size_t n = 0;
    for (int c = 0; c < s->n_classes; c++)
        for (int k = 0; k < 2; k++)
            if (s->codes[c][k]) out[n++] = s->codes[c][k];
    return n;
}

static bool is_right(const struct train_set *s, int label, const struct train_reading *r)
{
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++)
            if (r->codes[k] && s->codes[label][i] == r->codes[k]) return true;
    return false;
}

static json_t *answer_json(const struct train_set *s, const struct train_reading *r,
                           const char *model)
{
    size_t right[TRAIN_MAX_CLASSES] = {0}, n[TRAIN_MAX_CLASSES] = {0}, all = 0;
    json_t *classes = json_object();
    for (size_t i = 0; i < s->n; i++) {
        const bool good = is_right(s, s->labels[i], &r[i]);
        right[s->labels[i]] += good;
        n[s->labels[i]]++;
        all += good;
    }
    for (int c = 0; c < s->n_classes; c++) {
        char text[9], part[5];
        if (!n[c]) continue;
        strcpy(text, glyphs_utf8(part, s->codes[c][0]));
        strcat(text, glyphs_utf8(part, s->codes[c][1]));
        json_object_set_new(classes, text,
                            json_pack("{s:f, s:I}", "accuracy", (double)right[c] / (double)n[c],
                                      "n", (json_int_t)n[c]));
    }
    return json_pack("{s:f, s:o, s:I, s:s}", "accuracy", s->n ? (double)all / (double)s->n : 0.0,
                     "per_class", classes, "n", (json_int_t)s->n, "model", model);
}

static enum err measure(json_t **answer, const struct run *r, const struct train_set *s,
                        const struct cores *cores, struct err_info *err)
{
    struct train_reader *reader = NULL;
    AUTO_FREE struct train_reading *readings = calloc(s->n + 1, sizeof *readings);
    uint32_t candidates[2 * TRAIN_MAX_CLASSES];
    char dir[4096];
    enum err rc;
    if (!readings) return err_set(err, ERR_NOMEM, "no memory for %zu answers", s->n);
    if ((rc = glyphs_open(&reader, cli_models_dir(dir, r->models), r->model, err))) return rc;
    rc = train_read(readings, reader, s->pixels, s->n, candidates, candidates_of(candidates, s),
                    cores, err);
    train_reader_close(reader);
    if (!rc) *answer = answer_json(s, readings, r->model);
    return rc;
}

static int run(const struct run *r)
{
    struct err_info err = ERR_INFO_INIT;
    struct train_set s = TRAIN_SET_INIT;
    char warning[TRAIN_WARNING_BYTES];
    struct pool *pool = NULL;
    json_t *answer = NULL;
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (train_set_read(&s, warning, &r->source, &err)) return cli_fail_err(&err);
    if (warning[0]) fprintf(stderr, "visavis: %s\n", warning);
    enum err rc = pool_new(&pool, r->threads ? r->threads : online < 1 ? 1 : (int)online, &err);
    if (!rc) {
        const struct cores cores = pool_cores(pool);
        rc = measure(&answer, r, &s, &cores, &err);
        pool_free(pool);
    }
    train_set_release(&s);
    if (rc) return cli_fail_err(&err);
    cli_print(answer);
    return CLI_OK;
}

int eval_glyphs(int argc, char **argv)
{
    struct run r = {.model = GLYPHS_MODEL};
    int opt;
    while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        switch (opt) {
        case OPT_GLYPHS:
            break;
        case OPT_MAPPING:
            r.source.mapping = optarg;
            break;
        case OPT_ORIENTATION:
            if (!cli_orientation(&r.source.orientation, optarg)) return CLI_ERROR;
            break;
        case OPT_MODEL:
            r.model = optarg;
            break;
        case OPT_MODELS:
            r.models = optarg;
            break;
        case OPT_THREADS:
            if (!cli_int(&r.threads, "--threads", optarg, 1, THREADS_MAX)) return CLI_ERROR;
            break;
        default:
            fputs(help, opt == OPT_HELP || opt == 'h' ? stdout : stderr);
            return opt == OPT_HELP || opt == 'h' ? CLI_OK : CLI_ERROR;
        }
    }
    if (argc - optind != 2) {
        fputs(help, stderr);
        return CLI_ERROR;
    }
    r.source.images = argv[optind];
    r.source.labels = argv[optind + 1];
    return run(&r);
}
