/* ONNX files that visavis wrote (engine/model/export_onnx.h): what the model file said besides its
 * network is in their metadata. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ONNX_OWN_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ONNX_OWN_H

#include "engine/model/import/onnx_graph.h"
#include "engine/model/model.h"

bool onnx_is_own(const struct onnx_builder *b);

/* Fills d's role, input, licence, classes and note from b->m's metadata, its strings in b->a, and
 * gives b->g the size and the outputs that go with them. ERR_MODEL: metadata and graph contradict
 * each other. */
NODISCARD enum err onnx_own(struct model_draft *d, struct onnx_builder *b);

#endif
