/* Training, and reading handwriting: the fourth header that server/ may include. Files and plain
 * arrays in; a model file, labels and numbers out.
 *
 * A glyph is a picture of one character as MNIST has it: 28 x 28 bytes, white (255) on black, the
 * character in a box of 20 x 20, its centre of mass in the middle. A set is many of them with
 * labels; the training engine (engine/train/) makes an embedder of them, 28 x 28 -> 128 floats of
 * unit length in which one character's pictures lie together (Schroff, Kalenichenko and Philbin
 * 2015, FaceNet); a reader names a glyph by the examples that lie nearest.
 *
 * Functions are pure but for the files they name; any thread. */
#ifndef VISAVIS_ENGINE_TRAIN_H
#define VISAVIS_ENGINE_TRAIN_H

#include "engine/base/cores.h"
#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRAIN_SIDE = 28, /* pixels of a glyph */
    TRAIN_PIXELS = TRAIN_SIDE * TRAIN_SIDE,
    TRAIN_MAX_CLASSES = 256,
    TRAIN_MAX_GLYPHS = 4 * 1000 * 1000,
    TRAIN_MAX_FILE_BYTES = 1 << 30, /* of an IDX file, unpacked */
    TRAIN_WARNING_BYTES = 256,
};

/* --- IDX files (idx.c): the format of MNIST (LeCun's page, "the IDX file format") --- */
enum train_idx_type { TRAIN_U8, TRAIN_I8, TRAIN_I16, TRAIN_I32, TRAIN_F32, TRAIN_F64 };
enum { TRAIN_IDX_MAX_DIMS = 8 };

struct train_idx {
    enum train_idx_type type;
    int ndim; /* 1..TRAIN_IDX_MAX_DIMS */
    size_t dims[TRAIN_IDX_MAX_DIMS];
    size_t count; /* product of dims */
    void *data;   /* count elements in this machine's byte order; owned */
};
/* bytes: the file, plain or gzip (known by its first bytes). On ERR_OK *out is the caller's.
 * ERR_INVALID names the offset: wrong magic, a count that the data does not have, gzip data that is
 * damaged or cut short; ERR_TOO_LARGE, ERR_NOMEM. */
NODISCARD enum err train_idx_parse(struct train_idx *out, const uint8_t *bytes, size_t len,
                                   struct err_info *err);
/* The same of a file; errors name it. ERR_NOT_FOUND, ERR_IO. */
NODISCARD enum err train_idx_read(struct train_idx *out, const char *path, struct err_info *err);
void train_idx_release(struct train_idx *x);

/* --- sets of labelled glyphs (set.c) --- */
/* Classes are 0..n_classes-1; a class is one character, or two that the set does not tell apart
 * (EMNIST letters: upper and lower case). */
struct train_set {
    size_t n;
    uint8_t *pixels; /* [n][TRAIN_PIXELS]; owned */
    uint8_t *labels; /* [n]; owned */
    int n_classes;
    uint32_t codes[TRAIN_MAX_CLASSES][2]; /* Unicode; 0: none */
};
#define TRAIN_SET_INIT ((struct train_set){0})

/* EMNIST's files have each picture transposed (rows are columns), all others are upright. */
enum train_orientation {
    TRAIN_BY_NAME, /* transposed iff the file's name begins with "emnist" */
    TRAIN_UPRIGHT,
    TRAIN_TRANSPOSED
};
struct train_source {
    const char *images, *labels; /* IDX files of unsigned bytes: [n][28][28] and [n] */
    /* Lines `label code [code | character]`, codes in decimal. NULL: the letters, from 1, where the
     * file's name says "letters"; else the ten digits. */
    const char *mapping;
    enum train_orientation orientation;
};
/* Reads a set, its pictures turned upright. warning [TRAIN_WARNING_BYTES]: a sentence where the
 * orientation looks wrong (characters are on the whole taller than wide), else empty. ERR_INVALID:
 * counts that disagree, a label that the mapping does not have; else as train_idx_read. */
NODISCARD enum err train_set_read(struct train_set *out, char *warning,
                                  const struct train_source *s, struct err_info *err);
/* A folder with one folder a class, named with the character itself or U+0041; each holds pictures
 * (PNG, JPEG, WebP) of one glyph, 28 x 28 as they are, others are resized. ERR_INVALID names the
 * folder. */
NODISCARD enum err train_set_folder(struct train_set *out, const char *dir,
                                    enum train_orientation orientation, struct err_info *err);
enum { TRAIN_SAME_CODES = -1 };
/* Adds a copy of from's glyphs, labels raised by offset (digits + letters: 10); or, with
 * TRAIN_SAME_CODES, each labelled as the class of its first character, a new one where there is
 * none. ERR_INVALID: two characters would share a label, or more than TRAIN_MAX_CLASSES. */
NODISCARD enum err train_set_append(struct train_set *to, const struct train_set *from, int offset,
                                    struct err_info *err);
void train_set_release(struct train_set *s);

#endif
