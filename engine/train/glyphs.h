/* A finished training: what glyphs.c makes, glyph_figures.c measures and glyph_save.c writes. */
#ifndef VISAVIS_ENGINE_TRAIN_GLYPHS_H
#define VISAVIS_ENGINE_TRAIN_GLYPHS_H

#include "engine/train/glyph_data.h"
#include "engine/train/glyph_net.h"
#include "engine/train/measure.h"
#include "engine/train/trainer.h"

enum {
    GLYPH_EXAMPLES = 4 /* kept of each class */,
    GLYPH_WITHIN = 10240 /* glyphs of glyph_draw_within */
};

struct train_glyphs {
    struct glyph_data data;
    struct glyph_net design;
    struct trainer *trainer;
    struct nn_graph graph; /* as exported */
    float *weights;        /* of graph */
    int dim;
    float *train_x, *held_x;      /* embeddings */
    struct train_refs prototypes; /* each source's classes */
    struct train_set examples;
    uint8_t *read; /* [held.n] */
    float *lead;
    float (*scatter)[2];
    float confidence[2];
    struct train_figure figures[TRAIN_MAX_FIGURES];
    int n_figures;
};

/* within.c. n: whole groups. l [d][d], whose lower triangle becomes L: L L^T is the covariance of x
 * [n][d] within groups of TRAIN_GROUP rows, with the mean of its variances added to each (halfway
 * to the same in all directions). ERR_INVALID: all rows of a group are one; ERR_NOMEM. */
NODISCARD enum err train_within(double *l, const float *x, size_t n, int d, struct err_info *err);
/* Glyphs that the training would have seen next, but not augmented: [GLYPH_WITHIN][TRAIN_PIXELS],
 * in groups of TRAIN_GROUP of one character. */
void glyph_draw_within(uint8_t *pixels, const struct trainer *t);
/* The graph's embedding becomes L^-1 times what it was, before it is taken to unit length. L is
 * that of glyph_draw_within's. The errors of train_within and
 * train_embed. */
NODISCARD enum err glyph_even_out(struct train_glyphs *t, const struct cores *cores,
                                  struct err_info *err);

/* glyph_figures.c: embeds everything and fills what follows graph. */
NODISCARD enum err glyph_figures(struct train_glyphs *t, uint64_t seed, const struct cores *cores,
                                 struct err_info *err);

/* scatter.c: the first two principal components of x [n][d], by power iteration. */
NODISCARD enum err train_scatter(float (*out)[2], const float *x, size_t n, int d,
                                 struct err_info *err);

#endif
