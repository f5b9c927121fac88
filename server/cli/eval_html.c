/* The report: figures, plots, and the pairs that went most wrong, on one page without any other
 * file. */
#include <stdio.h>
#include <string.h>

#include "server/cli/eval.h"
#include "server/cli/page.h"

enum { THUMBNAIL_SIDE = 128, THUMBNAIL_MAX_BYTES = 1 << 20 };

static const char style[] =
    ".roc{fill:none;stroke:#1769aa;stroke-width:2}.impostor{fill:#c62828;fill-opacity:.45}"
    ".genuine{fill:#1769aa;fill-opacity:.45}.cut{stroke:currentColor;stroke-dasharray:4 3}"
    ".pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:1em}"
    "figure img{width:128px;height:128px;margin-right:4px;background:#8882}"
    "figcaption{overflow-wrap:anywhere}"
    "@media "
    "print{body{margin:0;max-width:none}h2{break-after:avoid}.plots>div{break-inside:avoid}}";

static enum err row(struct buf *out, const char *name, const char *value, struct err_info *err)
{
    TRY(buf_printf(out, err, "<tr><th>%s</th><td>", name));
    TRY(page_text(out, value, err));
    return buf_puts(out, "</td></tr>\n", err);
}

/* The plain keys of the answer that a reader looks for, where they are there. */
static enum err figures(struct buf *out, const json_t *answer, struct err_info *err)
{
    static const struct {
        const char *key, *name;
        double scale;
        const char *unit;
    } shown[] = {{"accuracy", "accuracy", 100, " %"},
                 {"accuracy_sd", "its standard deviation over the folds", 100, " %"},
                 {"eer", "equal error rate", 100, " %"},
                 {"threshold", "threshold (similarity)", 1, ""},
                 {"genuine_pairs", "pairs of one person", 1, ""},
                 {"impostor_pairs", "pairs of strangers", 1, ""},
                 {"lost_pairs", "lost pairs (no face found)", 1, ""},
                 {"images", "pictures", 1, ""},
                 {"people", "people", 1, ""},
                 {"model", "model", 1, ""},
                 {"average", "averaged crops", 1, ""},
                 {"precision", "precision", 1, ""},
                 {"recipe", "recipe", 1, ""},
                 {"command", "made by", 1, ""}};
    char value[64];

    TRY(buf_puts(out, "<table>\n", err));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const json_t *v = json_object_get(answer, shown[i].key);
        if (json_is_string(v)) TRY(row(out, shown[i].name, json_string_value(v), err));
        if (!json_is_number(v)) continue;
        if (json_is_integer(v))
            snprintf(value, sizeof value, "%lld", (long long)json_integer_value(v));
        else
            snprintf(value, sizeof value, "%.4g%s", json_real_value(v) * shown[i].scale,
                     shown[i].unit);
        TRY(row(out, shown[i].name, value, err));
    }
    return buf_puts(out, "</table>\n", err);
}

static double at(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static enum err rates(struct buf *out, const json_t *answer, struct err_info *err)
{
    json_t *all = json_object_get(answer, "tar_at_fmr"), *p;
    const char *rate;

    TRY(buf_puts(out,
                 "<h2>True accept rate at a false-match "
                 "rate</h2>\n<table><tr><th>FMR</th><th>TAR</th><th>95 "
                 "%</th><th>observed FMR</th><th>threshold</th><th></th></tr>\n",
                 err));
    json_object_foreach(all, rate, p)
    {
        const json_t *ci = json_object_get(p, "ci");
        TRY(buf_printf(
            out, err,
            "<tr><td>%s</td><td>%.2f %%</td><td>%.2f to %.2f %%</td><td>%.3g</td><td>%.4f</td>"
            "<td>%s</td></tr>\n",
            rate, 100 * at(p, "tar"), 100 * json_number_value(json_array_get(ci, 0)),
            100 * json_number_value(json_array_get(ci, 1)), at(p, "fmr_observed"),
            at(p, "threshold"),
            json_is_true(json_object_get(p, "supported")) ? "" : "too few pairs to state it"));
    }
    return buf_puts(out, "</table>\n", err);
}

/* A face as an <img> that carries its bytes; an empty place where the picture had none. */
static enum err face(struct buf *out, const struct eval_report *r, uint32_t picture,
                     struct engine *e, struct err_info *err)
{
    const struct eval_image *im = &r->set->images[picture];
    AUTO_BUF struct buf bytes = BUF_INIT(CLI_FILE_MAX_BYTES);
    AUTO_BUF struct buf jpeg = BUF_INIT(THUMBNAIL_MAX_BYTES);

    TRY(buf_puts(out, "<img alt=\"", err));
    TRY(page_text(out, r->set->names.name[picture], err));
    if (im->found) {
        TRY(buf_read_file(&bytes, im->path, err));
        TRY(engine_thumbnail(e, bytes.data, bytes.len, im->box, THUMBNAIL_SIDE, &jpeg, err));
        TRY(buf_puts(out, "\" src=\"data:image/jpeg;base64,", err));
        TRY(buf_add_base64(out, jpeg.data, jpeg.len, err));
    }
    return buf_puts(out, "\">", err);
}

static enum err gallery(struct buf *out, const char *title, const struct eval_report *r,
                        const struct eval_shown_pair *pairs, size_t n, struct engine *e,
                        struct err_info *err)
{
    TRY(buf_printf(out, err, "<h2>%s</h2>\n<div class=\"pairs\">\n", title));
    if (!n) TRY(buf_puts(out, "<p>none</p>\n", err));
    for (size_t i = 0; i < n; i++) {
        TRY(buf_puts(out, "<figure>", err));
        TRY(face(out, r, pairs[i].a, e, err));
        TRY(face(out, r, pairs[i].b, e, err));
        TRY(buf_puts(out, "<figcaption>", err));
        TRY(page_text(out, r->set->names.name[pairs[i].a], err));
        TRY(buf_puts(out, " &middot; ", err));
        TRY(page_text(out, r->set->names.name[pairs[i].b], err));
        if (pairs[i].similarity > -1)
            TRY(buf_printf(out, err, " &middot; %.3f", (double)pairs[i].similarity));
        else
            TRY(buf_puts(out, " &middot; lost", err));
        TRY(buf_puts(out, "</figcaption></figure>\n", err));
    }
    return buf_puts(out, "</div>\n", err);
}

enum err eval_html(struct buf *out, const struct eval_report *r, struct engine *e,
                   struct err_info *err)
{
    const double pairs = at(r->answer, "impostor_pairs");

    TRY(page_head(out, r->title, style, err));
    TRY(buf_puts(out, "<h1>", err));
    TRY(page_text(out, r->title, err));
    TRY(buf_puts(out, "</h1>\n", err));
    TRY(figures(out, r->answer, err));
    TRY(buf_puts(out, "<div class=\"plots\"><div><h2>ROC</h2>\n", err));
    TRY(eval_svg_roc(out, r->roc, 10 / pairs, err));
    TRY(buf_puts(out,
                 "</div><div><h2>Similarities: <span class=\"red\">strangers</span>, <span "
                 "class=\"blue\">one "
                 "person</span>, threshold</h2>\n",
                 err));
    TRY(eval_svg_histogram(out, r->roc, r->threshold, err));
    TRY(buf_puts(out, "</div></div>\n", err));
    TRY(rates(out, r->answer, err));
    TRY(gallery(out, "Most alike strangers", r, r->false_matches, r->n_false_matches, e, err));
    TRY(gallery(out, "Least alike pictures of one person", r, r->misses, r->n_misses, e, err));
    return buf_puts(out, "</body></html>\n", err);
}
