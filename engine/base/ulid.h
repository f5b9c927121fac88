/* ULID: 48 bits of milliseconds since 1970 and 80 random bits, as 26 characters of Crockford's
 * base32; sorts by time. Source: the specification at ulid/spec. Any thread. */
#ifndef VISAVIS_ENGINE_BASE_ULID_H
#define VISAVIS_ENGINE_BASE_ULID_H

#include <stdbool.h>
#include <stdint.h>

enum { ULID_CHARS = 26, ULID_RANDOM_BYTES = 10 };

struct ulid {
    char s[ULID_CHARS + 1];
};

/* A new one, from the clock and getrandom(2). Cannot fail. */
void ulid_make(struct ulid *out);
/* From its parts. ms < 2^48. */
void ulid_from(struct ulid *out, uint64_t ms, const uint8_t random[ULID_RANDOM_BYTES]);
/* 26 characters of the alphabet, upper case, first one 0..7. */
bool ulid_valid(const char *s);

#endif
