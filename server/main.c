/* visavis: one program, its subcommands. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/cli/cli.h"

#ifndef VISAVIS_VERSION
#define VISAVIS_VERSION "unknown"
#endif

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"detect", cli_detect, "faces of pictures: boxes, points, quality"},
    {"embed", cli_embed, "the same with embeddings"},
    {"classify", cli_classify, "whom a model's own classifier takes a face for"},
    {"verify", cli_verify, "do two pictures show one person? exit 0 yes, 1 no"},
    {"collection", cli_collection, "galleries of people: create, list, show, erase"},
    {"enrol", cli_enrol, "photographs of a person into a collection"},
    {"identify", cli_identify, "who of a collection is on these pictures?"},
    {"cluster", cli_cluster, "which of the faces on these pictures belong together?"},
    {"eval", cli_eval, "measure accuracy and error rates on labelled pictures"},
    {"recognise", cli_recognise, "which handwritten characters pictures show"},
    {"train", cli_train,
     "train the embedder of handwritten characters, or a projection of another's vectors"},
    {"serve", cli_serve, "the HTTP server"},
    {"model", cli_model, "the models: fetch, import, list, show, bench"},
    {"key", cli_key, "keys for clients beyond loopback: create, list, revoke"},
    {"audit", cli_audit, "the log of changes: verify, list"},
    {"db", cli_db, "the database: backup, restore, check, export, import"},
};

static void help(FILE *to)
{
    fputs("usage: visavis COMMAND [OPTIONS]\n\n", to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
    fputs("\nvisavis COMMAND --help tells about one of them; visavis --version which build this "
          "is.\n",
          to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return CLI_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("visavis %s\n", VISAVIS_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    cli_fail("\"%s\" is no command", argv[1]);
    help(stderr);
    return CLI_ERROR;
}
