/* What an engine holds; shared by engine.c (the pipeline) and engine_open.c, engine_models.c. */
#ifndef VISAVIS_ENGINE_ENGINE_INTERNAL_H
#define VISAVIS_ENGINE_ENGINE_INTERNAL_H

#include "engine/embedder.h"
#include "engine/engine.h"
#include "engine/face/face.h"
#include "engine/lane.h"
#include "engine/model/model.h"
#include "engine/nn/nn.h"

enum engine_model { EM_PNET, EM_RNET, EM_ONET, EM_ERT5, EM_ERT68, EM_COUNT };

/* Everything is made in engine_open and only read afterwards. */
struct engine {
    struct model *model[EM_COUNT]; /* EM_ERT68 may be NULL: optional */
    struct nn_net *net_p, *net_r, *net_o;
    struct mtcnn mtcnn;
    struct ert *ert5, *ert68; /* ert68 NULL: not installed */
    struct embedder embedder;
    struct lanes *lanes;
    struct model_info *infos; /* of every model in the folder */
    size_t n_infos;
    const struct model_info *embedder_info;
};

/* Names of engine_options; NULL: fast, f32. ERR_INVALID. */
NODISCARD enum err engine__parse_backend(enum nn_backend *out, const char *s, struct err_info *err);
NODISCARD enum err engine__parse_precision(enum nn_precision *out, const char *s,
                                           struct err_info *err);

#endif
