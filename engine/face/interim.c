/* Only until detect_ladder.c, quality.c and mask.c land, so that the rest can be tested meanwhile: whoever lands
 * one of them deletes its part here, the last one the file. */
#include "engine/face/face.h"

#include <string.h>

enum err detect_faces(struct detection **out, int *n, enum detect_pass *pass, const struct mtcnn *d,
                      const struct face_runner *runner, const struct image *im, const struct detect_options *o,
                      struct err_info *err)
{
    struct mtcnn_options m = MTCNN_OPTIONS_INIT;
    m.min_size = o->min_size;
    *pass = PASS_DEFAULT;
    return mtcnn_detect(out, n, d, runner, im, &m, NULL, err);
}

const char *detect_pass_name(enum detect_pass p)
{
    return p == PASS_DEFAULT ? "default" : "other";
}

int detect_pass_quarter(enum detect_pass p)
{
    (void)p;
    return 0;
}

void quality_measure(struct quality *out, const struct image *im, const struct detection *d, const uint8_t *chip)
{
    (void)im, (void)d, (void)chip;
    memset(out, 0, sizeof *out);
}

const char *quality_name(enum quality_id q)
{
    (void)q;
    return "unmeasured";
}

const char *quality_reason(enum quality_id q)
{
    (void)q;
    return "unmeasured";
}

void mask_from_points(struct face_mask *out, const struct detection *d, const int (*p68)[2])
{
    (void)d, (void)p68;
    memset(out, 0, sizeof *out);
}

void mask_raster(uint8_t *out, int x, int y, int w, int h, const struct face_mask *m)
{
    (void)x, (void)y, (void)m;
    memset(out, 0, (size_t)w * (size_t)h);
}
