/* Plain loops, sums in double: what the other backends are tested against, and what they use for
 * the ops that no library has. Everything here is float [n][c][h][w]. No state; any thread. */
#include "engine/nn/nn_internal.h"

#include <math.h>
#include <string.h>

static size_t plane(struct nn_shape s)
{
    return (size_t)s.h * (size_t)s.w;
}

/* First and last + 1 index k of a window that starts at `start` with the elements inside [0, n). */
struct span {
    int lo, hi;
};
static struct span inside(int start, int k, int dilation, int n)
{
    struct span s = {0, k};
    if (start < 0) s.lo = (-start + dilation - 1) / dilation;
    int last = (n - 1 - start) / dilation + 1; /* start <= n - 1 is not sure: then none */
    if (start > n - 1) last = 0;
    if (last < s.hi) s.hi = last;
    return s;
}

static void conv(const struct nn__call *c)
{
    const struct nn_op *op = c->op;
    struct nn_shape is = c->in_shape[0], os = c->out_shape;
    int kh = op->kernel[0], kw = op->kernel[1], d = op->dilation;
    int icg = is.c / op->groups, ocg = os.c / op->groups;
    for (int n = 0; n < c->n; n++)
        for (int o = 0; o < os.c; o++) {
            const float *x = c->in[0] + ((size_t)n * is.c + (size_t)(o / ocg) * icg) * plane(is);
            const float *w = op->w + (size_t)o * icg * kh * kw;
            float *y = c->out + ((size_t)n * os.c + o) * plane(os);
            for (int oy = 0; oy < os.h; oy++)
                for (int ox = 0; ox < os.w; ox++) {
                    int y0 = oy * op->stride[0] - op->pad[0], x0 = ox * op->stride[1] - op->pad[1];
                    struct span sy = inside(y0, kh, d, is.h), sx = inside(x0, kw, d, is.w);
                    double sum = op->b ? op->b[o] : 0;
                    for (int i = 0; i < icg; i++)
                        for (int ky = sy.lo; ky < sy.hi; ky++) {
                            const float *row = x + i * plane(is) + (size_t)(y0 + ky * d) * is.w;
                            const float *k = w + ((size_t)i * kh + ky) * kw;
                            for (int kx = sx.lo; kx < sx.hi; kx++)
                                sum += (double)row[x0 + kx * d] * k[kx];
                        }
                    y[(size_t)oy * os.w + ox] = (float)sum;
                }
        }
}

static void dense(const struct nn__call *c)
{
    const struct nn_op *op = c->op;
    size_t in = (size_t)c->in_shape[0].c * plane(c->in_shape[0]);
    for (int n = 0; n < c->n; n++)
        for (int o = 0; o < op->out; o++) {
            const float *x = c->in[0] + n * in, *w = op->w + o * in;
            double sum = op->b ? op->b[o] : 0;
            for (size_t i = 0; i < in; i++) sum += (double)x[i] * w[i];
            c->out[(size_t)n * op->out + o] = (float)sum;
        }
}

static void unary(const struct nn__call *c)
{
    size_t p = plane(c->out_shape), planes = (size_t)c->n * c->out_shape.c;
    for (size_t k = 0; k < planes; k++) {
        const float *x = c->in[0] + k * p;
        float *y = c->out + k * p;
        float slope = c->op->kind == NN_PRELU ? c->op->w[k % c->out_shape.c] : c->op->alpha;
        switch (c->op->kind) {
        case NN_RELU:
            for (size_t i = 0; i < p; i++) y[i] = x[i] > 0 ? x[i] : 0;
            break;
        case NN_RELU6:
            for (size_t i = 0; i < p; i++) y[i] = x[i] > 0 ? (x[i] < 6 ? x[i] : 6) : 0;
            break;
        case NN_SIGMOID:
            for (size_t i = 0; i < p; i++) y[i] = (float)(1 / (1 + exp(-(double)x[i])));
            break;
        default: /* leaky_relu, prelu */
            for (size_t i = 0; i < p; i++) y[i] = x[i] > 0 ? x[i] : slope * x[i];
        }
    }
}

/* In float32 like PyTorch's, unlike the double sums elsewhere: MTCNN's probabilities near 1 are
 * often equal in float32, and which of two equal candidates is kept depends on that
 * (facts/default-models.md section 2). */
static void softmax(const struct nn__call *c)
{
    size_t p = plane(c->out_shape);
    int ch = c->out_shape.c;
    for (int n = 0; n < c->n; n++)
        for (size_t i = 0; i < p; i++) {
            const float *x = c->in[0] + (size_t)n * ch * p + i;
            float *y = c->out + (size_t)n * ch * p + i;
            float max = x[0];
            for (int k = 1; k < ch; k++) max = fmaxf(max, x[k * p]);
            float sum = 0;
            for (int k = 0; k < ch; k++) sum += y[k * p] = expf(x[k * p] - max);
            for (int k = 0; k < ch; k++) y[k * p] /= sum;
        }
}

static void pool(const struct nn__call *c)
{
    const struct nn_op *op = c->op;
    struct nn_shape is = c->in_shape[0], os = c->out_shape;
    int kh = op->kernel[0], kw = op->kernel[1];
    for (size_t k = 0; k < (size_t)c->n * os.c; k++)
        for (int oy = 0; oy < os.h; oy++)
            for (int ox = 0; ox < os.w; ox++) {
                int y0 = oy * op->stride[0] - op->pad[0], x0 = ox * op->stride[1] - op->pad[1];
                struct span sy = inside(y0, kh, 1, is.h), sx = inside(x0, kw, 1, is.w);
                const float *x = c->in[0] + k * plane(is);
                float max = -INFINITY;
                double sum = 0;
                for (int y = y0 + sy.lo; y < y0 + sy.hi; y++)
                    for (int i = x0 + sx.lo; i < x0 + sx.hi; i++) {
                        float v = x[(size_t)y * is.w + i];
                        max = v > max ? v : max;
                        sum += v;
                    }
                int cells = (sy.hi - sy.lo) * (sx.hi - sx.lo);
                if (op->count_pad) { /* the part of the window inside the padded input */
                    int h = is.h + op->pad[2] - y0, w = is.w + op->pad[3] - x0;
                    cells = (h < kh ? h : kh) * (w < kw ? w : kw);
                }
                c->out[k * plane(os) + (size_t)oy * os.w + ox] =
                    op->kind == NN_MAX_POOL ? max : (float)(sum / cells);
            }
}

static void global_avg_pool(const struct nn__call *c)
{
    size_t p = plane(c->in_shape[0]);
    for (size_t k = 0; k < (size_t)c->n * c->out_shape.c; k++) {
        double sum = 0;
        for (size_t i = 0; i < p; i++) sum += c->in[0][k * p + i];
        c->out[k] = (float)(sum / (double)p);
    }
}

static void add_mul(const struct nn__call *c)
{
    size_t p = plane(c->out_shape);
    bool wide = plane(c->in_shape[1]) == p, mul = c->op->kind == NN_MUL;
    for (size_t k = 0; k < (size_t)c->n * c->out_shape.c; k++)
        for (size_t i = 0; i < p; i++) {
            float a = c->in[0][k * p + i], b = wide ? c->in[1][k * p + i] : c->in[1][k];
            c->out[k * p + i] = mul ? a * b : a + b;
        }
}

static void concat(const struct nn__call *c)
{
    size_t p = plane(c->out_shape);
    float *out = c->out;
    for (int n = 0; n < c->n; n++)
        for (int i = 0; i < c->op->n_in; i++) {
            size_t row = (size_t)c->in_shape[i].c * p;
            memcpy(out, c->in[i] + n * row, row * sizeof *out);
            out += row;
        }
}

static void pad(const struct nn__call *c)
{
    struct nn_shape is = c->in_shape[0], os = c->out_shape;
    memset(c->out, 0, (size_t)c->n * os.c * plane(os) * sizeof(float));
    for (int n = 0; n < c->n; n++)
        for (int k = 0; k < is.c; k++)
            for (int y = 0; y < is.h; y++)
                memcpy(c->out + ((size_t)n * os.c + k) * plane(os) +
                           (size_t)(y + c->op->pad[0]) * os.w + c->op->pad[1],
                       c->in[0] + ((size_t)n * is.c + k) * plane(is) + (size_t)y * is.w,
                       (size_t)is.w * sizeof(float));
}

static void transpose(const struct nn__call *c)
{
    struct nn_shape is = c->in_shape[0], os = c->out_shape;
    size_t row = (size_t)is.c * plane(is);
    const size_t stride[3] = {plane(is), (size_t)is.w, 1};
    const int *perm = c->op->perm;
    for (int n = 0; n < c->n; n++)
        for (int k = 0; k < os.c; k++)
            for (int y = 0; y < os.h; y++)
                for (int x = 0; x < os.w; x++)
                    c->out[n * row + ((size_t)k * os.h + y) * os.w + x] =
                        c->in[0][n * row + k * stride[perm[0]] + y * stride[perm[1]] +
                                 x * stride[perm[2]]];
}

static void resize_nearest(const struct nn__call *c)
{
    struct nn_shape is = c->in_shape[0], os = c->out_shape;
    for (size_t k = 0; k < (size_t)c->n * os.c; k++)
        for (int y = 0; y < os.h; y++)
            for (int x = 0; x < os.w; x++)
                c->out[k * plane(os) + (size_t)y * os.w + x] =
                    c->in[0][k * plane(is) + (size_t)(y / c->op->scale[0]) * is.w +
                             x / c->op->scale[1]];
}

static void l2_normalize(const struct nn__call *c)
{
    size_t row = (size_t)c->out_shape.c * plane(c->out_shape);
    for (int n = 0; n < c->n; n++) {
        const float *x = c->in[0] + n * row;
        double sum = 0;
        for (size_t i = 0; i < row; i++) sum += (double)x[i] * x[i];
        double len = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12;
        for (size_t i = 0; i < row; i++) c->out[n * row + i] = (float)(x[i] / len);
    }
}

void nn__ref_run(const struct nn__call *c)
{
    switch (c->op->kind) {
    case NN_CONV2D:
        conv(c);
        break;
    case NN_DENSE:
        dense(c);
        break;
    case NN_RELU:
    case NN_LEAKY_RELU:
    case NN_PRELU:
    case NN_RELU6:
    case NN_SIGMOID:
        unary(c);
        break;
    case NN_SOFTMAX:
        softmax(c);
        break;
    case NN_MAX_POOL:
    case NN_AVG_POOL:
        pool(c);
        break;
    case NN_GLOBAL_AVG_POOL:
        global_avg_pool(c);
        break;
    case NN_ADD:
    case NN_MUL:
        add_mul(c);
        break;
    case NN_CONCAT:
        concat(c);
        break;
    case NN_PAD:
        pad(c);
        break;
    case NN_TRANSPOSE:
        transpose(c);
        break;
    case NN_RESIZE_NEAREST:
        resize_nearest(c);
        break;
    case NN_L2_NORMALIZE:
        l2_normalize(c);
        break;
    default: /* flatten, reshape: the planes are already in that order */
        memcpy(c->out, c->in[0],
               (size_t)c->n * c->out_shape.c * plane(c->out_shape) * sizeof(float));
    }
}

static void run_step(struct nn_plan *p, const struct nn__step *s)
{
    struct nn__call c;
    nn__call_of(&c, p, s);
    nn__ref_run(&c);
}

enum err nn__ref_lower(struct nn_plan *p, struct err_info *err)
{
    for (int i = 0; i < p->net->graph->n_ops; i++) {
        struct nn__step s = nn__step_of(p, i);
        s.run = run_step;
        s.kernel = "ref";
        enum err rc = nn__plan_step(p, &s, err);
        if (rc) return rc;
    }
    return ERR_OK;
}
