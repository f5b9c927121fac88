/* A .caffemodel: NetParameter with its layers' blobs, of both ages: `layers` (field 2, which
 * VGG_FACE.caffemodel has) and `layer` (field 100). Field numbers: facts/models.md 3.3, from BVLC's
 * caffe.proto. Layers are known by their names; what they compute is VGG-Face's topology, not the
 * file's to say. Weights are views of the mapping, unless their values lie apart. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/import_internal.h"
#include "engine/model/import/items.h"
#include "engine/model/import/vggface.h"
#include "engine/model/import/wire.h"

enum { ARENA_BYTES = 1 << 20, NAMED = 3, BLOBS = 2, LEGACY_DIMS = 4 };

/* Fields of NetParameter, BlobProto and BlobShape. */
enum { NET_NAME = 1, NET_LAYERS = 2, NET_INPUT = 3, NET_INPUT_SHAPE = 8, NET_LAYER = 100 };
enum { BLOB_WIDTH = 4, BLOB_DATA = 5, BLOB_SHAPE = 7, BLOB_DOUBLE_DATA = 8, SHAPE_DIM = 1 };

/* The two ages of a layer. */
static const struct age {
    uint32_t field, name, blobs;
} V1 = {NET_LAYERS, 4, 6}, V2 = {NET_LAYER, 1, 7};

struct reader {
    struct arena arena;
    struct vgg_net net;
    bool have[VGG_LAYERS];
    int known;
    char
        unknown[VIEW_NAME_BYTES]; /* names of the first layers with weights that VGG-Face has not */
    int n_unknown;
    struct err_info *err;
};

static enum err add_dim(struct view *dims, uint64_t value, struct err_info *err)
{
    if (value > INT64_MAX)
        return err_set(err, ERR_MODEL, "negative dimension %lld", (long long)value);
    if (dims->ndim == VIEW_DIMS_MAX)
        return err_set(err, ERR_MODEL, "more than %d dimensions", VIEW_DIMS_MAX);
    dims->dims[dims->ndim++] = (size_t)value;
    return ERR_OK;
}

/* BlobShape: dim, packed or not. */
static enum err read_shape(struct view *dims, const struct wire_field *shape, struct err_info *err)
{
    struct wire w = wire_message(shape, err);
    struct wire_field f;
    uint64_t value;
    enum err rc = ERR_OK;

    while (!rc && wire_next(&w, &f)) {
        if (f.number != SHAPE_DIM) continue;
        if (f.type == WIRE_VARINT) {
            rc = add_dim(dims, f.value, err);
        } else if (wire_is(&w, &f, SHAPE_DIM, WIRE_BYTES)) {
            struct wire packed = wire_message(&f, err);
            while (!rc && wire_varint(&packed, &value)) rc = add_dim(dims, value, err);
            if (!rc) rc = packed.rc;
        }
    }
    return rc ? rc : w.rc;
}

/* Of either kind: a shape, or num, channels, height and width (those that are left out are 0). */
static enum err read_dims(struct view *dims, const struct wire_field *blob, struct err_info *err)
{
    struct wire w = wire_message(blob, err);
    struct wire_field f;
    uint64_t legacy[LEGACY_DIMS] = {0};
    bool has_legacy = false, has_shape = false;
    enum err rc = ERR_OK;

    *dims = (struct view){0};
    while (!rc && wire_next(&w, &f)) {
        if (wire_is(&w, &f, BLOB_SHAPE, WIRE_BYTES)) {
            has_shape = true;
            rc = read_shape(dims, &f, err);
        } else if (f.number <= BLOB_WIDTH && wire_is(&w, &f, f.number, WIRE_VARINT)) {
            has_legacy = true;
            legacy[f.number - 1] = f.value;
        }
    }
    for (int i = 0; !rc && has_legacy && !has_shape && i < LEGACY_DIMS; i++)
        rc = add_dim(dims, legacy[i], err);
    return rc ? rc : w.rc;
}

static enum err read_blob(struct reader *r, struct view *out, const char *name,
                          const struct wire_field *blob)
{
    const uint8_t *data, *doubles;
    size_t len, doubles_len;
    struct view dims;
    enum err rc = wire_floats(&data, &len, blob, BLOB_DATA, sizeof(float), &r->arena, r->err);

    if (!rc)
        rc = wire_floats(&doubles, &doubles_len, blob, BLOB_DOUBLE_DATA, sizeof(double), &r->arena,
                         r->err);
    if (!rc) rc = read_dims(&dims, blob, r->err);
    if (rc) return err_prefix(r->err, "%s", name);
    if (len && doubles_len)
        return err_set(r->err, ERR_MODEL, "%s: both data and double_data", name);
    if (doubles_len)
        return view_init(out, name, VIEW_F64, dims.ndim, dims.dims, doubles, doubles_len, r->err);
    return view_init(out, name, VIEW_F32, dims.ndim, dims.dims, data, len, r->err);
}

/* Legacy dims: weights of a dense layer are 1 x 1 x OUT x IN, biases 1 x 1 x 1 x N. */
static void drop_leading_ones(struct view *v, int ndim)
{
    while (v->ndim > ndim && v->dims[0] == 1) {
        v->ndim--;
        memmove(v->dims, v->dims + 1, (size_t)v->ndim * sizeof v->dims[0]);
        memmove(v->strides, v->strides + 1, (size_t)v->ndim * sizeof v->strides[0]);
    }
}

static enum err read_known(struct reader *r, int layer, const struct wire_field blobs[BLOBS])
{
    struct vgg_layer *l = &r->net.layer[layer];
    char name[VIEW_NAME_BYTES];
    enum err rc;

    if (r->have[layer])
        return err_set(r->err, ERR_MODEL, "layer %s is there twice", vgg_layer_names[layer]);
    r->have[layer] = true;
    r->known++;
    snprintf(name, sizeof name, "%s's weights", vgg_layer_names[layer]);
    if ((rc = read_blob(r, &l->w, name, &blobs[0]))) return rc;
    snprintf(name, sizeof name, "%s's biases", vgg_layer_names[layer]);
    if ((rc = read_blob(r, &l->b, name, &blobs[1]))) return rc;
    drop_leading_ones(&l->b, 1);
    if (layer < VGG_FC6) return ERR_OK;
    if (l->w.ndim == LEGACY_DIMS && l->w.dims[0] == 1 && l->w.dims[1] == 1)
        drop_leading_ones(&l->w, 2);
    vgg_unfold(&l->w, layer);
    return ERR_OK;
}

static void note_unknown(struct reader *r, const char *name)
{
    const size_t at = strlen(r->unknown);
    if (r->n_unknown++ < NAMED)
        snprintf(r->unknown + at, sizeof r->unknown - at, "%s%.30s", at ? ", " : "", name);
}

static enum err read_layer(struct reader *r, const struct age *age, const struct wire_field *layer)
{
    struct wire w = wire_message(layer, r->err);
    struct wire_field f, blobs[BLOBS];
    char name[VIEW_NAME_BYTES] = "(no name)";
    int n = 0, i = 0;

    while (wire_next(&w, &f)) {
        if (wire_is(&w, &f, age->name, WIRE_BYTES))
            wire_text(name, sizeof name, &f);
        else if (wire_is(&w, &f, age->blobs, WIRE_BYTES) && n++ < BLOBS)
            blobs[n - 1] = f;
    }
    if (w.rc) return err_prefix(r->err, "layer %s", name);
    if (!n) return ERR_OK; /* pooling and the like */
    while (i < VGG_LAYERS && strcmp(vgg_layer_names[i], name) != 0) i++;
    if (i == VGG_LAYERS) {
        note_unknown(r, name);
        return ERR_OK;
    }
    if (n != BLOBS)
        return err_set(r->err, ERR_MODEL, "layer %s: %d blobs, expected %d: weights and biases",
                       name, n, BLOBS);
    return read_known(r, i, blobs);
}

static enum err read_net(struct reader *r, const struct import_job *job)
{
    struct wire w = wire_of(job->data, job->len, r->err);
    struct wire_field f;
    enum err rc = ERR_OK;

    while (!rc && wire_next(&w, &f)) {
        if (wire_is(&w, &f, V1.field, WIRE_BYTES))
            rc = read_layer(r, &V1, &f);
        else if (wire_is(&w, &f, V2.field, WIRE_BYTES))
            rc = read_layer(r, &V2, &f);
    }
    return rc ? rc : w.rc;
}

/* All 16, or without the classifier, or without dense layers. */
static enum err check_complete(struct reader *r)
{
    int n = VGG_LAYERS;
    if (!r->known)
        return err_set(r->err, ERR_MODEL,
                       "a Caffe network that is not known: %d layers with weights%s%s",
                       r->n_unknown, r->n_unknown ? ", the first are " : "", r->unknown);
    if (r->n_unknown)
        return err_set(r->err, ERR_MODEL, "%d layers with weights that VGG-Face has not: %s",
                       r->n_unknown, r->unknown);
    while (n > VGG_CONVS && !r->have[n - 1]) n--;
    if (n == VGG_FC6 + 1) n++; /* fc6 is nothing without fc7 */
    for (int i = 0; i < n; i++)
        if (!r->have[i]) return err_set(r->err, ERR_MODEL, "missing layer %s", vgg_layer_names[i]);
    r->net.n = n;
    return ERR_OK;
}

enum err import_caffe(struct import_job *job, struct err_info *err)
{
    struct reader r = {.arena = {.max = ARENA_BYTES + job->len}, .net = {.bgr = true}, .err = err};
    enum err rc = read_net(&r, job);
    if (!rc) rc = check_complete(&r);
    if (!rc) rc = vggface_import(job, &r.net, err);
    arena_release(&r.arena);
    return rc;
}

/* There is no magic: the first fields are NetParameter's, and there is a layer among them. */
bool caffe_recognise(const uint8_t *data, size_t len)
{
    struct wire w = wire_of(data, len, NULL);
    struct wire_field f;
    while (wire_next(&w, &f)) {
        if (f.number == NET_LAYERS || f.number == NET_LAYER) return f.type == WIRE_BYTES;
        const bool text = f.number == NET_NAME || f.number == NET_INPUT;
        if (f.number > NET_INPUT_SHAPE || (text && f.type != WIRE_BYTES)) return false;
    }
    return false;
}
