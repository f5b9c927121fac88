/* visavis key create|list|revoke: who may use a server that listens beyond loopback. Works beside a
 * running server, which takes a change within a second. */
#include "server/cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/cli/data_dir.h"
#include "server/store/store.h"

static const char usage[] =
    "usage: visavis key create [--name NAME]     the new key is in \"secret\", shown only now\n"
    "       visavis key list\n"
    "       visavis key revoke ID\n\n"
    "  --data DIR         the server's folder (default $VISAVIS_DATA or the user's data folder)\n";

enum { OPT_NAME = 1, OPT_DATA, OPT_HELP };

static const struct option options[] = {
    {"name", required_argument, NULL, OPT_NAME},
    {"data", required_argument, NULL, OPT_DATA},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* RFC 3339 in UTC; 0 is null. */
static json_t *time_json(int64_t ms)
{
    char text[40];
    struct tm tm;
    time_t t = (time_t)(ms / 1000);

    if (!ms) return json_null();
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static void print_key(const struct store_key *k, const char *secret)
{
    json_t *o = json_pack("{s:s, s:s, s:o, s:o}", "id", k->id.s, "name", k->name, "created",
                          time_json(k->created_ms), "revoked", time_json(k->revoked_ms));
    if (o && secret) json_object_set_new(o, "secret", json_string(secret));
    cli_print(o);
}

static enum err create(struct store *s, const char *name, struct err_info *err)
{
    struct store_key k;
    char secret[KEY_SECRET_MAX_BYTES];
    enum err rc = store_key_create(&k, secret, s, name, err);
    if (!rc) print_key(&k, secret);
    return rc;
}

static enum err list(struct store *s, struct err_info *err)
{
    struct store_key *keys = NULL;
    size_t n = 0;
    enum err rc = store_key_list(&keys, &n, s, err);
    for (size_t i = 0; !rc && i < n; i++) print_key(&keys[i], NULL);
    free(keys);
    return rc;
}

static enum err revoke(struct store *s, const char *id, struct err_info *err)
{
    struct store_key k;
    enum err rc = store_key_revoke(&k, s, id, err);
    if (!rc) print_key(&k, NULL);
    return rc;
}

int cli_key(int argc, char **argv)
{
    const char *data = NULL, *name = NULL;
    char data_dir[DATA_DIR_BYTES];
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == OPT_NAME)
            name = optarg;
        else if (opt == OPT_DATA)
            data = optarg;
        else if (opt == OPT_HELP) {
            fputs(usage, stdout);
            return CLI_OK;
        } else
            return CLI_ERROR;
    }
    const char *what = optind < argc ? argv[optind] : "";
    bool is_create = !strcmp(what, "create"), is_list = !strcmp(what, "list"),
         is_revoke = !strcmp(what, "revoke");
    if ((!is_create && !is_list && !is_revoke) || argc - optind != (is_revoke ? 2 : 1) ||
        (name && !is_create)) {
        fputs(usage, stderr);
        return CLI_ERROR;
    }
    enum err rc = store_open(&s, cli_data_dir(data_dir, data), &err);
    if (!rc)
        rc = is_create ? create(s, name ? name : "", &err)
             : is_list ? list(s, &err)
                       : revoke(s, argv[optind + 1], &err);
    store_close(s);
    return rc ? cli_fail_err(&err) : CLI_OK;
}
