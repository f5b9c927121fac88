/* Boxes between MTCNN's networks: see mtcnn_boxes.h. */
#include "engine/face/mtcnn_boxes.h"

#include <stdlib.h>

/* fmaxf and fminf are calls where NaN must be minded, and these run once for every pair of boxes.
 */
static inline float most(float a, float b)
{
    return a > b ? a : b;
}

static inline float least(float a, float b)
{
    return a < b ? a : b;
}

static int by_score(const void *pa, const void *pb)
{
    const struct mtcnn_box *a = pa, *b = pb;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static int by_score_later_first(const void *pa, const void *pb)
{
    const struct mtcnn_box *a = pa, *b = pb;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->order < b->order) - (a->order > b->order);
}

void mtcnn_sort(struct mtcnn_box *b, int n)
{
    if (n > 1) qsort(b, (size_t)n, sizeof b[0], by_score);
}

/* Float32 as torchvision computes it; the quotient is compared with the limit in double, as there.
 */
static bool overlap_union(const struct mtcnn_box *a, const struct mtcnn_box *b, double limit)
{
    float x1 = most(a->at[0], b->at[0]), y1 = most(a->at[1], b->at[1]);
    float x2 = least(a->at[2], b->at[2]), y2 = least(a->at[3], b->at[3]);
    float inter = most(0.0f, x2 - x1) * most(0.0f, y2 - y1);
    if (inter <= 0.0f) return false;
    float area_a = (a->at[2] - a->at[0]) * (a->at[3] - a->at[1]);
    float area_b = (b->at[2] - b->at[0]) * (b->at[3] - b->at[1]);
    return (double)(inter / (area_a + area_b - inter)) > limit;
}

static bool overlap_least(const struct mtcnn_box *a, const struct mtcnn_box *b, float limit)
{
    float x1 = most(a->at[0], b->at[0]), y1 = most(a->at[1], b->at[1]);
    float x2 = least(a->at[2], b->at[2]), y2 = least(a->at[3], b->at[3]);
    float inter = most(0.0f, x2 - x1 + 1.0f) * most(0.0f, y2 - y1 + 1.0f);
    float area_a = (a->at[2] - a->at[0] + 1.0f) * (a->at[3] - a->at[1] + 1.0f);
    float area_b = (b->at[2] - b->at[0] + 1.0f) * (b->at[3] - b->at[1] + 1.0f);
    return inter / least(area_a, area_b) > limit;
}

int mtcnn_suppress_union(struct mtcnn_box *b, int n, double limit)
{
    int kept = 0;
    mtcnn_sort(b, n);
    for (int i = 0; i < n; i++) {
        bool drop = false;
        for (int k = 0; k < kept && !drop; k++) drop = overlap_union(&b[k], &b[i], limit);
        if (!drop) b[kept++] = b[i];
    }
    return kept;
}

int mtcnn_suppress_least(struct mtcnn_box *b, int n, float limit)
{
    int kept = 0;
    if (n > 1) qsort(b, (size_t)n, sizeof b[0], by_score_later_first);
    for (int i = 0; i < n; i++) {
        bool drop = false;
        for (int k = 0; k < kept && !drop; k++) drop = overlap_least(&b[k], &b[i], limit);
        if (!drop) b[kept++] = b[i];
    }
    return kept;
}

void mtcnn_regress(struct mtcnn_box *b, bool plus_one)
{
    float w = b->at[2] - b->at[0], h = b->at[3] - b->at[1];
    if (plus_one) {
        w += 1.0f;
        h += 1.0f;
    }
    b->at[0] += b->move[0] * w;
    b->at[1] += b->move[1] * h;
    b->at[2] += b->move[2] * w;
    b->at[3] += b->move[3] * h;
}

void mtcnn_square(float at[4])
{
    float w = at[2] - at[0], h = at[3] - at[1], l = most(w, h);
    at[0] = at[0] + w * 0.5f - l * 0.5f;
    at[1] = at[1] + h * 0.5f - l * 0.5f;
    at[2] = at[0] + l;
    at[3] = at[1] + l;
}

/* Truncation of a coordinate; regression may throw a box anywhere, so it is bounded before the
 * cast. */
static int whole(float v)
{
    return (int)least(most(v, -1e6f), 1e6f);
}

bool mtcnn_crop(const float at[4], int w, int h, int *x, int *y, int *cw, int *ch)
{
    int x1 = whole(at[0]), y1 = whole(at[1]), x2 = whole(at[2]), y2 = whole(at[3]);
    if (x1 < 1) x1 = 1;
    if (y1 < 1) y1 = 1;
    if (x2 > w) x2 = w;
    if (y2 > h) y2 = h;
    if (x2 < x1 || y2 < y1) return false;
    *x = x1 - 1;
    *y = y1 - 1;
    *cw = x2 - x1 + 1;
    *ch = y2 - y1 + 1;
    return true;
}
