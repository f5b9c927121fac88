/* What an engine holds; shared by engine.c (the pipeline) and engine_open.c, engine_models.c. */
#ifndef VISAVIS_ENGINE_ENGINE_INTERNAL_H
#define VISAVIS_ENGINE_ENGINE_INTERNAL_H

#include "engine/embedder.h"
#include "engine/engine.h"
#include "engine/face/face.h"
#include "engine/lane.h"
#include "engine/model/model.h"
#include "engine/nn/nn.h"

#include <pthread.h>

enum engine_model { EM_PNET, EM_RNET, EM_ONET, EM_ERT5, EM_ERT68, EM_COUNT };

struct loaded {
    struct embedder *embedder; /* NULL: not loaded */
    int users;                 /* calls that are using it */
    unsigned long long used;   /* when, counted in uses */
};

/* Everything is made in engine_open and only read afterwards, but for what the lock guards. */
struct engine {
    struct model *model[EM_COUNT]; /* EM_ERT68 may be NULL: optional */
    struct nn_net *net_p, *net_r, *net_o;
    struct mtcnn mtcnn;        /* its O-Net also refines what the other detector finds */
    struct model *yunet_model; /* NULL: MTCNN detects */
    struct nn_net *net_yunet;
    struct yunet yunet;
    struct detector detector;
    struct ert *ert5, *ert68; /* ert68 NULL: not installed */
    struct lanes *lanes;
    char *models_dir;
    char detection[512]; /* for recipes: which files find and place the faces */
    enum nn_backend backend;
    enum nn_precision precision;
    int threads;
    const struct model_info *embedder_info; /* the default embedder's */
    size_t model_memory;                    /* bytes; 0: no limit */
    pthread_mutex_t loading;                /* held while one is loaded; taken before lock */
    pthread_mutex_t lock;                   /* guards what follows */
    struct model_info *infos;               /* of every model in the folder */
    size_t n_infos;
    struct loaded *loaded; /* one for each of infos */
    size_t loaded_bytes;
    unsigned long long uses;
};

/* engine_embedders.c. init: an empty table, after infos. */
NODISCARD enum err engine__embedders_init(struct engine *e, const struct engine_options *o,
                                          struct err_info *err);
void engine__embedders_release(struct engine *e);
/* The one that is loaded with o's preset and averaging, and stays. ERR_NOT_FOUND, and
 * embedder_open's. */
NODISCARD enum err engine__embedder_open_default(struct engine *e, const struct engine_options *o,
                                                 const char *name, struct err_info *err);
/* name NULL: the default one. Loads it where it is not loaded. *out is in use until
 * engine__embedder_done. ERR_INVALID: no such model, or no embedder; ERR_BUSY: no memory for it
 * now. */
NODISCARD enum err engine__embedder_use(const struct embedder **out, struct engine *e,
                                        const char *name, struct err_info *err);
/* What an analysis says about the embedder that it used. */
void engine__embedder_name(struct analysis *a, struct engine *e, const struct embedder *m);
void engine__embedder_done(struct engine *e, const struct embedder *m);

/* Names of engine_options; NULL: fast, f32. ERR_INVALID. */
NODISCARD enum err engine__parse_backend(enum nn_backend *out, const char *s, struct err_info *err);
NODISCARD enum err engine__parse_precision(enum nn_precision *out, const char *s,
                                           struct err_info *err);

#endif
