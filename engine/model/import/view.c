#include "engine/model/import/view.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

enum {
    BLOCK = 16 /* of the first axis, where it is the fastest in the file: a cache line of floats */
};

static size_t element_bytes(enum view_type t)
{
    return t == VIEW_F64 ? sizeof(double) : sizeof(float);
}

/* Everything but where the values lie. */
static enum err describe(struct view *v, const char *name, enum view_type type, int ndim,
                         const size_t *dims, struct err_info *err)
{
    *v = (struct view){.type = type, .ndim = ndim, .count = 1};
    snprintf(v->name, sizeof v->name, "%s", name);
    for (char *c = v->name; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    if (ndim < 0 || ndim > VIEW_DIMS_MAX)
        return err_set(err, ERR_MODEL, "%s: %d dimensions, the limit is %d", v->name, ndim,
                       VIEW_DIMS_MAX);
    for (int i = 0; i < ndim; i++) {
        v->dims[i] = dims[i];
        if (!mul_ok(&v->count, v->count, dims[i]))
            return err_set(err, ERR_MODEL, "%s: its size overflows", v->name);
    }
    return ERR_OK;
}

enum err view_init(struct view *v, const char *name, enum view_type type, int ndim,
                   const size_t *dims, const uint8_t *data, size_t len, struct err_info *err)
{
    size_t bytes = element_bytes(type);
    enum err rc = describe(v, name, type, ndim, dims, err);

    if (rc) return rc;
    if (!mul_ok(&bytes, bytes, v->count))
        return err_set(err, ERR_MODEL, "%s: its size overflows", v->name);
    if (bytes != len)
        return err_set(err, ERR_MODEL,
                       "%s: dims do not match the data: %zu bytes are expected, %zu found", v->name,
                       bytes, len);
    v->data = data;
    size_t stride = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        v->strides[i] = stride;
        stride *= dims[i];
    }
    return ERR_OK;
}

enum err view_of_storage(struct view *v, const char *name, enum view_type type, int ndim,
                         const size_t *dims, const size_t *strides, size_t offset,
                         const uint8_t *storage, size_t n, struct err_info *err)
{
    size_t last = offset, reach;
    enum err rc = describe(v, name, type, ndim, dims, err);

    if (rc) return rc;
    v->data = storage;
    for (int i = 0; i < ndim; i++) v->strides[i] = strides[i];
    if (!v->count) return ERR_OK;
    for (int i = 0; i < ndim; i++)
        if (!mul_ok(&reach, dims[i] - 1, strides[i]) || __builtin_add_overflow(last, reach, &last))
            return err_set(err, ERR_MODEL,
                           "%s: the view leaves its storage of %zu values: a size "
                           "overflows",
                           v->name, n);
    if (last >= n || v->count > n)
        return err_set(err, ERR_MODEL, "%s: the view leaves its storage: element %zu of %zu",
                       v->name, last >= n ? last : v->count, n);
    v->data = storage + offset * element_bytes(type);
    return ERR_OK;
}

void view_column_major(struct view *v)
{
    size_t stride = 1;
    for (int i = 0; i < v->ndim; i++) {
        v->strides[i] = stride;
        stride *= v->dims[i];
    }
}

void view_permute(struct view *v, const int *order)
{
    const struct view from = *v;
    unsigned seen = 0;
    for (int i = 0; i < v->ndim; i++) {
        assert(order[i] >= 0 && order[i] < v->ndim);
        seen |= 1u << order[i];
        v->dims[i] = from.dims[order[i]];
        v->strides[i] = from.strides[order[i]];
    }
    assert(seen == (1u << v->ndim) - 1);
}

bool view_split(struct view *v, int axis, size_t b)
{
    if (v->ndim == VIEW_DIMS_MAX || !b || v->dims[axis] % b) return false;
    const size_t after = (size_t)(v->ndim - axis) * sizeof v->dims[0];
    memmove(&v->dims[axis + 1], &v->dims[axis], after);
    memmove(&v->strides[axis + 1], &v->strides[axis], after);
    v->ndim++;
    v->dims[axis] /= b;
    v->strides[axis] *= b;
    v->dims[axis + 1] = b;
    return true;
}

bool view_append_axis(struct view *v)
{
    if (v->ndim == VIEW_DIMS_MAX) return false;
    v->dims[v->ndim] = 1;
    v->strides[v->ndim++] = 1;
    return true;
}

/* "[3,3]" */
static void shape_text(char *out, size_t size, int ndim, const size_t *dims)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < ndim && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%zu", i ? "," : "", dims[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

enum err view_expect(const struct view *v, int ndim, const size_t *dims, struct err_info *err)
{
    char want[VIEW_DIMS_MAX * 21 + 3], found[VIEW_DIMS_MAX * 21 + 3];
    if (v->ndim == ndim && memcmp(v->dims, dims, (size_t)ndim * sizeof *dims) == 0) return ERR_OK;
    shape_text(want, sizeof want, ndim, dims);
    shape_text(found, sizeof found, v->ndim, v->dims);
    return err_set(err, ERR_MODEL, "%s: expected %s, found %s", v->name, want, found);
}

static float value_at(const struct view *v, size_t at)
{
    float f;
    double d;
    if (v->type == VIEW_F32) {
        memcpy(&f, v->data + at * sizeof f, sizeof f);
        return f;
    }
    memcpy(&d, v->data + at * sizeof d, sizeof d);
    return (float)d;
}

static bool row_major(const struct view *v)
{
    size_t stride = 1;
    for (int i = v->ndim - 1; i >= 0; stride *= v->dims[i--])
        if (v->dims[i] > 1 && v->strides[i] != stride) return false;
    return true;
}

void view_read_rows(float *out, const struct view *v, size_t first, size_t n)
{
    struct view part = *v;
    const size_t each = v->type == VIEW_F64 ? sizeof(double) : sizeof(float);
    assert(v->ndim >= 1 && first <= v->dims[0] && n <= v->dims[0] - first);
    if (!n) return;
    part.data += first * v->strides[0] * each;
    part.count = v->count / v->dims[0] * n;
    part.dims[0] = n;
    view_read(out, &part);
}

void view_read(float *out, const struct view *v)
{
    if (!v->count) return;
    if (v->type == VIEW_F32 && row_major(v)) {
        memcpy(out, v->data, v->count * sizeof *out);
        return;
    }
    /* All but the first axis, one element after the other, for a block of the first. */
    const size_t rows = v->ndim ? v->dims[0] : 1, across = v->ndim ? v->strides[0] : 0,
                 inner = v->count / rows, block = across == 1 ? BLOCK : 1;
    for (size_t r = 0; r < rows; r += block) {
        const size_t n = rows - r < block ? rows - r : block;
        size_t at[VIEW_DIMS_MAX] = {0}, from = r * across;
        float *to = out + r * inner;
        for (size_t i = 0; i < inner; i++) {
            for (size_t k = 0; k < n; k++) to[k * inner + i] = value_at(v, from + k * across);
            for (int d = v->ndim - 1; d > 0; d--) { /* the next index, last axis fastest */
                from += v->strides[d];
                if (++at[d] < v->dims[d]) break;
                from -= v->dims[d] * v->strides[d];
                at[d] = 0;
            }
        }
    }
}
