#include "engine/base/ulid.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void ulid_from(struct ulid *out, uint64_t ms, const uint8_t random[ULID_RANDOM_BYTES])
{
    assert(ms < 1ULL << 48);
    for (int i = 9; i >= 0; i--, ms >>= 5) out->s[i] = alphabet[ms & 31];
    /* 80 bits are 16 digits: each 5 bytes are 8 digits. */
    for (int half = 0; half < 2; half++) {
        uint64_t v = 0;
        for (int i = 0; i < 5; i++) v = v << 8 | random[5 * half + i];
        for (int i = 7; i >= 0; i--, v >>= 5) out->s[10 + 8 * half + i] = alphabet[v & 31];
    }
    out->s[ULID_CHARS] = 0;
}

void ulid_make(struct ulid *out)
{
    struct timespec now;
    uint8_t random[ULID_RANDOM_BYTES];

    clock_gettime(CLOCK_REALTIME, &now);
    /* Up to 256 bytes getrandom(2) is never cut short by a signal once the pool is up. */
    ssize_t n = getrandom(random, sizeof random, 0);
    assert(n == (ssize_t)sizeof random);
    (void)n;
    ulid_from(out, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, random);
}

bool ulid_valid(const char *s)
{
    if (strlen(s) != ULID_CHARS || s[0] > '7') return false;
    for (; *s; s++)
        if (!strchr(alphabet, *s)) return false;
    return true;
}
