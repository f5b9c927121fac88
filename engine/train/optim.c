#include "engine/train/optim.h"

#include <math.h>

static const double EPSILON = 1e-8;

static void adam(const struct train_optim *o, float *p, float *m, float *v, const float *g,
                 const bool *decays, long step, size_t n)
{
    const float b1 = (float)o->beta1, b2 = (float)o->beta2, rate = (float)o->rate,
                decay = (float)(o->rate * o->decay), epsilon = (float)EPSILON,
                c1 = (float)(1 / (1 - pow(o->beta1, (double)step + 1))),
                c2 = (float)(1 / (1 - pow(o->beta2, (double)step + 1)));
    for (size_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + (1 - b1) * g[i];
        v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
        if (decays[i]) p[i] -= decay * p[i];
        p[i] -= rate * (m[i] * c1) / (sqrtf(v[i] * c2) + epsilon);
    }
}

static void momentum(const struct train_optim *o, float *p, float *m, const float *g,
                     const bool *decays, size_t n)
{
    const float b = (float)o->beta1, rate = (float)o->rate, decay = (float)(o->rate * o->decay);
    for (size_t i = 0; i < n; i++) {
        m[i] = b * m[i] + g[i];
        if (decays[i]) p[i] -= decay * p[i];
        p[i] -= rate * m[i];
    }
}

void train_optim_step(const struct train_optim *o, float *p, float *m, float *v, const float *g,
                      const bool *decays, long step, size_t first, size_t n)
{
    if (o->adam)
        adam(o, p + first, m + first, v + first, g + first, decays + first, step, n);
    else
        momentum(o, p + first, m + first, g + first, decays + first, n);
}

double train_schedule(double rate, long step, long warm, long steps)
{
    if (step < warm) return rate * (double)(step + 1) / (double)(warm + 1);
    if (step >= steps) return 0;
    return rate * (1 + cos(M_PI * (double)(step - warm) / (double)(steps - warm))) / 2;
}
