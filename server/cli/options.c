#include "server/cli/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/cli.h"

enum { OPTIONS_MAX = 40, FIRST = 256 /* beyond every letter */ };

static bool take_whole(const struct cli_option *o, const char *text)
{
    char *end;
    errno = 0;
    const long v = strtol(text, &end, 10);

    if (end == text || *end || errno || v < (long)o->least || v > (long)o->most) {
        cli_fail("--%s is \"%s\", it must be a whole number from %.0f to %.0f", o->name, text,
                 o->least, o->most);
        return false;
    }
    *o->whole = (int)v;
    return true;
}

static bool take_number(const struct cli_option *o, const char *text)
{
    char *end;
    const double v = strtod(text, &end);

    if (end == text || *end || !isfinite(v) || v < o->least || v > o->most) {
        cli_fail("--%s is \"%s\", it must be a number from %g to %g", o->name, text, o->least,
                 o->most);
        return false;
    }
    *o->number = v;
    return true;
}

static bool take(const struct cli_option *o, const char *value)
{
    if (o->whole) return take_whole(o, value);
    if (o->number) return take_number(o, value);
    if (o->take) return o->take(o->self, o->name, value);
    if (o->text)
        *o->text = value;
    else
        *o->flag = true;
    return true;
}

bool cli_options(struct cli_words *w, int argc, char **argv, const struct cli_option *table,
                 const char *help)
{
    /* Each with a value of its own: getopt takes a beginning that several share for the first of
     * them, where their values are the same, and does not call it ambiguous. */
    struct option all[OPTIONS_MAX + 2] = {{"help", no_argument, NULL, 'h'}};
    int opt;

    for (int i = 0; table[i].name; i++) {
        assert(i < OPTIONS_MAX);
        all[i + 1] = (struct option){table[i].name, table[i].flag ? no_argument : required_argument,
                                     NULL, FIRST + i};
    }
    optind = 0; /* from the beginning, whoever called getopt before */
    *w = (struct cli_words){.actions = ~0u, .code = CLI_ERROR};
    while ((opt = getopt_long(argc, argv, "h", all, NULL)) != -1) {
        if (opt == 'h') {
            fputs(help, stdout);
            w->code = CLI_OK;
        }
        if (opt < FIRST || !take(&table[opt - FIRST], optarg)) return false;
        if (table[opt - FIRST].of) w->actions &= table[opt - FIRST].of;
    }
    w->word = argv + optind;
    w->n = argc - optind;
    return true;
}

int cli_action(const struct cli_words *w, const struct cli_action *table)
{
    for (int i = 0; w->n && table[i].name; i++)
        if (strcmp(w->word[0], table[i].name) == 0)
            return w->n - 1 == table[i].words && w->actions & 1u << i ? i : -1;
    return -1;
}

int cli_usage(const char *help)
{
    fputs(help, stderr);
    return CLI_ERROR;
}
