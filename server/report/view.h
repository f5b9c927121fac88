/* A report's JSON as plain arrays, for drawing; and the picture that is drawn of them, stroke by
 * stroke, for whoever puts it on paper (svg.c, png.c). */
#ifndef VISAVIS_SERVER_REPORT_VIEW_H
#define VISAVIS_SERVER_REPORT_VIEW_H

#include "engine/base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Ends the calling function where call fails. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const enum err try_rc = call;                                                              \
        if (try_rc) return try_rc;                                                                 \
    } while (0)

struct view_face {
    double x, y;           /* in the report's units: neighbour layout, else PCA */
    int cluster;           /* -1: an outlier */
    const char *file;      /* or the example's id, or "" */
    const char *thumbnail; /* base64 of a JPEG; NULL: none */
    size_t thumbnail_len;
};
struct view_cluster {
    const char *label; /* NULL: none */
    size_t size;
    size_t medoid;
};
/* Strings are the report's. */
struct view {
    const char *title;
    bool layout; /* false: PCA */
    size_t n, outliers;
    struct view_face *faces; /* [n] */
    size_t clusters;
    struct view_cluster *cluster; /* [clusters] */
};

/* ERR_INVALID: report is none (not an object of that shape; every number is checked); ERR_NOMEM. */
NODISCARD enum err view_init(struct view *out, const json_t *report, struct err_info *err);
void view_release(struct view *v);
#define AUTO_VIEW __attribute__((cleanup(view_release)))

enum { VIEW_WIDTH = 1400, VIEW_HEIGHT = 1000 };

enum view_text {
    VIEW_PLAIN, /* begins at x */
    VIEW_TITLE, /* bold */
    VIEW_NAME,  /* bold, its middle at x, with a light edge: it may stand on pictures */
};
/* 0xrrggbb. What is drawn later lies above. Coordinates from the top left corner, VIEW_WIDTH wide
 * and VIEW_HEIGHT high. An operation that fails ends the drawing. */
struct painter {
    void *self;
    /* A closed outline, its inside tinted. */
    enum err (*area)(void *self, const double (*points)[2], size_t n, uint32_t colour,
                     struct err_info *err);
    /* A face's place without its picture; hollow: an outlier. */
    enum err (*dot)(void *self, double x, double y, double radius, uint32_t colour, bool hollow,
                    const char *name, struct err_info *err);
    /* A face's picture, framed; x, y: its middle. dashed: an outlier. */
    enum err (*picture)(void *self, double x, double y, double side, const struct view_face *face,
                        uint32_t colour, bool dashed, struct err_info *err);
    /* y: the base line. s: UTF-8 without control characters. */
    enum err (*text)(void *self, double x, double y, double size, uint32_t colour,
                     enum view_text kind, const char *s, struct err_info *err);
};
/* Title, the scatter plot with an outline for each cluster, and a legend with sizes. */
NODISCARD enum err view_paint(const struct view *v, const struct painter *p, struct err_info *err);

#endif
