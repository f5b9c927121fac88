/* TensorProto: numbers in raw_data or in the list of their type, packed or not. */
#include <assert.h>
#include <string.h>

#include "engine/model/import/onnx_read_internal.h"

enum {
    DIMS = 1,
    DATA_TYPE = 2,
    SEGMENT = 3,
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    INT64_DATA = 7,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    EXTERNAL_DATA = 13,
    DATA_LOCATION = 14
};

/* data_type: how wide, and which list it has beside raw_data. */
static const struct element {
    const char *name;
    uint32_t list; /* 0: not read */
    size_t bytes;
    bool integer;
} ELEMENTS[] = {
    {"undefined", 0, 0, false},     {"float32", FLOAT_DATA, 4, false},
    {"uint8", 0, 1, true},          {"int8", 0, 1, true},
    {"uint16", 0, 2, true},         {"int16", 0, 2, true},
    {"int32", INT32_DATA, 4, true}, {"int64", INT64_DATA, 8, true},
    {"string", 0, 0, false},        {"bool", INT32_DATA, 1, true},
    {"float16", 0, 2, false},       {"float64", DOUBLE_DATA, 8, false},
};

/* What a TensorProto says. */
struct proto {
    int64_t dims[VIEW_DIMS_MAX];
    size_t ndim;
    uint64_t type;
    bool external, has_raw;
    struct wire_field raw;
};

enum err onnx__ints(int64_t *list, size_t *n, size_t max, const struct wire_field *f,
                    struct err_info *err)
{
    struct wire packed = wire_message(f, err);
    uint64_t value = f->value;
    const bool alone = f->type == WIRE_VARINT;

    if (!alone && f->type != WIRE_BYTES)
        return err_set(err, ERR_MODEL, "malformed: field %u has wire type %u, expected 0 or 2",
                       f->number, (unsigned)f->type);
    while (alone || wire_varint(&packed, &value)) {
        if (*n == max) return err_set(err, ERR_MODEL, "more than %zu integers", max);
        list[(*n)++] = (int64_t)value;
        if (alone) break;
    }
    return alone ? ERR_OK : packed.rc;
}

static enum err read_proto(struct proto *p, const struct wire_field *f, struct err_info *err)
{
    struct wire w = wire_message(f, err);
    struct wire_field in;
    enum err rc = ERR_OK;

    *p = (struct proto){0};
    while (!rc && wire_next(&w, &in)) {
        if (in.number == DIMS) {
            rc = onnx__ints(p->dims, &p->ndim, VIEW_DIMS_MAX, &in, err);
            if (rc) err_prefix(err, "dims");
        } else if (wire_is(&w, &in, DATA_TYPE, WIRE_VARINT)) {
            p->type = in.value;
        } else if (wire_is(&w, &in, RAW_DATA, WIRE_BYTES)) {
            p->raw = in;
            p->has_raw = true;
        } else if (in.number == EXTERNAL_DATA ||
                   (wire_is(&w, &in, DATA_LOCATION, WIRE_VARINT) && in.value)) {
            p->external = true;
        } else if (in.number == SEGMENT) {
            rc = err_set(err, ERR_MODEL, "a tensor in segments: not read");
        }
    }
    return rc ? rc : w.rc;
}

static enum err read_floats(struct onnx_tensor *t, const char *name, const struct element *e,
                            const struct proto *p, const size_t *dims, const struct wire_field *f,
                            struct arena *a, struct err_info *err)
{
    const uint8_t *data;
    size_t len;
    enum err rc = wire_floats(&data, &len, f, e->list, e->bytes, a, err);
    if (rc) return err_prefix(err, "%s", name);
    if (p->has_raw && len)
        return err_set(err, ERR_MODEL, "%s: both raw_data and a list of values", name);
    if (p->has_raw) data = p->raw.data, len = p->raw.len;
    return view_init(&t->v, name, e->bytes == sizeof(double) ? VIEW_F64 : VIEW_F32, (int)p->ndim,
                     dims, data, len, err);
}

static int64_t raw_integer(const uint8_t *at, size_t bytes)
{
    int64_t wide;
    int32_t narrow;
    if (bytes == 1) return *at;
    if (bytes == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

/* All integers of the message's list; the caller has seen that there is no raw_data. */
static enum err list_integers(int64_t *list, size_t *n, size_t max, const struct element *e,
                              const struct wire_field *f, struct err_info *err)
{
    struct wire w = wire_message(f, err);
    struct wire_field in;
    enum err rc = ERR_OK;
    *n = 0;
    while (!rc && wire_next(&w, &in))
        if (in.number == e->list) rc = onnx__ints(list, n, max, &in, err);
    return rc ? rc : w.rc;
}

static enum err read_integers(struct onnx_tensor *t, const char *name, const struct element *e,
                              const struct proto *p, const size_t *dims, const struct wire_field *f,
                              struct arena *a, struct err_info *err)
{
    size_t count = 1, n = p->raw.len / e->bytes;
    enum err rc;

    for (size_t i = 0; i < p->ndim; i++)
        if (!mul_ok(&count, count, dims[i]))
            return err_set(err, ERR_MODEL, "%s: its size overflows", name);
    t->integer = true;
    t->unusable = count > ONNX_SMALL ? "so many integers" : NULL;
    if (t->unusable) return ERR_OK;
    int64_t *list = items_alloc(a, count + 1, sizeof *list);
    double *values = items_alloc(a, count + 1, sizeof *values);
    if (!list || !values) return err_set(err, ERR_NOMEM, "no memory for %zu integers", count);
    if (!p->has_raw && (rc = list_integers(list, &n, count, e, f, err)))
        return err_prefix(err, "%s", name);
    if (n != count || p->raw.len % e->bytes)
        return err_set(err, ERR_MODEL,
                       "%s: dims do not match the data: %zu integers are expected, %zu found", name,
                       count, n);
    for (size_t i = 0; i < n; i++)
        values[i] =
            (double)(p->has_raw ? raw_integer(p->raw.data + i * e->bytes, e->bytes) : list[i]);
    onnx_tensor_of(t, name, true, (int)p->ndim, dims, values);
    return ERR_OK;
}

enum err onnx__tensor(struct onnx_tensor *t, const char *name, const struct wire_field *f,
                      struct arena *a, struct err_info *err)
{
    struct proto p;
    size_t dims[VIEW_DIMS_MAX];
    enum err rc = read_proto(&p, f, err);

    if (rc) return err_prefix(err, "%s", name);
    if (p.external)
        return err_set(
            err, ERR_MODEL,
            "%s: its data lies outside the file (external data): no other file is opened", name);
    for (size_t i = 0; i < p.ndim; i++) {
        if (p.dims[i] < 0)
            return err_set(err, ERR_MODEL, "%s: negative dimension %lld", name,
                           (long long)p.dims[i]);
        dims[i] = (size_t)p.dims[i];
    }
    const bool known = p.type < ARRAY_LEN(ELEMENTS);
    const struct element *e = &ELEMENTS[known ? p.type : 0];
    if (!e->list) { /* most likely never looked at: refused where it is */
        t->unusable = known ? e->name : "values of a type that is not known";
        return ERR_OK;
    }
    if (e->integer) return read_integers(t, name, e, &p, dims, f, a, err);
    return read_floats(t, name, e, &p, dims, f, a, err);
}

void onnx_tensor_of(struct onnx_tensor *t, const char *name, bool integer, int ndim,
                    const size_t *dims, const double *values)
{
    size_t count = 1;
    for (int i = 0; i < ndim; i++) count *= dims[i];
    t->integer = integer;
    t->unusable = NULL;
    enum err rc = view_init(&t->v, name, VIEW_F64, ndim, dims, (const uint8_t *)values,
                            count * sizeof *values, NULL);
    assert(!rc);
    (void)rc;
}

enum err onnx_values(double **out, const struct onnx_tensor *t, struct arena *a,
                     struct err_info *err)
{
    const struct view *v = &t->v;
    size_t at[VIEW_DIMS_MAX] = {0}, from = 0;

    if (t->unusable) return err_set(err, ERR_MODEL, "%s: %s: not read", v->name, t->unusable);
    if (v->count > ONNX_VALUES_MAX)
        return err_set(err, ERR_MODEL, "%s: %zu values to compute with, the limit is %d", v->name,
                       v->count, (int)ONNX_VALUES_MAX);
    double *to = items_alloc(a, v->count + 1, sizeof *to);
    if (!to) return err_set(err, ERR_NOMEM, "no memory for %zu values", v->count);
    for (size_t i = 0; i < v->count; i++) {
        float f;
        if (v->type == VIEW_F64) {
            memcpy(&to[i], v->data + from * sizeof *to, sizeof *to);
        } else {
            memcpy(&f, v->data + from * sizeof f, sizeof f);
            to[i] = (double)f;
        }
        for (int d = v->ndim - 1; d >= 0; d--) { /* the next index, last axis fastest */
            from += v->strides[d];
            if (++at[d] < v->dims[d]) break;
            from -= v->dims[d] * v->strides[d];
            at[d] = 0;
        }
    }
    *out = to;
    return ERR_OK;
}
