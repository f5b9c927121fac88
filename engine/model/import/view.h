/* A tensor as a foreign file holds it: a view of bytes that lie in the mapped file (or, where a
 * format compresses them, in the import's arena), in the file's own layout. Importers only
 * describe; nothing is copied before view_read puts the values, in the order of axes that the graph
 * wants, where the model file wants them. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_VIEW_H
#define VISAVIS_ENGINE_MODEL_IMPORT_VIEW_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VIEW_DIMS_MAX = 8, VIEW_NAME_BYTES = 128 };

enum view_type { VIEW_F32, VIEW_F64 }; /* little-endian, unaligned */

struct view {
    char name[VIEW_NAME_BYTES]; /* what the file calls it; for messages */
    const uint8_t *data;        /* element 0 */
    enum view_type type;
    int ndim;
    size_t dims[VIEW_DIMS_MAX], strides[VIEW_DIMS_MAX]; /* in elements, any order */
    size_t count;                                       /* product of dims */
};

/* A row-major tensor (last axis fastest) over len bytes. name may hold any bytes: what is not
 * printable ASCII becomes '?'. ERR_MODEL: too many axes, a size that overflows, or dims that do not
 * make exactly len bytes ("dims do not match the data"). */
NODISCARD enum err view_init(struct view *v, const char *name, enum view_type type, int ndim,
                             const size_t *dims, const uint8_t *data, size_t len,
                             struct err_info *err);
/* A tensor whose first value is number offset of a storage of n values, with any strides (in
 * values; 0 repeats). storage: n values of the type, all there; NULL where n is 0. ERR_MODEL: as
 * above, or it leaves the storage, or repeats so much that it has more values than the storage. */
NODISCARD enum err view_of_storage(struct view *v, const char *name, enum view_type type, int ndim,
                                   const size_t *dims, const size_t *strides, size_t offset,
                                   const uint8_t *storage, size_t n, struct err_info *err);
/* What view_init made, but with the first axis fastest (Fortran, MATLAB). */
void view_column_major(struct view *v);
/* Axis i of the result is axis order[i] of v; a permutation of 0..ndim-1 (assert). */
void view_permute(struct view *v, const int *order);
/* Splits axis i, of dims[i] = a * b, into two: a (slower) and b. false: it is no multiple of b, or
 * there is no room for an axis. */
bool view_split(struct view *v, int axis, size_t b);
/* An axis of 1 more, at the end. false: no room. */
bool view_append_axis(struct view *v);

/* ERR_MODEL, "NAME: expected [3,3], found [3,5]", unless the shape is this. */
NODISCARD enum err view_expect(const struct view *v, int ndim, const size_t *dims,
                               struct err_info *err);

/* All values as float, row-major in v's order of axes; out has room for count. Never fails: every
 * element lies inside the data (whichever made the view has seen to it, the other calls keep it).
 */
void view_read(float *out, const struct view *v);
/* The same for n entries of the first axis from `first` on; ndim >= 1. */
void view_read_rows(float *out, const struct view *v, size_t first, size_t n);

#endif
