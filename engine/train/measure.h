/* What an embedding is worth: glyphs through a network, and how well nearness tells classes apart.
 * Embeddings are [n][d], of unit length. */
#ifndef VISAVIS_ENGINE_TRAIN_MEASURE_H
#define VISAVIS_ENGINE_TRAIN_MEASURE_H

#include "engine/base/cores.h"
#include "engine/nn/graph.h"
#include "engine/train.h"
#include "engine/train/random.h"

/* out [n][d]: embeddings of glyphs [n][TRAIN_PIXELS]; g: 1 x 28 x 28 -> d. ERR_MODEL, ERR_NOMEM. */
NODISCARD enum err train_embed(float *out, const struct nn_graph *g, const uint8_t *glyphs,
                               size_t n, const struct cores *cores, struct err_info *err);

/* The class that most of the k nearest references have (of equals the one whose similarities sum to
 * more); read [n]. k 1..16. */
NODISCARD enum err train_nearest(uint8_t *read, const float *x, size_t n, const float *refs,
                                 const uint8_t *ref_labels, size_t n_refs, int d, int k,
                                 const struct cores *cores, struct err_info *err);

/* Embeddings [n][d] that stand for classes. */
struct train_refs {
    float *x;
    uint8_t *labels; /* [n] */
    size_t n;
};
/* Adds each class's mean over x [n][d], of unit length, for each class that is there; room
 * for them is the caller's. */
void train_add_means(struct train_refs *to, const float *x, const uint8_t *labels, size_t n, int d);
/* The class that x [d] is most alike, of those that are allowed (NULL: all); similarity[c]: to the
 * most similar reference of class c; -1, the least there is, where it has none or is not allowed.
 */
int train_nearest_class(float similarity[TRAIN_MAX_CLASSES], const float *x,
                        const struct train_refs *refs, int d, const bool *allowed);

/* Of labels and what was read: the share that agrees; same(a, b): whether two classes count as one
 * (NULL: only a class and itself). */
typedef bool train_same(const struct train_set *s, int a, int b);
double train_accuracy(const uint8_t *labels, const uint8_t *read, size_t n,
                      const struct train_set *s, train_same *same);
/* Upper and lower case of one letter. */
bool train_same_letter(const struct train_set *s, int a, int b);
/* These, and what looks alike: 0 O o; 1 l I and their other cases. */
bool train_look_alike(const struct train_set *s, int a, int b);

/* Mean accuracy of `episodes` games: `ways` classes of those that are there, one example of each,
 * one other glyph of each to be named by the nearest example. ERR_INVALID: too few classes of two
 * glyphs. */
NODISCARD enum err train_one_shot(double *accuracy, const float *x, const uint8_t *labels, size_t n,
                                  int d, int ways, int episodes, uint64_t seed,
                                  struct err_info *err);

/* count rows that stand for n: the members nearest to the centres of k-means (Lloyd), begun with
 * the farthest-first rows; chosen [count], indices into x. count <= n. ERR_NOMEM. */
NODISCARD enum err train_medoids(uint32_t *chosen, int count, const float *x, size_t n, int d,
                                 struct err_info *err);

#endif
