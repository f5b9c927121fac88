/* The retry ladder: passes over a picture until a face in it is convincing.
 *
 * Why: MTCNN alone finds "something" in 28 to 46 % of photographs that lie on their side, with
 * useless descriptors, and misses faces that fill the picture or are small. So a pass that finds
 * nothing convincing is followed by others (enlarged, padded, turned, lower thresholds), and the
 * best-scoring one wins.
 *
 * What is convincing was measured, with the figures beside each constant; the measurements are
 * tests/golden/test_rotations.c, test_face_free.c and test_groups.c, which fail when a change makes
 * them worse. YuNet's marks are the thresholds that its authors and OpenCV publish: its file was
 * not at hand to measure. So none of its faces ends the search before the picture was looked at
 * upside down and from both sides, which it is fast enough for.
 *
 * Frames: `base` is the picture, reduced when it is big. A pass looks at a picture made of base:
 * enlarged, on a larger canvas, or turned. Its detections are brought back to the original
 * picture's pixels. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/face/face.h"

/* What a detector's scores mean. */
struct marks {
    /* A face at least this high (pixels of the pass's picture) is seen without enlarging it. */
    float full_height;
    /* What a face of the default pass must score to end the search at once: below the first it may
     * be upside down, below the second on its side. */
    float sure, sure_not_sideways;
    /* A face worth reporting from any pass; a small one must score more. */
    float convincing, convincing_small;
    /* What the default pass may still report when no pass convinces, and beside a convincing face.
     */
    float likely;
    bool lower; /* there are lower thresholds to try at the end */
};

/* O-Net sees 48 x 48 pixels. Of 200 photographs turned by 180 degrees 3 scored 0.9986 to 0.9987, of
 * 400 on their side none more than 0.998; of View 1's photographs 93 % and 97 % have a face above
 * these marks. Likely: the two of 84 golden faces that score less (0.71, 0.89) are a pepper mill
 * and a chair; every labelled group face that is found scores 0.99 or more. */
static const struct marks MTCNN = {48, 0.9992f, 0.998f, 0.99f, 0.997f, 0.97f, true};
/* facts/models.md 6.1: FaceDetectorYN's threshold 0.9, OpenCV Zoo's 0.6; over 1: never. */
static const struct marks YUNET = {0, 2, 2, 0.9f, 0.9f, 0.6f, false};

/* A pass other than the default must beat it by this factor of odds, p / (1 - p). */
static const double MARGIN = 3.0;
/* Proportions of a face in its box: eyes to mouth and eye to eye in heights of the box. A thousand
 * View 1 photographs: at least 0.29 and 0.15 (profiles); false faces at 0.99 on sideways
 * photographs: 0.05 to 0.25, 0.12 to 0.28. */
static const float EYES_TO_MOUTH = 0.25f, EYE_TO_EYE = 0.10f;

/* A face that fills the picture is at least this part of its shorter side. */
static const float FILLS = 0.25f;

/* Pictures up to this side are enlarged, twofold. */
enum { ENLARGE_SIDE = 480 };

/* P-Net and R-Net let more through; O-Net decides as ever. With .4 .5 Marilyn_Monroe_0001, which
 * the default thresholds miss at every size, scores 0.983; with .3 .3 0.9996 (enlarged), and
 * Princess_Elisabeth_0001 goes from 0.966 to 0.9998. */
static const float low_thresholds[3] = {0.3f, 0.3f, 0.7f};

static const char *const names[PASS_COUNT] = {
    [PASS_DEFAULT] = "default",    [PASS_ENLARGED] = "enlarged",
    [PASS_PADDED] = "padded",      [PASS_ROT90] = "rotated90",
    [PASS_ROT180] = "rotated180",  [PASS_ROT270] = "rotated270",
    [PASS_LOW] = "low_thresholds", [PASS_LOW_ENLARGED] = "low_thresholds_enlarged",
};

const char *detect_pass_name(enum detect_pass p)
{
    return names[p];
}

int detect_pass_quarter(enum detect_pass p)
{
    return p == PASS_ROT90 ? 1 : p == PASS_ROT180 ? 2 : p == PASS_ROT270 ? 3 : 0;
}

struct found {
    struct detection *d; /* in the frame of the pass's picture until home() */
    int n;
};

struct ladder {
    const struct detector *detector;
    const struct marks *marks;
    const struct face_runner *runner;
    const struct detect_options *o;
    const struct image *base;
    struct found best;
    enum detect_pass best_pass;
    float best_score, best_height; /* of its most convincing face; 0: none */
};

/* Eyes above the mouth, not sideways, and in the proportions of a face. */
static bool upright(const struct detection *d)
{
    const float(*p)[2] = d->points;
    float x = (p[3][0] + p[4][0] - p[0][0] - p[1][0]) / 2;
    float y = (p[3][1] + p[4][1] - p[0][1] - p[1][1]) / 2;
    float h = d->box[3] - d->box[1];
    return y > fabsf(x) && hypotf(x, y) >= EYES_TO_MOUTH * h &&
           hypotf(p[1][0] - p[0][0], p[1][1] - p[0][1]) >= EYE_TO_EYE * h;
}

static bool convincing(const struct detection *d, const struct marks *m)
{
    bool small = d->box[3] - d->box[1] < m->full_height;
    return upright(d) && d->score >= (small ? m->convincing_small : m->convincing);
}

/* The score of the most convincing face, and its height; 0 where there is none. */
static float best_of(const struct found *f, const struct marks *m, float *height)
{
    float best = 0;
    *height = 0;
    for (int i = 0; i < f->n; i++) {
        const struct detection *d = &f->d[i];
        if (!convincing(d, m) || d->score <= best) continue;
        best = d->score;
        *height = d->box[3] - d->box[1];
    }
    return best;
}

static double odds(float p)
{
    return (double)p / (1 - (double)p + 1e-9);
}

/* --- pictures of the passes --- */

static enum err make_picture(struct image *out, const struct image *base, enum detect_pass pass,
                             struct err_info *err)
{
    switch (pass) {
    case PASS_ENLARGED:
    case PASS_LOW_ENLARGED:
        return image_resize(out, base, 2 * base->w, 2 * base->h, err);
    case PASS_PADDED:
        return image_pad(out, base, base->w / 2, base->h / 2, base->w + 2 * (base->w / 2),
                         base->h + 2 * (base->h / 2), err);
    default:
        return image_rotate(out, base, detect_pass_quarter(pass), err);
    }
}

/* Moves and scales: v -> (v + 0.5) * scale - 0.5 + shift, per axis (pixel centres are at whole
 * numbers). */
static void move(struct detection *d, const double scale[2], const double shift[2])
{
    for (int i = 0; i < 4; i++)
        d->box[i] = (float)(((double)d->box[i] + 0.5) * scale[i & 1] - 0.5 + shift[i & 1]);
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < 2; i++)
            d->points[k][i] = (float)(((double)d->points[k][i] + 0.5) * scale[i] - 0.5 + shift[i]);
}

/* From the pass's frame to the frame of base. */
static void to_base(struct found *f, const struct image *base, enum detect_pass pass)
{
    static const double none[2] = {0, 0}, one[2] = {1, 1}, half[2] = {0.5, 0.5};
    const double canvas[2] = {-(base->w / 2), -(base->h / 2)};
    int quarter = detect_pass_quarter(pass);

    for (int i = 0; i < f->n; i++) {
        if (pass == PASS_ENLARGED || pass == PASS_LOW_ENLARGED) move(&f->d[i], half, none);
        if (pass == PASS_PADDED) move(&f->d[i], one, canvas);
        if (quarter)
            detection_turn(&f->d[i], &f->d[i], quarter & 1 ? base->h : base->w,
                           quarter & 1 ? base->w : base->h, 4 - quarter);
    }
}

/* --- passes --- */

/* The least face that a pass looks for: what the small levels cost is most of a pass. Padding helps
 * faces that fill the picture. Where the default pass has a convincing face, a turned pass asks
 * whether that face, or what it was mistaken for, stands upright there. */
static float least_face(const struct ladder *l, enum detect_pass pass)
{
    const int side = l->base->w < l->base->h ? l->base->w : l->base->h;
    float least = 0;
    if (pass == PASS_PADDED) least = FILLS * (float)side;
    if (detect_pass_quarter(pass) && l->best_pass == PASS_DEFAULT) least = l->best_height / 3;
    return least > l->o->min_size ? least : l->o->min_size;
}

static enum err look(struct found *out, const struct ladder *l, const struct image *im,
                     enum detect_pass pass, struct err_info *err)
{
    struct mtcnn_options o = MTCNN_OPTIONS_INIT;
    struct yunet_options y = YUNET_OPTIONS_INIT;
    y.min_size = o.min_size = least_face(l, pass);
    if (pass == PASS_LOW || pass == PASS_LOW_ENLARGED)
        memcpy(o.thresholds, low_thresholds, sizeof o.thresholds);
    out->d = NULL;
    out->n = 0;
    return l->detector->yunet
               ? yunet_detect(&out->d, &out->n, l->detector->yunet, l->runner, im, &y, err)
               : mtcnn_detect(&out->d, &out->n, l->detector->mtcnn, l->runner, im, &o, NULL, err);
}

/* Only faces that convince by themselves are taken from a retry: it looks harder, and so sees more
 * that is not there. */
static void keep_convincing(struct found *f, const struct marks *m)
{
    int n = 0;
    for (int i = 0; i < f->n; i++)
        if (convincing(&f->d[i], m)) f->d[n++] = f->d[i];
    f->n = n;
}

static enum err retry(struct ladder *l, enum detect_pass pass, struct err_info *err)
{
    struct image made = IMAGE_INIT;
    struct found f;
    enum err rc = ERR_OK;

    if (pass != PASS_LOW && (rc = make_picture(&made, l->base, pass, err))) return rc;
    rc = look(&f, l, pass == PASS_LOW ? l->base : &made, pass, err);
    image_release(&made);
    if (rc) return rc;
    float height, score = best_of(&f, l->marks, &height);
    bool wins = l->best_pass == PASS_DEFAULT ? odds(score) > MARGIN * odds(l->best_score)
                                             : score > l->best_score;
    if (!wins) {
        free(f.d);
        return ERR_OK;
    }
    keep_convincing(&f, l->marks);
    to_base(&f, l->base, pass);
    free(l->best.d);
    l->best = f;
    l->best_pass = pass;
    l->best_score = score;
    l->best_height = height;
    return ERR_OK;
}

/* Of the default pass: beside a convincing face what is likely; alone it must be upright, and not
 * small. */
static void keep_likely(struct found *f, const struct marks *m, bool alone)
{
    int n = 0;
    for (int i = 0; i < f->n; i++) {
        const struct detection *d = &f->d[i];
        if (d->score < m->likely) continue;
        if (alone && !(upright(d) && d->box[3] - d->box[1] >= m->full_height)) continue;
        f->d[n++] = *d;
    }
    f->n = n;
}

static enum err try_turned(struct ladder *l, struct err_info *err)
{
    enum err rc = retry(l, PASS_ROT180, err);
    if (!rc) rc = retry(l, PASS_ROT90, err);
    return rc ? rc : retry(l, PASS_ROT270, err);
}

static enum err try_all(struct ladder *l, struct err_info *err)
{
    const int side = l->base->w > l->base->h ? l->base->w : l->base->h;
    enum err rc = ERR_OK;

    if (l->best_score >= l->marks->sure) return ERR_OK;
    if (l->best_score >= l->marks->sure_not_sideways) return retry(l, PASS_ROT180, err);
    if (l->best_score > 0) return try_turned(l, err);
    if (side <= ENLARGE_SIDE && (rc = retry(l, PASS_ENLARGED, err))) return rc;
    if ((rc = retry(l, PASS_PADDED, err))) return rc;
    if ((rc = try_turned(l, err))) return rc;
    if (l->best_score > 0 || !l->marks->lower) return ERR_OK;
    if ((rc = retry(l, PASS_LOW, err))) return rc;
    if (l->best_score > 0 || side > ENLARGE_SIDE) return ERR_OK;
    return retry(l, PASS_LOW_ENLARGED, err);
}

static enum err climb(struct ladder *l, struct err_info *err)
{
    enum err rc = look(&l->best, l, l->base, PASS_DEFAULT, err);

    if (rc || !l->o->retry) return rc;
    l->best_score = best_of(&l->best, l->marks, &l->best_height);
    if ((rc = try_all(l, err))) return rc;
    if (l->best_pass == PASS_DEFAULT) keep_likely(&l->best, l->marks, l->best_score <= 0);
    return ERR_OK;
}

/* *base: im itself, or a copy reduced to max_side in *copy. */
static enum err reduce(const struct image **base, struct image *copy, const struct image *im,
                       int max_side, struct err_info *err)
{
    int side = im->w > im->h ? im->w : im->h;
    *base = im;
    if (max_side <= 0 || side <= max_side) return ERR_OK;
    double scale = (double)max_side / side;
    int w = (int)(im->w * scale + 0.5), h = (int)(im->h * scale + 0.5);
    enum err rc = image_resize(copy, im, w > 0 ? w : 1, h > 0 ? h : 1, err);
    if (!rc) *base = copy;
    return rc;
}

enum err detect_faces(struct detection **out, int *n, enum detect_pass *pass,
                      const struct detector *d, const struct face_runner *runner,
                      const struct image *im, const struct detect_options *o, struct err_info *err)
{
    struct image copy = IMAGE_INIT;
    struct ladder l = {
        .detector = d, .marks = d->yunet ? &YUNET : &MTCNN, .runner = runner, .o = o};
    enum err rc = reduce(&l.base, &copy, im, o->max_side, err);

    if (rc) return rc;
    rc = climb(&l, err);
    if (rc) {
        free(l.best.d);
        image_release(&copy);
        return rc;
    }
    if (l.base != im) {
        const double scale[2] = {(double)im->w / l.base->w, (double)im->h / l.base->h};
        static const double none[2] = {0, 0};
        for (int i = 0; i < l.best.n; i++) move(&l.best.d[i], scale, none);
    }
    image_release(&copy);
    if (!l.best.n) {
        free(l.best.d);
        l.best.d = NULL;
    }
    *out = l.best.d;
    *n = l.best.n;
    *pass = l.best_pass;
    return ERR_OK;
}
