/* VGG-Face as Keras saves it in HDF5 (facts/models.md 3.1, 3.2): the attribute layer_names lists
 * the layers in their order, each layer's group has an attribute weight_names that lists its
 * datasets. Numbers in names mean nothing: a second model of one process has others. Two families:
 *
 *   rcmalli's keras-vggface   layers conv1_1 .. conv5_3, then dense ones, or none; planes B, G, R
 *   sefiks's, deepface's      16 convolutions; planes R, G, B, as far as is known */
#include <stdio.h>
#include <string.h>

#include "engine/model/import/h5_file.h"
#include "engine/model/import/vggface.h"

enum { ARENA_BYTES = 1 << 20, PARTS_MAX = 8, WEIGHTS = 2 /* a kernel and a bias */ };

struct keras {
    struct h5_file file;
    struct arena arena;
    uint64_t top; /* the group whose attribute layer_names is */
    bool named;   /* the first weighted layer is called conv1_1 */
    struct vgg_net net;
};

static struct h5_text text(const char *s)
{
    return (struct h5_text){s, strlen(s)};
}

/* A list that is too long for one attribute (64 KB) is in several: NAME0, NAME1, ... */
static enum err read_list(struct h5_texts *out, bool *found, struct keras *k, uint64_t object,
                          const char *name, struct err_info *err)
{
    enum err rc = h5_texts(out, found, &k->file, object, name, &k->arena, err);

    if (rc || *found) return rc;
    for (int i = 0; i < PARTS_MAX; i++) {
        char part_name[32];
        struct h5_texts part;
        bool more;
        snprintf(part_name, sizeof part_name, "%s%d", name, i);
        rc = h5_texts(&part, &more, &k->file, object, part_name, &k->arena, err);
        if (rc || !more) return rc;
        *found = true;
        struct h5_text *all = items_alloc(&k->arena, out->n + part.n, sizeof *all);
        if (!all) return err_set(err, ERR_NOMEM, "no memory for %zu names", out->n + part.n);
        if (out->n) memcpy(all, out->items, out->n * sizeof *all);
        if (part.n) memcpy(all + out->n, part.items, part.n * sizeof *all);
        *out = (struct h5_texts){all, out->n + part.n};
    }
    return ERR_OK;
}

/* A file of weights has them at its root, a whole model under /model_weights. */
static enum err find_layers(struct h5_texts *layers, struct keras *k, struct err_info *err)
{
    bool found;
    enum err rc = read_list(layers, &found, k, k->top, "layer_names", err);

    if (rc || found) return rc;
    if ((rc = h5_find(&k->top, &k->file, k->top, text("model_weights"), err))) return rc;
    if (k->top && (rc = read_list(layers, &found, k, k->top, "layer_names", err))) return rc;
    return found
               ? ERR_OK
               : err_set(err, ERR_MODEL,
                         "neither / nor /model_weights has an attribute layer_names: these are no "
                         "weights of Keras 1 or 2");
}

static enum err read_dataset(struct view *out, struct keras *k, uint64_t group, struct h5_text path,
                             struct err_info *err)
{
    char name[H5_TEXT_BYTES_MAX + 1];
    uint64_t object;
    enum err rc = h5_find(&object, &k->file, group, path, err);

    h5_printable(name, path);
    if (rc) return rc;
    if (!object) return err_set(err, ERR_MODEL, "%s: there is no such dataset", name);
    return h5_dataset(out, &k->file, object, name, err);
}

static enum err read_layer(struct keras *k, struct h5_text layer, struct err_info *err)
{
    char name[H5_TEXT_BYTES_MAX + 1];
    struct h5_texts weights = {0};
    uint64_t group;
    bool found = false;
    enum err rc = h5_find(&group, &k->file, k->top, layer, err);

    h5_printable(name, layer);
    if (!rc && group) rc = read_list(&weights, &found, k, group, "weight_names", err);
    if (rc) {
        err_prefix(err, "layer %s", name);
        return rc;
    }
    if (!found)
        return err_set(err, ERR_MODEL, "layer %s: there is %s", name,
                       group ? "no attribute weight_names" : "no such group");
    if (!weights.n) return ERR_OK;
    if (weights.n != WEIGHTS)
        return err_set(err, ERR_MODEL, "layer %s: a kernel and a bias are expected, found %zu",
                       name, weights.n);
    const int i = k->net.n++;
    if (i >= VGG_LAYERS) return ERR_OK; /* to say how many there are */
    if (i == 0) k->named = strcmp(name, "conv1_1") == 0;
    if ((rc = read_dataset(&k->net.layer[i].w, k, group, weights.items[0], err))) return rc;
    return read_dataset(&k->net.layer[i].b, k, group, weights.items[1], err);
}

/* fc6 of dense layers: (in, out) whose rows are H, W, C of pool5. */
static enum err split_rows(struct view *w, size_t channels, struct err_info *err)
{
    size_t want[2] = {0, w->dims[1]};
    enum err rc;
    if (!mul_ok(&want[0], channels, (size_t)VGG_POOL5_SIDE * VGG_POOL5_SIDE)) want[0] = 0;
    if ((rc = view_expect(w, 2, want, err))) {
        err_prefix(err, "%s", vgg_layer_names[VGG_FC6]);
        return rc;
    }
    if (!view_split(w, 0, channels) || !view_split(w, 0, VGG_POOL5_SIDE))
        return err_set(err, ERR_MODEL, "%s: no channels", w->name);
    return ERR_OK;
}

/* Keras's H, W, in, out (dense: in, out) to out, in, H, W. What is neither stays as it is, and is
 * refused for its shape. */
static enum err reorder(struct vgg_net *net, struct err_info *err)
{
    static const int OIHW[] = {3, 2, 0, 1}, OI[] = {1, 0};
    const int n = net->n < VGG_LAYERS ? net->n : VGG_LAYERS;
    for (int i = 0; i < n; i++) {
        struct view *w = &net->layer[i].w;
        enum err rc = ERR_OK;
        if (i == VGG_FC6 && w->ndim == 2) rc = split_rows(w, net->layer[i - 1].w.dims[0], err);
        if (rc) return rc;
        if (w->ndim == 4) {
            view_permute(w, OIHW);
        } else if (w->ndim == 2) {
            view_permute(w, OI);
            if (!view_append_axis(w) || !view_append_axis(w)) return ERR_INTERNAL;
        }
    }
    return ERR_OK;
}

static enum err read_file(struct keras *k, const struct import_job *job, struct err_info *err)
{
    struct h5_texts layers = {0};
    enum err rc = h5_open(&k->file, job->data, job->len, err);

    if (rc) return rc;
    k->top = k->file.root;
    if ((rc = find_layers(&layers, k, err))) return rc;
    for (size_t i = 0; i < layers.n; i++)
        if ((rc = read_layer(k, layers.items[i], err))) return rc;
    const bool dense = k->net.n > VGG_FC6 && k->net.layer[VGG_FC6].w.ndim == 2;
    k->net.bgr = dense || (k->net.n == VGG_CONVS && k->named);
    k->net.order_assumed = !k->net.bgr;
    return reorder(&k->net, err);
}

enum err import_keras(struct import_job *job, struct err_info *err)
{
    struct keras k = {.arena = ARENA_INIT(ARENA_BYTES)};
    enum err rc = read_file(&k, job, err);
    if (!rc) rc = vggface_import(job, &k.net, err);
    arena_release(&k.arena);
    return rc;
}
