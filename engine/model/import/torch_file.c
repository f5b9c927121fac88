/* From a container to named tensors: find the pickle, read it as data, find each storage's bytes,
 * check that every view lies inside its storage. Nothing is copied. */
#include "engine/model/import/torch_file.h"

#include <string.h>

#include "engine/model/import/pickle.h"
#include "engine/model/import/zip.h"

static const uint8_t MAGIC[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                  0x20, 0x6a, 0xa8, 0x50, 0x19}; /* torch.serialization */

enum { PROTOCOL = 1001, KEY_BYTES = 64 };

static const struct {
    uint8_t bytes;
    enum { INTEGER, SMALL_FLOAT, FLOAT, DOUBLE } values;
} STORAGES[PICKLE_GLOBAL_COUNT] = {
    [PICKLE_FLOAT_STORAGE] = {4, FLOAT},      [PICKLE_DOUBLE_STORAGE] = {8, DOUBLE},
    [PICKLE_HALF_STORAGE] = {2, SMALL_FLOAT}, [PICKLE_BFLOAT16_STORAGE] = {2, SMALL_FLOAT},
    [PICKLE_LONG_STORAGE] = {8, INTEGER},     [PICKLE_INT_STORAGE] = {4, INTEGER},
    [PICKLE_SHORT_STORAGE] = {2, INTEGER},    [PICKLE_CHAR_STORAGE] = {1, INTEGER},
    [PICKLE_BYTE_STORAGE] = {1, INTEGER},     [PICKLE_BOOL_STORAGE] = {1, INTEGER},
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

/* A checkpoint often keeps the state dict under a key of its own. */
static const struct pickle_value *state_dict(const struct pickle_value *v)
{
    for (size_t i = 0; v->kind == PICKLE_DICT && i + 1 < v->n; i += 2)
        if (pickle_is(v->items[i], "state_dict") && v->items[i + 1]->kind == PICKLE_DICT)
            return v->items[i + 1];
    return v;
}

static enum err tensor_name(char name[VIEW_NAME_BYTES], const struct pickle_value *key, size_t i,
                            struct err_info *err)
{
    if (key->kind != PICKLE_STRING || !key->text_len || key->text_len >= VIEW_NAME_BYTES)
        return err_set(err, ERR_MODEL, "tensor %zu: its name is no string of 1 to %d bytes", i,
                       VIEW_NAME_BYTES - 1);
    memcpy(name, key->text, key->text_len);
    name[key->text_len] = 0;
    for (size_t c = 0; c < key->text_len; c++) /* it goes into messages */
        if (name[c] < ' ' || name[c] > '~') name[c] = '?';
    return ERR_OK;
}

/* *out: the tensors by name; r->storages: what they need, still without bytes. */
static enum err find_storages(const struct pickle_value **out, struct reader *r,
                              const struct pickle_value *top, struct err_info *err)
{
    const struct pickle_value *dict = state_dict(top);
    char name[VIEW_NAME_BYTES];
    enum err rc;

    if (dict->kind != PICKLE_DICT || dict->n < 2)
        return err_set(
            err, ERR_MODEL,
            "a dict of tensors (a state dict) is expected, the file holds something else");
    if (dict->n / 2 > TORCH_TENSORS_MAX)
        return err_set(err, ERR_MODEL, "%zu tensors, the limit is %d", dict->n / 2,
                       TORCH_TENSORS_MAX);
    r->storages = items_alloc(r->arena, TORCH_TENSORS_MAX, sizeof *r->storages);
    if (!r->storages) return err_set(err, ERR_NOMEM, "no memory for %zu tensors", dict->n / 2);
    for (size_t i = 0; i < dict->n / 2; i++) {
        const struct pickle_value *value = dict->items[2 * i + 1];
        if ((rc = tensor_name(name, dict->items[2 * i], i, err))) return rc;
        if (value->kind != PICKLE_TENSOR)
            return err_set(err, ERR_MODEL, "%s is no tensor; a state dict is expected", name);
        if (value->items[0]->kind != PICKLE_STORAGE)
            return err_set(err, ERR_MODEL, "%s: a tensor without a storage", name);
        if (!storage_of(r, value->items[0])) return ERR_MODEL;
    }
    *out = dict;
    return ERR_OK;
}

static bool sizes(size_t out[VIEW_DIMS_MAX], const struct pickle_value *v)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->items[i]->kind != PICKLE_INT || v->items[i]->number < 0) return false;
        out[i] = (size_t)v->items[i]->number;
    }
    return true;
}

static enum err read_tensor(struct view *t, const struct storage *s, const char *name,
                            const struct pickle_value *v, struct err_info *err)
{
    const struct pickle_value *offset = v->items[1], *dims = v->items[2], *strides = v->items[3];
    size_t at[VIEW_DIMS_MAX], step[VIEW_DIMS_MAX];

    if (offset->kind != PICKLE_INT || offset->number < 0 || dims->kind != PICKLE_TUPLE ||
        strides->kind != PICKLE_TUPLE || dims->n != strides->n || dims->n > VIEW_DIMS_MAX)
        return err_set(err, ERR_MODEL,
                       "%s: a tensor of a storage, an offset, at most %d sizes and as many strides "
                       "is expected",
                       name, VIEW_DIMS_MAX);
    if (!sizes(at, dims) || !sizes(step, strides))
        return err_set(err, ERR_MODEL, "%s: a size or stride is no number >= 0", name);
    return view_of_storage(t, name, STORAGES[s->type].values == DOUBLE ? VIEW_F64 : VIEW_F32,
                           (int)dims->n, at, step, (size_t)offset->number, s->data, s->numel, err);
}

/* The storages have their bytes. */
static enum err read_tensors(struct torch_file *out, struct reader *r,
                             const struct pickle_value *dict, struct err_info *err)
{
    char name[VIEW_NAME_BYTES];
    enum err rc;

    out->n = 0;
    out->tensors = items_alloc(r->arena, dict->n / 2, sizeof *out->tensors);
    if (!out->tensors) return err_set(err, ERR_NOMEM, "no memory for %zu tensors", dict->n / 2);
    for (size_t i = 0; i < dict->n / 2; i++) {
        const struct pickle_value *value = dict->items[2 * i + 1];
        const struct storage *s = storage_of(r, value->items[0]);
        if (!s) return ERR_MODEL;
        if (STORAGES[s->type].values == INTEGER) continue;
        if ((rc = tensor_name(name, dict->items[2 * i], i, err))) return rc;
        if (STORAGES[s->type].values == SMALL_FLOAT)
            return err_set(err, ERR_MODEL, "%s: %s, float32 is expected", name,
                           pickle_global_name((enum pickle_global)s->type));
        if (torch_find(out, name)) return err_set(err, ERR_MODEL, "%s is there twice", name);
        if ((rc = read_tensor(&out->tensors[out->n], s, name, value, err))) return rc;
        out->n++;
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
    const struct pickle_value *dict;
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
    if ((rc = find_storages(&dict, r, object, err))) return rc;
    if ((rc = next_pickle(&keys, r, &at, err))) return rc;
    if (keys->kind != PICKLE_LIST || keys->n != r->n_storages)
        return err_set(err, ERR_MODEL, "a list of %zu storages is expected, found %zu",
                       r->n_storages, keys->n);
    for (size_t i = 0; i < keys->n; i++)
        if ((rc = legacy_storage(r, keys->items[i], &at, err))) return rc;
    if (at != r->len)
        return err_set(err, ERR_MODEL, "%zu bytes after the last storage", r->len - at);
    return read_tensors(out, r, dict, err);
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
    const struct pickle_value *dict;
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
    if ((rc = find_storages(&dict, r, object, err))) return rc;
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
    return read_tensors(out, r, dict, err);
}

enum err torch_read(struct torch_file *out, const uint8_t *data, size_t len, struct arena *a,
                    struct err_info *err)
{
    struct reader r = {.data = data, .len = len, .arena = a, .err = err};
    if (len >= 4 && memcmp(data, "PK\3\4", 4) == 0) return read_zip(out, &r, err);
    return read_legacy(out, &r, err);
}

const struct view *torch_find(const struct torch_file *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->tensors[i].name, name) == 0) return &f->tensors[i];
    return NULL;
}
