/* VGG-Face as PyTorch's users have it: the state dict of vgg_face_dag.pth (albanie's conversion of
 * the MatConvNet file), or of deepface's PyTorch model, which has the same names and keeps its
 * dense layers as convolutions (facts/models.md section 3.6). */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_VGG_PYTORCH_H
#define VISAVIS_ENGINE_MODEL_IMPORT_VGG_PYTORCH_H

#include "engine/model/import/import_internal.h"
#include "engine/model/import/torch_file.h"

#include <stdbool.h>

/* Are these VGG-Face's tensors, by their names? */
bool vgg_pytorch_recognise(const struct torch_file *f);
/* Finds the layers, finishes the import. ERR_MODEL: a tensor is missing, of another shape, or one
 * too many. */
NODISCARD enum err vgg_pytorch_import(struct import_job *job, const struct torch_file *f,
                                      struct err_info *err);

#endif
