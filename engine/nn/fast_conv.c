/* Convolutions and dense layers over simd.h: repacking of weights, the choice between the direct
 * product and Winograd, and how the work is cut among threads. */
#include "engine/nn/fast.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What a thread keeps in its second cache (512 KiB or more): Winograd's tiles, rows between a
 * convolution and its pool. */
enum { TILE_FLOATS = 96 * 1024, TILES_MAX = 96, TILES_UNIT = 12 };
enum { POOL_FLOATS = 24 * 1024, POOL_KERNEL_MAX = 8 };

bool nn__conv_is_product(const struct nn_op *op)
{
    return op->groups == 1 && op->kernel[0] * op->kernel[1] <= NN__TAPS_MAX;
}

enum err nn__fast_act(struct nn__act *out, const struct nn_plan *p, int op, int channels,
                      struct err_info *err)
{
    *out = (struct nn__act){NN__ACT_NONE, NULL};
    if (op < 0) return ERR_OK;
    const struct nn_op *o = &p->net->graph->ops[op];
    if (o->kind == NN_RELU) out->kind = NN__ACT_RELU;
    if (o->kind == NN_RELU6) out->kind = NN__ACT_RELU6;
    if (o->kind != NN_PRELU && o->kind != NN_LEAKY_RELU) return ERR_OK;
    out->kind = NN__ACT_SLOPE;
    struct nn__pack_of k = {.op = o, .channels = channels};
    return nn__fast_pack(&out->slope, p, op, NN__PACK_SLOPE, &k, err);
}

/* ---- The steps ---- */

struct layer {
    struct nn__conv conv;
    struct nn__wino wino;
    struct nn__window window;
    const struct nn__simd *simd;
    int pixels_row; /* of the output, one row */
    bool line;      /* all pixels of all rows are one line of one image */
    int pool_rows;  /* of the max_pool computed at once */
    int tiles_room; /* Winograd: as many as one thread's scratch holds */
    /* What follows is found when the step runs. */
    int pixels, chunk_pixels, chunk_channels;
    int tiles, tiles_at_once;
    size_t scratch_floats, v_floats; /* of one thread */
    float *scratch;
};

static void bind(const struct nn_plan *p, const struct nn__step *s, struct layer *l)
{
    l->conv.in = l->wino.in = l->window.in = nn__read(p, s->in[0]);
    l->conv.out = l->wino.out = l->window.out = nn__write(p, s->out);
    if (s->n_in > 1) l->conv.plus.data = l->wino.plus.data = nn__read(p, s->in[1]);
    l->scratch = (float *)p->scratch;
    l->pixels = p->rows * l->pixels_row;
    if (!l->line) return;
    l->conv.iw = l->conv.ow = l->pixels;
    l->conv.plus.w = l->pixels;
}

/* Chunks for the threads: a few each where there is enough work; first pixels are cut, then
 * channels. */
static void cut_conv(struct layer *l, int threads)
{
    int unit = l->simd->block, each = (l->pixels + 4 * threads - 1) / (4 * threads);
    each = (each + unit - 1) / unit * unit;
    l->chunk_pixels = each < 4 * unit ? each : 4 * unit;
    l->chunk_channels = l->conv.oc;
    if (threads == 1 || l->pixels > threads * unit) return;
    l->chunk_pixels = l->pixels; /* few pixels: a panel of channels each */
    int wide = l->simd->panel(l->conv.oc);
    if (l->conv.oc % wide == 0) l->chunk_channels = wide;
}

static void conv_chunk(void *arg, int chunk, int thread)
{
    const struct layer *l = arg;
    int across = (l->conv.oc + l->chunk_channels - 1) / l->chunk_channels;
    int pixel = chunk / across * l->chunk_pixels, ch = chunk % across * l->chunk_channels;
    int pixels = l->pixels - pixel, channels = l->conv.oc - ch;
    (void)thread;
    l->simd->conv(&l->conv, pixel, pixels < l->chunk_pixels ? pixels : l->chunk_pixels, ch,
                  channels < l->chunk_channels ? channels : l->chunk_channels);
}

static void run_conv(struct nn_plan *p, const struct nn__step *s)
{
    struct layer l = *(const struct layer *)s->data;
    bind(p, s, &l);
    cut_conv(&l, pool_threads(p->pool));
    int down = (l.pixels + l.chunk_pixels - 1) / l.chunk_pixels;
    int across = (l.conv.oc + l.chunk_channels - 1) / l.chunk_channels;
    pool_run(p->pool, conv_chunk, &l, down * across);
}

/* Rows of the convolution for `pool_rows` rows of the pool, in this thread's scratch while they are
 * in the cache. */
static void pool_chunk(void *arg, int chunk, int thread)
{
    const struct layer *l = arg;
    int down = (l->window.oh + l->pool_rows - 1) / l->pool_rows;
    int n = chunk / down, row = chunk % down * l->pool_rows, rows = l->window.oh - row;
    if (rows > l->pool_rows) rows = l->pool_rows;
    int first = row * l->window.sh, count = (rows - 1) * l->window.sh + l->window.kh;
    if (first + count > l->conv.oh) count = l->conv.oh - first;
    struct nn__conv c = l->conv;
    struct nn__window w = l->window;
    c.out = l->scratch + (size_t)thread * l->scratch_floats;
    c.out_first = (n * c.oh + first) * c.ow;
    l->simd->conv(&c, c.out_first, count * c.ow, 0, c.oc);
    w.in = c.out;
    w.ih = count;
    w.out += (size_t)(n * w.oh + row) * w.ow * w.c;
    l->simd->max_pool(&w, 0, rows);
}

static void run_conv_pool(struct nn_plan *p, const struct nn__step *s)
{
    struct layer l = *(const struct layer *)s->data;
    bind(p, s, &l);
    int down = (l.window.oh + l.pool_rows - 1) / l.pool_rows;
    pool_run(p->pool, pool_chunk, &l, p->rows * down);
}

static void max2_rows(const void *arg, int row, int rows)
{
    const struct layer *l = arg;
    l->simd->conv_max2(&l->conv, &l->window, row, rows);
}

static void run_conv_max2(struct nn_plan *p, const struct nn__step *s)
{
    struct layer l = *(const struct layer *)s->data;
    bind(p, s, &l);
    nn__fast_rows(p, p->rows * l.window.oh, 1, max2_rows, &l);
}

static void wino_chunk(void *arg, int chunk, int thread)
{
    const struct layer *l = arg;
    float *v = l->scratch + (size_t)thread * l->scratch_floats, *m = v + l->v_floats;
    int tile = chunk * l->tiles_at_once, tiles = l->tiles - tile;
    if (tiles > l->tiles_at_once) tiles = l->tiles_at_once;
    l->simd->wino_in(&l->wino, v, tile, tiles);
    l->simd->wino_mul(&l->wino, m, v, tiles, 0, l->wino.m == 2 ? 16 : 36);
    l->simd->wino_out(&l->wino, m, tile, tiles);
}

static void wino_in_chunk(void *arg, int tile, int thread)
{
    const struct layer *l = arg;
    (void)thread;
    l->simd->wino_in(&l->wino, l->scratch + (size_t)tile * l->wino.ic, tile, 1);
}

static void wino_mul_chunk(void *arg, int point, int thread)
{
    const struct layer *l = arg;
    (void)thread;
    l->simd->wino_mul(&l->wino, l->scratch + l->v_floats, l->scratch, l->tiles, point, 1);
}

static void wino_out_chunk(void *arg, int tile, int thread)
{
    const struct layer *l = arg;
    (void)thread;
    l->simd->wino_out(&l->wino, l->scratch + l->v_floats + (size_t)tile * l->wino.oc, tile, 1);
}

static void run_wino(struct nn_plan *p, const struct nn__step *s)
{
    struct layer l = *(const struct layer *)s->data;
    struct nn__wino *w = &l.wino;
    int threads = pool_threads(p->pool), points = w->m == 2 ? 16 : 36;
    bind(p, s, &l);
    l.tiles = p->rows * w->tiles_y * w->tiles_x;
    bool together = threads > 1 && l.tiles < threads * TILES_UNIT; /* all threads on the same few */
    int blocks = (l.tiles + l.tiles_room - 1) / l.tiles_room;
    if (together)
        blocks = 1;
    else if (threads > 1 && blocks < 4 * threads)
        blocks = (blocks + threads - 1) / threads * threads;
    l.tiles_at_once = (l.tiles + blocks - 1) / blocks; /* blocks of nearly one size */
    /* 16 floats more: otherwise points lie powers of two apart and fight for the same cache lines
     */
    w->v_point = (size_t)l.tiles_at_once * w->ic + NN__LANES;
    w->m_point = (size_t)l.tiles_at_once * w->oc + NN__LANES;
    l.v_floats = (size_t)points * w->v_point;
    l.scratch_floats = (size_t)points * (w->v_point + w->m_point);
    if (!together) {
        pool_run(p->pool, wino_chunk, &l, (l.tiles + l.tiles_at_once - 1) / l.tiles_at_once);
        return;
    }
    pool_run(p->pool, wino_in_chunk, &l, l.tiles);
    pool_run(p->pool, wino_mul_chunk, &l, points);
    pool_run(p->pool, wino_out_chunk, &l, l.tiles);
}

/* Which algorithm, by shape alone: multiply-adds of one image, plus the transforms (vector
 * instructions a tile and vector of channels, each worth a multiply-add), plus the weights' way
 * from the third cache at 10 bytes a cycle (16 multiply-adds) for a batch of 4 where they do not
 * stay in the second. Returns m, or 0 for the direct product. */
static int choose_wino(const struct nn_op *op, struct nn_shape in, struct nn_shape out)
{
    if (op->kernel[0] != 3 || op->kernel[1] != 3 || op->stride[0] != 1 || op->stride[1] != 1 ||
        op->dilation != 1 || in.c < NN__LANES / 2)
        return 0;
    static const struct {
        int m, transform_in, transform_out;
    } WAYS[] = {{2, 64, 50}, {4, 200, 150}};
    double ic = (double)nn__pitch(in.c), oc = (double)nn__pitch(out.c), cached = 512 * 1024;
    double bytes = 36.0 * in.c * oc;
    double best = 9.0 * out.h * out.w * in.c * oc + (bytes > cached ? bytes * 0.4 : 0);
    int m = 0;
    for (size_t i = 0; i < ARRAY_LEN(WAYS); i++) {
        int k = WAYS[i].m, points = (k + 2) * (k + 2);
        double tiles = (double)((out.h + k - 1) / k) * ((out.w + k - 1) / k);
        bytes = 4.0 * points * ic * oc;
        double cost = points * tiles * ic * oc + (bytes > cached ? bytes * 0.4 : 0) +
                      tiles * (ic * WAYS[i].transform_in + oc * WAYS[i].transform_out);
        if (cost < best) best = cost, m = k;
    }
    return m;
}

bool nn__conv_takes_pool(const struct nn_plan *p, int conv, const struct nn_op *pool)
{
    const struct nn_op *op = &p->net->graph->ops[conv];
    if (p->net->precision == NN_BF16) return false;
    if (pool->kind != NN_MAX_POOL || op->kind != NN_CONV2D || !nn__conv_is_product(op))
        return false;
    if (pool->pad[0] || pool->pad[1] || pool->kernel[0] > POOL_KERNEL_MAX) return false;
    struct nn_shape in = nn__shape(p, op->in[0]);
    if (op->in[0] == NN__INPUT && nn__conv_folds(op, in.c)) return false;
    return !choose_wino(op, in, p->shapes[conv]);
}

static void setup_pool(struct layer *l, const struct nn_plan *p, const struct nn_op *op,
                       struct nn_shape out, struct nn__step *s)
{
    const struct nn__conv *c = &l->conv;
    l->window = (struct nn__window){.iw = c->ow,
                                    .oh = out.h,
                                    .ow = out.w,
                                    .c = c->oc,
                                    .kh = op->kernel[0],
                                    .kw = op->kernel[1],
                                    .sh = op->stride[0],
                                    .sw = op->stride[1],
                                    .dilation = 1};
    s->kernel = "direct+max_pool";
    if (op->kernel[0] == 2 && op->kernel[1] == 2 && op->stride[0] == 2 && op->stride[1] == 2 &&
        c->plus.lanes == 0 && l->simd->conv_max2_takes(c->oc)) {
        s->run = run_conv_max2;
        return;
    }
    size_t row = (size_t)c->ow * c->oc;
    int rows = (int)(POOL_FLOATS / (row * (size_t)op->stride[0]));
    l->pool_rows = rows < 2 ? 2 : rows < out.h ? rows : out.h;
    size_t conv_rows = (size_t)(l->pool_rows - 1) * op->stride[0] + op->kernel[0];
    l->scratch_floats = row * conv_rows;
    s->scratch = sizeof(float) * l->scratch_floats * (size_t)p->threads;
    s->run = run_conv_pool;
}

/* Stride 2, five to eight taps a side, and four times the channels fit one vector: 36 multiply-adds
 * where the direct product has 9 k^2, and the transforms of one input vector. */
bool nn__conv_folds(const struct nn_op *op, int in_c)
{
    return nn__conv_is_product(op) && op->dilation == 1 && 4 * in_c <= NN__LANES && op->out >= 16 &&
           op->stride[0] == 2 && op->stride[1] == 2 && op->kernel[0] > 4 && op->kernel[0] <= 8 &&
           op->kernel[1] > 4 && op->kernel[1] <= 8;
}

static enum err setup_wino(struct layer *l, struct nn_plan *p, const struct nn__pack_of *k, int op,
                           int m, struct nn__step *s, struct err_info *err)
{
    const struct nn__conv *c = &l->conv;
    struct nn__wino *w = &l->wino;
    *w = (struct nn__wino){.m = m,
                           .ic = (int)k->pixel,
                           .run = m == 3 ? 4 * k->in.c : k->in.c,
                           .oc = c->oc,
                           .ih = c->ih,
                           .iw = c->iw,
                           .pt = c->pt,
                           .pl = c->pl,
                           .oh = c->oh,
                           .ow = c->ow,
                           .b = c->b,
                           .act = c->act,
                           .plus = c->plus};
    w->tiles_y = (c->oh + m - 1) / m;
    w->tiles_x = (c->ow + m - 1) / m;
    size_t side = m == 2 ? 4 : 6, points = side * side, both = (size_t)w->ic + w->oc;
    int room = (int)((TILE_FLOATS / (points * both) + TILES_UNIT / 2) / TILES_UNIT) * TILES_UNIT;
    l->tiles_room = room < TILES_UNIT ? TILES_UNIT : room < TILES_MAX ? room : TILES_MAX;
    s->scratch =
        sizeof(float) * points * (l->tiles_room * both + 2 * NN__LANES) * (size_t)p->threads;
    s->weights = sizeof(float) * points * (size_t)w->run * w->oc;
    s->run = run_wino;
    s->kernel = m == 4 ? "wino4" : m == 2 ? "wino2" : "wino3+fold";
    return nn__fast_pack(&w->w, p, op,
                         m == 4   ? NN__PACK_WINO4
                         : m == 2 ? NN__PACK_WINO2
                                  : NN__PACK_FOLDED,
                         k, err);
}

/* Returns whether one run covers a whole kernel row: pixels side by side, and no column padded. */
static bool setup_geometry(struct layer *l, const struct nn__lowering *low,
                           const struct nn__fused *f)
{
    const struct nn_op *op = &low->p->net->graph->ops[f->op];
    struct nn_shape in = nn__fast_shape(low, f->in), out = low->p->shapes[f->op];
    struct nn__conv *c = &l->conv;
    bool bordered = f->in == nn__input_value(low->p) &&
                    (low->border.folded ||
                     low->border.top + low->border.left + low->border.bottom + low->border.right);
    c->pixel = nn__fast_pixel(low, f->in);
    c->row = c->pixel * (size_t)in.w;
    c->image = c->row * (size_t)in.h;
    c->ih = in.h, c->iw = in.w;
    c->oh = out.h, c->ow = out.w, c->oc = (int)nn__pitch(out.c);
    if (op->kind == NN_DENSE) {
        c->ih = c->oh = c->kh = c->kx = c->sh = c->sw = c->dilation = 1;
        l->line = true; /* of rows */
        c->run = (int)c->image;
        c->pixel = c->image;
        return false;
    }
    bool merged =
        c->pixel == (size_t)in.c && op->dilation == 1 && (bordered || (!op->pad[1] && !op->pad[3]));
    c->kh = op->kernel[0];
    c->kx = merged ? 1 : op->kernel[1];
    c->run = merged ? op->kernel[1] * in.c : in.c;
    c->sh = op->stride[0], c->sw = op->stride[1];
    c->pt = bordered ? 0 : op->pad[0], c->pl = bordered ? 0 : op->pad[1];
    c->dilation = op->dilation;
    if (c->kh * op->kernel[1] * c->sh * c->sw == 1 && !c->pt && !c->pl && f->plus == NN__NONE &&
        in.h == out.h && in.w == out.w) { /* 1x1: all pixels of all images in one line */
        c->ih = c->oh = 1;
        l->line = true;
    }
    return merged;
}

/* In bf16: what is not already cheaper by Winograd in float32. Measured on Zen 4 (AVX512-BF16:
 * twice the multiply-adds of float32), where Winograd saves more; AMX has sixteen times as many. A
 * first layer of few channels stays in float32. */
static bool takes_bf16(const struct nn__lowering *low, const struct nn__fused *f, int wino)
{
    if (low->p->net->precision != NN_BF16 || f->pool >= 0) return false;
    if (nn__fast_pixel(low, f->in) % NN__LANES || f->in == nn__input_value(low->p)) return false;
    return !wino || nn__onednn_has_amx();
}

enum err nn__fast_conv(struct nn__lowering *low, const struct nn__fused *f, struct err_info *err)
{
    struct nn_plan *p = low->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct nn_shape in = nn__shape(p, f->in), out = p->shapes[f->op];
    struct nn__pack_of k = {.op = op, .simd = p->net->simd, .in = in, .channels = out.c};
    k.pixel = nn__fast_pixel(low, f->in);
    bool folded = f->in == nn__input_value(p) && low->border.folded;
    int m = folded ? 3 : 0;
    if (op->kind == NN_CONV2D && !m && k.pixel % NN__LANES == 0) m = choose_wino(op, in, out);
    if (takes_bf16(low, f, m)) return nn__onednn_conv(low, f, err);
    struct layer *l = calloc(1, sizeof *l);
    if (!l) return err_set(err, ERR_NOMEM, "%s: no memory", op->name);
    struct nn__step s = nn__step_of(p, f->op);
    s.data = l, s.free_data = free;
    s.n_in = f->plus == NN__NONE ? 1 : 2;
    s.in[0] = f->in, s.in[1] = f->plus;
    s.out = f->out;
    l->simd = p->net->simd;
    l->pixels_row = out.h * out.w;
    bool merged = setup_geometry(l, low, f);
    if (f->plus != NN__NONE) l->conv.plus = nn__fast_plus(low, f->plus);
    l->conv.half = out.c <= NN__LANES / 2 && f->plus == NN__NONE && f->act < 0;
    enum err rc = nn__fast_act(&l->conv.act, p, f->act, out.c, err);
    if (!rc) rc = nn__fast_pack(&l->conv.b, p, f->op, NN__PACK_BIAS, &k, err);
    if (rc) goto fail;
    if (m) {
        rc = setup_wino(l, p, &k, f->op, m, &s, err);
    } else {
        s.run = run_conv;
        s.kernel = op->kind == NN_DENSE ? "dense" : "direct";
        s.weights = sizeof(float) * (size_t)l->conv.kh * l->conv.kx * l->conv.run * l->conv.oc;
        if (f->pool >= 0) setup_pool(l, p, &p->net->graph->ops[f->pool], p->shapes[f->pool], &s);
        rc = nn__fast_pack(&l->conv.zeros, p, f->op, NN__PACK_ZEROS, &k, err);
        if (!rc && merged)
            rc = nn__fast_pack(&l->conv.w, p, f->op, NN__PACK_MERGED, &k, err);
        else if (!rc)
            rc = nn__fast_pack(&l->conv.w, p, f->op, NN__PACK_TAPS, &k, err);
    }
    if (!rc) return nn__plan_step(p, &s, err);
fail:
    free(l);
    return rc;
}

static void depthwise_rows(const void *arg, int row, int rows)
{
    const struct layer *l = arg;
    l->simd->depthwise(&l->window, row, rows);
}

static void run_depthwise(struct nn_plan *p, const struct nn__step *s)
{
    struct layer l = *(const struct layer *)s->data;
    bind(p, s, &l);
    nn__fast_rows(p, p->rows * l.window.oh, 1, depthwise_rows, &l);
}

enum err nn__fast_depthwise(struct nn__lowering *low, const struct nn__fused *f,
                            struct err_info *err)
{
    struct nn_plan *p = low->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct nn_shape in = nn__shape(p, f->in), out = p->shapes[f->op];
    struct nn__pack_of k = {.op = op, .channels = out.c};
    struct layer *l = calloc(1, sizeof *l);
    if (!l) return err_set(err, ERR_NOMEM, "%s: no memory", op->name);
    struct nn__step s = nn__step_of(p, f->op);
    s.data = l, s.free_data = free;
    s.in[0] = f->in;
    s.out = f->out;
    s.run = run_depthwise;
    s.kernel = "depthwise";
    l->simd = p->net->simd;
    l->window = (struct nn__window){.ih = in.h,
                                    .iw = in.w,
                                    .oh = out.h,
                                    .ow = out.w,
                                    .c = (int)nn__pitch(out.c),
                                    .kh = op->kernel[0],
                                    .kw = op->kernel[1],
                                    .sh = op->stride[0],
                                    .sw = op->stride[1],
                                    .pt = op->pad[0],
                                    .pl = op->pad[1],
                                    .dilation = op->dilation};
    enum err rc = nn__fast_act(&l->window.act, p, f->act, out.c, err);
    if (!rc) rc = nn__fast_pack(&l->window.b, p, f->op, NN__PACK_BIAS, &k, err);
    if (!rc) rc = nn__fast_pack(&l->window.w, p, f->op, NN__PACK_DEPTHWISE, &k, err);
    if (!rc) return nn__plan_step(p, &s, err);
    free(l);
    return rc;
}
