/* The keys as the server has them in memory: MHD threads look a key up before a body is read, and
 * must not wait for the disk. Beside each key its token bucket: a key of `rate` requests a minute
 * may send so many at once and gets one back every 60 / rate seconds. Any thread. */
#ifndef VISAVIS_SERVER_API_KEYRING_H
#define VISAVIS_SERVER_API_KEYRING_H

#include "server/store/keys.h"

#include <pthread.h>

struct bucket;
struct keyring {
    pthread_mutex_t lock; /* of the rest */
    struct store_key *keys;
    struct bucket *buckets; /* one a key */
    size_t n;
};

void keyring_init(struct keyring *k);
void keyring_release(struct keyring *k);
/* These keys from now on (taken on ERR_OK, free()); buckets of keys that stay are kept. Ascending
 * by id, as store_key_list gives them. */
NODISCARD enum err keyring_set(struct keyring *k, struct store_key *keys, size_t n,
                               struct err_info *err);
size_t keyring_valid(struct keyring *k, int64_t now_ms);

struct keyring_time {
    int64_t now_ms;  /* since 1970: keys expire by it */
    double steady_s; /* of a clock that never jumps: buckets fill by it */
};
struct keyring_time keyring_now(void);
/* The valid key with this secret, and one token of its bucket. ERR_UNAUTHORIZED: there is none;
 * ERR_RATE: it has no token, *wait_s says for how long. */
NODISCARD enum err keyring_use(struct store_key *out, double *wait_s, struct keyring *k,
                               const char *secret, struct keyring_time t, struct err_info *err);

#endif
