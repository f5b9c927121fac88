/* safetensors: our only model file format. 8 bytes little-endian header length, a JSON header, raw
 * little-endian tensors. Source: the format's own specification (huggingface/safetensors, README
 * "Format"). Reading maps the file and checks every offset before anything is believed; writing
 * streams to a temporary file beside the target and renames it. */
#ifndef VISAVIS_ENGINE_MODEL_SAFETENSORS_H
#define VISAVIS_ENGINE_MODEL_SAFETENSORS_H

#include "engine/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum st_dtype {
    ST_F32,
    ST_F64,
    ST_F16,
    ST_BF16,
    ST_I64,
    ST_I32,
    ST_I16,
    ST_I8,
    ST_U8,
    ST_BOOL,
    ST_DTYPE_COUNT
};
enum {
    ST_MAX_DIMS = 8,
    ST_HEADER_MAX_BYTES = 100 * 1000 * 1000, /* the format's own limit */
    ST_MAX_TENSORS = 100000,
};

struct st_tensor {
    const char *name; /* borrowed from the file object */
    enum st_dtype dtype;
    int ndim;
    size_t dims[ST_MAX_DIMS];
    size_t count;     /* product of dims */
    const void *data; /* into the mapping; aligned to its element size in files that we write (64
                         bytes), checked on use */
};

struct safetensors;

/* ERR_NOT_FOUND, ERR_IO, ERR_NOMEM; ERR_MODEL: cut short, header not JSON, offsets that overlap,
 * leave gaps, pass the end or do not fit shape x dtype, unknown dtype - with tensor name and
 * numbers. */
NODISCARD enum err st_open(struct safetensors **out, const char *path, struct err_info *err);
void st_close(struct safetensors *st);
size_t st_count(const struct safetensors *st);
const struct st_tensor *st_at(const struct safetensors *st, size_t i);           /* file order */
const struct st_tensor *st_find(const struct safetensors *st, const char *name); /* NULL: none */
const char *st_meta(const struct safetensors *st, const char *key);              /* NULL: none */

/* Key/value list for writing; strings are borrowed for the call. */
struct st_pair {
    const char *key, *value;
};
/* A file being made. It has its whole size from the start, so that a full disk says so at once; its
 * tensors are filled where they will lie; it gets its name at the end (fsync, rename), so that a
 * reader sees the old file or the new one, also after a crash. Tensors lie in the order given, the
 * first at a multiple of 64 bytes (the format forbids gaps: the header is padded with spaces, and
 * tensors of smaller elements come after those of larger ones). */
struct st_writer;
/* tensors: their data is ignored. path NULL: in memory, for checks that keep nothing. ERR_IO,
 * ERR_STORAGE_FULL, ERR_NOMEM, ERR_INTERNAL: a tensor that cannot be written, or not
 * at a multiple of its element size. */
NODISCARD enum err st_writer_open(struct st_writer **out, const char *path,
                                  const struct st_pair *meta, size_t n_meta,
                                  const struct st_tensor *tensors, size_t n_tensors,
                                  struct err_info *err);
/* Where tensor i lies, zero until it is filled; valid until commit or abort. */
void *st_writer_data(struct st_writer *w, size_t i);
/* Tensor i is filled: its pages need not stay in memory (they are read again when touched). */
void st_writer_settle(struct st_writer *w, size_t i);
/* The file with this metadata, whose text must be as long as that given at the start (a digest in
 * place of zeros). Frees w, also on error; then nothing is left. */
NODISCARD enum err st_writer_commit(struct st_writer *w, const struct st_pair *meta, size_t n_meta,
                                    struct err_info *err);
void st_writer_abort(struct st_writer *w);

/* A file whose tensors are at hand, written whole. */
NODISCARD enum err st_write(const char *path, const struct st_pair *meta, size_t n_meta,
                            const struct st_tensor *tensors, size_t n_tensors,
                            struct err_info *err);

#endif
