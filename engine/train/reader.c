#include "engine/train/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/model/model.h"
#include "engine/train/measure.h"

struct train_reader {
    struct model *model;
    struct train_refs prototypes; /* the model's own memory */
    const int32_t *codes;         /* [classes][2] */
    const uint8_t *examples, *labels;
    size_t classes, n_examples;
    int dim;
    float scale;
    float *example_x; /* [n_examples][dim] */
};

static const struct st_tensor *find(const struct model *m, const char *name, enum st_dtype type,
                                    int ndim)
{
    const struct st_tensor *t = st_find(m->st, name);
    return t && t->dtype == type && t->ndim == ndim &&
                   (type == ST_U8 || (uintptr_t)t->data % sizeof(float) == 0)
               ? t
               : NULL;
}

static enum err bind(struct train_reader *r, struct err_info *err)
{
    const struct model *m = r->model;
    const struct st_tensor *prototypes = find(m, READER_PROTOTYPES, ST_F32, 2),
                           *classes = find(m, READER_CLASSES, ST_U8, 1),
                           *codes = find(m, READER_CODES, ST_I32, 2),
                           *scale = find(m, READER_SCALE, ST_F32, 1),
                           *examples = find(m, READER_EXAMPLES, ST_U8, 3),
                           *labels = find(m, READER_LABELS, ST_U8, 1);
    if (examples && !prototypes)
        return err_set(err, ERR_INVALID,
                       "glyph model %.64s was made by an earlier version: train it again", m->name);
    if (m->role != MODEL_EMBEDDER || !prototypes || !classes || !codes || !scale || !examples ||
        !labels)
        return err_set(err, ERR_INVALID, "model %.64s is no glyph model: it has no examples",
                       m->name);
    r->dim = m->input.dim;
    r->classes = codes->dims[0];
    r->prototypes =
        (struct train_refs){(float *)prototypes->data, (uint8_t *)classes->data, classes->count};
    r->n_examples = labels->count;
    if (r->classes < 1 || r->classes > TRAIN_MAX_CLASSES || prototypes->dims[1] != (size_t)r->dim ||
        prototypes->dims[0] != r->prototypes.n || !r->prototypes.n || codes->dims[1] != 2 ||
        scale->count != 1 || examples->dims[0] != r->n_examples ||
        examples->count != r->n_examples * TRAIN_PIXELS || m->graph.in_c != 1 ||
        m->graph.in_h != TRAIN_SIDE || m->graph.in_w != TRAIN_SIDE || !r->n_examples)
        return err_set(err, ERR_MODEL, "model %.64s: its examples do not fit each other", m->name);

    r->codes = codes->data;
    r->examples = examples->data;
    r->labels = labels->data;
    r->scale = *(const float *)scale->data;
    for (size_t i = 0; i < r->n_examples; i++)
        if (r->labels[i] >= r->classes)
            return err_set(err, ERR_MODEL, "model %.64s: example %zu is of class %d of %zu",
                           m->name, i, r->labels[i], r->classes);
    for (size_t i = 0; i < r->prototypes.n; i++)
        if (r->prototypes.labels[i] >= r->classes)
            return err_set(err, ERR_MODEL, "model %.64s: prototype %zu is of class %d of %zu",
                           m->name, i, r->prototypes.labels[i], r->classes);
    if (!isfinite(r->scale)) return err_set(err, ERR_MODEL, "model %.64s: its scale", m->name);
    return ERR_OK;
}

enum err train_reader_open(struct train_reader **out, const char *models_dir, const char *name,
                           struct err_info *err)
{
    struct train_reader *r = calloc(1, sizeof *r);
    enum err rc;
    if (!r) return err_set(err, ERR_NOMEM, "no memory for a reader");
    if ((rc = model_open(&r->model, models_dir, name, err))) goto fail;
    if ((rc = bind(r, err))) goto fail;
    r->example_x = mem_aligned(r->n_examples * (size_t)r->dim, sizeof *r->example_x);
    if (!r->example_x) {
        rc = err_set(err, ERR_NOMEM, "no memory for %zu examples", r->n_examples);
        goto fail;
    }
    rc = train_embed(r->example_x, &r->model->graph, r->examples, r->n_examples, NULL, err);
    if (rc) goto fail;
    *out = r;
    return ERR_OK;
fail:
    train_reader_close(r);
    return rc;
}

void train_reader_close(struct train_reader *r)
{
    if (!r) return;
    free(r->example_x);
    model_close(r->model);
    free(r);
}

/* --- reading --- */

static const float *row(const struct train_reader *r, const float *x, size_t i)
{
    return x + i * (size_t)r->dim;
}

/* Which classes may be the answer; returns how many. */
static size_t allow(bool *allowed, const struct train_reader *r, const uint32_t *candidates,
                    size_t n)
{
    bool has_prototype[TRAIN_MAX_CLASSES] = {false};
    size_t count = 0;
    for (size_t i = 0; i < r->prototypes.n; i++) has_prototype[r->prototypes.labels[i]] = true;
    for (size_t c = 0; c < r->classes; c++) {
        allowed[c] = !candidates;
        for (size_t i = 0; i < n && !allowed[c]; i++)
            allowed[c] = r->codes[2 * c] == (int32_t)candidates[i] ||
                         (r->codes[2 * c + 1] && r->codes[2 * c + 1] == (int32_t)candidates[i]);
        allowed[c] &= has_prototype[c];
        count += allowed[c];
    }
    return count;
}

static void read_class(struct train_reading *out, const struct train_reader *r, const float *x,
                       const bool *allowed)
{
    float similarity[TRAIN_MAX_CLASSES];
    const int best = train_nearest_class(similarity, x, &r->prototypes, r->dim, allowed);
    double sum = 0;
    for (size_t c = 0; c < r->classes; c++)
        if (allowed[c]) sum += exp((double)(r->scale * (similarity[c] - similarity[best])));
    for (int k = 0; k < 2; k++) out->codes[k] = (uint32_t)r->codes[2 * best + k];
    out->similarity = similarity[best];
    out->probability = (float)(1 / sum);
}

static void find_near(struct train_reading *out, const struct train_reader *r, const float *x,
                      const bool *allowed)
{
    for (size_t i = 0; i < r->n_examples; i++) {
        if (!allowed[r->labels[i]]) continue;
        const float s = match_similarity(x, row(r, r->example_x, i), r->dim);
        int at = out->n_near;
        if (at == TRAIN_NEAR && s <= out->near[TRAIN_NEAR - 1].similarity) continue;
        if (at == TRAIN_NEAR) at--;
        for (; at > 0 && out->near[at - 1].similarity < s; at--) out->near[at] = out->near[at - 1];
        out->near[at] = (struct train_near){(uint32_t)r->codes[2 * r->labels[i]], s,
                                            r->examples + i * TRAIN_PIXELS};
        if (out->n_near < TRAIN_NEAR) out->n_near++;
    }
}

enum err train_read(struct train_reading *out, const struct train_reader *r, const uint8_t *glyphs,
                    size_t n, const uint32_t *candidates, size_t n_candidates,
                    const struct cores *cores, struct err_info *err)
{
    AUTO_FREE float *x = mem_aligned(n * (size_t)r->dim, sizeof *x);
    bool allowed[TRAIN_MAX_CLASSES];
    enum err rc;
    if (!x) return err_set(err, ERR_NOMEM, "no memory to read %zu glyphs", n);
    if (!allow(allowed, r, candidates, n_candidates))
        return err_set(err, ERR_INVALID, "model %.64s knows none of the %zu characters asked for",
                       r->model->name, n_candidates);
    if ((rc = train_embed(x, &r->model->graph, glyphs, n, cores, err))) return rc;
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct train_reading){0};
        read_class(&out[i], r, row(r, x, i), allowed);
        find_near(&out[i], r, row(r, x, i), allowed);
    }
    return ERR_OK;
}
