/* The training loop: batches from a set, a loss, steps. A batch is divided into SHARDS fixed
 * shards, each run by one thread with batch statistics of its own (as in Hoffer, Hubara and Soudry
 * 2017); their gradients are summed in the order of the shards. What a step does follows from the
 * seed and the step's number alone. So neither the number of threads nor a stop and a resume change
 * a bit of the result (on one instruction set). */
#ifndef VISAVIS_ENGINE_TRAIN_TRAINER_H
#define VISAVIS_ENGINE_TRAIN_TRAINER_H

#include "engine/base/cores.h"
#include "engine/train.h"
#include "engine/train/loss.h"
#include "engine/train/net.h"
#include "engine/train/optim.h"

enum { TRAIN_SHARDS = 8, TRAIN_GROUP = 8 /* rows of one class that stand together in a batch */ };

struct train_plan {
    const struct nn_graph *graph; /* input 1 x 28 x 28; for softmax it ends with the classes */
    const struct train_note *notes;
    const struct train_set *set;
    const struct train_ops *ops; /* NULL: the best of this CPU */
    uint64_t seed;
    long steps, warm;
    int batch;      /* a multiple of TRAIN_SHARDS * TRAIN_GROUP */
    double balance; /* a class is drawn in proportion to (its glyphs)^balance: 0 all alike, 1 as
                       they are */
    bool softmax;   /* cross-entropy; else triplets */
    enum train_mining mining;
    double margin;
    struct train_optim optim;
    bool augment;
    /* Share of the groups whose glyphs are turned by 90, 180 or 270 degrees and count as other
     * classes (as Omniglot's are multiplied in Vinyals et al. 2016): more shapes to tell apart, for
     * classes that are not seen. Not for softmax. */
    double turned;
};

struct trainer {
    struct train_plan plan;
    struct train_net *net;
    float *parameters, *m, *v, *gradient, *turned; /* [net->parameters] */
    bool *decays;
    double *statistics;
    struct train_work *work[TRAIN_SHARDS];
    struct train_triplets triplets;
    float *embeddings, *slopes;          /* [batch][out_row] */
    uint32_t *rows;                      /* [batch]: glyphs of the set */
    uint8_t *labels;                     /* [batch]: class + turn * the set's classes */
    uint8_t *turns;                      /* [batch]: quarters */
    uint32_t *members;                   /* the set's glyphs, class by class */
    size_t first[TRAIN_MAX_CLASSES + 1]; /* of each class, in members */
    double chance[TRAIN_MAX_CLASSES];    /* cumulative */
    long step;                           /* done */
    float *loss, *violating;             /* [steps]: of each step done */
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
