#include "engine/model/import/vgg_pytorch.h"

#include <stdio.h>

#include "engine/model/import/vggface.h"

static const struct view *find(const struct torch_file *f, int layer, const char *what)
{
    char name[VIEW_NAME_BYTES];
    snprintf(name, sizeof name, "%s.%s", vgg_layer_names[layer], what);
    return torch_find(f, name);
}

bool vgg_pytorch_recognise(const struct torch_file *f)
{
    return find(f, 0, "weight") && find(f, VGG_CONVS - 1, "weight");
}

enum err vgg_pytorch_import(struct import_job *job, const struct torch_file *f,
                            struct err_info *err)
{
    struct vgg_net net = {.n = VGG_LAYERS};

    while (net.n > VGG_CONVS && !find(f, net.n - 1, "weight")) net.n--;
    for (int i = 0; i < net.n; i++) {
        const struct view *w = find(f, i, "weight"), *b = find(f, i, "bias");
        if (!w || !b)
            return err_set(err, ERR_MODEL, "%s.%s is missing, or holds integers",
                           vgg_layer_names[i], w ? "bias" : "weight");
        net.layer[i] = (struct vgg_layer){*w, *b};
        vgg_unfold(&net.layer[i].w, i);
    }
    if (f->n != 2 * (size_t)net.n)
        return err_set(err, ERR_MODEL, "%zu tensors, VGG-Face with %d layers has %d", f->n, net.n,
                       2 * net.n);
    /* vgg_face_dag.pth takes R,G,B (facts/models.md section 2). Which order deepface's file takes,
     * known by its dense layers of four axes, is documented nowhere. */
    net.order_assumed = net.n > VGG_FC6 && find(f, VGG_FC6, "weight")->ndim == 4;
    return vggface_import(job, &net, err);
}
