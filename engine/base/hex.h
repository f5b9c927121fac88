/* Bytes as hexadecimal digits: digests, keys. */
#ifndef VISAVIS_ENGINE_BASE_HEX_H
#define VISAVIS_ENGINE_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* out: 2 n digits, lower case, and a closing 0. */
void hex_text(char *out, const uint8_t *bytes, size_t n);
/* SHA-256 of n bytes. */
void hex_sha256(char out[65], const uint8_t *bytes, size_t n);

#endif
