/* The page about a training: curves, what was confused with what, where the embeddings lie, and the
 * glyphs that were read most wrong. */
#include "server/cli/train_html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/cli/glyphs.h"
#include "server/cli/page.h"

enum {
    CURVE_POINTS = 200,
    SCATTER_POINTS = 3000,
    MISTAKES = 60,
    CELL = 13, /* of the confusion matrix */
    MARGIN = 20
};

static const char style[] =
    ".loss{fill:none;stroke:#1769aa;stroke-width:2}.violating{fill:none;stroke:#c62828}"
    ".scatter text{font-size:9px;fill-opacity:.7}.matrix{max-width:60em}"
    ".mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(90px,1fr));gap:.6em}"
    "figure img{width:56px;image-rendering:pixelated}";

/* --- curves --- */

/* Means of so many steps that there are CURVE_POINTS of them at most. */
static enum err curve(struct buf *out, const char *kind, const float *v, long steps, double most,
                      struct err_info *err)
{
    const long each = (steps + CURVE_POINTS - 1) / CURVE_POINTS;
    TRY(buf_printf(out, err, "<polyline class=\"%s\" points=\"", kind));
    for (long i = 0; i < steps; i += each) {
        const long n = steps - i < each ? steps - i : each;
        double sum = 0;
        for (long k = i; k < i + n; k++) sum += (double)v[k];
        TRY(buf_printf(out, err, "%.1f,%.1f ",
                       PAGE_LEFT + PAGE_PLOT_W * ((double)i + (double)n / 2) / (double)steps,
                       PAGE_TOP + PAGE_PLOT_H * (1 - fmin(1, sum / (double)n / most))));
    }
    return buf_puts(out, "\"/>\n", err);
}

static enum err curves(struct buf *out, const struct train_report *r, struct err_info *err)
{
    char label[32];
    double most = 1e-9;
    for (long i = 0; i < r->steps; i++) most = fmax(most, (double)r->loss[i]);
    TRY(page_svg(out, "Loss and violating triplets", err));
    for (int k = 0; k <= 4; k++) {
        snprintf(label, sizeof label, "%.3f", most * k / 4);
        TRY(page_tick_y(out, PAGE_TOP + PAGE_PLOT_H * (1 - k / 4.0), label, err));
        snprintf(label, sizeof label, "%ld", r->steps * k / 4);
        TRY(page_tick_x(out, PAGE_LEFT + PAGE_PLOT_W * (k / 4.0), label, err));
    }
    TRY(curve(out, "violating", r->violating, r->steps, 1, err));
    TRY(curve(out, "loss", r->loss, r->steps, most, err));
    TRY(page_axis_titles(out, "step", "loss", err));
    return buf_puts(out, "</svg>\n", err);
}

/* --- where the embeddings lie --- */

static const char *label_of(char text[5], const struct train_set *s, int label)
{
    return glyphs_utf8(text, s->codes[label][0]);
}

static enum err scatter(struct buf *out, const struct train_report *r, struct err_info *err)
{
    const size_t n = r->held->n, each = n / SCATTER_POINTS + 1;
    float low[2] = {0, 0}, high[2] = {1e-6f, 1e-6f};
    char text[5];
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            low[k] = fminf(low[k], r->scatter[i][k]);
            high[k] = fmaxf(high[k], r->scatter[i][k]);
        }
    TRY(buf_printf(
        out, err,
        "<svg class=\"scatter\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Embeddings"
        "\">\n",
        (int)PAGE_WIDTH, (int)PAGE_HEIGHT));
    for (size_t i = 0; i < n; i += each) {
        const int label = r->held->labels[i];
        TRY(buf_printf(out, err, "<text x=\"%.1f\" y=\"%.1f\" fill=\"hsl(%d,70%%,45%%)\">",
                       MARGIN + (double)((PAGE_WIDTH - 2 * MARGIN) * (r->scatter[i][0] - low[0]) /
                                         (high[0] - low[0])),
                       MARGIN + (double)((PAGE_HEIGHT - 2 * MARGIN) * (r->scatter[i][1] - low[1]) /
                                         (high[1] - low[1])),
                       label * 137 % 360));
        TRY(page_text(out, label_of(text, r->held, label), err));
        TRY(buf_puts(out, "</text>", err));
    }
    return buf_puts(out, "\n</svg>\n", err);
}

/* --- what was read as what --- */

static enum err matrix_cells(struct buf *out, const struct train_report *r, const size_t *count,
                             struct err_info *err)
{
    const int classes = r->held->n_classes;
    char a[5], b[5];
    for (int row = 0; row < classes; row++) {
        size_t all = 0;
        for (int c = 0; c < classes; c++) all += count[row * classes + c];
        for (int c = 0; c < classes; c++) {
            const size_t n = count[row * classes + c];
            if (!n) continue;
            TRY(buf_printf(out, err,
                           "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\" "
                           "fill-opacity=\"%.2f\"><title>",
                           MARGIN + c * CELL, MARGIN + row * CELL, (int)CELL, (int)CELL,
                           row == c ? "#1769aa" : "#c62828",
                           0.15 + 0.85 * sqrt((double)n / (double)all)));
            TRY(page_text(out, label_of(a, r->held, row), err));
            TRY(buf_printf(out, err, ": %zu of %zu read as ", n, all));
            TRY(page_text(out, label_of(b, r->held, c), err));
            TRY(buf_puts(out, "</title></rect>\n", err));
        }
    }
    return ERR_OK;
}

static enum err matrix(struct buf *out, const struct train_report *r, struct err_info *err)
{
    const int classes = r->held->n_classes, side = 2 * MARGIN + classes * CELL;
    AUTO_FREE size_t *count = calloc((size_t)classes * (size_t)classes + 1, sizeof *count);
    char text[5];
    if (!count) return err_set(err, ERR_NOMEM, "no memory for %d classes", classes);
    for (size_t i = 0; i < r->held->n; i++) count[r->held->labels[i] * classes + r->read[i]]++;
    TRY(buf_printf(out, err,
                   "<svg class=\"matrix\" viewBox=\"0 0 %d %d\" role=\"img\" "
                   "aria-label=\"Confusion matrix\">\n",
                   side, side));
    for (int c = 0; c < classes; c++)
        for (int axis = 0; axis < 2; axis++) {
            const int at = MARGIN + c * CELL + CELL - 4;
            TRY(buf_printf(out, err, "<text class=\"n\" x=\"%d\" y=\"%d\">",
                           axis ? at - 6 : MARGIN - 11, axis ? MARGIN - 4 : at));
            TRY(page_text(out, label_of(text, r->held, c), err));
            TRY(buf_puts(out, "</text>", err));
        }
    TRY(matrix_cells(out, r, count, err));
    return buf_puts(out, "</svg>\n", err);
}

/* --- worst mistakes --- */

struct mistake {
    float lead;
    size_t glyph;
};

static int by_lead(const void *a, const void *b)
{
    const float x = ((const struct mistake *)a)->lead, y = ((const struct mistake *)b)->lead;
    return x > y ? -1 : x < y;
}

static enum err mistakes(struct buf *out, const struct train_report *r, struct err_info *err)
{
    AUTO_FREE struct mistake *list = calloc(r->held->n + 1, sizeof *list);
    size_t n = 0;
    char text[5];
    if (!list) return err_set(err, ERR_NOMEM, "no memory for %zu glyphs", r->held->n);
    for (size_t i = 0; i < r->held->n; i++)
        if (r->read[i] != r->held->labels[i]) list[n++] = (struct mistake){r->lead[i], i};
    qsort(list, n, sizeof *list, by_lead);
    TRY(buf_puts(out, "<div class=\"mistakes\">\n", err));
    for (size_t i = 0; i < n && i < MISTAKES; i++) {
        const size_t g = list[i].glyph;
        TRY(buf_puts(out, "<figure><img alt=\"\" src=\"", err));
        TRY(glyphs_add_uri(out, r->held->pixels + g * TRAIN_PIXELS, TRAIN_SIDE, TRAIN_SIDE, err));
        TRY(buf_puts(out, "\"><figcaption>", err));
        TRY(page_text(out, label_of(text, r->held, r->held->labels[g]), err));
        TRY(buf_puts(out, " read as ", err));
        TRY(page_text(out, label_of(text, r->held, r->read[g]), err));
        TRY(buf_puts(out, "</figcaption></figure>\n", err));
    }
    return buf_puts(out, "</div>\n", err);
}

static enum err figures(struct buf *out, const struct train_report *r, struct err_info *err)
{
    TRY(buf_puts(out, "<table><tr><th>figure</th><th>accuracy</th><th>of</th></tr>\n", err));
    for (int i = 0; i < r->n_figures; i++) {
        TRY(buf_puts(out, "<tr><td>", err));
        TRY(page_text(out, r->figures[i].name, err));
        TRY(buf_printf(out, err, "</td><td>%.2f %%</td><td>%zu</td></tr>\n",
                       100 * r->figures[i].value, r->figures[i].n));
    }
    return buf_puts(out, "</table>\n", err);
}

enum err train_html(struct buf *out, const struct train_report *r, const json_t *answer,
                    struct err_info *err)
{
    const char *command = json_string_value(json_object_get(answer, "command"));
    TRY(page_head(out, "visavis: a training", style, err));
    TRY(buf_puts(out, "<h1>A training</h1>\n<p>", err));
    TRY(page_text(out, command ? command : "", err));
    TRY(buf_printf(out, err, "<br>%zu parameters, %d numbers an embedding, %ld steps</p>\n",
                   r->parameters, r->dim, r->steps));
    TRY(figures(out, r, err));
    TRY(buf_puts(out,
                 "<div class=\"plots\"><div><h2><span class=\"blue\">Loss</span>, <span "
                 "class=\"red\">share of pairs with a negative within the margin</span></h2>\n",
                 err));
    TRY(curves(out, r, err));
    TRY(buf_puts(out,
                 "</div><div><h2>Glyphs that were held out, along their embeddings' two principal "
                 "components</h2>\n",
                 err));
    TRY(scatter(out, r, err));
    TRY(buf_puts(out, "</div></div>\n<h2>What each character (row) was read as</h2>\n", err));
    TRY(matrix(out, r, err));
    TRY(buf_puts(out, "<h2>Worst mistakes</h2>\n", err));
    TRY(mistakes(out, r, err));
    return buf_puts(out, "</body></html>\n", err);
}
