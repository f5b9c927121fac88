/* A cluster report for people: JSON first (the contract: ClusterReport in openapi.yaml), and drawn
 * from that JSON as a page, as SVG and as PNG. JSON is what is kept and sent; whatever is drawn is
 * drawn from it alone, so that an old report can be drawn again. Pure but for memory; any thread.
 */
#ifndef VISAVIS_SERVER_REPORT_REPORT_H
#define VISAVIS_SERVER_REPORT_REPORT_H

#include "engine/base/buf.h"
#include "engine/cluster.h"

#include <jansson.h>

/* One row of what was clustered. */
struct report_face {
    const char *example; /* id of an example of a collection; NULL: of a photograph that was sent */
    const char *file;    /* the photograph's name; NULL: not known */
    int photo;           /* faces of one photograph have one number; -1: not known */
    bool has_box;
    float box[4];                /* x, y, w, h in pixels of it */
    double quality;              /* 0 to 1; NAN: not known */
    const char *identity, *name; /* id and name of whose it is; NULL: nobody's yet */
    const char *truth;    /* what is known of it: a folder's or an identity's name; NULL: nothing */
    struct buf thumbnail; /* JPEG; empty: none */
};

/* What is said of the whole. */
struct report_about {
    const char *id;         /* of the report; NULL: none was kept */
    const char *title;      /* "cast", a collection's name */
    const char *collection; /* id; NULL: photographs that were sent */
    const char *model, *precision, *recipe;
    const char *calibration; /* source of the cut; NULL: none */
    int64_t created_ms;      /* 0: left out */
    json_t *skipped;         /* borrowed: [{"file","code","message"}], what could not be used */
    size_t photos;           /* that were looked at; 0: examples */
};

/* How a report is written: its numbers are rounded to fewer digits than these. */
#define REPORT_JSON_DUMP (JSON_COMPACT | JSON_REAL_PRECISION(12))

/* *out is the caller's. Thumbnails are in it, in base64 (faces[].thumbnail). faces [n], n of the
 * result and of the report; a text that is not UTF-8 has U+FFFD for what is not. The same arguments
 * give the same bytes. ERR_NOMEM. */
NODISCARD enum err report_json(json_t **out, const struct cluster_result *result,
                               const struct cluster_report *report, const struct report_face *faces,
                               size_t n, const struct report_about *about, struct err_info *err);
/* Of a report that is to be sent: without its thumbnails (in place). */
void report_drop_thumbnails(json_t *report);
/* The names of its clusters, after names of its faces have changed (in place). ERR_INVALID,
 * ERR_NOMEM. */
NODISCARD enum err report_relabel(json_t *report, struct err_info *err);
/* A new object: id, title, algorithm, cut, and the report's summary (photos, faces, skipped,
 * clusters and outliers as numbers, silhouette, bcubed_f, ari). NULL: no memory. */
json_t *report_summary(const json_t *report);

/* Appended to out, whose cap is the limit. report: from report_json, also after it went through a
 * file. ERR_INVALID: it is none; ERR_TOO_LARGE; ERR_NOMEM. */
NODISCARD enum err report_html(struct buf *out, const json_t *report, struct err_info *err);
NODISCARD enum err report_svg(struct buf *out, const json_t *report, struct err_info *err);
NODISCARD enum err report_png(struct buf *out, const json_t *report, struct err_info *err);

#endif
