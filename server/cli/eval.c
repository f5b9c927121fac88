/* `visavis eval`: how good is it, on labelled pictures. Prints one JSON object; with --out also
 * eval.json, eval.html and calibration.json there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "server/api/face_json.h"
#include "server/cli/eval.h"
#include "server/cli/page.h"

enum {
    TEXT_MAX_BYTES = 64 << 20,
    HTML_MAX_BYTES = 64 << 20,
    SHOWN_PAIRS = 12,
    PAIRS_DECADES = 4,
    ALL_DECADES = 6
};
static const double REPORT_FMR =
    1e-3; /* --all-pairs has no tuned threshold: the plot shows this cut */

static const char help[] =
    "usage: visavis eval --pairs FILE [--tune FILE] --images DIR [OPTIONS]\n"
    "       visavis eval --all-pairs DIR | --identify DIR [OPTIONS]\n"
    "       visavis eval --glyphs IMAGES LABELS [--mapping FILE]     (see eval --glyphs --help)\n"
    "  --pairs FILE       pairs in LFW's format; folds: each is judged by a threshold from the "
    "others\n"
    "  --tune FILE        other pairs that choose the threshold, where there are no folds\n"
    "  --images DIR       a folder a person: NAME/NAME_0001.jpg\n"
    "  --all-pairs DIR    every pair of all pictures of a folder a person\n"
    "  --identify DIR     the same, and: one picture of each person enrolled, who are the others?\n"
    "  --exclude FILE     labels that are wrong: `name1 name2` (one person), `name i` (someone "
    "else), `name`\n"
    "  --nearest N        list the most alike strangers, to find such labels\n"
    "  --split-half       state rates from half of the people, look at them on the other half\n"
    "  --out DIR          write eval.json, eval.html and calibration.json there\n"
    "  --save             write the calibration into the model's file\n"
    "  --source NAME      what the calibration is called (default: from the file's or folder's "
    "name)\n"
    "  --presets A,B,..   once with each preset (see --preset): a line each, and a table at the "
    "end\n"
    "  --face F           which face of a picture: main, largest or single (default "
    "main)\n" CLI_ENGINE_HELP;

struct eval {
    const char *pairs_file, *tune_file, *images_dir, *all_dir, *exclude_file, *out_dir, *presets;
    const char *identify_dir, *source_name;
    int nearest;
    bool split_half, save;
    enum face_select face;
    struct cli_engine engine_options;
    char source[128], command[512];

    struct engine *engine;
    struct eval_set set;
    struct eval_pairs pairs, tune;
    struct eval_scores scores, tune_scores;
    struct eval_all all;
    struct eval_shown_pair false_matches[SHOWN_PAIRS], misses[SHOWN_PAIRS];
    size_t n_false_matches, n_misses;
    float threshold;
    json_t *answer;
    char *calibration;
    char model[64];
};

/* Adds " --option name" to the command that is written down: names of files without their folders.
 */
static void add_to_command(struct eval *v, const char *option, const char *value)
{
    const size_t n = strlen(v->command);
    int len;
    const char *last = cli_last_part(&len, value);

    snprintf(v->command + n, sizeof v->command - n, " --%s%s%.*s", option, len ? " " : "", len,
             last);
}

/* Which options go together. */
static bool check_options(struct eval *v)
{
    if (v->identify_dir) v->all_dir = v->identify_dir;
    const char *from = v->all_dir ? v->all_dir : v->pairs_file;

    if (!v->all_dir == !v->pairs_file) return cli_fail("give either --pairs or --all-pairs"), false;
    if (v->pairs_file && !v->images_dir) return cli_fail("--pairs needs --images"), false;
    if (v->all_dir && (v->images_dir || v->tune_file))
        return cli_fail("--all-pairs takes neither --images nor --tune"), false;
    if (v->pairs_file && (v->exclude_file || v->nearest || v->split_half))
        return cli_fail("--exclude, --nearest and --split-half belong to --all-pairs"), false;
    if (v->face == FACE_ALL) return cli_fail("--face all leaves no face to compare"), false;
    if (v->save && (v->engine_options.options.average || v->engine_options.options.preset))
        return cli_fail(
                   "--save with --average, --preset or --presets would calibrate what the model "
                   "does not do by itself"),
               false;
    if (v->source_name) {
        snprintf(v->source, sizeof v->source, "%s", v->source_name);
    } else {
        int n;
        const char *name = cli_last_part(&n, from);
        if (v->pairs_file && memchr(name, '.', (size_t)n)) n = (int)strcspn(name, ".");
        snprintf(v->source, sizeof v->source, "%.*s%s", n > 100 ? 100 : n, name,
                 v->all_dir ? "-all-pairs" : "");
    }
    snprintf(v->command, sizeof v->command, "visavis eval");
    add_to_command(v, v->identify_dir ? "identify" : v->all_dir ? "all-pairs" : "pairs", from);
    if (v->tune_file) add_to_command(v, "tune", v->tune_file);
    if (v->images_dir) add_to_command(v, "images", v->images_dir);
    if (v->exclude_file) add_to_command(v, "exclude", v->exclude_file);
    if (v->face == FACE_LARGEST) add_to_command(v, "face", "largest");
    if (v->face == FACE_SINGLE) add_to_command(v, "face", "single");
    if (v->engine_options.options.embedder)
        add_to_command(v, "model", v->engine_options.options.embedder);
    if (v->engine_options.options.average)
        add_to_command(v, "average", v->engine_options.options.average);
    if (v->engine_options.options.preset)
        add_to_command(v, "preset", v->engine_options.options.preset);
    if (v->engine_options.options.precision)
        add_to_command(v, "precision", v->engine_options.options.precision);
    return true;
}

static enum err read_text(struct buf *out, const char *path, struct err_info *err)
{
    const enum err rc = buf_read_file(out, path, err);
    if (rc) return rc;
    return out->data ? ERR_OK : err_set(err, ERR_INVALID, "%s is empty", path);
}

static enum err read_pairs(struct eval_pairs *out, struct eval_set *set, const char *path,
                           struct err_info *err)
{
    AUTO_BUF struct buf text = BUF_INIT(TEXT_MAX_BYTES);
    enum err rc = read_text(&text, path, err);

    if (!rc && (rc = eval_pairs_parse(out, set, (const char *)text.data, err)))
        err_prefix(err, "%s", path);
    return rc;
}

static enum err find_pictures(struct eval *v, struct err_info *err)
{
    enum err rc;

    if (v->all_dir) return eval_set_scan(&v->set, v->all_dir, err);
    if ((rc = read_pairs(&v->pairs, &v->set, v->pairs_file, err))) return rc;
    if (v->tune_file && (rc = read_pairs(&v->tune, &v->set, v->tune_file, err))) return rc;
    return eval_set_locate(&v->set, v->images_dir, err);
}

/* Keeps the worst of a kind: sorted by `badness`, falling. */
static void keep_worst(struct eval_shown_pair *list, size_t *n, uint32_t a, uint32_t b,
                       float similarity, bool miss)
{
    const struct eval_shown_pair p = {a, b, similarity};
    size_t i = *n;

    while (i > 0 &&
           (miss ? similarity < list[i - 1].similarity : similarity > list[i - 1].similarity))
        i--;
    if (i == SHOWN_PAIRS) return;
    if (*n < SHOWN_PAIRS) ++*n;
    memmove(list + i + 1, list + i, (*n - i - 1) * sizeof *list);
    list[i] = p;
}

/* The keys that both kinds of measurement have. */
static json_t *common(const struct eval *v, size_t pairs, size_t genuine, double impostor,
                      const struct roc *roc, int decades)
{
    const struct model_info *m = engine_embedder(v->engine);

    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:s, s:s, s:s?, s:s?, s:s*, s:s}",
                     "pairs", (json_int_t)pairs, "genuine_pairs", (json_int_t)genuine,
                     "impostor_pairs", (json_int_t)impostor, "images", (json_int_t)v->set.names.n,
                     "people", (json_int_t)v->set.people.n, "eer", roc_eer(roc), "tar_at_fmr",
                     eval_tar_json(roc, decades), "model", m->name, "recipe",
                     engine_embedder(v->engine)->recipe, "precision", m->precision, "average",
                     m->average, "preset", v->engine_options.options.preset, "command", v->command);
}

static json_t *lost_names(const struct eval_set *set)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < set->names.n; i++)
        if (!set->images[i].found) json_array_append_new(list, json_string(set->names.name[i]));
    return list;
}

static enum err measure_pairs(struct eval *v, struct err_info *err)
{
    const struct eval_scores *s = &v->scores;
    struct eval_accuracy a;
    size_t genuine = 0;
    enum err rc = eval_score(&v->scores, &v->set, &v->pairs, err);

    if (!rc && v->tune_file) rc = eval_score(&v->tune_scores, &v->set, &v->tune, err);
    if (!rc) rc = eval_accuracy(&a, &v->pairs, s, v->tune_file ? &v->tune_scores : NULL, err);
    if (rc) return rc;
    v->threshold = a.threshold;
    for (size_t i = 0; i < v->pairs.n; i++) {
        const struct eval_pair *p = &v->pairs.pairs[i];
        genuine += p->same;
        if (p->same && s->similarity[i] < a.threshold)
            keep_worst(v->misses, &v->n_misses, p->a, p->b, s->similarity[i], true);
        if (!p->same && s->similarity[i] >= a.threshold)
            keep_worst(v->false_matches, &v->n_false_matches, p->a, p->b, s->similarity[i], false);
    }
    json_t *rest =
        common(v, v->pairs.n, genuine, (double)(v->pairs.n - genuine), s->roc, PAIRS_DECADES);
    v->answer =
        json_pack("{s:f, s:[f, f], s:f, s:s, s:I, s:o}", "accuracy", a.accuracy, "accuracy_ci",
                  a.ci[0], a.ci[1], "threshold", (double)a.threshold, "threshold_from", a.from,
                  "lost_pairs", (json_int_t)s->n_lost, "lost_images", lost_names(&v->set));
    if (v->pairs.folds > 1) json_object_set_new(v->answer, "accuracy_sd", json_real(a.sd));
    if (v->tune_file)
        json_object_set_new(v->answer, "tune_lost_pairs",
                            json_integer((json_int_t)v->tune_scores.n_lost));
    const bool ok = v->answer && rest && !json_object_update(v->answer, rest);
    json_decref(rest);
    return ok ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for the answer");
}

static enum err measure_all(struct eval *v, struct err_info *err)
{
    AUTO_BUF struct buf text = BUF_INIT(TEXT_MAX_BYTES);
    struct eval_all_options o = {NULL, v->nearest, v->split_half, v->identify_dir != NULL};
    struct roc_point cut;
    enum err rc = ERR_OK;

    if (v->exclude_file) rc = read_text(&text, v->exclude_file, err);
    o.exclude = (const char *)text.data;
    if (!rc && (rc = eval_all_measure(&v->all, &v->set, &o, err)) && v->exclude_file)
        err_prefix(err, "%s", v->exclude_file);
    if (rc) return rc;
    const struct match_pairs *p = v->all.pairs;
    roc_at_fmr(v->all.roc, REPORT_FMR, &cut);
    v->threshold = cut.threshold;
    for (size_t i = 0; i < p->n_genuine && i < SHOWN_PAIRS; i++)
        keep_worst(v->misses, &v->n_misses, v->all.picture[p->genuine[i].a],
                   v->all.picture[p->genuine[i].b], p->genuine[i].similarity, true);
    for (size_t i = 0; i < p->n_tail && i < SHOWN_PAIRS; i++)
        keep_worst(v->false_matches, &v->n_false_matches, v->all.picture[p->tail[i].a],
                   v->all.picture[p->tail[i].b], p->tail[i].similarity, false);
    v->answer = common(v, p->n_genuine + p->n_impostor, p->n_genuine, (double)p->n_impostor,
                       v->all.roc, ALL_DECADES);
    const bool ok = v->answer &&
                    !json_object_set_new(v->answer, "lost_images", lost_names(&v->set)) &&
                    !json_object_update(v->answer, v->all.extra);
    return ok ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for the answer");
}

static enum err make_calibration(struct eval *v, struct err_info *err)
{
    const struct calibration_origin o = {.source = v->source,
                                         .recipe = engine_embedder(v->engine)->recipe,
                                         .model = engine_embedder(v->engine)->name,
                                         .command = v->command,
                                         .people = v->all_dir ? v->all.people : v->set.people.n,
                                         .images = v->all_dir ? v->all.rows : v->set.names.n};

    return roc_calibration_json(&v->calibration, v->all_dir ? v->all.roc : v->scores.roc, &o, err);
}

static enum err write_report(struct eval *v, struct err_info *err)
{
    AUTO_BUF struct buf page = BUF_INIT(HTML_MAX_BYTES);
    char title[192];
    const struct eval_report r = {title,
                                  v->answer,
                                  v->all_dir ? v->all.roc : v->scores.roc,
                                  v->threshold,
                                  &v->set,
                                  v->false_matches,
                                  v->misses,
                                  v->n_false_matches,
                                  v->n_misses};
    enum err rc;

    snprintf(title, sizeof title, "visavis: %s on %s", engine_embedder(v->engine)->name, v->source);
    if ((rc = eval_html(&page, &r, v->engine, err))) return rc;
    if ((rc = page_write(v->out_dir, "eval.html", page.data, page.len, err))) return rc;
    char *text AUTO_FREE = json_dumps(v->answer, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (!text) return err_set(err, ERR_NOMEM, "no memory for the answer");
    if ((rc = page_write(v->out_dir, "eval.json", text, strlen(text), err))) return rc;
    return page_write(v->out_dir, "calibration.json", v->calibration, strlen(v->calibration), err);
}

static enum err run(struct eval *v, struct err_info *err)
{
    enum err rc;

    if (v->out_dir && cli_make_folder(v->out_dir))
        return err_set(err, ERR_IO, "the folder %s cannot be made: %s", v->out_dir,
                       strerror(errno));
    if ((rc = find_pictures(v, err))) return rc;
    if ((rc = cli_engine_open(&v->engine, &v->engine_options, err))) return rc;
    snprintf(v->model, sizeof v->model, "%s", engine_embedder(v->engine)->name);
    if ((rc = eval_set_embed(&v->set, v->engine, v->face, cli_workers(&v->engine_options), err)))
        return rc;
    if ((rc = v->all_dir ? measure_all(v, err) : measure_pairs(v, err))) return rc;
    if ((rc = make_calibration(v, err))) return rc;
    if (v->out_dir && (rc = write_report(v, err))) return rc;
    if (!v->save) return ERR_OK;
    engine_close(v->engine); /* the model's file is replaced */
    v->engine = NULL;
    return engine_set_calibration(v->engine_options.options.models_dir, v->model, v->calibration,
                                  err);
}

static void release(struct eval *v)
{
    engine_close(v->engine);
    eval_scores_release(&v->scores);
    eval_scores_release(&v->tune_scores);
    eval_all_release(&v->all);
    eval_pairs_release(&v->pairs);
    eval_pairs_release(&v->tune);
    eval_set_release(&v->set);
    json_decref(v->answer);
    free(v->calibration);
    free(v);
}

/* Checks, runs, prints; *answer (where not NULL): what was printed, a new reference. */
static int evaluate(struct eval *v, json_t **answer)
{
    struct err_info err = ERR_INFO_INIT;
    if (!check_options(v)) return CLI_ERROR;
    if (run(v, &err)) return cli_fail_err(&err);
    if (answer) *answer = json_incref(v->answer);
    cli_print(json_incref(v->answer));
    return CLI_OK;
}

static void print_row(const char *preset, const json_t *a)
{
    const json_t *tar = json_object_get(json_object_get(json_object_get(a, "tar_at_fmr"), "0.001"),
                                        "tar"),
                 *accuracy = json_object_get(a, "accuracy");
    fprintf(stderr, "%-40s", preset);
    if (accuracy)
        fprintf(stderr, " %9.2f", 100 * json_number_value(accuracy));
    else
        fprintf(stderr, " %9s", "-");
    fprintf(stderr, " %7.2f %12.2f %6zu\n", 100 * json_number_value(json_object_get(a, "eer")),
            100 * json_number_value(tar), json_array_size(json_object_get(a, "lost_images")));
}

/* Everything once for each preset, with the options of v; each report goes into a folder of its
 * own. */
static int evaluate_presets(const struct eval *v)
{
    json_auto_t *rows = json_object();
    char *list AUTO_FREE = strdup(v->presets), *rest = list;
    const char *preset;
    json_t *row;
    int code = CLI_OK;

    if (!list || !rows) return cli_fail("out of memory");
    if (v->engine_options.options.preset) return cli_fail("give either --preset or --presets");
    while (code == CLI_OK && (preset = strsep(&rest, ","))) {
        struct eval *one = malloc(sizeof *one);
        char *out AUTO_FREE = NULL;
        json_t *answer = NULL;
        if (!one) return cli_fail("out of memory");
        *one = *v;
        one->presets = NULL;
        one->engine_options.options.preset = preset;
        if (v->out_dir && asprintf(&out, "%s/%s", v->out_dir, preset) >= 0) one->out_dir = out;
        code = evaluate(one, &answer);
        if (answer) json_object_set_new(rows, preset, answer);
        release(one);
    }
    if (code != CLI_OK) return code;
    fprintf(stderr, "%-40s %9s %7s %12s %6s\n", "preset", "accuracy", "EER %", "TAR at 1e-3",
            "lost");
    json_object_foreach(rows, preset, row) print_row(preset, row);
    return CLI_OK;
}

int cli_eval(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--glyphs") == 0) return eval_glyphs(argc, argv);
    struct eval *v = calloc(1, sizeof *v);
    struct cli_words w;
    int code;

    if (!v) return cli_fail("out of memory");
    const struct cli_option options[] = {{"pairs", .text = &v->pairs_file},
                                         {"tune", .text = &v->tune_file},
                                         {"images", .text = &v->images_dir},
                                         {"all-pairs", .text = &v->all_dir},
                                         {"exclude", .text = &v->exclude_file},
                                         {"nearest", .whole = &v->nearest, .most = 10000},
                                         {"split-half", .flag = &v->split_half},
                                         {"identify", .text = &v->identify_dir},
                                         {"out", .text = &v->out_dir},
                                         {"save", .flag = &v->save},
                                         {"source", .text = &v->source_name},
                                         {"presets", .text = &v->presets},
                                         {"face", .take = cli_face, .self = &v->face},
                                         CLI_ENGINE_OPTIONS(&v->engine_options),
                                         {0}};
    v->face = FACE_MAIN;
    if (!cli_options(&w, argc, argv, options, help))
        code = w.code;
    else if (w.n)
        code = cli_fail("\"%s\" is not understood", w.word[0]);
    else
        code = v->presets ? evaluate_presets(v) : evaluate(v, NULL);
    release(v);
    return code;
}
