#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine/engine.h"
#include "tests/unit/report_sample.h"

static const size_t OUT_MAX = 64 << 20;

static const struct kind {
    const char *name;
    enum err (*make)(struct buf *, const json_t *, struct err_info *);
} kinds[] = {{"html", report_html}, {"svg", report_svg}, {"png", report_png}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static json_t *report_of(struct sample_options o)
{
    struct sample s;
    json_t *report = NULL;

    if (!sample_make(&s, &o)) fail_msg("no sample");
    assert_int_equal(report_json(&report, s.result, s.report, s.faces, s.n, &s.about, NULL), 0);
    sample_release(&s);
    return report;
}

static struct buf made(const json_t *report, int kind)
{
    struct buf out = BUF_INIT(OUT_MAX);
    struct err_info err = ERR_INFO_INIT;

    if (kinds[kind].make(&out, report, &err)) fail_msg("%s: %s", kinds[kind].name, err.message);
    return out;
}

static size_t count(const struct buf *text, const char *what)
{
    size_t n = 0;
    for (const char *s = (const char *)text->data; (s = strstr(s, what)); s += strlen(what)) n++;
    return n;
}

/* Every tag is closed in its turn, and every & begins an entity: enough of XML for what is written
 * here. The browser's test parses it in earnest. */
static void assert_well_formed(const struct buf *text)
{
    char open[16][32];
    int depth = 0;

    for (const char *s = (const char *)text->data; *s; s++) {
        if ((unsigned char)*s < ' ' && *s != '\n') fail_msg("a control character");
        if (*s == '&' && strncmp(s, "&lt;", 4) && strncmp(s, "&gt;", 4) && strncmp(s, "&amp;", 5) &&
            strncmp(s, "&quot;", 6))
            fail_msg("a bare &: %.20s", s);
        if (*s != '<') continue;
        const size_t n = strcspn(s + 1, " >/");
        const char *end = strchr(s, '>');
        assert_non_null(end);
        if (s[1] == '/') {
            const char *name = depth ? open[--depth] : "nothing";
            if (strncmp(s + 2, name, strlen(name))) fail_msg("%.20s closes %s", s, name);
        } else if (end[-1] != '/') {
            assert_true(depth < 16 && n < sizeof open[0]);
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)n, s + 1);
        }
        s = end;
    }
    assert_int_equal(depth, 0);
}

/* How many of the pixels are not white. */
static size_t drawn_pixels(const struct buf *png)
{
    uint8_t *rgb = NULL;
    int w, h;
    size_t drawn = 0;

    assert_int_equal(engine_pixels(&rgb, &w, &h, png->data, png->len, NULL), ERR_OK);
    assert_int_equal(w, 2800);
    assert_int_equal(h, 2000);
    for (size_t i = 0; i < (size_t)w * (size_t)h; i++)
        drawn += (rgb[3 * i] & rgb[3 * i + 1]) != 255;
    free(rgb);
    return drawn;
}

static void test_every_face_is_there(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct sample_options options;
        size_t clusters;
    } cases[] = {
        {"one face", {.strangers = 1, .thumbnails = true}, 0},
        {"all apart", {.strangers = 12, .thumbnails = true}, 0},
        {"one cluster", {.people = 1, .each = 8}, 1},
        {"some", {.people = 5, .each = 6, .strangers = 3, .thumbnails = true}, 5},
        {"5,000", {.people = 450, .each = 10, .strangers = 500, .thumbnails = true}, 450},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample_options o = cases[i].options;
        o.algorithm = CLUSTER_AVERAGE;
        json_t *report = report_of(o);
        const size_t n = json_array_size(json_object_get(report, "faces"));
        struct buf html = made(report, 0), svg = made(report, 1), png = made(report, 2);

        print_message("%s: html %zu, svg %zu, png %zu bytes\n", cases[i].name, html.len, svg.len,
                      png.len);
        assert_well_formed(&svg);
        assert_int_equal(count(&svg, "<polygon "), cases[i].clusters);
        assert_true(count(&svg, "<image ") + count(&svg, "<circle ") >= n);
        assert_true(n < 1000 || svg.len < 4 << 20);
        assert_true(drawn_pixels(&png) > 20 * n);
        assert_int_equal(count(&html, "</script>"), 2);
        buf_release(&html);
        buf_release(&svg);
        buf_release(&png);
        json_decref(report);
    }
}

/* The JSON in the page is the report, and nothing in it can end its element. */
static void test_page_holds_the_report(void **state)
{
    (void)state;
    static const char begin[] = "<script type=\"application/json\" id=\"report\">";
    json_t *report =
        report_of((struct sample_options){.people = 2, .each = 3, .algorithm = CLUSTER_AVERAGE});
    json_t *f = json_array_get(json_object_get(report, "faces"), 0);

    json_object_set_new(f, "file", json_string("</script><!--<script>{{title}}"));
    json_object_set_new(report, "title", json_string("</title><script>&{{data}}"));
    struct buf html = made(report, 0);
    const char *from = strstr((const char *)html.data, begin);
    assert_non_null(from);
    from += strlen(begin);
    const char *to = strstr(from, "</script>");
    assert_non_null(to);
    assert_null(memchr(from, '<', (size_t)(to - from)));
    json_t *back = json_loadb(from, (size_t)(to - from), 0, NULL);
    assert_true(json_equal(back, report) == 1);
    assert_int_equal(count(&html, "<title>&lt;/title>&lt;script>&amp;{{data}}</title>"), 1);
    assert_int_equal(count(&html, "default-src 'none'"), 1);
    assert_int_equal(count(&html, "'sha256-"), 2);
    buf_release(&html);
    json_decref(back);
    json_decref(report);
}

static void test_names_are_escaped_in_svg(void **state)
{
    (void)state;
    json_t *report =
        report_of((struct sample_options){.people = 2, .each = 3, .algorithm = CLUSTER_AVERAGE});
    json_t *faces = json_object_get(report, "faces"),
           *clusters = json_object_get(report, "clusters");

    json_object_set_new(json_array_get(faces, 0), "file",
                        json_string("<script>\"&'\x01\xef\xbf\xbf"));
    json_object_set_new(
        json_array_get(clusters, 0), "label",
        json_string("</text>\n\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d, and much longer yet"));
    json_object_set_new(report, "title", json_string("<b>&amp;"));
    struct buf svg = made(report, 1);
    assert_well_formed(&svg);
    assert_int_equal(count(&svg, "<title>&lt;script&gt;&quot;&amp;'  </title>"), 1);
    assert_int_equal(count(&svg, "&lt;b&gt;&amp;amp;"), 2); /* as title and as heading */
    assert_int_equal(count(&svg, "0 \xc2\xb7 &lt;/text&gt; \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d, and "
                                 "much\xe2\x80\xa6"),
                     3); /* cut between characters: name, legend, and the legend's dot */
    buf_release(&svg);
    struct buf png = made(report, 2);
    assert_true(drawn_pixels(&png) > 1000);
    buf_release(&png);
    json_decref(report);
}

static void test_no_faces(void **state)
{
    (void)state;
    json_t *report = json_pack("{s:s, s:[], s:[]}", "title", "nothing", "faces", "clusters");

    for (int k = 0; k < KINDS; k++) {
        struct buf out = made(report, k);
        if (k == 1) assert_well_formed(&out);
        assert_true(out.len > 100);
        buf_release(&out);
    }
    json_decref(report);
}

static void test_bounded(void **state)
{
    (void)state;
    json_t *report = report_of((struct sample_options){
        .people = 3, .each = 3, .algorithm = CLUSTER_AVERAGE, .thumbnails = true});

    for (int k = 0; k < KINDS; k++) {
        struct buf whole = made(report, k);
        for (size_t max = 10; max < whole.len; max += whole.len / 7) {
            AUTO_BUF struct buf out = BUF_INIT(max);
            struct err_info err = ERR_INFO_INIT;
            assert_int_equal(kinds[k].make(&out, report, &err), ERR_TOO_LARGE);
            assert_true(out.len <= max);
        }
        buf_release(&whole);
    }
    json_decref(report);
}

static void test_what_is_no_report(void **state)
{
    (void)state;
#define FACE(place, cluster, rest)                                                                 \
    "{\"title\":\"t\",\"clusters\":[{\"label\":null,\"size\":1,\"medoid\":0}],\"faces\":[{"        \
    "\"pca\":" place ",\"cluster\":" cluster rest "}]}"
    static const struct {
        const char *json;
        enum err html, png;
    } cases[] = {
        {"[]", ERR_INVALID, ERR_INVALID},
        {"{}", ERR_INVALID, ERR_INVALID},
        {"{\"title\":\"t\",\"faces\":{},\"clusters\":[]}", ERR_INVALID, ERR_INVALID},
        {"{\"title\":1,\"faces\":[],\"clusters\":[]}", ERR_INVALID, ERR_INVALID},
        {"{\"title\":\"t\",\"faces\":[1],\"clusters\":[]}", ERR_INVALID, ERR_INVALID},
        {"{\"title\":\"t\",\"faces\":[],\"clusters\":[{\"size\":1,\"medoid\":0}]}", ERR_INVALID,
         ERR_INVALID},
        {FACE("[1]", "0", ""), ERR_INVALID, ERR_INVALID},
        {FACE("[1,1e300]", "0", ""), ERR_INVALID, ERR_INVALID},
        {FACE("[1,2]", "1", ""), ERR_INVALID, ERR_INVALID},
        {FACE("[1,2]", "-1", ""), ERR_INVALID, ERR_INVALID},
        {FACE("[1,2]", "\"0\"", ""), ERR_INVALID, ERR_INVALID},
        {FACE("[1,2]", "0", ",\"thumbnail\":\"\\\"/><script>\""), ERR_INVALID, ERR_INVALID},
        {FACE("[1,2]", "0", ",\"thumbnail\":\"AAAA\""), ERR_OK, ERR_UNSUPPORTED_IMAGE},
        {FACE("[1,2]", "0", ",\"thumbnail\":\"A\""), ERR_OK, ERR_BAD_BASE64},
        {FACE("[1,2]", "0", ""), ERR_OK, ERR_OK},
        {FACE("[1,2]", "null", ""), ERR_OK, ERR_OK},
    };
#undef FACE

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *o = json_loads(cases[i].json, 0, NULL);
        assert_non_null(o);
        for (int k = 0; k < KINDS; k++) {
            AUTO_BUF struct buf out = BUF_INIT(OUT_MAX);
            struct err_info err = ERR_INFO_INIT;
            const enum err want = k == 2 ? cases[i].png : cases[i].html;
            const enum err rc = kinds[k].make(&out, o, &err);
            if (rc != want)
                fail_msg("%s of %s: %s (%s)", kinds[k].name, cases[i].json, err_name(rc),
                         err.message);
            if (rc) assert_true(*err.message);
        }
        json_decref(o);
    }
}

static void test_same_bytes(void **state)
{
    (void)state;
    json_t *report = report_of((struct sample_options){
        .people = 3, .each = 4, .algorithm = CLUSTER_AVERAGE, .thumbnails = true});

    for (int k = 0; k < KINDS; k++) {
        struct buf a = made(report, k), b = made(report, k);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        buf_release(&a);
        buf_release(&b);
    }
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_face_is_there),
        cmocka_unit_test(test_page_holds_the_report),
        cmocka_unit_test(test_names_are_escaped_in_svg),
        cmocka_unit_test(test_no_faces),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_what_is_no_report),
        cmocka_unit_test(test_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
