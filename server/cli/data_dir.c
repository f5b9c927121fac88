#include "server/cli/data_dir.h"

#include <stdio.h>
#include <stdlib.h>

const char *cli_data_dir(char out[DATA_DIR_BYTES], const char *option)
{
    const char *env = getenv("VISAVIS_DATA"), *share = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");

    if (!option && env && *env) option = env;
    if (option)
        snprintf(out, DATA_DIR_BYTES, "%s", option);
    else if (share && *share)
        snprintf(out, DATA_DIR_BYTES, "%s/visavis", share);
    else
        snprintf(out, DATA_DIR_BYTES, "%s/.local/share/visavis", home ? home : "");
    return out;
}
