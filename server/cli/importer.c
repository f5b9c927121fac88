/* Limits follow from the size of the file that is imported; the answer is the one JSON line that
 * the program prints. */
#include "server/cli/importer.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "server/cli/process.h"

/* A sanitizer's shadow memory takes terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SPACE_LIMIT(bytes) RLIM_INFINITY
#else
#define SPACE_LIMIT(bytes) (bytes)
#endif

static const char PROGRAM[] = "visavis-import";

enum {
    MIB = 1 << 20,
    BASE_MIB = 1024, /* address space beyond what the file needs: libraries, heap, pickles */
    BASE_SECONDS = 60,
    OUTPUT_BYTES = 64 << 10,
    FILES = 64,
};

static enum err beside_us(char *out, size_t size, struct err_info *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return err_set(err, ERR_IO, "cannot find this program's own folder: %s", strerror(errno));
    self[n] = 0;
    if (snprintf(out, size, "%s/%s", dirname(self), PROGRAM) >= (int)size)
        return err_set(err, ERR_IO, "the folder's name is too long");
    if (access(out, X_OK))
        return err_set(err, ERR_NOT_FOUND,
                       "%s is not there: it belongs beside the visavis program (make builds both)",
                       out);
    return ERR_OK;
}

static enum err code_by_name(const char *name)
{
    for (int i = 1; name && i < ERR_COUNT; i++)
        if (strcmp(err_name((enum err)i), name) == 0) return (enum err)i;
    return ERR_MODEL;
}

/* Makes an error or a result of what the program said. */
static enum err read_answer(json_t **out, const struct buf *said, int status, const char *file,
                            struct err_info *err)
{
    const char *code, *message;
    json_t *j = said->data ? json_loads((const char *)said->data, 0, NULL) : NULL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && json_is_object(j)) {
        *out = j;
        return ERR_OK;
    }
    enum err rc;
    if (!json_unpack(j, "{s:{s:s, s:s}}", "error", "code", &code, "message", &message))
        rc = err_set(err, code_by_name(code), "%s", message);
    else if (WIFSIGNALED(status))
        rc = err_set(err, ERR_MODEL,
                     "%s: %s ended by signal %d (%s): the file makes it pass its limits", file,
                     PROGRAM, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        rc = err_set(err, ERR_INTERNAL, "%s: %s ended with status %d and no answer", file, PROGRAM,
                     WEXITSTATUS(status));
    json_decref(j);
    return rc;
}

enum err importer_run(json_t **out, const struct importer_options *o, struct err_info *err)
{
    char program[PATH_MAX + 32];
    struct stat info;
    struct buf said = BUF_INIT(OUTPUT_BYTES);
    int status = 0, n = 0;
    enum err rc = beside_us(program, sizeof program, err);

    if (rc) return rc;
    if (stat(o->file, &info))
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", o->file,
                       strerror(errno));
    const char *argv[16] = {program, "--models", o->models_dir};
    n = 3;
    if (o->name) argv[n++] = "--name", argv[n++] = o->name;
    if (o->sha256) argv[n++] = "--sha256", argv[n++] = o->sha256;
    if (o->preset) argv[n++] = "--preset", argv[n++] = o->preset;
    if (o->names) argv[n++] = "--names", argv[n++] = o->names;
    if (o->accept_license) argv[n++] = "--accept-license";
    argv[n++] = "--";
    argv[n++] = o->file;

    /* the file is mapped, its weights are in memory once or twice, and are written once */
    const rlim_t bytes = (rlim_t)info.st_size,
                 space = SPACE_LIMIT((rlim_t)BASE_MIB * MIB + 4 * bytes);
    const rlim_t seconds = BASE_SECONDS + bytes / (4 * MIB), writes = 64 * (rlim_t)MIB + 2 * bytes;
    const struct rlimit limits[] = {
        {space, space}, {seconds, seconds}, {writes, writes}, {FILES, FILES}, {0, 0}};
    static const int KINDS[] = {RLIMIT_AS, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_CORE};
    _Static_assert(ARRAY_LEN(KINDS) == ARRAY_LEN(limits), "one limit each");
    const struct process p = {.argv = (char *const *)argv,
                              .limits = limits,
                              .kinds = KINDS,
                              .n_limits = ARRAY_LEN(KINDS),
                              .out = &said};
    rc = process_run(&status, &p, err);
    if (!rc) rc = read_answer(out, &said, status, o->file, err);
    buf_release(&said);
    return rc;
}
