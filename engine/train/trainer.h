/* The training loop: batches from a set, a loss, steps. A batch is divided into SHARDS fixed
 * shards, each run by one thread with batch statistics of its own (as in Hoffer, Hubara and Soudry
 * 2017); their gradients are summed in the order of the shards. What a step does follows from the
 * seed and the step's number alone. So neither the number of threads nor a stop and a resume change
 * a bit of the result (on one instruction set). */
#ifndef VISAVIS_ENGINE_TRAIN_TRAINER_H
#define VISAVIS_ENGINE_TRAIN_TRAINER_H

#include "engine/base/cores.h"
#include "engine/train.h"
#include "engine/train/batch.h"
#include "engine/train/loss.h"
#include "engine/train/net.h"
#include "engine/train/optim.h"

enum { TRAIN_SHARDS = 8 };

struct train_plan {
    const struct nn_graph *graph; /* input 1 x 28 x 28; for softmax it ends with the classes */
    const struct train_note *notes;
    const struct train_set *set;
    const struct train_ops *ops; /* NULL: the best of this CPU */
    uint64_t seed;
    long steps, warm;
    int batch;                       /* a multiple of TRAIN_SHARDS * TRAIN_GROUP */
    double balance, turned, spliced; /* batch.h; the last two not for softmax */
    bool softmax;                    /* cross-entropy; else triplets */
    enum train_mining mining;
    double margin;
    struct train_optim optim;
    bool augment;
};

struct trainer {
    struct train_plan plan;
    struct train_net *net;
    float *parameters, *m, *v, *gradient, *turned; /* [net->parameters] */
    bool *decays;
    double *statistics;
    struct train_work *work[TRAIN_SHARDS];
    struct train_triplets triplets;
    float *embeddings, *slopes; /* [batch][out_row] */
    struct train_batches batches;
    struct train_pick *picks; /* [batch] */
    uint32_t *labels, *kin;   /* [batch] */
    long step;                /* done */
    float *loss, *violating;  /* [steps]: of each step done */
};

/* plan's pointers must live as long. ERR_INVALID: a class with one glyph or fewer than two classes,
 * a batch of another size; ERR_NOMEM. */
NODISCARD enum err trainer_new(struct trainer **out, const struct train_plan *plan,
                               struct err_info *err);
void trainer_free(struct trainer *t);
/* One step; cores: as struct cores says. ERR_INTERNAL: the loss is no longer a number. */
NODISCARD enum err trainer_step(struct trainer *t, const struct cores *cores, struct err_info *err);

/* checkpoint.c. The file is replaced as a whole; a reader sees the old or the new one. A file of
 * another plan or set is refused (ERR_CONFLICT), a damaged one too (ERR_INVALID). */
NODISCARD enum err trainer_save(const struct trainer *t, const char *path, struct err_info *err);
NODISCARD enum err trainer_load(struct trainer *t, const char *path, struct err_info *err);

#endif
