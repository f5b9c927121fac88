/* Tags, array headers and the two ways to the bytes behind them: straight from the file, or through
 * inflate. Every length is compared with what is left around it before anything is believed. */
#include "engine/model/import/mat5.h"
#include "engine/model/import/items.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DROP_BYTES = 8 << 20, STEP_BYTES = 4 << 20 };
enum {
    HEADER_BYTES = 128,
    HEADER_VERSION_AT = 124, /* uint16 0x0100, then 'MI' as a uint16 of the writer's byte order */
    VERSION = 0x0100,
    TAG_BYTES = 8,
    SMALL_BYTES = 4,        /* data that fit into the tag */
    INFLATED_BYTES = 16384, /* at a time, where it is not kept */
    FLAG_COMPLEX = 0x08,
};

/* Types of elements. */
enum {
    MI_INT8 = 1,
    MI_UINT8 = 2,
    MI_INT16 = 3,
    MI_UINT16 = 4,
    MI_INT32 = 5,
    MI_UINT32 = 6,
    MI_SINGLE = 7,
    MI_MATRIX = 14,
    MI_COMPRESSED = 15,
    MI_UTF8 = 16,
    MI_UTF16 = 17,
};

const char *mat5_class_name(int class)
{
    static const char *const NAMES[] = {"an empty array", "a cell array",   "a struct", "an object",
                                        "text",           "a sparse array", "double",   "single",
                                        "int8",           "uint8",          "int16",    "uint16",
                                        "int32",          "uint32",         "int64",    "uint64"};
    return class >= 0 && (size_t) class < ARRAY_LEN(NAMES) ? NAMES[class] : "an unknown class";
}

static uint32_t le(const uint8_t *p, int n)
{
    uint32_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint32_t)p[i] << (8 * i);
    return v;
}

void mat5_fail(struct mat5_reader *r, const char *fmt, ...)
{
    va_list ap;
    if (r->rc) return;
    va_start(ap, fmt);
    r->rc = err_vset(r->err, ERR_MODEL, fmt, ap);
    va_end(ap);
}

/* --- bytes of the variable that is being read --- */

/* zlib's memory, so that it needs no end on any path. */
static void *z_alloc(void *arena, unsigned n, unsigned size)
{
    return items_alloc(arena, n, size);
}

static void z_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

static void begin_inflate(struct mat5_reader *r, const uint8_t *data, uint32_t len)
{
    int ok;
    if (!r->z_ready) {
        r->z = (z_stream){.zalloc = z_alloc, .zfree = z_free, .opaque = r->arena};
        ok = inflateInit(&r->z);
    } else {
        ok = inflateReset(&r->z);
    }
    r->z.next_in = (z_const Bytef *)(uintptr_t)data;
    r->z.avail_in = len;
    r->z_ready = ok == Z_OK;
    r->packed = true;
    if (ok != Z_OK && !r->rc) r->rc = err_set(r->err, ERR_NOMEM, "no memory for zlib");
}

/* What was inflated need not stay in memory beside what came out of it. */
static void drop_inflated(struct mat5_reader *r)
{
    const size_t used = (size_t)(r->z.next_in - r->data);
    if (!r->mapped || used < r->dropped + DROP_BYTES) return;
    pages_drop(r->data + r->dropped, used - r->dropped);
    r->dropped = used;
}

static bool inflate_some(struct mat5_reader *r, void *out, size_t n)
{
    r->z.next_out = out;
    r->z.avail_out = (uInt)n;
    while (r->z.avail_out) {
        int z = inflate(&r->z, Z_SYNC_FLUSH);
        if (z == Z_OK) continue;
        if (z == Z_STREAM_END && !r->z.avail_out) return true;
        if (z == Z_MEM_ERROR && !r->rc)
            r->rc = err_set(r->err, ERR_NOMEM, "no memory for zlib");
        else if (z == Z_STREAM_END || z == Z_BUF_ERROR)
            mat5_fail(r, "the zlib stream is cut short: it ends %u bytes early",
                      (unsigned)r->z.avail_out);
        else
            mat5_fail(r, "zlib: %s", r->z.msg ? r->z.msg : "damaged data");
        return false;
    }
    return true;
}

/* In steps, so that a large array and the bytes that it came from are not in memory together. */
static void inflate_into(struct mat5_reader *r, uint8_t *out, size_t n)
{
    for (size_t at = 0; at < n; at += STEP_BYTES) {
        drop_inflated(r);
        if (!inflate_some(r, out + at, n - at < STEP_BYTES ? n - at : STEP_BYTES)) return;
    }
}

/* The next n bytes, that are known to be inside of the variable. out NULL: nobody wants them. */
static void take(struct mat5_reader *r, void *out, size_t n)
{
    uint8_t unwanted[INFLATED_BYTES];
    if (!r->packed) {
        if (out && n) memcpy(out, r->data + r->at, n);
        r->at += n;
        return;
    }
    if (out) {
        inflate_into(r, out, n);
        return;
    }
    for (size_t part; n && !r->rc; n -= part) {
        part = n < sizeof unwanted ? n : sizeof unwanted;
        inflate_into(r, unwanted, part);
    }
}

/* The same for bytes that are kept. */
static const uint8_t *keep(struct mat5_reader *r, size_t n)
{
    if (!r->packed) {
        const uint8_t *p = r->data + r->at;
        r->at += n;
        return p;
    }
    const bool fits = n <= r->arena->max - r->arena->used;
    uint8_t *p = fits ? items_alloc(r->arena, n, 1) : NULL;
    if (p)
        inflate_into(r, p, n);
    else if (!fits)
        mat5_fail(r, "%zu bytes inflated: more than a file of %zu bytes may hold", n, r->len);
    else
        r->rc = err_set(r->err, ERR_NOMEM, "no memory for %zu bytes inflated", n);
    return p;
}

/* --- elements --- */

struct element {
    uint32_t type;
    size_t len, pad; /* what follows the tag: len bytes, then pad */
    bool small;      /* nothing does: the data are these */
    uint8_t data[SMALL_BYTES];
};

/* Reads the tag of the next element and takes all that belongs to it off *left. */
static bool open_element(struct element *e, struct mat5_reader *r, size_t *left)
{
    uint8_t tag[TAG_BYTES];

    *e = (struct element){0};
    if (r->rc) return false;
    if (*left < sizeof tag) {
        mat5_fail(r, "an array ends inside of itself: %zu bytes are left for an element", *left);
        return false;
    }
    take(r, tag, sizeof tag);
    if (r->rc) return false;
    *left -= sizeof tag;
    e->type = le(tag, 4);
    e->len = le(tag + 4, 4);
    if (e->type >> 16) { /* the short form: both in 16 bits */
        e->len = e->type >> 16;
        e->type &= 0xffff;
        e->small = true;
        memcpy(e->data, tag + 4, SMALL_BYTES);
        if (e->len <= SMALL_BYTES) return true;
        mat5_fail(r, "a short element of %zu bytes, %d have room", e->len, SMALL_BYTES);
        return false;
    }
    e->pad = (TAG_BYTES - e->len % TAG_BYTES) % TAG_BYTES;
    if (e->len + e->pad > *left) {
        mat5_fail(r, "an element of %zu bytes runs past its parent, where %zu are left", e->len,
                  *left);
        return false;
    }
    *left -= e->len + e->pad;
    return true;
}

/* The first n bytes of an element (n <= len), then to its end. */
static void read_element(struct mat5_reader *r, const struct element *e, void *out, size_t n)
{
    if (e->small) {
        memcpy(out, e->data, n);
        return;
    }
    take(r, out, n);
    take(r, NULL, e->len - n + e->pad);
}

/* A whole element of a type and of at most max bytes; its length. */
static size_t get(void *out, size_t max, struct mat5_reader *r, size_t *left, uint32_t type,
                  const char *what)
{
    struct element e;
    if (!open_element(&e, r, left)) return 0;
    if (e.type != type)
        mat5_fail(r, "%s: an element of type %u is expected, found %u", what, type, e.type);
    else if (e.len > max)
        mat5_fail(r, "%s: %zu bytes, the limit is %zu", what, e.len, max);
    if (r->rc) return 0;
    read_element(r, &e, out, e.len);
    return r->rc ? 0 : e.len;
}

/* --- arrays --- */

static void read_dims(struct mat5_array *a, struct mat5_reader *r)
{
    uint8_t dims[4 * MAT5_DIMS_MAX];
    size_t n = get(dims, sizeof dims, r, &a->left, MI_INT32, "dimensions");

    if (!r->rc && (n % 4 || n < 8)) mat5_fail(r, "dimensions in %zu bytes", n);
    a->count = 1;
    for (a->ndim = 0; !r->rc && (size_t)a->ndim < n / 4; a->ndim++) {
        uint32_t dim = le(dims + 4 * a->ndim, 4);
        if (dim > INT32_MAX)
            mat5_fail(r, "a negative dimension, %lld", (long long)dim - (1LL << 32));
        else if (!mul_ok(&a->count, a->count, dim))
            mat5_fail(r, "dimensions: its size overflows");
        a->dims[a->ndim] = dim;
    }
}

/* What every array begins with; a->left is set. */
static void read_header(struct mat5_array *a, struct mat5_reader *r)
{
    uint8_t flags[8] = {0};

    if (!a->left) return; /* [] in a cell */
    size_t n = get(flags, sizeof flags, r, &a->left, MI_UINT32, "array flags");
    if (!r->rc && n != sizeof flags) mat5_fail(r, "array flags of %zu bytes", n);
    a->class = flags[0];
    a->complex = flags[1] & FLAG_COMPLEX;
    read_dims(a, r);
    get(a->name, sizeof a->name - 1, r, &a->left, MI_INT8, "an array's name");
    if (r->rc) a->left = a->count = 0;
}

void mat5_child(struct mat5_array *out, struct mat5_reader *r, struct mat5_array *parent)
{
    struct element e;
    *out = (struct mat5_array){0};
    if (!open_element(&e, r, &parent->left)) return;
    if (e.type != MI_MATRIX || e.small) {
        mat5_fail(r, "an array is expected, found an element of type %u", e.type);
        return;
    }
    out->left = e.len + e.pad;
    read_header(out, r);
}

void mat5_end(struct mat5_reader *r, struct mat5_array *a)
{
    if (!r->rc) take(r, NULL, a->left);
    a->left = 0;
}

/* --- the file --- */

void mat5_begin(struct mat5_reader *r, const uint8_t *data, size_t len, struct arena *a,
                struct err_info *err)
{
    *r = (struct mat5_reader){
        .data = data, .len = len, .next = HEADER_BYTES, .arena = a, .err = err};
    if (len < HEADER_BYTES) {
        mat5_fail(r, "cut short: a MATLAB 5 file has a header of %d bytes, the file has %zu",
                  HEADER_BYTES, len);
        return;
    }
    const uint8_t *end = data + HEADER_VERSION_AT;
    if (memcmp(end + 2, "MI", 2) == 0)
        mat5_fail(r, "a big-endian MATLAB file: not read");
    else if (memcmp(end + 2, "IM", 2) != 0 || le(end, 2) != VERSION)
        mat5_fail(r, "not a MATLAB 5 file: its header's version is 0x%04x, expected 0x%04x",
                  (unsigned)le(end, 2), VERSION);
}

bool mat5_variable(struct mat5_array *out, struct mat5_reader *r)
{
    *out = (struct mat5_array){0};
    if (r->rc || r->next == r->len) return false;
    if (r->len - r->next < TAG_BYTES) {
        mat5_fail(r, "cut short: %zu bytes are left for a variable", r->len - r->next);
        return false;
    }
    const uint32_t type = le(r->data + r->next, 4), len = le(r->data + r->next + 4, 4);
    r->at = r->next + TAG_BYTES;
    if (type != MI_MATRIX && type != MI_COMPRESSED)
        mat5_fail(r, "byte %zu: an element of type %u where a variable is expected", r->next, type);
    else if (len > r->len - r->at)
        mat5_fail(r, "cut short: a variable of %u bytes at byte %zu, the file has %zu", len, r->at,
                  r->len);
    if (r->rc) return false;
    r->next = r->at + len;
    r->packed = false;
    if (type == MI_MATRIX) {
        out->left = len;
        read_header(out, r);
    } else {
        struct mat5_array stream = {.left = SIZE_MAX}; /* it is as long as the array in it says */
        begin_inflate(r, r->data + r->at, len);
        mat5_child(out, r, &stream);
    }
    return !r->rc;
}

void mat5_end_variable(struct mat5_reader *r, struct mat5_array *v)
{
    uint8_t more;
    mat5_end(r, v);
    if (r->rc || !r->packed) return;
    r->z.next_out = &more;
    r->z.avail_out = sizeof more;
    int z = inflate(&r->z, Z_SYNC_FLUSH);
    if (z == Z_STREAM_END && r->z.avail_out) return;
    if (z == Z_OK || z == Z_STREAM_END)
        mat5_fail(r, "the zlib stream of %s goes on behind it", v->name);
    else
        mat5_fail(r, "zlib: %s", r->z.msg ? r->z.msg : "the stream is cut short");
}

/* --- what is inside --- */

void mat5_fields(struct mat5_fields *out, struct mat5_reader *r, struct mat5_array *a)
{
    uint8_t each[4] = {0};

    out->n = out->each = 0;
    size_t n = get(each, sizeof each, r, &a->left, MI_INT32, "the length of field names");
    size_t bytes = get(out->text, sizeof out->text, r, &a->left, MI_INT8, "field names");
    if (r->rc) return;
    out->each = le(each, 4);
    if (n != sizeof each || !out->each || bytes % out->each)
        mat5_fail(r, "field names of %zu bytes each in %zu bytes", out->each, bytes);
    if (r->rc) return;
    out->n = bytes / out->each;
    for (size_t i = 0; i < out->n; i++) out->text[(i + 1) * out->each - 1] = 0;
}

const char *mat5_field(const struct mat5_fields *f, size_t i)
{
    return f->text + i * f->each;
}

void mat5_text(char *out, size_t size, struct mat5_reader *r, struct mat5_array *a)
{
    uint8_t raw[2 * MAT5_NAME_BYTES] = {0};
    struct element e;

    out[0] = 0;
    if (a->class != MAT5_CHAR || !open_element(&e, r, &a->left)) return;
    const size_t width = e.type == MI_UINT16 || e.type == MI_UTF16 ? 2 : 1;
    if (width == 1 && e.type != MI_INT8 && e.type != MI_UINT8 && e.type != MI_UTF8)
        mat5_fail(r, "text of type %u", e.type);
    if (r->rc) return;
    const size_t bytes = e.len < sizeof raw ? e.len : sizeof raw;
    read_element(r, &e, raw, bytes);
    size_t n = r->rc ? 0 : bytes / width;
    if (n > size - 1) n = size - 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = le(raw + i * width, (int)width);
        out[i] = (char)(c < ' ' || c > '~' ? '?' : c);
    }
    out[n] = 0;
}

const uint8_t *mat5_single(size_t *len, struct mat5_reader *r, struct mat5_array *a)
{
    struct element e;

    *len = 0;
    if (!r->rc && (a->class != MAT5_SINGLE || a->complex))
        mat5_fail(r, "a real single array is expected, found %s%s", a->complex ? "complex " : "",
                  mat5_class_name(a->class));
    if (!open_element(&e, r, &a->left)) return NULL;
    if (e.type != MI_SINGLE) {
        mat5_fail(r, "real single values are expected, found elements of type %u", e.type);
        return NULL;
    }
    *len = e.len;
    if (e.small) { /* one value: a copy of it outlives e */
        uint8_t *p = items_alloc(r->arena, SMALL_BYTES, 1);
        if (p)
            memcpy(p, e.data, SMALL_BYTES);
        else
            r->rc = err_set(r->err, ERR_NOMEM, "no memory for a value");
        return p;
    }
    const uint8_t *p = keep(r, e.len);
    take(r, NULL, e.pad);
    return r->rc ? NULL : p;
}
