/* A report as SVG: pictures inside, nothing outside; text stays text. */
#include <stdio.h>

#include "server/report/report.h"
#include "server/report/view.h"

/* For text and for attributes. XML 1.0 has no controls, and no U+FFFE or U+FFFF: they become
 * spaces. */
static enum err escaped(struct buf *out, const char *s, struct err_info *err)
{
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        const bool none = c == 0xef && (unsigned char)s[1] == 0xbf && (unsigned char)s[2] >= 0xbe;

        if (c == '<')
            TRY(buf_puts(out, "&lt;", err));
        else if (c == '>')
            TRY(buf_puts(out, "&gt;", err));
        else if (c == '&')
            TRY(buf_puts(out, "&amp;", err));
        else if (c == '"')
            TRY(buf_puts(out, "&quot;", err));
        else if (c < ' ' || c == 0x7f || none)
            TRY(buf_puts(out, " ", err));
        else
            TRY(buf_add(out, s, 1, err));
        if (none) s += 2;
    }
    return ERR_OK;
}

static enum err svg_area(void *self, const double (*points)[2], size_t n, uint32_t colour,
                         struct err_info *err)
{
    struct buf *out = self;

    TRY(buf_printf(out, err,
                   "<polygon fill=\"#%06x\" fill-opacity=\"0.1\" stroke=\"#%06x\" "
                   "stroke-opacity=\"0.45\" stroke-width=\"1.5\" points=\"",
                   colour, colour));
    for (size_t i = 0; i < n; i++)
        TRY(buf_printf(out, err, "%s%.1f,%.1f", i ? " " : "", points[i][0], points[i][1]));
    return buf_puts(out, "\"/>\n", err);
}

static enum err svg_dot(void *self, double x, double y, double radius, uint32_t colour, bool hollow,
                        const char *name, struct err_info *err)
{
    struct buf *out = self;

    TRY(buf_printf(out, err, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"", x, y, radius));
    TRY(hollow
            ? buf_printf(out, err, " fill=\"#fff\" stroke=\"#%06x\" stroke-width=\"1.5\"", colour)
            : buf_printf(out, err, " fill=\"#%06x\"", colour));
    TRY(buf_puts(out, "><title>", err));
    TRY(escaped(out, name, err));
    return buf_puts(out, "</title></circle>\n", err);
}

static enum err svg_picture(void *self, double x, double y, double side,
                            const struct view_face *face, uint32_t colour, bool dashed,
                            struct err_info *err)
{
    struct buf *out = self;
    const double left = x - side / 2, top = y - side / 2;

    TRY(buf_puts(out, "<g><title>", err));
    TRY(escaped(out, face->file, err));
    TRY(buf_printf(out, err,
                   "</title><image x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                   "href=\"data:image/jpeg;base64,",
                   left, top, side, side));
    TRY(buf_add(out, face->thumbnail, face->thumbnail_len, err));
    return buf_printf(out, err,
                      "\"/><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"3\" "
                      "fill=\"none\" stroke=\"#%06x\" stroke-width=\"%.1f\"%s/></g>\n",
                      left, top, side, side, colour, side > 30 ? 3.0 : 2.0,
                      dashed ? " stroke-dasharray=\"5 3\"" : "");
}

static enum err svg_text(void *self, double x, double y, double size, uint32_t colour,
                         enum view_text kind, const char *s, struct err_info *err)
{
    static const char *const styles[] = {
        [VIEW_PLAIN] = "",
        [VIEW_TITLE] = " font-weight=\"bold\"",
        [VIEW_NAME] = (" font-weight=\"bold\" text-anchor=\"middle\" stroke=\"#fff\" "
                       "stroke-width=\"4\" stroke-linejoin=\"round\" paint-order=\"stroke\""),
    };
    struct buf *out = self;

    TRY(buf_printf(out, err, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" fill=\"#%06x\"%s>", x,
                   y, size, colour, styles[kind]));
    TRY(escaped(out, s, err));
    return buf_puts(out, "</text>\n", err);
}

enum err report_svg(struct buf *out, const json_t *report, struct err_info *err)
{
    AUTO_VIEW struct view v = {0};
    const struct painter painter = {out, svg_area, svg_dot, svg_picture, svg_text};

    TRY(view_init(&v, report, err));
    TRY(buf_printf(out, err,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                   "font-family=\"system-ui, sans-serif\" role=\"img\">\n<title>",
                   VIEW_WIDTH, VIEW_HEIGHT));
    TRY(escaped(out, v.title, err));
    TRY(buf_printf(out, err, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
                   VIEW_WIDTH, VIEW_HEIGHT));
    TRY(view_paint(&v, &painter, err));
    return buf_puts(out, "</svg>\n", err);
}
