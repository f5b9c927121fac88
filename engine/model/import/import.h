/* Importers: foreign weight files -> our model file. Only the program visavis-import links this
 * folder; it runs under resource limits, started by `visavis model import` and `model fetch`. A
 * file is recognised by its content, never by its name. Nothing in a file is ever executed (pickles
 * go through an allow-list). */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_IMPORT_H
#define VISAVIS_ENGINE_MODEL_IMPORT_IMPORT_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct import_options {
    const char *name;    /* of the model; NULL: what the file is known as */
    bool accept_license; /* needed for models whose licence is restricted */
    const char *preset;  /* how its input is made (model_preset); NULL: as the importer knows it */
    const char *names;   /* file of the names of its classes, one a line; NULL: none */
    const char *sha256;  /* expected, hex; NULL: not checked */
    void (*progress)(size_t done, size_t total); /* weights written, of all; NULL: nobody asks */
};

/* Imports file into models_dir. name_out: the name it got. ERR_MODEL: what is wrong, by layer,
 * expected and found. ERR_LICENSE. */
NODISCARD enum err import_file(char name_out[64], const char *file, const char *models_dir,
                               const struct import_options *o, struct err_info *err);

/* One importer a file; data is the whole file, mapped. Same results and errors as import_file. Also
 * the fuzz targets' entry. */
struct import_job {
    const uint8_t *data;
    size_t len;
    bool mapped;      /* data is a file's mapping: pages that were read may be dropped */
    const char *file; /* for messages and provenance */
    char sha256[65];
    const char *models_dir; /* NULL: parse and check only, write nothing (fuzzing) */
    struct import_options options;
    char source[256]; /* working space: the file's own name, and the names of classes */
    char *classes;
    char name[64]; /* out */
};
NODISCARD enum err import_pytorch(struct import_job *job, struct err_info *err);
NODISCARD enum err import_torch7(struct import_job *job, struct err_info *err);
NODISCARD enum err import_dlib(struct import_job *job, struct err_info *err);
NODISCARD enum err import_keras(struct import_job *job, struct err_info *err);
NODISCARD enum err import_matconvnet(struct import_job *job, struct err_info *err);
NODISCARD enum err import_caffe(struct import_job *job, struct err_info *err);
NODISCARD enum err import_onnx(struct import_job *job, struct err_info *err);

/* Protocol buffers have no magic: these look at the first fields. */
bool caffe_recognise(const uint8_t *data, size_t len);
bool onnx_recognise(const uint8_t *data, size_t len);

#endif
