#include "server/cli/recognise_draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/cli/glyphs.h"
#include "server/cli/page.h"

enum {
    CELL = 56, /* pixels a glyph in a drawing: twice its size */
    GAP = 8,
    TEXT = 16, /* a line of labels */
    ROW = CELL + TEXT + GAP,
    WIDTH = (TRAIN_NEAR + 2) * (CELL + GAP),
    PAGE_MAX_BYTES = 256 << 20,
    PICTURE_MAX_HEIGHT = 16384
};
enum kind { HTML, SVG, PNG, KINDS };
static const char *const ENDINGS[KINDS] = {".html", ".svg", ".png"};

int sheet_kind(const char *path)
{
    const size_t n = strlen(path);
    for (int i = 0; i < KINDS; i++)
        if (n >= strlen(ENDINGS[i]) && strcmp(path + n - strlen(ENDINGS[i]), ENDINGS[i]) == 0)
            return i;
    return -1;
}

enum err sheet_add(struct sheet *s, const char *file, const struct train_glyph *glyphs,
                   const struct train_reading *readings, size_t n, struct err_info *err)
{
    struct sheet_row *rows = realloc(s->rows, (s->n + n + 1) * sizeof *rows);
    if (!rows) return err_set(err, ERR_NOMEM, "no memory to draw %zu characters", s->n + n);
    s->rows = rows;
    for (size_t i = 0; i < n; i++) {
        struct sheet_row *row = &rows[s->n];
        if (!(row->file = strdup(file))) return err_set(err, ERR_NOMEM, "no memory for a name");
        memcpy(row->pixels, glyphs[i].pixels, TRAIN_PIXELS);
        row->reading = readings[i];
        s->n++;
    }
    return ERR_OK;
}

void sheet_release(struct sheet *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->rows[i].file);
    free(s->rows);
    *s = (struct sheet){0};
}

/* A glyph at (x, y) with a word below it. */
static enum err cell(struct buf *out, const uint8_t *pixels, int x, int y, const char *label,
                     double value, struct err_info *err)
{
    TRY(buf_printf(out, err, "<image x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" href=\"", x, y,
                   (int)CELL, (int)CELL));
    TRY(glyphs_add_uri(out, pixels, TRAIN_SIDE, TRAIN_SIDE, err));
    TRY(buf_printf(out, err, "\"/><text x=\"%d\" y=\"%d\">", x, y + CELL + TEXT - 4));
    TRY(page_text(out, label, err));
    return buf_printf(out, err, " %.2f</text>\n", value);
}

static enum err draw_svg(struct buf *out, const struct sheet *s, struct err_info *err)
{
    char label[5];
    TRY(buf_printf(out, err,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" "
                   "font-family=\"sans-serif\" font-size=\"12\">\n",
                   (int)WIDTH, s->n * ROW + GAP));
    for (size_t i = 0; i < s->n; i++) {
        const struct train_reading *r = &s->rows[i].reading;
        const int y = (int)i * ROW + GAP;
        TRY(buf_puts(out, "<g><title>", err));
        TRY(page_text(out, s->rows[i].file, err));
        TRY(buf_puts(out, "</title>\n", err));
        TRY(cell(out, s->rows[i].pixels, GAP, y, glyphs_utf8(label, r->codes[0]),
                 (double)r->probability, err));
        for (int k = 0; k < r->n_near; k++)
            TRY(cell(out, r->near[k].pixels, (k + 2) * (CELL + GAP) - CELL / 2, y,
                     glyphs_utf8(label, r->near[k].code), (double)r->near[k].similarity, err));
        TRY(buf_puts(out, "</g>\n", err));
    }
    return buf_puts(out, "</svg>\n", err);
}

static enum err draw_html(struct buf *out, const struct sheet *s, struct err_info *err)
{
    TRY(buf_puts(out,
                 "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                 "<title>visavis recognise</title></head><body>\n"
                 "<p>Each character with what it was read as and how probable that is; then the "
                 "examples that are most like it, with their similarity.</p>\n",
                 err));
    TRY(draw_svg(out, s, err));
    return buf_puts(out, "</body></html>\n", err);
}

/* Without words: the examples say what they are. */
static void put(uint8_t *canvas, const uint8_t *pixels, int left, int top)
{
    for (int y = 0; y < CELL; y++)
        for (int x = 0; x < CELL; x++)
            canvas[(size_t)(top + y) * WIDTH + (size_t)(left + x)] =
                pixels[y / 2 * TRAIN_SIDE + x / 2];
}

static enum err draw_png(struct buf *out, const struct sheet *s, struct err_info *err)
{
    const size_t height = s->n * (CELL + GAP) + GAP;
    if (height > PICTURE_MAX_HEIGHT)
        return err_set(err, ERR_TOO_LARGE,
                       "%zu characters make a picture %zu high, the limit is %d", s->n, height,
                       (int)PICTURE_MAX_HEIGHT);
    AUTO_FREE uint8_t *canvas = malloc(height * WIDTH);
    if (!canvas) return err_set(err, ERR_NOMEM, "no memory for %zu rows", s->n);
    memset(canvas, 128, height * WIDTH);
    for (size_t i = 0; i < s->n; i++) {
        const struct train_reading *r = &s->rows[i].reading;
        const int top = (int)i * (CELL + GAP) + GAP;
        put(canvas, s->rows[i].pixels, GAP, top);
        for (int k = 0; k < r->n_near; k++)
            put(canvas, r->near[k].pixels, (k + 2) * (CELL + GAP) - CELL / 2, top);
    }
    return train_png(out, canvas, WIDTH, (int)height, err);
}

enum err sheet_write(const struct sheet *s, const char *path, struct err_info *err)
{
    AUTO_BUF struct buf out = BUF_INIT(PAGE_MAX_BYTES);
    switch (sheet_kind(path)) {
    case HTML:
        TRY(draw_html(&out, s, err));
        break;
    case SVG:
        TRY(draw_svg(&out, s, err));
        break;
    default:
        TRY(draw_png(&out, s, err));
    }
    return page_write(NULL, path, out.data, out.len, err);
}
