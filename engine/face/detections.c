/* Detections in order of size, and turned with a picture: the pixel (x, y) of a w x h picture is (h
 * - 1 - y, x) after a quarter turn clockwise. */
#include <string.h>

#include "engine/face/face.h"

static void point_turn(float p[2], int w, int h, int quarter)
{
    float x = p[0], y = p[1], right = (float)(w - 1), bottom = (float)(h - 1);
    switch (quarter & 3) {
    case 1:
        p[0] = bottom - y;
        p[1] = x;
        break;
    case 2:
        p[0] = right - x;
        p[1] = bottom - y;
        break;
    case 3:
        p[0] = y;
        p[1] = right - x;
        break;
    default:
        break;
    }
}

void point_turn_back(float out[2], const float in[2], int w, int h, int quarter)
{
    float p[2] = {in[0], in[1]};
    bool sideways = quarter & 1;
    point_turn(p, sideways ? h : w, sideways ? w : h, 4 - (quarter & 3));
    out[0] = p[0];
    out[1] = p[1];
}

static float area(const struct detection *d)
{
    return (d->box[2] - d->box[0]) * (d->box[3] - d->box[1]);
}

/* n is small. */
void detections_sort(struct detection *d, int n)
{
    for (int i = 1; i < n; i++) {
        struct detection v = d[i];
        int k = i;
        for (; k > 0 && area(&d[k - 1]) <= area(&v); k--) d[k] = d[k - 1];
        d[k] = v;
    }
}

void detection_turn(struct detection *out, const struct detection *in, int w, int h, int quarter)
{
    struct detection d = *in;
    float a[2] = {d.box[0], d.box[1]}, b[2] = {d.box[2], d.box[3]};
    point_turn(a, w, h, quarter);
    point_turn(b, w, h, quarter);
    for (int i = 0; i < 2; i++) {
        d.box[i] = a[i] < b[i] ? a[i] : b[i];
        d.box[2 + i] = a[i] < b[i] ? b[i] : a[i];
    }
    for (int k = 0; k < 5; k++) point_turn(d.points[k], w, h, quarter);
    *out = d;
}
