/* VGG-Face (Parkhi, Vedaldi, Zisserman 2015; configuration D of VGG-16) from any file of its
 * weights: an importer of a format finds the weighted layers and says how they lie; the topology,
 * the checks and the model file are here (facts/models.md section 1). Any width of the layers is
 * taken, the published one is 64 to 512 channels and 4,096 values. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_VGGFACE_H
#define VISAVIS_ENGINE_MODEL_IMPORT_VGGFACE_H

#include "engine/model/import/import.h"
#include "engine/model/import/view.h"

enum { VGG_CONVS = 13, VGG_LAYERS = 16, VGG_FC6 = 13, VGG_SIDE = 224, VGG_POOL5_SIDE = 7 };

/* w: axes out, in, y, x through its strides (dense layers behind fc6: y = x = 1), whatever their
 * order in the file; b: [out]. */
struct vgg_layer {
    struct view w, b;
};

struct vgg_net {
    struct vgg_layer layer[VGG_LAYERS]; /* conv1_1 .. conv5_3, fc6, fc7, fc8 */
    int n;              /* 16, or 15 (no classifier), or 13 (only the convolutions) */
    bool bgr;           /* order of conv1_1's planes in the file */
    bool order_assumed; /* bgr is not known of this format, only likely */
    bool own_input;     /* the file itself says (v - mean) * scale, in its order of planes */
    float mean[3], scale[3];
};

/* "conv1_1" .. "fc8" */
extern const char *const vgg_layer_names[VGG_LAYERS];

/* Gives the weights of a layer their four axes where the file has fewer: rows [out][in * y * x], x
 * fastest, or a dense layer's [out][in]. What does not divide stays as it is, for vggface_import to
 * refuse. */
void vgg_unfold(struct view *w, int layer);

/* Checks every shape (ERR_MODEL by the file's own name of the tensor, expected and found), then
 * writes the model: outputs "embedding" (fc7 after ReLU; without dense layers the average of
 * pool5), and where they exist "fc7_linear" (before ReLU), "fc8", "pool5_average". */
NODISCARD enum err vggface_import(struct import_job *job, const struct vgg_net *net,
                                  struct err_info *err);

#endif
