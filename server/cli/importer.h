/* visavis-import, the program beside this one that reads foreign weight files, run under limits. */
#ifndef VISAVIS_SERVER_CLI_IMPORTER_H
#define VISAVIS_SERVER_CLI_IMPORTER_H

#include "engine/base/err.h"

#include <stdbool.h>

#include <jansson.h>

struct importer_options {
    const char *file, *models_dir;
    const char *name;           /* NULL: what the file is known as */
    const char *sha256;         /* expected; NULL: any */
    const char *preset, *names; /* NULL: none */
    bool accept_license;
};

/* *out: what it printed, {"name","role",...}; the caller's reference. Its refusals come as they are
 * (ERR_MODEL, ERR_LICENSE,
 * ..); ERR_NOT_FOUND: the program is not beside ours; ERR_MODEL too when it died at a limit. */
NODISCARD enum err importer_run(json_t **out, const struct importer_options *o,
                                struct err_info *err);

#endif
