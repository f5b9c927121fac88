/* The reader of HDF5 on a file made here, one structure at a time, and on each with one thing
 * wrong. Section numbers as in h5_file.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/model/import/h5_file.h"

#define P(text) text, sizeof text - 1

enum {
    SPACE = 1,
    TYPE = 3,
    EXTERNAL = 7,
    LAYOUT = 8,
    FILTERS = 11,
    ATTRIBUTE = 12,
    MORE = 16,
    SYMBOLS = 17
};

/* --- a file that grows --- */

static uint8_t bytes[16384];
static size_t used;

static void set(size_t at, uint64_t v, int n)
{
    for (int i = 0; i < n; i++) bytes[at + (size_t)i] = (uint8_t)(v >> (8 * i));
}

static size_t room(size_t n)
{
    const size_t at = used;
    used += (n + 7) / 8 * 8;
    assert_true(used <= sizeof bytes);
    return at;
}

/* A superblock; the root group is told to root(). */
static void start(void)
{
    memset(bytes, 0, sizeof bytes);
    used = 0;
    memcpy(bytes + room(96), "\x89HDF\r\n\x1a\n", 8);
    bytes[13] = bytes[14] = 8;
}

static struct h5_file opened(void)
{
    struct h5_file f;
    struct err_info err = ERR_INFO_INIT;
    set(40, used, 8);
    if (h5_open(&f, bytes, used, &err)) fail_msg("%s", err.message);
    return f;
}

struct message {
    unsigned type;
    const char *data;
    size_t len;
};

static size_t messages(size_t at, const struct message *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        set(at, m[i].type, 2);
        set(at + 2, m[i].len, 2);
        memcpy(bytes + at + 8, m[i].data, m[i].len);
        at += 8 + m[i].len;
    }
    return at;
}

/* An object header of version 1. */
static uint64_t object(const struct message *m, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) len += 8 + m[i].len;
    const size_t at = room(16 + len);
    bytes[at] = 1;
    set(at + 2, n, 2);
    set(at + 8, len, 4);
    messages(at + 16, m, n);
    return at;
}

/* --- strings --- */

#define FIXED(size)  "\x13\0\0\0" size "\0\0\0"
#define SPACED(size) "\x13\2\0\0" size "\0\0\0"
#define VARIABLE     "\x19\1\0\0\20\0\0\0" FIXED("\1")
#define DOUBLE8      "\x11\x20\x3f\0\10\0\0\0"
#define N(n)         "\1\1\0\0\0\0\0\0" n "\0\0\0\0\0\0\0" /* a dataspace of one dimension, version 1 */

struct attribute {
    int version;
    const char *name, *type, *space, *data;
    size_t type_len, space_len, data_len;
};

static size_t append(char *to, size_t at, const char *data, size_t len, bool pad)
{
    memcpy(to + at, data, len);
    return at + (pad ? (len + 7) / 8 * 8 : len);
}

static struct message attribute(char data[1024], const struct attribute *a)
{
    const bool pad = a->version == 1;
    const size_t name_len = strlen(a->name) + 1;
    size_t n = 8;
    memset(data, 0, 1024);
    data[0] = (char)a->version;
    data[2] = (char)name_len;
    data[4] = (char)a->type_len;
    data[6] = (char)a->space_len;
    if (a->version == 3) n++;
    n = append(data, n, a->name, name_len, pad);
    n = append(data, n, a->type, a->type_len, pad);
    n = append(data, n, a->space, a->space_len, pad);
    n = append(data, n, a->data, a->data_len, false);
    return (struct message){ATTRIBUTE, data, n};
}

/* A global heap of objects 7 ("kernel:0") and 2 ("ab"), then free space. */
static uint64_t heap(void)
{
    const size_t at = room(128);
    memcpy(bytes + at, "GCOL\1", 5);
    set(at + 8, 128, 8);
    set(at + 16, 7, 2);
    set(at + 24, 8, 8);
    memcpy(bytes + at + 32, "kernel:0", 8);
    set(at + 40, 2, 2);
    set(at + 48, 2, 8);
    memcpy(bytes + at + 56, "ab", 2);
    return at;
}

/* "a|bc" of a list; an error's message. */
static const char *list(const struct attribute *a, const char *name)
{
    static char text[ERR_MESSAGE_BYTES];
    char data[1024], more[16];
    struct arena arena = ARENA_INIT(1 << 16);
    struct err_info err = ERR_INFO_INIT;
    struct h5_texts t;
    bool found;
    struct message m = attribute(data, a);

    /* in a continuation, behind a message that is skipped */
    const size_t part = room(8 + m.len);
    messages(part, &m, 1);
    for (int i = 0; i < 8; i++) {
        more[i] = (char)(part >> (8 * i));
        more[8 + i] = (char)((8 + m.len) >> (8 * i));
    }
    const struct message all[] = {{0, P("        ")}, {MORE, more, sizeof more}, {0, "", 0}};
    const uint64_t o = object(all, 3);
    set(o + 2, 4, 2); /* with the one that is elsewhere */
    const struct h5_file f = opened();
    if (h5_texts(&t, &found, &f, o, name, &arena, &err)) {
        snprintf(text, sizeof text, "%s", err.message);
    } else {
        snprintf(text, sizeof text, "%s", found ? "" : "none");
        for (size_t i = 0; i < t.n; i++) {
            size_t at = strlen(text);
            snprintf(text + at, sizeof text - at, "%s%.*s", i ? "|" : "", (int)t.items[i].len,
                     t.items[i].s);
        }
    }
    arena_release(&arena);
    return text;
}

static void lists_of_strings(void **state)
{
    (void)state;
    enum { GOOD = 7 };
    static const struct {
        struct attribute a;
        const char *want; /* the strings, or part of what is said */
    } CASES[] = {
#define LIST(version, type, space, data)                                                           \
    {version, "names", type, space, data, sizeof type - 1, sizeof space - 1, sizeof data - 1}
        {LIST(1, FIXED("\3"), N("\2"), "ab\0cde"), "ab|cde"},
        {LIST(2, FIXED("\3"), N("\2"), "ab\0cde"), "ab|cde"},
        {LIST(3, FIXED("\3"), N("\2"), "ab\0cde"), "ab|cde"},
        {LIST(1, SPACED("\4"), N("\2"), "a b cd  "), "a b|cd"},
        {LIST(1, FIXED("\3"), "\2\0\0\0", "abc"), "abc"}, /* one, no list */
        {LIST(1, FIXED("\3"), "\2\0\0\2", ""), ""},       /* a null dataspace */
        {LIST(1, DOUBLE8, N("\0"), ""), ""},              /* numpy's empty list */
        {LIST(1, DOUBLE8, N("\1"), "12345678"), "strings are expected"},
        {LIST(1, FIXED("\3"), N("\3"), "ab\0cde"), "3 strings of 3 bytes in 6 bytes"},
        {LIST(1, FIXED("\1"), "\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\x10", ""), "the limit is 1024"},
        {LIST(1, FIXED("\3"), "\1\2\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0", ""), "overflows"},
        {LIST(1, FIXED("\3"), "\3\1\0\0\0\0\0\0\1\0\0\0\0\0\0\0", "abc"), "dataspace of version 3"},
        {LIST(1, FIXED("\3"), "\1\2\0\0\0\0\0\0\1\0\0\0\0\0\0\0", "abc"), "2 dimensions in 16"},
        {LIST(4, FIXED("\3"), N("\2"), "ab\0cde"), "attribute of version 4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        start();
        const char *got = list(&CASES[i].a, "names");
        bool ok = i < GOOD ? strcmp(got, CASES[i].want) == 0 : strstr(got, CASES[i].want) != NULL;
        if (!ok) fail_msg("case %zu: \"%s\", expected \"%s\"", i, got, CASES[i].want);
    }
    start();
    assert_string_equal(list(&CASES[0].a, "name"), "none");
}

static void strings_of_variable_length(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* in the heap */
        uint64_t value;
        unsigned len, index;
        const char *want;
    } CASES[] = {
        {127, 0, 8, 7, "kernel:0|ab"},
        {127, 0, 6, 7, "kernel|ab"},
        {127, 0, 0, 9, "|ab"},
        {127, 0, 9, 7, "a string of 9 bytes in a heap object of 8"},
        {127, 0, 8, 9, "has no object 9"},
        {24, 97, 8, 7, "a global heap's object"}, /* one byte beyond the heap */
        {24, UINT64_MAX, 8, 2, "a global heap's object"},
        {8, UINT64_MAX, 8, 7, "a global heap"},
        {8, 15, 8, 7, "a global heap"},
        {8, 16, 8, 7, "has no object 7"},
        {0, 'X', 8, 7, "a global heap"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        char refs[32] = {0};
        start();
        const uint64_t h = heap();
        set(h + CASES[i].at, CASES[i].value, CASES[i].at % 8 ? 1 : 8);
        refs[0] = (char)CASES[i].len;
        refs[12] = (char)CASES[i].index;
        refs[16] = 2;
        refs[28] = 2;
        for (int k = 0; k < 2; k++) refs[4 + k] = refs[20 + k] = (char)(h >> (8 * k));
        const struct attribute a = {1,  "names", VARIABLE, N("\2"), refs, sizeof VARIABLE - 1,
                                    16, 32};
        const char *got = list(&a, "names");
        if (!strstr(got, CASES[i].want))
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, got, CASES[i].want);
    }
}

/* --- groups --- */

enum { NAMES_BYTES = 24, BB = 1, D = 4, FF = 6, H = 9 }; /* names and where they are; "" at 0 */

struct group {
    uint64_t names, heap, empty, leaf[2], node[2], root, object;
};

/* III.C: two names and their objects. */
static uint64_t leaf(size_t name0, uint64_t object0, size_t name1, uint64_t object1)
{
    const size_t at = room(8 + 2 * 40);
    memcpy(bytes + at, "SNOD\1", 5);
    set(at + 6, 2, 2);
    set(at + 8, name0, 8);
    set(at + 16, object0, 8);
    set(at + 48, name1, 8);
    set(at + 56, object1, 8);
    return at;
}

/* III.A.1: n children between n + 1 keys. */
static uint64_t node(int level, size_t n, const uint64_t *children, const uint64_t *keys)
{
    const size_t at = room(24 + 16 * n + 8);
    memcpy(bytes + at, "TREE", 4);
    bytes[at + 5] = (uint8_t)level;
    set(at + 6, n, 2);
    for (size_t i = 0; i < n; i++) set(at + 32 + 16 * i, children[i], 8);
    for (size_t i = 0; i <= n; i++) set(at + 24 + 16 * i, keys[i], 8);
    return at;
}

/* bb, d | ff, h under a root and two nodes. All are one empty object, but h is the group itself. */
static struct group group(void)
{
    struct group g;
    char symbols[16];

    start();
    g.names = room(NAMES_BYTES);
    memcpy(bytes + g.names, "\0bb\0d\0ff\0h", 11);
    g.heap = room(32); /* III.D */
    memcpy(bytes + g.heap, "HEAP", 4);
    set(g.heap + 8, NAMES_BYTES, 8);
    set(g.heap + 24, g.names, 8);
    g.empty = object(NULL, 0);
    g.leaf[0] = leaf(BB, g.empty, D, g.empty);
    g.leaf[1] = leaf(FF, g.empty, H, 0);
    g.node[0] = node(0, 1, &g.leaf[0], (const uint64_t[]){0, D});
    g.node[1] = node(0, 1, &g.leaf[1], (const uint64_t[]){D, H});
    g.root = node(1, 2, g.node, (const uint64_t[]){0, D, H});
    for (int i = 0; i < 8; i++) {
        symbols[i] = (char)(g.root >> (8 * i));
        symbols[8 + i] = (char)(g.heap >> (8 * i));
    }
    g.object = object(&(struct message){SYMBOLS, symbols, sizeof symbols}, 1);
    set(g.leaf[1] + 56, g.object, 8);
    return g;
}

static void paths(void **state)
{
    (void)state;
    static const char *const THERE[] = {"bb", "d", "ff", "/d", "h/bb", "h//h/h/ff", "bb/"};
    static const char *const NOT_THERE[] = {"a", "b", "bbb", "c", "e", "f", "fff", "i", "i/bb"};
    const struct group g = group();
    const struct h5_file f = opened();
    struct err_info err = ERR_INFO_INIT;
    uint64_t found;

    for (size_t i = 0; i < ARRAY_LEN(THERE); i++)
        if (h5_find(&found, &f, g.object, (struct h5_text){THERE[i], strlen(THERE[i])}, &err) ||
            found != g.empty)
            fail_msg("%s is not found: %s", THERE[i], err.message);
    for (size_t i = 0; i < ARRAY_LEN(NOT_THERE); i++)
        if (h5_find(&found, &f, g.object, (struct h5_text){NOT_THERE[i], strlen(NOT_THERE[i])},
                    &err) ||
            found)
            fail_msg("%s is found, or %s", NOT_THERE[i], err.message);
}

static void damaged_groups(void **state)
{
    (void)state;
    const struct group g = group();
    const uint64_t FAR = UINT64_MAX - 7;
    const struct {
        uint64_t at, value;
        int n;
        const char *says;
    } CASES[] = {
        {g.root + 32, g.root, 8, "level 1 below level 1"}, /* the first child is its parent */
        {g.root + 5, 200, 1, "level 200"},
        {g.root + 4, 1, 1, "a B-tree"}, /* of a dataset's chunks */
        {g.root + 6, 65535, 2, "a B-tree"},
        {g.root + 40, NAMES_BYTES, 8, "a name at 24"},
        {g.root + 40, FAR, 8, "a name at 18446744073709551608"},
        {g.root + 32, FAR, 8, "a B-tree"},
        {g.node[0] + 32, FAR, 8, "a symbol table"},
        {g.node[0] + 32, g.root, 8, "a symbol table"},
        {g.leaf[0] + 6, 65535, 2, "a symbol table"},
        {g.leaf[0] + 8, 99, 8, "a name at 99"},
        {g.leaf[0] + 16, FAR, 8, "an object"},
        {g.leaf[0] + 16, 0, 8, "an object"},
        {g.leaf[0] + 24, 2, 4, "symbolic link"},
        {g.heap + 8, FAR, 8, "a local heap's data"},
        {g.heap + 24, FAR, 8, "a local heap's data"},
        {g.heap, 'X', 1, "a local heap"},
        {g.object + 8, 1 << 20, 4, "an object header"},
        {g.object + 8, 16, 4, "a message of 16 bytes, 8 are left"},
        {g.object, 2, 1, "an object header"},
        {g.object, 'O' | 'H' << 8 | 'D' << 16 | 'R' << 24, 4, "version 2"},
        {g.object + 16, 0, 2, "no group with a symbol table"},
        {g.object + 16, MORE, 2, "an object header's continuation"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        uint64_t found;
        (void)group();
        const struct h5_file f = opened();
        set(CASES[i].at, CASES[i].value, CASES[i].n);
        if (h5_find(&found, &f, g.object, (struct h5_text){P("bb")}, &err) != ERR_MODEL ||
            !strstr(err.message, CASES[i].says))
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, err.message, CASES[i].says);
    }
}

/* Each continuation is a message that names itself: an end is reached all the same. */
static void continuations_end(void **state)
{
    (void)state;
    struct arena arena = ARENA_INIT(1 << 16);
    struct err_info err = ERR_INFO_INIT;
    struct h5_texts t;
    char more[16] = {0};
    bool found;

    start();
    const uint64_t o = object(&(struct message){MORE, more, sizeof more}, 1);
    set(o + 2, 65535, 2);
    set(o + 24, o + 16, 8);
    set(o + 32, 24, 8);
    const struct h5_file f = opened();
    assert_int_equal(h5_texts(&t, &found, &f, o, "x", &arena, &err), ERR_MODEL);
    assert_non_null(strstr(err.message, "more than 64 parts"));
    arena_release(&arena);
}

/* --- datasets --- */

#define FLOAT32 "\x11\x20\x1f\0\4\0\0\0\0\0\x20\0\x17\x08\0\x17\x7f\0\0\0"
#define AT(address)                                                                                \
    "\3\1" address "\0\0\0\0\0\0\0"                                                                \
    "\30\0\0\0\0\0\0\0" /* 24 bytes */
#define N2X3 "\1\2\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0"

static void datasets(void **state)
{
    (void)state;
    /* values are in the superblock's place: their bytes do not matter here */
    static const struct {
        struct message space, type, layout, other;
        const char *says; /* NULL: a view of 2 x 3 */
    } CASES[] = {
#define SET(space, type, layout) {SPACE, P(space)}, {TYPE, P(type)}, {LAYOUT, P(layout)}
        {SET(N2X3, FLOAT32, AT("\10")), {0, P("")}, NULL},
        {SET("\2\2\0\1\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", FLOAT32, AT("\10")), {0, P("")}, NULL},
        {SET(N2X3,
             "\x31"
             "\x20\x1f\0\4\0\0\0\0\0\x20\0\x17\x08\0\x17\x7f\0\0\0",
             AT("\10")),
         {0, P("")},
         NULL},
        {SET(N2X3, FLOAT32, AT("\10")), {FILTERS, P("\1\1")}, "filtered"},
        {SET(N2X3, FLOAT32, AT("\10")), {EXTERNAL, P("\1\1")}, "another file"},
        {SET(N2X3, FLOAT32, "\3\2\0"), {0, P("")}, "found a chunked one"},
        {SET(N2X3, FLOAT32, "\3\0\30\0"), {0, P("")}, "found a compact one"},
        {SET(N2X3, FLOAT32, "\3\1\10\0"), {0, P("")}, "found a contiguous one"},
        {SET(N2X3, FLOAT32, "\3\11\0"), {0, P("")}, "found a strange one"},
        {SET(N2X3, FLOAT32, "\4\1\0"), {0, P("")}, "layout of version 4"},
        {SET(N2X3, FLOAT32, "\3\1\xff\xff\xff\xff\xff\xff\xff\xff\30\0\0\0\0\0\0\0"),
         {0, P("")},
         "never written"},
        {SET(N2X3, FLOAT32, "\3\1\0\0\0\0\0\0\0\1\30\0\0\0\0\0\0\0"), {0, P("")}, "leave the file"},
        {SET(N2X3, FLOAT32, "\3\1\10\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
         {0, P("")},
         "leave the file"},
        {SET(N("\5"), FLOAT32, AT("\10")), {0, P("")}, "20 bytes are expected, 24 found"},
        {SET("\1\2\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0", FLOAT32, AT("\10")),
         {0, P("")},
         "overflows"},
        {SET("\1\11\0\0\0\0\0\0", FLOAT32, AT("\10")), {0, P("")}, "9 dimensions"},
        {SET(N2X3, "\x11\x21\x1f\0\4\0\0\0\0\0\x20\0\x17\x08\0\x17\x7f\0\0\0", AT("\10")),
         {0, P("")},
         "big-endian float of 32 bits"},
        {SET(N2X3, "\x11\x20\x3f\0\10\0\0\0\0\0\x40\0\x34\x0b\0\x34\xff\3\0\0", AT("\10")),
         {0, P("")},
         "found little-endian float of 64 bits"},
        {SET(N2X3, "\x10\x08\0\0\4\0\0\0\0\0\x20\0", AT("\10")),
         {0, P("")},
         "found little-endian integer of 32 bits"},
        {SET(N2X3, FIXED("\4"), AT("\10")), {0, P("")}, "found string of 32 bits"},
        {SET(N2X3, "\x1f\0\0\0\4\0\0\0", AT("\10")), {0, P("")}, "found an unknown type"},
        {{SPACE, P(N2X3)}, {0, P("")}, {LAYOUT, P(AT("\10"))}, {0, P("")}, "w is no dataset"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const struct message all[] = {CASES[i].other, CASES[i].space, CASES[i].type,
                                      CASES[i].layout};
        struct err_info err = ERR_INFO_INIT;
        struct view v;
        start();
        const uint64_t o = object(all, ARRAY_LEN(all));
        const struct h5_file f = opened();
        enum err rc = h5_dataset(&v, &f, o, "w", &err);
        bool ok = CASES[i].says ? rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : !rc && v.data == bytes + 8 && v.ndim == 2 && v.dims[0] == 2 &&
                                      v.dims[1] == 3 && v.strides[0] == 3;
        if (!ok) fail_msg("case %zu: \"%s\"", i, err.message);
    }
}

static void superblocks(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint64_t value;
        int n;
        size_t len; /* of the file; it says that it has 96 bytes */
        const char *says;
    } CASES[] = {
        {0, 0x89, 1, 96, NULL},
        {0, 0x89, 1, 200, NULL}, /* more may follow */
        {3, 'G', 1, 96, "not an HDF5 file"},
        {0, 0x89, 1, 8, "not an HDF5 file"},
        {0, 0x89, 1, 95, "cut short: the superblock does not fit"},
        {8, 2, 1, 96, "superblock version 2"},
        {13, 4, 1, 96, "offsets of 4"},
        {14, 4, 1, 96, "lengths of 4 bytes"},
        {24, 512, 8, 96, "base address 512"},
        {40, 97, 8, 96, "cut short: the superblock says that the file ends at byte 97"},
        {40, UINT64_MAX, 8, 96, "cut short"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct err_info err = ERR_INFO_INIT;
        struct h5_file f;
        start();
        set(40, 96, 8);
        set(CASES[i].at, CASES[i].value, CASES[i].n);
        enum err rc = h5_open(&f, bytes, CASES[i].len, &err);
        bool ok = CASES[i].says ? rc == ERR_MODEL && strstr(err.message, CASES[i].says)
                                : !rc && f.len == 96;
        if (!ok) fail_msg("case %zu: \"%s\"", i, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(superblocks),
        cmocka_unit_test(lists_of_strings),
        cmocka_unit_test(strings_of_variable_length),
        cmocka_unit_test(paths),
        cmocka_unit_test(damaged_groups),
        cmocka_unit_test(continuations_end),
        cmocka_unit_test(datasets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
