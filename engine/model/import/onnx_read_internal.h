/* Shared by the two halves of onnx_read.h: messages and tensors. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_ONNX_READ_INTERNAL_H
#define VISAVIS_ENGINE_MODEL_IMPORT_ONNX_READ_INTERNAL_H

#include "engine/model/import/onnx_read.h"
#include "engine/model/import/wire.h"

/* Adds the integers of f, packed or one, to list (room for max); *n counts them. */
NODISCARD enum err onnx__ints(int64_t *list, size_t *n, size_t max, const struct wire_field *f,
                              struct err_info *err);

/* A TensorProto without its name: name is what to call it. */
NODISCARD enum err onnx__tensor(struct onnx_tensor *t, const char *name, const struct wire_field *f,
                                struct arena *a, struct err_info *err);

#endif
