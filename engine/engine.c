/* The pipeline, read top to bottom: decode -> detect -> select -> landmarks -> align -> embed. One
 * call runs on its caller's thread; only networks run elsewhere, on the lanes. */
#include "engine/engine.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/engine_internal.h"
#include "engine/face/crops.h"
#include "engine/face/face.h"
#include "engine/lane.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THUMBNAIL_MAX_SIDE = 4096 /* pixels */ };

bool face_select_parse(enum face_select *out, const char *s)
{
    static const char *const names[] = {"main", "largest", "single", "all"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(s, names[i]) == 0) {
            *out = (enum face_select)i;
            return true;
        }
    }
    return false;
}

/* --- select --- */

static double area(const struct detection *d)
{
    return (double)(d->box[2] - d->box[0]) * (double)(d->box[3] - d->box[1]);
}

/* Area x exp(-(d / 0.25 W)^2 / 2), d from the picture's centre (ARCHITECTURE, "The main face"):
 * photographers centre the person they mean, and a bystander at the border may be larger. */
static double centrality(const struct detection *d, int w, int h)
{
    double dx = (d->box[0] + d->box[2]) / 2 - w / 2.0, dy = (d->box[1] + d->box[3]) / 2 - h / 2.0;
    double r = sqrt(dx * dx + dy * dy) / (0.25 * w);
    return area(d) * exp(-r * r / 2);
}

/* Moves the chosen face to the front and returns how many faces the caller gets. */
static enum err select_faces(int *count, struct detection *found, int n, int w, int h,
                             enum face_select select, struct err_info *err)
{
    if (select == FACE_ALL) {
        *count = n;
        return ERR_OK;
    }
    if (!n) return err_set(err, ERR_NO_FACE, "no face found in the %d x %d picture", w, h);
    if (select == FACE_SINGLE && n > 1)
        return err_set(err, ERR_MANY_FACES, "face=single, but the picture has %d faces", n);
    int best = 0;
    for (int i = 1; i < n; i++) {
        bool better = select == FACE_MAIN
                          ? centrality(&found[i], w, h) > centrality(&found[best], w, h)
                          : area(&found[i]) > area(&found[best]);
        if (better) best = i;
    }
    found[0] = found[best];
    *count = 1;
    return ERR_OK;
}

/* --- align --- */

/* A face in the frame where it stands upright: the picture itself, or the picture turned as the
 * detector had to. */
struct upright {
    const struct image *im;
    struct detection found;  /* what the detector said */
    struct detection steady; /* what places the chips: found, or refined (crop_set) */
    struct chip_place place; /* of the chip: dlib's, by which quality is measured */
    uint8_t chip[CHIP_SIDE * CHIP_SIDE * 3];
};

static enum err align_face(struct upright *u, const struct engine *e, struct err_info *err)
{
    static const double PADDING = 0.25; /* facts/default-models.md section 4 */
    int rect[4], p5[5][2];
    enum err rc;

    ert_rect(rect, &u->steady);
    ert_predict(e->ert5, u->im, rect, p5);
    rc = chip_place_from_points(&u->place, (const int(*)[2])p5, PADDING, CHIP_SIDE, err);
    return rc ? rc : chip_extract(u->chip, CHIP_SIDE, u->im, &u->place, err);
}

/* The k likeliest classes, likeliest first; of equal ones the first. k is small. */
static enum err face_classes(struct face *f, const float *p, int k, const struct embedder *m,
                             struct err_info *err)
{
    if (k > m->n_classes) k = m->n_classes;
    f->classes = calloc((size_t)k + 1, sizeof *f->classes);
    if (!f->classes) return err_set(err, ERR_NOMEM, "no memory for %d classes", k);
    for (int i = 0; i < m->n_classes; i++) {
        int at = f->n_classes;
        while (at > 0 && p[i] > f->classes[at - 1].probability) at--;
        if (at == k) continue;
        if (f->n_classes < k) f->n_classes++;
        memmove(f->classes + at + 1, f->classes + at,
                (size_t)(f->n_classes - 1 - at) * sizeof *f->classes);
        f->classes[at] = (struct face_class){i, p[i], NULL};
    }
    for (int i = 0; i < f->n_classes && m->model->classes; i++) {
        struct face_class *c = &f->classes[i];
        if ((size_t)c->index < m->model->n_classes &&
            !(c->name = strdup(m->model->classes[c->index])))
            return err_set(err, ERR_NOMEM, "no memory for a name");
    }
    return ERR_OK;
}

/* Embeddings and classes of n faces, `crops` rows each. */
static enum err embed_faces(struct face *faces, int n, int crops, const float *rows,
                            const struct embedder *m, struct engine *e,
                            const struct analyse_options *o, struct err_info *err)
{
    AUTO_FREE struct embedder_result *out = calloc((size_t)n + 1, sizeof *out);
    if (!out) return err_set(err, ERR_NOMEM, "no memory for %d faces", n);
    enum err rc = embedder_run(out, n, crops, rows, o->embedding, o->classes > 0, m, e->lanes, err);
    for (int i = 0; i < n; i++) {
        faces[i].embedding = out[i].embedding;
        faces[i].dim = out[i].embedding ? m->dim : 0;
        if (!rc && out[i].classes) rc = face_classes(&faces[i], out[i].classes, o->classes, m, err);
        free(out[i].classes);
    }
    return rc;
}

/* --- what else a face may carry --- */

static void face_from_detection(struct face *f, const struct detection *d, enum detect_pass pass)
{
    f->box[0] = d->box[0];
    f->box[1] = d->box[1];
    f->box[2] = d->box[2] - d->box[0];
    f->box[3] = d->box[3] - d->box[1];
    memcpy(f->points, d->points, sizeof f->points);
    f->score = d->score;
    f->pass = detect_pass_name(pass);
}

static void face_quality(struct face *f, const struct quality *q)
{
    f->quality = q->unified;
    f->n_quality = QUALITY_COUNT;
    for (int i = 0; i < QUALITY_COUNT; i++) {
        f->quality_name[i] = quality_name((enum quality_id)i);
        f->quality_value[i] = q->component[i];
    }
    f->n_reasons = q->n_reasons;
    for (int i = 0; i < q->n_reasons; i++) {
        f->reason_code[i] = quality_name(q->reasons[i]);
        f->reason[i] = quality_reason(q->reasons[i]);
    }
    f->yaw = q->yaw;
    f->pitch = q->pitch;
    f->roll = q->roll;
}

static enum err face_chip_png(struct face *f, const uint8_t *chip, int side, struct err_info *err)
{
    f->chip_png = BUF_INIT((size_t)side * (size_t)side * 4 + 4096);
    return image_encode_png(&f->chip_png, chip, side, side, 3, err);
}

/* Where a cut of n <= side pixels around the middle begins, so that it stays in the picture. */
static int cut_from(float middle, int n, int side)
{
    const int from = (int)floorf(middle - 0.5f * (float)n);
    return from < 0 ? 0 : from > side - n ? side - n : from;
}

/* im: the picture as it came, not as it was turned. */
static enum err thumbnail(struct buf *jpeg, const struct image *im, const float box[4], int side,
                          struct err_info *err)
{
    AUTO_IMAGE struct image cut = IMAGE_INIT, small = IMAGE_INIT;
    float half = 0.75f * fmaxf(box[2], box[3]), cx = box[0] + box[2] / 2, cy = box[1] + box[3] / 2;
    enum err rc;

    if (!(half >= 1) || half > IMAGE_MAX_SIDE || side < 1 || side > THUMBNAIL_MAX_SIDE)
        return err_set(err, ERR_INVALID, "a thumbnail of %d pixels from a box of %g x %g", side,
                       (double)box[2], (double)box[3]);
    const int shorter = im->w < im->h ? im->w : im->h, wanted = (int)ceilf(2 * half);
    const int n = wanted < shorter ? wanted : shorter;
    const int x = cut_from(cx, n, im->w), y = cut_from(cy, n, im->h);
    if ((rc = image_pad(&cut, im, -x, -y, n, n, err))) return rc;
    if ((rc = image_resize(&small, &cut, side, side, err))) return rc;
    return image_encode_jpeg(jpeg, &small, 85, err);
}

static enum err face_thumbnail(struct face *f, const struct image *im, int side,
                               struct err_info *err)
{
    f->thumbnail_jpeg = BUF_INIT((size_t)side * (size_t)side * 4 + 65536);
    return thumbnail(&f->thumbnail_jpeg, im, f->box, side, err);
}

/* Points of the turned picture back into the picture as it came. */
static void points_back(float (*p)[2], int n, const struct image *original, int quarter)
{
    for (int i = 0; i < n; i++) point_turn_back(p[i], p[i], original->w, original->h, quarter);
}

static enum err face_landmarks_and_mask(struct face *f, const struct upright *u,
                                        const struct engine *e, const struct image *original,
                                        int quarter, const struct analyse_options *o,
                                        struct err_info *err)
{
    int p68[68][2], rect[4];
    const bool have68 = e->ert68 != NULL;

    if (o->landmarks68 && !have68)
        return err_set(err, ERR_NOT_FOUND,
                       "the model dlib-68point is not installed: visavis model fetch "
                       "--with-68-points --accept-license");
    if (have68) {
        ert_rect(rect, &u->steady);
        ert_predict(e->ert68, u->im, rect, p68);
    }
    if (o->landmarks68) {
        f->landmarks = calloc(68, sizeof *f->landmarks);
        if (!f->landmarks) return err_set(err, ERR_NOMEM, "no memory for landmarks");
        for (int i = 0; i < 68; i++) {
            f->landmarks[i][0] = (float)p68[i][0];
            f->landmarks[i][1] = (float)p68[i][1];
        }
        points_back(f->landmarks, 68, original, quarter);
        f->n_landmarks = 68;
    }
    if (!o->mask && !o->mask_png) return ERR_OK;

    struct face_mask mask;
    mask_from_points(&mask, &u->found, have68 ? (const int(*)[2])p68 : NULL);
    points_back(mask.polygon, mask.n, original, quarter);
    f->polygon = calloc((size_t)mask.n, sizeof *f->polygon);
    if (!f->polygon) return err_set(err, ERR_NOMEM, "no memory for a polygon");
    memcpy(f->polygon, mask.polygon, (size_t)mask.n * sizeof *f->polygon);
    f->n_polygon = mask.n;
    f->mask_source = mask.from_68 ? "landmarks68" : "mean_outline";
    if (!o->mask_png) return ERR_OK;

    int x = (int)floorf(f->box[0]), y = (int)floorf(f->box[1]);
    int w = (int)ceilf(f->box[0] + f->box[2]) - x, h = (int)ceilf(f->box[1] + f->box[3]) - y;
    if (w < 1 || h < 1 || w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE)
        return err_set(err, ERR_TOO_LARGE, "a mask of %d x %d pixels, the limit is %d a side", w, h,
                       IMAGE_MAX_SIDE);
    AUTO_FREE uint8_t *grey = malloc((size_t)w * (size_t)h);
    if (!grey) return err_set(err, ERR_NOMEM, "no memory for a mask of %d x %d", w, h);
    mask_raster(grey, x, y, w, h, &mask);
    memcpy(f->mask_box, (int[4]){x, y, w, h}, sizeof f->mask_box);
    f->mask_png = BUF_INIT((size_t)w * (size_t)h * 2 + 65536);
    return image_encode_png(&f->mask_png, grey, w, h, 1, err);
}

/* --- the pipeline --- */

void analysis_release(struct analysis *a)
{
    if (!a) return;
    for (int i = 0; i < a->n; i++) {
        struct face *f = &a->faces[i];
        free(f->embedding);
        for (int k = 0; k < f->n_classes; k++) free(f->classes[k].name);
        free(f->classes);
        free(f->landmarks);
        free(f->polygon);
        buf_release(&f->mask_png);
        buf_release(&f->chip_png);
        buf_release(&f->thumbnail_jpeg);
    }
    free(a->faces);
    *a = (struct analysis){0};
}

static double since(double *mark)
{
    double now = clock_seconds(), ms = (now - *mark) * 1e3;
    *mark = now;
    return ms;
}

/* The picture is the chip: no detection, one face that fills it. */
static enum err analyse_precropped(struct engine *e, const struct embedder *m,
                                   const struct image *im, const struct analyse_options *o,
                                   struct analysis *out, struct err_info *err)
{
    struct face *f = &out->faces[0];
    int crops;
    enum err rc;

    f->box[2] = (float)im->w;
    f->box[3] = (float)im->h;
    for (int i = 0; i < 5; i++) {
        f->points[i][0] = crop_template[i][0] * (float)im->w / CHIP_SIDE;
        f->points[i][1] = crop_template[i][1] * (float)im->h / CHIP_SIDE;
    }
    f->score = 1;
    f->pass = "precropped";
    if (!o->embedding && !o->classes) return ERR_OK;
    AUTO_FREE float *rows = mem_aligned(embedder_row_floats(m), sizeof *rows);
    if (!rows) return err_set(err, ERR_NOMEM, "no memory for a chip");
    if ((rc = embedder_rows_precropped(rows, &crops, m, im, err))) return rc;
    return embed_faces(f, 1, crops, rows, m, e, o, err);
}

/* The detections as they stand upright in im, and refined where the crops want it: [2][n], the
 * caller's. */
static enum err upright_detections(struct detection **out, struct engine *e, bool refined,
                                   const struct detection *found, int n,
                                   const struct image *original, const struct image *im,
                                   int quarter, struct err_info *err)
{
    AUTO_FREE struct detection *d = calloc(2 * (size_t)n + 1, sizeof *d);
    const struct face_runner runner = {lanes_run, e->lanes};
    enum err rc;

    if (!d) return err_set(err, ERR_NOMEM, "no memory for %d faces", n);
    for (int i = 0; i < n; i++) detection_turn(&d[i], &found[i], original->w, original->h, quarter);
    memcpy(d + n, d, (size_t)n * sizeof *d);
    if (refined && (rc = mtcnn_refine(d + n, n, &e->mtcnn, &runner, im, err))) return rc;
    *out = d;
    d = NULL;
    return ERR_OK;
}

/* The embedder's input for one face, and its chip as PNG where asked. */
static enum err face_rows(struct face *f, float *rows, const struct upright *u,
                          const struct embedder *m, const struct analyse_options *o,
                          struct err_info *err)
{
    const struct embedder_face ef = {u->im, &u->steady, &u->place, u->chip};
    enum err rc;

    if (!o->chip_png) return rows ? embedder_rows(rows, NULL, m, &ef, err) : ERR_OK;
    AUTO_FREE float *own = rows ? NULL : mem_aligned(embedder_row_floats(m), sizeof *own);
    AUTO_FREE uint8_t *chip = malloc(3 * (size_t)m->input.w * (size_t)m->input.h);
    if (!chip || (!rows && !own)) return err_set(err, ERR_NOMEM, "no memory for a chip");
    if ((rc = embedder_rows(rows ? rows : own, chip, m, &ef, err))) return rc;
    return face_chip_png(f, chip, m->input.w, err);
}

static enum err analyse_faces(struct engine *e, const struct embedder *m, const struct image *im,
                              const struct analyse_options *o, const struct detection *found,
                              enum detect_pass pass, struct analysis *out, struct err_info *err)
{
    const int quarter = detect_pass_quarter(pass), n = out->n;
    const size_t per_face = embedder_row_floats(m);
    double mark = clock_seconds();
    AUTO_IMAGE struct image turned = IMAGE_INIT;
    AUTO_FREE struct upright *u = malloc(sizeof *u);
    AUTO_FREE struct detection *d = NULL;
    const bool run = o->embedding || o->classes;
    AUTO_FREE float *rows = run ? mem_aligned((size_t)n * per_face, sizeof *rows) : NULL;
    enum err rc;

    if (!u || (run && !rows)) return err_set(err, ERR_NOMEM, "no memory for %d faces", n);
    u->im = im;
    if (quarter) {
        if ((rc = image_rotate(&turned, im, quarter, err))) return rc;
        u->im = &turned;
    }
    if ((rc = upright_detections(&d, e, m->crops->refined, found, n, im, u->im, quarter, err)))
        return rc;
    for (int i = 0; i < n; i++) {
        struct face *f = &out->faces[i];
        struct quality q;
        u->found = d[i];
        u->steady = d[n + i];
        face_from_detection(f, &found[i], pass);
        if ((rc = align_face(u, e, err))) return rc;
        quality_measure(&q, u->im, &u->found, u->chip);
        face_quality(f, &q);
        if ((o->landmarks68 || o->mask || o->mask_png) &&
            (rc = face_landmarks_and_mask(f, u, e, im, quarter, o, err)))
            return rc;
        if ((rc = face_rows(f, rows ? rows + (size_t)i * per_face : NULL, u, m, o, err))) return rc;
    }
    out->took.align = since(&mark);
    rc = run && n ? embed_faces(out->faces, n, m->crops->n, rows, m, e, o, err) : ERR_OK;
    out->took.embed = since(&mark);
    return rc;
}

static enum err analyse(struct engine *e, const struct embedder *m, const uint8_t *bytes,
                        size_t len, const struct analyse_options *o, struct analysis *a,
                        struct err_info *err)
{
    double mark = clock_seconds();
    AUTO_IMAGE struct image im = IMAGE_INIT;
    AUTO_FREE struct detection *found = NULL;
    enum detect_pass pass = PASS_DEFAULT;
    int n = 1;
    enum err rc;

    if ((rc = image_decode(&im, bytes, len, err))) return rc;
    a->width = im.w;
    a->height = im.h;
    a->took.decode = since(&mark);
    if (!o->precropped) {
        struct detect_options d = DETECT_OPTIONS_INIT;
        const struct face_runner runner = {lanes_run, e->lanes};
        d.retry = !o->no_retry;
        if (o->min_size > 0) d.min_size = o->min_size;
        if ((rc = detect_faces(&found, &n, &pass, &e->detector, &runner, &im, &d, err))) return rc;
        a->took.detect = since(&mark);
        if ((rc = select_faces(&n, found, n, im.w, im.h, o->select, err))) return rc;
    }
    a->faces = calloc((size_t)n + 1, sizeof *a->faces);
    if (!a->faces) return err_set(err, ERR_NOMEM, "no memory for %d faces", n);
    a->n = n;
    if (!o->precropped) {
        rc = analyse_faces(e, m, &im, o, found, pass, a, err);
    } else {
        rc = analyse_precropped(e, m, &im, o, a, err);
        a->took.embed = since(&mark);
    }
    for (int i = 0; !rc && o->thumbnail && i < n; i++)
        rc = face_thumbnail(&a->faces[i], &im, o->thumbnail, err);
    return rc;
}

enum err engine_analyse(struct engine *e, const uint8_t *bytes, size_t len,
                        const struct analyse_options *o, struct analysis *out, struct err_info *err)
{
    const double start = clock_seconds();
    const struct embedder *m;
    struct analysis a = {0};
    enum err rc = engine__embedder_use(&m, e, o->model, err);

    if (rc) return rc;
    engine__embedder_name(&a, e, m);
    a.detector = engine_detector(e);
    if (o->classes && m->classifier < 0)
        rc = err_set(err, ERR_INVALID, "model %.64s has no classifier", m->model->name);
    else
        rc = analyse(e, m, bytes, len, o, &a, err);
    engine__embedder_done(e, m);
    if (rc) {
        analysis_release(&a);
        return rc;
    }
    a.took.total = (clock_seconds() - start) * 1e3;
    *out = a;
    return ERR_OK;
}

enum err engine_thumbnail(struct engine *e, const uint8_t *bytes, size_t len, const float box[4],
                          int side, struct buf *jpeg, struct err_info *err)
{
    AUTO_IMAGE struct image im = IMAGE_INIT;
    const enum err rc = image_decode(&im, bytes, len, err);

    (void)e;
    return rc ? rc : thumbnail(jpeg, &im, box, side, err);
}

enum err engine_pixels(uint8_t **rgb, int *w, int *h, const uint8_t *bytes, size_t len,
                       struct err_info *err)
{
    struct image im = IMAGE_INIT;
    const enum err rc = image_decode(&im, bytes, len, err);

    if (rc) return rc;
    *rgb = im.rgb;
    *w = im.w;
    *h = im.h;
    return ERR_OK;
}
