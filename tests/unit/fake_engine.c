/* A double of engine.h for tests of the server: no models, no pixels. A "picture" is a text: "face"
 * has one, "faces" two, "none" none, "broken" is damaged, anything else is no picture. #included by
 * the tests that need it, so that the linker takes it instead of the archive's. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

struct engine {
    char none;
};
static struct engine fake_engine;
static _Thread_local struct analyse_options fake_last; /* of the last engine_analyse */
static const char *fake_calibration;                   /* of the model; NULL: none */
static enum err fake_error; /* what engine_analyse returns, where not ERR_OK */
static int fake_thumbnails; /* how many engine_thumbnail made */

#define FAKE_RECIPE "fa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4e"
static const struct model_info fake_model = {
    .name = "fake",
    .role = "embedder",
    .license = "CC0-1.0",
    .source_file = "fake.dat",
    .source_sha256 = "00",
    .sha256 = "11",
    .dim = 2,
    .loaded = true,
    .average = "none",
    .precision = "f32",
    .backend = "ref",
    .recipe = FAKE_RECIPE,
};

enum err engine_open(struct engine **out, const struct engine_options *o, struct err_info *err)
{
    (void)o, (void)err;
    *out = &fake_engine;
    return ERR_OK;
}

void engine_close(struct engine *e)
{
    (void)e;
}

bool face_select_parse(enum face_select *out, const char *s)
{
    static const char *const names[] = {"main", "largest", "single", "all"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], s)) {
            *out = (enum face_select)i;
            return true;
        }
    return false;
}

enum err engine_analyse(struct engine *e, const uint8_t *bytes, size_t len,
                        const struct analyse_options *o, struct analysis *out, struct err_info *err)
{
    int n = len == 4 && !memcmp(bytes, "face", 4)                                        ? 1
            : len == 5 && !memcmp(bytes, "faces", 5)                                     ? 2
            : len == 4 && !memcmp(bytes, "none", 4)                                      ? 0
            : len > 4 && (!memcmp(bytes, "\x89PNG", 4) || !memcmp(bytes, "\xff\xd8", 2)) ? 1
                                                                                         : -1;
    (void)e;
    fake_last = *o;
    if (fake_error) return err_set(err, fake_error, "as told");
    if (len == 6 && !memcmp(bytes, "broken", 6))
        return err_set(err, ERR_BAD_IMAGE, "the picture is damaged");
    if (n < 0) return err_set(err, ERR_UNSUPPORTED_IMAGE, "not a JPEG, PNG or WebP file");
    if (!n && o->select != FACE_ALL) return err_set(err, ERR_NO_FACE, "no face was found");
    if (n > 1 && o->select == FACE_SINGLE) return err_set(err, ERR_MANY_FACES, "%d faces", n);
    if (n > 1 && o->select != FACE_ALL) n = 1;
    *out = (struct analysis){.width = 100,
                             .height = 50,
                             .n = n,
                             .model = fake_model.name,
                             .precision = fake_model.precision,
                             .recipe = fake_model.recipe,
                             .calibration = fake_calibration};
    out->faces = calloc((size_t)n + 1, sizeof out->faces[0]);
    for (int i = 0; i < n; i++) {
        struct face *f = &out->faces[i];
        *f = (struct face){
            .box = {10, 10, 20, 20}, .score = 0.99f, .pass = "default", .quality = 0.5f};
        f->thumbnail_jpeg = BUF_INIT(16);
        if (o->thumbnail &&
            buf_printf(&f->thumbnail_jpeg, err, "\xff\xd8%d of %d", i, o->thumbnail))
            abort();
        if (!o->embedding) continue;
        f->dim = 2;
        f->embedding = calloc(2, sizeof(float));
        f->embedding[i % 2] = 1;
    }
    return ERR_OK;
}

void analysis_release(struct analysis *a)
{
    for (int i = 0; i < a->n; i++) {
        free(a->faces[i].embedding);
        buf_release(&a->faces[i].thumbnail_jpeg);
    }
    free(a->faces);
    *a = (struct analysis){0};
}

size_t engine_models(struct engine *e, struct model_info *out, size_t max)
{
    (void)e;
    if (max) out[0] = fake_model;
    return 1;
}

const struct model_info *engine_embedder(const struct engine *e)
{
    (void)e;
    return &fake_model;
}

enum err engine_describe(struct model_info *out, struct engine *e, const char *name,
                         struct err_info *err)
{
    (void)e;
    if (name && strcmp(name, fake_model.name) != 0)
        return err_set(err, ERR_INVALID, "there is no model \"%s\" here", name);
    *out = fake_model;
    out->calibration = fake_calibration;
    return ERR_OK;
}

const struct cores *engine_cores(struct engine *e)
{
    (void)e;
    return NULL;
}

enum err engine_thumbnail(struct engine *e, const uint8_t *bytes, size_t len, const float box[4],
                          int side, struct buf *jpeg, struct err_info *err)
{
    (void)e, (void)bytes, (void)len, (void)box, (void)side;
    fake_thumbnails++;
    return buf_puts(jpeg, "\xff\xd8", err);
}

/* One grey pixel, of anything. */
enum err engine_pixels(uint8_t **rgb, int *w, int *h, const uint8_t *bytes, size_t len,
                       struct err_info *err)
{
    (void)bytes, (void)len;
    uint8_t *pixel = malloc(3);
    if (!pixel) return err_set(err, ERR_NOMEM, "no memory for a pixel");
    memset(pixel, 128, 3);
    *rgb = pixel;
    *w = *h = 1;
    return ERR_OK;
}

const char *engine_detector(const struct engine *e)
{
    (void)e;
    return "fake";
}

void engine_stats(const struct engine *e, struct engine_stats *out)
{
    (void)e;
    *out = (struct engine_stats){.lanes = 1, .batches = 3, .rows = 6, .batch_histogram = {1, 1, 1}};
}
