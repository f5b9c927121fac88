/* `visavis verify A B`: what POST /v1/verify answers; the exit code is the decision. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/mem.h"
#include "server/api/compare.h"
#include "server/api/face_json.h"
#include "server/cli/cli.h"

enum { FILE_MAX_BYTES = 256 << 20 };

static const char help[] =
    "usage: visavis verify [OPTIONS] A B\n"
    "  exit code 0: one person, 1: not, 2: an error (also printed as JSON)\n"
    "  --face F           main, largest, single or all (default main)\n"
    "  --fmr R            the false-match rate that picks the threshold (default 0.001)\n"
    "  --precropped       both files are aligned faces already\n"
    "  --no-retry         only the first pass\n" CLI_ENGINE_HELP;

enum { OPT_FACE = 1, OPT_FMR, OPT_PRECROPPED, OPT_NO_RETRY, OPT_HELP };
static const struct option options[] = {{"face", required_argument, NULL, OPT_FACE},
                                        {"fmr", required_argument, NULL, OPT_FMR},
                                        {"precropped", no_argument, NULL, OPT_PRECROPPED},
                                        {"no-retry", no_argument, NULL, OPT_NO_RETRY},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        CLI_ENGINE_OPTIONS,
                                        {0}};

static enum err analyse(struct engine *e, const char *file, const char *which,
                        const struct analyse_options *o, struct analysis *out, struct err_info *err)
{
    AUTO_BUF struct buf bytes = BUF_INIT(FILE_MAX_BYTES);
    enum err rc = buf_read_file(&bytes, file, err);

    if (!rc) rc = engine_analyse(e, bytes.data, bytes.len, o, out, err);
    if (rc) err_prefix(err, "%s", which);
    return rc;
}

static enum err verify(json_t **answer, struct engine *e, char **files,
                       const struct analyse_options *o, const struct compare_options *c,
                       struct err_info *err)
{
    struct analysis a = {0}, b = {0};
    enum err rc = analyse(e, files[0], "image1", o, &a, err);

    if (!rc) rc = analyse(e, files[1], "image2", o, &b, err);
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
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool ok = true;
        if (opt == OPT_HELP) {
            fputs(help, stdout);
            return CLI_OK;
        }
        if (opt == OPT_FACE)
            ok = cli_face(&o.select, optarg);
        else if (opt == OPT_FMR)
            ok = cli_double(&c.fmr, "--fmr", optarg, 1e-12, 0.999999);
        else if (opt == OPT_PRECROPPED)
            o.precropped = true;
        else if (opt == OPT_NO_RETRY)
            o.no_retry = true;
        else
            ok = cli_engine_option(&e, opt, optarg) > 0;
        if (!ok) return CLI_ERROR;
    }
    if (argc - optind != 2) {
        fputs(help, stderr);
        return CLI_ERROR;
    }
    c.select = o.select;
    enum err rc = cli_engine_open(&engine, &e, &err);
    if (!rc) {
        rc = verify(&answer, engine, argv + optind, &o, &c, &err);
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
