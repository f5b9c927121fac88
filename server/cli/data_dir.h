/* The folder of the database: --data where given, else $VISAVIS_DATA, else
 * ${XDG_DATA_HOME:-~/.local/share}/visavis. */
#ifndef VISAVIS_SERVER_CLI_DATA_DIR_H
#define VISAVIS_SERVER_CLI_DATA_DIR_H

enum { DATA_DIR_BYTES = 4096 };

const char *cli_data_dir(char out[DATA_DIR_BYTES], const char *option);

#endif
