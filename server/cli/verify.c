/* `visavis verify A B`: what POST /v1/verify answers; the exit code is the decision. */
#include "server/api/compare.h"
#include "server/api/face_json.h"
#include "server/cli/cli.h"

static const char help[] =
    "usage: visavis verify [OPTIONS] A B\n"
    "  exit code 0: one person, 1: not, 2: an error (also printed as JSON)\n"
    "  --face F           main, largest, single or all (default main)\n"
    "  --fmr R            the false-match rate that picks the threshold (default 0.001)\n"
    "  --precropped       both files are aligned faces already\n"
    "  --no-retry         only the first pass\n" CLI_ENGINE_HELP;

static enum err verify(json_t **answer, struct engine *e, char **files,
                       const struct analyse_options *o, const struct compare_options *c,
                       struct err_info *err)
{
    struct analysis a = {0}, b = {0};
    enum err rc;

    if ((rc = cli_analyse(&a, e, files[0], o, err)))
        err_prefix(err, "image1");
    else if ((rc = cli_analyse(&b, e, files[1], o, err)))
        err_prefix(err, "image2");
    if (!rc) rc = compare_answer(answer, &a, &b, c, err);
    analysis_release(&a);
    analysis_release(&b);
    return rc;
}

int cli_verify(int argc, char **argv)
{
    struct analyse_options o = {.select = FACE_MAIN, .embedding = true};
    struct compare_options c = {0};
    struct cli_engine e = {0};
    struct engine *engine;
    struct err_info err = ERR_INFO_INIT;
    json_t *answer = NULL;
    struct cli_words w;
    const struct cli_option options[] = {
        {"face", .take = cli_face, .self = &o.select},
        {"fmr", .number = &c.fmr, .least = 1e-12, .most = 0.999999},
        {"precropped", .flag = &o.precropped},
        {"no-retry", .flag = &o.no_retry},
        CLI_ENGINE_OPTIONS(&e),
        {0}};

    if (!cli_options(&w, argc, argv, options, help)) return w.code;
    if (w.n != 2) return cli_usage(help);
    c.select = o.select;
    enum err rc = cli_engine_open(&engine, &e, &err);
    if (!rc) {
        rc = verify(&answer, engine, w.word, &o, &c, &err);
        engine_close(engine);
    }
    if (rc) {
        cli_print(json_pack("{s:o}", "error", error_json(&err)));
        return cli_fail_err(&err);
    }
    const bool verified = json_is_true(json_object_get(answer, "verified"));
    cli_print(answer);
    return verified ? CLI_OK : CLI_NO_MATCH;
}
