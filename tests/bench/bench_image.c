/* Times of engine/image, one thread: name,n,p50_us,p99_us. The decoding rows need ../shared. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/image/image.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 4000, FILES_MAX = 200 };
static const double SECONDS_EACH = 0.5;

struct work {
    struct image in;
    float *planes;
    int w, h;
    struct buf *files;
    size_t n_files, next;
};

static void require(enum err rc, const struct err_info *err)
{
    if (!rc) return;
    fprintf(stderr, "bench_image: %s\n", err->message);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, void (*run)(struct work *), struct work *w)
{
    static double us[RUNS_MAX];
    size_t n = 0;
    run(w); /* pages touched, kernels chosen */
    double end = clock_seconds() + SECONDS_EACH;
    while (n < RUNS_MAX && (n < 5 || clock_seconds() < end)) {
        double t = clock_seconds();
        run(w);
        us[n++] = (clock_seconds() - t) * 1e6;
    }
    qsort(us, n, sizeof us[0], by_value);
    printf("%s,%zu,%.1f,%.1f\n", name, n, us[n / 2], us[n - 1 - n / 100]);
}

static struct image noise(int w, int h)
{
    struct image im = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    require(image_new(&im, w, h, &err), &err);
    uint32_t s = 1;
    for (size_t i = 0; i < (size_t)w * (size_t)h * 3; i++)
        im.rgb[i] = (uint8_t)((s = s * 1664525 + 1013904223) >> 24);
    return im;
}

static void run_area(struct work *w)
{
    image_area_resample(w->planes, w->w, w->h, &w->in, 0, 0, w->in.w, w->in.h, -127.5f, 0.0078125f);
}

static void run_resize(struct work *w)
{
    struct image AUTO_IMAGE out = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    require(image_resize(&out, &w->in, w->w, w->h, &err), &err);
}

static void run_rotate(struct work *w)
{
    struct image AUTO_IMAGE out = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    require(image_rotate(&out, &w->in, 1, &err), &err);
}

static void run_decode(struct work *w)
{
    struct image AUTO_IMAGE out = IMAGE_INIT;
    struct err_info err = ERR_INFO_INIT;
    const struct buf *file = &w->files[w->next++ % w->n_files];
    require(image_decode(&out, file->data, file->len, &err), &err);
}

static void run_encode_png(struct work *w)
{
    struct buf AUTO_BUF out = BUF_INIT(1u << 26);
    struct err_info err = ERR_INFO_INIT;
    require(image_encode_png(&out, w->in.rgb, w->in.w, w->in.h, 3, &err), &err);
}

static void decode_rows(const char *name, const char *pattern)
{
    static struct buf files[FILES_MAX];
    glob_t found;
    struct err_info err = ERR_INFO_INIT;
    if (glob(pattern, 0, NULL, &found)) {
        fprintf(stderr, "bench_image: %s skipped, no %s here\n", name, pattern);
        return;
    }
    struct work w = {.files = files};
    for (size_t i = 0; i < found.gl_pathc && w.n_files < FILES_MAX; i++) {
        files[w.n_files] = BUF_INIT(1u << 26);
        require(buf_read_file(&files[w.n_files++], found.gl_pathv[i], &err), &err);
    }
    globfree(&found);
    measure(name, run_decode, &w);
    while (w.n_files) buf_release(&files[--w.n_files]);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(struct work *);
        int w, h, ow, oh;
    } rows[] = {
        {"area_resample 250x250 to 151x151", run_area, 250, 250, 151, 151},
        {"area_resample 250x250 to 107x107", run_area, 250, 250, 107, 107},
        {"area_resample 250x250 to 76x76", run_area, 250, 250, 76, 76},
        {"area_resample 250x250 to 54x54", run_area, 250, 250, 54, 54},
        {"area_resample 250x250 to 14x14", run_area, 250, 250, 14, 14},
        {"area_resample 1280x960 to 768x576", run_area, 1280, 960, 768, 576},
        {"area_resample 1280x960 to 193x145", run_area, 1280, 960, 193, 145},
        {"area_resample 41x41 to 24x24", run_area, 41, 41, 24, 24},
        {"area_resample 20x20 to 24x24", run_area, 20, 20, 24, 24},
        {"area_resample 131x131 to 48x48", run_area, 131, 131, 48, 48},
        {"resize 4000x3000 to 1280x960", run_resize, 4000, 3000, 1280, 960},
        {"resize 250x250 to 500x500", run_resize, 250, 250, 500, 500},
        {"rotate 90 1280x960", run_rotate, 1280, 960, 0, 0},
        {"encode PNG 150x150 noise", run_encode_png, 150, 150, 0, 0},
    };
    printf("name,n,p50_us,p99_us\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct work w = {.in = noise(rows[i].w, rows[i].h), .w = rows[i].ow, .h = rows[i].oh};
        w.planes = mem_aligned((size_t)rows[i].ow * (size_t)rows[i].oh * 3 + 1, sizeof *w.planes);
        if (!w.planes) return 1;
        measure(rows[i].name, rows[i].run, &w);
        free(w.planes);
        image_release(&w.in);
    }
    decode_rows("decode LFW JPEG 250x250 (200 different)",
                "../shared/data/faces/lfw-view1/A*/*_0001.jpg");
    decode_rows("decode JPEG group pictures", "../shared/data/faces/groups/*.jpg");
    decode_rows("decode JPEG 910x1137 upright", "../shared/data/faces/exif/obama_orient1.jpg");
    decode_rows("decode JPEG 910x1137 turned by EXIF",
                "../shared/data/faces/exif/obama_orient6.jpg");
    decode_rows("decode PNG 150x150", "../shared/data/faces/cast/*/*.png");
    return 0;
}
