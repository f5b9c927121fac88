/* Model files opened. Whatever a file says is checked here, once: version, digest, graph against
 * tensors, input against graph; the rest of the program believes it. Writing: model_write.c. */
#include "engine/model/model.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "engine/model/model_internal.h"
#include "engine/model/st_internal.h"

static const char SUFFIX[] = ".safetensors";

static const char *const ROLES[MODEL_ROLE_COUNT] = {
    [MODEL_EMBEDDER] = "embedder", [MODEL_DETECTOR] = "detector", [MODEL_LANDMARKS] = "landmarks"};

const char *model_role_name(enum model_role r)
{
    return (unsigned)r < MODEL_ROLE_COUNT ? ROLES[r] : NULL;
}

bool model__name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n < 1 || n >= sizeof((struct model *)NULL)->name || name[0] == '.' || name[0] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

enum err model__path(char *path, size_t size, const char *dir, const char *name,
                     struct err_info *err)
{
    if (!model__name_ok(name))
        return err_set(err, ERR_INVALID,
                       "a model's name is 1 to 63 of a-z A-Z 0-9 . _ - and does not begin with . "
                       "or -, found \"%.80s\"",
                       name);
    if (snprintf(path, size, "%s/%s%s", dir, name, SUFFIX) >= (int)size)
        return err_set(err, ERR_INVALID, "the models folder's name is too long");
    return ERR_OK;
}

/* Each part goes in with its length, so that no two lists of parts give the same bytes. */
static void digest_part(struct sha256_ctx *sha, const void *data, size_t len)
{
    uint64_t n = len;
    sha256_update(sha, sizeof n, (const uint8_t *)&n);
    sha256_update(sha, len, data);
}

void model__digest(char hex[65], enum model_role role, const char *graph, const char *input,
                   const struct st_tensor *tensors, size_t n)
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_init(&sha);
    digest_part(&sha, ROLES[role], strlen(ROLES[role]));
    digest_part(&sha, graph, graph ? strlen(graph) : 0);
    digest_part(&sha, input, strlen(input));
    for (size_t i = 0; i < n; i++) {
        const struct st_tensor *t = &tensors[i];
        digest_part(&sha, t->name, strlen(t->name));
        digest_part(&sha, st_dtype_name(t->dtype), strlen(st_dtype_name(t->dtype)));
        for (int k = 0; k < t->ndim; k++) {
            uint64_t dim = t->dims[k];
            digest_part(&sha, &dim, sizeof dim);
        }
        digest_part(&sha, t->data, t->count * st_dtype_bytes(t->dtype));
    }
    sha256_digest(&sha, sizeof digest, digest);
    hex_text(hex, digest, sizeof digest);
}

static enum err need(const char **out, const struct safetensors *st, const char *key,
                     struct err_info *err)
{
    *out = st_meta(st, key);
    return *out ? ERR_OK : err_set(err, ERR_MODEL, "%s is missing", key);
}

static enum err copy_meta(char *out, size_t size, const struct safetensors *st, const char *key,
                          struct err_info *err)
{
    const char *value;
    enum err rc = need(&value, st, key, err);
    if (rc) return rc;
    if (strlen(value) >= size)
        return err_set(err, ERR_MODEL, "%s has %zu bytes, the limit is %zu", key, strlen(value),
                       size - 1);
    memcpy(out, value, strlen(value) + 1);
    return ERR_OK;
}

static enum err read_source(struct model *m, struct err_info *err)
{
    const char *text, *file, *sha256;
    enum err rc = need(&text, m->st, "visavis.source", err);
    if (rc) return rc;
    json_auto_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (json_unpack(j, "{s:s, s:s !}", "file", &file, "sha256", &sha256) ||
        strlen(file) >= sizeof m->source_file || strlen(sha256) != sizeof m->source_sha256 - 1)
        return err_set(err, ERR_MODEL, "visavis.source must be {\"file\", \"sha256\"}");
    memcpy(m->source_file, file, strlen(file) + 1);
    memcpy(m->source_sha256, sha256, sizeof m->source_sha256);
    return ERR_OK;
}

/* weight_source of an opened file. */
static const float *tensor_weights(void *self, const char *name, const size_t *dims, int ndim,
                                   struct err_info *err)
{
    const struct st_tensor *t = st_find(self, name);
    if (!t) {
        err_set(err, ERR_MODEL, "tensor %s is missing", name);
        return NULL;
    }
    if (t->dtype != ST_F32 || t->ndim != ndim ||
        memcmp(t->dims, dims, (size_t)ndim * sizeof *dims) != 0) {
        char found[160], want[160];
        size_t f = 0, w = 0;
        found[0] = want[0] = 0;
        for (int i = 0; i < t->ndim && f < sizeof found - 24; i++) /* 24: a size_t and a comma */
            f += (size_t)sprintf(found + f, "%s%zu", i ? "," : "", t->dims[i]);
        for (int i = 0; i < ndim && w < sizeof want - 24; i++)
            w += (size_t)sprintf(want + w, "%s%zu", i ? "," : "", dims[i]);
        err_set(err, ERR_MODEL, "tensor %s: expected F32 [%s], found %s [%s]", name, want,
                st_dtype_name(t->dtype), found);
        return NULL;
    }
    if ((uintptr_t)t->data % sizeof(float)) {
        err_set(err, ERR_MODEL, "tensor %s: not aligned to %zu bytes", name, sizeof(float));
        return NULL;
    }
    return t->data;
}

static enum err check_input(const struct model *m, struct err_info *err)
{
    const struct nn_graph *g = &m->graph;
    const struct model_input *in = &m->input;
    if (g->in_h != in->h || g->in_w != in->w)
        return err_set(err, ERR_MODEL, "the graph takes %dx%d, visavis.input says %dx%d", g->in_w,
                       g->in_h, in->w, in->h);
    if (in->grey && g->in_c != 1)
        return err_set(err, ERR_MODEL, "visavis.input says grey, the graph takes %d channels",
                       g->in_c);
    if (m->role == MODEL_EMBEDDER && in->dim < 1)
        return err_set(err, ERR_MODEL, "an embedder needs dim >= 1, found %d", in->dim);
    return ERR_OK;
}

static enum err check_digest(struct model *m, const char *graph, const char *input,
                             struct err_info *err)
{
    char hex[65];
    model__digest(hex, m->role, graph, input, st_at(m->st, 0), st_count(m->st));
    if (strcmp(hex, m->sha256) != 0)
        return err_set(err, ERR_MODEL,
                       "damaged: its contents have sha256 %.12s..., the file says %.12s...", hex,
                       m->sha256);
    return ERR_OK;
}

static enum err read_model(struct model *m, bool verify, struct err_info *err)
{
    const char *format = st_meta(m->st, "visavis.format"), *role, *input, *restricted;
    const char *graph = st_meta(m->st, "visavis.graph");
    enum err rc;

    if (!format)
        return err_set(
            err, ERR_MODEL,
            "a safetensors file but no model of ours: visavis.format is missing (import it)");
    if (strcmp(format, MODEL_FORMAT) != 0)
        return err_set(err, ERR_MODEL, "format version %.20s, this program reads version %s",
                       format, MODEL_FORMAT);
    if ((rc = need(&role, m->st, "visavis.role", err))) return rc;
    int r = 0;
    while (r < MODEL_ROLE_COUNT && strcmp(ROLES[r], role) != 0) r++;
    if (r == MODEL_ROLE_COUNT) return err_set(err, ERR_MODEL, "unknown role %.40s", role);
    m->role = (enum model_role)r;
    if ((rc = need(&input, m->st, "visavis.input", err))) return rc;
    if ((rc = model__input_from_json(&m->input, input, err))) return rc;
    if ((rc = copy_meta(m->license, sizeof m->license, m->st, "visavis.license", err))) return rc;
    if ((rc = copy_meta(m->sha256, sizeof m->sha256, m->st, "visavis.sha256", err))) return rc;
    if ((rc = need(&restricted, m->st, "visavis.restricted", err))) return rc;
    if ((rc = read_source(m, err))) return rc;
    m->restricted = strcmp(restricted, "false") != 0;
    m->calibration = st_meta(m->st, "visavis.calibration");
    m->note = st_meta(m->st, "visavis.note");
    m->training = st_meta(m->st, "visavis.training");
    if ((rc = model__classes_read(m, st_meta(m->st, "visavis.classes"), err))) return rc;
    m->bytes = st__bytes(m->st);
    const char *importer = st_meta(m->st, "visavis.importer");
    m->importer = importer ? atoi(importer) : 1;
    if (verify && (rc = check_digest(m, graph, input, err))) return rc;
    if (m->role == MODEL_LANDMARKS) return ERR_OK;
    if (!graph) return err_set(err, ERR_MODEL, "visavis.graph is missing");
    const struct weight_source source = {tensor_weights, m->st};
    if ((rc = model__graph_from_json(&m->graph, graph, strlen(graph), &source, err))) return rc;
    return check_input(m, err);
}

static enum err open_model(struct model **out, const char *dir, const char *name, bool verify,
                           struct err_info *err)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m) return err_set(err, ERR_NOMEM, "no memory");
    enum err rc = model__path(m->path, sizeof m->path, dir, name, err);
    if (!rc) {
        memcpy(m->name, name, strlen(name) + 1);
        rc = st_open(&m->st, m->path, err);
    }
    if (!rc) {
        rc = read_model(m, verify || st__bytes(m->st) <= MODEL_VERIFY_BYTES, err);
        if (rc) err_prefix(err, "%s", m->path);
    }
    if (rc) {
        model_close(m);
        return rc;
    }
    *out = m;
    return ERR_OK;
}

enum err model_open(struct model **out, const char *dir, const char *name, struct err_info *err)
{
    return open_model(out, dir, name, false, err);
}

enum err model_verify(const char *dir, const char *name, struct err_info *err)
{
    struct model *m = NULL;
    enum err rc = open_model(&m, dir, name, true, err);
    model_close(rc ? NULL : m);
    return rc;
}

void model_close(struct model *m)
{
    if (!m) return;
    nn_graph_release(&m->graph);
    model__classes_release(m);
    st_close(m->st);
    free(m);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum err add_name(char ***names, size_t *n, const char *file, struct err_info *err)
{
    char name[sizeof((struct model *)NULL)->name];
    size_t len = strlen(file), suffix = sizeof SUFFIX - 1;
    if (len <= suffix || len - suffix >= sizeof name || strcmp(file + len - suffix, SUFFIX) != 0)
        return ERR_OK;
    memcpy(name, file, len - suffix);
    name[len - suffix] = 0;
    if (!model__name_ok(name)) return ERR_OK;
    char **more = realloc(*names, (*n + 1) * sizeof *more);
    if (!more) return err_set(err, ERR_NOMEM, "no memory for %zu names", *n + 1);
    *names = more;
    more[*n] = strdup(name);
    if (!more[*n]) return err_set(err, ERR_NOMEM, "no memory for a name");
    ++*n;
    return ERR_OK;
}

enum err model_names(char ***names, size_t *n, const char *dir, struct err_info *err)
{
    char **list = NULL;
    size_t count = 0;
    enum err rc = ERR_OK;
    const struct dirent *entry;
    DIR *d = opendir(dir);

    if (!d && errno != ENOENT)
        return err_set(err, ERR_IO, "cannot read %s: %s", dir, strerror(errno));
    while (!rc && d && (entry = readdir(d))) rc = add_name(&list, &count, entry->d_name, err);
    if (d) closedir(d);
    if (rc) {
        model_names_free(list, count);
        return rc;
    }
    if (count) qsort(list, count, sizeof *list, by_text);
    *names = list;
    *n = count;
    return ERR_OK;
}

void model_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
}
