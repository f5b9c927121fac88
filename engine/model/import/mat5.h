/* MATLAB 5 files (what -v6 and -v7 save), read forwards, array by array: The MathWorks, "MAT-File
 * Format", chapter "Level 5"; facts/models.md 3.4. A compressed variable is inflated as it is read:
 * what is skipped is never kept, what is kept lies in the arena. An array is read only as far as
 * its own length, and that is bounded by the array around it, the outermost by the file.
 *
 * Errors stick: after the first one every read gives 0 and moves nothing, so a parser reads on and
 * looks at `rc` where it is about to use what it read. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_MAT5_H
#define VISAVIS_ENGINE_MODEL_IMPORT_MAT5_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlib.h>

enum { MAT5_DIMS_MAX = 8, MAT5_NAME_BYTES = 64, MAT5_FIELDS_BYTES = 8192 };

/* Classes of arrays that are told apart here. */
enum mat5_class { MAT5_CELL = 1, MAT5_STRUCT = 2, MAT5_CHAR = 4, MAT5_SINGLE = 7 };

struct mat5_reader {
    const uint8_t *data;
    size_t len, at, next; /* bytes of the file; next: where the next variable begins */
    size_t dropped;       /* bytes of the file whose pages were given back */
    bool mapped; /* they may be: data is a file's mapping (set by the caller after mat5_begin) */
    struct arena *arena;
    bool packed;  /* the variable that is being read is compressed, z is at its next byte */
    bool z_ready; /* z has its memory (the arena's, so that nobody need end it) */
    z_stream z;
    enum err rc;
    struct err_info *err;
};

struct mat5_array {
    int class; /* enum mat5_class or another of MATLAB's; 0: the empty array [] */
    bool complex;
    int ndim;
    size_t dims[MAT5_DIMS_MAX], count; /* column-major; count: their product */
    char name[MAT5_NAME_BYTES];        /* of a variable; empty inside of another array */
    size_t left;                       /* bytes of it that were not read yet */
};

/* Names of a struct array's fields, in the order in which their values follow. */
struct mat5_fields {
    char text[MAT5_FIELDS_BYTES];
    size_t n, each; /* each: bytes of a name with its closing zeros */
};

/* Begins with a file. data is borrowed as long as r. Fails where it is no MATLAB 5 file, or a
 * big-endian one. */
void mat5_begin(struct mat5_reader *r, const uint8_t *data, size_t len, struct arena *a,
                struct err_info *err);
/* The next variable. false: there is none, or an error. Those that are of no interest are left
 * unread, those that are must be ended with mat5_end_variable before the next call. */
bool mat5_variable(struct mat5_array *out, struct mat5_reader *r);
/* Skips what was not read and, where it is compressed, checks the sum of all that was inflated. */
void mat5_end_variable(struct mat5_reader *r, struct mat5_array *v);

/* The next array inside of a cell array (count of them) or of a struct (one a field, after
 * mat5_fields). mat5_end before the next one. */
void mat5_child(struct mat5_array *out, struct mat5_reader *r, struct mat5_array *parent);
void mat5_end(struct mat5_reader *r, struct mat5_array *a);

void mat5_fields(struct mat5_fields *out, struct mat5_reader *r, struct mat5_array *a);
const char *mat5_field(const struct mat5_fields *f, size_t i);
/* Text of a char array, cut to size with its closing 0; what is not printable ASCII becomes '?'. */
void mat5_text(char *out, size_t size, struct mat5_reader *r, struct mat5_array *a);
/* The bytes of a real single array: little-endian float32, unaligned, in the file or the arena.
 * Their number may be another than the dims say. Fails where it is of another class. */
const uint8_t *mat5_single(size_t *len, struct mat5_reader *r, struct mat5_array *a);

/* "single", "a struct": for messages. */
const char *mat5_class_name(int class);
/* Fails unless something failed before. */
void mat5_fail(struct mat5_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
