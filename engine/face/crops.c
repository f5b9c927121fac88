#include "engine/face/crops.h"

#include "engine/base/mem.h"

#include <math.h>
#include <string.h>

const float crop_template[5][2] = {
    {47.9f, 46.1f}, {102.2f, 46.0f}, {74.7f, 78.0f}, {50.9f, 105.7f}, {98.8f, 105.7f}};

#define P CROP_FROM_PREDICTOR
#define D CROP_FROM_DETECTOR
#define BOTH_SIDES(source, zoom, dx, dy, degrees)                                                  \
    {source, false, zoom, dx, dy, degrees},                                                        \
    {                                                                                              \
        source, true, zoom, dx, dy, degrees                                                        \
    }

static const struct crop none[] = {{P, false, 1, 0, 0, 0}};
static const struct crop mirror[] = {BOTH_SIDES(P, 1, 0, 0, 0)};
static const struct crop both_mirror[] = {BOTH_SIDES(P, 1, 0, 0, 0), BOTH_SIDES(D, 1, 0, 0, 0)};
/* The default: what varies at no cost helps more than repeating a crop. Both ways of placing the
 * chip, two sizes, one of them mirrored. Of the sets of two it has the highest TAR at FMR 1e-3,
 * where decisions are made unless asked otherwise. */
static const struct crop mixed2[] = {{P, false, 1, 0, 0, 0}, {D, true, 1.07f, 0, 0, 0}};
/* Both places, three sizes, two of four mirrored: as good as crops16 for a quarter of its work. */
static const struct crop mixed4[] = {{P, false, 1, 0, 0, 0},
                                     {P, true, 1, 0, 0, 0},
                                     {D, false, 0.94f, 0, 0, 0},
                                     {D, true, 1.07f, 0, 0, 0}};
static const struct crop crops16[] = {BOTH_SIDES(P, 1, 0, 0, 0),     BOTH_SIDES(P, 0.94f, 0, 0, 0),
                                      BOTH_SIDES(P, 1.07f, 0, 0, 0), BOTH_SIDES(P, 1, 5, 0, 0),
                                      BOTH_SIDES(P, 1, -5, 0, 0),    BOTH_SIDES(P, 1, 0, 5, 0),
                                      BOTH_SIDES(P, 1, 0, -5, 0),    BOTH_SIDES(P, 1, 0, 0, 4)};

static const struct crop_set sets[] = {
#define SET(name, array, refined)                                                                  \
    {                                                                                              \
        name, (int)ARRAY_LEN(array), array, refined                                                \
    }
    SET("none", none, false),
    SET("mirror", mirror, false),
    SET("both-mirror", both_mirror, true),
    SET("mixed2", mixed2, true),
    SET("mixed4", mixed4, true),
    SET("crops16", crops16, true),
};

const struct crop_set *crops_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        if (strcmp(sets[i].name, name) == 0) return &sets[i];
    return NULL;
}

void crop_place(struct chip_place *out, const struct chip_place *in, const struct crop *c, int side)
{
    double half = (in->rect[2] - in->rect[0]) / 2,
           unit = 2 * half / (side - 1); /* source pixels a chip pixel */
    double cx = (in->rect[0] + in->rect[2]) / 2, cy = (in->rect[1] + in->rect[3]) / 2;
    double dx = -c->dx * unit, dy = -c->dy * unit; /* the frame moves against the face */

    cx += cos(in->angle) * dx - sin(in->angle) * dy;
    cy += sin(in->angle) * dx + cos(in->angle) * dy;
    half /= c->zoom;
    *out = (struct chip_place){{cx - half, cy - half, cx + half, cy + half},
                               in->angle - c->degrees * (M_PI / 180)};
}
