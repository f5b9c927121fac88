/* What the importers share. */
#ifndef VISAVIS_ENGINE_MODEL_IMPORT_IMPORT_INTERNAL_H
#define VISAVIS_ENGINE_MODEL_IMPORT_IMPORT_INTERNAL_H

#include "engine/model/import/import.h"
#include "engine/model/model.h"

/* Ends an import: settles the name (the job's, or what the file is
 * known as, or where known_as is NULL its own), the licence and the
 * provenance, checks the draft and writes it (unless the job has no folder). draft: role, input,
 * graph, tensors, license, restricted are the importer's; the rest is filled here. */
NODISCARD enum err import__finish(struct import_job *job, struct model_draft *draft,
                                  const char *known_as, struct err_info *err);

/* The same for weights that are filled in place (engine/model/model.h): begin settles the name, the
 * licence and the provenance before any weight is read; the caller fills g; end checks and names
 * the file. draft and g must live until then. */
NODISCARD enum err import__begin(struct model_writer **w, struct import_job *job,
                                 struct model_draft *draft, struct nn_graph *g,
                                 const char *known_as, struct err_info *err);
NODISCARD enum err import__end(struct model_writer *w, struct import_job *job,
                               struct err_info *err);

/* Tells job->progress, where there is one. */
void import__progress(const struct import_job *job, size_t done, size_t total);

/* dlib's two kinds of .dat, the reader's position after the leading int 1. */
struct dlib_reader;
NODISCARD enum err import__dlib_resnet(struct import_job *job, struct dlib_reader *r,
                                       struct err_info *err);
NODISCARD enum err import__dlib_shape(struct import_job *job, struct dlib_reader *r,
                                      struct err_info *err);

#endif
