/* /v1/clusters: the parts that its routes share. What clustering does is server/clusters. */
#ifndef VISAVIS_SERVER_API_CLUSTERS_H
#define VISAVIS_SERVER_API_CLUSTERS_H

#include "server/api/app.h"
#include "server/clusters/clusters.h"
#include "server/store/reports.h"

enum {
    CLUSTERS_AT_ONCE_FACES = 300, /* examples that are clustered while the client waits */
    CLUSTERS_AT_ONCE_PHOTOS = 60, /* photographs: each may have several faces, and takes longer */
};

struct job;

/* --- clusters_keep.c --- */
/* Keeps what a run gave. id: of the report; key: who asked, "": no key; collection: its row, 0:
 * photographs. job: the report's id is that of a job, which must still be there (it goes when
 * somebody whose face may be in the report is erased). Errors of store_report_add. */
struct clusters_keep {
    const char *id, *key;
    int64_t collection;
    bool job;
    const struct clusters_done *done;
    const struct clusters_faces *faces;
};
NODISCARD enum err clusters_keep(struct app *app, const struct clusters_keep *k,
                                 struct err_info *err);
/* The ids that faces show, for store_report_ids; *ids is the caller's (free()), the texts are
 * borrowed. */
NODISCARD enum err clusters_shown(const char ***ids, size_t *n, const struct clusters_faces *f,
                                  struct err_info *err);
/* As compact text. *out is the caller's (free()). */
NODISCARD enum err clusters_text(char **out, const json_t *o, struct err_info *err);

/* --- clusters_read.c --- */
/* A report as it is now, copied out of the store. */
struct clusters_loaded {
    int64_t row, collection, state, created_ms, expires_ms;
    char id[ULID_CHARS + 1], collection_id[ULID_CHARS + 1]; /* collection_id "": photographs */
    json_t *basis;
    char *document, *summary; /* JSON */
    int32_t *labels;
    int64_t *examples; /* NULL: photographs */
    float *layout;     /* NULL: none */
    size_t n;
    json_t *acts;     /* [{"state","act",..,"at","can_undo"}] */
    char *thumbnails; /* JSON, where they were asked for and are kept; else NULL */
};
/* The one that the path names, where the request's key may see it: every one without a key, its own
 * with one. thumbnails: those that are kept with it, too. ERR_NOT_FOUND. */
NODISCARD enum err clusters_load(struct clusters_loaded *out, struct app *app,
                                 const struct request *rq, const char *id, bool thumbnails,
                                 struct err_info *err);
void clusters_loaded_release(struct clusters_loaded *l);
/* Its JSON, complete: whose the examples are now, thumbnails where asked for, the acts on it. New
 * reference in *out. */
NODISCARD enum err clusters_whole(json_t **out, struct app *app, const struct clusters_loaded *l,
                                  bool thumbnails, struct err_info *err);
/* Answers with the report as `format` and `thumbnails` of the query, or Accept, ask for it.
 * ERR_INVALID: an unknown format. */
NODISCARD enum err clusters_answer(struct app *app, struct request *rq, struct reply *rp,
                                   int status, const char *id, struct err_info *err);
/* The id of the request's key; NULL: it came without one. */
const char *clusters_owner(const struct request *rq);

/* --- clusters_job.c --- */
/* Gathers, runs and keeps; a kind of jobs.h. */
enum err clusters_job(struct job *job, void *app, struct err_info *err);
/* The name of an upload of such a job: what it is, and the client's name for it. */
#define CLUSTERS_ZIP   "zip:"
#define CLUSTERS_IMAGE "image:"
/* Photographs of "image" and "zip" parts. ERR_INVALID etc.: an archive that cannot be used. */
NODISCARD enum err clusters_add_upload(struct clusters_photos *p, bool zip, const char *name,
                                       const void *data, size_t len, struct err_info *err);

#endif
