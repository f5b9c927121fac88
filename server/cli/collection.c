/* visavis collection create|list|show|erase: galleries of people. Works beside a running server. */
#include "engine/base/mem.h"
#include "server/api/api.h"
#include "server/cli/call.h"

static const char usage[] =
    "usage: visavis collection create NAME [--rule max|mean_top|centroid] [--rule-top N]\n"
    "                   [--min-quality Q] [--keep-thumbnails] [--keep-photos] [--ttl-days N]\n"
    "       visavis collection list [--cursor C]\n"
    "       visavis collection show NAME\n"
    "       visavis collection people NAME [--tag TAG] [--cursor C]\n"
    "       visavis collection calibrate NAME   on its own examples\n"
    "       visavis collection undo NAME        the last move or merge\n"
    "       visavis collection erase NAME\n\n" CLI_ENGINE_HELP CLI_DATA_HELP;

enum { CREATE, LIST, SHOW, PEOPLE, CALIBRATE, UNDO, ERASE };
static const struct cli_action actions[] = {
    {"create", 1},    {"list", 0}, {"show", 1},  {"people", 1},
    {"calibrate", 1}, {"undo", 1}, {"erase", 1}, {0}};

struct collection {
    const char *data, *tag, *cursor;
    const char *rule; /* this and the others for create; NULL, 0, false or -1: not given */
    int rule_top, ttl_days;
    double min_quality;
    bool keep_thumbnails, keep_photos;
    struct cli_engine engine;
};

static int create(struct cli_call *c, const struct collection *o, const char *name)
{
    json_auto_t *settings = json_pack(
        "{s:s, s:s*, s:s*, s:o*, s:o*, s:o*, s:o*, s:o*}", "name", name, "rule", o->rule, "model",
        o->engine.options.embedder, "rule_top", o->rule_top ? json_integer(o->rule_top) : NULL,
        "min_quality", o->min_quality >= 0 ? json_real(o->min_quality) : NULL, "keep_thumbnails",
        o->keep_thumbnails ? json_true() : NULL, "keep_photos", o->keep_photos ? json_true() : NULL,
        "ttl_days", o->ttl_days >= 0 ? json_integer(o->ttl_days) : NULL);
    char *body AUTO_FREE = settings ? json_dumps(settings, JSON_COMPACT) : NULL;

    if (!body) return cli_fail("the name or the rule is not UTF-8");
    cli_call_begin(c, "POST");
    cli_call_json(c, body);
    return cli_call_print(c, api_collections_create);
}

static int run(struct cli_call *c, const struct collection *o, int action, const char *name)
{
    static const struct {
        const char *method;
        route_handler *handler;
    } simple[] = {
        [LIST] = {"GET", api_collections_list},  [SHOW] = {"GET", api_collections_get},
        [PEOPLE] = {"GET", api_identities_list}, [CALIBRATE] = {"POST", api_calibration_measure},
        [UNDO] = {"POST", api_collections_undo}, [ERASE] = {"DELETE", api_collections_erase},
    };
    if (action == CREATE) return create(c, o, name);
    cli_call_begin(c, simple[action].method);
    if (name) cli_call_param(c, "c", name);
    cli_call_query(c, "tag", o->tag);
    cli_call_query(c, "cursor", o->cursor);
    return cli_call_print(c, simple[action].handler);
}

int cli_collection(int argc, char **argv)
{
    struct collection o = {.ttl_days = -1, .min_quality = -1};
    struct err_info err = ERR_INFO_INIT;
    struct cli_call c;
    struct cli_words w;
    const struct cli_option options[] = {
        {"rule", .text = &o.rule, .of = 1u << CREATE},
        {"rule-top", .whole = &o.rule_top, .least = 1, .most = 100, .of = 1u << CREATE},
        {"min-quality", .number = &o.min_quality, .least = 0, .most = 1, .of = 1u << CREATE},
        {"keep-thumbnails", .flag = &o.keep_thumbnails, .of = 1u << CREATE},
        {"keep-photos", .flag = &o.keep_photos, .of = 1u << CREATE},
        {"ttl-days", .whole = &o.ttl_days, .least = 0, .most = 36500, .of = 1u << CREATE},
        {"tag", .text = &o.tag, .of = 1u << PEOPLE},
        {"cursor", .text = &o.cursor, .of = 1u << PEOPLE | 1u << LIST},
        {"data", .text = &o.data},
        CLI_ENGINE_OPTIONS(&o.engine),
        {0}};

    if (!cli_options(&w, argc, argv, options, usage)) return w.code;
    const int action = cli_action(&w, actions);
    if (action < 0) return cli_usage(usage);
    if (cli_call_open(&c, o.data, &o.engine, &err)) return cli_fail_err(&err);
    const int rc = run(&c, &o, action, w.n > 1 ? w.word[1] : NULL);
    cli_call_close(&c);
    return rc;
}
