/* What the golden tests share: golden.json and its pictures, statistics of tensors, the models on a
 * backend. Header only; a test includes it after cmocka.h. Each function skips the running test,
 * with the reason, where something is absent. */
#ifndef VISAVIS_TESTS_GOLDEN_H
#define VISAVIS_TESTS_GOLDEN_H

#include <jansson.h>
#include <math.h>
#include <nettle/sha2.h>
#include <string.h>

#include "engine/face/face.h"
#include "engine/nn/exec.h"
#include "tests/support.h"

#define UNUSED __attribute__((unused))

/* Whole sets are run by an optimised build; under a sanitizer or unoptimised, where a network is
 * some ten times slower, a part of each. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
enum { THOROUGH = 1 };
#else
enum { THOROUGH = 0 };
#endif

static UNUSED json_t *golden_load(void)
{
    json_error_t e;
    json_t *g = json_load_file(GOLDENS "/golden.json", 0, &e);
    if (g) return g;
    printf("SKIPPED: no %s/golden.json (%s)\n", GOLDENS, e.text);
    skip();
    return NULL;
}

static UNUSED void sha256_hex(char out[65], const uint8_t *p, size_t n)
{
    struct sha256_ctx c;
    uint8_t d[SHA256_DIGEST_SIZE];
    sha256_init(&c);
    sha256_update(&c, n, p);
    sha256_digest(&c, sizeof d, d);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) snprintf(out + 2 * i, 3, "%02x", d[i]);
}

static UNUSED bool read_picture(struct image *im, const char *path)
{
    struct err_info err = ERR_INFO_INIT;
    AUTO_BUF struct buf b = test_read(path);
    if (!b.len) {
        printf("cannot read %s\n", path);
        return false;
    }
    if (image_decode(im, b.data, b.len, &err)) {
        printf("%s: %s\n", path, err.message);
        return false;
    }
    return true;
}

static UNUSED bool has_pixels(const struct image *im, const char *sha)
{
    char hex[65];
    sha256_hex(hex, im->rgb, (size_t)im->w * (size_t)im->h * 3);
    return strcmp(hex, sha) == 0;
}

/* The picture of an entry of "pictures": the JPEG where it decodes to the golden pixels, else the
 * PNG; false: neither. */
static UNUSED bool golden_picture(struct image *im, const json_t *entry)
{
    const char *sha = json_string_value(json_object_get(entry, "rgb_sha256"));
    const char *png = json_string_value(json_object_get(entry, "png"));
    const char *jpeg = json_string_value(json_object_get(entry, "path"));
    char path[512];

    snprintf(path, sizeof path, "%s/%s", FACES, jpeg);
    if (read_picture(im, path)) {
        if (has_pixels(im, sha)) return true;
        image_release(im);
        printf("%s: other pixels than the golden ones\n", path);
    }
    if (!png) return false;
    snprintf(path, sizeof path, "%s/%s", GOLDENS, png);
    if (!read_picture(im, path)) return false;
    if (has_pixels(im, sha)) return true;
    image_release(im);
    return false;
}

/* v(x,y,c) = (7x + 13y + 29c + 5((xy) mod 17)) mod 256 */
static UNUSED void golden_pattern(struct image *im, int w, int h)
{
    struct err_info err;
    assert_int_equal(image_new(im, w, h, &err), ERR_OK);
    uint8_t *p = im->rgb;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++)
                *p++ = (uint8_t)((7 * x + 13 * y + 29 * c + 5 * ((x * y) % 17)) % 256);
}

static UNUSED double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* {shape, sum, l2, first} against v[n]; tolerance: tol * max(floor, l2). false after printing what
 * differs. */
static UNUSED bool stat_agrees(const char *name, const json_t *stat, const float *v, size_t n,
                               double tol, double least)
{
    double sum = 0, squares = 0, l2 = number(stat, "l2");
    double allowed = tol * (l2 > least ? l2 : least);
    size_t count = 1, i;
    json_t *x;
    const json_t *first = json_object_get(stat, "first");
    bool ok = true;

    json_array_foreach(json_object_get(stat, "shape"), i, x) count *= (size_t)json_integer_value(x);
    if (count != n) {
        printf("%s: %zu values, golden has %zu\n", name, n, count);
        return false;
    }
    for (i = 0; i < n; i++) {
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
    }
    /* A sum of many positive values is larger than l2, and so is its rounding. */
    double sum_allowed = tol * fmax(fmax(l2, least), fabs(number(stat, "sum")));
    if (fabs(sum - number(stat, "sum")) > sum_allowed || fabs(sqrt(squares) - l2) > allowed) {
        printf("%s: sum %.9g l2 %.9g, golden %.9g %.9g, allowed %.3g\n", name, sum, sqrt(squares),
               number(stat, "sum"), l2, allowed);
        ok = false;
    }
    json_array_foreach(first, i, x)
    {
        if (fabs((double)v[i] - json_number_value(x)) > allowed) {
            printf("%s: value %zu is %.9g, golden %.9g, allowed %.3g\n", name, i, (double)v[i],
                   json_number_value(x), allowed);
            ok = false;
        }
    }
    return ok;
}

static UNUSED double largest_difference(const json_t *list, const float *v)
{
    double worst = 0;
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x) worst = fmax(worst, fabs((double)v[i] - json_number_value(x)));
    return worst;
}

static UNUSED void int_points(int (*to)[2], const json_t *list)
{
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x)
    {
        to[i][0] = (int)json_integer_value(json_array_get(x, 0));
        to[i][1] = (int)json_integer_value(json_array_get(x, 1));
    }
}

/* The golden face as a detection. */
static UNUSED void golden_detection(struct detection *d, const json_t *face)
{
    const json_t *box = json_object_get(face, "box"), *points = json_object_get(face, "points");
    for (size_t k = 0; k < 4; k++) d->box[k] = (float)json_number_value(json_array_get(box, k));
    for (size_t k = 0; k < 5; k++)
        for (size_t i = 0; i < 2; i++)
            d->points[k][i] =
                (float)json_number_value(json_array_get(json_array_get(points, k), i));
    d->score = (float)number(face, "prob");
}

/* --- models --- */

static UNUSED struct model *golden_model(const char *name)
{
    struct err_info err = ERR_INFO_INIT;
    struct model *m = NULL;
    if (model_open(&m, test_models_dir(), name, &err) == ERR_OK) return m;
    printf("SKIPPED: %s: %s\n", name, err.message);
    skip();
    return NULL;
}

struct golden_net {
    struct model *model;
    struct nn_net *net;
};

static UNUSED void golden_net_open(struct golden_net *n, const char *name, enum nn_backend backend)
{
    struct err_info err = ERR_INFO_INIT;
    n->model = golden_model(name);
    if (nn_net_new(&n->net, &n->model->graph, backend, NN_F32, &err))
        fail_msg("%s on %s: %s", name, nn_backend_name(backend), err.message);
}

static UNUSED void golden_net_close(struct golden_net *n)
{
    nn_net_free(n->net);
    model_close(n->model);
}

/* The detector on one backend and one thread, ready to run. */
struct golden_detector {
    struct golden_net p, r, o;
    struct nn_exec *exec;
    struct mtcnn nets;
    struct face_runner runner;
};

static UNUSED enum err golden_run(void *self, const struct nn_net *net, int n, int h, int w,
                                  const float *in, float *const *outs, struct err_info *err)
{
    return nn_exec_run(self, net, n, h, w, in, outs, err);
}

static UNUSED void golden_detector_open(struct golden_detector *d, enum nn_backend backend)
{
    struct err_info err = ERR_INFO_INIT;
    golden_net_open(&d->p, "mtcnn-p", backend);
    golden_net_open(&d->r, "mtcnn-r", backend);
    golden_net_open(&d->o, "mtcnn-o", backend);
    assert_int_equal(nn_exec_new(&d->exec, 1, 0, &err), ERR_OK);
    d->nets = (struct mtcnn){d->p.net, d->r.net, d->o.net};
    d->runner = (struct face_runner){golden_run, d->exec};
}

static UNUSED void golden_detector_close(struct golden_detector *d)
{
    nn_exec_free(d->exec);
    golden_net_close(&d->p);
    golden_net_close(&d->r);
    golden_net_close(&d->o);
}

#endif
