/* MTCNN's pyramid laid out on sheets: P-Net is fully convolutional, and instead of running it once
 * for every level at that level's own size, all levels are copied onto one canvas (a big picture:
 * several equal ones) and P-Net runs once.
 *
 * Why: a picture has some ten levels, most of them too small to be worth a call of the network and
 * a place in the queue of their own.
 *
 * What is exact: P-Net's convolutions are not padded, so that a cell (12 x 12 pixels every 2) sees
 * only its own level, as long as a level begins at an even offset. One thing differs: at a level
 * with an odd side the pool before conv2 cuts its last window at the edge, and here there is
 * another pixel behind it. That pixel repeats the last one, and the cells concerned (the last
 * column, the last row) are computed again, cut exactly, when they come near the threshold:
 * detect_mtcnn.c. */
#ifndef VISAVIS_ENGINE_FACE_MTCNN_SHEETS_H
#define VISAVIS_ENGINE_FACE_MTCNN_SHEETS_H

#include "engine/face/detect_mtcnn.h"
#include "engine/face/face.h"

enum {
    MTCNN_CELL = 12, /* pixels: what a P-Net cell sees */
    SHEETS_GROUP =
        8, /* sheets that are filled and run at a time: bounds the memory of huge pictures */
};

struct mtcnn_level {
    double scale;
    int w, h;         /* pixels */
    int map_w, map_h; /* cells */
};

/* A rectangle of cells of a level and where its pixels lie: (x, y) of a sheet, even. It covers 2 cw
 * + 10 by 2 ch + 10 pixels. */
struct mtcnn_piece {
    int level;
    int cx, cy, cw, ch;
    int sheet, x, y;
};

struct mtcnn_sheets {
    int n_levels;
    struct mtcnn_level level[MTCNN_MAX_LEVELS];
    int n_pieces;
    struct mtcnn_piece *piece; /* in order of sheet groups, then of levels */
    int n, w, h;               /* sheets, and their size in pixels */
    size_t level_floats;       /* of the largest level: 3 planes */
};

/* The levels of a w x h picture and their places. No level (side under min_size): n = 0. ERR_NOMEM.
 * sheets_release after. */
NODISCARD enum err sheets_plan(struct mtcnn_sheets *s, int w, int h, const struct mtcnn_options *o,
                               struct err_info *err);
void sheets_release(struct mtcnn_sheets *s);

/* Draws the pieces of group g into px, [min(SHEETS_GROUP, n - g * SHEETS_GROUP)][3][s->h][s->w]
 * floats, already normalised for the network, 0 between the pieces. scratch: s->level_floats
 * floats; *drawn: the level that it holds, -1 at first (levels are shared by neighbouring groups).
 */
void sheets_fill(float *px, const struct mtcnn_sheets *s, int g, const struct image *im,
                 float *scratch, int *drawn);

#endif
