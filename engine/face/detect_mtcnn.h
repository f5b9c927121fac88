/* What detect_mtcnn.c shows to tests: a record of every stage of one detection. Not for use in the
 * product. */
#ifndef VISAVIS_ENGINE_FACE_DETECT_MTCNN_H
#define VISAVIS_ENGINE_FACE_DETECT_MTCNN_H

#include "engine/face/mtcnn_boxes.h"

enum { MTCNN_MAX_LEVELS = 64, MTCNN_TRACE_BOXES = 2048 };

struct mtcnn_trace_level {
    double scale;
    int w, h; /* of the level's picture */
    int map_w, map_h;
    int over_threshold, after_nms;
};

struct mtcnn_trace {
    int n_levels;
    struct mtcnn_trace_level level[MTCNN_MAX_LEVELS];
    int pnet_after_nms_all, rnet_over_threshold, rnet_after_nms, onet_over_threshold, faces;
    /* The first MTCNN_TRACE_BOXES, in suppression's order: regressed and squared. */
    int n_after_pnet, n_after_rnet;
    struct mtcnn_box after_pnet[MTCNN_TRACE_BOXES], after_rnet[MTCNN_TRACE_BOXES];
};

#endif
