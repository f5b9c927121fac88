/* The detector against facenet-pytorch: every layer of the three networks, the stages of two
 * pictures, every face of 24 pictures; on each backend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/clock.h"
#include "engine/face/detect_mtcnn.h"
#include "tests/golden/golden.h"

/* Detections may differ where backends round differently: `stable` faces stay within 0.001 of their
 * height. */
static const double STABLE = 0.001, UNSTABLE = 0.06;

static enum nn_backend backend_of(void **state)
{
    return *(const enum nn_backend *)*state;
}

/* --- layers --- */

static bool check_layers(const char *name, const struct nn_plan *plan, const struct nn_graph *g,
                         const struct nn_shape *shapes, float *const *taps, const json_t *layers)
{
    const char *layer;
    json_t *stat;
    bool ok = true;
    (void)plan;

    json_object_foreach((json_t *)layers, layer, stat)
    {
        char label[128];
        int op = 0;
        snprintf(label, sizeof label, "%s %s", name, layer);
        while (op < g->n_ops && strcmp(g->ops[op].name, layer)) op++;
        if (op == g->n_ops) {
            printf("%s: no op of that name\n", label);
            ok = false;
            continue;
        }
        size_t n = (size_t)shapes[op].c * (size_t)shapes[op].h * (size_t)shapes[op].w;
        ok &= stat_agrees(label, stat, taps[op], n, 1e-5, 1);
    }
    return ok;
}

static bool check_net(const char *name, const struct golden_net *net, int w, int h,
                      const json_t *golden)
{
    const struct nn_graph *g = nn_net_graph(net->net);
    struct nn_shape *shapes = calloc((size_t)g->n_ops, sizeof *shapes);
    float **taps = calloc((size_t)g->n_ops, sizeof *taps), *outs[NN_MAX_OUTPUTS] = {NULL};
    float *in = calloc(3 * (size_t)w * (size_t)h, sizeof *in);
    struct nn_plan *plan = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct image pattern = IMAGE_INIT;
    const char *key;
    json_t *stat;
    bool ok = true;

    golden_pattern(&pattern, w, h);
    image_area_resample(in, w, h, &pattern, 0, 0, w, h, -127.5f, 0.0078125f);
    if (nn_graph_shapes(g, h, w, shapes, &err) || nn_plan_new(&plan, net->net, 1, h, w, &err))
        fail_msg("%s: %s", name, err.message);
    for (int i = 0; i < g->n_ops; i++)
        taps[i] =
            calloc((size_t)shapes[i].c * (size_t)shapes[i].h * (size_t)shapes[i].w, sizeof(float));
    for (int i = 0; i < g->n_outputs; i++) {
        struct nn_shape s = shapes[g->outputs[i].op];
        outs[i] = calloc((size_t)s.c * (size_t)s.h * (size_t)s.w, sizeof(float));
    }
    if (nn_plan_forward_tapped(plan, in, outs, taps, &err)) fail_msg("%s: %s", name, err.message);
    ok &= check_layers(name, plan, g, shapes, taps, json_object_get(golden, "layers"));
    nn_plan_forward(plan, in, outs);
    json_object_foreach(json_object_get(golden, "output"), key, stat)
    {
        char label[128];
        int i = nn_graph_output(g, key);
        snprintf(label, sizeof label, "%s output %s", name, key);
        if (i < 0) fail_msg("%s: none of that name", label);
        struct nn_shape s = nn_plan_output_shape(plan, i);
        ok &= stat_agrees(label, stat, outs[i], (size_t)s.c * (size_t)s.h * (size_t)s.w, 1e-5, 1);
    }
    for (int i = 0; i < g->n_ops; i++) free(taps[i]);
    for (int i = 0; i < g->n_outputs; i++) free(outs[i]);
    free(taps);
    free(shapes);
    free(in);
    nn_plan_free(plan);
    image_release(&pattern);
    return ok;
}

static void test_nets(void **state)
{
    static const struct {
        const char *key, *model;
        int w, h;
    } cases[] = {{"pnet_12x12", "mtcnn-p", 12, 12},
                 {"pnet_97x61", "mtcnn-p", 97, 61},
                 {"rnet_24x24", "mtcnn-r", 24, 24},
                 {"onet_48x48", "mtcnn-o", 48, 48}};
    json_t *g = golden_load();
    bool ok = true;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct golden_net net;
        golden_net_open(&net, cases[i].model, backend_of(state));
        ok &= check_net(cases[i].key, &net, cases[i].w, cases[i].h,
                        json_object_get(json_object_get(g, "mtcnn_nets"), cases[i].key));
        golden_net_close(&net);
    }
    json_decref(g);
    assert_true(ok);
}

/* --- stages --- */

static bool count_agrees(const char *path, const char *what, long got, const json_t *want,
                         long slack)
{
    long w = (long)json_integer_value(want);
    if (labs(got - w) <= slack) return true;
    printf("%s: %s is %ld, golden %ld\n", path, what, got, w);
    return false;
}

static bool boxes_agree(const char *what, const struct mtcnn_box *got, int n, const json_t *want)
{
    double worst = 0;
    size_t i;
    json_t *row;
    if (!want) return true;
    if ((size_t)n != json_array_size(want)) return false;
    json_array_foreach(want, i, row)
    {
        for (size_t k = 0; k < 4; k++)
            worst =
                fmax(worst, fabs((double)got[i].at[k] - json_number_value(json_array_get(row, k))));
        if (fabs((double)got[i].score - json_number_value(json_array_get(row, 4))) > 1e-4)
            worst = 1;
    }
    printf("%s: %d boxes, worst %.2g px\n", what, n, worst);
    return worst < 0.01;
}

static bool check_stages(const char *path, const struct mtcnn_trace *t, const json_t *want,
                         long slack)
{
    static const char *const counts[] = {"pnet_after_nms_all", "rnet_over_threshold",
                                         "rnet_after_nms", "onet_over_threshold", "faces"};
    const int got[] = {t->pnet_after_nms_all, t->rnet_over_threshold, t->rnet_after_nms,
                       t->onet_over_threshold, t->faces};
    const json_t *scales = json_object_get(want, "scales"), *level;
    bool ok = (size_t)t->n_levels == json_array_size(scales);

    for (int i = 0; ok && i < t->n_levels; i++) {
        const struct mtcnn_trace_level *l = &t->level[i];
        level = json_array_get(scales, (size_t)i);
        const json_t *size = json_object_get(level, "size_wh"),
                     *map = json_object_get(level, "map_wh");
        ok &= fabs(l->scale - number(level, "scale")) < 1e-9;
        ok &= count_agrees(path, "level width", l->w, json_array_get(size, 0), 0);
        ok &= count_agrees(path, "level height", l->h, json_array_get(size, 1), 0);
        ok &= count_agrees(path, "map width", l->map_w, json_array_get(map, 0), 0);
        ok &= count_agrees(path, "map height", l->map_h, json_array_get(map, 1), 0);
        ok &= count_agrees(path, "cells over the threshold", l->over_threshold,
                           json_object_get(level, "over_threshold"), slack);
        ok &= count_agrees(path, "cells after suppression", l->after_nms,
                           json_object_get(level, "after_nms"), slack);
    }
    for (size_t i = 0; i < sizeof got / sizeof got[0]; i++)
        ok &= count_agrees(path, counts[i], got[i], json_object_get(want, counts[i]), slack);
    ok &= boxes_agree("after P-Net", t->after_pnet, t->n_after_pnet,
                      json_object_get(want, "boxes_after_pnet"));
    ok &= boxes_agree("after R-Net", t->after_rnet, t->n_after_rnet,
                      json_object_get(want, "boxes_after_rnet"));
    return ok;
}

static const json_t *picture_entry(const json_t *g, const char *path)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(g, "pictures"), i, p)
    {
        if (!strcmp(json_string_value(json_object_get(p, "path")), path)) return p;
    }
    return NULL;
}

static void test_stages(void **state)
{
    json_t *g = golden_load(), *want;
    struct golden_detector d;
    struct mtcnn_trace *trace = calloc(1, sizeof *trace);
    const char *path;
    bool ok = true;

    golden_detector_open(&d, backend_of(state));
    json_object_foreach(json_object_get(g, "stages"), path, want)
    {
        const struct mtcnn_options o = MTCNN_OPTIONS_INIT;
        struct err_info err = ERR_INFO_INIT;
        struct detection *faces = NULL;
        struct image im = IMAGE_INIT;
        int n = 0;
        if (!golden_picture(&im, picture_entry(g, path))) continue;
        if (mtcnn_detect(&faces, &n, &d.nets, &d.runner, &im, &o, trace, &err))
            fail_msg("%s: %s", path, err.message);
        /* README of the goldens: AJ_Cook exact, the crowd within 2. */
        ok &= check_stages(path, trace, want, json_object_get(want, "boxes_after_pnet") ? 0 : 2);
        free(faces);
        image_release(&im);
    }
    golden_detector_close(&d);
    free(trace);
    json_decref(g);
    assert_true(ok);
}

/* --- faces --- */

static double worst_offset(const struct detection *d, const json_t *face)
{
    struct detection want;
    double worst = 0;
    golden_detection(&want, face);
    for (int k = 0; k < 4; k++) worst = fmax(worst, fabs((double)d->box[k] - (double)want.box[k]));
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < 2; i++)
            worst = fmax(worst, fabs((double)d->points[k][i] - (double)want.points[k][i]));
    return worst / ((double)want.box[3] - (double)want.box[1]);
}

static bool check_faces(const char *path, const struct detection *d, int n, const json_t *faces)
{
    bool ok = (size_t)n == json_array_size(faces);
    size_t i;
    json_t *f;

    if (!ok) printf("%s: %d faces, golden has %zu\n", path, n, json_array_size(faces));
    json_array_foreach(faces, i, f)
    {
        if (i >= (size_t)n) break;
        bool stable = json_is_true(json_object_get(f, "stable"));
        double off = worst_offset(&d[i], f);
        if (off > (stable ? STABLE : UNSTABLE) ||
            (stable && fabs((double)d[i].score - number(f, "prob")) > 1e-3)) {
            printf("%s: face %zu is off by %.4f of its height (score %.6f, golden %.6f)\n", path, i,
                   off, (double)d[i].score, number(f, "prob"));
            ok = false;
        }
    }
    return ok;
}

static void test_pictures(void **state)
{
    json_t *g = golden_load(), *p;
    struct golden_detector d;
    const char *name = nn_backend_name(backend_of(state));
    int wrong = 0, pictures = 0, faces_seen = 0;
    double began = clock_seconds();
    size_t i;

    golden_detector_open(&d, backend_of(state));
    json_array_foreach(json_object_get(g, "pictures"), i, p)
    {
        const struct mtcnn_options o = MTCNN_OPTIONS_INIT;
        struct err_info err = ERR_INFO_INIT;
        const char *path = json_string_value(json_object_get(p, "path"));
        struct detection *faces = NULL;
        struct image im = IMAGE_INIT;
        int n = 0;
        if (!THOROUGH && json_array_size(json_object_get(p, "faces")) > 3) continue;
        if (!golden_picture(&im, p)) continue;
        if (!THOROUGH && im.w * im.h > 100000) {
            image_release(&im);
            continue;
        }
        if (mtcnn_detect(&faces, &n, &d.nets, &d.runner, &im, &o, NULL, &err))
            fail_msg("%s: %s", path, err.message);
        wrong += !check_faces(path, faces, n, json_object_get(p, "faces"));
        pictures++;
        faces_seen += n;
        free(faces);
        image_release(&im);
    }
    golden_detector_close(&d);
    json_decref(g);
    printf("%s: %d faces in %d pictures, %d pictures differ; %.1f s\n", name, faces_seen, pictures,
           wrong, clock_seconds() - began);
    assert_int_equal(wrong, 0);
    assert_true(pictures >= 6);
}

int main(void)
{
    static enum nn_backend backends[] = {NN_REF, NN_BLAS, NN_FAST};
    const struct CMUnitTest tests[] = {
        {"nets, plain loops", test_nets, NULL, NULL, &backends[0]},
        {"nets, blas", test_nets, NULL, NULL, &backends[1]},
        {"nets, onednn", test_nets, NULL, NULL, &backends[2]},
        {"stages, plain loops", test_stages, NULL, NULL, &backends[0]},
        {"stages, blas", test_stages, NULL, NULL, &backends[1]},
        {"stages, onednn", test_stages, NULL, NULL, &backends[2]},
        {"pictures, plain loops", test_pictures, NULL, NULL, &backends[0]},
        {"pictures, blas", test_pictures, NULL, NULL, &backends[1]},
        {"pictures, onednn", test_pictures, NULL, NULL, &backends[2]},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
