/* visavis cluster PATH...: which of these faces belong together? */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/clusters_in.h"
#include "server/cli/cli.h"
#include "server/cli/cluster_files.h"
#include "server/cli/page.h"

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

struct cluster {
    struct clusters_in in;
    const char *out; /* folder; NULL: nothing is written */
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
}

/* An option of clusters_in.h by its name there, '_' as '-'. */
static bool ask(void *self, const char *option, const char *value)
{
    struct err_info err = ERR_INFO_INIT;
    char name[32];

    snprintf(name, sizeof name, "%s", option);
    for (char *p = name; *p; p++)
        if (*p == '-') *p = '_';
    if (!clusters_in_set(self, name, value, &err)) return true;
    cli_fail_err(&err);
    return false;
}

/* --- what is written --- */

static enum err write_report(const struct cluster *c, struct err_info *err)
{
    static const struct {
        const char *name;
        enum err (*draw)(struct buf *out, const json_t *report, struct err_info *err);
    } drawn[] = {
        {"report.html", report_html}, {"report.svg", report_svg}, {"report.png", report_png}};
    enum err rc = ERR_OK;

    if (cli_make_folder(c->out))
        return err_set(err, ERR_IO, "the folder %s cannot be made: %s", c->out, strerror(errno));
    for (size_t i = 0; !rc && i < ARRAY_LEN(drawn); i++) {
        AUTO_BUF struct buf bytes = BUF_INIT((size_t)1 << 30);
        rc = drawn[i].draw(&bytes, c->done.report, err);
        if (!rc) rc = page_write(c->out, drawn[i].name, bytes.data, bytes.len, err);
    }
    if (rc) return rc;
    report_drop_thumbnails(c->done.report); /* the page has them */
    AUTO_FREE char *text = json_dumps(c->done.report, REPORT_JSON_DUMP);
    if (!text) return err_set(err, ERR_NOMEM, "no memory for a report");
    return page_write(c->out, "report.json", text, strlen(text), err);
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

static enum err run(struct cluster *c, int n, char *const *paths, struct err_info *err)
{
    enum err rc = clusters_photos_init(&c->photos, err);

    for (int i = 0; !rc && i < n; i++) rc = cluster_files_add(&c->files, &c->photos, paths[i], err);
    if (rc || (rc = cli_engine_open(&c->engine, &c->engine_options, err))) return rc;
    const struct clusters_work work = {engine_cores(c->engine), {&c->progress, tell}};
    /* a report does not tell where on this machine its pictures lay */
    int len;
    const char *last = cli_last_part(&len, paths[0]);
    AUTO_FREE char *title = strndup(last, (size_t)len);
    if (!title) return err_set(err, ERR_NOMEM, "no memory for a title");
    /* no time in it: the same pictures give the same report */
    const struct clusters_about about = {.title = c->in.title ? c->in.title : title};
    rc = clusters_embed(&c->faces, c->engine, &c->photos, &c->in.options, c->out != NULL, &work,
                        err);
    if (!rc) rc = clusters_run(&c->done, &c->faces, &c->in.options, &about, &work, err);
    cli_progress_end(&c->progress, c->faces.n);
    return !rc && c->out ? write_report(c, err) : rc;
}

int cli_cluster(int argc, char **argv)
{
    json_auto_t *asked = json_object();
    struct cluster c = {0};
    struct err_info err = ERR_INFO_INIT;
    struct cli_words w;
#define ASKED .take = ask, .self = asked
    const struct cli_option options[] = {{"algorithm", ASKED},
                                         {"metric", ASKED},
                                         {"k", ASKED},
                                         {"k-min", ASKED},
                                         {"k-max", ASKED},
                                         {"k-by", ASKED},
                                         {"cut", ASKED},
                                         {"eps", ASKED},
                                         {"fmr", ASKED},
                                         {"min-size", ASKED},
                                         {"min-points", ASKED},
                                         {"restarts", ASKED},
                                         {"seed", ASKED},
                                         {"cannot-link", ASKED},
                                         {"layout", ASKED},
                                         {"title", ASKED},
                                         {"face", ASKED},
                                         {"precropped", ASKED},
                                         {"out", .text = &c.out},
                                         CLI_ENGINE_OPTIONS(&c.engine_options),
                                         {0}};

    if (!asked) return cli_fail("no memory");
    if (!cli_options(&w, argc, argv, options, usage)) return w.code;
    if (clusters_in_parse(&c.in, asked, &err)) return cli_fail_err(&err);
    if (!w.n) return cli_usage(usage);
    const int rc = run(&c, w.n, w.word, &err) ? cli_fail_err(&err) : CLI_OK;
    if (!rc) cli_print(json_incref(c.done.summary));
    release(&c);
    return rc;
}
