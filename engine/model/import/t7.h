/* Torch7's binary serialisation (torch.save of the Lua program; facts/models.md section 3.5, which
 * describes torch7's File.lua), read as data: one object, a tree of tables, torch objects, tensors
 * and their storages. Functions are refused, nothing is ever run. Written on a little-endian
 * machine whose long has 8 bytes, as all that are of interest.
 *
 * A table or object that the file refers to again is the same value again: values can hold
 * themselves, so whoever walks them must bound the walk. Values live in the caller's arena; limits
 * on their number, and on how deep they lie inside each other. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_T7_H
#define VISAVIS_ENGINE_MODEL_IMPORT_T7_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"
#include "engine/model/import/view.h"

#include <stddef.h>
#include <stdint.h>

enum t7_kind {
    T7_NIL,
    T7_NUMBER,
    T7_BOOLEAN,
    T7_STRING,
    T7_TABLE,
    T7_OBJECT, /* of any class that is none of the next two: a table of fields */
    T7_TENSOR,
    T7_STORAGE
};

struct t7_tensor;

struct t7_value {
    enum t7_kind kind;
    double number;    /* NUMBER, BOOLEAN */
    const char *text; /* STRING; the class of OBJECT, TENSOR, STORAGE. In the file, no closing 0 */
    size_t text_len;
    const struct t7_value **items; /* TABLE: key, value, key, value, in the file's order */
    size_t n;                      /* TABLE: pairs; STORAGE: elements */
    const struct t7_value *body;   /* OBJECT: the table of its fields */
    const struct t7_tensor *tensor;
    const uint8_t *data; /* STORAGE: in the file */
};

enum { T7_DEPTH_MAX = 32, T7_VALUES_MAX = 1 << 17, T7_INDEX_MAX = 1 << 18 };

/* Reads the file's one object; *out lives in a. ERR_MODEL: the byte and the reason; ERR_NOMEM. */
NODISCARD enum err t7_read(const struct t7_value **out, const uint8_t *data, size_t len,
                           struct arena *a, struct err_info *err);

/* The value of that key of a table, of that field of an object. NULL: there is none. */
const struct t7_value *t7_get(const struct t7_value *v, const char *key);
/* The value of key i (an array's begin at 1). NULL: there is none. */
const struct t7_value *t7_at(const struct t7_value *v, int i);

/* A tensor of floats or doubles as a view called name; one without dimensions is of shape [0].
 * ERR_MODEL: v is no tensor (NULL: it is missing), or one of other values, or it leaves its
 * storage. */
NODISCARD enum err t7_view(struct view *out, const struct t7_value *v, const char *name,
                           struct err_info *err);

#endif
