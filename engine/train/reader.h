/* The tensors of a glyph model beside its network's. */
#ifndef VISAVIS_ENGINE_TRAIN_READER_H
#define VISAVIS_ENGINE_TRAIN_READER_H

#define READER_CODES      "glyphs.codes"      /* I32 [classes][2]: Unicode; 0: none */
#define READER_PROTOTYPES "glyphs.prototypes" /* F32 [p][d], of unit length */
#define READER_CLASSES    "glyphs.classes"    /* U8 [p]: of the prototypes */
#define READER_SCALE      "glyphs.scale"      /* F32 [1]: p(class) = exp(scale cosine) / sum */
#define READER_EXAMPLES   "glyphs.examples"   /* U8 [n][28][28] */
#define READER_LABELS     "glyphs.labels"     /* U8 [n] */

#endif
