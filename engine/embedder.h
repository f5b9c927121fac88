/* An embedder ready to run: one model's network, how a face becomes its input, which crops are
 * averaged, which output is read. Part of the engine; server/ does not see it. Immutable after
 * embedder_open. */
#ifndef VISAVIS_ENGINE_EMBEDDER_H
#define VISAVIS_ENGINE_EMBEDDER_H

#include "engine/face/crops.h"
#include "engine/face/face.h"
#include "engine/lane.h"
#include "engine/model/model.h"

enum { EMBEDDER_MAX_SIDE = 256 /* pixels of a chip */ };

struct embedder {
    struct model *model;
    struct model_input input; /* the model's own, or as a preset changes it */
    struct nn_net *net;
    const struct crop_set *crops;
    int dim, output;
    int classifier; /* the graph's output of n_classes values before the softmax; -1: none */
    int n_classes;
    double bf16_error; /* engine/precision.h; NAN: not measured */
    size_t bytes;      /* of its model file: what it takes of the memory for models */
    char recipe[65];
};

struct embedder_options {
    const char *models_dir, *name;
    const char *preset;  /* NULL: the model's own input */
    const char *average; /* NULL: the model's own */
    enum nn_backend backend;
    enum nn_precision precision;
    int threads;           /* that loading may use */
    const char *detection; /* text for the recipe: what finds and places the faces */
};

/* On ERR_OK *out is the caller's (embedder_close). ERR_NOT_FOUND: no such model; ERR_INVALID: it is
 * no embedder, or a preset or an average that is not known; ERR_UNSUPPORTED: a crop that cannot be
 * made; ERR_MODEL, ERR_NOMEM. */
NODISCARD enum err embedder_open(struct embedder *out, const struct embedder_options *o,
                                 struct err_info *err);
void embedder_close(struct embedder *e);
/* The recipe of a model whose pictures come ready to be embedded (CROP_NONE): the same whatever
 * finds faces beside it. ERR_INVALID: it is another model; the errors of embedder_open. */
NODISCARD enum err embedder_ready_recipe(char recipe[65], const char *models_dir, const char *name,
                                         struct err_info *err);

/* A face as the embedder's crops need it. */
struct embedder_face {
    const struct image *im;         /* in which it stands upright */
    const struct detection *steady; /* there */
    const struct chip_place *dlib;  /* the chip of dlib's five-point predictor */
    const uint8_t *dlib_chip;       /* its pixels, CHIP_SIDE x CHIP_SIDE */
};

/* Floats of a face's input rows: all crops. */
size_t embedder_row_floats(const struct embedder *e);
/* The network's input for one face: rows [crops][3 or 1][h][w], caller's. chip: the first crop's
 * pixels, RGB8 [h][w][3], or NULL. ERR_INVALID: its points or box give no place, or the model takes
 * only pictures that are cut; ERR_NOMEM. */
NODISCARD enum err embedder_rows(float *rows, uint8_t *chip, const struct embedder *e,
                                 const struct embedder_face *f, struct err_info *err);
/* A picture that is the chip already; any size. crops: how many rows, 1 or (with its mirror) 2. */
NODISCARD enum err embedder_rows_precropped(float *rows, int *crops, const struct embedder *e,
                                            const struct image *im, struct err_info *err);
/* What a face becomes. */
struct embedder_result {
    float *embedding; /* dim floats of unit length: the sum of its crops'. malloc'd */
    float *classes;   /* n_classes probabilities: the mean of its crops'. malloc'd */
};
/* Runs n faces of `crops` rows each in one call. embedding, classes: which are wanted (classes only
 * where there is a classifier). The results' arrays are the caller's, also those made before an
 * error. ERR_NO_EMBEDDING: what the network gives is zero or not finite. */
NODISCARD enum err embedder_run(struct embedder_result *out, int n, int crops, const float *rows,
                                bool embedding, bool classes, const struct embedder *e,
                                struct lanes *lanes, struct err_info *err);

#endif
