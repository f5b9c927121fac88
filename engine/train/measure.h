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

/* centroids [n_classes][d]: each class's mean, of unit length; zero where it has no glyph. */
void train_centroids(float *centroids, const float *x, const uint8_t *labels, size_t n, int d,
                     int n_classes);

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
