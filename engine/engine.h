/* The engine: a picture's bytes in, faces with embeddings out. The only door to networks and
 * pixels; server/ includes this, match.h, cluster.h and train.h of engine/, and nothing else but
 * engine/base.
 *
 * An engine is opened once and shared: every function below may be called from any number of
 * threads. Networks run on the engine's lanes (engine/lane.h), which batch what concurrent callers
 * ask for; the answer of one call does not depend on who shared its batch. */
#ifndef VISAVIS_ENGINE_ENGINE_H
#define VISAVIS_ENGINE_ENGINE_H

#include "engine/base/buf.h"
#include "engine/base/cores.h"
#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;

struct engine_options {
    const char *models_dir;
    const char *embedder;  /* model name; NULL: "dlib-resnet" */
    const char *detector;  /* "mtcnn", or the name of a YuNet model; NULL: "mtcnn" */
    const char *backend;   /* "fast", "blas", "ref"; NULL: the fastest */
    const char *precision; /* "f32", "bf16", "auto" (engine/precision.h); NULL: "f32" */
    const char *average; /* overrides the model's averaging ("none", "mirror"); NULL: the model's */
    const char *preset;  /* overrides the model's input: words of engine/model/preset.c; or NULL */
    int threads;         /* cores to compute on; 0: all */
    int model_memory_mb; /* for embedders (the sizes of their files); 0: no limit */
};

NODISCARD enum err engine_open(struct engine **out, const struct engine_options *o,
                               struct err_info *err);
void engine_close(struct engine *e);

enum face_select { FACE_MAIN, FACE_LARGEST, FACE_SINGLE, FACE_ALL };
/* "main" etc.; false when s is none of them. */
bool face_select_parse(enum face_select *out, const char *s);

struct analyse_options {
    const char *model; /* embedder; NULL: the default one. Loaded when it is first asked for */
    enum face_select select;
    int classes; /* the k likeliest classes of each face, by the embedder's own classifier; 0: none
                  */
    bool embedding;
    bool landmarks68; /* needs the optional model: ERR_NOT_FOUND without it */
    bool mask;        /* polygon */
    bool mask_png;    /* 8-bit PNG the size of the box */
    bool chip_png;    /* the aligned chip */
    int thumbnail;    /* the side of a JPEG as engine_thumbnail cuts it; 0: none */
    bool precropped;  /* the picture is the chip already: no detection */
    bool no_retry;    /* only the default pass */
    float min_size;   /* least face, pixels; 0: 20 */
};

struct face_class {
    int index; /* from 0, in the classifier's order */
    float probability;
    char *name; /* NULL: the model has no names */
};

enum { FACE_QUALITY_MAX = 16 };
struct face {
    float box[4]; /* x, y, w, h in pixels of the upright picture; may pass its border */
    float points[5][2];
    float score;
    const char *pass; /* static */
    float quality;    /* unified, [0,1] */
    int n_quality;
    const char *quality_name[FACE_QUALITY_MAX]; /* static */
    float quality_value[FACE_QUALITY_MAX];
    int n_reasons;
    const char *reason_code[FACE_QUALITY_MAX]; /* static: the component that is low */
    const char *reason[FACE_QUALITY_MAX];      /* static: in a sentence */
    float yaw, pitch, roll;                    /* degrees */
    int dim;
    float *embedding;           /* dim floats of unit length, or NULL */
    int n_classes;              /* 0: not asked for */
    struct face_class *classes; /* likeliest first */
    int n_landmarks;            /* 68 or 0 */
    float (*landmarks)[2];
    int n_polygon; /* mask, or 0 */
    float (*polygon)[2];
    const char *mask_source;                       /* "landmarks68" or "mean_outline" */
    int mask_box[4];                               /* x, y, w, h of mask_png */
    struct buf mask_png, chip_png, thumbnail_jpeg; /* empty where not asked for */
};

struct timings { /* milliseconds of wall clock */
    double decode, detect, align, embed, total;
};

struct analysis {
    int width, height; /* upright picture */
    int n;
    struct face
        *faces; /* main face first for main/largest/single; for all: by area, largest first */
    /* The embedder: live as long as the engine. */
    const char *model, *precision, *recipe, *calibration; /* calibration: JSON or NULL */
    const char *detector;
    struct timings took;
};

/* Decode -> detect -> landmarks -> align -> embed. On ERR_OK *out is the caller's
 * (analysis_release). select MAIN/LARGEST/SINGLE and no face: ERR_NO_FACE; SINGLE and several:
 * ERR_MANY_FACES; ALL and none: ERR_OK with n = 0. ERR_INVALID: no such embedder, or one without a
 * classifier where classes are asked for; ERR_BUSY: no memory to load it now. Else the errors of
 * image_decode (engine/image/image.h), ERR_NOMEM. */
NODISCARD enum err engine_analyse(struct engine *e, const uint8_t *bytes, size_t len,
                                  const struct analyse_options *o, struct analysis *out,
                                  struct err_info *err);
void analysis_release(struct analysis *a);

/* A thumbnail of a face: JPEG of side x side pixels cut generously around the box, from the
 * picture's bytes; less generously where the picture ends. For reports. It decodes the picture:
 * where that is to be analysed anyway, analyse_options.thumbnail gives the same bytes without. */
NODISCARD enum err engine_thumbnail(struct engine *e, const uint8_t *bytes, size_t len,
                                    const float box[4], int side, struct buf *jpeg,
                                    struct err_info *err);

/* The pixels of a picture, like a thumbnail, for those who draw: RGB8 [h][w][3], the caller's
 * (free()). The errors of image_decode. */
NODISCARD enum err engine_pixels(uint8_t **rgb, int *w, int *h, const uint8_t *bytes, size_t len,
                                 struct err_info *err);

struct model_info {
    const char *name, *role, *license, *source_file, *source_sha256, *sha256;
    int dim; /* embedders, else 0 */
    bool loaded, restricted;
    bool outdated;    /* an older version's importer made it: fetching or importing again helps */
    const char *note; /* what a person should know of its source, or NULL */
    const char *average;   /* embedders: which crops are averaged */
    const char *precision; /* "f32" or "bf16" where loaded */
    const char *backend;
    const char *calibration; /* JSON or NULL */
    /* Hash (hex) of weights, graph, preprocessing, detector, crop, averaging and output layer:
     * embeddings and calibrations are only comparable within one recipe. NULL: never loaded yet. */
    const char *recipe;
};
/* Every model of the folder as it is now, up to max of them into out; returns how many there are.
 * Their strings live as long as the engine. */
size_t engine_models(struct engine *e, struct model_info *out, size_t max);
/* The default embedder; lives as long as the engine, and is loaded throughout. */
const struct model_info *engine_embedder(const struct engine *e);
/* One embedder with everything known of it: it is loaded where that has never been. NULL: the
 * default one. ERR_INVALID: no such embedder; ERR_BUSY: no memory to load it now; ERR_MODEL,
 * ERR_NOMEM. */
NODISCARD enum err engine_describe(struct model_info *out, struct engine *e, const char *name,
                                   struct err_info *err);
/* The engine's lanes, for heavy work that is not a network: parts of at most some 20 ms each take
 * their turn between batches. Lives as long as the engine; any thread; several loops at once. */
const struct cores *engine_cores(struct engine *e);

/* What finds the faces: "mtcnn", or a model's name; lives as long as the engine. */
const char *engine_detector(const struct engine *e);

/* --- models on disk, without an engine --- */
/* Every model of a folder, sorted by name: {name, role, license, ...} with loaded = false. *list is
 * the caller's (engine_model_list_free). A file that is no model of ours is listed with role
 * "damaged" and the reason as its license. */
NODISCARD enum err engine_model_list(struct model_info **list, size_t *n, const char *models_dir,
                                     struct err_info *err);
void engine_model_list_free(struct model_info *list, size_t n);
/* Reads a model's whole file and compares its digest, whatever its size (the list does so up to 64
 * MiB). ERR_NOT_FOUND; ERR_MODEL with the reason. */
NODISCARD enum err engine_model_verify(const char *models_dir, const char *name,
                                       struct err_info *err);
/* Writes a model's network as an ONNX file (engine/model/export_onnx.h), for other programs. Its
 * input's description, licence and source go along as metadata; whether the licence allows it is
 * the caller's to know. On an error nothing is left. ERR_NOT_FOUND; ERR_INVALID: landmarks, which
 * have no network; ERR_TOO_LARGE: over ONNX's 2 GiB; ERR_STORAGE_FULL, ERR_IO, ERR_MODEL,
 * ERR_NOMEM. */
NODISCARD enum err engine_model_export_onnx(const char *models_dir, const char *name,
                                            const char *file, struct err_info *err);
/* Which order of colour planes a classifier expects, decided by a picture (engine_order.c). */
struct order_check {
    int class;          /* of the person in the picture, from 0 */
    double probability; /* that the right order gives it */
    int classes;        /* of the network that this is known of; 0: of any */
    const char *preset; /* how the picture becomes its input; NULL: the model's own way */
};
struct order_result {
    double rgb, bgr; /* the class's probability with the planes in either order */
    bool decided;    /* one gives the known probability, the other does not */
    bool bgr_is_right;
};
/* Whether the picture is one whose class is known for the published VGG-Face. */
bool engine_order_known(struct order_check *out, const uint8_t *bytes, size_t len);
/* Tries both on an encoded picture (taken whole, no face is looked for; `picture` is its name) and
 * writes into the model's file what came out: the order where it is decided, and in any case a
 * note. ERR_INVALID: no classifier, or not of these classes; the errors of image_decode,
 * embedder_open and of writing. */
NODISCARD enum err engine_check_order(struct order_result *out, const char *models_dir,
                                      const char *name, const char *picture, const uint8_t *bytes,
                                      size_t len, const struct order_check *c,
                                      struct err_info *err);
/* Writes model `name`: the base's network up to its embedding, then that embedding times w. Input,
 * averaging, licence, restriction and source are the base's. No l2_normalize stands between: what
 * the network gives for a face's crops is summed and taken to unit length afterwards, so that as it
 * is, and only so, the new embedding is w times the base's, normalised, for any number of crops.
 * ERR_CONFLICT: the name is taken; ERR_INVALID: the base is no embedder, or not of d dimensions;
 * ERR_NOT_FOUND, ERR_MODEL, ERR_NOMEM, ERR_IO, ERR_STORAGE_FULL. */
struct model_projection {
    const char *base, *name;
    const float *w; /* [dim][d] */
    int d, dim;
    const char *note, *training; /* training: JSON */
};
NODISCARD enum err engine_model_project(const char *models_dir, const struct model_projection *p,
                                        struct err_info *err);
/* The recipe of an embedder whose pictures come ready to be embedded, like the glyphs': no detector
 * is a part of it, so it is known without an engine. ERR_INVALID: another model; ERR_NOT_FOUND,
 * ERR_MODEL, ERR_NOMEM. */
NODISCARD enum err engine_ready_recipe(char recipe[65], const char *models_dir, const char *name,
                                       struct err_info *err);
/* Writes a calibration (JSON text; NULL removes it) into a model's file. */
NODISCARD enum err engine_set_calibration(const char *models_dir, const char *name,
                                          const char *json, struct err_info *err);
/* `model bench NAME`: one JSON line a layer (kernel, GFLOP/s beside the peak of a product measured
 * in the same run, GB/s of its weights beside a measured read of the memory), one with those two
 * measures, and one for the whole net, through emit. An embedder computes its embedding alone. */
struct bench_options {
    const char *backend, *precision; /* as engine_options */
    int batch;                       /* 1..64 */
    int threads;                     /* >= 1 */
};
NODISCARD enum err engine_bench(const char *models_dir, const char *name,
                                const struct bench_options *o,
                                void (*emit)(void *self, const char *json_line), void *self,
                                struct err_info *err);

/* For /metrics. */
struct engine_stats {
    int lanes, queue_depth;
    unsigned long long batches, rows;      /* network passes and rows in them */
    unsigned long long batch_histogram[8]; /* passes with <= 1, 2, 4, 8, 16, 32, 64, more rows */
};
void engine_stats(const struct engine *e, struct engine_stats *out);

#endif
