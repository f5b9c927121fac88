/* A report as PNG: cairo draws, at twice the size of the view for sharp screens. */
#include <cairo.h>
#include <math.h>

#include "engine/base/mem.h"
#include "engine/engine.h"
#include "server/report/report.h"
#include "server/report/view.h"

enum { SCALE = 2, THUMBNAIL_MAX_BYTES = 4 << 20 };

static void ink(cairo_t *c, uint32_t colour, double alpha)
{
    cairo_set_source_rgba(c, (colour >> 16) / 255.0, (colour >> 8 & 255) / 255.0,
                          (colour & 255) / 255.0, alpha);
}

static enum err png_area(void *self, const double (*points)[2], size_t n, uint32_t colour,
                         struct err_info *err)
{
    cairo_t *c = self;

    (void)err;
    cairo_new_path(c);
    for (size_t i = 0; i < n; i++) cairo_line_to(c, points[i][0], points[i][1]);
    cairo_close_path(c);
    ink(c, colour, 0.1);
    cairo_fill_preserve(c);
    ink(c, colour, 0.45);
    cairo_set_line_width(c, 1.5);
    cairo_stroke(c);
    return ERR_OK;
}

static enum err png_dot(void *self, double x, double y, double radius, uint32_t colour, bool hollow,
                        const char *name, struct err_info *err)
{
    cairo_t *c = self;

    (void)name;
    (void)err;
    cairo_new_path(c);
    cairo_arc(c, x, y, radius, 0, 2 * M_PI);
    ink(c, hollow ? 0xffffff : colour, 1);
    cairo_fill_preserve(c);
    ink(c, colour, 1);
    cairo_set_line_width(c, hollow ? 1.5 : 0);
    if (hollow) cairo_stroke(c);
    cairo_new_path(c);
    return ERR_OK;
}

/* RGB8 as cairo wants it. ERR_NOMEM. */
static enum err to_surface(cairo_surface_t **out, const uint8_t *rgb, int w, int h,
                           struct err_info *err)
{
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, w, h);

    if (cairo_surface_status(s)) {
        cairo_surface_destroy(s);
        return err_set(err, ERR_NOMEM, "no memory for a picture of %d x %d", w, h);
    }
    cairo_surface_flush(s);
    for (int y = 0; y < h; y++) {
        uint32_t *row = (uint32_t *)(void *)(cairo_image_surface_get_data(s) +
                                             (size_t)y * (size_t)cairo_image_surface_get_stride(s));
        for (int x = 0; x < w; x++, rgb += 3)
            row[x] = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
    }
    cairo_surface_mark_dirty(s);
    *out = s;
    return ERR_OK;
}

static enum err png_picture(void *self, double x, double y, double side,
                            const struct view_face *face, uint32_t colour, bool dashed,
                            struct err_info *err)
{
    static const double dash[] = {5, 3};
    AUTO_BUF struct buf jpeg = BUF_INIT(THUMBNAIL_MAX_BYTES);
    uint8_t *rgb AUTO_FREE = NULL;
    cairo_surface_t *s = NULL;
    cairo_t *c = self;
    int w = 0, h = 0;

    TRY(buf_add_unbase64(&jpeg, face->thumbnail, face->thumbnail_len, err));
    TRY(engine_pixels(&rgb, &w, &h, jpeg.data, jpeg.len, err));
    TRY(to_surface(&s, rgb, w, h, err));
    cairo_save(c);
    cairo_translate(c, x - side / 2, y - side / 2);
    cairo_save(c); /* the source goes with it */
    cairo_rectangle(c, 0, 0, side, side);
    cairo_scale(c, side / w, side / h);
    cairo_set_source_surface(c, s, 0, 0);
    cairo_fill(c);
    cairo_restore(c);
    cairo_rectangle(c, 0, 0, side, side);
    ink(c, colour, 1);
    cairo_set_line_width(c, side > 30 ? 3 : 2);
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    if (dashed) cairo_set_dash(c, dash, 2, 0);
    cairo_stroke(c);
    cairo_restore(c);
    cairo_surface_destroy(s);
    return ERR_OK;
}

static enum err png_text(void *self, double x, double y, double size, uint32_t colour,
                         enum view_text kind, const char *s, struct err_info *err)
{
    cairo_t *c = self;
    cairo_text_extents_t extents;

    (void)err;
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           kind == VIEW_PLAIN ? CAIRO_FONT_WEIGHT_NORMAL : CAIRO_FONT_WEIGHT_BOLD);
    cairo_set_font_size(c, size);
    cairo_text_extents(c, s, &extents);
    cairo_move_to(c, kind == VIEW_NAME ? x - extents.x_advance / 2 : x, y);
    if (kind == VIEW_NAME) {
        cairo_text_path(c, s);
        ink(c, 0xffffff, 1);
        cairo_set_line_width(c, 4);
        cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
        cairo_stroke_preserve(c);
        ink(c, colour, 1);
        cairo_fill(c);
        return ERR_OK;
    }
    ink(c, colour, 1);
    cairo_show_text(c, s);
    cairo_new_path(c);
    return ERR_OK;
}

struct writing {
    struct buf *out;
    struct err_info *err;
    enum err rc;
};

static cairo_status_t write_bytes(void *self, const unsigned char *data, unsigned int len)
{
    struct writing *w = self;
    w->rc = buf_add(w->out, data, len, w->err);
    return w->rc ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

static enum err draw(struct buf *out, const struct view *v, cairo_surface_t *s, cairo_t *c,
                     struct err_info *err)
{
    const struct painter painter = {c, png_area, png_dot, png_picture, png_text};
    struct writing w = {out, err, ERR_OK};

    cairo_scale(c, SCALE, SCALE);
    ink(c, 0xffffff, 1);
    cairo_paint(c);
    TRY(view_paint(v, &painter, err));
    cairo_status_t status = cairo_status(c);
    if (!status) status = cairo_surface_write_to_png_stream(s, write_bytes, &w);
    if (w.rc) return w.rc;
    if (status == CAIRO_STATUS_NO_MEMORY)
        return err_set(err, ERR_NOMEM, "no memory to draw %zu faces", v->n);
    return status ? err_set(err, ERR_INTERNAL, "drawing: %s", cairo_status_to_string(status))
                  : ERR_OK;
}

enum err report_png(struct buf *out, const json_t *report, struct err_info *err)
{
    AUTO_VIEW struct view v = {0};

    TRY(view_init(&v, report, err));
    cairo_surface_t *s =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, VIEW_WIDTH * SCALE, VIEW_HEIGHT * SCALE);
    cairo_t *c = cairo_create(s);
    const enum err rc = draw(out, &v, s, c, err);
    cairo_destroy(c);
    cairo_surface_destroy(s);
    return rc;
}
