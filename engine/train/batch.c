#include "engine/train/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/train/augment.h"
#include "engine/train/random.h"

enum {
    QUARTERS = 4,
    SPLICE_FIRST = 10, /* rows where two glyphs may meet */
    SPLICE_ROWS = 9,
    BATCH_PURPOSE = 0 /* of random numbers: trainer.c has the others */
};

enum err train_batches_init(struct train_batches *b, const struct train_set *set, double balance,
                            struct err_info *err)
{
    size_t counts[TRAIN_MAX_CLASSES] = {0}, at[TRAIN_MAX_CLASSES], classes = 0;
    double sum = 0;
    *b = (struct train_batches){.set = set};
    for (size_t i = 0; i < set->n; i++) counts[set->labels[i]]++;
    for (int c = 0; c < TRAIN_MAX_CLASSES; c++) {
        if (counts[c] == 1)
            return err_set(err, ERR_INVALID, "class %d has one glyph, training needs two or more",
                           c);
        classes += counts[c] > 0;
        at[c] = b->first[c];
        b->first[c + 1] = b->first[c] + counts[c];
        if (counts[c]) sum += pow((double)counts[c], balance);
        b->chance[c] = sum;
    }
    if (classes < 2)
        return err_set(err, ERR_INVALID, "%zu classes, training needs two or more", classes);
    for (int c = 0; c < TRAIN_MAX_CLASSES; c++) b->chance[c] /= sum;
    b->members = calloc(set->n + 1, sizeof *b->members);
    if (!b->members) return err_set(err, ERR_NOMEM, "no memory to draw from %zu glyphs", set->n);
    for (size_t i = 0; i < set->n; i++) b->members[at[set->labels[i]]++] = (uint32_t)i;
    return ERR_OK;
}

void train_batches_release(struct train_batches *b)
{
    free(b->members);
    b->members = NULL;
}

static uint32_t draw_class(const struct train_batches *b, struct train_random *r)
{
    const double u = train_uniform(r);
    uint32_t c = 0;
    while (c < TRAIN_MAX_CLASSES - 1 && b->chance[c] <= u) c++;
    return c;
}

static uint32_t draw_member(const struct train_batches *b, uint32_t c, struct train_random *r)
{
    return b->members[b->first[c] + train_below(r, b->first[c + 1] - b->first[c])];
}

/* true in `share` of the calls; draws nothing where nothing can be true. */
static bool happens(double share, struct train_random *r)
{
    return share > 0 && train_uniform(r) < share;
}

void train_batches_draw(struct train_pick *picks, uint32_t *labels, uint32_t *kin,
                        const struct train_batches *b, long step, int n)
{
    const uint32_t classes = (uint32_t)b->set->n_classes, kins = classes * (classes + 1);
    struct train_random r = train_random_of(b->seed, (uint64_t)step, BATCH_PURPOSE);
    for (int i = 0; i < n; i += TRAIN_GROUP) {
        const uint32_t upper = draw_class(b, &r);
        const uint32_t quarters =
            happens(b->turned, &r) ? 1 + (uint32_t)train_below(&r, QUARTERS - 1) : 0;
        uint32_t lower = upper, row = 0;
        if (happens(b->spliced, &r)) {
            while (lower == upper) lower = draw_class(b, &r);
            row = (uint32_t)train_below(&r, SPLICE_ROWS);
        }
        const uint32_t one = lower == upper ? upper : classes + upper * classes + lower;
        for (int k = i; k < i + TRAIN_GROUP; k++) {
            const uint32_t glyph = draw_member(b, upper, &r);
            picks[k] =
                (struct train_pick){glyph, lower == upper ? glyph : draw_member(b, lower, &r),
                                    (uint8_t)(SPLICE_FIRST + row), (uint8_t)quarters};
            kin[k] = one;
            labels[k] = one + kins * (quarters + QUARTERS * row);
        }
    }
}

void train_pick_pixels(uint8_t *out, const struct train_pick *pick, const struct train_set *set)
{
    uint8_t glyph[TRAIN_PIXELS];
    const size_t above = (size_t)pick->row * TRAIN_SIDE;
    memcpy(glyph, set->pixels + (size_t)pick->upper * TRAIN_PIXELS, above);
    memcpy(glyph + above, set->pixels + (size_t)pick->lower * TRAIN_PIXELS + above,
           TRAIN_PIXELS - above);
    train_turn(out, glyph, pick->quarters);
}
