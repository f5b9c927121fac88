/* Which kernel a convolution or a dense layer gets: a committed rule over its shape, the net's size
 * and the CPU's instructions, never a clock. Costs are in multiply-adds of float32. */
#include "engine/nn/fast.h"

enum { POOL_KERNEL_MAX = 8 };

bool nn__conv_is_product(const struct nn_op *op)
{
    return op->groups == 1 && op->kernel[0] * op->kernel[1] <= NN__TAPS_MAX;
}

/* What reading a byte of weights costs. Near: they do not stay in the second cache (512 KiB), and
 * come from the third at 10 bytes a cycle (16 multiply-adds) for a batch of 4. Far: those of a
 * large net do not stay in the third either and are read again for each picture; two cores of a Zen
 * 4 compute 110 GMACs a second and read 35 GB meanwhile. */
static double reading(const struct nn_net *net, double bytes)
{
    static const double NEAR = 0.4, FAR = 3;
    if (nn_net_is_large(net)) return bytes * FAR;
    return bytes > 512 * 1024 ? bytes * NEAR : 0;
}

static bool takes_wino(const struct nn_op *op, int in_c)
{
    return op->kind == NN_CONV2D && op->kernel[0] == 3 && op->kernel[1] == 3 &&
           op->stride[0] == 1 && op->stride[1] == 1 && op->dilation == 1 && in_c >= NN__LANES / 2;
}

/* macs: multiply-adds that one costs (bf16: half of one); bytes: of a weight. */
static double direct_cost(const struct nn_net *net, const struct nn_op *op, struct nn_shape in,
                          struct nn_shape out, double macs, double bytes)
{
    double weights = (double)op->kernel[0] * op->kernel[1] * in.c * (double)nn__pitch(out.c);
    return macs * weights * out.h * out.w + reading(net, bytes * weights);
}

/* Winograd's m, or 0 for the direct product: besides the products the transforms (vector
 * instructions a tile and vector of channels, each worth a multiply-add) and the weights. *cost: of
 * what is returned. */
static int choose_wino(double *cost, const struct nn_net *net, const struct nn_op *op,
                       struct nn_shape in, struct nn_shape out)
{
    static const struct {
        int m, transform_in, transform_out;
    } WAYS[] = {{2, 64, 50}, {4, 200, 150}};
    double ic = (double)nn__pitch(in.c), oc = (double)nn__pitch(out.c);
    int m = 0;
    *cost = direct_cost(net, op, in, out, 1, sizeof(float));
    for (size_t i = 0; takes_wino(op, in.c) && i < ARRAY_LEN(WAYS); i++) {
        int k = WAYS[i].m, points = (k + 2) * (k + 2);
        double tiles = (double)((out.h + k - 1) / k) * ((out.w + k - 1) / k);
        double way = points * tiles * ic * oc + reading(net, sizeof(float) * points * ic * oc) +
                     tiles * (ic * WAYS[i].transform_in + oc * WAYS[i].transform_out);
        if (way < *cost) *cost = way, m = k;
    }
    return m;
}

/* Stride 2, five to eight taps a side, and four times the channels fit one vector: 36 multiply-adds
 * where the direct product has 9 k^2, and the transforms of one input vector. */
bool nn__conv_folds(const struct nn_op *op, int in_c)
{
    return nn__conv_is_product(op) && op->dilation == 1 && 4 * in_c <= NN__LANES && op->out >= 16 &&
           op->stride[0] == 2 && op->stride[1] == 2 && op->kernel[0] > 4 && op->kernel[0] <= 8 &&
           op->kernel[1] > 4 && op->kernel[1] <= 8;
}

bool nn__conv_takes_pool(const struct nn_plan *p, int conv, const struct nn_op *pool)
{
    const struct nn_op *op = &p->net->graph->ops[conv];
    double cost;
    if (p->net->precision == NN_BF16) return false;
    if (pool->kind != NN_MAX_POOL || op->kind != NN_CONV2D || !nn__conv_is_product(op))
        return false;
    if (pool->pad[0] || pool->pad[1] || pool->kernel[0] > POOL_KERNEL_MAX) return false;
    struct nn_shape in = nn__shape(p, op->in[0]);
    if (op->in[0] == NN__INPUT && nn__conv_folds(op, in.c)) return false;
    return !choose_wino(&cost, p->net, op, in, p->shapes[conv]);
}

/* bf16 multiplies twice as fast as float32 with AVX512-BF16 (our own kernel), sixteen times with
 * AMX (oneDNN's), and reads half the bytes; but Winograd's F(4x4), which bf16 is too coarse for,
 * saves three quarters of the products. So with AVX512-BF16 the dense layers and small maps take
 * it. A first layer of few channels stays in float32. */
struct nn__choice nn__choose(const struct nn__lowering *low, const struct nn__fused *f)
{
    const struct nn_plan *p = low->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct nn_shape in = nn__shape(p, f->in), out = p->shapes[f->op];
    const bool input = f->in == nn__input_value(p);
    struct nn__choice c = {0, NN__IN_F32};
    if (input && low->border.folded) return (struct nn__choice){3, NN__IN_F32};
    if (nn__fast_pixel(low, f->in) % NN__LANES) return c;
    double cost = 0;
    if (op->kind == NN_CONV2D) c.wino = choose_wino(&cost, p->net, op, in, out);
    if (p->net->precision != NN_BF16 || f->pool >= 0 || input) return c;
    if (!nn__onednn_has_amx() && nn__simd_bf16(p->net->simd)) {
        const double bf16 =
            op->kind == NN_CONV2D ? direct_cost(p->net, op, in, out, 0.5, sizeof(uint16_t)) : 0;
        return bf16 > cost ? c : (struct nn__choice){0, NN__IN_BF16};
    }
    if (!c.wino || nn__onednn_has_amx()) return (struct nn__choice){0, NN__IN_ONEDNN};
    return c;
}
