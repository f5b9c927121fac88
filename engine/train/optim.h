/* Steps of gradient descent on one array of parameters, and how long they are. */
#ifndef VISAVIS_ENGINE_TRAIN_OPTIM_H
#define VISAVIS_ENGINE_TRAIN_OPTIM_H

#include <stdbool.h>
#include <stddef.h>

struct train_optim {
    bool adam;           /* Kingma and Ba 2015; else SGD with momentum */
    double rate, decay;  /* decay: decoupled from the gradient (Loshchilov and Hutter 2019) */
    double beta1, beta2; /* adam; momentum is beta1 */
};

/* Parameters first..first+n-1 of p, by gradient g; m, v [as p]: their moments (v: adam's). decays
 * [as p]: which of them decay. step counts from 0. */
void train_optim_step(const struct train_optim *o, float *p, float *m, float *v, const float *g,
                      const bool *decays, long step, size_t first, size_t n);

/* rate, raised from 0 over the first `warm` steps, then lowered along a half cosine to 0 at `steps`
 * (Loshchilov and Hutter 2017). */
double train_schedule(double rate, long step, long warm, long steps);

#endif
