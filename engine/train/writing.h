/* Handwriting taken apart: the strokes of a page, which of them make a character, and on which line
 * it stands. split.c finds that; straighten.c draws the characters. */
#ifndef VISAVIS_ENGINE_TRAIN_WRITING_H
#define VISAVIS_ENGINE_TRAIN_WRITING_H

#include "engine/train.h"
#include "engine/train/ink.h"

struct character {
    struct ink_box box;
    int line;
    double tilt, slant; /* of its line */
};

struct page {
    struct ink ink;
    struct ink_box *strokes;
    int32_t *owner; /* [n_strokes + 1]: a stroke of its character that stands for it; 0: dirt */
    struct character *characters;
    size_t n;
};

/* Its height on the page. */
static inline double writing_middle(const struct character *c)
{
    return (c->box.y0 + c->box.y1) / 2.0;
}

/* Finds each line's tilt and slant. ERR_NOMEM. */
NODISCARD enum err writing_straighten(struct page *p, struct err_info *err);
/* A character as MNIST has it, its line's tilt and slant taken away. */
void writing_draw(uint8_t *pixels, const struct page *p, size_t number);

#endif
