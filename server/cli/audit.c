/* visavis audit verify|list: the log of what was changed, by whom. Works beside a running server.
 */
#include "server/cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/hex.h"
#include "server/api/access_json.h"
#include "server/cli/data_dir.h"

static const char usage[] =
    "usage: visavis audit verify [--head HEX]   is the log what was written? exit 0 yes, 1 no\n"
    "       visavis audit list                  every entry, oldest first\n\n"
    "  --head HEX         a hash that an earlier verify printed: it must still be in the log\n"
    "  --data DIR         the server's folder (default $VISAVIS_DATA or the user's data folder)\n";

enum { OPT_HEAD = 1, OPT_DATA, OPT_HELP };

static const struct option options[] = {
    {"head", required_argument, NULL, OPT_HEAD},
    {"data", required_argument, NULL, OPT_DATA},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct verified {
    struct store_audit_chain chain;
    const char *head; /* to be found; NULL: none */
    bool seen;
};

static enum err look_for(void *self, const struct store_audit *a, struct err_info *err)
{
    struct verified *v = self;
    char text[2 * AUDIT_HASH_BYTES + 1];
    (void)err;
    hex_text(text, a->hash, sizeof a->hash);
    if (!strcmp(text, v->head)) v->seen = true;
    return ERR_OK;
}

static enum err verify(struct store_tx *tx, void *self, struct err_info *err)
{
    struct verified *v = self;
    enum err rc = store_audit_verify(&v->chain, tx, err);
    if (rc || !v->head) return rc;
    return store_audit_list(tx, 0, false, -1, look_for, v, err);
}

static enum err print(void *self, const struct store_audit *a, struct err_info *err)
{
    (void)self, (void)err;
    cli_print(audit_json(a));
    return ERR_OK;
}

static enum err list(struct store_tx *tx, void *self, struct err_info *err)
{
    (void)self;
    return store_audit_list(tx, 0, false, -1, print, NULL, err);
}

static int print_verified(const struct verified *v)
{
    const bool lost = v->head && !v->seen;
    const char *why = v->chain.broken_at ? v->chain.why
                      : lost             ? "the head that was noted is not in the log"
                                         : NULL;

    cli_print(
        json_pack("{s:b, s:I, s:o, s:o, s:s?}", "ok", !why, "entries", (json_int_t)v->chain.entries,
                  "head", hex_json(v->chain.head, AUDIT_HASH_BYTES), "broken_at",
                  v->chain.broken_at ? json_integer(v->chain.broken_at) : json_null(), "why", why));
    return why ? CLI_NO_MATCH : CLI_OK;
}

int cli_audit(int argc, char **argv)
{
    const char *data = NULL;
    char data_dir[DATA_DIR_BYTES];
    struct verified v = {0};
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == OPT_HEAD)
            v.head = optarg;
        else if (opt == OPT_DATA)
            data = optarg;
        else if (opt == OPT_HELP) {
            fputs(usage, stdout);
            return CLI_OK;
        } else
            return CLI_ERROR;
    }
    const char *what = optind < argc ? argv[optind] : "";
    const bool is_verify = !strcmp(what, "verify");
    if ((!is_verify && strcmp(what, "list") != 0) || argc - optind != 1 || (v.head && !is_verify)) {
        fputs(usage, stderr);
        return CLI_ERROR;
    }
    enum err rc = store_open(&s, cli_data_dir(data_dir, data), &err);
    if (!rc) rc = store_read(s, is_verify ? verify : list, &v, &err);
    store_close(s);
    if (rc) return cli_fail_err(&err);
    return is_verify ? print_verified(&v) : CLI_OK;
}
