/* Networks as ONNX files, for other programs to run: nobody is locked in. The network only: how its
 * input is made, the licence and the source are told in the file's metadata, as the model file has
 * them. Field numbers and types: onnx.proto of the ONNX project; operators: its Operators.md. */
#ifndef VISAVIS_ENGINE_MODEL_EXPORT_ONNX_H
#define VISAVIS_ENGINE_MODEL_EXPORT_ONNX_H

#include "engine/model/model.h"

/* Writes m's network to file: IR 8, opset 13, input "input" float [N][c][h][w] with N open (h and w
 * too where the net takes any size), the graph's outputs by their names: a vector is [N][c], what
 * else there is [N][c][h][w]. The file gets its name when it is whole; on an error nothing is left.
 * ERR_INVALID: no network (landmarks). ERR_TOO_LARGE: over protobuf's 2 GiB. ERR_STORAGE_FULL,
 * ERR_IO, ERR_NOMEM; ERR_MODEL: a net for any size that only fits one. */
NODISCARD enum err model_export_onnx(const struct model *m, const char *file, struct err_info *err);

#endif
