/* ONNX files from a few lines of text, for tests. Header only. One line each:
 *
 *   opset 13                      ir 3
 *   in x 1,3,N,N                  a float32 input; a letter is a size left open
 *   f w 2,3 = 1 2 3 4 5 6         an initializer in raw_data; fl, fu: in float_data, packed or not
 *   i s 2 = 1 -1                  int64 in raw_data; il: in int64_data. "-" for dims: a scalar
 *   h w 4                         float16 zeros
 *   Conv x,w,b > y kernel_shape=2,2 auto_pad=SAME_UPPER alpha=0.5 :custom.domain
 *                                 a node; "_" is an input left out; a comma makes a list of
 * numbers, a point a float. Its name is its first output's with "n_" before. out y
 *   meta key the value            a pair of metadata
 */
#ifndef VISAVIS_TESTS_UNIT_ONNX_TEXT_H
#define VISAVIS_TESTS_UNIT_ONNX_TEXT_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/proto_write.h"

static inline void onnx_text_info(struct buf *graph, unsigned field, const char *name, char *dims)
{
    struct buf info = PROTO_INIT, type = PROTO_INIT, tensor = PROTO_INIT, shape = PROTO_INIT;
    char *save;
    for (char *d = dims ? strtok_r(dims, ",", &save) : NULL; d; d = strtok_r(NULL, ",", &save)) {
        struct buf dim = PROTO_INIT;
        if (isalpha((unsigned char)*d))
            proto_text(&dim, 2, d);
        else
            proto_int(&dim, 1, atoll(d));
        proto_message(&shape, 1, &dim);
    }
    proto_int(&tensor, 1, 1);
    proto_message(&tensor, 2, &shape);
    proto_message(&type, 1, &tensor);
    proto_text(&info, 1, name);
    proto_message(&info, 2, &type);
    proto_message(graph, field, &info);
}

/* kind: f, fl, fu, i, il, h. values: what stands behind "=". */
static inline void onnx_text_tensor(struct buf *graph, const char *kind, const char *name,
                                    char *dims, char *values)
{
    struct buf t = PROTO_INIT, data = PROTO_INIT;
    const bool integer = kind[0] == 'i', alone = kind[0] == 'f' && kind[1] == 'u';
    size_t count = 1;
    char *save;
    for (char *d = strtok_r(dims, ",", &save); d && strcmp(d, "-") != 0;
         d = strtok_r(NULL, ",", &save)) {
        proto_int(&t, 1, atoll(d));
        count *= (size_t)atoll(d);
    }
    proto_int(&t, 2, kind[0] == 'h' ? 10 : integer ? 7 : 1);
    proto_text(&t, 8, name);
    for (char *v = values ? strtok_r(values, " ", &save) : NULL; v;
         v = strtok_r(NULL, " ", &save)) {
        const float f = strtof(v, NULL);
        const int64_t i = strtoll(v, NULL, 10);
        if (alone)
            proto_float(&t, 4, f);
        else if (integer && kind[1])
            proto_varint(&data, (uint64_t)i);
        else
            proto_raw(&data, integer ? (const void *)&i : &f, integer ? sizeof i : sizeof f);
    }
    for (size_t i = 0; kind[0] == 'h' && i < 2 * count; i++) proto_raw(&data, "", 1);
    if (!alone) proto_bytes(&t, kind[1] ? (integer ? 7 : 4) : 9, data.data, data.len);
    buf_release(&data);
    proto_message(graph, 5, &t);
}

static inline void onnx_text_attribute(struct buf *node, char *text)
{
    struct buf a = PROTO_INIT;
    char *value = strchr(text, '='), *save;
    *value++ = 0;
    proto_text(&a, 1, text);
    if (isalpha((unsigned char)*value)) {
        proto_text(&a, 4, value);
        proto_int(&a, 20, 3);
    } else if (strchr(value, ',')) {
        const bool floats = strchr(value, '.') != NULL;
        proto_int(&a, 20, floats ? 6 : 7);
        for (char *v = strtok_r(value, ",", &save); v; v = strtok_r(NULL, ",", &save)) {
            if (floats)
                proto_float(&a, 7, strtof(v, NULL));
            else
                proto_int(&a, 8, strtoll(v, NULL, 10));
        }
    } else if (strchr(value, '.')) {
        proto_float(&a, 2, strtof(value, NULL));
        proto_int(&a, 20, 1);
    } else {
        proto_int(&a, 3, strtoll(value, NULL, 10));
        proto_int(&a, 20, 2);
    }
    proto_message(node, 5, &a);
}

/* "x,w > y key=value ..." */
static inline void onnx_text_node(struct buf *graph, const char *op, char *rest)
{
    struct buf node = PROTO_INIT;
    char *arrow = strchr(rest, '>'), *save, *words, name[80];
    *arrow = 0;
    for (char *s = strtok_r(rest, ", ", &save); s; s = strtok_r(NULL, ", ", &save))
        proto_text(&node, 1, *s == '_' ? "" : s);
    char *outputs = strtok_r(arrow + 1, " ", &words);
    for (char *s = strtok_r(outputs, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        if (s == outputs) {
            snprintf(name, sizeof name, "n_%s", s);
            proto_text(&node, 3, name);
        }
        proto_text(&node, 2, s);
    }
    proto_text(&node, 4, op);
    for (char *s = strtok_r(NULL, " ", &words); s; s = strtok_r(NULL, " ", &words)) {
        if (*s == ':')
            proto_text(&node, 7, s + 1);
        else
            onnx_text_attribute(&node, s);
    }
    proto_message(graph, 1, &node);
}

/* The file; the caller's (buf_release). */
static inline struct buf onnx_text(const char *text)
{
    struct buf file = PROTO_INIT, graph = PROTO_INIT, opset = PROTO_INIT, meta = PROTO_INIT;
    long version = 11, ir = 6;
    char *copy = strdup(text), *lines, *words;
    for (char *line = strtok_r(copy, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
        char *what = strtok_r(line, " ", &words), *rest = words;
        if (strcmp(what, "opset") == 0) {
            version = atol(rest);
        } else if (strcmp(what, "ir") == 0) {
            ir = atol(rest);
        } else if (strcmp(what, "meta") == 0) {
            struct buf pair = PROTO_INIT;
            proto_text(&pair, 1, strtok_r(NULL, " ", &words));
            proto_text(&pair, 2, words ? words : "");
            proto_message(&meta, 14, &pair);
        } else if (strcmp(what, "in") == 0 || strcmp(what, "out") == 0) {
            char *name = strtok_r(NULL, " ", &words);
            onnx_text_info(&graph, what[0] == 'i' ? 11 : 12, name, strtok_r(NULL, " ", &words));
        } else if (islower((unsigned char)*what)) {
            char *name = strtok_r(NULL, " ", &words), *dims = strtok_r(NULL, " ", &words);
            (void)strtok_r(NULL, " ", &words); /* = */
            onnx_text_tensor(&graph, what, name, dims, words);
        } else {
            onnx_text_node(&graph, what, rest);
        }
    }
    free(copy);
    proto_int(&file, 1, ir);
    proto_message(&file, 7, &graph);
    proto_int(&opset, 2, version);
    proto_message(&file, 8, &opset);
    proto_raw(&file, meta.data, meta.len);
    buf_release(&meta);
    return file;
}

#endif
