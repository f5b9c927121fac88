/* `visavis train projection`: a matrix after an embedder, learnt from triplets of its vectors; kept
 * only where it is better on people it was not trained with. One JSON object with the figures. */
#include "server/cli/train_projection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/match.h"
#include "engine/train.h"
#include "server/cli/cli.h"
#include "server/cli/eval.h"
#include "server/cli/train_people.h"

enum {
    STEPS_MAX = 1000000,
    TAIL_PAIRS = 200000,
    DECADES = 4, /* figures down to an FMR of 1e-4 */
    NAME_BYTES = 64,
    COMMAND_BYTES = 1024
};
static const double HELD_OUT = 0.3, CALIBRATION_FMR = 1e-2;

static const char help[] =
    "usage: visavis train projection (--collection NAME | --images DIR) --dim N --name NEW "
    "[OPTIONS]\n"
    "  trains a linear projection of an embedder's vectors by triplets and saves it as the model "
    "NEW,\n"
    "  if it is better on people that were held out: exit 1 if it is not\n"
    "  --collection NAME  people of a collection, by the vectors that it keeps; --data DIR\n"
    "  --images DIR       a folder a person: NAME/NAME_0001.jpg\n"
    "  --dim N            length of the new embedding, at most the base's\n"
    "  --name NEW         what the new model is called\n"
    "  --held-out X       share of people that are held out, by a hash of their names (default "
    "0.3)\n"
    "  --margin X         of the triplets (default 0.2)\n"
    "  --mining M         semi-hard (default), semi-random, batch-hard or random\n"
    "  --steps N, --rate X   of Adam (default 500, 0.02 relative to the matrix' entries)\n"
    "  --hold X           how strongly the matrix is held to where it began (default 1; 0: not)\n"
    "  --seed N           (default 1)\n" CLI_ENGINE_HELP;

struct run {
    struct cli_engine engine_options;
    struct train_projection_options o;
    const char *collection, *data, *images, *name;
    double held_out;
    struct cli_steps steps;
    char source[NAME_BYTES], command[COMMAND_BYTES], base[NAME_BYTES];

    struct engine *engine;
    struct train_halves people;
    float *w, *projected; /* projected: the held-out vectors */
    struct roc *before, *after;
    struct train_judgement judgement;
};

static bool check_options(const struct run *r)
{
    if (!r->collection == !r->images) return cli_fail("give --collection or --images"), false;
    if (r->images && r->data) return cli_fail("--data belongs to --collection"), false;
    if (!r->o.dim || !r->name) return cli_fail("--dim and --name are needed"), false;
    if (r->engine_options.options.average || r->engine_options.options.preset)
        return cli_fail("--average and --preset would not be part of the model that is saved"),
               false;
    return true;
}

/* Without this machine's paths. */
static void describe(struct run *r)
{
    const char *from = r->collection ? r->collection : r->images;
    int n = (int)strlen(from);
    if (r->images) from = cli_last_part(&n, from);
    snprintf(r->source, sizeof r->source, "%.*s-held-out", n < 48 ? n : 48, from);
    snprintf(r->command, sizeof r->command,
             "visavis train projection --model %s --%s %.*s --dim %d --seed %llu --held-out %g "
             "--steps %ld --margin %g --mining %s --rate %g --hold %g",
             r->base, r->collection ? "collection" : "images", n, from, r->o.dim,
             (unsigned long long)r->o.seed, r->held_out, r->o.steps, r->o.margin, r->o.mining,
             r->o.rate, r->o.hold);
}

/* --- the steps --- */

static enum err check_name(const struct run *r, struct err_info *err)
{
    const size_t n = engine_models(r->engine, NULL, 0);
    AUTO_FREE struct model_info *list = calloc(n + 1, sizeof *list);
    if (!list) return err_set(err, ERR_NOMEM, "no memory for a list of %zu models", n);
    (void)engine_models(r->engine, list, n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, r->name) == 0)
            return err_set(err, ERR_CONFLICT, "there is a model %.64s already", r->name);
    return ERR_OK;
}

static enum err read_people(struct run *r, struct err_info *err)
{
    struct train_halves *h = &r->people;
    char dir[CLI_DIR_BYTES];
    enum err rc =
        r->images
            ? train_people_of_folder(h, r->images, r->engine, cli_workers(&r->engine_options),
                                     r->held_out, err)
            : train_people_of_collection(h, cli_data_dir(dir, r->data), r->collection,
                                         engine_embedder(r->engine)->recipe, r->held_out, err);
    if (rc) return rc;
    if (h->train.people < 2 || h->held.people < 2)
        return err_set(err, ERR_INVALID,
                       "%zu people to train with and %zu held out: at least 2 of each are needed "
                       "(--held-out)",
                       h->train.people, h->held.people);
    return ERR_OK;
}

static enum err measure(struct roc **out, const float *x, int dim, const struct train_people *p,
                        struct err_info *err)
{
    struct match_pairs *pairs = NULL;
    enum err rc = match_pairs_new(&pairs, x, p->n, dim, p->person, NULL, TAIL_PAIRS, 0, err);
    if (!rc) rc = roc_new_pairs(out, pairs, err);
    match_pairs_free(pairs);
    return rc;
}

static enum err learn(struct run *r, struct err_info *err)
{
    const struct train_people *t = &r->people.train, *h = &r->people.held;
    const struct cores *cores = engine_cores(r->engine);
    const int d = t->dim, dim = r->o.dim;
    enum err rc;

    r->o.cores = cores;
    r->o.progress = cli_steps;
    r->o.self = &r->steps;
    if (dim > d)
        return err_set(err, ERR_INVALID, "--dim %d, the embedding of %s has %d dimensions", dim,
                       r->base, d);
    r->w = malloc((size_t)d * (size_t)dim * sizeof *r->w);
    r->projected = malloc(h->n * (size_t)dim * sizeof *r->projected);
    if (!r->w || !r->projected)
        return err_set(err, ERR_NOMEM, "no memory for a projection of %d x %d", d, dim);
    if ((rc = train_projection(r->w, t->x, t->person, t->n, d, &r->o, err))) return rc;
    if ((rc = train_project(r->projected, h->x, h->n, d, r->w, dim, cores, err))) return rc;
    if ((rc = measure(&r->before, h->x, d, h, err))) return rc;
    if ((rc = measure(&r->after, r->projected, dim, h, err))) return rc;
    return train_judge(&r->judgement, h->x, d, r->projected, dim, h->person, h->n, r->o.seed, cores,
                       err);
}

static json_t *side_json(const struct roc *r)
{
    return json_pack("{s:f, s:o}", "eer", roc_eer(r), "tar_at_fmr", eval_tar_json(r, DECADES));
}

static json_t *judged_json(const struct train_judged *j)
{
    return json_pack("{s:f, s:f, s:f, s:[f, f]}", "before", j->before, "after", j->after,
                     "difference", j->after - j->before, "interval", j->interval[0],
                     j->interval[1]);
}

static json_t *criterion_json(const struct train_judgement *j)
{
    json_t *o =
        json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:o}", "improves", j->better, "rule",
                  "EER lower or TAR at the strictest supported FMR higher on held-out people, "
                  "beyond a paired "
                  "bootstrap over people (97.5 % each), and the other not lower in that way",
                  "people", (json_int_t)j->people, "pictures", (json_int_t)j->rows, "genuine_pairs",
                  (json_int_t)j->genuine_pairs, "impostor_pairs", (json_int_t)j->impostor_pairs,
                  "eer", judged_json(&j->eer));
    if (o && j->fmr > 0) {
        json_object_set_new(o, "fmr", json_real(j->fmr));
        json_object_set_new(o, "tar", judged_json(&j->tar));
    }
    return o;
}

static json_t *people_json(const struct train_people *p)
{
    return json_pack("{s:I, s:I}", "people", (json_int_t)p->people, "pictures", (json_int_t)p->n);
}

static json_t *answer_json(const struct run *r)
{
    const struct train_halves *h = &r->people;
    json_t *data = json_pack(
        "{s:s, s:o, s:o, s:I}", "from", r->collection ? "collection" : "images", "train",
        people_json(&h->train), "held_out", people_json(&h->held), "lost", (json_int_t)h->lost);
    return json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:o, s:o, s:o, s:o}", "command", r->command,
                     "base", r->base, "base_sha256", engine_embedder(r->engine)->sha256, "seed",
                     (json_int_t)r->o.seed, "base_dim", h->train.dim, "dim", r->o.dim, "data", data,
                     "before", side_json(r->before), "after", side_json(r->after), "criterion",
                     criterion_json(&r->judgement));
}

/* The new model's recipe is known when it is there: then what was measured on the held-out people
 * becomes its calibration, unless they are too few for an FMR of 1e-2. */
static enum err calibrate(struct run *r, bool *done, struct err_info *err)
{
    AUTO_FREE char *json = NULL;
    struct roc_point least;
    enum err rc;

    roc_at_fmr(r->after, CALIBRATION_FMR, &least);
    if (!least.supported) return ERR_OK;
    engine_close(r->engine);
    r->engine = NULL;
    r->engine_options.options.embedder = r->name;
    if ((rc = cli_engine_open(&r->engine, &r->engine_options, err))) return rc;
    const struct calibration_origin o = {.source = r->source,
                                         .recipe = engine_embedder(r->engine)->recipe,
                                         .model = r->name,
                                         .command = r->command,
                                         .people = r->people.held.people,
                                         .images = r->people.held.n};
    if ((rc = roc_calibration_json(&json, r->after, &o, err))) return rc;
    engine_close(r->engine); /* the model's file is replaced */
    r->engine = NULL;
    *done = true;
    return engine_set_calibration(r->engine_options.options.models_dir, r->name, json, err);
}

static enum err save(struct run *r, const char *about, bool *calibrated, struct err_info *err)
{
    char note[160];
    snprintf(note, sizeof note, "%s and a projection of %d to %d dimensions that was learnt here",
             r->base, r->people.train.dim, r->o.dim);
    const struct model_projection p = {.base = r->base,
                                       .name = r->name,
                                       .w = r->w,
                                       .d = r->people.train.dim,
                                       .dim = r->o.dim,
                                       .note = note,
                                       .training = about};
    enum err rc = engine_model_project(r->engine_options.options.models_dir, &p, err);
    return rc ? rc : calibrate(r, calibrated, err);
}

static enum err work(struct run *r, json_t **answer, struct err_info *err)
{
    bool calibrated = false;
    enum err rc;

    if ((rc = cli_engine_open(&r->engine, &r->engine_options, err))) return rc;
    snprintf(r->base, sizeof r->base, "%s", engine_embedder(r->engine)->name);
    describe(r);
    if ((rc = check_name(r, err))) return rc;
    if ((rc = read_people(r, err))) return rc;
    if ((rc = learn(r, err))) return rc;
    *answer = answer_json(r);
    AUTO_FREE char *about =
        *answer ? json_dumps(*answer, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (!about) return err_set(err, ERR_NOMEM, "no memory for the answer");
    if (r->judgement.better && (rc = save(r, about, &calibrated, err))) return rc;
    json_object_set_new(*answer, "saved", json_boolean(r->judgement.better));
    json_object_set_new(*answer, "calibrated", json_boolean(calibrated));
    if (r->judgement.better) json_object_set_new(*answer, "name", json_string(r->name));
    return ERR_OK;
}

static void refuse(const struct train_judgement *j)
{
    char tar[96] = "";
    if (j->fmr > 0)
        snprintf(tar, sizeof tar, "; TAR at FMR %g %.2f %% before, %.2f %% after", j->fmr,
                 100 * j->tar.before, 100 * j->tar.after);
    cli_fail("not saved: on %zu held-out people the projection is not better by more than chance: "
             "EER %.3f %% before, %.3f %% after%s",
             j->people, 100 * j->eer.before, 100 * j->eer.after, tar);
}

static int run(struct run *r)
{
    struct err_info err = ERR_INFO_INIT;
    const double started = clock_seconds();
    json_t *answer = NULL;
    const enum err rc = work(r, &answer, &err);

    engine_close(r->engine);
    train_halves_release(&r->people);
    free(r->w);
    free(r->projected);
    roc_free(r->before);
    roc_free(r->after);
    if (rc) {
        json_decref(answer);
        return cli_fail_err(&err);
    }
    json_object_set_new(answer, "took_s", json_real(clock_seconds() - started));
    cli_print(answer);
    if (r->judgement.better) return CLI_OK;
    refuse(&r->judgement);
    return CLI_NO_MATCH;
}

int train_projection_run(int argc, char **argv)
{
    struct run r = {.held_out = HELD_OUT, .o = TRAIN_PROJECTION_DEFAULT};
    int seed = (int)r.o.seed, steps = (int)r.o.steps;
    struct cli_words w;
    const struct cli_option options[] = {
        {"collection", .text = &r.collection},
        {"data", .text = &r.data},
        {"images", .text = &r.images},
        {"dim", .whole = &r.o.dim, .least = 1, .most = TRAIN_PROJECTION_MAX},
        {"name", .text = &r.name},
        {"held-out", .number = &r.held_out, .least = 0.05, .most = 0.95},
        {"margin", .number = &r.o.margin, .least = 0.001, .most = 2},
        {"mining", .text = &r.o.mining},
        {"steps", .whole = &steps, .least = 1, .most = STEPS_MAX},
        {"rate", .number = &r.o.rate, .least = 1e-7, .most = 1},
        {"hold", .number = &r.o.hold, .most = 100},
        {"seed", .whole = &seed, .most = 1 << 30},
        CLI_ENGINE_OPTIONS(&r.engine_options),
        {0}};

    if (!cli_options(&w, argc, argv, options, help)) return w.code;
    if (w.n) return cli_usage(help);
    r.o.seed = (uint64_t)seed;
    r.o.steps = steps;
    return check_options(&r) ? run(&r) : CLI_ERROR;
}
