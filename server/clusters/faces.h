/* Shared inside server/clusters only: filling struct clusters_faces. */
#ifndef VISAVIS_SERVER_CLUSTERS_FACES_H
#define VISAVIS_SERVER_CLUSTERS_FACES_H

#include "server/clusters/clusters.h"

/* Of a zeroed one. examples: each face is a row of the store. */
NODISCARD enum err clusters__faces_init(struct clusters_faces *f, int dim, bool examples,
                                        struct err_info *err);
NODISCARD enum err clusters__faces_reserve(struct clusters_faces *f, size_t n,
                                           struct err_info *err);
/* One more, of which only the vector is known. */
NODISCARD enum err clusters__faces_add(struct clusters_faces *f, const float *vector,
                                       struct err_info *err);
/* *out: a copy of text (UTF-8) that lives as long as the faces; NULL for NULL. */
NODISCARD enum err clusters__text(const char **out, struct clusters_faces *f, const char *text,
                                  struct err_info *err);
/* *out is freed, and gets a copy of text. */
NODISCARD enum err clusters__copy(char **out, const char *text, struct err_info *err);
/* The number of a key: equal keys (UTF-8) have one, from 0. numbers: a JSON object that is kept for
 * it. */
NODISCARD enum err clusters__number(uint32_t *out, json_t *numbers, const char *key,
                                    struct err_info *err);

#endif
