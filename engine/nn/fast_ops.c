/* The fast backend's steps that are not products: pools, sums, activations, moving of channels; and
 * the ways in and out of its layout. What is rare (transpose, reshape, odd groups) goes through
 * planes and the plain loops. */
#include "engine/nn/fast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- In and out ---- */

/* src: planes [c][h][w] of one image; dst: the pixels of row y, starting at its first one inside
 * the border. */
static void pack_row(float *dst, const float *src, struct nn_shape s, int y, size_t pixel)
{
    size_t plane = (size_t)s.h * s.w;
    src += (size_t)y * s.w;
    if (s.c == 3 && pixel == 3) { /* every picture: worth a loop the compiler can unroll */
        const float *r = src, *g = src + plane, *b = src + 2 * plane;
        for (int x = 0; x < s.w; x++)
            dst[3 * x] = r[x], dst[3 * x + 1] = g[x], dst[3 * x + 2] = b[x];
        return;
    }
    for (int x = 0; x < s.w; x++) {
        for (int c = 0; c < s.c; c++) dst[x * pixel + c] = src[c * plane + x];
        for (size_t c = (size_t)s.c; c < pixel; c++) dst[x * pixel + c] = 0;
    }
}

/* 2x2 pixels as channels (y, x, c): one row of cells, from the four rows and columns that padding
 * may cut. */
static void fold_row(float *dst, const float *src, struct nn_shape s, int y, int cells,
                     const struct nn__border *b)
{
    memset(dst, 0, (size_t)cells * b->pixel * sizeof *dst);
    for (int phase = 0; phase < 4; phase++) {
        int row = 2 * y + phase / 2 - b->top;
        if (row < 0 || row >= s.h) continue;
        int off = phase % 2 - b->left; /* of column 2 cell + off */
        int lo = off < 0 ? (1 - off) / 2 : 0, hi = (s.w - off + 1) / 2;
        for (int c = 0; c < s.c; c++) {
            const float *from = src + ((size_t)c * s.h + row) * s.w + off;
            float *to = dst + phase * s.c + c;
            for (int x = lo; x < hi && x < cells; x++) to[x * b->pixel] = from[2 * x];
        }
    }
}

static void fold(float *dst, const float *src, int n, struct nn_shape s, const struct nn__border *b)
{
    int h = (s.h + b->top + b->bottom + 1) / 2, w = (s.w + b->left + b->right + 1) / 2;
    for (int i = 0; i < n; i++)
        for (int y = 0; y < h; y++)
            fold_row(dst + ((size_t)i * h + y) * w * b->pixel, src + (size_t)i * s.c * s.h * s.w, s,
                     y, w, b);
}

static void pack(float *dst, const float *src, int n, struct nn_shape s, const struct nn__border *b)
{
    size_t row = (size_t)(s.w + b->left + b->right) * b->pixel;
    size_t image = row * (size_t)(s.h + b->top + b->bottom);
    if (b->top + b->left + b->bottom + b->right) memset(dst, 0, n * image * sizeof *dst);
    for (int i = 0; i < n; i++)
        for (int y = 0; y < s.h; y++)
            pack_row(dst + i * image + (size_t)(y + b->top) * row + b->left * b->pixel,
                     src + (size_t)i * s.c * s.h * s.w, s, y, b->pixel);
}

static void unpack(float *dst, const float *src, int n, struct nn_shape s, size_t pixel)
{
    size_t plane = (size_t)s.h * s.w;
    for (int i = 0; i < n; i++, src += plane * pixel)
        for (int c = 0; c < s.c; c++)
            for (size_t x = 0; x < plane; x++) *dst++ = src[x * pixel + c];
}

void nn__fast_emit(const struct nn_plan *p, int op, float *dst)
{
    unpack(dst, nn__read(p, op), p->rows, p->shapes[op], nn__pitch(p->shapes[op].c));
}

static void run_pack_input(struct nn_plan *p, const struct nn__step *s)
{
    const struct nn__border *b = s->data;
    (b->folded ? fold : pack)(nn__write(p, s->out), nn__read(p, NN__INPUT), p->rows,
                              nn__shape(p, NN__INPUT), b);
}

enum err nn__fast_pack_input(struct nn__lowering *l, struct err_info *err)
{
    struct nn_plan *p = l->p;
    struct nn__step s = {.run = run_pack_input, .op = -1, .kernel = "pack"};
    s.out = nn__input_value(p);
    struct nn_shape in = nn__fast_shape(l, s.out);
    p->values[s.out].row_bytes = sizeof(float) * (size_t)in.h * in.w * l->border.pixel;
    struct nn__border *b = malloc(sizeof *b);
    if (!b) return err_set(err, ERR_NOMEM, "no memory for a plan");
    *b = l->border;
    s.data = b, s.free_data = free;
    return nn__plan_step(p, &s, err);
}

/* ---- Sums, products, activations ---- */

struct pixels {
    struct nn__pixels t;
    const struct nn__simd *simd;
    int c;
};

static void pixels_rows(const void *arg, int row, int rows)
{
    const struct pixels *x = arg;
    x->simd->pixels(&x->t, row, rows);
    if (x->t.kind != NN__SIGMOID || x->c == x->t.oc) return;
    for (size_t i = (size_t)row * x->t.ow; i < (size_t)(row + rows) * x->t.ow; i++)
        memset(x->t.out + i * x->t.oc + x->c, 0, (size_t)(x->t.oc - x->c) * sizeof(float));
}

static void run_pixels(struct nn_plan *p, const struct nn__step *s)
{
    struct pixels x = *(const struct pixels *)s->data;
    x.t.a.data = nn__read(p, s->in[0]);
    x.t.b.data = s->n_in > 1 ? nn__read(p, s->in[1]) : NULL;
    x.t.out = nn__write(p, s->out);
    nn__fast_rows(p, p->rows * x.t.oh, 1, pixels_rows, &x);
}

struct nn__plus nn__fast_plus(const struct nn__lowering *l, int value)
{
    struct nn_shape s = nn__fast_shape(l, value);
    size_t pixel = nn__fast_pixel(l, value);
    return (struct nn__plus){NULL, s.h, s.w, (int)pixel, pixel, pixel * (size_t)s.h * s.w};
}

enum err nn__fast_pixels(struct nn__lowering *l, const struct nn__fused *f, struct err_info *err)
{
    struct nn_plan *p = l->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct nn_shape out = p->shapes[f->op];
    struct pixels *x = calloc(1, sizeof *x);
    if (!x) return err_set(err, ERR_NOMEM, "%s: no memory", op->name);
    struct nn__step s = nn__step_of(p, f->op);
    s.data = x, s.free_data = free;
    s.run = run_pixels;
    s.kernel = nn_kind_name(op->kind);
    s.n_in = f->plus == NN__NONE ? 1 : 2;
    s.in[0] = f->in, s.in[1] = f->plus;
    s.out = f->out;
    x->simd = p->net->simd;
    x->c = out.c;
    x->t.kind = op->kind == NN_MUL ? NN__PRODUCT : op->kind == NN_SIGMOID ? NN__SIGMOID : NN__SUM;
    x->t.oh = out.h, x->t.ow = out.w, x->t.oc = (int)nn__pitch(out.c);
    x->t.a = nn__fast_plus(l, f->in);
    if (f->plus != NN__NONE) {
        x->t.b = nn__fast_plus(l, f->plus);
        struct nn_shape b = nn__shape(p, op->in[1]);
        x->t.b_everywhere = b.h != out.h || b.w != out.w;
    }
    enum err rc = nn__fast_act(&x->t.act, p, f->act, out.c, err);
    if (!rc) return nn__plan_step(p, &s, err);
    free(x);
    return rc;
}

/* ---- Pools ---- */

struct pool {
    struct nn__window t;
    const struct nn__simd *simd;
    bool max;
};

static void pool_rows(const void *arg, int row, int rows)
{
    const struct pool *x = arg;
    if (x->max)
        x->simd->max_pool(&x->t, row, rows);
    else
        x->simd->avg_pool(&x->t, row, rows);
}

static void run_pool(struct nn_plan *p, const struct nn__step *s)
{
    struct pool x = *(const struct pool *)s->data;
    x.t.in = nn__read(p, s->in[0]);
    x.t.out = nn__write(p, s->out);
    nn__fast_rows(p, p->rows * x.t.oh, 1, pool_rows, &x);
}

struct nn__window nn__fast_window(const struct nn_op *op, struct nn_shape in, struct nn_shape out)
{
    struct nn__window t = {.ih = in.h,
                           .iw = in.w,
                           .oh = out.h,
                           .ow = out.w,
                           .c = (int)nn__pitch(out.c),
                           .kh = in.h,
                           .kw = in.w,
                           .sh = 1,
                           .sw = 1,
                           .dilation = op->kind == NN_CONV2D ? op->dilation : 1};
    if (op->kind == NN_GLOBAL_AVG_POOL) return t; /* one window, the whole plane */
    t.kh = op->kernel[0], t.kw = op->kernel[1];
    t.sh = op->stride[0], t.sw = op->stride[1];
    t.pt = op->pad[0], t.pl = op->pad[1], t.pb = op->pad[2], t.pr = op->pad[3];
    t.count_pad = op->count_pad;
    return t;
}

enum err nn__fast_pool(struct nn__lowering *l, const struct nn__fused *f, struct err_info *err)
{
    struct nn_plan *p = l->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct nn_shape in = nn__shape(p, f->in), out = p->shapes[f->op];
    struct pool *x = calloc(1, sizeof *x);
    if (!x) return err_set(err, ERR_NOMEM, "%s: no memory", op->name);
    struct nn__step s = nn__step_of(p, f->op);
    s.data = x, s.free_data = free;
    s.run = run_pool;
    s.kernel = nn_kind_name(op->kind);
    s.in[0] = f->in;
    s.out = f->out;
    x->simd = p->net->simd;
    x->max = op->kind == NN_MAX_POOL;
    x->t = nn__fast_window(op, in, out);
    return nn__plan_step(p, &s, err);
}

/* ---- The rest: one step an op, on all channels of a pixel at a time ---- */

struct other {
    const struct nn__simd *simd;
    struct nn_shape in[NN_MAX_INPUTS], out;
    size_t pixel[NN_MAX_INPUTS], planes; /* planes: floats of all inputs as planes */
};

static void run_softmax(struct nn_plan *p, const struct nn__step *s)
{
    const struct other *x = s->data;
    x->simd->softmax(nn__write(p, s->out), nn__read(p, s->in[0]), x->out.c, nn__pitch(x->out.c),
                     p->rows * x->out.h * x->out.w);
}

static void run_concat(struct nn_plan *p, const struct nn__step *s)
{
    const struct other *x = s->data;
    size_t pixels = (size_t)p->rows * x->out.h * x->out.w, pitch = nn__pitch(x->out.c), at = 0;
    float *out = nn__write(p, s->out);
    for (int k = 0; k < s->n_in; k++) {
        const float *in = nn__read(p, s->in[k]);
        for (size_t i = 0; i < pixels; i++)
            memcpy(out + i * pitch + at, in + i * x->pixel[k], (size_t)x->in[k].c * sizeof *out);
        at += (size_t)x->in[k].c;
    }
    for (size_t i = 0; at < pitch && i < pixels; i++)
        memset(out + i * pitch + at, 0, (pitch - at) * sizeof *out);
}

static void run_pad(struct nn_plan *p, const struct nn__step *s)
{
    const struct other *x = s->data;
    const struct nn_op *op = &p->net->graph->ops[s->op];
    struct nn_shape in = x->in[0], o = x->out;
    size_t pitch = nn__pitch(o.c), from = x->pixel[0];
    const float *src = nn__read(p, s->in[0]);
    float *out = nn__write(p, s->out);
    memset(out, 0, (size_t)p->rows * o.h * o.w * pitch * sizeof *out);
    for (int i = 0; i < p->rows; i++)
        for (int y = 0; y < in.h; y++)
            for (int c = 0; c < in.w; c++, src += from)
                memcpy(out + (((size_t)i * o.h + y + op->pad[0]) * o.w + c + op->pad[1]) * pitch,
                       src, (size_t)in.c * sizeof *out);
}

static void run_resize(struct nn_plan *p, const struct nn__step *s)
{
    const struct other *x = s->data;
    const struct nn_op *op = &p->net->graph->ops[s->op];
    struct nn_shape in = x->in[0], o = x->out;
    size_t pitch = nn__pitch(o.c);
    const float *src = nn__read(p, s->in[0]);
    float *out = nn__write(p, s->out);
    for (int i = 0; i < p->rows; i++)
        for (int y = 0; y < o.h; y++)
            for (int c = 0; c < o.w; c++, out += pitch)
                memcpy(out,
                       src + (((size_t)i * in.h + y / op->scale[0]) * in.w + c / op->scale[1]) *
                                 x->pixel[0],
                       pitch * sizeof *out);
}

static void run_l2(struct nn_plan *p, const struct nn__step *s)
{
    const struct other *x = s->data;
    size_t row = (size_t)x->out.h * x->out.w * nn__pitch(x->out.c);
    const float *in = nn__read(p, s->in[0]);
    float *out = nn__write(p, s->out);
    for (int n = 0; n < p->rows; n++, in += row, out += row) {
        double sum = 0;
        for (size_t i = 0; i < row; i++) sum += (double)in[i] * in[i];
        double len = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12;
        for (size_t i = 0; i < row; i++) out[i] = (float)(in[i] / len);
    }
}

static void run_planes(struct nn_plan *p, const struct nn__step *s)
{
    const struct other *x = s->data;
    struct nn__call c = {.op = &p->net->graph->ops[s->op], .n = p->rows, .out_shape = x->out};
    float *at = (float *)p->scratch;
    for (int k = 0; k < s->n_in; k++) {
        c.in_shape[k] = x->in[k];
        c.in[k] = at;
        unpack(at, nn__read(p, s->in[k]), p->rows, x->in[k], x->pixel[k]);
        at += (size_t)p->rows * x->in[k].c * x->in[k].h * x->in[k].w;
    }
    c.out = at;
    nn__ref_run(&c);
    const struct nn__border none = {.pixel = nn__pitch(x->out.c)};
    pack(nn__write(p, s->out), c.out, p->rows, x->out, &none);
}

enum err nn__fast_other(struct nn__lowering *l, const struct nn__fused *f, struct err_info *err)
{
    struct nn_plan *p = l->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct other *x = calloc(1, sizeof *x);
    if (!x) return err_set(err, ERR_NOMEM, "%s: no memory", op->name);
    struct nn__step s = nn__step_of(p, f->op);
    s.data = x, s.free_data = free;
    s.kernel = nn_kind_name(op->kind);
    s.out = f->out;
    x->simd = p->net->simd;
    x->out = p->shapes[f->op];
    size_t floats = (size_t)x->out.c * x->out.h * x->out.w;
    for (int k = 0; k < s.n_in; k++) {
        if (s.in[k] == NN__INPUT) s.in[k] = nn__input_value(p);
        x->in[k] = nn__shape(p, s.in[k]);
        x->pixel[k] = nn__fast_pixel(l, s.in[k]);
        floats += (size_t)x->in[k].c * x->in[k].h * x->in[k].w;
    }
    switch (op->kind) {
    case NN_SOFTMAX:
        s.run = run_softmax;
        break;
    case NN_CONCAT:
        s.run = run_concat;
        break;
    case NN_PAD:
        s.run = run_pad;
        break;
    case NN_RESIZE_NEAREST:
        s.run = run_resize;
        break;
    case NN_L2_NORMALIZE:
        s.run = run_l2;
        break;
    default:
        s.run = run_planes;
        s.kernel = "planes";
        s.scratch = floats * (size_t)p->n * sizeof(float);
    }
    return nn__plan_step(p, &s, err);
}
