/* What safetensors.c shares with the rest of engine/model. */
#ifndef VISAVIS_ENGINE_MODEL_ST_INTERNAL_H
#define VISAVIS_ENGINE_MODEL_ST_INTERNAL_H

#include <jansson.h>

#include "engine/model/safetensors.h"

/* "F32"; NULL when d is none. */
const char *st_dtype_name(enum st_dtype d);
/* Bytes of one value; 0 when d is none. */
size_t st_dtype_bytes(enum st_dtype d);

/* st_open on bytes in memory, borrowed until st_close: tests and fuzzing. */
NODISCARD enum err st__open_bytes(struct safetensors **out, const uint8_t *file, size_t len,
                                  struct err_info *err);
/* Length of the mapped file; 0 for bytes in memory. */
size_t st__bytes(const struct safetensors *st);
/* The whole __metadata__ object, or NULL. Borrowed. */
const json_t *st__metadata(const struct safetensors *st);

#endif
