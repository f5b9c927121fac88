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

#include "engine/base/buf.h"
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

/* --- training glyphs (glyphs.c) --- */
enum { TRAIN_MAX_SETS = 16, TRAIN_NAME_BYTES = 64, TRAIN_MAX_FIGURES = 96 };

struct train_options {
    /* A folder with sets: NAME-images-idx3-ubyte and NAME-labels-idx1-ubyte, both with or without
     * .gz, and NAME-mapping.txt where NAME has one; or, without any of them, one folder of pictures
     * a class (train_set_folder). Of a set of 20,000 glyphs or more the last
     * sixth is held out, of a smaller one each class's glyphs 0, 5, 10, .. (chars74k's classes have
     * their writers in one order, so that these are people). */
    const char *data;
    enum train_orientation orientation;
    uint64_t seed;
    bool small;            /* a smaller network (for a minute's try) */
    long steps;            /* 0: 4000, or 150 for small */
    int batch;             /* 0: 256 */
    const char *loss;      /* "triplet" or "softmax"; NULL: triplet */
    const char *mining;    /* "random", "semi-hard", "batch-hard", "semi-random" (NULL) */
    double margin;         /* 0: 0.3 for batch-hard, else 0.2 */
    const char *optimizer; /* "adam" or "sgd"; NULL: adam */
    double rate;           /* 0: 0.002, or 0.05 for sgd */
    double decay;          /* of weights */
    double dropout;        /* before the embedding */
    double balance; /* classes are drawn in proportion to (their glyphs)^balance; < 0: 0.3, small
                       0.5 */
    bool plain;     /* glyphs as they are: no augmentation */
    /* To tell characters apart that were never seen: the share of glyphs that are turned by
     * quarters, and of those that are put together from the upper part of one character and the
     * lower part of another. They count as other characters. < 0: 0.5; 0 for small and softmax. */
    double turned, spliced;
    const char *hold_out;   /* letters (ASCII) that are left out in both cases, to be told apart by
                               one example afterwards; NULL: none */
    const char *checkpoint; /* file: where there is one, the training goes on from it; NULL: none */
    int checkpoint_steps;   /* 0: 100 */
    const struct cores *cores; /* NULL: this thread */
    /* After each step; false stops the training (with a checkpoint, where there is a file for it).
     */
    bool (*progress)(void *self, long step, long steps, double loss, double violating);
    void *self;
};
#define TRAIN_OPTIONS_DEFAULT                                                                      \
    ((struct train_options){.data = ".",                                                           \
                            .seed = 1,                                                             \
                            .decay = 1e-4,                                                         \
                            .dropout = 0.2,                                                        \
                            .balance = -1,                                                         \
                            .turned = -1,                                                          \
                            .spliced = -1})

struct train_figure {
    char name[96]; /* "mnist-train.nearest5", "one_shot.5_way", ... */
    double value;
    size_t n; /* glyphs, or games */
};
struct train_source_info {
    char name[TRAIN_NAME_BYTES];
    /* Of the files as they are; of a folder of pictures, of the glyphs and labels as read. */
    char images_sha256[65], labels_sha256[65];
    size_t train, held; /* glyphs */
};
/* What a training has shown; arrays live as long as the result. */
struct train_report {
    int n_sources, n_figures;
    const struct train_source_info *sources;
    const struct train_figure *figures;
    long steps;
    const float *loss, *violating; /* [steps]; violating: share of anchors, or pairs, with a
                                      triplet within the margin */
    size_t parameters;
    int dim;
    const struct train_set *held; /* glyphs that were held out */
    const uint8_t *read;          /* [held->n]: the class with the most similar prototype */
    const float *lead;            /* [held->n]: how much nearer than the right class's; 0: right */
    const float (*scatter)[2];    /* [held->n]: the embeddings' first two principal components */
    const float *confidence;      /* [2]: scale and share of right answers of the probability */
};

struct train_glyphs;
/* Trains, measures, chooses examples. On ERR_OK *out is the caller's (train_glyphs_free).
 * ERR_NOT_FOUND: no such folder; ERR_INVALID: what is wrong with the data or an option;
 * ERR_CONFLICT: the checkpoint is of another training; ERR_TIMEOUT: progress stopped it; ERR_NOMEM,
 * ERR_IO. */
NODISCARD enum err train_glyphs(struct train_glyphs **out, const struct train_options *o,
                                struct err_info *err);
void train_glyphs_free(struct train_glyphs *t);
void train_glyphs_report(const struct train_glyphs *t, struct train_report *out);
/* How often glyphs of two characters, and of one, reach a similarity (engine/match.h; JSON, the
 * caller's), measured on those that were held out: at most 100 of a character, all pairs but those
 * of characters that look alike (upper and lower case; 0 and o; 1, i and l). Of origin, people
 * (characters) and images are filled in. ERR_FMR_UNSUPPORTED: too few to support an FMR of 1 %;
 * ERR_NOMEM. */
struct calibration_origin;
NODISCARD enum err train_glyphs_calibration(char **json, const struct train_glyphs *t,
                                            const struct calibration_origin *origin,
                                            struct err_info *err);
/* DIR/NAME.safetensors: an embedder with its examples. about: JSON of how it was made, kept in the
 * file (its "temperature" is set by this call's caller from the report); license: of the result. */
struct train_save {
    const char *dir, *name, *license, *note, *about;
};
NODISCARD enum err train_glyphs_save(const struct train_glyphs *t, const struct train_save *s,
                                     struct err_info *err);

/* --- a projection of embeddings (projection.c, projection_judge.c) --- */
/* A matrix w [dim][d] after which a person's vectors lie closer together than two people's: the
 * last step of VGG-Face (Parkhi, Vedaldi and Zisserman 2015, section 4.4: 4096 -> 1024 by
 * triplets). Vectors are of unit length, before and after. */
enum { TRAIN_PROJECTION_MAX = 8192 /* dimensions */ };
struct train_projection_options {
    int dim;       /* of the result, 1..d */
    uint64_t seed; /* the same bits at any number of cores (on one instruction set) */
    long steps;
    double margin;      /* (0, 4] */
    const char *mining; /* as train_options */
    double rate;        /* of Adam, relative to the size of w's entries; (0, 1] */
    double hold;        /* how strongly w is held to where it began; 0: not at all */
    const struct cores *cores;
    bool (*progress)(void *self, long step, long steps, double loss, double violating);
    void *self;
};
#define TRAIN_PROJECTION_DEFAULT                                                                   \
    ((struct train_projection_options){                                                            \
        .seed = 1, .steps = 500, .margin = 0.2, .mining = "semi-hard", .rate = 0.02, .hold = 1})
/* x [n][d], person [n]: any numbers. Begins with the principal directions of x, not centred: of all
 * matrices they keep the vectors' products best (Eckart and Young 1936), so that the training
 * starts from what the embedder knows, where a random one would first have to find that again; dim
 * == d: with the identity. People with one row are strangers to the others. ERR_INVALID: a size out
 * of range, fewer than two people, nobody with two rows; ERR_TIMEOUT: progress stopped it;
 * ERR_INTERNAL: the loss is no number (a smaller rate helps); ERR_NOMEM. */
NODISCARD enum err train_projection(float *w, const float *x, const uint32_t *person, size_t n,
                                    int d, const struct train_projection_options *o,
                                    struct err_info *err);
/* y [n][dim] = rows of x [n][d] through w, of unit length. ERR_NOMEM. */
NODISCARD enum err train_project(float *y, const float *x, size_t n, int d, const float *w, int dim,
                                 const struct cores *cores, struct err_info *err);

/* Two embeddings of the same rows, on people that neither was made with. */
struct train_judged {
    double before, after;
    double interval[2]; /* of after - before: 97.5 % */
};
struct train_judgement {
    size_t people, rows; /* that were compared: at most some 3000 rows */
    uint64_t genuine_pairs, impostor_pairs;
    struct train_judged eer;
    double fmr; /* the strictest of 1e-2, 1e-3, 1e-4 that 10 impostor pairs can lie beyond; 0: none,
                   and nothing in tar */
    struct train_judged tar; /* at fmr */
    bool better;
};
/* Every pair, binned by 5e-4 of similarity. Intervals: people are drawn with replacement 400 times
 * (the same for both embeddings: a paired bootstrap), all their pairs with them. better: the equal
 * error rate is lower or the share of matches at fmr higher, by an interval that excludes 0, and
 * the other is not worse in that way; two chances at 97.5 % are together right at 95 %.
 * ERR_INVALID: no genuine or no impostor pair; ERR_NOMEM. */
NODISCARD enum err train_judge(struct train_judgement *out, const float *before, int d,
                               const float *after, int dim, const uint32_t *person, size_t n,
                               uint64_t seed, const struct cores *cores, struct err_info *err);

/* --- from a picture to glyphs (split.c) --- */
enum { TRAIN_MAX_CHARACTERS = 4096 /* of one picture */ };

struct train_glyph {
    uint8_t pixels[TRAIN_PIXELS];
    int box[4]; /* x, y, w, h in pixels of the upright picture */
    int line;   /* from 0, top to bottom */
};
/* The characters of a picture of handwriting (JPEG, PNG, WebP; dark on light or light on dark, a
 * photograph's uneven light allowed), line by line from left to right: ink told from paper by its
 * difference from the surroundings (Otsu's threshold, 1979), connected strokes, dots put to what
 * they belong to; each line's tilt and slant taken away; each character scaled to a box of 20 x 20
 * and put with its centre of mass in the middle of 28 x 28. A picture of at most 32 x 32 pixels is
 * one character. name: the picture's, where orientation is TRAIN_BY_NAME; only for small pictures.
 * *out is the caller's (free), NULL where there are none. Errors of image_decode; ERR_TOO_LARGE:
 * more than TRAIN_MAX_CHARACTERS; ERR_NOMEM. */
NODISCARD enum err train_split(struct train_glyph **out, size_t *n, const uint8_t *bytes,
                               size_t len, enum train_orientation orientation, const char *name,
                               struct err_info *err);

/* --- naming glyphs (reader.c) --- */
enum { TRAIN_NEAR = 5 };
struct train_reader;
struct train_near {
    uint32_t code;
    float similarity;
    const uint8_t *pixels; /* [TRAIN_PIXELS]; live as long as the reader */
};
struct train_reading {
    uint32_t codes[2];
    float similarity;  /* to the class's most similar prototype */
    float probability; /* among the candidates */
    int n_near;
    struct train_near near[TRAIN_NEAR]; /* the examples that are most alike, of all candidates */
};
/* A model of train_glyphs_save. ERR_NOT_FOUND; ERR_INVALID: it is no glyph model; ERR_MODEL. */
NODISCARD enum err train_reader_open(struct train_reader **out, const char *models_dir,
                                     const char *name, struct err_info *err);
void train_reader_close(struct train_reader *r);
/* out [n]: what glyphs [n][TRAIN_PIXELS] are, of the characters candidates [n_candidates] (Unicode;
 * NULL: all that it knows). ERR_INVALID: it knows none of them. */
NODISCARD enum err train_read(struct train_reading *out, const struct train_reader *r,
                              const uint8_t *glyphs, size_t n, const uint32_t *candidates,
                              size_t n_candidates, const struct cores *cores, struct err_info *err);

/* Appends a PNG of grey pixels [h][w]. ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err train_png(struct buf *out, const uint8_t *grey, int w, int h,
                             struct err_info *err);

#endif
