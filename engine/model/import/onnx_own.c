/* The graph is read from its nodes like any other's; only what ONNX has no place for comes from the
 * metadata, and is checked against the graph. */
#include "engine/model/import/onnx_own.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/model_internal.h"

enum { NOTE_BYTES = 512, LICENSE_BYTES = sizeof((struct model *)NULL)->license };

bool onnx_is_own(const struct onnx_builder *b)
{
    return onnx_meta(b->m, "visavis.input", b->a) != NULL;
}

static bool known(const char **out, const struct onnx_builder *b, const char *key)
{
    return (*out = onnx_meta(b->m, key, b->a)) != NULL;
}

/* Exports of old versions have no role: embedders have a dimension. */
static enum err read_role(struct model_draft *d, const struct onnx_builder *b)
{
    const char *name;
    d->role = d->input.dim ? MODEL_EMBEDDER : MODEL_DETECTOR;
    if (!known(&name, b, "visavis.role") || strcmp(name, model_role_name(d->role)) == 0)
        return ERR_OK;
    return err_set(b->err, ERR_MODEL, "visavis.role is %.40s, visavis.input says it is a %s", name,
                   model_role_name(d->role));
}

/* What the model came from: its own source becomes a note. */
static enum err read_note(struct model_draft *d, const struct onnx_builder *b)
{
    const char *text, *file, *sha256, *before = NULL;
    char *note = items_alloc(b->a, NOTE_BYTES, 1);
    if (!note) return err_set(b->err, ERR_NOMEM, "no memory for a note");
    d->note = note;
    size_t n = (size_t)snprintf(note, NOTE_BYTES, "from an ONNX file that visavis exported");
    if (known(&text, b, "visavis.source")) {
        json_auto_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        if (json_unpack(j, "{s:s, s:s}", "file", &file, "sha256", &sha256))
            return err_set(b->err, ERR_MODEL, "visavis.source must be {\"file\", \"sha256\"}");
        n += (size_t)snprintf(note + n, NOTE_BYTES - n, "; that model was made from %.200s, %.64s",
                              file, sha256);
    }
    if (known(&before, b, "visavis.note")) snprintf(note + n, NOTE_BYTES - n, "; %.150s", before);
    return ERR_OK;
}

static enum err read_classes(struct model_draft *d, const struct onnx_builder *b)
{
    struct model checked = {.n_classes = 0};
    if (!known(&d->classes, b, "visavis.classes")) return ERR_OK;
    const enum err rc = model__classes_read(&checked, d->classes, b->err);
    model__classes_release(&checked);
    return rc;
}

/* Vectors become planes of one pixel, as a model file has them. */
static enum err place_outputs(struct onnx_builder *b)
{
    for (int i = 0; i < b->g->n_outputs; i++) {
        struct onnx_value v = *b->values[b->m->outputs[i].id];
        enum err rc = onnx_planes(b, &v);
        if (rc) return rc;
        b->g->outputs[i].op = v.op;
    }
    return ERR_OK;
}

static enum err check_embedding(const struct model_draft *d, const struct onnx_builder *b)
{
    const char *name = d->input.output[0] ? d->input.output : "embedding";
    const int o = nn_graph_output(b->g, name);
    if (d->role != MODEL_EMBEDDER) return ERR_OK;
    if (o < 0) return err_set(b->err, ERR_MODEL, "there is no output %s", name);
    const struct nn_shape s = onnx_shape(b, b->g->outputs[o].op);
    if ((long long)s.c * s.h * s.w == d->input.dim) return ERR_OK;
    return err_set(b->err, ERR_MODEL, "output %s is %dx%dx%d, visavis.input says %d values", name,
                   s.c, s.h, s.w, d->input.dim);
}

enum err onnx_own(struct model_draft *d, struct onnx_builder *b)
{
    struct nn_graph *g = b->g;
    const char *input, *restricted;
    enum err rc;

    if (!known(&input, b, "visavis.input"))
        return err_set(b->err, ERR_MODEL, "visavis.input is missing");
    if ((rc = model__input_from_json(&d->input, input, b->err))) return rc;
    if ((rc = read_role(d, b)) || (rc = read_note(d, b)) || (rc = place_outputs(b))) return rc;
    if ((rc = check_embedding(d, b))) return rc;
    const int w = b->any_size ? 0 : g->in_w, h = b->any_size ? 0 : g->in_h;
    if (w != d->input.w || h != d->input.h)
        return err_set(b->err, ERR_MODEL, "the graph takes %dx%d, visavis.input says %dx%d", w, h,
                       d->input.w, d->input.h);
    g->in_w = w;
    g->in_h = h;
    if (!known(&d->license, b, "visavis.license") || strlen(d->license) >= LICENSE_BYTES)
        d->license = "unknown";
    d->restricted =
        !known(&restricted, b, "visavis.restricted") || strcmp(restricted, "false") != 0;
    return read_classes(d, b);
}
