/* Shared by fast*.c and onednn.c: the lowering of a graph to the kernels of simd.h.
 *
 * Values are [n][h][w][pitch] (simd.h). Fusions, all decided by the graph alone: convolution or
 * dense layer, then a sum with another value (zero-padded below, to the right or in its last
 * channels: the pad is read past, never made), then an activation, then a max_pool;
 * sum and activation; flatten and
 * dense layer; dead ops. */
#ifndef VISAVIS_ENGINE_NN_FAST_H
#define VISAVIS_ENGINE_NN_FAST_H

#include "engine/nn/nn_internal.h"

/* What one step covers. */
struct nn__fused {
    int op;   /* conv2d, dense, add, ...: what it starts with */
    int in;   /* value it reads */
    int plus; /* second value added, or NN__NONE */
    int act;  /* op of the activation, or NN__NONE */
    int pool; /* op of the max_pool after it, or NN__NONE */
    int out;  /* op whose result it leaves */
};
enum { NN__NONE = -2 };

/* The packed input: a border of zeros that a first convolution would read, and pixels of c or pitch
 * floats. Folded: a first convolution of stride 2 and a large kernel (7x7 over three colours)
 * becomes one of stride 1 and 4x4 taps, which Winograd can do: 2x2 pixels lie side by side, as
 * channels (y, x, c) of a picture of half the size. */
struct nn__border {
    int top, left, bottom, right;
    size_t pixel;
    bool folded;
};

struct nn__lowering {
    struct nn_plan *p;
    struct nn__border border; /* of the input value */
};

int nn__input_value(const struct nn_plan *p); /* the packed input's number */
struct nn_shape nn__fast_shape(const struct nn__lowering *l, int value);
size_t nn__fast_pixel(const struct nn__lowering *l, int value);

/* fast_pack.c */
enum nn__pack_kind {
    NN__PACK_TAPS,      /* [panel][tap][run][channel], one tap a kernel position */
    NN__PACK_MERGED,    /* the same, one tap a kernel row */
    NN__PACK_TAPS_BF16, /* the same two in pairs of bf16 */
    NN__PACK_MERGED_BF16,
    NN__PACK_WINO2,
    NN__PACK_WINO4,
    NN__PACK_FOLDED, /* Winograd's F(3x3, 4x4) of a folded input: see nn__border */
    NN__PACK_BIAS,
    NN__PACK_SLOPE,
    NN__PACK_ZEROS,
    NN__PACK_DEPTHWISE,
    NN__PACK_ONEDNN, /* and all above: made by onednn.c */
};

struct nn__pack_of {
    const struct nn_op *op;
    const struct nn__simd *simd;
    struct nn_shape in;       /* of the op's input */
    size_t pixel;             /* floats of an input pixel */
    int channels;             /* of the output */
    const struct nn_net *net; /* set by nn__fast_pack */
};

NODISCARD enum err nn__fast_pack(const float **out, const struct nn_plan *p, int op,
                                 enum nn__pack_kind kind, const struct nn__pack_of *k,
                                 struct err_info *err);

/* fast_choose.c */
struct nn__choice {
    int wino; /* nn__wino's m, or 0: the direct product */
    enum { NN__IN_F32, NN__IN_BF16, NN__IN_ONEDNN } input;
};
struct nn__choice nn__choose(const struct nn__lowering *l, const struct nn__fused *f);
bool nn__conv_is_product(const struct nn_op *op);
bool nn__conv_folds(const struct nn_op *op, int in_c);
/* Whether a max_pool can be computed with it, row by row: the direct product, nothing padded. */
bool nn__conv_takes_pool(const struct nn_plan *p, int conv, const struct nn_op *pool);

/* fast_conv.c */
NODISCARD enum err nn__fast_conv(struct nn__lowering *l, const struct nn__fused *f,
                                 struct err_info *err);
NODISCARD enum err nn__fast_act(struct nn__act *out, const struct nn_plan *p, int op, int channels,
                                struct err_info *err);
NODISCARD enum err nn__fast_depthwise(struct nn__lowering *l, const struct nn__fused *f,
                                      struct err_info *err);

/* onednn.c */
bool nn__onednn_has_bf16(void);
bool nn__onednn_has_amx(void);
NODISCARD enum err nn__onednn_conv(struct nn__lowering *l, const struct nn__fused *f,
                                   struct err_info *err);

/* fast_ops.c */
/* A value as an operand of a sum; its data is to be set when the step runs. */
struct nn__plus nn__fast_plus(const struct nn__lowering *l, int value);
/* A pool's or a depthwise convolution's window; its data is to be set when the step runs. */
struct nn__window nn__fast_window(const struct nn_op *op, struct nn_shape in, struct nn_shape out);
NODISCARD enum err nn__fast_pack_input(struct nn__lowering *l, struct err_info *err);
NODISCARD enum err nn__fast_pixels(struct nn__lowering *l, const struct nn__fused *f,
                                   struct err_info *err);
NODISCARD enum err nn__fast_pool(struct nn__lowering *l, const struct nn__fused *f,
                                 struct err_info *err);
NODISCARD enum err nn__fast_other(struct nn__lowering *l, const struct nn__fused *f,
                                  struct err_info *err);
void nn__fast_emit(const struct nn_plan *p, int op, float *dst);

/* Runs fn over rows 0..rows-1 in chunks that are multiples of `unit`. */
void nn__fast_rows(const struct nn_plan *p, int rows, int unit,
                   void (*fn)(const void *arg, int row, int rows), const void *arg);

#endif
