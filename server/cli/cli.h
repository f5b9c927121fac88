/* The subcommands: one file each; main.c has their table. All print one JSON object a line on
 * standard output, messages on standard error, and return the exit code: 0 done, 2 wrong usage or
 * an error (verify: 1 for no match). */
#ifndef VISAVIS_SERVER_CLI_CLI_H
#define VISAVIS_SERVER_CLI_CLI_H

#include "engine/engine.h"
#include "engine/train.h"
#include "server/cli/options.h"

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
int cli_train(int argc, char **argv);
int cli_recognise(int argc, char **argv);

/* --- common.c: what the subcommands share --- */

enum { CLI_DIR_BYTES = 4096 };
/* The folder of the models: option where given, else $VISAVIS_MODELS, else
 * ${XDG_CACHE_HOME:-~/.cache}/visavis/models. Returns out. */
const char *cli_models_dir(char out[CLI_DIR_BYTES], const char *option);
/* The folder of the database: option, else $VISAVIS_DATA, else
 * ${XDG_DATA_HOME:-~/.local/share}/visavis. Returns out. */
const char *cli_data_dir(char out[CLI_DIR_BYTES], const char *option);
#define CLI_DATA_HELP                                                                              \
    "  --data DIR         the server's folder (default $VISAVIS_DATA or the user's data folder)\n"
#define CLI_MODELS_HELP                                                                            \
    "  --models DIR       where the models are (default $VISAVIS_MODELS or the cache folder)\n"

/* One line of JSON on standard output, flushed; takes the reference. NULL is reported as out of
 * memory. */
void cli_print(json_t *o);
/* "visavis: message" on standard error; returns CLI_ERROR. */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int cli_fail_err(const struct err_info *err);

/* A file's name as JSON holds it; says so where it is not UTF-8. New reference. */
json_t *cli_name_json(const char *name);
/* The last part of a path; *len, unless NULL: its length without slashes at the end. */
const char *cli_last_part(int *len, const char *path);
/* The folder, with every folder above it; 0, or -1 and errno. */
NODISCARD int cli_make_folder(const char *path);

/* Of one picture. */
enum { CLI_FILE_MAX_BYTES = 256 << 20 };
/* The faces of a file; *out is the caller's on ERR_OK. */
NODISCARD enum err cli_analyse(struct analysis *out, struct engine *e, const char *path,
                               const struct analyse_options *o, struct err_info *err);

/* --face, --orientation: cli_take of options.h; self: an enum face_select, an enum
 * train_orientation. */
bool cli_face(void *self, const char *option, const char *value);
bool cli_orientation(void *self, const char *option, const char *value);

enum { CLI_THREADS_MAX = 256 };
/* How many cores that is; 0: all there are. */
int cli_cores(int threads);

/* The options that open an engine, the same in every subcommand: rows for its table. */
struct cli_engine {
    struct engine_options options;
    char models_dir[CLI_DIR_BYTES];
};
#define CLI_ENGINE_OPTIONS(e)                                                                      \
    {"models", .text = &(e)->options.models_dir}, {"model", .text = &(e)->options.embedder},       \
        {"detector", .text = &(e)->options.detector}, {"backend", .text = &(e)->options.backend},  \
        {"precision", .text = &(e)->options.precision},                                            \
        {"average", .text = &(e)->options.average}, {"preset", .text = &(e)->options.preset},      \
        CLI_THREADS_OPTION(&(e)->options.threads)
#define CLI_THREADS_OPTION(n)                                                                      \
    {                                                                                              \
        "threads", .whole = (n), .least = 1, .most = CLI_THREADS_MAX                               \
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
    "  --threads N        cores to compute on (default: all)\n" CLI_MODELS_HELP
NODISCARD enum err cli_engine_open(struct engine **out, struct cli_engine *o, struct err_info *err);
/* How many pictures to have in the works at once: enough that a lane finds a batch whenever it
 * looks. */
int cli_workers(const struct cli_engine *o);

/* A line on standard error that counts, only where that is a terminal, until cli_progress_end.
 * total 0: not known. */
struct cli_progress {
    const char *what;
    double started, shown;
};
void cli_progress(struct cli_progress *p, size_t done, size_t total);
void cli_progress_end(struct cli_progress *p, size_t done);

/* The same of a training's steps, as its options' progress wants it; self: a struct cli_steps,
 * zeroed. Returns true. */
struct cli_steps {
    double started, shown;
    long first;  /* step that this run began with */
    double loss; /* smoothed */
};
bool cli_steps(void *self, long step, long steps, double loss, double violating);

#endif
