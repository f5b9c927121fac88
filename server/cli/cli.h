/* The subcommands: one file each; main.c has their table. All print one JSON object a line on
 * standard output, messages on standard error, and return the exit code: 0 done, 2 wrong usage or
 * an error (verify: 1 for no match). */
#ifndef VISAVIS_SERVER_CLI_CLI_H
#define VISAVIS_SERVER_CLI_CLI_H

#include "engine/engine.h"

#include <jansson.h>

enum { CLI_OK = 0, CLI_NO_MATCH = 1, CLI_ERROR = 2 };

/* argv[0] is the subcommand's name. */
int cli_serve(int argc, char **argv);
int cli_detect(int argc, char **argv);
int cli_embed(int argc, char **argv);
int cli_classify(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_collection(int argc, char **argv);
int cli_enrol(int argc, char **argv);
int cli_identify(int argc, char **argv);
int cli_cluster(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_model(int argc, char **argv);
int cli_key(int argc, char **argv);
int cli_audit(int argc, char **argv);
int cli_db(int argc, char **argv);

/* --- common.c: what the subcommands share --- */

/* The folder of the models: option where given, else $VISAVIS_MODELS, else
 * ${XDG_CACHE_HOME:-~/.cache}/visavis/models. Returns out. */
const char *cli_models_dir(char out[4096], const char *option);

/* One line of JSON on standard output, flushed; takes the reference. NULL is reported as out of
 * memory. */
void cli_print(json_t *o);
/* "visavis: message" on standard error; returns CLI_ERROR. */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int cli_fail_err(const struct err_info *err);

/* A whole number in [least, most]; false and a message where text is not one. */
bool cli_int(int *out, const char *option, const char *text, int least, int most);
bool cli_double(double *out, const char *option, const char *text, double least, double most);
bool cli_face(enum face_select *out, const char *text);

/* The options that open an engine, the same in every subcommand: --models --model --detector
 * --backend
 * --precision --average --preset --threads. CLI_ENGINE_OPTIONS goes into the table for getopt_long;
 * cli_engine_option is asked first for each value that it returned: 1 taken, 0 not one of these, -1
 * wrong (a message was printed). */
enum {
    CLI_OPT_MODELS = 1000,
    CLI_OPT_MODEL,
    CLI_OPT_DETECTOR,
    CLI_OPT_BACKEND,
    CLI_OPT_PRECISION,
    CLI_OPT_AVERAGE,
    CLI_OPT_PRESET,
    CLI_OPT_THREADS
};
#define CLI_ENGINE_OPTIONS                                                                         \
    {"models", required_argument, NULL, CLI_OPT_MODELS},                                           \
        {"model", required_argument, NULL, CLI_OPT_MODEL},                                         \
        {"detector", required_argument, NULL, CLI_OPT_DETECTOR},                                   \
        {"backend", required_argument, NULL, CLI_OPT_BACKEND},                                     \
        {"precision", required_argument, NULL, CLI_OPT_PRECISION},                                 \
        {"average", required_argument, NULL, CLI_OPT_AVERAGE},                                     \
        {"preset", required_argument, NULL, CLI_OPT_PRESET},                                       \
    {                                                                                              \
        "threads", required_argument, NULL, CLI_OPT_THREADS                                        \
    }
#define CLI_ENGINE_HELP                                                                            \
    "  --model NAME       the embedder (default dlib-resnet)\n"                                    \
    "  --detector NAME    what finds the faces: mtcnn (default), or an imported YuNet\n"           \
    "  --average A        crops that are averaged, instead of the model's own choice\n"            \
    "  --preset WORDS     how its input is made, instead of the model's own way: words joined by " \
    "+\n"                                                                                          \
    "  --precision P      f32 (default), bf16, or auto: bf16 where its measured error, 1 - "       \
    "cosine,\n"                                                                                    \
    "                     is at most 1e-4\n"                                                       \
    "  --backend B        fast, blas or ref (default: the fastest)\n"                              \
    "  --threads N        cores to compute on (default: all)\n"                                    \
    "  --models DIR       where the models are (default $VISAVIS_MODELS or the cache folder)\n"
struct cli_engine {
    struct engine_options options;
    char models_dir[4096];
};
int cli_engine_option(struct cli_engine *o, int opt, const char *value);
NODISCARD enum err cli_engine_open(struct engine **out, struct cli_engine *o, struct err_info *err);
/* How many pictures to have in the works at once: enough that a lane finds a batch whenever it
 * looks. */
int cli_workers(const struct cli_engine *o);

/* A line on standard error that counts, only where that is a terminal. done == total ends it; total
 * 0: not known. */
struct cli_progress {
    const char *what;
    double started, shown;
};
void cli_progress(struct cli_progress *p, size_t done, size_t total);
void cli_progress_end(struct cli_progress *p, size_t done);

#endif
