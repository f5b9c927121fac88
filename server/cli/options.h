/* The options of a subcommand are a table: the name of each and where its value goes. A subcommand
 * makes the table beside the variables that it fills and calls cli_options() once; nothing else in
 * the program calls getopt.
 *
 *     const struct cli_option options[] = {
 *         {"data", .text = &data},
 *         {"top", .whole = &top, .least = 1, .most = 100},
 *         {"force", .flag = &force},
 *         {"face", .take = cli_face, .self = &select},
 *         CLI_ENGINE_OPTIONS(&engine),
 *         {0}};
 *     struct cli_words w;
 *     if (!cli_options(&w, argc, argv, options, help)) return w.code;
 *     if (w.n != 2) return cli_usage(help);
 *
 * Every subcommand has --help and -h, which are in no table: they print the help on standard
 * output, and the exit code is 0. An option that is not there and a value that is wrong are a
 * message on standard error each, and the exit code is 2. */
#ifndef VISAVIS_SERVER_CLI_OPTIONS_H
#define VISAVIS_SERVER_CLI_OPTIONS_H

#include <stdbool.h>

/* Takes the value of an option that is more than a text or a number. option: its name, without
 * dashes. false: the value is wrong, and a message was printed. */
typedef bool cli_take(void *self, const char *option, const char *value);

/* One of flag, text, whole, number and take. What is not given stays as it was. */
struct cli_option {
    const char *name; /* without dashes; NULL ends the table */
    bool *flag;       /* becomes true; the option takes no value */
    const char **text;
    int *whole;
    double *number;
    double least, most; /* of whole and number */
    cli_take *take;
    void *self;
    unsigned of; /* the actions that take it: bits 1 << their index; 0: all of them */
};

/* What is left of a command line. */
struct cli_words {
    char **word; /* [n], where they stand in argv */
    int n;
    unsigned actions; /* bits of those that take every option that was given */
    int code;         /* where cli_options() is false: the exit code */
};

/* argv[0] is the subcommand's name, and the first word of getopt's messages. Moves the other words
 * of argv behind its options. false: the subcommand ends with w->code; what there is to say was
 * printed. Not for more than one thread. */
bool cli_options(struct cli_words *w, int argc, char **argv, const struct cli_option *table,
                 const char *help);

/* Where the first word of a subcommand is one of its actions: key create, key list, ... */
struct cli_action {
    const char *name; /* NULL ends the table */
    int words;        /* that follow it */
};
/* The index of the action that w is; -1: there is none of that name, with so many words, that takes
 * the options. */
int cli_action(const struct cli_words *w, const struct cli_action *table);

/* The help on standard error, for words that are too many or too few; returns CLI_ERROR. */
int cli_usage(const char *help);

#endif
