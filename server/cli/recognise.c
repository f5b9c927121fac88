/* `visavis recognise`: what characters pictures of handwriting show. A line of JSON a file; with
 * --draw a sheet of each character beside the examples that are most like it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/face_json.h"
#include "server/cli/cli.h"
#include "server/cli/glyphs.h"
#include "server/cli/recognise_draw.h"

static const char help[] =
    "usage: visavis recognise [OPTIONS] IMAGE...\n"
    "  one JSON object a line and file: its characters, line by line, with label, probability and "
    "nearest examples;\n"
    "  a picture of up to 32 x 32 pixels is one character, others are split\n"
    "  --draw FILE        each character beside its nearest examples: .html, .svg or .png\n"
    "  --characters TEXT  only these may be the answer\n"
    "  --orientation O    upright or transposed (default: transposed where a small picture's name "
    "begins with emnist)\n"
    "  --model NAME       (default glyphs, which comes with visavis)\n" CLI_MODELS_HELP;

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
    AUTO_BUF struct buf bytes = BUF_INIT(CLI_FILE_MAX_BYTES);
    struct err_info err = ERR_INFO_INIT;
    struct train_glyph *g = NULL;
    size_t n = 0;
    json_t *line = json_pack("{s:o}", "file", cli_name_json(name));
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

static bool take_draw(void *self, const char *option, const char *value)
{
    struct run *r = self;
    r->draw = value;
    if (sheet_kind(value) >= 0) return true;
    cli_fail("--%s \"%s\" does not end with .html, .svg or .png", option, value);
    return false;
}

static bool take_characters(void *self, const char *option, const char *value)
{
    struct run *r = self;
    r->n_candidates = glyphs_codes(r->candidates, TRAIN_MAX_CLASSES, value);
    if (r->n_candidates > 0) return true;
    cli_fail("--%s \"%s\": 1 to %d characters in UTF-8", option, value, (int)TRAIN_MAX_CLASSES);
    return false;
}

int cli_recognise(int argc, char **argv)
{
    struct run r = {.model = GLYPHS_MODEL};
    struct err_info err = ERR_INFO_INIT;
    char dir[CLI_DIR_BYTES];
    struct cli_words w;
    int code = CLI_OK;
    const struct cli_option options[] = {
        {"draw", .take = take_draw, .self = &r},
        {"characters", .take = take_characters, .self = &r},
        {"orientation", .take = cli_orientation, .self = &r.orientation},
        {"model", .text = &r.model},
        {"models", .text = &r.models},
        {0}};

    if (!cli_options(&w, argc, argv, options, help)) return w.code;
    if (!w.n) return cli_usage(help);
    if (glyphs_open(&r.reader, cli_models_dir(dir, r.models), r.model, &err))
        return cli_fail_err(&err);
    for (int i = 0; i < w.n; i++) recognise(&r, w.word[i]);
    if (r.draw && sheet_write(&r.sheet, r.draw, &err)) code = cli_fail_err(&err);
    sheet_release(&r.sheet);
    train_reader_close(r.reader);
    return code;
}
