#include "server/api/keyring.h"

#include "engine/base/clock.h"

#include <stdlib.h>
#include <string.h>

struct bucket {
    double tokens, filled_s;
};
static const double MINUTE_S = 60;

void keyring_init(struct keyring *k)
{
    memset(k, 0, sizeof *k);
    pthread_mutex_init(&k->lock, NULL);
}

void keyring_release(struct keyring *k)
{
    free(k->keys);
    free(k->buckets);
    pthread_mutex_destroy(&k->lock);
    memset(k, 0, sizeof *k);
}

enum err keyring_set(struct keyring *k, struct store_key *keys, size_t n, struct err_info *err)
{
    struct bucket *buckets = calloc(n + 1, sizeof *buckets);
    if (!buckets) return err_set(err, ERR_NOMEM, "no memory for %zu keys", n);
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0, old = 0; i < n; i++) {
        while (old < k->n && strcmp(k->keys[old].id.s, keys[i].id.s) < 0) old++;
        if (old < k->n && !strcmp(k->keys[old].id.s, keys[i].id.s))
            buckets[i] = k->buckets[old];
        else
            buckets[i].tokens = keys[i].rate; /* filled_s 0: topped up, and capped, at first use */
    }
    free(k->keys);
    free(k->buckets);
    k->keys = keys;
    k->buckets = buckets;
    k->n = n;
    pthread_mutex_unlock(&k->lock);
    return ERR_OK;
}

size_t keyring_valid(struct keyring *k, int64_t now_ms)
{
    size_t n = 0;
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->n; i++) n += key_valid(&k->keys[i], now_ms);
    pthread_mutex_unlock(&k->lock);
    return n;
}

struct keyring_time keyring_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (struct keyring_time){(int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000, clock_seconds()};
}

/* Takes a token; else how long until there is one, in seconds. */
static double take(struct bucket *b, int rate, double now_s)
{
    const double per_s = rate / MINUTE_S;
    b->tokens += (now_s - b->filled_s) * per_s;
    if (b->tokens > rate) b->tokens = rate;
    b->filled_s = now_s;
    if (b->tokens < 1) return (1 - b->tokens) / per_s;
    b->tokens -= 1;
    return 0;
}

enum err keyring_use(struct store_key *out, double *wait_s, struct keyring *k, const char *secret,
                     struct keyring_time t, struct err_info *err)
{
    enum err rc = ERR_OK;

    pthread_mutex_lock(&k->lock);
    size_t i = key_find(k->keys, k->n, secret);
    if (i == k->n || !key_valid(&k->keys[i], t.now_ms)) {
        rc = err_set(err, ERR_UNAUTHORIZED, "the key is not valid");
    } else {
        *out = k->keys[i];
        *wait_s = out->rate ? take(&k->buckets[i], out->rate, t.steady_s) : 0;
        if (*wait_s > 0)
            rc = err_set(err, ERR_RATE,
                         "this key may send %d requests a minute; try again in %.1f s", out->rate,
                         *wait_s);
    }
    pthread_mutex_unlock(&k->lock);
    return rc;
}
