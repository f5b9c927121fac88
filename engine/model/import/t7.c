/* A descent of bounded depth over the file. Objects are numbered, and known by their number before
 * their contents are read, as the writer does it. */
#include "engine/model/import/t7.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum tag {
    TAG_NIL,
    TAG_NUMBER,
    TAG_STRING,
    TAG_TABLE,
    TAG_TORCH,
    TAG_BOOLEAN,
    TAG_FUNCTION, /* and two more kinds of these */
    TAG_FUNCTION_LEGACY,
    TAG_FUNCTION_RECURSIVE,
};

/* "torch.FloatTensor" over a "torch.FloatStorage". */
static const struct element {
    const char *name;
    size_t bytes;
    enum { OTHER, FLOAT, DOUBLE } values;
} ELEMENTS[] = {
    {"Byte", 1, OTHER},        {"Char", 1, OTHER},      {"Short", 2, OTHER},
    {"Int", 4, OTHER},         {"Long", 8, OTHER},      {"Half", 2, OTHER},
    {"Float", 4, FLOAT},       {"Double", 8, DOUBLE},   {"CudaByte", 1, OTHER},
    {"CudaChar", 1, OTHER},    {"CudaShort", 2, OTHER}, {"CudaInt", 4, OTHER},
    {"CudaLong", 8, OTHER},    {"CudaHalf", 2, OTHER},  {"Cuda", 4, FLOAT},
    {"CudaDouble", 8, DOUBLE},
};

struct t7_tensor {
    const struct element *element;
    int ndim;
    size_t dims[VIEW_DIMS_MAX], strides[VIEW_DIMS_MAX];
    size_t offset;
    const struct t7_value *storage; /* or nil */
};

enum { PAIR_BYTES = 8 /* the least that a key and a value take: two tags */ };

struct reader {
    const uint8_t *data;
    size_t len, at;
    struct arena *arena;
    struct t7_value **memo; /* by the file's numbers */
    size_t memo_room, n_values;
    enum err rc;
    struct err_info *err;
};

/* The first failure is the one that is told. */
#define FAIL(r, ...)                                                                               \
    do {                                                                                           \
        if (!(r)->rc) {                                                                            \
            (r)->rc = err_set((r)->err, ERR_MODEL, __VA_ARGS__);                                   \
            err_prefix((r)->err, "byte %zu", (r)->at);                                             \
        }                                                                                          \
    } while (0)

/* NULL once anything failed. */
static const uint8_t *bytes(struct reader *r, size_t n)
{
    if (r->rc) return NULL;
    if (n > r->len - r->at) {
        FAIL(r, "cut short: %zu bytes are expected, %zu are left", n, r->len - r->at);
        return NULL;
    }
    r->at += n;
    return r->data + r->at - n;
}

static int32_t get_int(struct reader *r)
{
    const uint8_t *p = bytes(r, sizeof(int32_t));
    int32_t v = 0;
    if (p) memcpy(&v, p, sizeof v);
    return v;
}

static int64_t get_long(struct reader *r)
{
    const uint8_t *p = bytes(r, sizeof(int64_t));
    int64_t v = 0;
    if (p) memcpy(&v, p, sizeof v);
    return v;
}

static double get_double(struct reader *r)
{
    const uint8_t *p = bytes(r, sizeof(double));
    double v = 0;
    if (p) memcpy(&v, p, sizeof v);
    return v;
}

static const char *get_string(struct reader *r, size_t *len)
{
    int32_t n = get_int(r);
    if (n < 0) FAIL(r, "a string of %" PRId32 " bytes: the length is negative", n);
    const uint8_t *p = bytes(r, n < 0 ? 0 : (size_t)n);
    *len = p ? (size_t)n : 0;
    return (const char *)p;
}

static void *take(struct reader *r, size_t n, size_t size)
{
    void *p = r->rc ? NULL : items_alloc(r->arena, n, size);
    if (!p && !r->rc) r->rc = err_set(r->err, ERR_NOMEM, "no memory for %zu values", n);
    return p;
}

static struct t7_value *new_value(struct reader *r, enum t7_kind kind)
{
    if (r->n_values >= T7_VALUES_MAX) FAIL(r, "more than %d values", T7_VALUES_MAX);
    struct t7_value *v = take(r, 1, sizeof *v);
    if (!v) return NULL;
    v->kind = kind;
    r->n_values++;
    return v;
}

/* Where the table or object of the number that follows is kept: NULL in it when it is new. */
static struct t7_value **numbered(struct reader *r)
{
    int32_t i = get_int(r);
    if (i < 0 || i > T7_INDEX_MAX)
        FAIL(r, "an object has number %" PRId32 ", the limit is %d", i, T7_INDEX_MAX);
    if (r->rc) return NULL;
    if ((size_t)i >= r->memo_room) {
        size_t room = r->memo_room ? r->memo_room : 1024;
        while (room <= (size_t)i) room *= 2;
        struct t7_value **memo = take(r, room, sizeof(*memo));
        if (!memo) return NULL;
        if (r->memo_room) memcpy(memo, r->memo, r->memo_room * sizeof(*memo));
        r->memo = memo;
        r->memo_room = room;
    }
    return &r->memo[i];
}

static struct t7_value *read_value(struct reader *r, int depth);

static void read_table(struct reader *r, struct t7_value *v, int depth)
{
    int32_t n = get_int(r);
    if (n < 0) FAIL(r, "a table of %" PRId32 " pairs: the count is negative", n);
    if (!r->rc && (size_t)n > (r->len - r->at) / PAIR_BYTES)
        FAIL(r, "cut short: a table of %" PRId32 " pairs, %zu bytes are left", n, r->len - r->at);
    if (!r->rc && n > T7_VALUES_MAX) FAIL(r, "more than %d values", T7_VALUES_MAX);
    v->items = take(r, 2 * (size_t)n, sizeof(*v->items));
    for (int32_t i = 0; i < n && !r->rc; i++) {
        v->items[2 * i] = read_value(r, depth);
        v->items[2 * i + 1] = read_value(r, depth);
        v->n++;
    }
}

static void read_storage(struct reader *r, struct t7_value *v, const struct element *e)
{
    int64_t n = get_long(r);
    size_t size;
    if (r->rc) return;
    if (n < 0 || !mul_ok(&size, (size_t)n, e->bytes) || size > r->len - r->at) {
        FAIL(r, "cut short: a storage of %" PRId64 " values, %zu bytes are left", n,
             r->len - r->at);
        return;
    }
    v->n = (size_t)n;
    v->data = bytes(r, size);
}

/* Sizes or strides. */
static void read_longs(struct reader *r, size_t *out, int n)
{
    for (int i = 0; i < n && !r->rc; i++) {
        int64_t v = get_long(r);
        if (v < 0) FAIL(r, "a tensor's size or stride is %" PRId64, v);
        out[i] = (size_t)v;
    }
}

static void read_tensor(struct reader *r, struct t7_value *v, const struct element *e, int depth)
{
    struct t7_tensor *t = take(r, 1, sizeof *t);
    int32_t ndim = get_int(r);
    if (ndim < 0 || ndim > VIEW_DIMS_MAX)
        FAIL(r, "a tensor of %" PRId32 " dimensions, the limit is %d", ndim, VIEW_DIMS_MAX);
    if (r->rc) return;
    t->element = e;
    t->ndim = ndim;
    read_longs(r, t->dims, ndim);
    read_longs(r, t->strides, ndim);
    int64_t offset = get_long(r); /* from 1 */
    if (ndim && offset < 1) FAIL(r, "a tensor's offset is %" PRId64 ", they begin at 1", offset);
    t->offset = ndim ? (size_t)offset - 1 : 0;
    t->storage = read_value(r, depth);
    if (r->rc) return;
    const struct t7_value *s = t->storage;
    char want[32];
    int n = snprintf(want, sizeof want, "torch.%sStorage", e->name);
    if (s->kind != T7_NIL &&
        (s->kind != T7_STORAGE || s->text_len != (size_t)n || memcmp(s->text, want, s->text_len)))
        FAIL(r, "a tensor's storage is no %s", want);
    v->tensor = t;
}

/* The element of a class "torch.<element><what>", or NULL. */
static const struct element *element_of(const struct t7_value *v, const char *what)
{
    for (size_t i = 0; i < ARRAY_LEN(ELEMENTS); i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "torch.%s%s", ELEMENTS[i].name, what);
        if (v->text_len == (size_t)n && !memcmp(v->text, name, v->text_len)) return &ELEMENTS[i];
    }
    return NULL;
}

static bool is_version(const char *s, size_t len)
{
    return len > 2 && s[0] == 'V' && s[1] == ' ';
}

/* "V 1" and the class, or (before there were versions) only the class; then what it holds. */
static void read_object(struct reader *r, struct t7_value *v, int depth)
{
    const struct element *e;
    v->text = get_string(r, &v->text_len);
    if (!r->rc && is_version(v->text, v->text_len)) v->text = get_string(r, &v->text_len);
    if (r->rc) return;
    if ((e = element_of(v, "Tensor"))) {
        v->kind = T7_TENSOR;
        read_tensor(r, v, e, depth);
    } else if ((e = element_of(v, "Storage"))) {
        v->kind = T7_STORAGE;
        read_storage(r, v, e);
    } else {
        v->body = read_value(r, depth);
        if (!r->rc && v->body->kind != T7_TABLE)
            FAIL(r, "an object whose fields are no table: its class is not known");
    }
}

/* NULL iff anything failed. */
static struct t7_value *read_value(struct reader *r, int depth)
{
    struct t7_value *v = NULL, **known;
    const size_t at = r->at;
    const int32_t tag = get_int(r);

    if (depth == T7_DEPTH_MAX) FAIL(r, "more than %d tables inside each other", T7_DEPTH_MAX);
    if (r->rc) return NULL;
    switch (tag) {
    case TAG_NIL:
        v = new_value(r, T7_NIL);
        break;
    case TAG_NUMBER:
        if ((v = new_value(r, T7_NUMBER))) v->number = get_double(r);
        break;
    case TAG_BOOLEAN:
        if ((v = new_value(r, T7_BOOLEAN))) v->number = get_int(r);
        break;
    case TAG_STRING:
        if ((v = new_value(r, T7_STRING))) v->text = get_string(r, &v->text_len);
        break;
    case TAG_TABLE:
    case TAG_TORCH:
        if (!(known = numbered(r)) || (v = *known)) break;
        if (!(v = *known = new_value(r, tag == TAG_TABLE ? T7_TABLE : T7_OBJECT))) break;
        if (tag == TAG_TABLE)
            read_table(r, v, depth + 1);
        else
            read_object(r, v, depth + 1);
        break;
    case TAG_FUNCTION:
    case TAG_FUNCTION_LEGACY:
    case TAG_FUNCTION_RECURSIVE:
        r->at = at;
        FAIL(r, "a Lua function; functions are not read");
        break;
    default:
        r->at = at;
        FAIL(r, "an object of type %" PRId32 ", 0 to 8 are known", tag);
    }
    return r->rc ? NULL : v;
}

enum err t7_read(const struct t7_value **out, const uint8_t *data, size_t len, struct arena *a,
                 struct err_info *err)
{
    struct reader r = {.data = data, .len = len, .arena = a, .err = err};
    const struct t7_value *v = read_value(&r, 0);
    if (!r.rc && r.at != len) FAIL(&r, "%zu bytes after the end", len - r.at);
    if (!r.rc) *out = v;
    return r.rc;
}

static const struct t7_value *table_of(const struct t7_value *v)
{
    if (v && v->kind == T7_OBJECT) v = v->body;
    return v && v->kind == T7_TABLE ? v : NULL;
}

const struct t7_value *t7_get(const struct t7_value *v, const char *key)
{
    const size_t len = strlen(key);
    v = table_of(v);
    for (size_t i = 0; v && i < v->n; i++) {
        const struct t7_value *k = v->items[2 * i];
        if (k->kind == T7_STRING && k->text_len == len && !memcmp(k->text, key, len))
            return v->items[2 * i + 1];
    }
    return NULL;
}

const struct t7_value *t7_at(const struct t7_value *v, int i)
{
    v = table_of(v);
    for (size_t k = 0; v && k < v->n; k++)
        if (v->items[2 * k]->kind == T7_NUMBER && v->items[2 * k]->number == i)
            return v->items[2 * k + 1];
    return NULL;
}

enum err t7_view(struct view *out, const struct t7_value *v, const char *name, struct err_info *err)
{
    static const size_t NONE[1] = {0};
    if (!v || v->kind == T7_NIL) return err_set(err, ERR_MODEL, "%s is missing", name);
    if (v->kind != T7_TENSOR || v->tensor->element->values == OTHER)
        return err_set(err, ERR_MODEL, "%s: a tensor of floats or doubles is expected, found %.*s",
                       name, v->kind == T7_TENSOR ? (int)v->text_len : 12,
                       v->kind == T7_TENSOR ? v->text : "another type");
    const struct t7_tensor *t = v->tensor;
    return view_of_storage(out, name, t->element->values == DOUBLE ? VIEW_F64 : VIEW_F32,
                           t->ndim ? t->ndim : 1, t->ndim ? t->dims : NONE,
                           t->ndim ? t->strides : NONE, t->offset, t->storage->data, t->storage->n,
                           err);
}
