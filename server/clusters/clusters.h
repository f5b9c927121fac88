/* Clustering: which of these faces belong together, from what a client sends to a report that is
 * kept and acted on. server/api and server/cli call what is here; the algorithms are
 * engine/cluster.h, how a report looks is server/report.
 *
 *   photographs (photos.c, archive.c) --embed.c--+
 *                                                +--> struct clusters_faces --run.c-->
 * clusters_done a collection's examples --gather.c-----------+ | server/store/reports.h <--basis,
 * labels, JSON-----+ an act (acts.c): the newest labels, changed --again.c--> the report of the new
 * labels
 *
 * A report of a collection is kept as numbers (labels, examples' rows) beside its JSON, so that
 * an act or new examples need no parsing of JSON: the faces are gathered again, and the report is
 * made again from the new labels. The clustering itself (dendrogram, parameters, what was tried)
 * stays what it was: the basis. Any thread; nothing here is shared. */
#ifndef VISAVIS_SERVER_CLUSTERS_CLUSTERS_H
#define VISAVIS_SERVER_CLUSTERS_CLUSTERS_H

#include "engine/base/arena.h"
#include "engine/cluster.h"
#include "engine/engine.h"
#include "server/gallery/gallery.h"
#include "server/report/report.h"
#include "server/store/store.h"

#include <jansson.h>

enum {
    CLUSTERS_THUMBNAILS_MAX = 5000, /* faces of one report that get one: 20 MB of JSON */
    CLUSTERS_THUMBNAIL_SIDE = 96,
};

struct clusters_options {
    /* As asked for; rates, constraints, cores and progress are clusters_run's. A cut may stand
     * here or come from fmr. */
    struct cluster_options run;
    double fmr;       /* cut at this false-match rate of the calibration; 0: not given */
    bool search_k;    /* a range of k was given: search in it, whatever the calibration says */
    bool cannot_link; /* two faces of one photograph are not put together */
    bool must_link;   /* examples of one identity stay together */
    enum cluster_layout layout;
    size_t memory_max;   /* bytes; 0: no bound */
    const json_t *asked; /* what all this was read from, kept in the basis; borrowed, or NULL */
    /* of photographs */
    enum face_select face;
    bool precropped;
    const char *model; /* borrowed; NULL: the default one */
};
#define CLUSTERS_OPTIONS_INIT                                                                      \
    {                                                                                              \
        .run = CLUSTER_OPTIONS_INIT, .cannot_link = true, .must_link = true,                       \
        .layout = CLUSTER_LAYOUT_TSNE, .face = FACE_ALL                                            \
    }

/* --- photographs (photos.c) --- */
struct archive;
struct clusters_photo {
    char *file;  /* how the report calls it: UTF-8, an archive's name and '/' before an entry's */
    char *truth; /* the folder that it lies in, relative to all; NULL: none */
    char *path;  /* on the disk, or */
    const void *data; /* bytes (borrowed), or */
    size_t len;
    struct archive *archive; /* an entry of one */
    int entry;
};
struct clusters_photos {
    struct clusters_photo *photo;
    size_t n, cap;
    struct archive **archive;
    size_t n_archives;
    json_t *skipped; /* [{"file","code","message"}]: what could not be used, and why */
};
NODISCARD enum err clusters_photos_init(struct clusters_photos *p, struct err_info *err);
void clusters_photos_release(struct clusters_photos *p);
/* A picture's bytes, which are borrowed. name NULL: "image[3]". */
NODISCARD enum err clusters_photos_add(struct clusters_photos *p, const char *name,
                                       const void *data, size_t len, struct err_info *err);
/* A picture on the disk, read when it is its turn. truth NULL: not known. */
NODISCARD enum err clusters_photos_add_file(struct clusters_photos *p, const char *name,
                                            const char *path, const char *truth,
                                            struct err_info *err);
/* Every entry of a .zip (bytes borrowed); a folder within it is the truth of what lies in it, but
 * for folders that hold all. What it refuses goes into skipped. Errors of archive_open. */
NODISCARD enum err clusters_photos_add_zip(struct clusters_photos *p, const char *name,
                                           const void *data, size_t len, struct err_info *err);
/* Adds to skipped. */
NODISCARD enum err clusters_photos_skip(struct clusters_photos *p, const char *file,
                                        const struct err_info *why, struct err_info *err);
/* Reads one. Any thread. ERR_BAD_IMAGE etc.: this one cannot be used. */
NODISCARD enum err clusters_photo_read(struct buf *out, const struct clusters_photo *photo,
                                       struct err_info *err);

/* --- faces --- */
struct clusters_faces {
    size_t n, cap;
    int dim;
    float *x;                           /* [n][dim] unit length */
    struct report_face *face;           /* [n]; texts in texts, thumbnails owned */
    int64_t *example;                   /* [n] rows; NULL: of photographs */
    uint32_t *photo, *identity, *truth; /* [n] numbers that agree where these do, or
                                           CLUSTER_NO_GROUP */
    json_t *texts;                      /* an array that owns the texts of face */
    size_t photos;                      /* that were looked at; 0: examples */
    json_t *skipped;                    /* new reference, or NULL */
    char *model, *precision, *recipe;
    char *calibration; /* JSON: the collection's own or the model's, where it fits; NULL: none */
};
#define CLUSTERS_FACES_INIT                                                                        \
    {                                                                                              \
        0                                                                                          \
    }
void clusters_faces_release(struct clusters_faces *f);

/* What a long run tells. tell NULL: nothing; false ends it with ERR_CANCELLED. */
struct clusters_work {
    const struct cores *cores; /* NULL: this thread */
    struct cluster_progress progress;
};

/* The faces of all photographs, in their order, on several threads, so that the lanes find
 * batches. *skipped* has those without a face, or unreadable. thumbnails: of each, up to
 * CLUSTERS_THUMBNAILS_MAX. ERR_NO_FACE: there is none at all. (embed.c) */
NODISCARD enum err clusters_embed(struct clusters_faces *out, struct engine *e,
                                  struct clusters_photos *p, const struct clusters_options *o,
                                  bool thumbnails, const struct clusters_work *work,
                                  struct err_info *err);

/* Which examples of a collection. (gather.c) */
struct clusters_choice {
    const char *tag;     /* of identities that have it; NULL: any */
    bool unassigned;     /* only those of nobody */
    const int64_t *rows; /* these, in this order; NULL: by the above. Ones that are gone are
                            ERR_CONFLICT */
    size_t n_rows;
};
/* names: read the texts of the faces too; else only numbers. ERR_NO_FACE: there is none. */
NODISCARD enum err clusters_gather(struct clusters_faces *out, struct store *s, struct engine *e,
                                   const struct gallery_collection *c,
                                   const struct clusters_choice *choice, bool names,
                                   struct err_info *err);

/* --- running (run.c) --- */
/* Bytes that n faces would take: vectors, clustering and report. SIZE_MAX: does not fit. */
size_t clusters_memory(size_t n, int dim, const struct clusters_options *o);
/* ERR_TOO_LARGE with the numbers where that is over o->memory_max. */
NODISCARD enum err clusters_check_memory(size_t n, int dim, const struct clusters_options *o,
                                         struct err_info *err);

struct clusters_about {
    const char *id; /* NULL: it is not kept */
    const char *title;
    const char *collection; /* id; NULL: photographs */
    int64_t created_ms;
};
struct clusters_done { /* of a run, or again.c */
    json_t *report;    /* thumbnails in it, where faces have them */
    json_t *summary;   /* {"faces","photos","skipped","clusters","outliers","algorithm",...} */
    json_t *basis;     /* for clusters_again */
    int32_t *labels;   /* [n] */
    float *layout;     /* [n][2] or NULL */
    size_t n;
};
void clusters_done_release(struct clusters_done *d);
/* Errors of cluster_run and cluster_report_new; ERR_FMR_UNSUPPORTED: fmr asks for more than the
 * calibration has, or there is none. */
NODISCARD enum err clusters_run(struct clusters_done *out, const struct clusters_faces *f,
                                const struct clusters_options *o,
                                const struct clusters_about *about,
                                const struct clusters_work *work, struct err_info *err);

/* --- after an act (again.c) --- */
/* The labels that a whole run would give now. *labels is the caller's (free()). */
NODISCARD enum err clusters_labels(int32_t **labels, const struct clusters_faces *f,
                                   const struct clusters_options *o,
                                   const struct clusters_work *work, struct err_info *err);
/* What the report was asked for with (clusters_options.asked); borrowed, or NULL. */
const json_t *clusters_asked(const json_t *basis);
/* New faces join the clusters of the old ones: labels [f->n], of which the first n_old are given
 * and the others set. ERR_CONFLICT: the clustering has no cut that could say who joins. */
NODISCARD enum err clusters_join(int32_t *labels, float *similarity, const struct clusters_faces *f,
                                 size_t n_old, const json_t *basis, struct err_info *err);
/* The report of other labels [f->n]; the first n_old faces are those of layout [n_old][2], which
 * stays; each new face lies where the face that it is most like does. out->basis is NULL: it
 * stays. */
NODISCARD enum err clusters_again(struct clusters_done *out, const struct clusters_faces *f,
                                  const json_t *basis, const int32_t *labels, const float *layout,
                                  size_t n_old, const char *id, size_t memory_max,
                                  const struct clusters_work *work, struct err_info *err);

/* --- acts on labels (acts.c); pure --- */
/* Clusters are 0..max without a gap; where one goes, those after it move down by one.
 * ERR_INVALID, naming the number that is out of range. */
int clusters_count(const int32_t *labels, size_t n);
/* The faces, all of cluster, become a new one, the last. Some must stay. */
NODISCARD enum err clusters_split(int32_t *labels, size_t n, int cluster, const size_t *faces,
                                  size_t n_faces, struct err_info *err);
/* All become the least of them. */
NODISCARD enum err clusters_merge(int32_t *labels, size_t n, const int *clusters, size_t n_clusters,
                                  struct err_info *err);
NODISCARD enum err clusters_outlier(int32_t *labels, size_t n, const size_t *faces, size_t n_faces,
                                    struct err_info *err);

#endif
