/* oneDNN 2.6: the only file that includes it. It runs convolutions and dense layers in bf16 with
 * AMX (and with AVX512-BF16 where simd.h's own product is not to be had); elsewhere our own kernels
 * beat it and need no code generated for a new size.
 *
 * Values stay float32 between layers: the input is rounded to bf16 for the product, the sum is kept
 * in float32. Kernels are taken as direct convolutions (never Winograd or "auto": they round
 * differently for other batches; a dense layer is a 1x1 convolution for the same reason) and run
 * either on all rows of the plan or on one row at a time, so two primitives serve any number of
 * rows. Scratchpads are ours: with oneDNN's own, a primitive made on one thread crashes on another.
 */
#include "engine/nn/fast.h"

#include <assert.h>
#include <dnnl.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool nn__onednn_has_bf16(void)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return isa == dnnl_cpu_isa_avx512_core_bf16 || nn__onednn_has_amx();
}

bool nn__onednn_has_amx(void)
{
    return dnnl_get_effective_cpu_isa() == dnnl_cpu_isa_avx512_core_amx;
}

/* One primitive for a number of rows, with the memory objects it is given. */
struct prim {
    int rows;
    dnnl_primitive_t run;
    dnnl_memory_t src, weights, bias, dst, scratchpad;
    size_t scratch;
};

struct layer {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct prim one, all;    /* all.run NULL: one row at a time */
    size_t src_row, dst_row; /* floats */
    const struct nn__simd *simd;
    struct nn__pixels pixels; /* after the product: sum and activation */
    bool more;
};

/* The convolution in oneDNN's words. Channels are pitches: the lanes past the last are zeros in the
 * weights. */
struct shape {
    const struct nn_op *op;
    dnnl_dim_t ic, oc, ih, iw, oh, ow, kh, kw;
    dnnl_dims_t stride, dilation, pad_l, pad_r;
    bool relu;
};

static void free_prim(struct prim *p)
{
    dnnl_memory_destroy(p->src);
    dnnl_memory_destroy(p->weights);
    dnnl_memory_destroy(p->bias);
    dnnl_memory_destroy(p->dst);
    dnnl_memory_destroy(p->scratchpad);
    dnnl_primitive_destroy(p->run);
}

static void free_layer(void *data)
{
    struct layer *l = data;
    free_prim(&l->one);
    free_prim(&l->all);
    dnnl_stream_destroy(l->stream);
    dnnl_engine_destroy(l->engine);
    free(l);
}

static dnnl_status_t describe(dnnl_primitive_desc_t *out, const struct shape *s, int rows,
                              const dnnl_memory_desc_t *weights, dnnl_engine_t engine)
{
    const dnnl_dims_t src = {rows, s->ic, s->ih, s->iw}, dst = {rows, s->oc, s->oh, s->ow};
    const dnnl_dims_t wei = {s->oc, s->ic, s->kh, s->kw}, bias = {s->oc};
    dnnl_memory_desc_t ms, mw, mb, md;
    dnnl_convolution_desc_t conv;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t post = NULL;
    dnnl_status_t rc = dnnl_memory_desc_init_by_tag(&ms, 4, src, dnnl_bf16, dnnl_nhwc);
    if (!rc) rc = dnnl_memory_desc_init_by_tag(&md, 4, dst, dnnl_f32, dnnl_nhwc);
    if (!rc) rc = dnnl_memory_desc_init_by_tag(&mw, 4, wei, dnnl_bf16, dnnl_format_tag_any);
    if (!rc) rc = dnnl_memory_desc_init_by_tag(&mb, 1, bias, dnnl_f32, dnnl_x);
    if (!rc && weights) mw = *weights;
    if (!rc)
        rc = dnnl_dilated_convolution_forward_desc_init(&conv, dnnl_forward_inference,
                                                        dnnl_convolution_direct, &ms, &mw, &mb, &md,
                                                        s->stride, s->dilation, s->pad_l, s->pad_r);
    if (!rc) rc = dnnl_primitive_attr_create(&attr);
    if (!rc) rc = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!rc && s->relu) {
        rc = dnnl_post_ops_create(&post);
        if (!rc) rc = dnnl_post_ops_append_eltwise(post, 1, dnnl_eltwise_relu, 0, 0);
        if (!rc) rc = dnnl_primitive_attr_set_post_ops(attr, post);
    }
    if (!rc) rc = dnnl_primitive_desc_create(out, &conv, attr, engine, NULL);
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attr);
    return rc;
}

static dnnl_status_t make_prim(struct prim *out, const_dnnl_primitive_desc_t pd, int rows,
                               dnnl_engine_t engine)
{
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    struct {
        dnnl_memory_t *memory;
        dnnl_query_t what;
        int index;
    } all[] = {{&out->src, dnnl_query_src_md, 0},
               {&out->weights, dnnl_query_weights_md, 0},
               {&out->bias, dnnl_query_weights_md, 1},
               {&out->dst, dnnl_query_dst_md, 0},
               {&out->scratchpad, dnnl_query_scratchpad_md, 0}};
    dnnl_status_t rc = dnnl_success;
    for (size_t i = 0; !rc && i < ARRAY_LEN(all); i++)
        rc = dnnl_memory_create(all[i].memory,
                                dnnl_primitive_desc_query_md(pd, all[i].what, all[i].index), engine,
                                DNNL_MEMORY_NONE);
    if (!rc) rc = dnnl_primitive_create(&out->run, pd);
    out->rows = rows;
    out->scratch = dnnl_memory_desc_get_size(pad);
    return rc;
}

/* ---- Weights ---- */

struct repack {
    const struct shape *s;
    struct nn_shape in; /* of the op's input, real channels */
    int channels;       /* of the output */
    const dnnl_memory_desc_t *to;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    const struct nn_net *net;
};

/* [oc][ic][kh][kw] in bf16 with zeros in the padding; a dense layer's inputs go from c,h,w to h,w,c
 * order. */
static uint16_t *plain_weights(const struct repack *k)
{
    const struct shape *s = k->s;
    const size_t each = (size_t)(s->ic * s->kh * s->kw), taps = (size_t)(s->kh * s->kw);
    const size_t from = s->op->w_count / (size_t)k->channels, pixel = nn__pitch(k->in.c);
    const size_t cells = (size_t)k->in.h * k->in.w;
    uint16_t *out = calloc((size_t)s->oc * each, sizeof *out);
    AUTO_FREE float *row = calloc(each, sizeof *row);
    for (int o = 0; out && row && o < k->channels; o++) {
        const float *w = s->op->w + (size_t)o * from;
        for (int c = 0; c < k->in.c; c++)
            if (s->op->kind == NN_DENSE)
                for (size_t x = 0; x < cells; x++) row[x * pixel + c] = w[c * cells + x];
            else
                memcpy(row + c * taps, w + c * taps, taps * sizeof *w);
        k->net->simd->to_bf16(out + (size_t)o * each, row, each);
        nn__weights_done(k->net, w, from);
    }
    if (row) return out;
    free(out);
    return NULL;
}

static float *make_weights(const void *arg)
{
    const struct repack *k = arg;
    const struct shape *s = k->s;
    const dnnl_dims_t dims = {s->oc, s->ic, s->kh, s->kw};
    dnnl_memory_desc_t plain;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    float *out = mem_aligned(dnnl_memory_desc_get_size(k->to), 1);
    uint16_t *w = plain_weights(k);
    dnnl_status_t rc = out && w ? dnnl_success : dnnl_out_of_memory;
    if (!rc) rc = dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_bf16, dnnl_oihw);
    if (!rc) rc = dnnl_memory_create(&from, &plain, k->engine, w);
    if (!rc) rc = dnnl_memory_create(&to, k->to, k->engine, out);
    if (!rc)
        rc = dnnl_reorder_primitive_desc_create(&pd, &plain, k->engine, k->to, k->engine, NULL);
    if (!rc) rc = dnnl_primitive_create(&reorder, pd);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    if (!rc) rc = dnnl_primitive_execute(reorder, k->stream, 2, args);
    if (!rc) rc = dnnl_stream_wait(k->stream);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(pd);
    dnnl_memory_destroy(from);
    dnnl_memory_destroy(to);
    free(w);
    if (!rc) return out;
    free(out);
    return NULL;
}

/* ---- The step ---- */

static void run_prim(const struct layer *l, const struct prim *p, uint16_t *src, float *dst,
                     void *scratch)
{
    dnnl_memory_set_data_handle(p->src, src);
    dnnl_memory_set_data_handle(p->dst, dst);
    dnnl_memory_set_data_handle(p->scratchpad, scratch);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->src},
                                    {DNNL_ARG_WEIGHTS, p->weights},
                                    {DNNL_ARG_BIAS, p->bias},
                                    {DNNL_ARG_DST, p->dst},
                                    {DNNL_ARG_SCRATCHPAD, p->scratchpad}};
    dnnl_status_t rc = dnnl_primitive_execute(p->run, l->stream, (int)ARRAY_LEN(args), args);
    if (!rc) rc = dnnl_stream_wait(l->stream);
    assert(rc == dnnl_success); /* everything that can fail was done when it was made */
}

static void pixel_rows(const void *arg, int row, int rows)
{
    const struct layer *l = arg;
    l->simd->pixels(&l->pixels, row, rows);
}

static void run_layer(struct nn_plan *p, const struct nn__step *s)
{
    struct layer l = *(const struct layer *)s->data;
    uint16_t *src = (uint16_t *)p->scratch;
    size_t src_bytes = (size_t)p->n * l.src_row * sizeof *src;
    void *scratch =
        p->scratch + (src_bytes + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
    float *dst = nn__write(p, s->out);
    l.simd->to_bf16(src, nn__read(p, s->in[0]), (size_t)p->rows * l.src_row);
    if (p->rows == l.all.rows && l.all.run) {
        run_prim(&l, &l.all, src, dst, scratch);
    } else {
        for (int i = 0; i < p->rows; i++)
            run_prim(&l, &l.one, src + (size_t)i * l.src_row, dst + (size_t)i * l.dst_row, scratch);
    }
    if (!l.more) return;
    l.pixels.a.data = l.pixels.out = dst;
    if (s->n_in > 1) l.pixels.b.data = nn__read(p, s->in[1]);
    nn__fast_rows(p, p->rows * l.pixels.oh, 1, pixel_rows, &l);
}

static void shape_of(struct shape *s, const struct nn_op *op, struct nn_shape in,
                     struct nn_shape out, bool relu)
{
    *s = (struct shape){.op = op, .oc = (dnnl_dim_t)nn__pitch(out.c), .oh = out.h, .ow = out.w};
    s->relu = relu;
    s->kh = s->kw = s->ih = s->iw = s->stride[0] = s->stride[1] = 1;
    s->ic = (dnnl_dim_t)nn__pitch(in.c);
    if (op->kind == NN_DENSE) {
        s->ic *= (dnnl_dim_t)in.h * in.w;
        return;
    }
    s->ih = in.h, s->iw = in.w, s->kh = op->kernel[0], s->kw = op->kernel[1];
    for (int i = 0; i < 2; i++) {
        s->stride[i] = op->stride[i];
        s->dilation[i] = op->dilation - 1;
        s->pad_l[i] = op->pad[i];
        s->pad_r[i] = op->pad[i + 2];
    }
}

static enum err make_layer(struct layer *l, const struct nn__lowering *low,
                           const struct nn__fused *f, struct nn_shape in, const struct shape *s,
                           struct err_info *err)
{
    const struct nn_plan *p = low->p;
    dnnl_primitive_desc_t one = NULL, all = NULL;
    const float *weights = NULL, *bias = NULL;
    struct nn__pack_of k = {.op = s->op, .channels = p->shapes[f->op].c};
    enum err rc = ERR_OK;
    dnnl_status_t ds = dnnl_engine_create(&l->engine, dnnl_cpu, 0);
    if (!ds) ds = dnnl_stream_create(&l->stream, l->engine, dnnl_stream_default_flags);
    if (!ds) ds = describe(&one, s, 1, NULL, l->engine);
    if (!ds) ds = make_prim(&l->one, one, 1, l->engine);
    if (ds) goto done;
    const dnnl_memory_desc_t *w = dnnl_primitive_desc_query_md(one, dnnl_query_weights_md, 0);
    /* The same weights for all rows; where oneDNN would want others, rows run one at a time. */
    if (p->n > 1 && !describe(&all, s, p->n, w, l->engine))
        ds = make_prim(&l->all, all, p->n, l->engine);
    if (ds) goto done;
    struct repack r = {s, in, k.channels, w, l->engine, l->stream, p->net};
    /* oneDNN's layout of weights also depends on the number of threads: kinds from NN__PACK_ONEDNN
     * on. */
    int kind = NN__PACK_ONEDNN + omp_get_max_threads();
    rc = nn__net_pack(&weights, p->net, f->op, kind, in.h, in.w, make_weights, &r, err);
    if (!rc) rc = nn__fast_pack(&bias, p, f->op, NN__PACK_BIAS, &k, err);
    for (int i = 0; !rc && i < 2; i++) {
        struct prim *q = i ? &l->all : &l->one;
        if (!q->run) continue;
        dnnl_memory_set_data_handle(q->weights, (void *)weights);
        dnnl_memory_set_data_handle(q->bias, (void *)bias);
    }
done:
    dnnl_primitive_desc_destroy(one);
    dnnl_primitive_desc_destroy(all);
    if (ds)
        rc = err_set(err, ERR_INTERNAL, "%s: oneDNN refuses it (status %d)", s->op->name, (int)ds);
    return rc;
}

enum err nn__onednn_conv(struct nn__lowering *low, const struct nn__fused *f, struct err_info *err)
{
    struct nn_plan *p = low->p;
    const struct nn_op *op = &p->net->graph->ops[f->op];
    struct nn_shape in = nn__shape(p, f->in), out = p->shapes[f->op];
    struct layer *l = calloc(1, sizeof *l);
    if (!l) return err_set(err, ERR_NOMEM, "%s: no memory", op->name);
    bool relu = f->act >= 0 && f->plus == NN__NONE && p->net->graph->ops[f->act].kind == NN_RELU;
    struct shape shape;
    shape_of(&shape, op, in, out, relu);
    struct nn__step s = nn__step_of(p, f->op);
    s.data = l, s.free_data = free_layer;
    s.run = run_layer;
    s.kernel = "bf16/onednn";
    s.bf16 = true;
    s.n_in = f->plus == NN__NONE ? 1 : 2;
    s.in[0] = f->in, s.in[1] = f->plus;
    s.out = f->out;
    l->simd = p->net->simd;
    l->src_row = (size_t)(shape.ic * shape.ih * shape.iw);
    l->dst_row = (size_t)(shape.oc * shape.oh * shape.ow);
    l->more = f->plus != NN__NONE || (f->act >= 0 && !relu);
    l->pixels.kind = NN__SUM;
    l->pixels.oh = out.h, l->pixels.ow = out.w, l->pixels.oc = (int)nn__pitch(out.c);
    l->pixels.a = nn__fast_plus(low, f->op);
    if (f->plus != NN__NONE) l->pixels.b = nn__fast_plus(low, f->plus);
    enum err rc = make_layer(l, low, f, in, &shape, err);
    if (!rc) rc = nn__fast_act(&l->pixels.act, p, f->act, out.c, err);
    if (rc) {
        free_layer(l);
        return rc;
    }
    size_t pad = l->one.scratch > l->all.scratch ? l->one.scratch : l->all.scratch;
    s.scratch = (size_t)p->n * l->src_row * sizeof(uint16_t) + pad + 2 * MEM_ALIGN_BYTES;
    s.weights = op->w_count * sizeof(uint16_t);
    return nn__plan_step(p, &s, err);
}
