/* dlib's serialization (facts/default-models.md section 3), read from memory. Errors stick: after
 * the first one every read gives 0 and moves nothing, so a parser reads on and looks at `rc` where
 * it is about to use what it read. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_DLIB_READER_H
#define VISAVIS_ENGINE_MODEL_IMPORT_DLIB_READER_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dlib_reader {
    const uint8_t *data;
    size_t len, at; /* bytes */
    enum err rc;
    struct err_info *err;
};

/* Fails with "byte N: ..." unless something failed before. */
void dlib_fail(struct dlib_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Control byte (low 4 bits n = 1..8, 0x80 negative), then n bytes of magnitude, little-endian. */
int64_t dlib_int(struct dlib_reader *r);
/* The same within lo..hi; what names it in the message. */
int dlib_int_in(struct dlib_reader *r, int lo, int hi, const char *what);
/* Two ints m, e: m 2^e. Infinities and NaN (exponents from 32000) are refused: no weight may be
 * one. */
float dlib_float(struct dlib_reader *r);
bool dlib_bool(struct dlib_reader *r);
/* A string into out (size bytes with the closing 0); longer ones fail. */
void dlib_string(struct dlib_reader *r, char *out, size_t size);
/* Four sizes n, k, r, c after a version int. Returns their product. */
size_t dlib_alias(struct dlib_reader *r, size_t dims[4]);
/* A tensor: version 2, four sizes, raw little-endian float32. *raw points at them, unaligned.
 * Returns the count. */
size_t dlib_tensor(struct dlib_reader *r, size_t dims[4], const uint8_t **raw);
/* How many bytes are left. */
size_t dlib_left(const struct dlib_reader *r);

#endif
