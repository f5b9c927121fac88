#include "server/api/api.h"

#include "server/api/compare.h"
#include "server/api/faces_in.h"

const struct faces_spec faces_spec_verify = {
    .image = {"image1", "image2"},
    .option = {"face", "fmr", "min_size", "model", "retry"},
    .face = FACE_MAIN,
};

/* POST /v1/verify: are the two pictures of the same person? */
enum err api_verify(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    struct faces_in in;
    struct analysis a[2] = {0};
    json_t *answer = NULL;
    enum err rc = faces_in_parse(&in, &faces_spec_verify, rq, rp, err);

    if (rc) return rc;
    in.options.embedding = true;
    for (int i = 0; !rc && i < 2; i++)
        rc = faces_in_analyse(&a[i], app->engine, &in, i, rq, rp, err);
    if (!rc) {
        struct compare_options o = {in.options.select, in.fmr};
        rc = compare_answer(&answer, &a[0], &a[1], &o, err);
        if (rc == ERR_NO_FACE) reply_detail(rp, "image", faces_spec_verify.image[a[0].n ? 1 : 0]);
    }
    if (!rc) rc = reply_json(rp, 200, answer, err);
    analysis_release(&a[0]);
    analysis_release(&a[1]);
    faces_in_release(&in);
    return rc;
}
