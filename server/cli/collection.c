/* visavis collection create|list|show|erase: galleries of people. Works beside a running server. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"
#include "server/cli/call.h"

static const char usage[] =
    "usage: visavis collection create NAME [--rule max|mean_top|centroid] [--rule-top N]\n"
    "                   [--min-quality Q] [--keep-thumbnails] [--keep-photos] [--ttl-days N]\n"
    "       visavis collection list\n"
    "       visavis collection show NAME\n"
    "       visavis collection people NAME [--tag TAG] [--cursor C]\n"
    "       visavis collection calibrate NAME   on its own examples\n"
    "       visavis collection undo NAME        the last move or merge\n"
    "       visavis collection erase NAME\n\n" CLI_ENGINE_HELP
    "  --data DIR         the server's folder (default $VISAVIS_DATA or the user's data folder)\n";

enum {
    OPT_RULE = 1,
    OPT_RULE_TOP,
    OPT_MIN_QUALITY,
    OPT_THUMBNAILS,
    OPT_PHOTOS,
    OPT_TTL,
    OPT_TAG,
    OPT_CURSOR,
    OPT_DATA,
    OPT_HELP
};

static const struct option options[] = {
    {"rule", required_argument, NULL, OPT_RULE},
    {"rule-top", required_argument, NULL, OPT_RULE_TOP},
    {"min-quality", required_argument, NULL, OPT_MIN_QUALITY},
    {"keep-thumbnails", no_argument, NULL, OPT_THUMBNAILS},
    {"keep-photos", no_argument, NULL, OPT_PHOTOS},
    {"ttl-days", required_argument, NULL, OPT_TTL},
    {"tag", required_argument, NULL, OPT_TAG},
    {"cursor", required_argument, NULL, OPT_CURSOR},
    {"data", required_argument, NULL, OPT_DATA},
    {"help", no_argument, NULL, OPT_HELP},
    CLI_ENGINE_OPTIONS,
    {NULL, 0, NULL, 0},
};

struct collection {
    const char *data, *tag, *cursor;
    json_t *settings; /* of create */
    bool has_settings, help;
    struct cli_engine engine;
};

static bool set_option(struct collection *o, int opt, const char *value)
{
    int n;
    double d;

    switch (opt) {
    case OPT_RULE:
        return !json_object_set_new(o->settings, "rule", json_string(value));
    case OPT_RULE_TOP:
        return cli_int(&n, "--rule-top", value, 1, 100) &&
               !json_object_set_new(o->settings, "rule_top", json_integer(n));
    case OPT_MIN_QUALITY:
        return cli_double(&d, "--min-quality", value, 0, 1) &&
               !json_object_set_new(o->settings, "min_quality", json_real(d));
    case OPT_THUMBNAILS:
        return !json_object_set_new(o->settings, "keep_thumbnails", json_true());
    case OPT_PHOTOS:
        return !json_object_set_new(o->settings, "keep_photos", json_true());
    case OPT_TTL:
        return cli_int(&n, "--ttl-days", value, 0, 36500) &&
               !json_object_set_new(o->settings, "ttl_days", json_integer(n));
    case OPT_TAG:
        o->tag = value;
        return true;
    case OPT_CURSOR:
        o->cursor = value;
        return true;
    case OPT_DATA:
        o->data = value;
        return true;
    case OPT_HELP:
        o->help = true;
        return true;
    default:
        return cli_engine_option(&o->engine, opt, value) == 1;
    }
}

static int create(struct cli_call *c, struct collection *o, const char *name)
{
    json_object_set_new(o->settings, "name", json_string(name));
    if (o->engine.options.embedder)
        json_object_set_new(o->settings, "model", json_string(o->engine.options.embedder));
    char *body = json_dumps(o->settings, JSON_COMPACT);
    if (!body) return cli_fail("the name is not UTF-8");
    cli_call_begin(c, "POST");
    cli_call_json(c, body);
    int rc = cli_call_print(c, api_collections_create);
    free(body);
    return rc;
}

static int run(struct cli_call *c, struct collection *o, const char *what, const char *name)
{
    static const struct {
        const char *what, *method;
        route_handler *handler;
    } simple[] = {
        {"list", "GET", api_collections_list},  {"show", "GET", api_collections_get},
        {"people", "GET", api_identities_list}, {"calibrate", "POST", api_calibration_measure},
        {"undo", "POST", api_collections_undo}, {"erase", "DELETE", api_collections_erase},
    };
    if (!strcmp(what, "create")) return create(c, o, name);
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
        if (strcmp(simple[i].what, what) != 0) continue;
        cli_call_begin(c, simple[i].method);
        if (name) cli_call_param(c, "c", name);
        cli_call_query(c, "tag", o->tag);
        cli_call_query(c, "cursor", o->cursor);
        return cli_call_print(c, simple[i].handler);
    }
    return CLI_ERROR;
}

static bool known(const char *what, int arguments)
{
    static const char *const named[] = {"create", "show", "people", "calibrate", "undo", "erase"};
    if (!strcmp(what, "list")) return arguments == 1;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (!strcmp(named[i], what)) return arguments == 2;
    return false;
}

int cli_collection(int argc, char **argv)
{
    struct collection o = {.settings = json_object()};
    struct err_info err = ERR_INFO_INIT;
    struct cli_call c;
    bool ok = o.settings != NULL;
    int opt, rc = CLI_ERROR;

    while (ok && (opt = getopt_long(argc, argv, "", options, NULL)) != -1)
        ok = set_option(&o, opt, optarg);
    const char *what = optind < argc ? argv[optind] : "";
    if (o.help) {
        fputs(usage, stdout);
        rc = CLI_OK;
    } else if (ok && !known(what, argc - optind)) {
        fputs(usage, stderr);
    } else if (ok && cli_call_open(&c, o.data, &o.engine, &err)) {
        cli_fail_err(&err);
    } else if (ok) {
        rc = run(&c, &o, what, argc - optind > 1 ? argv[optind + 1] : NULL);
        cli_call_close(&c);
    }
    json_decref(o.settings);
    return rc;
}
