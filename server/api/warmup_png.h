/* The picture that proves the engine at start-up. */
#ifndef VISAVIS_SERVER_API_WARMUP_PNG_H
#define VISAVIS_SERVER_API_WARMUP_PNG_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t warmup_png[];
extern const size_t warmup_png_len;

#endif
