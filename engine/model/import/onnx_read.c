/* ModelProto, GraphProto, NodeProto, AttributeProto, ValueInfoProto. Lists are counted first, then
 * made in the arena. */
#include "engine/model/import/onnx_read.h"

#include <string.h>

#include "engine/model/import/import.h"
#include "engine/model/import/onnx_read_internal.h"

enum { MODEL_GRAPH = 7, MODEL_OPSET = 8, OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { MODEL_METADATA = 14, PAIR_KEY = 1, PAIR_VALUE = 2 };
enum {
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_SPARSE = 15
};
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 7 };
enum { ATTR_NAME = 1, ATTR_F, ATTR_I, ATTR_S, ATTR_T, ATTR_FLOATS = 7, ATTR_INTS, ATTR_TYPE = 20 };
enum { TENSOR_NAME = 8, INFO_NAME = 1, INFO_TYPE = 2 };
enum { TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2, SHAPE_DIM = 1, DIM_VALUE = 1 };

struct reader {
    struct onnx_model *m;
    struct arena *a;
    struct err_info *err;
    int *slots;     /* of names, by their hash; 0: free, else a name + 1 */
    size_t n_slots; /* a power of two, at least twice the names */
};

static enum err no_memory(const struct reader *r)
{
    return err_set(r->err, ERR_NOMEM, "no memory for the graph");
}

static char *text_of(struct reader *r, const struct wire_field *f)
{
    const size_t size = (f->len < ONNX_TEXT_BYTES ? f->len : ONNX_TEXT_BYTES - 1) + 1;
    char *text = arena_alloc(r->a, size);
    if (text) wire_text(text, size, f);
    return text;
}

static size_t hash_of(const struct wire_field *f)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < f->len; i++) h = (h ^ f->data[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* The number of a name; a new one is added. */
static enum err intern(struct reader *r, int *id, const struct wire_field *f)
{
    struct onnx_model *m = r->m;
    size_t at = hash_of(f) & (r->n_slots - 1);

    *id = ONNX_NO_NAME;
    if (!f->len) return ERR_OK;
    for (; r->slots[at]; at = (at + 1) & (r->n_slots - 1)) {
        const struct onnx_name *n = &m->names[r->slots[at] - 1];
        if (n->len != f->len || memcmp(n->raw, f->data, f->len) != 0) continue;
        *id = r->slots[at] - 1;
        return ERR_OK;
    }
    if ((size_t)m->n_names == r->n_slots / 2)
        return err_set(r->err, ERR_MODEL, "more than %d names", m->n_names);
    struct onnx_name *n = &m->names[m->n_names];
    *n = (struct onnx_name){f->data, f->len, text_of(r, f)};
    if (!n->text) return no_memory(r);
    *id = m->n_names++;
    r->slots[at] = m->n_names;
    return ERR_OK;
}

/* A file of len bytes has fewer than len / 2 names. */
static enum err make_names(struct reader *r, size_t len)
{
    for (r->n_slots = 64; r->n_slots < len && r->n_slots < 2 * ONNX_NAMES_MAX;) r->n_slots *= 2;
    r->slots = items_alloc(r->a, r->n_slots, sizeof *r->slots);
    r->m->names = items_alloc(r->a, r->n_slots / 2, sizeof *r->m->names);
    return r->slots && r->m->names ? ERR_OK : no_memory(r);
}

/* How many fields of that number the message has, and room for them. */
static enum err make_list(struct reader *r, void *list, const struct wire_field *message,
                          uint32_t number, size_t size, int max, const char *what)
{
    struct wire w = wire_message(message, r->err);
    struct wire_field f;
    int n = 0;
    while (wire_next(&w, &f))
        if (f.number == number && n++ == max)
            return err_set(r->err, ERR_MODEL, "more than %d %s", max, what);
    if (w.rc) return w.rc;
    void *made = items_alloc(r->a, (size_t)n + 1, size);
    memcpy(list, &made, sizeof made);
    return made ? ERR_OK : no_memory(r);
}

/* --- attributes --- */

static enum err attr_floats(struct reader *r, struct onnx_attr *a, const struct wire_field *f)
{
    const uint8_t *data;
    size_t len;
    enum err rc = wire_floats(&data, &len, f, ATTR_FLOATS, sizeof(float), r->a, r->err);
    if (rc || !len) return rc;
    a->n = len / sizeof(float);
    a->floats = items_alloc(r->a, a->n, sizeof *a->floats);
    if (!a->floats) return no_memory(r);
    for (size_t i = 0; i < a->n; i++) {
        float v;
        memcpy(&v, data + i * sizeof v, sizeof v);
        a->floats[i] = (double)v;
    }
    return ERR_OK;
}

static enum err attr_ints(struct reader *r, struct onnx_attr *a, const struct wire_field *f)
{
    struct wire w = wire_message(f, r->err);
    struct wire_field in;
    enum err rc = ERR_OK;
    const size_t max = f->len < ONNX_SMALL ? f->len : ONNX_SMALL; /* one takes a byte at least */

    a->ints = items_alloc(r->a, max + 1, sizeof *a->ints);
    if (!a->ints) return no_memory(r);
    for (a->n = 0; !rc && wire_next(&w, &in);)
        if (in.number == ATTR_INTS) rc = onnx__ints(a->ints, &a->n, max, &in, r->err);
    return rc ? rc : w.rc;
}

static enum err attr_tensor(struct reader *r, struct onnx_attr *a, const struct wire_field *f)
{
    a->t = items_alloc(r->a, 1, sizeof *a->t);
    if (!a->t) return no_memory(r);
    a->t->id = ONNX_NO_NAME;
    return onnx__tensor(a->t, "a constant", f, r->a, r->err);
}

/* Files older than the field `type` leave it out: then what is there tells. */
static void note(struct onnx_attr *a, bool has_type, enum onnx_attr_type type)
{
    if (!has_type) a->type = type;
}

static enum err read_attribute(struct reader *r, struct onnx_attr *a, const struct wire_field *f)
{
    struct wire w = wire_message(f, r->err);
    struct wire_field in, tensor = {0};
    bool has_type = false;
    enum err rc = ERR_OK;

    a->name = a->s = "";
    while (!rc && wire_next(&w, &in)) {
        if (wire_is(&w, &in, ATTR_NAME, WIRE_BYTES)) {
            if (!(a->name = text_of(r, &in))) rc = no_memory(r);
        } else if (wire_is(&w, &in, ATTR_TYPE, WIRE_VARINT)) {
            a->type = in.value < INT32_MAX ? (int)in.value : INT32_MAX;
            has_type = true;
        } else if (wire_is(&w, &in, ATTR_F, WIRE_32)) {
            memcpy(&a->f, in.data, sizeof a->f);
            note(a, has_type, ONNX_ATTR_FLOAT);
        } else if (wire_is(&w, &in, ATTR_I, WIRE_VARINT)) {
            a->i = (int64_t)in.value;
            note(a, has_type, ONNX_ATTR_INT);
        } else if (wire_is(&w, &in, ATTR_S, WIRE_BYTES)) {
            if (!(a->s = text_of(r, &in))) rc = no_memory(r);
            note(a, has_type, ONNX_ATTR_STRING);
        } else if (wire_is(&w, &in, ATTR_T, WIRE_BYTES)) {
            tensor = in;
            note(a, has_type, ONNX_ATTR_TENSOR);
        } else if (in.number == ATTR_FLOATS) {
            note(a, has_type, ONNX_ATTR_FLOATS);
        } else if (in.number == ATTR_INTS) {
            note(a, has_type, ONNX_ATTR_INTS);
        }
    }
    if (rc || (rc = w.rc)) return rc;
    if (a->type == ONNX_ATTR_FLOATS) return attr_floats(r, a, f);
    if (a->type == ONNX_ATTR_INTS) return attr_ints(r, a, f);
    if (a->type == ONNX_ATTR_TENSOR) return attr_tensor(r, a, &tensor);
    return ERR_OK;
}

/* --- nodes --- */

static enum err read_node_fields(struct reader *r, struct onnx_node *n, const struct wire_field *f)
{
    struct wire w = wire_message(f, r->err);
    struct wire_field in;
    enum err rc = ERR_OK;

    while (!rc && wire_next(&w, &in)) {
        const char **text = NULL;
        if (wire_is(&w, &in, NODE_INPUT, WIRE_BYTES))
            rc = intern(r, &n->in[n->n_in++], &in);
        else if (wire_is(&w, &in, NODE_OUTPUT, WIRE_BYTES))
            rc = intern(r, &n->out[n->n_out++], &in);
        else if (wire_is(&w, &in, NODE_ATTRIBUTE, WIRE_BYTES)) {
            rc = read_attribute(r, &n->attrs[n->n_attrs], &in);
            if (rc) err_prefix(r->err, "attribute %s", n->attrs[n->n_attrs].name);
            n->n_attrs++;
        } else if (wire_is(&w, &in, NODE_NAME, WIRE_BYTES))
            text = &n->name;
        else if (wire_is(&w, &in, NODE_OP, WIRE_BYTES))
            text = &n->op;
        else if (wire_is(&w, &in, NODE_DOMAIN, WIRE_BYTES))
            text = &n->domain;
        if (text && !(*text = text_of(r, &in))) rc = no_memory(r);
    }
    return rc ? rc : w.rc;
}

static enum err read_node(struct reader *r, const struct wire_field *f)
{
    struct onnx_node *n = &r->m->nodes[r->m->n_nodes++];
    enum err rc;

    n->op = n->domain = n->name = "";
    rc = make_list(r, &n->in, f, NODE_INPUT, sizeof *n->in, ONNX_LIST_MAX, "inputs");
    if (!rc) rc = make_list(r, &n->out, f, NODE_OUTPUT, sizeof *n->out, ONNX_LIST_MAX, "outputs");
    if (!rc)
        rc = make_list(r, &n->attrs, f, NODE_ATTRIBUTE, sizeof *n->attrs, ONNX_LIST_MAX,
                       "attributes");
    if (!rc) rc = read_node_fields(r, n, f);
    return rc ? err_prefix(r->err, "node %d (%s %s)", r->m->n_nodes - 1, n->op, n->name) : ERR_OK;
}

/* --- initializers, inputs, outputs --- */

/* The name is a field of the message like others, and needed before them. */
static enum err read_name(struct reader *r, int *id, const struct wire_field *f, uint32_t number)
{
    struct wire w = wire_message(f, r->err);
    struct wire_field in;
    enum err rc = ERR_OK;
    *id = ONNX_NO_NAME;
    while (!rc && wire_next(&w, &in))
        if (wire_is(&w, &in, number, WIRE_BYTES)) rc = intern(r, id, &in);
    return rc ? rc : w.rc;
}

static enum err read_tensor(struct reader *r, const struct wire_field *f)
{
    struct onnx_tensor *t = &r->m->tensors[r->m->n_tensors++];
    enum err rc = read_name(r, &t->id, f, TENSOR_NAME);
    if (rc) return err_prefix(r->err, "initializer %d", r->m->n_tensors - 1);
    if (t->id == ONNX_NO_NAME)
        return err_set(r->err, ERR_MODEL, "initializer %d has no name", r->m->n_tensors - 1);
    return onnx__tensor(t, r->m->names[t->id].text, f, r->a, r->err);
}

static enum err read_dim(struct onnx_info *info, const struct wire_field *f, struct err_info *err)
{
    struct wire w = wire_message(f, err);
    struct wire_field in;
    int64_t dim = -1;
    while (wire_next(&w, &in))
        if (wire_is(&w, &in, DIM_VALUE, WIRE_VARINT)) dim = (int64_t)in.value;
    if (w.rc) return w.rc;
    if (info->ndim == VIEW_DIMS_MAX)
        return err_set(err, ERR_MODEL, "more than %d dimensions", VIEW_DIMS_MAX);
    info->dims[info->ndim++] = dim > 0 ? dim : -1; /* 0 and less is what some write for "any" */
    return ERR_OK;
}

/* TypeProto.Tensor: the element's type, and a shape. */
static enum err read_tensor_type(struct onnx_info *info, const struct wire_field *f,
                                 struct err_info *err)
{
    struct wire w = wire_message(f, err), dims;
    struct wire_field in, dim;
    enum err rc = ERR_OK;

    while (!rc && wire_next(&w, &in)) {
        if (wire_is(&w, &in, TENSOR_ELEMENT, WIRE_VARINT))
            info->type = in.value < INT32_MAX ? (int)in.value : INT32_MAX;
        if (!wire_is(&w, &in, TENSOR_SHAPE, WIRE_BYTES)) continue;
        info->ndim = 0;
        dims = wire_message(&in, err);
        while (!rc && wire_next(&dims, &dim))
            if (wire_is(&dims, &dim, SHAPE_DIM, WIRE_BYTES)) rc = read_dim(info, &dim, err);
        if (!rc) rc = dims.rc;
    }
    return rc ? rc : w.rc;
}

static enum err read_info(struct reader *r, struct onnx_info *info, const struct wire_field *f)
{
    struct wire w = wire_message(f, r->err), type;
    struct wire_field in, tensor;
    enum err rc = read_name(r, &info->id, f, INFO_NAME);

    info->ndim = -1;
    while (!rc && wire_next(&w, &in)) {
        if (!wire_is(&w, &in, INFO_TYPE, WIRE_BYTES)) continue;
        type = wire_message(&in, r->err);
        while (!rc && wire_next(&type, &tensor))
            if (wire_is(&type, &tensor, TYPE_TENSOR, WIRE_BYTES))
                rc = read_tensor_type(info, &tensor, r->err);
        if (!rc) rc = type.rc;
    }
    if (!rc) rc = w.rc;
    if (rc) return err_prefix(r->err, "an input or output of the graph");
    return info->id != ONNX_NO_NAME
               ? ERR_OK
               : err_set(r->err, ERR_MODEL, "an input or output of the graph has no name");
}

/* --- the whole --- */

static enum err read_graph(struct reader *r, const struct wire_field *graph)
{
    struct onnx_model *m = r->m;
    struct wire w = wire_message(graph, r->err);
    struct wire_field f;
    enum err rc;

    rc = make_list(r, &m->nodes, graph, GRAPH_NODE, sizeof *m->nodes, ONNX_NODES_MAX, "nodes");
    if (!rc)
        rc = make_list(r, &m->tensors, graph, GRAPH_INITIALIZER, sizeof *m->tensors,
                       ONNX_TENSORS_MAX, "initializers");
    if (!rc)
        rc = make_list(r, &m->inputs, graph, GRAPH_INPUT, sizeof *m->inputs, ONNX_TENSORS_MAX,
                       "inputs");
    if (!rc)
        rc = make_list(r, &m->outputs, graph, GRAPH_OUTPUT, sizeof *m->outputs, ONNX_LIST_MAX,
                       "outputs");
    while (!rc && wire_next(&w, &f)) {
        if (wire_is(&w, &f, GRAPH_NODE, WIRE_BYTES))
            rc = read_node(r, &f);
        else if (wire_is(&w, &f, GRAPH_INITIALIZER, WIRE_BYTES))
            rc = read_tensor(r, &f);
        else if (wire_is(&w, &f, GRAPH_INPUT, WIRE_BYTES))
            rc = read_info(r, &m->inputs[m->n_inputs++], &f);
        else if (wire_is(&w, &f, GRAPH_OUTPUT, WIRE_BYTES))
            rc = read_info(r, &m->outputs[m->n_outputs++], &f);
        else if (f.number == GRAPH_SPARSE)
            rc = err_set(r->err, ERR_MODEL, "sparse initializers are not read");
    }
    return rc ? rc : w.rc;
}

static enum err read_opset(struct reader *r, const struct wire_field *f)
{
    struct wire w = wire_message(f, r->err);
    struct wire_field in;
    bool standard = true;
    int64_t version = 0;
    while (wire_next(&w, &in)) {
        if (wire_is(&w, &in, OPSET_DOMAIN, WIRE_BYTES))
            standard = !in.len || (in.len == 7 && memcmp(in.data, "ai.onnx", 7) == 0);
        else if (wire_is(&w, &in, OPSET_VERSION, WIRE_VARINT))
            version = (int64_t)in.value;
    }
    if (standard) r->m->opset = version;
    return w.rc;
}

static enum err read_pair(struct reader *r, const struct wire_field *f)
{
    struct onnx_pair *p = &r->m->meta[r->m->n_meta++];
    struct wire w = wire_message(f, r->err);
    struct wire_field in;
    while (wire_next(&w, &in)) {
        if (wire_is(&w, &in, PAIR_KEY, WIRE_BYTES)) {
            p->key = in.data;
            p->key_len = in.len;
        } else if (wire_is(&w, &in, PAIR_VALUE, WIRE_BYTES)) {
            p->value = in.data;
            p->value_len = in.len;
        }
    }
    return w.rc;
}

static enum err read_metadata(struct reader *r, const uint8_t *data, size_t len)
{
    const struct wire_field all = {.type = WIRE_BYTES, .data = data, .len = len};
    struct wire w = wire_of(data, len, r->err);
    struct wire_field f;
    enum err rc = make_list(r, &r->m->meta, &all, MODEL_METADATA, sizeof *r->m->meta, ONNX_META_MAX,
                            "pairs of metadata");
    while (!rc && wire_next(&w, &f))
        if (wire_is(&w, &f, MODEL_METADATA, WIRE_BYTES)) rc = read_pair(r, &f);
    return rc ? rc : w.rc;
}

const char *onnx_meta(const struct onnx_model *m, const char *key, struct arena *a)
{
    for (int i = 0; i < m->n_meta; i++) {
        const struct onnx_pair *p = &m->meta[i];
        if (p->key_len != strlen(key) || memcmp(p->key, key, p->key_len) != 0) continue;
        if (!p->value_len) return "";
        return memchr(p->value, 0, p->value_len)
                   ? NULL
                   : arena_copy(a, (const char *)p->value, p->value_len);
    }
    return NULL;
}

enum err onnx_read(struct onnx_model *out, const uint8_t *data, size_t len, struct arena *a,
                   struct err_info *err)
{
    struct reader r = {.m = out, .a = a, .err = err};
    struct wire w = wire_of(data, len, err);
    struct wire_field f, graph = {0};
    enum err rc = ERR_OK;

    *out = (struct onnx_model){.opset = 1};
    while (!rc && wire_next(&w, &f)) {
        if (wire_is(&w, &f, MODEL_GRAPH, WIRE_BYTES)) {
            if (graph.number) rc = err_set(err, ERR_MODEL, "two graphs");
            graph = f;
        } else if (wire_is(&w, &f, MODEL_OPSET, WIRE_BYTES)) {
            rc = read_opset(&r, &f);
        }
    }
    if (rc || (rc = w.rc)) return rc;
    if (!graph.number) return err_set(err, ERR_MODEL, "there is no graph in it");
    if ((rc = make_names(&r, graph.len))) return rc;
    if ((rc = read_metadata(&r, data, len))) return rc;
    return read_graph(&r, &graph);
}

/* There is no magic: the first field is the IR's version, a small number, and among the next ones,
 * which are ModelProto's, there is a graph. */
bool onnx_recognise(const uint8_t *data, size_t len)
{
    enum { IR_VERSION = 1, IR_VERSION_MOST = 1000, BEFORE_GRAPH = 8 };
    struct wire w = wire_of(data, len, NULL);
    struct wire_field f;
    if (!wire_next(&w, &f) || f.number != IR_VERSION || f.type != WIRE_VARINT ||
        f.value > IR_VERSION_MOST)
        return false;
    for (int i = 0; i < BEFORE_GRAPH; i++) {
        const uint8_t *at = w.at;
        if (!wire_next(&w, &f))
            return at < w.end && *at == (MODEL_GRAPH << 3 | WIRE_BYTES); /* cut */
        if (f.number == MODEL_GRAPH) return f.type == WIRE_BYTES;
        if (f.number > MODEL_OPSET && f.type != WIRE_BYTES) return false;
    }
    return false;
}

const struct onnx_attr *onnx_attr(const struct onnx_node *n, const char *name)
{
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0) return &n->attrs[i];
    return NULL;
}
