/* MTCNN's candidates: the arithmetic on boxes between its networks (facts/default-models.md section
 * 2). All of it is in float32 where the reference's is, because nearly equal candidates compete and
 * a rounding picks another one. Pure; any thread. */
#ifndef VISAVIS_ENGINE_FACE_MTCNN_BOXES_H
#define VISAVIS_ENGINE_FACE_MTCNN_BOXES_H

#include <stdbool.h>

struct mtcnn_box {
    float at[4]; /* x1 y1 x2 y2 */
    float score;
    float move[4]; /* regression, in widths and heights of the box */
    int order;     /* position in the list that suppression was given: settles equal scores */
    int row;       /* row of the batch whose outputs belong to it */
};

/* Highest score first; of equal scores the lower order first. */
void mtcnn_sort(struct mtcnn_box *b, int n);

/* Suppression as torchvision's: takes boxes by falling score (equal ones by order) and drops those
 * whose intersection over union with a kept one exceeds limit. Sorts b in place, keeps the
 * survivors in front; returns how many. */
int mtcnn_suppress_union(struct mtcnn_box *b, int n, double limit);

/* The last stage's: intersection over the smaller area, sides counted with + 1; of equal scores the
 * later first. */
int mtcnn_suppress_least(struct mtcnn_box *b, int n, float limit);

/* Moves the sides by the regression; plus_one: sizes are x2 - x1 + 1 (all stages but the first). */
void mtcnn_regress(struct mtcnn_box *b, bool plus_one);

/* The square around the same centre with the longer side. */
void mtcnn_square(float at[4]);

/* The part of a w x h picture that a box cuts out: columns *x .. *x + *cw - 1, rows *y .. *y + *ch
 * - 1, 0-based. Boxes are 1-based and inclusive here; nothing is padded, so that a box over the
 * border gives a part that is not square. false: nothing of it is inside. */
bool mtcnn_crop(const float at[4], int w, int h, int *x, int *y, int *cw, int *ch);

#endif
