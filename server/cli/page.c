#include "server/cli/page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

static const char STYLE[] =
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.2em .9em .2em 0;text-align:left;border-bottom:1px solid #8884}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:1.5em}"
    "svg{width:100%;height:auto}.g{stroke:#8883}.n,.t{font-size:11px;fill:currentColor}"
    ".red{color:#c62828}.blue{color:#1769aa}"
    "figure{margin:0;break-inside:avoid}figcaption{font-size:.8em}";

enum err page_text(struct buf *out, const char *s, struct err_info *err)
{
    for (; *s; s++) {
        switch (*s) {
        case '<':
            TRY(buf_puts(out, "&lt;", err));
            break;
        case '>':
            TRY(buf_puts(out, "&gt;", err));
            break;
        case '&':
            TRY(buf_puts(out, "&amp;", err));
            break;
        case '"':
            TRY(buf_puts(out, "&quot;", err));
            break;
        default:
            TRY(buf_add(out, s, 1, err));
        }
    }
    return ERR_OK;
}

enum err page_head(struct buf *out, const char *title, const char *style, struct err_info *err)
{
    TRY(buf_puts(out,
                 "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width\"><title>",
                 err));
    TRY(page_text(out, title, err));
    return buf_printf(out, err, "</title><style>%s%s</style></head><body>\n", STYLE, style);
}

enum err page_svg(struct buf *out, const char *label, struct err_info *err)
{
    return buf_printf(out, err, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
                      PAGE_WIDTH, PAGE_HEIGHT, label);
}

enum err page_axis_titles(struct buf *out, const char *x, const char *y, struct err_info *err)
{
    TRY(buf_printf(out, err,
                   "<text class=\"t\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                   PAGE_LEFT + PAGE_PLOT_W / 2, PAGE_HEIGHT - 6, x));
    return buf_printf(out, err,
                      "<text class=\"t\" transform=\"translate(13,%d) rotate(-90)\" "
                      "text-anchor=\"middle\">%s</text>\n",
                      PAGE_TOP + PAGE_PLOT_H / 2, y);
}

enum err page_tick_y(struct buf *out, double y, const char *label, struct err_info *err)
{
    return buf_printf(
        out, err,
        "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"n\" x=\"%d\" "
        "y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
        PAGE_LEFT, PAGE_LEFT + PAGE_PLOT_W, y, y, PAGE_LEFT - 5, y + 4, label);
}

enum err page_tick_x(struct buf *out, double x, const char *label, struct err_info *err)
{
    return buf_printf(
        out, err,
        "<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text class=\"n\" "
        "x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
        x, x, PAGE_TOP, PAGE_TOP + PAGE_PLOT_H, x, PAGE_TOP + PAGE_PLOT_H + 15, label);
}

enum err page_write(const char *dir, const char *name, const void *data, size_t len,
                    struct err_info *err)
{
    char *path AUTO_FREE = NULL;

    if (asprintf(&path, "%s%s%s", dir ? dir : "", dir ? "/" : "", name) < 0) {
        path = NULL;
        return err_set(err, ERR_NOMEM, "no memory for a path");
    }
    FILE *f = fopen(path, "w");
    const bool ok = f && fwrite(data, 1, len, f) == len;
    if ((f && fclose(f)) || !ok)
        return err_set(err, err_of_write(errno), "%s cannot be written: %s", path, strerror(errno));
    return ERR_OK;
}
