/* Import, from the outside: map the file, hash it, recognise it by its content, let its importer
 * read it. */
#include "engine/model/import/import.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/hex.h"
#include "engine/base/mem.h"
#include "engine/model/import/import_internal.h"

enum { FILE_LEAST_BYTES = 16, NAMES_MAX_BYTES = 8 << 20, VARINT_MAX_BYTES = 10 };

/* How the files begin that we read, and those that people are most likely to try. */
static const struct format {
    const char *magic;
    size_t len;
    enum err (*import)(struct import_job *job, struct err_info *err);
    const char *what; /* of what is not read */
} FORMATS[] = {
    {"PK\3\4", 4, import_pytorch, NULL},
    {"\x80\2\x8a\12", 4, import_pytorch,
     NULL}, /* protocol 2, a LONG1 of 10 bytes: torch's magic number */
    {"\4\0\0\0", 4, import_torch7, NULL}, /* the type of a torch object */
    {"\3\0\0\0", 4, import_torch7, NULL}, /* a table */
    {"\6\0\0\0", 4, import_torch7, NULL}, /* functions, to say that they are not read */
    {"\7\0\0\0", 4, import_torch7, NULL},
    {"\10\0\0\0", 4, import_torch7, NULL},
    {"4\n1\n3\nV 1", 9, NULL, "Torch7's text format, not its binary one"},
    {"\1\1\1\15loss_", 9, import_dlib, NULL}, /* 1, a name of 13 letters */
    {"\1\1\1\12loss_mmod_", 14, NULL, "a dlib detector"},
    {"\1\1\x81", 3, import_dlib, NULL}, /* 1, a negative size of 1 byte */
    {"\x89HDF\r\n\x1a\n", 8, import_keras, NULL},
    {"MATLAB 5", 8, import_matconvnet, NULL},
    {"MATLAB 7.3", 10, NULL, "a MATLAB 7.3 file (save it with -v7)"},
    {"name: \"", 7, NULL, "a prototxt, Caffe's text without weights"},
    {"\x80\2", 2, NULL, "a Python pickle that torch did not write"}, /* its protocol's number */
    {"\x80\3", 2, NULL, "a Python pickle that torch did not write"},
    {"\x80\4", 2, NULL, "a Python pickle that torch did not write"},
    {"\x80\5", 2, NULL, "a Python pickle that torch did not write"},
};

/* Protocol buffers have no magic; this one is damaged, where it is one. */
static bool endless_varint(const struct import_job *job)
{
    size_t n = 0;
    while (n < VARINT_MAX_BYTES && job->data[n] & 0x80) n++;
    return n == VARINT_MAX_BYTES;
}

static enum err dispatch(struct import_job *job, struct err_info *err)
{
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++) {
        const struct format *f = &FORMATS[i];
        if (job->len < FILE_LEAST_BYTES || memcmp(job->data, f->magic, f->len) != 0) continue;
        if (f->import) return f->import(job, err);
        return err_set(err, ERR_MODEL, "%s: not a kind of file that can be imported", f->what);
    }
    if (onnx_recognise(job->data, job->len)) return import_onnx(job, err);
    if (caffe_recognise(job->data, job->len)) return import_caffe(job, err);
    if (endless_varint(job))
        return err_set(err, ERR_MODEL,
                       "a malformed varint at its beginning, of more than %d bytes: not a protocol "
                       "buffer (.caffemodel, .onnx), nor another file that is known",
                       VARINT_MAX_BYTES);
    return err_set(
        err, ERR_MODEL,
        "not a model file that is known: PyTorch's .pt and .pth, Torch7's .t7, Keras's .h5, "
        "MatConvNet's .mat, Caffe's .caffemodel, ONNX's .onnx and dlib's .dat are read");
}

static enum err import_mapped(struct import_job *job, struct err_info *err)
{
    const char *want = job->options.sha256;
    hex_sha256(job->sha256, job->data, job->len);
    (void)madvise((void *)(uintptr_t)job->data, job->len, MADV_DONTNEED); /* read again as needed */
    if (want && strcasecmp(want, job->sha256) != 0)
        return err_set(err, ERR_MODEL, "its sha256 is %s, expected %.64s", job->sha256, want);
    return dispatch(job, err);
}

enum err import_file(char name_out[64], const char *file, const char *models_dir,
                     const struct import_options *o, struct err_info *err)
{
    struct import_job job = {.file = file, .models_dir = models_dir, .options = *o};
    struct stat info;
    void *map = MAP_FAILED;
    enum err rc;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", file,
                       strerror(errno));
    if (fstat(fd, &info) || !S_ISREG(info.st_mode)) {
        rc = err_set(err, ERR_IO, "not a regular file");
    } else if (info.st_size < FILE_LEAST_BYTES) {
        rc = err_set(err, ERR_MODEL, "%lld bytes: no model file is that small",
                     (long long)info.st_size);
    } else {
        job.len = (size_t)info.st_size;
        map = mmap(NULL, job.len, PROT_READ, MAP_PRIVATE, fd, 0);
        job.data = map;
        job.mapped = true;
        rc = map == MAP_FAILED ? err_set(err, ERR_IO, "cannot map it: %s", strerror(errno))
                               : import_mapped(&job, err);
    }
    close(fd);
    free(job.classes);
    if (map != MAP_FAILED) munmap(map, job.len);
    if (rc)
        err_prefix(err, "%s", file);
    else
        memcpy(name_out, job.name, sizeof job.name);
    return rc;
}

static enum err output_size(size_t *out, const struct model_draft *draft, const char *name,
                            struct err_info *err)
{
    const struct nn_graph *g = draft->graph;
    const int o = g ? nn_graph_output(g, name) : -1;
    enum err rc;

    *out = 0;
    if (o < 0) return ERR_OK;
    AUTO_FREE struct nn_shape *shapes = malloc(((size_t)g->n_ops + 1) * sizeof *shapes);
    if (!shapes) return err_set(err, ERR_NOMEM, "no memory for %d shapes", g->n_ops);
    if ((rc = nn_graph_shapes(g, g->in_h, g->in_w, shapes, err))) return rc;
    const struct nn_shape s = shapes[g->outputs[o].op];
    *out = (size_t)s.c * (size_t)s.h * (size_t)s.w;
    return ERR_OK;
}

/* The names of classes, as many as the classifier has. */
static enum err read_names(struct import_job *job, struct model_draft *draft, struct err_info *err)
{
    AUTO_BUF struct buf text = BUF_INIT(NAMES_MAX_BYTES);
    size_t n, want;
    enum err rc = buf_read_file(&text, job->options.names, err);

    if (!rc)
        rc = model_classes_from_text(&job->classes, &n, (const char *)text.data, text.len, err);
    if (rc) return err_prefix(err, "%s", job->options.names);
    if ((rc = output_size(&want, draft, "fc8", err))) return rc;
    if (n != want)
        return err_set(err, ERR_INVALID, "%s has %zu names, the network has %zu classes",
                       job->options.names, n, want);
    draft->classes = job->classes;
    return ERR_OK;
}

static enum err apply_preset(struct import_job *job, struct model_draft *draft,
                             struct err_info *err)
{
    struct model_input *in = &draft->input;
    size_t dim;
    enum err rc;

    if (draft->role != MODEL_EMBEDDER)
        return err_set(err, ERR_INVALID, "a preset is for embedders, this is a %s",
                       model_role_name(draft->role));
    if ((rc = model_preset(in, job->options.preset, err))) return rc;
    const char *output = in->output[0] ? in->output : "embedding";
    if ((rc = output_size(&dim, draft, output, err))) return rc;
    if (!dim)
        return err_set(err, ERR_INVALID, "preset '%.40s': the network has no output %s",
                       job->options.preset, output);
    in->dim = (int)dim;
    return ERR_OK;
}

/* The file's name without its folder and ending, in the letters that a model's name may have. */
static void name_of_file(char out[64], const char *file)
{
    static const char LETTERS[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    base += strspn(base, ".-");
    const char *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    if (n > 63) n = 63;
    for (size_t i = 0; i < n; i++) out[i] = strchr(LETTERS, base[i]) ? base[i] : '-';
    out[n] = 0;
    if (!n) strcpy(out, "model");
}

/* A model that nobody gave a name does not take the place of another one. */
static enum err check_free(const struct import_job *job, struct err_info *err)
{
    struct model *there = NULL;
    if (!job->models_dir || model_open(&there, job->models_dir, job->name, NULL)) return ERR_OK;
    const bool same = strcmp(there->source_sha256, job->sha256) == 0;
    model_close(there);
    return same ? ERR_OK
                : err_set(err, ERR_CONFLICT,
                          "a model %.64s is here already, made from another file: give this one a "
                          "name with --name",
                          job->name);
}

static enum err settle_name(struct import_job *job, const char *known_as, struct err_info *err)
{
    const char *name = job->options.name;
    if (name && strlen(name) >= sizeof job->name)
        return err_set(err, ERR_INVALID, "a name of %zu bytes, the limit is %zu", strlen(name),
                       sizeof job->name - 1);
    if (name || known_as) {
        snprintf(job->name, sizeof job->name, "%s", name ? name : known_as);
        return ERR_OK;
    }
    name_of_file(job->name, job->file);
    return check_free(job, err);
}

/* Name, licence and provenance of what is about to be written. */
static enum err settle(struct import_job *job, struct model_draft *draft, const char *known_as,
                       struct err_info *err)
{
    char file[PATH_MAX];
    enum err rc;

    if ((rc = settle_name(job, known_as, err))) return rc;
    draft->name = job->name;
    if (draft->restricted && !job->options.accept_license && !strcmp(draft->license, "unknown"))
        return err_set(
            err, ERR_LICENSE,
            "its licence is not known, the file does not say: say --accept-license if you "
            "may use it");
    if (draft->restricted && !job->options.accept_license)
        return err_set(err, ERR_LICENSE,
                       "its licence is \"%s\": say --accept-license if you may use it so",
                       draft->license);
    if (job->options.preset && (rc = apply_preset(job, draft, err))) return rc;
    if (job->options.names && (rc = read_names(job, draft, err))) return rc;
    snprintf(file, sizeof file, "%s", job->file);
    snprintf(job->source, sizeof job->source, "%s", basename(file));
    draft->source_file = job->source;
    draft->source_sha256 = job->sha256;
    return ERR_OK;
}

/* What was written is what can be read. */
static enum err verify(const struct import_job *job, struct err_info *err)
{
    return job->models_dir ? model_verify(job->models_dir, job->name, err) : ERR_OK;
}

enum err import__finish(struct import_job *job, struct model_draft *draft, const char *known_as,
                        struct err_info *err)
{
    enum err rc;
    if (draft->graph && (rc = nn_graph_check(draft->graph, true, err))) return rc;
    if ((rc = settle(job, draft, known_as, err))) return rc;
    if (!job->models_dir) return ERR_OK;
    if ((rc = model_write(job->models_dir, draft, err))) return rc;
    return verify(job, err);
}

enum err import__begin(struct model_writer **w, struct import_job *job, struct model_draft *draft,
                       struct nn_graph *g, const char *known_as, struct err_info *err)
{
    enum err rc = settle(job, draft, known_as, err);
    return rc ? rc : model_writer_open(w, job->models_dir, draft, g, err);
}

enum err import__end(struct model_writer *w, struct import_job *job, struct err_info *err)
{
    enum err rc = model_writer_commit(w, err);
    return rc ? rc : verify(job, err);
}

void import__progress(const struct import_job *job, size_t done, size_t total)
{
    if (job->options.progress) job->options.progress(done, total);
}
