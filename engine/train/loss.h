/* Losses over a whole batch of embeddings. Triplets (anchor a, positive p, negative n) want D(a, p)
 * + margin <= D(a, n); which triplets of a batch are taken is the mining:
 *
 *   random       a pair of each anchor, any negative
 *   semi-hard    each pair with the nearest negative that is farther than the positive and within
 *                the margin, else the farthest (Schroff et al. 2015, section 3.2)
 *   batch-hard   each anchor with its farthest positive and its nearest negative (Hermans, Beyer
 *                and Leibe 2017, section 2)
 *   semi-random  each pair with a random one of the negatives that violate the margin (Parkhi,
 *                Vedaldi and Zisserman 2015, section 4.4)
 *
 * D is the squared distance, for batch-hard the plain one, as in these papers. */
#ifndef VISAVIS_ENGINE_TRAIN_LOSS_H
#define VISAVIS_ENGINE_TRAIN_LOSS_H

#include "engine/base/err.h"
#include "engine/train/ops.h"
#include "engine/train/random.h"

enum train_mining {
    TRAIN_MINE_RANDOM,
    TRAIN_MINE_SEMI_HARD,
    TRAIN_MINE_BATCH_HARD,
    TRAIN_MINE_SEMI_RANDOM,
    TRAIN_MINING_COUNT
};

struct train_triplet {
    uint16_t a, p, n; /* rows */
};

/* For batches of up to `rows` rows. */
struct train_triplets {
    int rows;
    void *gram;       /* [rows][rows] elements */
    double *distance; /* [rows][rows], squared */
    struct train_triplet *list;
    size_t n, room;
    size_t tried;     /* anchors, or pairs, that a triplet was looked for */
    size_t violating; /* of the last loss: triplets within the margin; over tried, what is left to
                         learn */
};
enum { TRAIN_MAX_BATCH = 4096 };
NODISCARD enum err train_triplets_init(struct train_triplets *t, int rows,
                                       const struct train_ops *ops, struct err_info *err);
void train_triplets_release(struct train_triplets *t);

/* Chooses from x [n][d], unit rows of classes labels[n]. kin [n]: rows of one kin but two labels
 * are neither each other's positives nor negatives (batch.h); it may be labels. The list is empty
 * where no class has two rows, or there is only one. */
void train_triplets_mine(struct train_triplets *t, const void *x, const uint32_t *labels,
                         const uint32_t *kin, int n, int d, enum train_mining mining, double margin,
                         struct train_random *r, const struct train_ops *ops);
/* The mean of [D(a, p) + margin - D(a, n)]+ over the list; dx [n][d] is set to its gradient. plain:
 * D is not squared. Distances as train_triplets_mine left them. */
double train_triplets_loss(struct train_triplets *t, void *dx, const void *x, int n, int d,
                           bool plain, double margin, const struct train_ops *ops);
/* Whether this mining's D is the plain distance. */
bool train_mining_plain(enum train_mining m);
/* "random", "semi-hard", "batch-hard", "semi-random"; NULL leaves *m as it is. ERR_INVALID. */
NODISCARD enum err train_mining_parse(enum train_mining *m, const char *name, struct err_info *err);

#endif
