/* visavis-import FILE --models DIR [--name N] [--accept-license] [--sha256 HEX]
 *
 * Turns one foreign weight file into a model file. A program of its own, so that whoever starts it
 * can bound its memory, time and file sizes. Prints one JSON object a line on standard output,
 * {"name","role",...} or {"error":{"code", "message"}}; exit 0 done, 1 refused, 2 used wrongly. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "engine/model/import/import.h"
#include "engine/model/model.h"

static void print(json_t *j)
{
    if (j) json_dumpf(j, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    fputc('\n', stdout);
    json_decref(j);
}

static int refuse(const struct err_info *err)
{
    json_t *message = json_string(err->message); /* NULL where a file's name is not UTF-8 */
    print(json_pack("{s:{s:s, s:o}}", "error", "code", err_name(err->code), "message",
                    message ? message : json_string("its name is not UTF-8")));
    return 1;
}

static void progress(size_t done, size_t total)
{
    fprintf(stderr, "\r\033[Kvisavis-import: %zu of %zu MB", done / 250000, total / 250000);
    if (done == total) fputs("\r\033[K", stderr);
    fflush(stderr);
}

static int usage(void)
{
    fputs("usage: visavis-import FILE --models DIR [--name NAME] [--accept-license] [--sha256 HEX] "
          "[--preset WORDS] "
          "[--names FILE]\n",
          stderr);
    return 2;
}

static int done(const char *dir, const char *name)
{
    struct err_info err = ERR_INFO_INIT;
    struct model *m;
    if (model_open(&m, dir, name, &err)) return refuse(&err);
    print(json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s*}", "name", m->name, "role",
                    model_role_name(m->role), "license", m->license, "restricted", m->restricted,
                    "source_file", m->source_file, "source_sha256", m->source_sha256, "sha256",
                    m->sha256, "note", m->note));
    model_close(m);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option LONG[] = {
        {"models", required_argument, NULL, 'm'}, {"name", required_argument, NULL, 'n'},
        {"sha256", required_argument, NULL, 's'}, {"accept-license", no_argument, NULL, 'a'},
        {"preset", required_argument, NULL, 'p'}, {"names", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct import_options o = {0};
    struct err_info err = ERR_INFO_INIT;
    const char *dir = NULL;
    char name[64];
    int c;

    while ((c = getopt_long(argc, argv, "m:n:s:ap:c:h", LONG, NULL)) != -1) {
        if (c == 'm') dir = optarg;
        if (c == 'n') o.name = optarg;
        if (c == 's') o.sha256 = optarg;
        if (c == 'p') o.preset = optarg;
        if (c == 'c') o.names = optarg;
        if (c == 'a') o.accept_license = true;
        if (c == 'h' || c == '?') return usage();
    }
    if (!dir || optind != argc - 1) return usage();
    if (mkdir(dir, 0755) && errno != EEXIST) {
        err_set(&err, ERR_IO, "cannot make the folder %s: %s", dir, strerror(errno));
        return refuse(&err);
    }
    if (isatty(STDERR_FILENO)) o.progress = progress;
    if (import_file(name, argv[optind], dir, &o, &err)) return refuse(&err);
    return done(dir, name);
}
