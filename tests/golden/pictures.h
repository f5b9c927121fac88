/* Lists of photographs for the tests that measure, and running the ladder on them. Include after
 * cmocka.h. */
#ifndef VISAVIS_TESTS_PICTURES_H
#define VISAVIS_TESTS_PICTURES_H

#include <glob.h>

#include "tests/golden/golden.h"

/* Every step-th photograph of LFW View 1, by name, beginning with the first-th: paths in *g
 * (globfree). */
static UNUSED size_t lfw_pictures(glob_t *g)
{
    if (!test_have_shared()) {
        skip();
        return 0;
    }
    assert_int_equal(glob(FACES "/lfw-view1/*/*.jpg", 0, NULL, g), 0);
    return g->gl_pathc;
}

static UNUSED int ladder(struct detection **out, enum detect_pass *pass,
                         const struct golden_detector *d, const struct image *im)
{
    const struct detect_options o = DETECT_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    const struct detector mtcnn = {.mtcnn = &d->nets};
    int n = 0;
    *out = NULL;
    if (detect_faces(out, &n, pass, &mtcnn, &d->runner, im, &o, &err)) fail_msg("%s", err.message);
    return n;
}

static UNUSED int plain(struct detection **out, const struct golden_detector *d,
                        const struct image *im)
{
    const struct mtcnn_options o = MTCNN_OPTIONS_INIT;
    struct err_info err = ERR_INFO_INIT;
    int n = 0;
    *out = NULL;
    if (mtcnn_detect(out, &n, &d->nets, &d->runner, im, &o, NULL, &err))
        fail_msg("%s", err.message);
    return n;
}

static UNUSED void turned(struct image *out, const struct image *im, int quarter)
{
    struct err_info err;
    assert_int_equal(image_rotate(out, im, quarter, &err), ERR_OK);
}

#endif
