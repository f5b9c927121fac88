/* Which crops of one face an embedding is averaged over. A crop is a chip cut a little differently;
 * the descriptors of all crops are added and taken to unit length. What each set gives is measured
 * in deploy/models/README.md. */
#ifndef VISAVIS_ENGINE_FACE_CROPS_H
#define VISAVIS_ENGINE_FACE_CROPS_H

#include "engine/face/face.h"

enum crop_source {
    CROP_FROM_PREDICTOR, /* dlib's five-point predictor places the chip */
    CROP_FROM_DETECTOR,  /* MTCNN's own five points do */
    CROP_SOURCE_COUNT
};

struct crop {
    enum crop_source source;
    bool mirror;   /* columns reversed */
    float zoom;    /* > 1: the face is larger in the chip */
    float dx, dy;  /* pixels of the chip: the face moves right, down */
    float degrees; /* the face turns clockwise */
};

enum { CROPS_MAX = 32 };

struct crop_set {
    const char *name;
    int n; /* 1..CROPS_MAX */
    const struct crop *crops;
    /* The detection is refined (mtcnn_refine) before chips are placed. Not in "none" and "mirror",
     * which are what dlib's and facenet-pytorch's users compute, number for number. */
    bool refined;
};

/* NULL when there is none of that name. Static. */
const struct crop_set *crops_by_name(const char *name);

/* The place to cut crop c of a side x side chip whose plain place is *in. */
void crop_place(struct chip_place *out, const struct chip_place *in, const struct crop *c,
                int side);

/* MTCNN's points in a 150 x 150 chip whose centre is 74.5 (facts/default-models.md section 5). */
extern const float crop_template[5][2];

#endif
