/* Random numbers that follow from what they are for: a seed, a step of the training and a number
 * within it. Nothing is carried from step to step, so a run that was killed goes on as if it had
 * not been, and the order of threads does not matter. Header only. */
#ifndef VISAVIS_ENGINE_TRAIN_RANDOM_H
#define VISAVIS_ENGINE_TRAIN_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct train_random {
    uint64_t state;
};

/* splitmix64 (Vigna 2015). */
static inline uint64_t train_next(struct train_random *r)
{
    uint64_t z = (r->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline struct train_random train_random_of(uint64_t seed, uint64_t step, uint64_t number)
{
    struct train_random r = {seed};
    r.state = train_next(&r) ^ step;
    r.state = train_next(&r) ^ number;
    r.state = train_next(&r);
    return r;
}

/* In [0, 1). */
static inline double train_uniform(struct train_random *r)
{
    return (double)(train_next(r) >> 11) * 0x1p-53;
}

/* In 0..n-1; n is far below 2^32, so the remainder's bias is none. */
static inline size_t train_below(struct train_random *r, size_t n)
{
    return (size_t)(train_next(r) % n);
}

/* Mean 0, variance 1 (Box and Muller 1958). */
static inline double train_normal(struct train_random *r)
{
    const double u = 1 - train_uniform(r), v = train_uniform(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

#endif
