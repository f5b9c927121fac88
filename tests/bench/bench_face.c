/* Times of engine/face, one thread: name,n,p50_us,p99_us, then the CPU time of a run (what counts
 * on a busy machine). Needs ../shared and the models.
 *
 * bench_face FILE...: only MTCNN, each picture once, decoded beforehand: {"ms","cpu_ms"}, the mean
 * of a picture, for tests/peers. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/face/face.h"
#include "engine/nn/exec.h"
#include "tests/support.h"

enum { RUNS_MAX = 4000, PICTURES = 40, MODELS = 3 };
static const double SECONDS_EACH = 2;

struct bench {
    struct image lfw[PICTURES], mixed[PICTURES];
    int next;
    struct mtcnn nets;
    struct face_runner runner;
    struct ert *ert;
    struct chip_place place;
    int rect[4];
};

static void require(enum err rc, const struct err_info *err)
{
    if (!rc) return;
    fprintf(stderr, "bench_face: %s\n", err->message);
    exit(1);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, void (*run)(struct bench *), struct bench *b)
{
    static double us[RUNS_MAX];
    size_t n = 0;
    double cpu = 0;
    b->next = 0;
    for (int i = 0; i < PICTURES; i++) run(b); /* plans made, kernels chosen */
    double end = clock_seconds() + SECONDS_EACH;
    while (n < RUNS_MAX && (n < PICTURES || clock_seconds() < end)) {
        double t = clock_seconds(), c = cpu_seconds();
        run(b);
        us[n++] = (clock_seconds() - t) * 1e6;
        cpu += cpu_seconds() - c;
    }
    qsort(us, n, sizeof us[0], by_value);
    printf("%s,%zu,%.1f,%.1f,cpu %.1f\n", name, n, us[n / 2], us[n - 1 - n / 100],
           cpu / (double)n * 1e6);
}

static enum err run_net(void *self, const struct nn_net *net, int n, int h, int w, const float *in,
                        float *const *outs, struct err_info *err)
{
    return nn_exec_run(self, net, n, h, w, in, outs, err);
}

static void mtcnn_on(struct bench *b, const struct image *im)
{
    const struct mtcnn_options o = MTCNN_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct detection *f = NULL;
    int n;
    require(mtcnn_detect(&f, &n, &b->nets, &b->runner, im, &o, NULL, &err), &err);
    free(f);
}

static void run_lfw(struct bench *b)
{
    mtcnn_on(b, &b->lfw[b->next++ % PICTURES]);
}

static void run_mixed(struct bench *b)
{
    mtcnn_on(b, &b->mixed[b->next++ % PICTURES]);
}

static void run_ladder(struct bench *b)
{
    const struct detect_options o = DETECT_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    struct detection *f = NULL;
    enum detect_pass pass;
    int n;
    const struct detector mtcnn = {.mtcnn = &b->nets};
    require(
        detect_faces(&f, &n, &pass, &mtcnn, &b->runner, &b->lfw[b->next++ % PICTURES], &o, &err),
        &err);
    free(f);
}

static void run_landmarks(struct bench *b)
{
    int p[5][2];
    ert_predict(b->ert, &b->lfw[b->next++ % PICTURES], b->rect, p);
}

static void run_refine(struct bench *b)
{
    struct err_info err = ERR_INFO_INIT;
    struct detection d = {{66, 65, 182, 199}, {{0}}, 1};
    require(mtcnn_refine(&d, 1, &b->nets, &b->runner, &b->lfw[b->next++ % PICTURES], &err), &err);
}

static void run_chip(struct bench *b)
{
    static uint8_t chip[3 * CHIP_SIDE * CHIP_SIDE];
    struct err_info err = ERR_INFO_INIT;
    require(chip_extract(chip, CHIP_SIDE, &b->lfw[b->next++ % PICTURES], &b->place, &err), &err);
}

static void read_picture(struct image *im, const char *path)
{
    struct err_info err = ERR_INFO_INIT;
    AUTO_BUF struct buf file = test_read(path);
    require(image_decode(im, file.data, file.len, &err), &err);
}

static void measure_files(struct bench *b, char **files, int n)
{
    struct image *im = calloc((size_t)n, sizeof *im);
    if (!im) exit(1);
    for (int i = 0; i < n; i++) read_picture(&im[i], files[i]);
    for (int i = 0; i < n; i++) mtcnn_on(b, &im[i]); /* plans made */
    double t = clock_seconds(), c = cpu_seconds();
    for (int i = 0; i < n; i++) mtcnn_on(b, &im[i]);
    printf("{\"ms\":%.4f,\"cpu_ms\":%.4f}\n", (clock_seconds() - t) * 1e3 / n,
           (cpu_seconds() - c) * 1e3 / n);
    for (int i = 0; i < n; i++) image_release(&im[i]);
    free(im);
}

static void measure_all(struct bench *b)
{
    measure("mtcnn_lfw", run_lfw, b);
    measure("mtcnn_mixed", run_mixed, b);
    measure("ladder_lfw", run_ladder, b);
    measure("landmarks5", run_landmarks, b);
    measure("refine", run_refine, b);
    measure("chip150", run_chip, b);
}

int main(int argc, char **argv)
{
    static const char *const names[MODELS] = {"mtcnn-p", "mtcnn-r", "mtcnn-o"};
    struct model *m[MODELS], *points;
    struct nn_net *nets[MODELS];
    struct nn_exec *exec;
    struct err_info err = ERR_INFO_INIT;
    static struct bench b;
    glob_t g;

    if (!test_have_shared() || !test_have_models()) return 0;
    for (int i = 0; i < MODELS; i++) {
        require(model_open(&m[i], test_models_dir(), names[i], &err), &err);
        require(nn_net_new(&nets[i], &m[i]->graph, NN_FAST, NN_F32, &err), &err);
    }
    require(nn_exec_new(&exec, 1, 0, &err), &err);
    require(model_open(&points, test_models_dir(), "dlib-5point", &err), &err);
    require(ert_open(&b.ert, points, &err), &err);
    b.nets = (struct mtcnn){nets[0], nets[1], nets[2]};
    b.runner = (struct face_runner){run_net, exec};
    b.place = (struct chip_place){{56.5, 70.25, 195.5, 209.25}, 0.07};
    memcpy(b.rect, (int[4]){66, 75, 182, 192}, sizeof b.rect);
    if (glob(FACES "/lfw-view1/*/*_0001.jpg", 0, NULL, &g) || g.gl_pathc < PICTURES) return 1;
    for (int i = 0; i < PICTURES; i++) {
        struct image *im = &b.lfw[i];
        read_picture(im, g.gl_pathv[g.gl_pathc / PICTURES * (size_t)i]);
        /* Sizes all different, 150 to 540 pixels, of all shapes. */
        require(image_resize(&b.mixed[i], im, 150 + 10 * i, 150 + 10 * (i * 7 % PICTURES), &err),
                &err);
    }
    globfree(&g);

    if (argc > 1)
        measure_files(&b, argv + 1, argc - 1);
    else
        measure_all(&b);

    for (int i = 0; i < PICTURES; i++) {
        image_release(&b.lfw[i]);
        image_release(&b.mixed[i]);
    }
    ert_close(b.ert);
    model_close(points);
    nn_exec_free(exec);
    for (int i = 0; i < MODELS; i++) {
        nn_net_free(nets[i]);
        model_close(m[i]);
    }
    return 0;
}
