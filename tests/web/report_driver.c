/* Makes the reports that tests/web looks at: report_driver OUT_DIR [FACES_DIR MODELS_DIR]. Of
 * made-up faces, and where FACES_DIR (../shared/data/faces/cast) is given, of its photographs. */
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/engine.h"
#include "tests/unit/report_sample.h"

enum { CAST_MAX = 400, CAST_THUMBNAIL_SIDE = 96, OUT_MAX_BYTES = 256 << 20 };
static const float CAST_CUT = 0.9296f; /* dlib-resnet at a false-match rate of 1e-3 */

static int fail(const char *what, const struct err_info *err)
{
    fprintf(stderr, "%s: %s\n", what, err ? err->message : "");
    return 1;
}

static int put(const char *dir, const char *name, const char *kind, const struct buf *b)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s.%s", dir, name, kind);
    FILE *f = fopen(path, "wb");
    const bool ok = f && fwrite(b->data, 1, b->len, f) == b->len;
    if (!f || fclose(f) || !ok) return fail(path, NULL);
    return 0;
}

/* NAME.json, .html, .svg and .png. */
static int write_all(const char *dir, const char *name, const json_t *report)
{
    static const struct {
        const char *kind;
        enum err (*make)(struct buf *, const json_t *, struct err_info *);
    } kinds[] = {{"html", report_html}, {"svg", report_svg}, {"png", report_png}};
    struct err_info err = ERR_INFO_INIT;
    char *text = json_dumps(report, REPORT_JSON_DUMP);
    struct buf json = {(uint8_t *)text, text ? strlen(text) : 0, 0, 0};
    int rc = text ? put(dir, name, "json", &json) : 1;

    free(text);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !rc; i++) {
        AUTO_BUF struct buf out = BUF_INIT(OUT_MAX_BYTES);
        rc = kinds[i].make(&out, report, &err) ? fail(name, &err)
                                               : put(dir, name, kinds[i].kind, &out);
    }
    return rc;
}

static int finish(const char *dir, const char *name, struct sample *s)
{
    struct err_info err = ERR_INFO_INIT;
    json_t *o = NULL;

    if (report_json(&o, s->result, s->report, s->faces, s->n, &s->about, &err))
        return fail(name, &err);
    const int rc = write_all(dir, name, o);
    json_decref(o);
    return rc;
}

/* Names as somebody might give them who wishes us ill. */
static void hostile(struct sample *s)
{
    static const char *const names[] = {
        "<script>document.title='taken'</script>.jpg",
        "\"><img src=x onerror=\"document.title='taken'\">.jpg",
        "</script><script>document.title='taken'</script>",
        "<!--<script>.jpg",
        "'; alert(1); //.jpg",
        "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xe2\x80\xae gpj.exe",
        "a\x01tab\tline\nfeed.jpg",
        "\xef\xbf\xbe{{data}}]]>&amp;.jpg",
    };

    s->about.title = "<b>\"Hostile\"</b> & {{script}}";
    for (size_t i = 0; i < s->n; i++) {
        s->faces[i].file = names[i % (sizeof names / sizeof *names)];
        s->faces[i].name = names[i / 4 % (sizeof names / sizeof *names)];
    }
}

static int made_up(const char *dir)
{
    static const struct {
        const char *name;
        struct sample_options options;
        bool hostile;
    } cases[] = {
        {"hostile", {.people = 5, .each = 4, .strangers = 2, .thumbnails = true}, true},
        {"one", {.strangers = 1, .thumbnails = true}, false},
        {"apart", {.strangers = 9, .thumbnails = true}, false},
        {"many", {.people = 480, .each = 10, .strangers = 200, .thumbnails = true}, false},
        {"bare", {.people = 6, .each = 5, .strangers = 1}, false},
        {"density", {.people = 6, .each = 30, .strangers = 9, .thumbnails = true}, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample s;
        struct sample_options o = cases[i].options;
        o.algorithm = strcmp(cases[i].name, "density") ? CLUSTER_AVERAGE : CLUSTER_HDBSCAN;
        if (!sample_make(&s, &o)) return fail(cases[i].name, NULL);
        if (cases[i].hostile) hostile(&s);
        const int rc = finish(dir, cases[i].name, &s);
        sample_release(&s);
        if (rc) return rc;
    }
    return 0;
}

/* One photograph's faces, added to s and x. */
static int look_at(struct sample *s, const char *path, const char *file, int photo,
                   struct engine *e)
{
    struct err_info err = ERR_INFO_INIT;
    const bool alone = strchr(file, '/') != NULL;
    const struct analyse_options o = {.select = alone ? FACE_MAIN : FACE_ALL, .embedding = true};
    AUTO_BUF struct buf bytes = BUF_INIT(64 << 20);
    struct analysis a;

    if (buf_read_file(&bytes, path, &err)) return fail(path, &err);
    if (engine_analyse(e, bytes.data, bytes.len, &o, &a, &err)) return fail(path, &err);
    for (int i = 0; i < a.n && s->n < CAST_MAX; i++, s->n++) {
        const struct face *f = a.faces + i;
        struct report_face *out = s->faces + s->n;
        snprintf(s->files[s->n], sizeof s->files[s->n], "%s", file);
        snprintf(s->names[s->n], sizeof s->names[s->n], "%.*s", alone ? (int)strcspn(file, "/") : 0,
                 file);
        *out = (struct report_face){.file = s->files[s->n],
                                    .photo = photo,
                                    .has_box = true,
                                    .quality = (double)f->quality,
                                    .truth = alone ? s->names[s->n] : NULL,
                                    .thumbnail = BUF_INIT(1 << 20)};
        memcpy(out->box, f->box, sizeof out->box);
        memcpy(s->x + s->n * (size_t)f->dim, f->embedding, (size_t)f->dim * sizeof(float));
        if (engine_thumbnail(e, bytes.data, bytes.len, f->box, CAST_THUMBNAIL_SIDE, &out->thumbnail,
                             &err))
            return fail(path, &err);
    }
    analysis_release(&a);
    return 0;
}

/* Numbers for the names; "" is unknown. */
static void number_truth(struct sample *s, uint32_t *photos)
{
    for (size_t i = 0; i < s->n; i++) {
        photos[i] = (uint32_t)s->faces[i].photo;
        s->truth[i] = CLUSTER_NO_GROUP;
        for (size_t j = 0; j <= i && *s->names[i]; j++) {
            if (strcmp(s->names[i], s->names[j])) continue;
            s->truth[i] = (uint32_t)j;
            break;
        }
    }
}

static int cluster_cast(struct sample *s, int dim)
{
    struct cluster_options c = CLUSTER_OPTIONS_INIT;
    struct cluster_report_options r = CLUSTER_REPORT_OPTIONS_INIT;
    static uint32_t photos[CAST_MAX];
    struct err_info err = ERR_INFO_INIT;

    number_truth(s, photos);
    c.algorithm = CLUSTER_AVERAGE;
    c.cut = CAST_CUT;
    c.min_size = 2;
    c.full_tree = true;
    c.constraints.apart = photos;
    if (cluster_run(&s->result, s->x, s->n, dim, &c, &err)) return fail("cast", &err);
    r.cut = s->result->cut;
    r.possible = s->result->cut - 0.05f;
    r.truth = s->truth;
    r.apart = photos;
    if (cluster_report_new(&s->report, s->x, s->n, dim, s->result->labels, &r, &err))
        return fail("cast", &err);
    return 0;
}

static int cast(const char *dir, const char *faces, const char *models)
{
    const struct engine_options o = {.models_dir = models};
    struct err_info err = ERR_INFO_INIT;
    struct engine *e;
    char pattern[4096];
    glob_t found = {0};
    int rc = 0;

    if (engine_open(&e, &o, &err)) return fail("engine", &err);
    const int dim = engine_embedder(e)->dim;
    struct sample s = {.x = calloc(CAST_MAX * (size_t)dim, sizeof(float)),
                       .truth = calloc(CAST_MAX, sizeof(uint32_t)),
                       .faces = calloc(CAST_MAX, sizeof(struct report_face)),
                       .files = calloc(CAST_MAX, sizeof *s.files),
                       .names = calloc(CAST_MAX, sizeof *s.names)};
    snprintf(pattern, sizeof pattern, "%s/*/*", faces);
    glob(pattern, 0, NULL, &found);
    snprintf(pattern, sizeof pattern, "%s/*.jpg", faces);
    glob(pattern, GLOB_APPEND, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc && !rc; i++)
        rc = look_at(&s, found.gl_pathv[i], found.gl_pathv[i] + strlen(faces) + 1, (int)i, e);
    s.about = (struct report_about){.title = "cast",
                                    .model = engine_embedder(e)->name,
                                    .precision = engine_embedder(e)->precision,
                                    .recipe = engine_embedder(e)->recipe,
                                    .calibration = "lfw-view1-all-pairs",
                                    .created_ms = 1767225600000,
                                    .photos = found.gl_pathc};
    if (!rc) rc = cluster_cast(&s, dim);
    if (!rc) rc = finish(dir, "cast", &s);
    globfree(&found);
    sample_release(&s);
    engine_close(e);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: report_driver OUT_DIR [FACES_DIR MODELS_DIR]\n");
        return 2;
    }
    mkdir(argv[1], 0777);
    const int rc = made_up(argv[1]);
    return rc || argc == 2 ? rc : cast(argv[1], argv[2], argv[3]);
}
