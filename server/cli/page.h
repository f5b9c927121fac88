/* Reports as one page: text as HTML wants it, the frame of a plot as SVG that stands in the page,
 * the page as a file. */
#ifndef VISAVIS_SERVER_CLI_PAGE_H
#define VISAVIS_SERVER_CLI_PAGE_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { /* of a plot, in its own units */
       PAGE_WIDTH = 560,
       PAGE_HEIGHT = 320,
       PAGE_LEFT = 54,
       PAGE_RIGHT = 14,
       PAGE_TOP = 12,
       PAGE_BOTTOM = 44,
       PAGE_PLOT_W = PAGE_WIDTH - PAGE_LEFT - PAGE_RIGHT,
       PAGE_PLOT_H = PAGE_HEIGHT - PAGE_TOP - PAGE_BOTTOM,
};

/* For the many calls that write a page: the first error ends it. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const enum err try_rc = call;                                                              \
        if (try_rc) return try_rc;                                                                 \
    } while (0)

/* Escaped for HTML's and XML's text and attributes. */
NODISCARD enum err page_text(struct buf *out, const char *s, struct err_info *err);

/* A page up to <body>, with the style that all have and more of its own. The caller ends it. */
NODISCARD enum err page_head(struct buf *out, const char *title, const char *style,
                             struct err_info *err);
/* <svg ...>; the caller closes it. */
NODISCARD enum err page_svg(struct buf *out, const char *label, struct err_info *err);
NODISCARD enum err page_axis_titles(struct buf *out, const char *x, const char *y,
                                    struct err_info *err);
/* A line across the plot with a word at its end; x, y in the plot's units. */
NODISCARD enum err page_tick_y(struct buf *out, double y, const char *label, struct err_info *err);
NODISCARD enum err page_tick_x(struct buf *out, double x, const char *label, struct err_info *err);

/* A file of a folder; dir NULL: name is its path. ERR_IO, ERR_STORAGE_FULL, with the reason. */
NODISCARD enum err page_write(const char *dir, const char *name, const void *data, size_t len,
                              struct err_info *err);

#endif
