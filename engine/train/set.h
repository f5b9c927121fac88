/* What the files of engine/train share about sets. */
#ifndef VISAVIS_ENGINE_TRAIN_SET_H
#define VISAVIS_ENGINE_TRAIN_SET_H

#include "engine/train.h"

/* Whether the pictures of this file, or a picture of this name, are transposed. */
bool train_is_transposed(enum train_orientation o, const char *path);
/* Rows become columns, in place. */
void train_transpose(uint8_t *glyph);
/* One more glyph of a class that the set has; only for sets that grow by this alone. */
NODISCARD enum err train_set_add(struct train_set *s, const uint8_t *glyph, int label,
                                 struct err_info *err);

#endif
