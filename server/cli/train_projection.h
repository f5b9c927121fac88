/* `visavis train projection`, all of it; argv[0] is "projection". Returns the exit code: 0 saved, 1
 * refused because it is no better on people that were held out, 2 an error. */
#ifndef VISAVIS_SERVER_CLI_TRAIN_PROJECTION_H
#define VISAVIS_SERVER_CLI_TRAIN_PROJECTION_H

int train_projection_run(int argc, char **argv);

#endif
