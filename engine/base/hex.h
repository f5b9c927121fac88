/* Bytes as hexadecimal digits: digests, keys. */
#ifndef VISAVIS_ENGINE_BASE_HEX_H
#define VISAVIS_ENGINE_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* out: 2 n digits, lower case, and a closing 0. */
void hex_text(char *out, const uint8_t *bytes, size_t n);

#endif
