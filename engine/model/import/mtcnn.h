/* MTCNN's three networks (Zhang et al. 2016) as facenet-pytorch names them. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_MTCNN_H
#define VISAVIS_ENGINE_MODEL_IMPORT_MTCNN_H

#include "engine/model/import/import_internal.h"
#include "engine/model/import/torch_file.h"

#include <stdbool.h>

/* Are these P-, R- or O-Net's tensors, by their names? */
bool mtcnn_recognise(const struct torch_file *f);
/* Checks every tensor's shape, builds the graph, finishes the import. a: for the weights. */
NODISCARD enum err mtcnn_import(struct import_job *job, const struct torch_file *f, struct arena *a,
                                struct err_info *err);

#endif
