/* `visavis recognise`: what characters pictures of handwriting show. A line of JSON a file; with
 * --draw a sheet of each character beside the examples that are most like it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/face_json.h"
#include "server/cli/cli.h"
#include "server/cli/glyphs.h"
#include "server/cli/recognise_draw.h"

enum { FILE_MAX_BYTES = 256 << 20 };

static const char help[] =
    "usage: visavis recognise [OPTIONS] IMAGE...\n"
    "  one JSON object a line and file: its characters, line by line, with label, probability and "
    "nearest examples;\n"
    "  a picture of up to 32 x 32 pixels is one character, others are split\n"
    "  --draw FILE        each character beside its nearest examples: .html, .svg or .png\n"
    "  --characters TEXT  only these may be the answer\n"
    "  --orientation O    upright or transposed (default: transposed where a small picture's name "
    "begins with emnist)\n"
    "  --model NAME       (default glyphs, which comes with visavis)\n"
    "  --models DIR       where the models are (default $VISAVIS_MODELS or the cache folder)\n";

enum { OPT_DRAW = 1, OPT_CHARACTERS, OPT_ORIENTATION, OPT_MODEL, OPT_MODELS, OPT_HELP };
static const struct option options[] = {{"draw", required_argument, NULL, OPT_DRAW},
                                        {"characters", required_argument, NULL, OPT_CHARACTERS},
                                        {"orientation", required_argument, NULL, OPT_ORIENTATION},
                                        {"model", required_argument, NULL, OPT_MODEL},
                                        {"models", required_argument, NULL, OPT_MODELS},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        {0}};

struct run {
    const char *model, *models, *draw;
    enum train_orientation orientation;
    uint32_t candidates[TRAIN_MAX_CLASSES];
    int n_candidates; /* 0: all */
    struct train_reader *reader;
    struct sheet sheet;
};

static json_t *near_json(const struct train_reading *r)
{
    json_t *list = json_array();
    char text[5];
    for (int i = 0; i < r->n_near; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:f}", "label", glyphs_utf8(text, r->near[i].code),
                                        "similarity", (double)r->near[i].similarity));
    return list;
}

static json_t *character_json(const struct train_glyph *g, const struct train_reading *r)
{
    char text[5];
    return json_pack("{s:s, s:f, s:f, s:[i,i,i,i], s:i, s:o}", "label",
                     glyphs_utf8(text, r->codes[0]), "probability", (double)r->probability,
                     "similarity", (double)r->similarity, "box", g->box[0], g->box[1], g->box[2],
                     g->box[3], "line", g->line, "nearest", near_json(r));
}

/* The labels, a blank where the lines change. */
static enum err text_of(struct buf *out, const struct train_glyph *g, const struct train_reading *r,
                        size_t n, struct err_info *err)
{
    char text[5];
    enum err rc = buf_puts(out, "", err);
    for (size_t i = 0; i < n && !rc; i++) {
        if (i && g[i].line != g[i - 1].line) rc = buf_puts(out, "\n", err);
        if (!rc) rc = buf_puts(out, glyphs_utf8(text, r[i].codes[0]), err);
    }
    return rc;
}

static enum err read_glyphs(json_t *line, struct run *run, const char *name,
                            const struct train_glyph *g, size_t n, struct err_info *err)
{
    AUTO_FREE uint8_t *pixels = malloc(n * TRAIN_PIXELS + 1);
    AUTO_FREE struct train_reading *r = calloc(n + 1, sizeof *r);
    AUTO_BUF struct buf text = BUF_INIT(1 << 20);
    json_t *list = json_array();
    enum err rc = ERR_OK;

    json_object_set_new(line, "characters", list);
    if (!pixels || !r) return err_set(err, ERR_NOMEM, "no memory for %zu characters", n);
    for (size_t i = 0; i < n; i++) memcpy(pixels + i * TRAIN_PIXELS, g[i].pixels, TRAIN_PIXELS);
    if (n)
        rc = train_read(r, run->reader, pixels, n, run->n_candidates ? run->candidates : NULL,
                        (size_t)run->n_candidates, NULL, err);
    if (!rc) rc = text_of(&text, g, r, n, err);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) json_array_append_new(list, character_json(&g[i], &r[i]));
    json_object_set_new(line, "text", json_stringn(text.data ? (char *)text.data : "", text.len));
    return run->draw ? sheet_add(&run->sheet, name, g, r, n, err) : ERR_OK;
}

static void recognise(struct run *run, const char *name)
{
    AUTO_BUF struct buf bytes = BUF_INIT(FILE_MAX_BYTES);
    struct err_info err = ERR_INFO_INIT;
    struct train_glyph *g = NULL;
    size_t n = 0;
    json_t *file = json_string(name),
           *line = json_pack("{s:o}", "file",
                             file ? file : json_string("(the name is not valid UTF-8)"));
    enum err rc = buf_read_file(&bytes, name, &err);

    if (!rc) rc = train_split(&g, &n, bytes.data, bytes.len, run->orientation, name, &err);
    if (!rc) rc = read_glyphs(line, run, name, g, n, &err);
    if (rc) {
        json_object_del(line, "characters");
        json_object_set_new(line, "error", error_json(&err));
    }
    free(g);
    cli_print(line);
}

static bool take_option(struct run *r, int opt)
{
    switch (opt) {
    case OPT_DRAW:
        r->draw = optarg;
        if (sheet_kind(optarg) >= 0) return true;
        cli_fail("--draw \"%s\" does not end with .html, .svg or .png", optarg);
        return false;
    case OPT_CHARACTERS:
        r->n_candidates = glyphs_codes(r->candidates, TRAIN_MAX_CLASSES, optarg);
        if (r->n_candidates > 0) return true;
        cli_fail("--characters \"%s\": 1 to %d characters in UTF-8", optarg,
                 (int)TRAIN_MAX_CLASSES);
        return false;
    case OPT_ORIENTATION:
        return cli_orientation(&r->orientation, optarg);
    case OPT_MODEL:
        r->model = optarg;
        return true;
    default:
        r->models = optarg;
        return true;
    }
}

int cli_recognise(int argc, char **argv)
{
    struct run r = {.model = GLYPHS_MODEL};
    struct err_info err = ERR_INFO_INIT;
    char dir[4096];
    int opt, code = CLI_OK;
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
    if (optind == argc) {
        fputs(help, stderr);
        return CLI_ERROR;
    }
    if (glyphs_open(&r.reader, cli_models_dir(dir, r.models), r.model, &err))
        return cli_fail_err(&err);
    for (int i = optind; i < argc; i++) recognise(&r, argv[i]);
    if (r.draw && sheet_write(&r.sheet, r.draw, &err)) code = cli_fail_err(&err);
    sheet_release(&r.sheet);
    train_reader_close(r.reader);
    return code;
}
