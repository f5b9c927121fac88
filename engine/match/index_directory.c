/* Identity -> its examples, as sorted arrays cut into shards: a change copies the shards that it
 * touches, some hundred entries each. */
#include "engine/match/index_internal.h"

#include <string.h>

enum { SHARD_ROWS = 512, BITS_MAX = 20 }; /* rows of a shard, on average, before it is cut in two */

static size_t shard_of(int bits, int64_t identity)
{
    uint64_t h = (uint64_t)identity * 0x9e3779b97f4a7c15u;
    return bits ? (size_t)(h >> (64 - bits)) : 0;
}

static void shard_drop(struct match__shard *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1) free(s);
}

static struct match__shard *shard_new(size_t n)
{
    struct match__shard *s = malloc(sizeof *s + n * sizeof s->entry[0]);
    if (!s) return NULL;
    s->n = s->identities = 0;
    atomic_init(&s->refs, 1);
    return s;
}

static void shard_add(struct match__shard *s, const struct match__entry *e)
{
    s->identities += s->n == 0 || s->entry[s->n - 1].identity != e->identity;
    s->entry[s->n++] = *e;
}

bool match__directory_copy(struct match__directory *out, const struct match__directory *dir)
{
    const size_t n = (size_t)1 << dir->bits;
    *out = *dir;
    out->shard = calloc(n, sizeof(struct match__shard *));
    if (!out->shard) return false;
    for (size_t i = 0; dir->shard && i < n; i++)
        if ((out->shard[i] = dir->shard[i])) atomic_fetch_add(&dir->shard[i]->refs, 1);
    return true;
}

void match__directory_drop(struct match__directory *dir)
{
    for (size_t i = 0; dir->shard && i < (size_t)1 << dir->bits; i++) shard_drop(dir->shard[i]);
    free(dir->shard);
}

/* Twice as many shards: shard i becomes 2 i and 2 i + 1, whose entries stay in order. */
static bool split(struct match__directory *dir)
{
    struct match__directory to = {dir->bits + 1, NULL, dir->identities};
    to.shard = calloc((size_t)1 << to.bits, sizeof(struct match__shard *));
    if (!to.shard) return false;
    for (size_t i = 0; i < (size_t)1 << dir->bits; i++) {
        const struct match__shard *s = dir->shard[i];
        if (!s) continue;
        size_t n[2] = {0};
        for (size_t j = 0; j < s->n; j++) n[shard_of(to.bits, s->entry[j].identity) & 1]++;
        for (size_t half = 0; half < 2; half++)
            if (n[half] && !(to.shard[2 * i + half] = shard_new(n[half]))) {
                match__directory_drop(&to);
                return false;
            }
        for (size_t j = 0; j < s->n; j++)
            shard_add(to.shard[shard_of(to.bits, s->entry[j].identity)], &s->entry[j]);
    }
    match__directory_drop(dir);
    *dir = to;
    return true;
}

struct keyed { /* order: in the list; of one identity and example the last edit counts */
    struct match__edit edit;
    size_t order;
};

static int by_entry(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->edit.identity != y->edit.identity) return x->edit.identity < y->edit.identity ? -1 : 1;
    if (x->edit.key != y->edit.key) return x->edit.key < y->edit.key ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* e by shard, identity and example, the last of each left. */
static bool sort(struct match__edits *e, int bits)
{
    const size_t shards = (size_t)1 << bits;
    size_t *start = calloc(shards + 1, sizeof *start);
    struct keyed *to = e->n ? malloc(e->n * sizeof *to) : NULL;
    bool ok = start && (to || e->n == 0);
    if (ok) {
        for (size_t i = 0; i < e->n; i++) start[shard_of(bits, e->list[i].identity)]++;
        for (size_t s = 0, sum = 0; s <= shards; s++) {
            size_t n = start[s];
            start[s] = sum;
            sum += n;
        }
        for (size_t i = 0; i < e->n; i++)
            to[start[shard_of(bits, e->list[i].identity)]++] = (struct keyed){e->list[i], i};
        size_t n = 0;
        for (size_t s = 0, from = 0; s < shards; from = start[s++]) {
            if (start[s] - from > 1) qsort(to + from, start[s] - from, sizeof *to, by_entry);
            for (size_t i = from; i < start[s]; i++) {
                const struct match__edit *edit = &to[i].edit;
                if (n > 0 && e->list[n - 1].identity == edit->identity &&
                    e->list[n - 1].key == edit->key) {
                    bool quiet = e->list[n - 1].quiet && edit->quiet;
                    e->list[n - 1] = *edit;
                    e->list[n - 1].quiet = quiet;
                } else {
                    e->list[n++] = *edit;
                }
            }
        }
        e->n = n;
    }
    free(start);
    free(to);
    return ok;
}

static int compare(const struct match__entry *a, const struct match__edit *b)
{
    if (a->identity != b->identity) return a->identity < b->identity ? -1 : 1;
    return a->example < b->key ? -1 : a->example > b->key;
}

/* The shard with n edits, all of it. */
static struct match__shard *merged(const struct match__shard *old, const struct match__edit *e,
                                   size_t n)
{
    const size_t n_old = old ? old->n : 0;
    struct match__shard *s = shard_new(n_old + n);
    size_t i = 0;
    for (size_t j = 0; s && j < n; j++) {
        while (i < n_old && compare(&old->entry[i], &e[j]) < 0) shard_add(s, &old->entry[i++]);
        if (i < n_old && compare(&old->entry[i], &e[j]) == 0) i++;
        struct match__entry entry = {e[j].identity, e[j].key, e[j].at};
        if (!e[j].gone && entry.identity != 0) shard_add(s, &entry);
    }
    while (s && i < n_old) shard_add(s, &old->entry[i++]);
    return s;
}

bool match__directory_follow(struct match__directory *dir, struct match__edits *e, size_t rows)
{
    while (dir->bits < BITS_MAX && rows >> dir->bits > SHARD_ROWS)
        if (!split(dir)) return false;
    if (!sort(e, dir->bits)) return false;
    for (size_t i = 0, n; i < e->n; i += n) {
        const size_t at = shard_of(dir->bits, e->list[i].identity);
        for (n = 1; i + n < e->n && shard_of(dir->bits, e->list[i + n].identity) == at; n++)
            continue;
        struct match__shard *old = dir->shard[at];
        struct match__shard *s = merged(old, e->list + i, n);
        if (!s) return false;
        dir->identities += s->identities - (old ? old->identities : 0);
        dir->shard[at] = s;
        shard_drop(old);
    }
    return true;
}

const struct match__entry *match__directory_find(const struct match__directory *dir,
                                                 int64_t identity, size_t *n)
{
    const struct match__shard *s = dir->shard[shard_of(dir->bits, identity)];
    size_t lo = 0, hi = s ? s->n : 0, end;
    *n = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->entry[mid].identity < identity)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (end = lo; s && end < s->n && s->entry[end].identity == identity; end++) continue;
    *n = end - lo;
    return *n ? &s->entry[lo] : NULL;
}
