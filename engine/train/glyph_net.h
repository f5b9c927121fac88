/* The network that glyphs are embedded with, before it has learnt: 28 x 28 grey -> d floats. Three
 * stages of 3x3 convolutions, each with batch normalisation and relu, each stage ending with a
 * max_pool (28 -> 14 -> 7 -> 3 pixels); a dense layer; unit length. */
#ifndef VISAVIS_ENGINE_TRAIN_GLYPH_NET_H
#define VISAVIS_ENGINE_TRAIN_GLYPH_NET_H

#include "engine/train/net.h"

enum { GLYPH_NET_MAX_OPS = 32 };

struct glyph_net_shape {
    int convolutions; /* a stage */
    int channels[3];
    int dim;
    int classes;    /* > 0: no unit length, but a dense layer to so many classes (softmax) */
    double dropout; /* before the dense layer */
};

struct glyph_net {
    struct nn_graph g;
    struct train_note notes[GLYPH_NET_MAX_OPS];
    int embedding_ops; /* how many of the ops make the embedding */
};

NODISCARD enum err glyph_net_init(struct glyph_net *n, const struct glyph_net_shape *s,
                                  struct err_info *err);
void glyph_net_release(struct glyph_net *n);

#endif
