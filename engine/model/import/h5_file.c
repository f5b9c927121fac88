/* From the superblock to strings and tensors. Sections are the specification's. Every address and
 * length is compared with the file before a byte behind it is read; every loop is bounded by a
 * count of 16 bits or by a depth that only falls. */
#include "engine/model/import/h5_file.h"

#include <string.h>

enum {
    SUPERBLOCK_BYTES = 96,
    ENTRY_BYTES = 40,  /* of a symbol table */
    OBJECT_BYTES = 16, /* an object header before its messages, and a message before its data: 8 */
    MESSAGE_BYTES = 8,
    NODE_BYTES = 24,
    HEAP_BYTES = 32,
    SYMBOLS_BYTES = 8,
    COLLECTION_BYTES = 16,
    VARIABLE_BYTES = 16, /* a string of variable length: length, address, index */
    BLOCKS_MAX = 64,
    LEVEL_MAX = 16,
    FLAG_SHARED = 2,
};

/* IV.A.2: messages. */
enum {
    MESSAGE_SPACE = 0x01,
    MESSAGE_TYPE = 0x03,
    MESSAGE_EXTERNAL = 0x07,
    MESSAGE_LAYOUT = 0x08,
    MESSAGE_FILTERS = 0x0b,
    MESSAGE_ATTRIBUTE = 0x0c,
    MESSAGE_CONTINUATION = 0x10,
    MESSAGE_SYMBOLS = 0x11,
};

static uint64_t le(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* n bytes of the file at an address; NULL: they are not in it. */
static const uint8_t *at(const struct h5_file *f, uint64_t address, uint64_t n)
{
    return address <= f->len && n <= f->len - address ? f->data + address : NULL;
}

static enum err damaged(struct err_info *err, const char *what, uint64_t address)
{
    return err_set(err, ERR_MODEL, "HDF5: %s at byte %llu leaves the file, or is none", what,
                   (unsigned long long)address);
}

void h5_printable(char out[H5_TEXT_BYTES_MAX + 1], struct h5_text t)
{
    const size_t n = t.len < H5_TEXT_BYTES_MAX ? t.len : H5_TEXT_BYTES_MAX;
    for (size_t i = 0; i < n; i++) out[i] = (char)(t.s[i] < ' ' || t.s[i] > '~' ? '?' : t.s[i]);
    out[n] = 0;
}

/* II.A */
enum err h5_open(struct h5_file *out, const uint8_t *data, size_t len, struct err_info *err)
{
    static const uint8_t SIGNATURE[8] = "\x89HDF\r\n\x1a\n";

    if (len < sizeof SIGNATURE + 1 || memcmp(data, SIGNATURE, sizeof SIGNATURE) != 0)
        return err_set(err, ERR_MODEL, "not an HDF5 file: its signature is another");
    if (data[8] != 0)
        return err_set(err, ERR_MODEL,
                       "HDF5: superblock version %u, only 0 is read: save it with h5py's default, "
                       "libver='earliest'",
                       data[8]);
    if (len < SUPERBLOCK_BYTES)
        return err_set(err, ERR_MODEL,
                       "cut short: the superblock does not fit: %d bytes are expected, found %zu",
                       SUPERBLOCK_BYTES, len);
    if (data[13] != 8 || data[14] != 8)
        return err_set(err, ERR_MODEL, "HDF5: offsets of %u and lengths of %u bytes, 8 are read",
                       data[13], data[14]);
    const uint64_t base = le(data + 24, 8), end = le(data + 40, 8);
    if (base != 0)
        return err_set(err, ERR_MODEL, "HDF5: base address %llu, expected 0",
                       (unsigned long long)base);
    if (end > len)
        return err_set(err, ERR_MODEL,
                       "cut short: the superblock says that the file ends at byte %llu, it has %zu",
                       (unsigned long long)end, len);
    *out = (struct h5_file){.data = data, .len = (size_t)end, .root = le(data + 64, 8)};
    return ERR_OK;
}

/* --- object headers, IV.A.1.a --- */

struct message {
    unsigned type;
    bool shared; /* the data say where the message is */
    const uint8_t *data;
    size_t len;
};

/* All messages of an object: a first block, and those that continuation messages name. */
struct header {
    const struct h5_file *f;
    uint64_t address;
    unsigned left; /* messages */
    int block, n_blocks;
    size_t used; /* bytes of the block */
    struct {
        const uint8_t *data;
        size_t len;
    } blocks[BLOCKS_MAX];
};

static enum err open_header(struct header *h, const struct h5_file *f, uint64_t address,
                            struct err_info *err)
{
    const uint8_t *p = at(f, address, OBJECT_BYTES);
    if (p && memcmp(p, "OHDR", 4) == 0)
        return err_set(err, ERR_MODEL,
                       "HDF5: an object header of version 2, only 1 is read: save it with h5py's "
                       "default, libver='earliest'");
    if (!p || p[0] != 1) return damaged(err, "an object header", address);
    *h = (struct header){.f = f, .address = address, .left = (unsigned)le(p + 2, 2), .n_blocks = 1};
    h->blocks[0].len = (size_t)le(p + 8, 4);
    h->blocks[0].data = at(f, address + OBJECT_BYTES, h->blocks[0].len);
    return h->blocks[0].data ? ERR_OK : damaged(err, "an object header", address);
}

static enum err add_block(struct header *h, const struct message *m, struct err_info *err)
{
    const uint64_t address = m->len >= 16 ? le(m->data, 8) : 0;
    const uint64_t len = m->len >= 16 ? le(m->data + 8, 8) : 0;
    const uint8_t *data = at(h->f, address, len);
    if (!data || !address) return damaged(err, "an object header's continuation", address);
    if (h->n_blocks == BLOCKS_MAX)
        return err_set(err, ERR_MODEL, "HDF5: an object header in more than %d parts", BLOCKS_MAX);
    h->blocks[h->n_blocks].data = data;
    h->blocks[h->n_blocks++].len = (size_t)len;
    return ERR_OK;
}

/* *end: there are no more. */
static enum err next_message(struct message *m, bool *end, struct header *h, struct err_info *err)
{
    *end = false;
    while (h->left && h->block < h->n_blocks) {
        const uint8_t *p = h->blocks[h->block].data + h->used;
        const size_t rest = h->blocks[h->block].len - h->used;
        enum err rc;
        if (rest < MESSAGE_BYTES) {
            h->block++;
            h->used = 0;
            continue;
        }
        *m = (struct message){.type = (unsigned)le(p, 2),
                              .len = (size_t)le(p + 2, 2),
                              .shared = p[4] & FLAG_SHARED,
                              .data = p + MESSAGE_BYTES};
        if (m->len > rest - MESSAGE_BYTES)
            return err_set(err, ERR_MODEL,
                           "HDF5: the object header at byte %llu: a message of %zu bytes, %zu are "
                           "left",
                           (unsigned long long)h->address, m->len, rest - MESSAGE_BYTES);
        h->used += MESSAGE_BYTES + m->len;
        h->left--;
        if (m->type != MESSAGE_CONTINUATION) return ERR_OK;
        if ((rc = add_block(h, m, err))) return rc;
    }
    *end = true;
    return ERR_OK;
}

/* --- groups --- */

static int compare(struct h5_text a, struct h5_text b)
{
    const size_t n = a.len < b.len ? a.len : b.len;
    const int c = n ? memcmp(a.s, b.s, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* III.D: the names of a group's members, each closed by a 0. */
struct names {
    const uint8_t *data;
    size_t len;
};

static enum err open_names(struct names *out, const struct h5_file *f, uint64_t address,
                           struct err_info *err)
{
    const uint8_t *p = at(f, address, HEAP_BYTES);
    if (!p || memcmp(p, "HEAP", 4) != 0) return damaged(err, "a local heap", address);
    out->len = (size_t)le(p + 8, 8);
    out->data = at(f, le(p + 24, 8), out->len);
    return out->data ? ERR_OK : damaged(err, "a local heap's data", le(p + 24, 8));
}

static enum err name_at(struct h5_text *out, const struct names *names, uint64_t offset,
                        struct err_info *err)
{
    const uint8_t *p = offset < names->len ? names->data + offset : NULL;
    const uint8_t *end = p ? memchr(p, 0, names->len - (size_t)offset) : NULL;
    if (!end)
        return err_set(err, ERR_MODEL, "HDF5: a name at %llu in a heap of %zu bytes",
                       (unsigned long long)offset, names->len);
    *out = (struct h5_text){(const char *)p, (size_t)(end - p)};
    return ERR_OK;
}

/* III.C: the members of a leaf. */
static enum err find_symbol(uint64_t *out, const struct h5_file *f, uint64_t address,
                            const struct names *names, struct h5_text want, struct err_info *err)
{
    const uint8_t *p = at(f, address, SYMBOLS_BYTES);
    if (!p || memcmp(p, "SNOD", 4) != 0) return damaged(err, "a symbol table", address);
    const size_t n = (size_t)le(p + 6, 2);
    if (!at(f, address, SYMBOLS_BYTES + n * ENTRY_BYTES))
        return damaged(err, "a symbol table", address);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *entry = p + SYMBOLS_BYTES + i * ENTRY_BYTES;
        struct h5_text name = {0};
        enum err rc = name_at(&name, names, le(entry, 8), err);
        if (rc) return rc;
        if (compare(name, want) != 0) continue;
        *out = le(entry + 8, 8);
        if (le(entry + 16, 4) == 2)
            return err_set(err, ERR_MODEL, "HDF5: a symbolic link: not followed");
        return *out && *out < f->len ? ERR_OK : damaged(err, "an object", *out);
    }
    return ERR_OK;
}

/* III.A.1: from the root down by the names between the children (keys): child i holds the names
 * that are greater than key i and at most key i + 1. Siblings are not followed. */
static enum err find_in_tree(uint64_t *out, const struct h5_file *f, uint64_t address,
                             const struct names *names, struct h5_text want, struct err_info *err)
{
    for (unsigned level = LEVEL_MAX;;) {
        const uint8_t *p = at(f, address, NODE_BYTES);
        if (!p || memcmp(p, "TREE", 4) != 0 || p[4] != 0) return damaged(err, "a B-tree", address);
        if (p[5] >= level)
            return err_set(err, ERR_MODEL, "HDF5: a B-tree's node of level %u below level %u", p[5],
                           level);
        level = p[5];
        const size_t n = (size_t)le(p + 6, 2);
        if (!at(f, address, NODE_BYTES + 16 * n + 8)) return damaged(err, "a B-tree", address);
        for (size_t i = 0;; i++) {
            struct h5_text key = {0};
            enum err rc;
            if (i == n) return ERR_OK; /* beyond the last name */
            const uint8_t *child = p + NODE_BYTES + 16 * i + 8;
            if ((rc = name_at(&key, names, le(child + 8, 8), err))) return rc;
            if (compare(want, key) > 0) continue;
            address = le(child, 8);
            break;
        }
        if (level == 0) return find_symbol(out, f, address, names, want, err);
    }
}

/* One member of a group. */
static enum err find_member(uint64_t *out, const struct h5_file *f, uint64_t group,
                            struct h5_text want, struct err_info *err)
{
    struct header h;
    struct message m;
    struct names names = {0};
    bool end;
    enum err rc = open_header(&h, f, group, err);

    while (!rc && !(rc = next_message(&m, &end, &h, err)) && !end) {
        if (m.type != MESSAGE_SYMBOLS || m.shared || m.len < 16) continue;
        if ((rc = open_names(&names, f, le(m.data + 8, 8), err))) return rc;
        return find_in_tree(out, f, le(m.data, 8), &names, want, err);
    }
    if (rc) return rc;
    return err_set(err, ERR_MODEL, "HDF5: the object at byte %llu is no group with a symbol table",
                   (unsigned long long)group);
}

enum err h5_find(uint64_t *out, const struct h5_file *f, uint64_t group, struct h5_text path,
                 struct err_info *err)
{
    uint64_t object = group;
    while (path.len && object) {
        const char *slash = memchr(path.s, '/', path.len);
        const struct h5_text part = {path.s, slash ? (size_t)(slash - path.s) : path.len};
        const size_t used = part.len + (slash ? 1 : 0);
        path.s += used;
        path.len -= used;
        if (!part.len) continue;
        uint64_t member = 0;
        enum err rc = find_member(&member, f, object, part, err);
        if (rc) {
            char name[H5_TEXT_BYTES_MAX + 1];
            h5_printable(name, part);
            err_prefix(err, "%s", name);
            return rc;
        }
        object = member;
    }
    *out = object;
    return ERR_OK;
}

/* --- dataspaces, IV.A.2.b --- */

struct space {
    int ndim;
    size_t dims[VIEW_DIMS_MAX];
    size_t count;
};

static enum err read_space(struct space *out, const struct message *m, struct err_info *err)
{
    const unsigned version = m->len >= 4 ? m->data[0] : 0;
    const size_t before = version == 1 ? 8 : 4;

    if (m->shared || (version != 1 && version != 2) || m->len < before)
        return err_set(err, ERR_MODEL, "HDF5: a dataspace of version %u%s", version,
                       m->shared ? ", shared" : "");
    out->ndim = m->data[1];
    if (out->ndim > VIEW_DIMS_MAX || m->len - before < 8 * (size_t)out->ndim)
        return err_set(err, ERR_MODEL, "HDF5: a dataspace of %d dimensions in %zu bytes", out->ndim,
                       m->len);
    out->count = version == 2 && m->data[3] == 2 ? 0 : 1; /* 2: null, no elements */
    for (int i = 0; i < out->ndim; i++) {
        out->dims[i] = (size_t)le(m->data + before + 8 * i, 8);
        if (!mul_ok(&out->count, out->count, out->dims[i]))
            return err_set(err, ERR_MODEL, "dims: its size overflows");
    }
    return ERR_OK;
}

/* --- datatypes, IV.A.2.d --- */

enum { CLASS_INTEGER = 0, CLASS_FLOAT = 1, CLASS_STRING = 3, CLASS_VARIABLE = 9 };

/* Little-endian IEEE single: the class and version, 3 bytes of bits (byte order and paddings, where
 * the sign is), size, bit offset and precision, exponent's and mantissa's places, bias. */
static bool is_float32(const struct message *m)
{
    static const uint8_t WANT[20] = {CLASS_FLOAT, 0x20, 31, 0, 4, 0,  0,   0, 0, 0,
                                     32,          0,    23, 8, 0, 23, 127, 0, 0, 0};
    static const uint8_t MASK[20] = {0x0f, 0xf1, 255, 255, 255, 255, 255, 255, 255, 255,
                                     255,  255,  255, 255, 255, 255, 255, 255, 255, 255};
    if (m->shared || m->len < sizeof WANT) return false;
    for (size_t i = 0; i < sizeof WANT; i++)
        if ((m->data[i] & MASK[i]) != WANT[i]) return false;
    return true;
}

static enum err unwanted_type(const struct message *m, const char *name, struct err_info *err)
{
    static const char *const CLASSES[] = {"integer",    "float",           "time",     "string",
                                          "bits",       "opaque",          "compound", "reference",
                                          "enumerated", "variable-length", "array"};
    if (m->shared || m->len < 8)
        return err_set(err, ERR_MODEL, "%s: a named datatype, float32 is expected", name);
    const unsigned class = m->data[0] & 15, big = m->data[1] & 1;
    return err_set(err, ERR_MODEL, "%s: little-endian float32 is expected, found %s%s of %llu bits",
                   name, class <= CLASS_FLOAT ? big ? "big-endian " : "little-endian " : "",
                   class < ARRAY_LEN(CLASSES) ? CLASSES[class] : "an unknown type",
                   8 * (unsigned long long)le(m->data + 4, 4));
}

/* --- strings --- */

/* III.E: an object of a global heap. Its index is one of 16 bits, so no more are looked at. */
static enum err heap_object(struct h5_text *out, const struct h5_file *f, uint64_t address,
                            uint64_t index, struct err_info *err)
{
    const uint8_t *p = at(f, address, COLLECTION_BYTES);
    if (!p || memcmp(p, "GCOL", 4) != 0) return damaged(err, "a global heap", address);
    const uint64_t all = le(p + 8, 8);
    if (!at(f, address, all) || all < COLLECTION_BYTES)
        return damaged(err, "a global heap", address);
    size_t left = (size_t)all - COLLECTION_BYTES;
    p += COLLECTION_BYTES;
    for (unsigned i = 0; i <= UINT16_MAX && left >= COLLECTION_BYTES; i++) {
        const uint64_t found = le(p, 2), len = le(p + 8, 8);
        if (found == 0) break; /* free space: the rest */
        left -= COLLECTION_BYTES;
        p += COLLECTION_BYTES;
        if (len > left) return damaged(err, "a global heap's object", address);
        if (found == index) {
            *out = (struct h5_text){(const char *)p, (size_t)len};
            return ERR_OK;
        }
        const size_t step = len > left - left % 8 ? left : (size_t)(len + 7) / 8 * 8;
        left -= step;
        p += step;
    }
    return err_set(err, ERR_MODEL, "HDF5: the global heap at byte %llu has no object %llu",
                   (unsigned long long)address, (unsigned long long)index);
}

/* A string of variable length where its reference lies. */
static enum err variable_text(struct h5_text *out, const struct h5_file *f, const uint8_t *p,
                              struct err_info *err)
{
    const uint64_t len = le(p, 4);
    *out = (struct h5_text){"", 0};
    if (!len) return ERR_OK;
    enum err rc = heap_object(out, f, le(p + 4, 8), le(p + 12, 4), err);
    if (rc) return rc;
    if (len > out->len)
        return err_set(err, ERR_MODEL, "HDF5: a string of %llu bytes in a heap object of %zu",
                       (unsigned long long)len, out->len);
    out->len = (size_t)len;
    return ERR_OK;
}

/* Without what fills it up to its size: zeros, or (padding of type 2) spaces. */
static void trim(struct h5_text *t, bool spaces)
{
    const char *end = t->len ? memchr(t->s, 0, t->len) : NULL;
    if (end) t->len = (size_t)(end - t->s);
    while (spaces && t->len && t->s[t->len - 1] == ' ') t->len--;
}

/* The attribute's message, in its parts. */
struct attribute {
    struct h5_text name;
    struct message type, space;
    const uint8_t *data;
    size_t len;
};

/* The next n bytes of a message and what fills them up; NULL: there are not so many. */
static const uint8_t *part(struct message *m, size_t n, bool padded)
{
    const size_t all = padded ? (n + 7) / 8 * 8 : n;
    const uint8_t *p = m->data;
    if (all > m->len) return NULL;
    m->data += all;
    m->len -= all;
    return p;
}

/* IV.A.2.m. Versions 2 and 3 fill nothing up; 3 has a byte for the name's encoding. */
static enum err read_attribute(struct attribute *out, struct message m, struct err_info *err)
{
    const uint8_t *head = part(&m, 8, false);
    const unsigned version = head && !m.shared ? head[0] : 0;
    const bool pad = version == 1;

    if (version < 1 || version > 3 || (version == 3 && !part(&m, 1, false)))
        return err_set(err, ERR_MODEL, "HDF5: an attribute of version %u", version);
    const size_t name = (size_t)le(head + 2, 2), type = (size_t)le(head + 4, 2),
                 space = (size_t)le(head + 6, 2);
    *out = (struct attribute){
        .name = {(const char *)part(&m, name, pad), name},
        .type = {.data = part(&m, type, pad), .len = type, .shared = version > 1 && (head[1] & 1)},
        .space = {
            .data = part(&m, space, pad), .len = space, .shared = version > 1 && (head[1] & 2)}};
    if (!out->name.s || !out->type.data || !out->space.data)
        return err_set(err, ERR_MODEL,
                       "HDF5: an attribute's parts of %zu, %zu and %zu bytes run past its message",
                       name, type, space);
    out->data = m.data;
    out->len = m.len;
    trim(&out->name, false);
    return ERR_OK;
}

static enum err find_attribute(struct attribute *out, bool *found, const struct h5_file *f,
                               uint64_t object, const char *name, struct err_info *err)
{
    const struct h5_text want = {name, strlen(name)};
    struct header h;
    struct message m;
    bool end;
    enum err rc = open_header(&h, f, object, err);

    *found = false;
    while (!rc && !(rc = next_message(&m, &end, &h, err)) && !end) {
        if (m.type != MESSAGE_ATTRIBUTE) continue;
        if ((rc = read_attribute(out, m, err))) return rc;
        if (compare(out->name, want) != 0) continue;
        *found = true;
        return ERR_OK;
    }
    return rc;
}

enum err h5_texts(struct h5_texts *out, bool *found, const struct h5_file *f, uint64_t object,
                  const char *attribute, struct arena *a, struct err_info *err)
{
    struct attribute t;
    struct space space = {0};
    size_t bytes;
    enum err rc = find_attribute(&t, found, f, object, attribute, err);

    *out = (struct h5_texts){0};
    if (rc || !*found) return rc;
    if ((rc = read_space(&space, &t.space, err)) || !space.count) return rc;
    const bool known = !t.type.shared && t.type.len >= 8;
    const unsigned class = known ? t.type.data[0] & 15 : 0;
    const bool fixed = class == CLASS_STRING;
    const size_t each = known ? (size_t)le(t.type.data + 4, 4) : 0;
    if (!fixed && (class != CLASS_VARIABLE || (t.type.data[1] & 15) != 1 || each != VARIABLE_BYTES))
        return err_set(err, ERR_MODEL, "%s: strings are expected, found type %u", attribute, class);
    if (space.count > H5_TEXTS_MAX || !mul_ok(&bytes, space.count, each) || bytes > t.len)
        return err_set(err, ERR_MODEL, "%s: %zu strings of %zu bytes in %zu bytes, the limit is %d",
                       attribute, space.count, each, t.len, H5_TEXTS_MAX);
    out->n = space.count;
    out->items = items_alloc(a, out->n, sizeof *out->items);
    if (!out->items) return err_set(err, ERR_NOMEM, "no memory for %zu strings", out->n);
    for (size_t i = 0; i < out->n; i++) {
        struct h5_text *s = &out->items[i];
        *s = (struct h5_text){(const char *)t.data + i * each, each};
        if (!fixed && (rc = variable_text(s, f, t.data + i * each, err))) return rc;
        trim(s, fixed && (t.type.data[1] & 15) == 2);
        if (s->len > H5_TEXT_BYTES_MAX)
            return err_set(err, ERR_MODEL, "%s: a string of %zu bytes, the limit is %d", attribute,
                           s->len, H5_TEXT_BYTES_MAX);
    }
    return ERR_OK;
}

/* --- datasets --- */

/* IV.A.2.i, version 3: where the values are. */
static enum err read_layout(const uint8_t **data, size_t *len, const struct message *m,
                            const struct h5_file *f, const char *name, struct err_info *err)
{
    static const char *const CLASSES[] = {"compact", "contiguous", "chunked", "virtual"};
    const unsigned version = m->len >= 2 ? m->data[0] : 0, class = m->len >= 2 ? m->data[1] : 0;

    if (version != 3)
        return err_set(err, ERR_MODEL, "%s: a data layout of version %u, only 3 is read", name,
                       version);
    if (class != 1 || m->len < 18)
        return err_set(err, ERR_MODEL, "%s: a contiguous dataset is expected, found a %s one", name,
                       class < ARRAY_LEN(CLASSES) ? CLASSES[class] : "strange");
    const uint64_t address = le(m->data + 2, 8), bytes = le(m->data + 10, 8);
    if (address == UINT64_MAX)
        return err_set(err, ERR_MODEL, "%s: its values were never written", name);
    *data = at(f, address, bytes);
    *len = (size_t)bytes;
    if (*data) return ERR_OK;
    return err_set(err, ERR_MODEL, "%s: %llu bytes at byte %llu leave the file of %zu", name,
                   (unsigned long long)bytes, (unsigned long long)address, f->len);
}

enum err h5_dataset(struct view *out, const struct h5_file *f, uint64_t object, const char *name,
                    struct err_info *err)
{
    struct message m, space = {0}, type = {0}, layout = {0};
    struct header h;
    struct space dims = {0};
    const uint8_t *data = NULL;
    size_t len = 0;
    bool end;
    enum err rc = open_header(&h, f, object, err);

    while (!rc && !(rc = next_message(&m, &end, &h, err)) && !end) {
        if (m.type == MESSAGE_SPACE) space = m;
        if (m.type == MESSAGE_TYPE) type = m;
        if (m.type == MESSAGE_LAYOUT) layout = m;
        if (m.type == MESSAGE_EXTERNAL)
            return err_set(err, ERR_MODEL, "%s: its values are in another file", name);
        if (m.type == MESSAGE_FILTERS)
            return err_set(err, ERR_MODEL, "%s: a chunked and filtered (compressed) dataset", name);
    }
    if (rc) return rc;
    if (!space.data || !type.data || !layout.data)
        return err_set(err, ERR_MODEL, "%s is no dataset", name);
    if (!is_float32(&type)) return unwanted_type(&type, name, err);
    if ((rc = read_space(&dims, &space, err))) {
        err_prefix(err, "%s", name);
        return rc;
    }
    if ((rc = read_layout(&data, &len, &layout, f, name, err))) return rc;
    return view_init(out, name, VIEW_F32, dims.ndim, dims.dims, data, len, err);
}
