/* The glyphs of a training: sets of a folder, divided. */
#ifndef VISAVIS_ENGINE_TRAIN_GLYPH_DATA_H
#define VISAVIS_ENGINE_TRAIN_GLYPH_DATA_H

#include "engine/train.h"

struct glyph_data {
    int n_sources;
    struct train_source_info sources[TRAIN_MAX_SETS];
    /* One numbering of classes in all three. A source's glyphs lie together in train and in held,
     * in the order of sources. */
    struct train_set train, held;
    struct train_set unseen; /* classes that are left out of both */
};

/* Errors as train_glyphs. warning: as train_set_read's, of the last set that has one. */
NODISCARD enum err glyph_data_read(struct glyph_data *out, char *warning,
                                   const struct train_options *o, struct err_info *err);
void glyph_data_release(struct glyph_data *d);

#endif
