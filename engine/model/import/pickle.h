/* Python pickles as torch writes them, read as data. A pickle is a program for a small stack
 * machine; this one knows only the opcodes that build containers, strings, numbers and tensors. A
 * name it may refer to (GLOBAL) is on a list of names that are recognised, never imported:
 * "calling" one of them means building a value below. Nothing is executed.
 *
 * Values live in the caller's arena. Limits: stack, memo, number of values, and how deep containers
 * lie inside each other. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_PICKLE_H
#define VISAVIS_ENGINE_MODEL_IMPORT_PICKLE_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"

#include <stddef.h>
#include <stdint.h>

enum pickle_kind {
    PICKLE_MARK, /* only on the machine's stack */
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_BIG, /* an int of 9 or more bytes: little-endian two's complement in text */
    PICKLE_FLOAT,
    PICKLE_STRING,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT, /* items: key, value, key, value, in the order they were set */
    PICKLE_GLOBAL,
    PICKLE_STORAGE, /* a persistent id: items = the tuple's values */
    PICKLE_TENSOR,  /* items = storage, offset, size, stride, .. as given to _rebuild_tensor */
};

/* The names on the list. */
enum pickle_global {
    PICKLE_ORDERED_DICT,
    PICKLE_REBUILD_TENSOR,
    PICKLE_REBUILD_TENSOR_V2,
    PICKLE_REBUILD_PARAMETER,
    PICKLE_FLOAT_STORAGE,
    PICKLE_DOUBLE_STORAGE,
    PICKLE_HALF_STORAGE,
    PICKLE_BFLOAT16_STORAGE,
    PICKLE_LONG_STORAGE,
    PICKLE_INT_STORAGE,
    PICKLE_SHORT_STORAGE,
    PICKLE_CHAR_STORAGE,
    PICKLE_BYTE_STORAGE,
    PICKLE_BOOL_STORAGE,
    PICKLE_GLOBAL_COUNT
};

struct pickle_value {
    enum pickle_kind kind;
    int depth;        /* containers inside this one; 0: none */
    int64_t number;   /* BOOL, INT, GLOBAL (which) */
    const char *text; /* STRING, BIG: text_len bytes of the file, no closing 0 */
    size_t text_len;
    struct pickle_value **items;
    size_t n, room;
};

enum {
    PICKLE_STACK_MAX = 16384,  /* torch's pickles need some 2,000: 1,000 pairs at a time */
    PICKLE_MEMO_MAX = 1 << 20, /* highest memo index */
    PICKLE_VALUES_MAX = 1 << 20,
    PICKLE_DEPTH_MAX = 32,
};

/* Reads one pickle from the start of data; *used: the bytes up to and with its STOP. *out lives in
 * a. ERR_MODEL: the byte and the reason; ERR_NOMEM. */
NODISCARD enum err pickle_read(struct pickle_value **out, size_t *used, const uint8_t *data,
                               size_t len, struct arena *a, struct err_info *err);

/* Is it this string? */
int pickle_is(const struct pickle_value *v, const char *text);
/* "torch.FloatStorage"; for messages. */
const char *pickle_global_name(enum pickle_global g);

#endif
