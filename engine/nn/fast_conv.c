/* Convolutions and dense layers over simd.h: how a layer is set up for its kernel (fast_choose.c),
 * and how the work is cut among threads. */
#include "engine/nn/fast.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What a thread keeps in its second cache (512 KiB or more): Winograd's tiles, rows between a
 * convolution and its pool. */
enum { TILE_FLOATS = 96 * 1024, TILES_MAX = 96, TILES_UNIT = 12 };
enum { POOL_FLOATS = 24 * 1024 };
enum { ROUND_ALONE_FLOATS = 256 * 1024 /* 30 us */ };

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
    nn__conv_fn *product;
    size_t in_row;  /* in bf16: floats of an input row, which are rounded first; else 0 */
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
    l->product(&l->conv, pixel, pixels < l->chunk_pixels ? pixels : l->chunk_pixels, ch,
               channels < l->chunk_channels ? channels : l->chunk_channels);
}

struct rounding {
    const struct nn__simd *simd;
    const float *from;
    uint16_t *to;
};

static void round_rows(const void *arg, int row, int rows)
{
    const struct rounding *r = arg;
    const size_t at = (size_t)row * NN__LANES;
    r->simd->to_bf16(r->to + at, r->from + at, (size_t)rows * NN__LANES);
}

/* The input in bf16, in the plan's scratch. */
static void round_input(const struct nn_plan *p, struct layer *l)
{
    const struct rounding r = {l->simd, l->conv.in, (uint16_t *)p->scratch};
    const size_t floats = l->in_row * (size_t)p->rows;
    /* what takes less than waking a helper is not shared */
    if (floats <= ROUND_ALONE_FLOATS)
        round_rows(&r, 0, (int)(floats / NN__LANES));
    else
        nn__fast_rows(p, (int)(floats / NN__LANES), 1, round_rows, &r);
    l->conv.in = (const float *)p->scratch;
}

static void run_conv(struct nn_plan *p, const struct nn__step *s)
{
    struct layer l = *(const struct layer *)s->data;
    bind(p, s, &l);
    if (l.in_row) round_input(p, &l);
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

static void setup_pool(struct layer *l, const struct nn_plan *p, const struct nn_op *op,
                       struct nn_shape out, struct nn__step *s)
{
    const struct nn__conv *c = &l->conv;
    l->window = nn__fast_window(op, (struct nn_shape){c->oc, c->oh, c->ow}, out);
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

/* Pairs of bf16 in place of floats: simd.h, nn__simd_bf16. */
static void setup_bf16(struct layer *l, const struct nn_plan *p, struct nn__step *s)
{
    struct nn__conv *c = &l->conv;
    l->product = nn__simd_bf16(p->net->simd);
    l->in_row = c->image;
    c->pixel /= 2, c->row /= 2, c->image /= 2;
    c->run = (c->run + 1) / 2;
    c->half = false;
    s->scratch = l->in_row * (size_t)p->n * sizeof(uint16_t);
    s->kernel = "bf16";
    s->bf16 = true;
}

static enum err setup_direct(struct layer *l, struct nn_plan *p, const struct nn__pack_of *k,
                             const struct nn__fused *f, bool merged, bool bf16, struct nn__step *s,
                             struct err_info *err)
{
    const struct nn__conv *c = &l->conv;
    s->run = run_conv;
    s->kernel = k->op->kind == NN_DENSE ? "dense" : "direct";
    l->product = l->simd->conv;
    if (bf16) setup_bf16(l, p, s);
    if (f->pool >= 0) setup_pool(l, p, &p->net->graph->ops[f->pool], p->shapes[f->pool], s);
    s->weights = sizeof(float) * (size_t)c->kh * c->kx * c->run * c->oc;
    enum err rc = nn__fast_pack(&l->conv.zeros, p, f->op, NN__PACK_ZEROS, k, err);
    if (rc) return rc;
    if (bf16)
        return nn__fast_pack(&l->conv.w, p, f->op,
                             merged ? NN__PACK_MERGED_BF16 : NN__PACK_TAPS_BF16, k, err);
    return nn__fast_pack(&l->conv.w, p, f->op, merged ? NN__PACK_MERGED : NN__PACK_TAPS, k, err);
}

enum err nn__fast_conv(struct nn__lowering *low, const struct nn__fused *f, struct err_info *err)
{
    struct nn_plan *p = low->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct nn_shape in = nn__shape(p, f->in), out = p->shapes[f->op];
    struct nn__pack_of k = {.op = op, .simd = p->net->simd, .in = in, .channels = out.c};
    k.pixel = nn__fast_pixel(low, f->in);
    const struct nn__choice choice = nn__choose(low, f);
    if (choice.input == NN__IN_ONEDNN) return nn__onednn_conv(low, f, err);
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
    if (!rc && choice.wino) rc = setup_wino(l, p, &k, f->op, choice.wino, &s, err);
    if (!rc && !choice.wino)
        rc = setup_direct(l, p, &k, f, merged, choice.input == NN__IN_BF16, &s, err);
    if (!rc) return nn__plan_step(p, &s, err);
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
    l->window = nn__fast_window(op, in, out);
    enum err rc = nn__fast_act(&l->window.act, p, f->act, out.c, err);
    if (!rc) rc = nn__fast_pack(&l->window.b, p, f->op, NN__PACK_BIAS, &k, err);
    if (!rc) rc = nn__fast_pack(&l->window.w, p, f->op, NN__PACK_DEPTHWISE, &k, err);
    if (!rc) return nn__plan_step(p, &s, err);
    free(l);
    return rc;
}
