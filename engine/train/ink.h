/* From a picture to ink on paper, and its connected strokes. */
#ifndef VISAVIS_ENGINE_TRAIN_INK_H
#define VISAVIS_ENGINE_TRAIN_INK_H

#include "engine/image/image.h"

#include <stdbool.h>

struct ink {
    int w, h;
    float *value;    /* [h][w]: 0 paper .. 1 ink */
    int32_t *stroke; /* [h][w]: which connected stroke, from 1; 0: paper */
    int n_strokes;
};

struct ink_box {
    int x0, y0, x1, y1; /* inclusive */
    size_t pixels;
};

/* *out is the caller's (ink_release). flat: the picture's light is even, as in a drawn glyph; else
 * each pixel is compared with its surroundings. */
NODISCARD enum err ink_find(struct ink *out, const struct image *im, bool flat,
                            struct err_info *err);
void ink_release(struct ink *k);
/* boxes [n_strokes + 1], from 1; 0 is not set. */
void ink_boxes(struct ink_box *boxes, const struct ink *k);

#endif
