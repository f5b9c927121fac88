/* The parts of the exact search index (match.h).
 *
 * What readers see is a view: two sets of rows (examples; centroids, one for each identity) and a
 * directory (identity -> its examples). All of it is counted and shared between views; a change
 * copies what it touches, builds the next view beside the current one and swaps a pointer. So a
 * reader never waits, and a change that fails half-way is dropped.
 *
 * Rows live in chunks of some hundred rows. A chunk of a published view is never altered, but for
 * slots past the rows that any view has: there the next rows go. A removed or replaced row is one
 * that the next view's copy of the chunk does not have; the old chunk is overwritten with zeros
 * when its last view goes. */
#ifndef VISAVIS_ENGINE_MATCH_INDEX_INTERNAL_H
#define VISAVIS_ENGINE_MATCH_INDEX_INTERNAL_H

#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/match/index_simd.h"

#include <pthread.h>
#include <stdatomic.h>

#define MATCH__NONE INT64_MIN /* the key of a slot without a row */

/* --- index_rows.c: chunks --- */

struct match__centre { /* mu of index_simd.h */
    atomic_uint refs;
    float v[];
};

struct match__chunk {
    atomic_uint refs;
    int d, steps;    /* steps of four bytes */
    int capacity;    /* slots, a multiple of MATCH__TILE */
    int filled;      /* slots ever written; the writer's */
    uint64_t change; /* the change that made it; the writer's */
    size_t bytes;    /* of the memory that data points to */
    struct match__centre *centre;
    float *vectors; /* [capacity][d]: the start of the one piece of memory */
    uint8_t *codes; /* as in struct match__tile */
    float *scale, *offset, *residual;
};

/* centre: one more reference is taken. NULL: no memory. */
struct match__chunk *match__chunk_new(int d, int capacity, struct match__centre *centre);
/* Another with the same rows, and room for as many. */
struct match__chunk *match__chunk_copy(const struct match__chunk *c, int used);
/* Overwrites it when it was the last reference. NULL allowed, as below. */
void match__chunk_drop(struct match__chunk *c);
/* Returns |u^| rounded up. */
float match__chunk_write(struct match__chunk *c, int slot, const float *vector);
void match__chunk_erase(struct match__chunk *c, int slot);
void match__centre_drop(struct match__centre *c);

static inline const float *match__vector(const struct match__chunk *c, int slot)
{
    return c->vectors + (size_t)slot * (size_t)c->d;
}

/* --- index_set.c: blocks and sets of them --- */

struct match__place {
    uint32_t block, slot;
};

struct match__block { /* a chunk, and whose its rows are */
    atomic_uint refs;
    struct match__chunk *chunk;
    int used, live;  /* slots; those with a row */
    uint64_t change; /* as in the chunk */
    float code_max;  /* at least the greatest |u^| */
    int64_t *key;    /* [capacity]: example, or identity in the set of centroids; MATCH__NONE */
    int64_t *identity;
};

struct match__set {
    struct match__block **block; /* [n]; NULL where there is none any more */
    int n, room;
    int tail; /* the block that takes new rows; -1: none */
    int rows; /* slots of a full block */
    size_t live;
};

/* What a change did to one row, in order: what the tables of places and the directory follow. */
struct match__edit {
    int64_t identity, key;
    struct match__place at;
    bool gone;  /* not this identity's any more; otherwise it is at `at` */
    bool quiet; /* it only moved in memory */
};
struct match__edits {
    struct match__edit *list;
    size_t n, room;
};
bool match__edits_add(struct match__edits *e, const struct match__edit *edit);

/* Of a set in a view that is not published yet; false: no memory, and the view must be dropped. */
struct match__change {
    uint64_t number;
    int d;
    struct match__centre *centre; /* for new chunks */
};
bool match__set_copy(struct match__set *out, const struct match__set *s);
void match__set_drop(struct match__set *s);
bool match__set_append(struct match__set *s, const struct match__change *c, struct match__edits *e,
                       int64_t key, int64_t identity, const float *vector);
bool match__set_replace(struct match__set *s, const struct match__change *c, struct match__edits *e,
                        struct match__place at, int64_t identity, const float *vector);
bool match__set_move(struct match__set *s, const struct match__change *c, struct match__edits *e,
                     struct match__place at, int64_t identity);
bool match__set_remove(struct match__set *s, const struct match__change *c, struct match__edits *e,
                       struct match__place at);
/* Blocks that this change left less than half full give their rows to the tail and go. */
bool match__set_compact(struct match__set *s, const struct match__change *c,
                        struct match__edits *e);

/* --- index_places.c: where a key's row is; the writer's own --- */

struct match__places {
    struct match__place_of {
        int64_t key; /* MATCH__NONE: free */
        struct match__place at;
    } * slot;
    size_t n, room; /* room: 0 or a power of two, at least 2 n */
};
bool match__places_reserve(struct match__places *p, size_t more);
/* After a reserve: cannot fail. */
void match__places_follow(struct match__places *p, const struct match__edits *e);
bool match__places_find(const struct match__places *p, int64_t key, struct match__place *at);

/* --- index_directory.c: identity -> examples --- */

struct match__entry {
    int64_t identity, example;
    struct match__place at;
};
struct match__shard { /* entries in the order of identity, then example */
    atomic_uint refs;
    size_t n, identities;
    struct match__entry entry[];
};
struct match__directory {
    int bits; /* 1 << bits shards, by a hash of the identity */
    struct match__shard **shard;
    size_t identities;
};
bool match__directory_copy(struct match__directory *out, const struct match__directory *dir);
void match__directory_drop(struct match__directory *dir);
/* Brings it up to the edits (identity 0 is left out), which it sorts: by shard, identity and
 * example, of one example's only the last left. rows: of the set, to choose the number of shards.
 */
bool match__directory_follow(struct match__directory *dir, struct match__edits *e, size_t rows);
/* NULL and 0: it has none. */
const struct match__entry *match__directory_find(const struct match__directory *dir,
                                                 int64_t identity, size_t *n);

/* --- index.c --- */

struct match__view {
    atomic_uint refs;
    struct match__set examples, centroids;
    struct match__directory directory;
};

struct match_index {
    int d;
    bool centroids;
    const struct match__simd *simd;
    pthread_mutex_t swap; /* guards view, held for a few instructions */
    struct match__view *view;
    /* The writer's: */
    uint64_t changes;
    struct match__places examples_at, centroids_at;
    struct match__centre *centre; /* of new chunks; NULL: too few rows so far */
    size_t centre_of;             /* how many rows there were when it was made */
};

/* The current view; match__view_drop gives it back. */
struct match__view *match__view_take(struct match_index *x);
void match__view_drop(struct match__view *v);

/* (double)a[i] * b[i] summed in the order of i. */
double match__dot(const float *a, const float *b, int d);
/* Finite and of unit length within 1 %. */
bool match__unit(const float *v, int d);
static inline const float *match__row(const struct match__set *s, struct match__place at)
{
    return match__vector(s->block[at.block]->chunk, (int)at.slot);
}

/* --- index_plan.c: what a list of changes comes to, for each example once --- */

struct match__step {
    int64_t example;
    bool there;             /* before */
    struct match__place at; /* where */
    bool stays;             /* after */
    int64_t identity;       /* after */
    const float *vector;    /* new; NULL: the one it has */
};
NODISCARD enum err match__plan(struct match__step **out, size_t *n, const struct match_index *x,
                               const struct match_change *changes, size_t n_changes,
                               struct err_info *err);

/* --- index_top.c: the best of what has been offered --- */

struct match__found {
    int64_t key; /* identity, or example */
    double score;
    int64_t
        other; /* an identity's best example (its centroid: the identity); an example's identity */
    double other_score; /* that example's */
};
struct match__top {
    int k, n;
    int worst; /* of n == k */
    struct match__found found[MATCH_TOP_MAX];
    uint8_t slot[256]; /* found's number + 1, by a hash of its key; 0: free */
};
void match__top_start(struct match__top *t, int k);
struct match__found *match__top_find(struct match__top *t, int64_t key);
/* Kept if it is among the best k; of one key the better offer. */
void match__top_offer(struct match__top *t, const struct match__found *f);
/* Best first; no more offers after it. */
void match__top_sort(struct match__top *t);
/* What an offer must reach to be kept; -infinity until there are k. */
double match__top_cut(const struct match__top *t);

/* --- index_scan.c: passes over a set --- */

enum match__want {
    MATCH__EXAMPLES,   /* rows by their keys */
    MATCH__IDENTITIES, /* rows by their identities, which must not be 0 */
    MATCH__MEANS,      /* as IDENTITIES, scored by the mean of the m best */
};
struct match__pass {
    const struct match__view *view;
    const struct match__set *set;
    enum match__want want;
    const float *vectors; /* [n][d] */
    int n, d, top, m;
    const int64_t *allowed;
    size_t n_allowed;
    const struct match__simd *simd;
};
/* found [n]: sorted. */
NODISCARD enum err match__pass_run(const struct match__pass *p, struct match__top *found,
                                   struct match_cost *cost, const struct cores *cores,
                                   struct err_info *err);

#endif
