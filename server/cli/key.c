/* visavis key create|list|revoke: who may use a server that listens beyond loopback, and for what.
 * Works beside a running server, which takes a change within a second. */
#include "server/cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/access_json.h"
#include "server/api/time_json.h"
#include "server/cli/data_dir.h"

static const char usage[] =
    "usage: visavis key create [OPTIONS]     the new key is in \"secret\", shown only now\n"
    "       visavis key list\n"
    "       visavis key revoke ID\n\n"
    "  --name NAME        for people\n"
    "  --right RIGHT      read, write or admin; each includes the ones before (default admin)\n"
    "  --collection C     for one collection alone, by its id or name (default: every one)\n"
    "  --expires TIME     2026-12-31, 2026-12-31T23:59:59Z, or from now 90d, 12h, ... (default\n"
    "                     never)\n"
    "  --rate N           requests a minute (default 0: as many as it likes)\n"
    "  --data DIR         the server's folder (default $VISAVIS_DATA or the user's data folder)\n";

enum { OPT_NAME = 1, OPT_RIGHT, OPT_COLLECTION, OPT_EXPIRES, OPT_RATE, OPT_DATA, OPT_HELP };

static const struct option options[] = {
    {"name", required_argument, NULL, OPT_NAME},
    {"right", required_argument, NULL, OPT_RIGHT},
    {"collection", required_argument, NULL, OPT_COLLECTION},
    {"expires", required_argument, NULL, OPT_EXPIRES},
    {"rate", required_argument, NULL, OPT_RATE},
    {"data", required_argument, NULL, OPT_DATA},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* What a job is given and gives back. */
struct job {
    struct store_key_wish wish;
    const char *expires; /* as it was given; NULL: never */
    bool wished;         /* some option of create was given */
    const char *id;      /* of the key to revoke */
    struct store_key key, *list;
    size_t n;
    char secret[KEY_SECRET_MAX_BYTES];
};

static enum err note(struct store_tx *tx, const char *action, const struct store_key *k,
                     struct err_info *err)
{
    const struct store_audit entry = {.who = AUDIT_LOCAL,
                                      .action = action,
                                      .collection = k->collection,
                                      .target = k->id.s,
                                      .request = ""};
    return store_audit_add(tx, &entry, err);
}

static enum err create(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    enum err rc = ERR_OK;

    if (j->expires)
        rc = time_parse(&j->wish.expires_ms, "--expires", j->expires, store_now_ms(tx), err);
    if (!rc) rc = store_key_add(&j->key, j->secret, tx, &j->wish, err);
    return rc ? rc : note(tx, "key.create", &j->key, err);
}

static enum err list(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    return store_key_list(&j->list, &j->n, tx, err);
}

static enum err revoke(struct store_tx *tx, void *self, struct err_info *err)
{
    struct job *j = self;
    enum err rc = store_key_revoke(&j->key, tx, j->id, err);
    return rc ? rc : note(tx, "key.revoke", &j->key, err);
}

/* false: a message was printed. */
static bool set_option(struct job *j, const char **data, int opt, const char *value)
{
    if (opt != OPT_DATA) j->wished = true;
    switch (opt) {
    case OPT_NAME:
        j->wish.name = value;
        return true;
    case OPT_RIGHT:
        if (key_right_parse(&j->wish.right, value)) return true;
        cli_fail("--right is \"%s\"; it takes read, write or admin", value);
        return false;
    case OPT_COLLECTION:
        j->wish.collection = value;
        if (*value) return true;
        cli_fail("--collection is empty");
        return false;
    case OPT_EXPIRES:
        j->expires = value;
        return true;
    case OPT_RATE:
        return cli_int(&j->wish.rate, "--rate", value, 0, KEY_RATE_MAX);
    case OPT_DATA:
        *data = value;
        return true;
    default:
        return false;
    }
}

static enum err run(struct store *s, struct job *j, const char *what, struct err_info *err)
{
    enum err rc;

    if (!strcmp(what, "list")) {
        rc = store_read(s, list, j, err);
        for (size_t i = 0; !rc && i < j->n; i++) cli_print(key_json(&j->list[i], NULL));
        free(j->list);
        return rc;
    }
    const bool make = !strcmp(what, "create");
    rc = store_write(s, make ? create : revoke, j, err);
    if (!rc) cli_print(key_json(&j->key, make ? j->secret : NULL));
    return rc;
}

int cli_key(int argc, char **argv)
{
    struct job j = {.wish = {.name = "", .collection = "", .right = KEY_ADMIN}};
    const char *data = NULL;
    char data_dir[DATA_DIR_BYTES];
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == OPT_HELP) {
            fputs(usage, stdout);
            return CLI_OK;
        }
        if (!set_option(&j, &data, opt, optarg)) return CLI_ERROR;
    }
    const char *what = optind < argc ? argv[optind] : "";
    const bool is_create = !strcmp(what, "create"), is_revoke = !strcmp(what, "revoke"),
               is_list = !strcmp(what, "list");
    if ((!is_create && !is_list && !is_revoke) || argc - optind != (is_revoke ? 2 : 1) ||
        (j.wished && !is_create)) {
        fputs(usage, stderr);
        return CLI_ERROR;
    }
    j.id = is_revoke ? argv[optind + 1] : NULL;
    enum err rc = store_open(&s, cli_data_dir(data_dir, data), &err);
    if (!rc) rc = run(s, &j, what, &err);
    store_close(s);
    return rc ? cli_fail_err(&err) : CLI_OK;
}
