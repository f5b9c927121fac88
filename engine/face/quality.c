/* How good a face is for recognition: ten components in [0,1], 1 is good. Named after ISO/IEC
 * 29794-5 where it has the measure; the scales are ours, set on LFW's photographs (columns: 5 %,
 * median, 95 % of 500 main faces) so that an ordinary press photograph lies above 0.7 in all of
 * them and a component under LOW is worth a word to the person who took it.
 *
 *   inter_eye_distance   pixels between the eyes: sigmoid((d - 24) / 6); 0.5 at 24 px. The chip has
 * 54 sharpness            of the chip: energy of the Laplacian over the energy of contrast, on a
 * log scale between SHARP_LEAST and SHARP_MOST; enlarged small faces are blurred and count as such
 *   under_exposure       share of face pixels with luminance <= 25 (ISO) and the mean luminance:
 * the worse of 1 - 1.5 share and mean / 60 over_exposure        the same from above: share >= 247
 * (ISO), (255 - mean) / 50 dynamic_range        entropy of the luminance histogram over 7 bits
 * (ISO: over 8) pose_yaw/pitch/roll  cos^2 of the angle (ISO); angles from five points on a rigid
 * mean face: rough, +- 10 degrees crop_of_face         how much of the head's box lies inside the
 * picture: (share - 0.6) / 0.4 detection            the detector's score
 *
 * unified = (mean of q^-4)^(-1/4): near the least of them, a little better when only one is low. */
#include "engine/face/face.h"

#include <math.h>
#include <string.h>

static const float LOW = 0.4f;
static const float LEAST = 0.01f; /* a component's floor inside the unified score */

/* rms of the Laplacian over rms of contrast. */
static const double SHARP_LEAST = 0.04, SHARP_MOST = 0.30;

/* The face inside the chip: columns and rows from..to (brows to chin, cheek to cheek). */
enum { FACE_LEFT = 30, FACE_RIGHT = 120, FACE_TOP = 30, FACE_BOTTOM = 130 };

/* A rigid mean face in units of the distance between the eyes, origin between them, z towards the
 * viewer; heights set so that the median LFW face has pitch 0. */
static const double NOSE_Y = 0.596, NOSE_Z = 0.45, MOUTH_Y = 1.09, MOUTH_Z = 0.10;

static const char *const names[QUALITY_COUNT] = {
    [Q_INTER_EYE_DISTANCE] = "inter_eye_distance",
    [Q_SHARPNESS] = "sharpness",
    [Q_UNDER_EXPOSURE] = "under_exposure",
    [Q_OVER_EXPOSURE] = "over_exposure",
    [Q_DYNAMIC_RANGE] = "dynamic_range",
    [Q_POSE_YAW] = "pose_yaw",
    [Q_POSE_PITCH] = "pose_pitch",
    [Q_POSE_ROLL] = "pose_roll",
    [Q_CROP_OF_FACE] = "crop_of_face",
    [Q_DETECTION] = "detection",
};

static const char *const reasons[QUALITY_COUNT] = {
    [Q_INTER_EYE_DISTANCE] = "the face is small",
    [Q_SHARPNESS] = "the face is blurred",
    [Q_UNDER_EXPOSURE] = "the face is too dark",
    [Q_OVER_EXPOSURE] = "the face is too bright",
    [Q_DYNAMIC_RANGE] = "the face has little contrast",
    [Q_POSE_YAW] = "the head is turned sideways",
    [Q_POSE_PITCH] = "the head is tilted up or down",
    [Q_POSE_ROLL] = "the head leans to one side",
    [Q_CROP_OF_FACE] = "the face is cut off by the border of the picture",
    [Q_DETECTION] = "the detector is not sure that this is a face",
};

const char *quality_name(enum quality_id q)
{
    return names[q];
}

const char *quality_reason(enum quality_id q)
{
    return reasons[q];
}

static float unit(double v)
{
    return v >= 1 ? 1.0f : v > 0 ? (float)v : 0.0f;
}

/* --- light: the luminance of the face inside the chip --- */

struct light {
    double mean, entropy, dark, bright, sharpness;
};

static int luminance(const uint8_t *p)
{
    return (77 * p[0] + 150 * p[1] + 29 * p[2]) >> 8; /* BT.601 */
}

static void measure_light(struct light *l, const uint8_t *chip)
{
    static const int row = 3 * CHIP_SIDE;
    int histogram[256] = {0}, n = 0;
    double sum = 0, squares = 0, energy = 0;

    for (int y = FACE_TOP; y < FACE_BOTTOM; y++) {
        for (int x = FACE_LEFT; x < FACE_RIGHT; x++) {
            const uint8_t *p = chip + y * row + 3 * x;
            int v = luminance(p);
            int laplacian = luminance(p - 3) + luminance(p + 3) + luminance(p - row) +
                            luminance(p + row) - 4 * v;
            histogram[v]++;
            n++;
            sum += v;
            squares += (double)v * v;
            energy += (double)laplacian * laplacian;
        }
    }
    memset(l, 0, sizeof *l);
    l->mean = sum / n;
    for (int v = 0; v < 256; v++) {
        double p = (double)histogram[v] / n;
        if (v <= 25) l->dark += p;
        if (v >= 247) l->bright += p;
        if (p > 0) l->entropy -= p * log2(p);
    }
    double contrast = squares / n - l->mean * l->mean;
    /* One level of noise is not sharpness: what a flat chip has is divided by at least 4 levels of
     * contrast. */
    l->sharpness = sqrt(energy / n) / sqrt(fmax(contrast, 16));
}

/* --- pose --- */

/* Angles from the five points, after turning the face upright. A tangent that the model cannot give
 * is bounded. */
static void measure_pose(struct quality *q, const struct detection *d, double *eyes)
{
    const float(*p)[2] = d->points;
    double ex = ((double)p[0][0] + (double)p[1][0]) / 2,
           ey = ((double)p[0][1] + (double)p[1][1]) / 2;
    double dx = (double)p[1][0] - (double)p[0][0], dy = (double)p[1][1] - (double)p[0][1];
    double roll = atan2(dy, dx), c = cos(roll), s = sin(roll);
    double length = hypot(dx, dy);
    double mx = ((double)p[3][0] + (double)p[4][0]) / 2 - ex;
    double my = ((double)p[3][1] + (double)p[4][1]) / 2 - ey;
    double nx = (double)p[2][0] - ex, ny = (double)p[2][1] - ey;
    double mouth_x = c * mx + s * my, mouth_y = c * my - s * mx;
    double nose_x = c * nx + s * ny, nose_y = c * ny - s * nx;
    const double degrees = 180 / 3.14159265358979323846;

    *eyes = length;
    q->roll = (float)(roll * degrees);
    q->yaw = q->pitch = 90;
    if (length < 1 || mouth_y < 1) return;
    /* The nose against the line from between the eyes to the middle of the mouth: both are turned,
     * the nose sticks out more. */
    double t = nose_y / mouth_y, depth = NOSE_Z - MOUTH_Z * NOSE_Y / MOUTH_Y;
    q->yaw = (float)(atan((nose_x - t * mouth_x) / (depth * length)) * degrees);
    /* t = (NOSE_Y - NOSE_Z tan) / (MOUTH_Y - MOUTH_Z tan), positive when the face looks up. */
    double under = NOSE_Z - MOUTH_Z * t;
    q->pitch = (float)(atan((NOSE_Y - MOUTH_Y * t) / fmax(under, 0.05)) * degrees);
}

static float by_angle(float degrees)
{
    if (fabsf(degrees) >= 90) return 0;
    double c = cos((double)degrees * 3.14159265358979323846 / 180);
    return (float)(c * c);
}

/* Share of the head's box (the face's, a sixth wider on every side) that lies inside the picture.
 */
static double inside_share(const struct image *im, const struct detection *d)
{
    double w = (double)d->box[2] - (double)d->box[0], h = (double)d->box[3] - (double)d->box[1];
    double x1 = (double)d->box[0] - w / 6, x2 = (double)d->box[2] + w / 6;
    double y1 = (double)d->box[1] - h / 6, y2 = (double)d->box[3] + h / 6;
    double iw = fmin(x2, im->w) - fmax(x1, 0), ih = fmin(y2, im->h) - fmax(y1, 0);
    if (!(iw > 0 && ih > 0)) return 0;
    return iw * ih / ((x2 - x1) * (y2 - y1));
}

static void unify(struct quality *q)
{
    double sum = 0;
    for (int i = 0; i < QUALITY_COUNT; i++) {
        double v = (double)fmaxf(q->component[i], LEAST);
        sum += 1 / (v * v * v * v);
    }
    q->unified = unit(pow(sum / QUALITY_COUNT, -0.25));
}

static void find_reasons(struct quality *q)
{
    q->n_reasons = 0;
    for (int i = 0; i < QUALITY_COUNT; i++) {
        if (q->component[i] >= LOW) continue;
        int k = q->n_reasons++;
        for (; k > 0 && q->component[q->reasons[k - 1]] > q->component[i]; k--)
            q->reasons[k] = q->reasons[k - 1];
        q->reasons[k] = (enum quality_id)i;
    }
}

void quality_measure(struct quality *out, const struct image *im, const struct detection *d,
                     const uint8_t *chip)
{
    struct light l;
    double eyes;

    memset(out, 0, sizeof *out);
    measure_light(&l, chip);
    measure_pose(out, d, &eyes);
    out->component[Q_INTER_EYE_DISTANCE] = unit(1 / (1 + exp(-(eyes - 24) / 6)));
    out->component[Q_SHARPNESS] =
        unit(log(fmax(l.sharpness, 1e-6) / SHARP_LEAST) / log(SHARP_MOST / SHARP_LEAST));
    out->component[Q_UNDER_EXPOSURE] = unit(fmin(1 - 1.5 * l.dark, l.mean / 60));
    out->component[Q_OVER_EXPOSURE] = unit(fmin(1 - 1.5 * l.bright, (255 - l.mean) / 50));
    out->component[Q_DYNAMIC_RANGE] = unit(l.entropy / 7);
    out->component[Q_POSE_YAW] = by_angle(out->yaw);
    out->component[Q_POSE_PITCH] = by_angle(out->pitch);
    out->component[Q_POSE_ROLL] = by_angle(out->roll);
    out->component[Q_CROP_OF_FACE] = unit((inside_share(im, d) - 0.6) / 0.4);
    out->component[Q_DETECTION] = unit((double)d->score);
    unify(out);
    find_reasons(out);
}
