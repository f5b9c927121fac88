/* Only until detect_ladder.c, quality.c and mask.c land, so that the rest can be tested meanwhile: whoever lands
 * one of them deletes its part here, the last one the file. */
#include "engine/face/face.h"

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
