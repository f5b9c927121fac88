/* The part of HDF5 that Keras's weights need, read from memory: superblock 0, groups with symbol
 * tables, object headers 1, attributes that are lists of strings, contiguous float32 datasets. The
 * HDF5 Group, "HDF5 File Format Specification Version 3.0", whose sections are named in h5_file.c.
 * An object is opened by its path; nothing is listed, no link is followed, no other file is opened.
 * All else that a file may hold is refused by name.
 *
 * Not libhdf5: version 1.10.8 reads outside of its memory on damaged global heaps. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_H5_FILE_H
#define VISAVIS_ENGINE_MODEL_IMPORT_H5_FILE_H

#include "engine/base/err.h"
#include "engine/model/import/items.h"
#include "engine/model/import/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { H5_TEXTS_MAX = 1024, H5_TEXT_BYTES_MAX = 255 };

/* Borrows data. Addresses count from its first byte. */
struct h5_file {
    const uint8_t *data;
    size_t len;    /* as the superblock says */
    uint64_t root; /* object header of the root group */
};

/* Bytes of the file, without a closing 0. */
struct h5_text {
    const char *s;
    size_t len; /* H5_TEXT_BYTES_MAX at most */
};

struct h5_texts {
    struct h5_text *items; /* in the arena */
    size_t n;
};

/* Text for a message: cut to H5_TEXT_BYTES_MAX, what is not printable ASCII becomes '?'. */
void h5_printable(char out[H5_TEXT_BYTES_MAX + 1], struct h5_text t);

/* ERR_MODEL: no HDF5, cut short, another version. */
NODISCARD enum err h5_open(struct h5_file *out, const uint8_t *data, size_t len,
                           struct err_info *err);

/* The object header of what `path` ("a/b") names from a group on; 0 (where no object can be): there
 * is nothing of that name. ERR_MODEL: damaged, or a kind of group that is not read. */
NODISCARD enum err h5_find(uint64_t *out, const struct h5_file *f, uint64_t group,
                           struct h5_text path, struct err_info *err);

/* An attribute that is a list of strings, of fixed or variable length. *found: the object has an
 * attribute of that name. An empty list may be of any type. */
NODISCARD enum err h5_texts(struct h5_texts *out, bool *found, const struct h5_file *f,
                            uint64_t object, const char *attribute, struct arena *a,
                            struct err_info *err);

/* A dataset as a view of the file. ERR_MODEL by `name`, with what was found, unless it is
 * contiguous, unfiltered, little-endian float32. */
NODISCARD enum err h5_dataset(struct view *out, const struct h5_file *f, uint64_t object,
                              const char *name, struct err_info *err);

#endif
