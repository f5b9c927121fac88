/* visavis model fetch: the default models, from the packages that publish them. */
#ifndef VISAVIS_SERVER_CLI_FETCH_H
#define VISAVIS_SERVER_CLI_FETCH_H

#include "engine/base/err.h"

#include <stdbool.h>

struct fetch_options {
    const char *models_dir;
    bool if_missing;     /* only what is not there, damaged, or made by an older version */
    bool with_68_points; /* also dlib-68point; needs accept_license */
    bool accept_license;
};

/* Returns the exit code; messages and progress on standard error, one JSON line a model on standard
 * output. */
int fetch_run(const struct fetch_options *o);

/* The folder, with every folder above it. */
NODISCARD enum err fetch_make_folder(const char *path, struct err_info *err);

#endif
