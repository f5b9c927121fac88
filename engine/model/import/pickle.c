/* The stack machine. Its one rule: an opcode that is not in step() is refused, and what is there
 * only builds values. Values are never freed one by one, so nothing here recurses over what a file
 * nested. */
#include "engine/model/import/pickle.h"

#include <stdbool.h>
#include <string.h>

static const struct {
    const char *module, *name, *full;
} GLOBALS[PICKLE_GLOBAL_COUNT] = {
    [PICKLE_ORDERED_DICT] = {"collections", "OrderedDict", "collections.OrderedDict"},
    [PICKLE_REBUILD_TENSOR] = {"torch._utils", "_rebuild_tensor", "torch._utils._rebuild_tensor"},
    [PICKLE_REBUILD_TENSOR_V2] = {"torch._utils", "_rebuild_tensor_v2",
                                  "torch._utils._rebuild_tensor_v2"},
    [PICKLE_REBUILD_PARAMETER] = {"torch._utils", "_rebuild_parameter",
                                  "torch._utils._rebuild_parameter"},
    [PICKLE_FLOAT_STORAGE] = {"torch", "FloatStorage", "torch.FloatStorage"},
    [PICKLE_DOUBLE_STORAGE] = {"torch", "DoubleStorage", "torch.DoubleStorage"},
    [PICKLE_HALF_STORAGE] = {"torch", "HalfStorage", "torch.HalfStorage"},
    [PICKLE_BFLOAT16_STORAGE] = {"torch", "BFloat16Storage", "torch.BFloat16Storage"},
    [PICKLE_LONG_STORAGE] = {"torch", "LongStorage", "torch.LongStorage"},
    [PICKLE_INT_STORAGE] = {"torch", "IntStorage", "torch.IntStorage"},
    [PICKLE_SHORT_STORAGE] = {"torch", "ShortStorage", "torch.ShortStorage"},
    [PICKLE_CHAR_STORAGE] = {"torch", "CharStorage", "torch.CharStorage"},
    [PICKLE_BYTE_STORAGE] = {"torch", "ByteStorage", "torch.ByteStorage"},
    [PICKLE_BOOL_STORAGE] = {"torch", "BoolStorage", "torch.BoolStorage"},
};

struct machine {
    const uint8_t *data;
    size_t len, at;
    struct arena *arena;
    struct pickle_value **stack;
    size_t n_stack;
    struct pickle_value **memo;
    size_t memo_room, n_memo; /* n_memo: what MEMOIZE gives next */
    size_t n_values;
    enum err rc;
    struct err_info *err;
};

const char *pickle_global_name(enum pickle_global g)
{
    return (unsigned)g < PICKLE_GLOBAL_COUNT ? GLOBALS[g].full : "?";
}

int pickle_is(const struct pickle_value *v, const char *text)
{
    return v && v->kind == PICKLE_STRING && v->text_len == strlen(text) &&
           !memcmp(v->text, text, v->text_len);
}

/* The first failure is the one that is told. */
#define FAIL(m, ...)                                                                               \
    do {                                                                                           \
        if (!(m)->rc) {                                                                            \
            (m)->rc = err_set((m)->err, ERR_MODEL, __VA_ARGS__);                                   \
            err_prefix((m)->err, "pickle, byte %zu", (m)->at);                                     \
        }                                                                                          \
    } while (0)

static const uint8_t *bytes(struct machine *m, size_t n)
{
    if (m->rc) return NULL;
    if (n > m->len - m->at) {
        FAIL(m, "it ends early");
        return NULL;
    }
    m->at += n;
    return m->data + m->at - n;
}

static uint64_t little(struct machine *m, size_t n)
{
    const uint8_t *p = bytes(m, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void *take(struct machine *m, size_t n, size_t size)
{
    void *p = m->rc ? NULL : items_alloc(m->arena, n, size);
    if (!p && !m->rc) m->rc = err_set(m->err, ERR_NOMEM, "pickle: no memory for %zu values", n);
    return p;
}

/* NULL once anything failed. */
static struct pickle_value *push(struct machine *m, enum pickle_kind kind)
{
    if (m->n_stack >= PICKLE_STACK_MAX)
        FAIL(m, "more than %d values on its stack", PICKLE_STACK_MAX);
    if (m->n_values >= PICKLE_VALUES_MAX) FAIL(m, "more than %d values", PICKLE_VALUES_MAX);
    struct pickle_value *v = take(m, 1, sizeof *v);
    if (!v) return NULL;
    v->kind = kind;
    m->n_values++;
    return m->stack[m->n_stack++] = v;
}

static void push_number(struct machine *m, enum pickle_kind kind, int64_t number)
{
    struct pickle_value *v = push(m, kind);
    if (!m->rc) v->number = number;
}

/* A string of n bytes that follow. */
static void push_text(struct machine *m, enum pickle_kind kind, uint64_t n)
{
    const uint8_t *p = n > m->len ? NULL : bytes(m, (size_t)n);
    if (!p) FAIL(m, "a string of %llu bytes passes the end", (unsigned long long)n);
    struct pickle_value *v = push(m, kind);
    if (m->rc) return;
    v->text = (const char *)p;
    v->text_len = (size_t)n;
}

static struct pickle_value *pop(struct machine *m)
{
    if (m->rc) return NULL;
    if (!m->n_stack || m->stack[m->n_stack - 1]->kind == PICKLE_MARK) {
        FAIL(m, "nothing on the stack to take");
        return NULL;
    }
    return m->stack[--m->n_stack];
}

static struct pickle_value *top(struct machine *m, enum pickle_kind kind)
{
    if (m->rc) return NULL;
    if (!m->n_stack || m->stack[m->n_stack - 1]->kind != kind) {
        FAIL(m, "the value on the stack is of another type than the opcode takes");
        return NULL;
    }
    return m->stack[m->n_stack - 1];
}

/* Index of the first value above the last mark. */
static size_t after_mark(struct machine *m)
{
    for (size_t i = m->n_stack; i > 0; i--)
        if (m->stack[i - 1]->kind == PICKLE_MARK) return i;
    FAIL(m, "no mark on the stack");
    return m->n_stack;
}

static void append(struct machine *m, struct pickle_value *to, struct pickle_value *v)
{
    if (m->rc || !to || !v) return;
    if (to->n == to->room) {
        size_t room = to->room ? 2 * to->room : 4;
        struct pickle_value **items = take(m, room, sizeof *items);
        if (!items) return;
        if (to->n) memcpy(items, to->items, to->n * sizeof *items);
        to->items = items;
        to->room = room;
    }
    to->items[to->n++] = v;
    if (to->depth <= v->depth) to->depth = v->depth + 1;
    if (to->depth > PICKLE_DEPTH_MAX)
        FAIL(m, "containers lie more than %d deep inside each other", PICKLE_DEPTH_MAX);
}

/* The values from index on become the items of a new value in their place. */
static void collect(struct machine *m, enum pickle_kind kind, size_t from, size_t down_to)
{
    if (m->rc) return;
    size_t n = m->n_stack - from;
    struct pickle_value **items = take(m, n + 1, sizeof *items);
    if (!items) return;
    memcpy(items, m->stack + from, n * sizeof *items);
    m->n_stack = down_to;
    struct pickle_value *v = push(m, kind);
    if (m->rc) return;
    for (size_t i = 0; i < n; i++) append(m, v, items[i]);
}

static void small_tuple(struct machine *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m->n_stack < n || m->stack[m->n_stack - 1 - i]->kind == PICKLE_MARK) {
            FAIL(m, "nothing on the stack to take");
            return;
        }
    collect(m, PICKLE_TUPLE, m->n_stack - n, m->n_stack - n);
}

/* APPENDS, SETITEMS: everything above the mark goes into the container below it. */
static void extend(struct machine *m, enum pickle_kind kind, size_t from, size_t down_to)
{
    size_t n = m->n_stack - from;
    if (m->rc) return;
    if (kind == PICKLE_DICT && n % 2) FAIL(m, "a key without a value");
    if (!m->rc && (!down_to || m->stack[down_to - 1]->kind != kind))
        FAIL(m, "the value on the stack is of another type than the opcode takes");
    for (size_t i = 0; i < n && !m->rc; i++) {
        if (m->stack[from + i]->kind == PICKLE_MARK) FAIL(m, "nothing on the stack to take");
        append(m, m->stack[down_to - 1], m->stack[from + i]);
    }
    m->n_stack = down_to;
}

static void put(struct machine *m, uint64_t index)
{
    if (m->rc) return;
    if (index > PICKLE_MEMO_MAX) {
        FAIL(m, "memo index %llu, the limit is %d", (unsigned long long)index, PICKLE_MEMO_MAX);
        return;
    }
    if (!m->n_stack || m->stack[m->n_stack - 1]->kind == PICKLE_MARK) {
        FAIL(m, "nothing on the stack to take");
        return;
    }
    if (index >= m->memo_room) {
        size_t room = m->memo_room ? 2 * m->memo_room : 256;
        while (room <= index) room *= 2;
        struct pickle_value **memo = take(m, room, sizeof *memo);
        if (!memo) return;
        if (m->memo_room) memcpy(memo, m->memo, m->memo_room * sizeof *memo);
        m->memo = memo;
        m->memo_room = room;
    }
    m->memo[index] = m->stack[m->n_stack - 1];
}

static void get(struct machine *m, uint64_t index)
{
    if (m->rc) return;
    if (index >= m->memo_room || !m->memo[index]) {
        FAIL(m, "memo index %llu was never put", (unsigned long long)index);
        return;
    }
    if (m->n_stack >= PICKLE_STACK_MAX)
        FAIL(m, "more than %d values on its stack", PICKLE_STACK_MAX);
    else
        m->stack[m->n_stack++] = m->memo[index];
}

/* A name from the file, fit for a message. */
static void printable(char out[64], const char *text, size_t n)
{
    if (n > 63) n = 63;
    for (size_t i = 0; i < n; i++) out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    out[n] = 0;
}

static void push_global(struct machine *m, const char *module, size_t module_len, const char *name,
                        size_t name_len)
{
    if (m->rc) return;
    for (int i = 0; i < PICKLE_GLOBAL_COUNT; i++)
        if (strlen(GLOBALS[i].module) == module_len &&
            !memcmp(GLOBALS[i].module, module, module_len) && strlen(GLOBALS[i].name) == name_len &&
            !memcmp(GLOBALS[i].name, name, name_len)) {
            push_number(m, PICKLE_GLOBAL, i);
            return;
        }
    char a[64], b[64];
    printable(a, module, module_len);
    printable(b, name, name_len);
    FAIL(m, "it refers to %s.%s, which is not on the list of what is read; nothing was executed", a,
         b);
}

static void global(struct machine *m)
{
    const char *text = (const char *)m->data + m->at, *end = (const char *)m->data + m->len;
    const char *mid = memchr(text, '\n', (size_t)(end - text));
    const char *stop = mid ? memchr(mid + 1, '\n', (size_t)(end - mid - 1)) : NULL;
    if (!stop) {
        FAIL(m, "it ends early");
        return;
    }
    push_global(m, text, (size_t)(mid - text), mid + 1, (size_t)(stop - mid - 1));
    m->at += (size_t)(stop + 1 - text);
}

static void stack_global(struct machine *m)
{
    const struct pickle_value *name = pop(m), *module = pop(m);
    if (m->rc) return;
    if (name->kind != PICKLE_STRING || module->kind != PICKLE_STRING)
        FAIL(m, "a global whose name is no string");
    else
        push_global(m, module->text, module->text_len, name->text, name->text_len);
}

/* OrderedDict([[key, value], ...]): what Python 2 wrote. */
static void dict_of_pairs(struct machine *m, const struct pickle_value *pairs)
{
    struct pickle_value *dict = push(m, PICKLE_DICT);
    for (size_t i = 0; i < pairs->n && !m->rc; i++) {
        const struct pickle_value *p = pairs->items[i];
        if ((p->kind != PICKLE_LIST && p->kind != PICKLE_TUPLE) || p->n != 2) {
            FAIL(m, "OrderedDict of something that is no pair");
            return;
        }
        append(m, dict, p->items[0]);
        append(m, dict, p->items[1]);
    }
}

/* REDUCE: what calling one of the names would build. */
static void reduce(struct machine *m)
{
    struct pickle_value *args = pop(m);
    const struct pickle_value *f = pop(m);
    if (m->rc) return;
    if (f->kind != PICKLE_GLOBAL || args->kind != PICKLE_TUPLE) {
        FAIL(m, "a call of something that is no function on the list");
        return;
    }
    switch ((enum pickle_global)f->number) {
    case PICKLE_ORDERED_DICT:
        if (args->n == 0)
            push(m, PICKLE_DICT);
        else if (args->n == 1 && args->items[0]->kind == PICKLE_LIST)
            dict_of_pairs(m, args->items[0]);
        else
            FAIL(m, "OrderedDict of %zu arguments", args->n);
        return;
    case PICKLE_REBUILD_TENSOR:
    case PICKLE_REBUILD_TENSOR_V2: {
        bool v2 = f->number == PICKLE_REBUILD_TENSOR_V2;
        if (v2 ? args->n < 6 || args->n > 7 : args->n != 4) {
            FAIL(m, "%s with %zu arguments", GLOBALS[f->number].full, args->n);
            return;
        }
        struct pickle_value *t = push(m, PICKLE_TENSOR);
        if (m->rc) return;
        t->items = args->items;
        t->n = t->room = 4; /* what follows (requires_grad, hooks) is not read */
        t->depth = args->depth;
        return;
    }
    case PICKLE_REBUILD_PARAMETER: /* a tensor that is trained: the tensor */
        if (args->n < 2 || args->n > 3 || args->items[0]->kind != PICKLE_TENSOR)
            FAIL(m, "_rebuild_parameter of something that is no tensor");
        else
            m->stack[m->n_stack++] = args->items[0]; /* room: two values were taken */
        return;
    default:
        FAIL(m, "a call of %s, which is no function", GLOBALS[f->number].full);
    }
}

/* torch's one persistent id: ('storage', type, key, device, numel[, view]). */
static void persistent_id(struct machine *m)
{
    struct pickle_value *id = pop(m);
    if (m->rc) return;
    if (id->kind != PICKLE_TUPLE || id->n < 5 || id->n > 6 || !pickle_is(id->items[0], "storage") ||
        id->items[1]->kind != PICKLE_GLOBAL || id->items[1]->number < PICKLE_FLOAT_STORAGE ||
        id->items[2]->kind != PICKLE_STRING || id->items[3]->kind != PICKLE_STRING ||
        id->items[4]->kind != PICKLE_INT || id->items[4]->number < 0) {
        FAIL(m, "a persistent id that is no storage");
        return;
    }
    if (id->n == 6 && id->items[5]->kind != PICKLE_NONE) {
        FAIL(m, "a storage that is a view of another: save it with a newer torch");
        return;
    }
    struct pickle_value *s = push(m, PICKLE_STORAGE);
    if (m->rc) return;
    s->items = id->items;
    s->n = s->room = id->n;
}

static void long1(struct machine *m)
{
    size_t n = (size_t)little(m, 1);
    if (n > 8) {
        push_text(m, PICKLE_BIG, n);
        return;
    }
    uint64_t v = little(m, n);
    if (n && n < 8 && (v >> (8 * n - 1))) v |= ~0ULL << (8 * n); /* negative */
    push_number(m, PICKLE_INT, (int64_t)v);
}

/* BUILD sets an object's attributes. The only one that may come is _metadata (versions of modules)
 * of the OrderedDict. */
static void build(struct machine *m)
{
    const struct pickle_value *state = pop(m);
    top(m, PICKLE_DICT);
    if (!m->rc && state->kind != PICKLE_DICT) FAIL(m, "attributes that are no dict");
}

static void step(struct machine *m, uint8_t op)
{
    size_t mark;
    switch (op) {
    case 0x80: /* PROTO */
        mark = (size_t)little(m, 1);
        if (!m->rc && (mark < 2 || mark > 5)) FAIL(m, "protocol %zu, 2 to 5 are read", mark);
        break;
    case 0x95: /* FRAME: only a hint */
        little(m, 8);
        break;
    case '(':
        push(m, PICKLE_MARK);
        break;
    case '0': /* POP */
        pop(m);
        break;
    case '1': /* POP_MARK */
        mark = after_mark(m);
        if (!m->rc) m->n_stack = mark - 1;
        break;
    case 'N':
        push(m, PICKLE_NONE);
        break;
    case 0x88: /* NEWTRUE */
    case 0x89: /* NEWFALSE */
        push_number(m, PICKLE_BOOL, op == 0x88);
        break;
    case 'J': /* BININT */
        push_number(m, PICKLE_INT, (int32_t)little(m, 4));
        break;
    case 'K': /* BININT1 */
        push_number(m, PICKLE_INT, (int64_t)little(m, 1));
        break;
    case 'M': /* BININT2 */
        push_number(m, PICKLE_INT, (int64_t)little(m, 2));
        break;
    case 0x8a: /* LONG1 */
        long1(m);
        break;
    case 'G': /* BINFLOAT: no weight is written so, the value is not kept */
        bytes(m, 8);
        push(m, PICKLE_FLOAT);
        break;
    case 'X': /* BINUNICODE */
    case 'T': /* BINSTRING (Python 2) */
        push_text(m, PICKLE_STRING, little(m, 4));
        break;
    case 0x8c: /* SHORT_BINUNICODE */
    case 'U':  /* SHORT_BINSTRING */
        push_text(m, PICKLE_STRING, little(m, 1));
        break;
    case '}':
        push(m, PICKLE_DICT);
        break;
    case ']':
        push(m, PICKLE_LIST);
        break;
    case ')':
        push(m, PICKLE_TUPLE);
        break;
    case 't': /* TUPLE */
    case 'l': /* LIST */
        mark = after_mark(m);
        collect(m, op == 't' ? PICKLE_TUPLE : PICKLE_LIST, mark, mark - 1);
        break;
    case 0x85: /* TUPLE1 */
    case 0x86:
    case 0x87:
        small_tuple(m, (size_t)(op - 0x84));
        break;
    case 'q': /* BINPUT */
        put(m, little(m, 1));
        break;
    case 'r': /* LONG_BINPUT */
        put(m, little(m, 4));
        break;
    case 0x94: /* MEMOIZE */
        put(m, m->n_memo++);
        break;
    case 'h': /* BINGET */
        get(m, little(m, 1));
        break;
    case 'j': /* LONG_BINGET */
        get(m, little(m, 4));
        break;
    case 'c':
        global(m);
        break;
    case 0x93:
        stack_global(m);
        break;
    case 'R':
        reduce(m);
        break;
    case 'b':
        build(m);
        break;
    case 's': /* SETITEM */
        if (m->n_stack < 3) FAIL(m, "nothing on the stack to take");
        if (!m->rc) extend(m, PICKLE_DICT, m->n_stack - 2, m->n_stack - 2);
        break;
    case 'a': /* APPEND */
        if (m->n_stack < 2) FAIL(m, "nothing on the stack to take");
        if (!m->rc) extend(m, PICKLE_LIST, m->n_stack - 1, m->n_stack - 1);
        break;
    case 'u': /* SETITEMS */
    case 'e': /* APPENDS */
        mark = after_mark(m);
        extend(m, op == 'u' ? PICKLE_DICT : PICKLE_LIST, mark, mark - 1);
        break;
    case 'Q':
        persistent_id(m);
        break;
    default:
        FAIL(m, "opcode 0x%02x is not read", op);
    }
}

enum err pickle_read(struct pickle_value **out, size_t *used, const uint8_t *data, size_t len,
                     struct arena *a, struct err_info *err)
{
    struct machine m = {.data = data, .len = len, .arena = a, .err = err};
    m.stack = items_alloc(a, PICKLE_STACK_MAX, sizeof *m.stack);
    if (!m.stack) return err_set(err, ERR_NOMEM, "no memory for a pickle's stack");
    for (;;) {
        const uint8_t *op = bytes(&m, 1);
        if (m.rc) return m.rc;
        if (*op == '.') break;
        step(&m, *op);
        if (m.rc) return m.rc;
    }
    struct pickle_value *v = pop(&m);
    if (!m.rc && m.n_stack) FAIL(&m, "%zu values are left on its stack", m.n_stack);
    if (m.rc) return m.rc;
    *out = v;
    *used = m.at;
    return ERR_OK;
}
