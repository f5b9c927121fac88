/* From a container to named tensors: find the pickle, read it as data, find each storage's bytes,
 * check that every view lies inside its storage. Nothing is copied until torch_values. */
#include "engine/model/import/torch_file.h"

#include <string.h>

#include "engine/model/import/pickle.h"
#include "engine/model/import/zip.h"

static const uint8_t MAGIC[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                  0x20, 0x6a, 0xa8, 0x50, 0x19}; /* torch.serialization */

enum { PROTOCOL = 1001, KEY_BYTES = 64 };

static const struct {
    uint8_t bytes;
    bool other_float;
} STORAGES[PICKLE_GLOBAL_COUNT] = {
    [PICKLE_FLOAT_STORAGE] = {4, false}, [PICKLE_DOUBLE_STORAGE] = {8, true},
    [PICKLE_HALF_STORAGE] = {2, true},   [PICKLE_BFLOAT16_STORAGE] = {2, true},
    [PICKLE_LONG_STORAGE] = {8, false},  [PICKLE_INT_STORAGE] = {4, false},
    [PICKLE_SHORT_STORAGE] = {2, false}, [PICKLE_CHAR_STORAGE] = {1, false},
    [PICKLE_BYTE_STORAGE] = {1, false},  [PICKLE_BOOL_STORAGE] = {1, false},
};

/* Where a storage's bytes are. */
struct storage {
    const char *key;
    size_t key_len;
    int type; /* enum pickle_global */
    size_t numel;
    const uint8_t *data;
};

struct reader {
    const uint8_t *data;
    size_t len;
    struct arena *arena;
    struct err_info *err;
    struct storage *storages; /* TORCH_TENSORS_MAX */
    size_t n_storages;
    /* the storage that each tensor uses, beside out->tensors */
    size_t *storage_of;
};

/* The storage that a persistent id names, added when it is new. NULL: an error was set. */
static struct storage *storage_of(struct reader *r, const struct pickle_value *id)
{
    const struct pickle_value *key = id->items[2];
    int type = (int)id->items[1]->number;
    size_t numel = (size_t)id->items[4]->number;
    for (size_t i = 0; i < r->n_storages; i++) {
        struct storage *s = &r->storages[i];
        if (s->key_len != key->text_len || memcmp(s->key, key->text, key->text_len) != 0) continue;
        if (s->type == type && s->numel == numel) return s;
        err_set(r->err, ERR_MODEL, "storage %.*s is described in two ways", (int)key->text_len,
                key->text);
        return NULL;
    }
    if (r->n_storages == TORCH_TENSORS_MAX || key->text_len >= KEY_BYTES) {
        err_set(r->err, ERR_MODEL, "more than %d storages, or a key of %zu bytes",
                TORCH_TENSORS_MAX, key->text_len);
        return NULL;
    }
    r->storages[r->n_storages] = (struct storage){key->text, key->text_len, type, numel, NULL};
    return &r->storages[r->n_storages++];
}

static bool sizes(size_t *out, const struct pickle_value *v, int n)
{
    for (int i = 0; i < n; i++) {
        if (v->items[i]->kind != PICKLE_INT || v->items[i]->number < 0) return false;
        out[i] = (size_t)v->items[i]->number;
    }
    return true;
}

/* The view must lie inside numel elements, and have no more of its own (a stride of 0 repeats). */
static enum err check_view(const struct torch_tensor *t, size_t numel, struct err_info *err)
{
    size_t last = t->offset, reach;
    for (int i = 0; i < t->ndim && t->count; i++)
        if (!mul_ok(&reach, t->dims[i] - 1, t->strides[i]) ||
            __builtin_add_overflow(last, reach, &last))
            return err_set(err, ERR_MODEL, "%s: the view overflows", t->name);
    if (t->count && (last >= numel || t->count > numel))
        return err_set(err, ERR_MODEL, "%s: the view leaves its storage: element %zu of %zu",
                       t->name, last, numel);
    return ERR_OK;
}

static enum err read_tensor(struct reader *r, struct torch_tensor *t, size_t *storage,
                            const struct pickle_value *v, struct err_info *err)
{
    const struct pickle_value *dims = v->items[2], *strides = v->items[3];
    if (v->items[0]->kind != PICKLE_STORAGE || v->items[1]->kind != PICKLE_INT ||
        v->items[1]->number < 0 || dims->kind != PICKLE_TUPLE || strides->kind != PICKLE_TUPLE ||
        dims->n != strides->n || dims->n > TORCH_MAX_DIMS)
        return err_set(err, ERR_MODEL,
                       "%s: a tensor of a storage, an offset, at most %d sizes and as many strides "
                       "is expected",
                       t->name, TORCH_MAX_DIMS);
    t->ndim = (int)dims->n;
    t->offset = (size_t)v->items[1]->number;
    t->count = 1;
    if (!sizes(t->dims, dims, t->ndim) || !sizes(t->strides, strides, t->ndim))
        return err_set(err, ERR_MODEL, "%s: a size or stride is no number >= 0", t->name);
    for (int i = 0; i < t->ndim; i++)
        if (!mul_ok(&t->count, t->count, t->dims[i]))
            return err_set(err, ERR_MODEL, "%s: its size overflows", t->name);
    const struct storage *s = storage_of(r, v->items[0]);
    if (!s) return ERR_MODEL;
    if (STORAGES[s->type].other_float)
        return err_set(err, ERR_MODEL, "%s: %s, float32 is expected", t->name,
                       pickle_global_name((enum pickle_global)s->type));
    t->is_float32 = s->type == PICKLE_FLOAT_STORAGE;
    *storage = (size_t)(s - r->storages);
    return check_view(t, s->numel, err);
}

/* A checkpoint often keeps the state dict under a key of its own. */
static const struct pickle_value *state_dict(const struct pickle_value *v)
{
    for (size_t i = 0; v->kind == PICKLE_DICT && i + 1 < v->n; i += 2)
        if (pickle_is(v->items[i], "state_dict") && v->items[i + 1]->kind == PICKLE_DICT)
            return v->items[i + 1];
    return v;
}

static enum err read_tensors(struct torch_file *out, struct reader *r,
                             const struct pickle_value *top, struct err_info *err)
{
    const struct pickle_value *dict = state_dict(top);
    enum err rc;

    if (dict->kind != PICKLE_DICT || dict->n < 2)
        return err_set(
            err, ERR_MODEL,
            "a dict of tensors (a state dict) is expected, the file holds something else");
    if (dict->n / 2 > TORCH_TENSORS_MAX)
        return err_set(err, ERR_MODEL, "%zu tensors, the limit is %d", dict->n / 2,
                       TORCH_TENSORS_MAX);
    out->n = dict->n / 2;
    out->tensors = items_alloc(r->arena, out->n, sizeof *out->tensors);
    r->storages = items_alloc(r->arena, TORCH_TENSORS_MAX, sizeof *r->storages);
    r->storage_of = items_alloc(r->arena, out->n, sizeof *r->storage_of);
    if (!out->tensors || !r->storages || !r->storage_of)
        return err_set(err, ERR_NOMEM, "no memory for %zu tensors", out->n);
    for (size_t i = 0; i < out->n; i++) {
        const struct pickle_value *key = dict->items[2 * i], *value = dict->items[2 * i + 1];
        struct torch_tensor *t = &out->tensors[i];
        if (key->kind != PICKLE_STRING || !key->text_len || key->text_len >= sizeof t->name)
            return err_set(err, ERR_MODEL, "tensor %zu: its name is no string of 1 to %d bytes", i,
                           TORCH_NAME_BYTES - 1);
        memcpy(t->name, key->text, key->text_len);
        for (size_t c = 0; c < key->text_len; c++) /* it goes into messages */
            if (t->name[c] < ' ' || t->name[c] > '~') t->name[c] = '?';
        if (value->kind != PICKLE_TENSOR)
            return err_set(err, ERR_MODEL, "%s is no tensor; a state dict is expected", t->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(out->tensors[k].name, t->name) == 0)
                return err_set(err, ERR_MODEL, "%s is there twice", t->name);
        if ((rc = read_tensor(r, t, &r->storage_of[i], value, err))) return rc;
    }
    return ERR_OK;
}

static enum err check_bytes(const struct storage *s, uint64_t found, struct err_info *err)
{
    size_t want;
    if (!mul_ok(&want, s->numel, STORAGES[s->type].bytes) || want != found)
        return err_set(err, ERR_MODEL,
                       "storage %.*s: %zu values of %s are expected, %llu bytes found",
                       (int)s->key_len, s->key, s->numel,
                       pickle_global_name((enum pickle_global)s->type), (unsigned long long)found);
    return ERR_OK;
}

static void bind(struct torch_file *out, const struct reader *r)
{
    for (size_t i = 0; i < out->n; i++)
        out->tensors[i].storage = r->storages[r->storage_of[i]].data;
}

/* --- the legacy container: pickles of magic, version, system, object, list of keys; then the
 * storages in that order --- */

static enum err next_pickle(struct pickle_value **v, struct reader *r, size_t *at,
                            struct err_info *err)
{
    size_t used;
    enum err rc = pickle_read(v, &used, r->data + *at, r->len - *at, r->arena, err);
    if (!rc) *at += used;
    return rc;
}

static enum err legacy_storage(struct reader *r, const struct pickle_value *key, size_t *at,
                               struct err_info *err)
{
    uint64_t numel;
    struct storage *s = NULL;
    for (size_t i = 0; i < r->n_storages && key->kind == PICKLE_STRING; i++)
        if (r->storages[i].key_len == key->text_len &&
            !memcmp(r->storages[i].key, key->text, key->text_len))
            s = &r->storages[i];
    if (!s || s->data)
        return err_set(err, ERR_MODEL,
                       "the list of storages names one that no tensor uses, or one twice");
    if (r->len - *at < sizeof numel)
        return err_set(err, ERR_MODEL, "cut short: the file ends before storage %.*s",
                       (int)s->key_len, s->key);
    memcpy(&numel, r->data + *at, sizeof numel);
    *at += sizeof numel;
    size_t bytes, left = r->len - *at;
    if (numel != s->numel)
        return err_set(err, ERR_MODEL, "storage %.*s: %zu values are expected, it says %llu",
                       (int)s->key_len, s->key, s->numel, (unsigned long long)numel);
    if (!mul_ok(&bytes, s->numel, STORAGES[s->type].bytes) || bytes > left)
        return err_set(err, ERR_MODEL, "cut short: storage %.*s has %zu values, %zu bytes are left",
                       (int)s->key_len, s->key, s->numel, left);
    s->data = r->data + *at;
    *at += bytes;
    return ERR_OK;
}

static enum err read_legacy(struct torch_file *out, struct reader *r, struct err_info *err)
{
    struct pickle_value *magic, *version, *system, *object, *keys;
    size_t at = 0;
    enum err rc;

    if ((rc = next_pickle(&magic, r, &at, err))) return rc;
    if (magic->kind != PICKLE_BIG || magic->text_len != sizeof MAGIC ||
        memcmp(magic->text, MAGIC, sizeof MAGIC) != 0)
        return err_set(err, ERR_MODEL, "not a torch file: its magic number is another");
    if ((rc = next_pickle(&version, r, &at, err))) return rc;
    if (version->kind != PICKLE_INT || version->number != PROTOCOL)
        return err_set(err, ERR_MODEL, "torch's protocol version is another than %d", PROTOCOL);
    if ((rc = next_pickle(&system, r, &at, err))) return rc;
    for (size_t i = 0; system->kind == PICKLE_DICT && i + 1 < system->n; i += 2)
        if (pickle_is(system->items[i], "little_endian") && !system->items[i + 1]->number)
            return err_set(err, ERR_MODEL, "written on a big-endian machine: not read");
    if ((rc = next_pickle(&object, r, &at, err))) return rc;
    if ((rc = read_tensors(out, r, object, err))) return rc;
    if ((rc = next_pickle(&keys, r, &at, err))) return rc;
    if (keys->kind != PICKLE_LIST || keys->n != r->n_storages)
        return err_set(err, ERR_MODEL, "a list of %zu storages is expected, found %zu",
                       r->n_storages, keys->n);
    for (size_t i = 0; i < keys->n; i++)
        if ((rc = legacy_storage(r, keys->items[i], &at, err))) return rc;
    if (at != r->len)
        return err_set(err, ERR_MODEL, "%zu bytes after the last storage", r->len - at);
    bind(out, r);
    return ERR_OK;
}

/* --- the zip container: NAME/data.pkl, NAME/data/KEY, perhaps NAME/byteorder --- */

static enum err find_pickle(const struct zip_member **out, const struct zip *z,
                            struct err_info *err)
{
    static const char suffix[] = "/data.pkl";
    const size_t n = sizeof suffix - 1;
    *out = NULL;
    for (size_t i = 0; i < z->n; i++) {
        const struct zip_member *m = &z->members[i];
        if (memchr(m->name, 0, m->name_len) || (m->name_len >= 3 && !memcmp(m->name, "../", 3)))
            return err_set(err, ERR_MODEL, "zip: a member's name leaves the archive");
        if (m->name_len <= n || memcmp(m->name + m->name_len - n, suffix, n) != 0 ||
            memchr(m->name, '/', m->name_len - n))
            continue;
        if (*out) return err_set(err, ERR_MODEL, "zip: there are two data.pkl");
        *out = m;
    }
    return *out ? ERR_OK
                : err_set(err, ERR_MODEL,
                          "a zip file but not torch's: there is no NAME/data.pkl in it");
}

static enum err read_zip(struct torch_file *out, struct reader *r, struct err_info *err)
{
    char name[KEY_BYTES + 512];
    struct pickle_value *object;
    const struct zip_member *pkl, *m;
    struct zip z;
    size_t used;
    enum err rc;

    if ((rc = zip_read(&z, r->data, r->len, r->arena, err))) return rc;
    if ((rc = find_pickle(&pkl, &z, err))) return rc;
    size_t prefix = pkl->name_len - (sizeof "data.pkl" - 1);
    if (prefix > 500) return err_set(err, ERR_MODEL, "zip: a folder's name of %zu bytes", prefix);
    memcpy(name, pkl->name, prefix);
    memcpy(name + prefix, "byteorder", 9);
    m = zip_find(&z, name, prefix + 9);
    if (m && (m->len < 6 || memcmp(m->data, "little", 6) != 0))
        return err_set(err, ERR_MODEL, "written on a big-endian machine: not read");
    if ((rc = pickle_read(&object, &used, pkl->data, pkl->len, r->arena, err))) return rc;
    if ((rc = read_tensors(out, r, object, err))) return rc;
    memcpy(name + prefix, "data/", 5);
    for (size_t i = 0; i < r->n_storages; i++) {
        struct storage *s = &r->storages[i];
        memcpy(name + prefix + 5, s->key, s->key_len);
        m = zip_find(&z, name, prefix + 5 + s->key_len);
        if (!m)
            return err_set(err, ERR_MODEL, "zip: storage data/%.*s is missing", (int)s->key_len,
                           s->key);
        if ((rc = check_bytes(s, m->len, err))) return rc;
        s->data = m->data;
    }
    bind(out, r);
    return ERR_OK;
}

enum err torch_read(struct torch_file *out, const uint8_t *data, size_t len, struct arena *a,
                    struct err_info *err)
{
    struct reader r = {.data = data, .len = len, .arena = a, .err = err};
    if (len >= 4 && memcmp(data, "PK\3\4", 4) == 0) return read_zip(out, &r, err);
    return read_legacy(out, &r, err);
}

const struct torch_tensor *torch_find(const struct torch_file *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->tensors[i].name, name) == 0) return &f->tensors[i];
    return NULL;
}

float *torch_values(const struct torch_tensor *t, struct arena *a)
{
    size_t at[TORCH_MAX_DIMS] = {0}, from = t->offset;
    float *out = items_alloc(a, t->count, sizeof *out);
    for (size_t i = 0; out && i < t->count; i++) {
        memcpy(&out[i], t->storage + from * sizeof *out, sizeof *out);
        for (int d = t->ndim - 1; d >= 0; d--) { /* the next index, last dimension fastest */
            from += t->strides[d];
            if (++at[d] < t->dims[d]) break;
            from -= t->dims[d] * t->strides[d];
            at[d] = 0;
        }
    }
    return out;
}
