/* What the files of engine/model share: the JSON forms of a graph and of an input description. */
#ifndef VISAVIS_ENGINE_MODEL_MODEL_INTERNAL_H
#define VISAVIS_ENGINE_MODEL_MODEL_INTERNAL_H

#include <jansson.h>

#include "engine/model/model.h"

/* Where a graph's weights come from: the tensor of that name, with exactly these dimensions, or
 * NULL after filling *err. */
struct weight_source {
    const float *(*get)(void *self, const char *tensor, const size_t *dims, int ndim,
                        struct err_info *err);
    void *self;
};

/* Version of the file format that this program reads and writes. */
#define MODEL_FORMAT "1"
/* model_open checks the digest of files up to this size (the default embedder, 22 MB: about 15 ms);
 * of larger ones only model_verify does. */
enum { MODEL_VERIFY_BYTES = 64 << 20 };

/* 1 to 63 of a-z A-Z 0-9 . _ - and no . or - at the front: a name is a file name and a word in a
 * URL. */
bool model__name_ok(const char *name);
/* DIR/NAME.safetensors. ERR_INVALID: no name, or too long. */
NODISCARD enum err model__path(char *path, size_t size, const char *dir, const char *name,
                               struct err_info *err);
/* ERR_INVALID: not a JSON object, or too big. */
NODISCARD enum err model__check_calibration(const char *json, struct err_info *err);

/* The graph as JSON text; *text is the caller's. ERR_MODEL: an op named like the input, ERR_NOMEM.
 */
NODISCARD enum err model__graph_to_json(char **text, const struct nn_graph *g,
                                        struct err_info *err);

/* The reverse, strict: unknown op, unknown or missing key, wrong type, input that is no earlier op
 * -> ERR_MODEL naming the op. Weights are bound through source. The result has passed
 * nn_graph_check(.., false, ..); the caller's (nn_graph_release). */
NODISCARD enum err model__graph_from_json(struct nn_graph *g, const char *text, size_t len,
                                          const struct weight_source *source, struct err_info *err);

/* Dimensions of op's weight tensor as stored, from its attributes and w_count; returns how many (0:
 * it has no weights). */
int model__weight_dims(size_t dims[4], const struct nn_op *op);

NODISCARD enum err model__input_to_json(char **text, const struct model_input *in,
                                        struct err_info *err);
NODISCARD enum err model__input_from_json(struct model_input *in, const char *text,
                                          struct err_info *err);

/* classes.c: m->classes from the metadata (NULL: none); released by model_close, also after an
 * error. */
NODISCARD enum err model__classes_read(struct model *m, const char *json, struct err_info *err);
void model__classes_release(struct model *m);

/* JSON helpers, used by both. Each gives false (and nothing else) when the value is not of the
 * type. */
bool model__int_list(int *out, size_t n, const json_t *j);
bool model__float_list(float *out, size_t n, const json_t *j);

/* The recipe part of a file: SHA-256 over role, graph (NULL: none) and input as stored, and the
 * tensors in file order. */
void model__digest(char hex[65], enum model_role role, const char *graph, const char *input,
                   const struct st_tensor *tensors, size_t n);

#endif
