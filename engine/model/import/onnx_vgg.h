/* VGG-Face among the graphs of ONNX files. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ONNX_VGG_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ONNX_VGG_H

#include "engine/model/import/onnx_graph.h"
#include "engine/model/import/vggface.h"

/* Whether b's graph has VGG-Face's topology: then its weighted layers are in *net (sizes are not
 * checked: vggface_import does that). */
bool onnx_vgg(struct vgg_net *net, const struct onnx_builder *b);

#endif
