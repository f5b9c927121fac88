/* Which glyphs a batch is made of: groups of TRAIN_GROUP rows of one character, drawn as a seed and
 * a step's number say.
 *
 * A group may be of a character that no set has, so that the embedding learns to tell shapes apart
 * and not only these: a character turned by quarters (as Omniglot's are multiplied in Vinyals et
 * al. 2016), or spliced, the upper part of one above the lower part of another (pieces of pictures
 * as in Yun et al. 2019, CutMix, but as a class of its own). Or both. */
#ifndef VISAVIS_ENGINE_TRAIN_BATCH_H
#define VISAVIS_ENGINE_TRAIN_BATCH_H

#include "engine/base/err.h"
#include "engine/train.h"

enum { TRAIN_GROUP = 4 };

struct train_pick {
    uint32_t upper, lower; /* glyphs of the set; one glyph: the same */
    uint8_t row;           /* the first of lower's */
    uint8_t quarters;      /* turned clockwise, 0..3 */
};

/* A set's glyphs by class, and how often each class is drawn. The set must live as long. */
struct train_batches {
    const struct train_set *set;
    uint64_t seed;
    double turned, spliced;              /* shares of the groups */
    uint32_t *members;                   /* the set's glyphs, class by class */
    size_t first[TRAIN_MAX_CLASSES + 1]; /* of each class, in members */
    double chance[TRAIN_MAX_CLASSES];    /* cumulative */
};

/* What is not set here, seed and shares, is the caller's to set. balance: a class is drawn in
 * proportion to (its glyphs)^balance: 0 all alike, 1 as they are. ERR_INVALID: a class with one
 * glyph, or fewer than two classes; ERR_NOMEM. */
NODISCARD enum err train_batches_init(struct train_batches *b, const struct train_set *set,
                                      double balance, struct err_info *err);
void train_batches_release(struct train_batches *b);

/* The batch of a step: n rows, a multiple of TRAIN_GROUP. labels [n]: rows of one label are one
 * character; the set's classes are their own labels. kin [n]: of one kin are those that differ only
 * in how they are turned (an o is one either way) or in the row where they are spliced. */
void train_batches_draw(struct train_pick *picks, uint32_t *labels, uint32_t *kin,
                        const struct train_batches *b, long step, int n);
/* The pixels of a pick: TRAIN_PIXELS bytes. */
void train_pick_pixels(uint8_t *out, const struct train_pick *pick, const struct train_set *set);

#endif
