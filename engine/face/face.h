/* Faces: finding them, their points, the chip that an embedder takes, quality and mask. Works on
 * upright RGB pictures and on an executor for the networks; everything else here is plain
 * arithmetic, any thread.
 *
 * A box is x1,y1,x2,y2 in pixels of the picture, float, may pass its border. The five points,
 * everywhere in this order: eye on the viewer's left, other eye, nose, mouth corner on the viewer's
 * left, other corner; [k] = {x, y}. */
#ifndef VISAVIS_ENGINE_FACE_FACE_H
#define VISAVIS_ENGINE_FACE_FACE_H

#include "engine/base/err.h"
#include "engine/image/image.h"
#include "engine/model/model.h"
#include "engine/nn/nn.h"

#include <stdbool.h>
#include <stdint.h>

/* How this module runs a network: engine/lane.c gives one that batches across requests; tests give
 * one on an nn_exec. Same contract as nn_exec_run. */
struct face_runner {
    enum err (*run)(void *self, const struct nn_net *net, int n, int h, int w, const float *in,
                    float *const *outs, struct err_info *err);
    void *self;
};

struct detection {
    float box[4];
    float points[5][2];
    float score; /* (0,1): O-Net's probability, or the detector's own */
};

/* --- detect_mtcnn.c: Zhang et al. 2016; exact rules in facts/default-models.md section 2 --- */
struct mtcnn_options {
    float min_size;      /* pixels, 20 */
    float thresholds[3]; /* .6 .7 .7 */
    double factor;       /* .709 (double: the reference multiplies it up level by level) */
};
#define MTCNN_OPTIONS_INIT                                                                         \
    {                                                                                              \
        20.0f, {0.6f, 0.7f, 0.7f}, 0.709                                                           \
    }
struct mtcnn_trace; /* counts and boxes per stage, for the golden test; NULL in use (detect_mtcnn.h)
                     */

struct mtcnn {
    const struct nn_net *p, *r,
        *o; /* borrowed. P outputs "prob","box"; R "prob","box"; O "prob","box","points" */
};
/* *out: n detections, largest area first (free()); n may be 0 (then *out is NULL). ERR_INVALID:
 * options out of range; ERR_NOMEM; what the runner returns. */
NODISCARD enum err mtcnn_detect(struct detection **out, int *n, const struct mtcnn *d,
                                const struct face_runner *runner, const struct image *im,
                                const struct mtcnn_options *o, struct mtcnn_trace *trace,
                                struct err_info *err);

/* --- detect_yunet.c: Wu, Peng, Yu 2023; exact rules in facts/models.md section 6.1 --- */
enum {
    YUNET_HEADS = 4, /* cls, obj, bbox, kps */
    YUNET_STRIDES = 3,
    YUNET_CELL_VALUES = 16, /* of all heads */
    YUNET_PROBE_H = 64,     /* the size in which its outputs' shapes are looked at */
    YUNET_PROBE_W = 96
};
struct yunet {
    const struct nn_net *net; /* borrowed */
    struct model_input input;
    int output[YUNET_HEADS][YUNET_STRIDES]; /* of the graph */
};
/* ERR_MODEL: the network takes one size only, or its outputs are not YuNet's; ERR_NOMEM. */
NODISCARD enum err yunet_init(struct yunet *out, const struct nn_net *net,
                              const struct model_input *in, struct err_info *err);

struct yunet_options {
    float min_size;  /* pixels of a box's height, 20 */
    float threshold; /* of the score; OpenCV Zoo's demo has 0.6 */
    double overlap;  /* of two faces, intersection over union: 0.3 */
};
#define YUNET_OPTIONS_INIT                                                                         \
    {                                                                                              \
        20.0f, 0.6f, 0.3                                                                           \
    }
/* As mtcnn_detect; score: sqrt(cls obj). ERR_NOMEM; what the runner returns. */
NODISCARD enum err yunet_detect(struct detection **out, int *n, const struct yunet *y,
                                const struct face_runner *runner, const struct image *im,
                                const struct yunet_options *o, struct err_info *err);

/* What finds the faces: one of the two, borrowed. */
struct detector {
    const struct mtcnn *mtcnn;
    const struct yunet *yunet;
};

/* --- refine.c: a detection made steady, for placing chips --- */
/* A detection follows whichever of nearly equal candidates won, and that changes with the picture's
 * encoding: its points move by 2 % of the face, a descriptor by 0.003 in cosine. Here O-Net looks
 * again at four squares around each face; box and points become the mean of what it says. Over the
 * eight EXIF encodings of three photographs (49 faces) the least cosine between descriptors goes
 * from 0.991 to 0.9988 for chips placed by these points, and the error rates fall
 * (deploy/models/README.md). faces [n], standing upright in im, in its pixels; the scores stay. One
 * pass of the runner, 4 n rows. A face that O-Net doubts on these squares stays as it is. Only d->o
 * is used, whichever detector found the faces. ERR_MODEL: its outputs are not O-Net's; ERR_NOMEM;
 * what the runner returns. */
NODISCARD enum err mtcnn_refine(struct detection *faces, int n, const struct mtcnn *d,
                                const struct face_runner *runner, const struct image *im,
                                struct err_info *err);

/* --- detect_ladder.c: passes until a face is convincing; which one is named --- */
enum detect_pass {
    PASS_DEFAULT,
    PASS_ENLARGED,
    PASS_PADDED,
    PASS_ROT90,
    PASS_ROT180,
    PASS_ROT270,
    PASS_LOW,
    PASS_LOW_ENLARGED,
    PASS_COUNT
};
const char *detect_pass_name(
    enum detect_pass p); /* "default", "enlarged", "padded", "rotated90" (turned clockwise), ... */

struct detect_options {
    bool retry;     /* the ladder; default true */
    float min_size; /* pixels, 20 */
    int max_side;   /* bigger pictures are detected on a copy reduced to it; 0: never */
};
#define DETECT_OPTIONS_INIT                                                                        \
    {                                                                                              \
        true, 20.0f, 1280                                                                          \
    }

/* How many times 90 degrees clockwise the picture was turned in that pass: 0..3. */
int detect_pass_quarter(enum detect_pass p);

/* Faces of the picture, in its own pixels whatever pass found them, largest area first. The order
 * of a face's points stays anatomical: first the eye that is on the viewer's left when the face is
 * upright. Where detect_pass_quarter(*pass) is not 0 the faces lie on their side in this picture:
 * landmarks and chip want it turned, with image_rotate and detection_turn; point_turn_back brings
 * their points home. No face is not an error: *n = 0, *out = NULL. ERR_NOMEM; what the runner
 * returns. */
NODISCARD enum err detect_faces(struct detection **out, int *n, enum detect_pass *pass,
                                const struct detector *d, const struct face_runner *runner,
                                const struct image *im, const struct detect_options *o,
                                struct err_info *err);

/* Largest area first; of equal areas the later one first, as numpy's argsort read backwards. */
void detections_sort(struct detection *d, int n);
/* Where a detection of a w x h picture lies once that picture is turned by quarter * 90 degrees
 * clockwise (image_rotate). out may be in. */
void detection_turn(struct detection *out, const struct detection *in, int w, int h, int quarter);
/* A point of the turned picture in the w x h picture that it was before. */
void point_turn_back(float out[2], const float in[2], int w, int h, int quarter);

/* --- landmarks_ert.c: Kazemi & Sullivan 2014 as dlib's shape_predictor stores it (facts
 * section 3.1) --- */
struct ert;
NODISCARD enum err ert_open(struct ert **out, const struct model *m,
                            struct err_info *err); /* borrows m */
void ert_close(struct ert *e);
int ert_points(const struct ert *e); /* 5 or 68 */
/* rect: l,t,r,b inclusive, integers. points: [ert_points][2], integers. Cannot fail. */
void ert_predict(const struct ert *e, const struct image *im, const int rect[4], int (*points)[2]);
/* The shape before its last step, for tests: after the first `cascades`, [ert_points][2] in units
 * of the rectangle. */
void ert_shape(const struct ert *e, const struct image *im, const int rect[4], int cascades,
               float *shape);
/* The rectangle for the predictors from MTCNN's box and points (facts section 5). */
void ert_rect(int rect[4], const struct detection *d);

/* --- align.c --- */
enum { CHIP_SIDE = 150 };
/* dlib's get_face_chip (facts section 4): rect and angle from the 5-point predictor's points, then
 * the chip. All chip_place functions: ERR_INVALID when the points are all one. padding: of the
 * chip's side, 0.25 for dlib-resnet. */
struct chip_place {
    double rect[4]; /* left, top, right, bottom */
    double angle;   /* radians */
};
NODISCARD enum err chip_place_from_points(struct chip_place *out, const int (*p5)[2],
                                          double padding, int side, struct err_info *err);
/* The same from MTCNN's five points and a template in chip pixels (facts section 5, "direct
 * template"). */
NODISCARD enum err chip_place_from_template(struct chip_place *out, const float points[5][2],
                                            const float (*template5)[2], int side,
                                            struct err_info *err);
/* The same with the points brought onto the template, as OpenCV's alignCrop and InsightFace do it
 * (Umeyama 1991; facts/models.md 6.2): the error is least in the chip, not in the picture, which
 * for a turned head makes the face smaller. */
NODISCARD enum err chip_place_onto_template(struct chip_place *out, const float points[5][2],
                                            const float (*template5)[2], int side,
                                            struct err_info *err);
/* chip: [side][side][3], caller's. Pyramid by halving, bilinear, truncated, as dlib does it; black
 * outside the picture. ERR_INVALID: the place is not finite, empty, or over 2^20 pixels; ERR_NOMEM.
 */
NODISCARD enum err chip_extract(uint8_t *chip, int side, const struct image *im,
                                const struct chip_place *p, struct err_info *err);

/* --- quality.c: components in [0,1], 1 is good; names as ISO/IEC 29794-5 where it has the measure
 * --- */
enum quality_id {
    Q_INTER_EYE_DISTANCE,
    Q_SHARPNESS,
    Q_UNDER_EXPOSURE,
    Q_OVER_EXPOSURE,
    Q_DYNAMIC_RANGE,
    Q_POSE_YAW,
    Q_POSE_PITCH,
    Q_POSE_ROLL,
    Q_CROP_OF_FACE,
    Q_DETECTION,
    QUALITY_COUNT
};
struct quality {
    float unified; /* [0,1]: the least of the components, softened; the documented formula is in
                      quality.c */
    float component[QUALITY_COUNT];
    float yaw, pitch, roll; /* degrees, from the five points: rough */
    int n_reasons;
    enum quality_id reasons[QUALITY_COUNT]; /* the components that are low, worst first */
};
const char *quality_name(enum quality_id q);   /* "inter_eye_distance", ... */
const char *quality_reason(enum quality_id q); /* "the face is small", ... */
/* chip: the aligned 150 x 150 face. */
void quality_measure(struct quality *out, const struct image *im, const struct detection *d,
                     const uint8_t *chip);

/* --- mask.c --- */
enum { MASK_MAX_POINTS = 64 };
struct face_mask {
    int n;
    float polygon[MASK_MAX_POINTS][2]; /* pixels, closed, clockwise from the viewer's left temple */
    bool from_68;                      /* else a mean outline fitted to the five points */
};
/* p68: [68][2] or NULL. */
void mask_from_points(struct face_mask *out, const struct detection *d, const int (*p68)[2]);
/* out: [h][w] bytes 0 or 255 (edges 0..255 by coverage) for the box x,y,w,h of the picture's frame;
 * caller's. */
void mask_raster(uint8_t *out, int x, int y, int w, int h, const struct face_mask *m);

/* --- embed.c --- */
/* Chip bytes -> the network's input planes: out [3][h][w], grey: [1][h][w]. mirror: columns
 * reversed. */
void embed_input(float *out, const uint8_t *chip, const struct model_input *in, bool mirror);

#endif
