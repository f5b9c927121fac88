/* visavis cluster PATH...: which of these faces belong together? */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/mem.h"
#include "server/api/clusters_in.h"
#include "server/cli/cli.h"
#include "server/cli/cluster_files.h"

static const char usage[] =
    "usage: visavis cluster DIR|FILE|ZIP... [OPTIONS]\n"
    "Which of the faces on these pictures belong together? Prints a summary, one JSON object. A\n"
    "sub-folder's name is taken for who is in it, and the clusters are scored by it; pictures\n"
    "outside of one have no name and are left out of the scores.\n\n"
    "  --out DIR          writes report.json, report.html, report.svg and report.png\n"
    "  --face F           which faces of a picture: all (default), main, largest or single\n"
    "  --algorithm A      auto (default), kmeans, average, complete, dbscan, hdbscan, whispers\n"
    "  --cut S            least similarity of two that are one person\n"
    "  --fmr RATE         the same by its false-match rate, through the model's calibration\n"
    "  --eps E            the same as a distance, 1 - similarity\n"
    "  --k N              number of clusters (kmeans, average, complete, auto)\n"
    "  --k-min N, --k-max N, --k-by silhouette|gap\n"
    "                     searches k there\n"
    "  --metric M         kmeans: cosine (default) or euclidean\n"
    "  --min-size N       smaller clusters are outliers\n"
    "  --min-points N     dbscan, hdbscan\n"
    "  --restarts N, --seed N\n"
    "                     kmeans; a seed gives the same again\n"
    "  --cannot-link B    two faces of one picture stay apart: true (default) or false\n"
    "  --layout L         tsne (default) or none, beside the principal components\n"
    "  --title TEXT       of the report (default: the first name)\n"
    "  --precropped B     true: each picture is an aligned face already\n" CLI_ENGINE_HELP;

enum { OPT_OUT = 1, OPT_HELP, OPT_ASKED };
/* Options of clusters_in.h by their names there, '_' as '-'. */
static const struct option options[] = {
    {"algorithm", required_argument, NULL, OPT_ASKED},
    {"metric", required_argument, NULL, OPT_ASKED},
    {"k", required_argument, NULL, OPT_ASKED},
    {"k-min", required_argument, NULL, OPT_ASKED},
    {"k-max", required_argument, NULL, OPT_ASKED},
    {"k-by", required_argument, NULL, OPT_ASKED},
    {"cut", required_argument, NULL, OPT_ASKED},
    {"eps", required_argument, NULL, OPT_ASKED},
    {"fmr", required_argument, NULL, OPT_ASKED},
    {"min-size", required_argument, NULL, OPT_ASKED},
    {"min-points", required_argument, NULL, OPT_ASKED},
    {"restarts", required_argument, NULL, OPT_ASKED},
    {"seed", required_argument, NULL, OPT_ASKED},
    {"cannot-link", required_argument, NULL, OPT_ASKED},
    {"layout", required_argument, NULL, OPT_ASKED},
    {"title", required_argument, NULL, OPT_ASKED},
    {"face", required_argument, NULL, OPT_ASKED},
    {"precropped", required_argument, NULL, OPT_ASKED},
    {"out", required_argument, NULL, OPT_OUT},
    {"help", no_argument, NULL, OPT_HELP},
    CLI_ENGINE_OPTIONS,
    {NULL, 0, NULL, 0},
};

struct cluster {
    json_t *asked;
    struct clusters_in in;
    const char *out; /* folder; NULL: nothing is written */
    bool help;
    struct cli_engine engine_options;
    struct engine *engine;
    struct cluster_files files;
    struct clusters_photos photos;
    struct clusters_faces faces;
    struct clusters_done done;
    struct cli_progress progress;
};

static void release(struct cluster *c)
{
    clusters_done_release(&c->done);
    clusters_faces_release(&c->faces);
    clusters_photos_release(&c->photos);
    cluster_files_release(&c->files);
    engine_close(c->engine);
    json_decref(c->asked);
}

/* --- arguments --- */

static enum err set_asked(struct cluster *c, const char *option, const char *value,
                          struct err_info *err)
{
    char name[32];
    snprintf(name, sizeof name, "%s", option);
    for (char *p = name; *p; p++)
        if (*p == '-') *p = '_';
    return clusters_in_set(c->asked, name, value, err);
}

static bool parse(struct cluster *c, int argc, char **argv)
{
    struct err_info err = ERR_INFO_INIT;
    int opt, at = 0;

    while ((opt = getopt_long(argc, argv, "", options, &at)) != -1) {
        if (opt == OPT_OUT) {
            c->out = optarg;
        } else if (opt == OPT_HELP) {
            c->help = true;
        } else if (opt == OPT_ASKED) {
            if (set_asked(c, options[at].name, optarg, &err)) {
                cli_fail_err(&err);
                return false;
            }
        } else if (cli_engine_option(&c->engine_options, opt, optarg) != 1) {
            return false;
        }
    }
    if (!clusters_in_parse(&c->in, c->asked, &err)) return true;
    cli_fail_err(&err);
    return false;
}

/* --- what is written --- */

static enum err write_file(const struct cluster *c, const char *name, const void *bytes, size_t len,
                           struct err_info *err)
{
    AUTO_FREE char *path = NULL;

    if (asprintf(&path, "%s/%s", c->out, name) < 0) {
        path = NULL;
        return err_set(err, ERR_NOMEM, "no memory for a path");
    }
    FILE *f = fopen(path, "wb");
    const bool ok = f && fwrite(bytes, 1, len, f) == len;
    if ((f && fclose(f)) || !ok)
        return err_set(err, err_of_write(errno), "%s cannot be written: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err write_report(const struct cluster *c, struct err_info *err)
{
    static const struct {
        const char *name;
        enum err (*draw)(struct buf *out, const json_t *report, struct err_info *err);
    } drawn[] = {
        {"report.html", report_html}, {"report.svg", report_svg}, {"report.png", report_png}};
    enum err rc = ERR_OK;

    if (mkdir(c->out, 0777) && errno != EEXIST)
        return err_set(err, ERR_IO, "the folder %s cannot be made: %s", c->out, strerror(errno));
    for (size_t i = 0; !rc && i < ARRAY_LEN(drawn); i++) {
        AUTO_BUF struct buf bytes = BUF_INIT((size_t)1 << 30);
        rc = drawn[i].draw(&bytes, c->done.report, err);
        if (!rc) rc = write_file(c, drawn[i].name, bytes.data, bytes.len, err);
    }
    if (rc) return rc;
    report_drop_thumbnails(c->done.report); /* the page has them */
    AUTO_FREE char *text = json_dumps(c->done.report, REPORT_JSON_DUMP);
    if (!text) return err_set(err, ERR_NOMEM, "no memory for a report");
    return write_file(c, "report.json", text, strlen(text), err);
}

/* --- running --- */

static bool tell(void *self, const char *phase, size_t done, size_t total)
{
    struct cli_progress *p = self;

    if (!p->what || strcmp(p->what, phase) != 0) {
        if (p->what) cli_progress_end(p, total);
        *p = (struct cli_progress){.what = phase};
    }
    cli_progress(p, done, total);
    return true;
}

/* The last part of a path: a report does not tell where on this machine its pictures lay. */
static const char *last_part(char out[256], const char *path)
{
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/') end--;
    for (start = end; start > 0 && path[start - 1] != '/';) start--;
    snprintf(out, 256, "%.*s", (int)(end - start), path + start);
    return out;
}

static enum err run(struct cluster *c, int n, char *const *paths, struct err_info *err)
{
    char title[256];
    enum err rc = clusters_photos_init(&c->photos, err);

    for (int i = 0; !rc && i < n; i++) rc = cluster_files_add(&c->files, &c->photos, paths[i], err);
    if (rc || (rc = cli_engine_open(&c->engine, &c->engine_options, err))) return rc;
    const struct clusters_work work = {engine_cores(c->engine), {&c->progress, tell}};
    /* no time in it: the same pictures give the same report */
    const struct clusters_about about = {.title = c->in.title ? c->in.title
                                                              : last_part(title, paths[0])};
    rc = clusters_embed(&c->faces, c->engine, &c->photos, &c->in.options, c->out != NULL, &work,
                        err);
    if (!rc) rc = clusters_run(&c->done, &c->faces, &c->in.options, &about, &work, err);
    cli_progress_end(&c->progress, c->faces.n);
    return !rc && c->out ? write_report(c, err) : rc;
}

int cli_cluster(int argc, char **argv)
{
    struct cluster c = {.asked = json_object()};
    struct err_info err = ERR_INFO_INIT;
    int rc = CLI_ERROR;

    if (!c.asked) return cli_fail("no memory");
    if (!parse(&c, argc, argv)) goto done;
    if (c.help || optind == argc) {
        fputs(usage, c.help ? stdout : stderr);
        rc = c.help ? CLI_OK : CLI_ERROR;
        goto done;
    }
    if (run(&c, argc - optind, argv + optind, &err)) {
        rc = cli_fail_err(&err);
        goto done;
    }
    cli_print(json_incref(c.done.summary));
    rc = CLI_OK;
done:
    release(&c);
    return rc;
}
