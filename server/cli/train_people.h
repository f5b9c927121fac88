/* Inside `visavis train projection`: people with their vectors, and which of them are held out. */
#ifndef VISAVIS_SERVER_CLI_TRAIN_PEOPLE_H
#define VISAVIS_SERVER_CLI_TRAIN_PEOPLE_H

#include "engine/base/err.h"
#include "engine/engine.h"
#include "server/cli/eval.h"

struct train_people {
    float *x; /* [n][dim], unit rows */
    uint32_t *person;
    size_t n, people;
    int dim;
};
void train_people_release(struct train_people *p);

/* Training people, and those that are held out: people, not pictures, by a hash of their name or
 * id, so that a person stays on its side when others come or go. */
struct train_halves {
    struct train_people train, held;
    size_t lost; /* pictures without a face */
};
void train_halves_release(struct train_halves *h);
/* Whether the person is held out: `share` of all names are. */
bool train_people_held(const char *name, double share);

/* The examples of a collection, by identity; those of nobody are left out. It must be of this
 * recipe: ERR_CONFLICT; ERR_NOT_FOUND. */
NODISCARD enum err train_people_of_collection(struct train_halves *out, const char *data_dir,
                                              const char *collection, const char *recipe,
                                              double held_out, struct err_info *err);
/* A folder a person, as eval --all-pairs reads it. */
NODISCARD enum err train_people_of_folder(struct train_halves *out, const char *dir,
                                          struct engine *e, int workers, double held_out,
                                          struct err_info *err);

#endif
