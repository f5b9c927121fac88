/* visavis audit verify|list: the log of what was changed, by whom. Works beside a running server.
 */
#include "server/cli/cli.h"

#include <string.h>

#include "engine/base/hex.h"
#include "server/api/access_json.h"

static const char usage[] =
    "usage: visavis audit verify [--head HEX]   is the log what was written? exit 0 yes, 1 no\n"
    "       visavis audit list                  every entry, oldest first\n\n"
    "  --head HEX         a hash that an earlier verify printed: it must still be in the "
    "log\n" CLI_DATA_HELP;

enum { VERIFY, LIST };
static const struct cli_action actions[] = {{"verify", 0}, {"list", 0}, {0}};

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
    char data_dir[CLI_DIR_BYTES];
    struct verified v = {0};
    struct store *s = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct cli_words w;
    const struct cli_option options[] = {
        {"head", .text = &v.head, .of = 1 << VERIFY}, {"data", .text = &data}, {0}};

    if (!cli_options(&w, argc, argv, options, usage)) return w.code;
    const int action = cli_action(&w, actions);
    if (action < 0) return cli_usage(usage);
    enum err rc = store_open(&s, cli_data_dir(data_dir, data), &err);
    if (!rc) rc = store_read(s, action == VERIFY ? verify : list, &v, &err);
    store_close(s);
    if (rc) return cli_fail_err(&err);
    return action == VERIFY ? print_verified(&v) : CLI_OK;
}
