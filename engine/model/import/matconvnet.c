/* VGG-Face as MatConvNet saves it (facts/models.md 3.4): a variable `net`, a struct with a field
 * `layers`, or `layers` by itself. Each layer is a struct; those with weights have a field
 * `weights` of {W, b}, or in older files `filters` and `biases`. Of the rest only the name is read.
 * Layers are told by their order. */
#include <stdio.h>
#include <string.h>

#include "engine/model/import/mat5.h"
#include "engine/model/import/vggface.h"

enum { BASE_BYTES = 16 << 20, LAYERS_MAX = 1024, KERNEL_DIMS = 4 };

/* Values that were found, before it is known how their layer is called. */
struct values {
    struct mat5_array shape;
    const uint8_t *data; /* NULL: not found */
    size_t len;
};

struct layer {
    char name[MAT5_NAME_BYTES];
    struct values w, b;
};

static void read_values(struct values *out, struct mat5_reader *r, struct mat5_array *a)
{
    if (out->data) mat5_fail(r, "its weights are given twice");
    out->shape = *a;
    out->data = mat5_single(&out->len, r, a);
}

/* {W, b}; the empty cell of a layer that has none. */
static void read_pair(struct layer *l, struct mat5_reader *r, struct mat5_array *cell)
{
    struct values *const part[] = {&l->w, &l->b};
    if (!cell->count) return;
    if (cell->class != MAT5_CELL || cell->count != ARRAY_LEN(part)) {
        mat5_fail(r, "weights: a cell array of 2 is expected, found %s of %zu",
                  mat5_class_name(cell->class), cell->count);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        struct mat5_array a;
        mat5_child(&a, r, cell);
        read_values(part[i], r, &a);
        mat5_end(r, &a);
    }
}

static void read_layer(struct layer *l, struct mat5_reader *r, struct mat5_array *a)
{
    struct mat5_fields f;
    if (a->class != MAT5_STRUCT || a->count != 1)
        mat5_fail(r, "one struct is expected, found %s of %zu", mat5_class_name(a->class),
                  a->count);
    mat5_fields(&f, r, a);
    for (size_t i = 0; i < f.n && !r->rc; i++) {
        const char *field = mat5_field(&f, i);
        struct mat5_array value;
        mat5_child(&value, r, a);
        if (strcmp(field, "name") == 0) mat5_text(l->name, sizeof l->name, r, &value);
        if (strcmp(field, "weights") == 0) read_pair(l, r, &value);
        if (strcmp(field, "filters") == 0) read_values(&l->w, r, &value);
        if (strcmp(field, "biases") == 0) read_values(&l->b, r, &value);
        mat5_end(r, &value);
    }
    if (!l->w.data != !l->b.data) mat5_fail(r, "there is only one of its weights and its biases");
}

/* MATLAB's H x W x in x out, first axis fastest, where an axis of 1 at the end is left out. */
static enum err kernel_view(struct view *v, const char *name, const struct values *w,
                            struct err_info *err)
{
    static const int OIHW[] = {3, 2, 0, 1};
    enum err rc = view_init(v, name, VIEW_F32, w->shape.ndim, w->shape.dims, w->data, w->len, err);
    if (rc) return rc;
    view_column_major(v);
    while (v->ndim < KERNEL_DIMS)
        if (!view_append_axis(v)) break;
    if (v->ndim == KERNEL_DIMS) view_permute(v, OIHW);
    return ERR_OK;
}

/* N x 1 or 1 x N. */
static enum err bias_view(struct view *v, const char *name, const struct values *b,
                          struct err_info *err)
{
    const struct mat5_array *s = &b->shape;
    if (s->ndim == 2 && (s->dims[0] == 1 || s->dims[1] == 1))
        return view_init(v, name, VIEW_F32, 1, &s->count, b->data, b->len, err);
    return view_init(v, name, VIEW_F32, s->ndim, s->dims, b->data, b->len, err);
}

static enum err add_layer(struct vgg_net *net, const struct layer *l, struct err_info *err)
{
    char name[MAT5_NAME_BYTES + 16];
    enum err rc;

    if (net->n == VGG_LAYERS)
        return err_set(err, ERR_MODEL, "%s: it would be the weighted layer %d, VGG-Face has %d",
                       l->name, net->n + 1, VGG_LAYERS);
    struct vgg_layer *to = &net->layer[net->n++];
    snprintf(name, sizeof name, "%s.weights{1}", l->name);
    if ((rc = kernel_view(&to->w, name, &l->w, err))) return rc;
    snprintf(name, sizeof name, "%s.weights{2}", l->name);
    return bias_view(&to->b, name, &l->b, err);
}

static enum err read_layers(struct vgg_net *net, struct mat5_reader *r, struct mat5_array *layers,
                            struct err_info *err)
{
    enum err rc = r->rc;

    if (!rc && (layers->class != MAT5_CELL || layers->count > LAYERS_MAX))
        return err_set(err, ERR_MODEL,
                       "layers: a cell array of at most %d is expected, found %s of %zu",
                       LAYERS_MAX, mat5_class_name(layers->class), layers->count);
    for (size_t i = 0; i < layers->count && !rc; i++) {
        struct layer l = {0};
        struct mat5_array a;
        mat5_child(&a, r, layers);
        read_layer(&l, r, &a);
        mat5_end(r, &a);
        if ((rc = r->rc))
            err_prefix(err, "layers{%zu}%s%s", i + 1, l.name[0] ? ", " : "", l.name);
        else if (l.w.data)
            rc = add_layer(net, &l, err);
    }
    return rc;
}

/* The struct `net`: only its layers are wanted. */
static enum err read_net(struct vgg_net *net, struct mat5_reader *r, struct mat5_array *v,
                         struct err_info *err)
{
    struct mat5_fields f;
    bool found = false;
    enum err rc = ERR_OK;

    if (v->class != MAT5_STRUCT || v->count != 1)
        return err_set(err, ERR_MODEL, "net: one struct is expected, found %s of %zu",
                       mat5_class_name(v->class), v->count);
    mat5_fields(&f, r, v);
    for (size_t i = 0; i < f.n && !r->rc && !rc; i++) {
        struct mat5_array value;
        mat5_child(&value, r, v);
        if (!found && strcmp(mat5_field(&f, i), "layers") == 0) {
            found = true;
            rc = read_layers(net, r, &value, err);
        }
        mat5_end(r, &value);
    }
    if (!rc && !r->rc && !found) return err_set(err, ERR_MODEL, "net: it has no field layers");
    return rc ? rc : r->rc;
}

static enum err read_file(struct vgg_net *net, struct mat5_reader *r, struct err_info *err)
{
    struct mat5_array v;
    while (mat5_variable(&v, r)) {
        const bool whole = strcmp(v.name, "net") == 0;
        if (!whole && strcmp(v.name, "layers") != 0) continue;
        enum err rc = whole ? read_net(net, r, &v, err) : read_layers(net, r, &v, err);
        if (rc) return rc;
        mat5_end_variable(r, &v);
        return r->rc;
    }
    return r->rc ? r->rc : err_set(err, ERR_MODEL, "there is no variable net or layers");
}

enum err import_matconvnet(struct import_job *job, struct err_info *err)
{
    /* Weights are only copied where they are compressed, and floats do not compress by half. */
    struct arena a = ARENA_INIT(BASE_BYTES + 2 * job->len);
    struct mat5_reader r;
    struct vgg_net net = {.bgr = false}; /* MatConvNet's images are R, G, B */

    mat5_begin(&r, job->data, job->len, &a, err);
    r.mapped = job->mapped;
    enum err rc = r.rc ? r.rc : read_file(&net, &r, err);
    if (!rc) rc = vggface_import(job, &net, err);
    arena_release(&a);
    return rc;
}
