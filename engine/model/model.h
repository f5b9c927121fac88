/* A model file opened: what it is for, where it came from, how its input is made, and its network.
 * Everything that a model needs to run is in its one file; nothing outside engine/model knows the
 * file's keys.
 *
 * Keys of __metadata__ (strings): visavis.format "1"; visavis.role; visavis.graph (JSON, see
 * graph_json.c; absent for landmarks); visavis.input (JSON); visavis.license; visavis.source (JSON:
 * file, sha256); visavis.calibration (JSON, optional); visavis.restricted "true" or "false";
 * visavis.classes (JSON, optional: names of output fc8's values); visavis.note (optional: what a
 * person should know of the source); visavis.training (optional: JSON, how a model of our own was
 * made); visavis.sha256, the digest of role, graph, input and tensors;
 * visavis.importer (a number, absent before 2), the version of the importers that wrote it. */
#ifndef VISAVIS_ENGINE_MODEL_MODEL_H
#define VISAVIS_ENGINE_MODEL_MODEL_H

#include "engine/base/err.h"
#include "engine/model/safetensors.h"
#include "engine/nn/graph.h"

#include <stdbool.h>

/* To be raised when an importer writes another file from the same source, so that `model fetch
 * --if-missing` makes the default models again. 2: dlib-resnet averages "mixed2". */
enum { MODEL_IMPORTER_VERSION = 2 };

/* How a note goes on where the order of a network's colour planes is not known. */
#define MODEL_PLANES_ASSUMED "; it does not say the order of its colour planes"

enum model_role { MODEL_EMBEDDER, MODEL_DETECTOR, MODEL_LANDMARKS, MODEL_ROLE_COUNT };
/* How a face becomes the network's input. */
enum model_crop {
    CROP_NONE,
    CROP_DLIB_CHIP,
    CROP_SIMILARITY, /* the five points go where input.points says (least squares) */
    /* The detector's box in a square of its longer side, `padding` of that side wider all round:
     * with what lies beside it in the picture, */
    CROP_BOX,
    CROP_LETTERBOX,   /* or black beside it (deepface's way); */
    CROP_BOX_ALIGNED, /* or turned so that the eyes are level. */
    CROP_COUNT
};

/* visavis.input */
struct model_input {
    int w, h;       /* pixels; 0 x 0: any */
    bool bgr;       /* channel order into the network */
    bool grey;      /* one channel, the mean of red, green and blue; mean[0], scale[0] are its */
    float mean[3];  /* in the network's channel order, on 0..255 */
    float scale[3]; /* input = (v - mean) * scale */
    enum model_crop crop;
    float
        padding; /* of the boxes, and of CROP_DLIB_CHIP: 0.25 (facts/default-models.md section 4) */
    float points[5][2]; /* CROP_SIMILARITY: where the five points go in the w x h chip */
    char average[32];   /* which crops are averaged: the names of engine/face/crops.c */
    char output[32];    /* which of the graph's outputs is the embedding; "": "embedding" */
    int dim;            /* embedders: length of the embedding */
};

/* Changes an input by words joined with +: preprocessing (caffe, deepface-base, ...), crop (box,
 * letterbox, aligned, ...), output (fc7, fc8, ...), planes (rgb, bgr); preset.c has them all.
 * ERR_INVALID names the word that is not known; then *in is as it was. */
NODISCARD enum err model_preset(struct model_input *in, const char *preset, struct err_info *err);

/* The crop of ArcFace and SFace: their five points, scaled to the input's size. */
void model_five_points(struct model_input *in);

struct model {
    char name[64]; /* file name without .safetensors */
    char path[4096];
    enum model_role role;
    struct model_input input;
    struct nn_graph graph; /* n_ops == 0 for landmarks */
    struct safetensors *st;
    char license[128];
    char source_file[256];
    char source_sha256[65];
    int importer;     /* version of the importers that wrote it */
    char sha256[65];  /* of this file's graph, tensors and input: changes when answers may change.
                         Not of the calibration. */
    const char *note; /* borrowed from st; NULL: none */
    const char *training; /* JSON text, borrowed from st; NULL: none */
    char **classes;       /* names of output "fc8"'s values, n_classes; NULL: not known */
    size_t n_classes;
    size_t bytes;            /* of its file */
    const char *calibration; /* JSON text, borrowed from st; NULL: none */
    bool restricted; /* the licence excludes something (non-commercial): needs --accept-license to
                        import */
};

/* Opens DIR/NAME.safetensors, checks the graph against the tensors and, for files up to 64 MiB, the
 * contents against their stored digest. ERR_NOT_FOUND; ERR_MODEL with the reason (cut short, wrong
 * format version, damaged, unknown op, tensor of another shape than the graph says); ERR_INVALID:
 * no such name can be. */
NODISCARD enum err model_open(struct model **out, const char *dir, const char *name,
                              struct err_info *err);
/* The same, with the digest whatever the size (`model show --verify`); keeps nothing open. */
NODISCARD enum err model_verify(const char *dir, const char *name, struct err_info *err);
void model_close(struct model *m);

/* Writes a model file. graph: its ops' weights become tensors "<op>.weight" and "<op>.bias"; NULL
 * for landmarks, whose tensors are given as they are (with a graph: extra tensors). calibration:
 * JSON or NULL. */
struct model_draft {
    const char *name;
    enum model_role role;
    struct model_input input;
    const struct nn_graph *graph;
    const struct st_tensor *tensors;
    size_t n_tensors;
    const char *license;
    bool restricted;
    const char *source_file, *source_sha256;
    const char *calibration;
    const char *classes;  /* JSON (model_classes_from_text), or NULL */
    const char *note;     /* what a person should know of the source, or NULL */
    const char *training; /* JSON, or NULL */
};
/* Names, one a line, as they go into a draft: *json is the caller's (free). ERR_INVALID names the
 * line. */
NODISCARD enum err model_classes_from_text(char **json, size_t *n, const char *text, size_t len,
                                           struct err_info *err);
NODISCARD enum err model_write(const char *dir, const struct model_draft *d, struct err_info *err);

/* The same for weights that are too large to be in memory twice: the file is made first, its
 * weights are filled in place. */
struct model_writer;
/* g: d->graph, whose ops have w_count and b_count; their w and b are set here, to float arrays
 * (zero) that the caller fills, through a cast, in the layouts of engine/nn/graph.h, op after op.
 * dir NULL: nothing is kept (fuzzing). d and g must live until the writer's end. Errors as
 * model_write. */
NODISCARD enum err model_writer_open(struct model_writer **out, const char *dir,
                                     const struct model_draft *d, struct nn_graph *g,
                                     struct err_info *err);
/* The weights of op are filled: their pages may leave the memory. */
void model_writer_settle(struct model_writer *w, int op);
/* Checks the graph with its weights (every one is read: finite), and gives the file its name. Frees
 * w, also on error; g's weights are no longer there. */
NODISCARD enum err model_writer_commit(struct model_writer *w, struct err_info *err);
void model_writer_abort(struct model_writer *w);

/* Rewrites the file of an existing model with another calibration (NULL removes it); weights and
 * sha256 stay. */
NODISCARD enum err model_set_calibration(const char *dir, const char *name, const char *json,
                                         struct err_info *err);

/* Rewrites it with another description of its input and another note: its sha256 becomes another
 * one, and a calibration, which belongs to the old one, goes. */
NODISCARD enum err model_set_input(const char *dir, const char *name, const struct model_input *in,
                                   const char *note, struct err_info *err);

/* Names of the models in a folder, sorted; *names and each string are the caller's
 * (model_names_free). A folder that is not there is an empty list. */
NODISCARD enum err model_names(char ***names, size_t *n, const char *dir, struct err_info *err);
void model_names_free(char **names, size_t n);

const char *model_role_name(enum model_role r);

#endif
