/* `visavis eval --glyphs IMAGES LABELS`: how many glyphs of an IDX pair are read right, against the
 * examples of a glyph model. One JSON object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/pool.h"
#include "server/cli/cli.h"
#include "server/cli/eval.h"
#include "server/cli/glyphs.h"

static const char help[] =
    "usage: visavis eval --glyphs IMAGES LABELS [--mapping FILE] [OPTIONS]\n"
    "  IMAGES, LABELS     an IDX pair, plain or gzip: 28 x 28 pixels and a label each\n"
    "  --mapping FILE     lines `label code [code]`: the candidates are its characters (default: "
    "the ten digits)\n"
    "  --orientation O    upright or transposed (default: transposed where IMAGES begins with "
    "emnist)\n"
    "  --model NAME       (default glyphs, which comes with visavis)\n"
    "  --models DIR, --threads N\n";

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
    char dir[CLI_DIR_BYTES];
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
    if (train_set_read(&s, warning, &r->source, &err)) return cli_fail_err(&err);
    if (warning[0]) fprintf(stderr, "visavis: %s\n", warning);
    enum err rc = pool_new(&pool, cli_cores(r->threads), &err);
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
    struct cli_words w;
    bool glyphs; /* why we are here */
    const struct cli_option options[] = {
        {"glyphs", .flag = &glyphs},
        {"mapping", .text = &r.source.mapping},
        {"orientation", .take = cli_orientation, .self = &r.source.orientation},
        {"model", .text = &r.model},
        {"models", .text = &r.models},
        CLI_THREADS_OPTION(&r.threads),
        {0}};

    if (!cli_options(&w, argc, argv, options, help)) return w.code;
    if (w.n != 2) return cli_usage(help);
    r.source.images = w.word[0];
    r.source.labels = w.word[1];
    return run(&r);
}
