/* Command lines by a table: what goes where, what is refused, which actions take what was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine/base/mem.h"
#include "server/cli/cli.h"

enum { WORDS_MAX = 16, MAKE = 0, SHOW = 1 };
static const char help[] = "usage: for people\n";

struct got {
    const char *text;
    bool flag, flag2;
    int whole;
    double number;
    enum face_select face;
    struct cli_words w;
    char *argv[WORDS_MAX + 2];
};

/* Words apart from each other by blanks. */
static bool read_line(struct got *g, char line[128], const char *words)
{
    const struct cli_option table[] = {
        {"text", .text = &g->text},
        {"flag", .flag = &g->flag},
        {"flag-two", .flag = &g->flag2, .of = 1 << MAKE},
        {"whole", .whole = &g->whole, .least = 1, .most = 9, .of = 1 << MAKE | 1 << SHOW},
        {"number", .number = &g->number, .least = 0.5, .most = 2, .of = 1 << SHOW},
        {"face", .take = cli_face, .self = &g->face},
        {0}};
    static char name[] = "command";
    int argc = 1;

    *g = (struct got){.whole = 5, .number = 1, .face = FACE_MAIN, .argv = {name}};
    strcpy(line, words);
    for (char *p = strtok(line, " "); p && argc <= WORDS_MAX; p = strtok(NULL, " "))
        g->argv[argc++] = p;
    return cli_options(&g->w, argc, g->argv, table, help);
}

static void values(void **state)
{
    (void)state;
    char line[128];
    struct got g;

    assert_true(read_line(&g, line, "a b"));
    assert_int_equal(g.w.n, 2);
    assert_string_equal(g.w.word[1], "b");
    assert_true(!g.text && !g.flag && g.whole == 5 && g.number == 1.0 && g.face == FACE_MAIN);
    assert_true(read_line(&g, line, "a --whole 9 --flag b --number=0.5 --face all --text --flag"));
    assert_int_equal(g.w.n, 2);
    assert_string_equal(g.w.word[0], "a");
    assert_string_equal(g.w.word[1], "b");
    assert_string_equal(g.text, "--flag");
    assert_true(g.flag && !g.flag2 && g.whole == 9 && g.number == 0.5 && g.face == FACE_ALL);
    assert_true(
        read_line(&g, line, "--text a --text= --wh 1 -- --flag")); /* the last; a beginning */
    assert_string_equal(g.text, "");
    assert_int_equal(g.whole, 1);
    assert_true(g.w.n == 1 && !g.flag);
}

static void refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "--nose x",
        "-x",
        "--text",
        "--flag=1",
        "--fl",
        "--whole 0",
        "--whole 10",
        "--whole",
        "--whole 1x",
        "--whole 0x1",
        "--whole=",
        "--whole 1.0",
        "--number 0.4",
        "--number 3",
        "--number nan",
        "--number 1,",
        "--number=",
        "--face nose",
        "--whole 99999999999999999999",
        "--nose --help",
    };
    char line[128];
    struct got g;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (read_line(&g, line, wrong[i])) fail_msg("%s is taken", wrong[i]);
        assert_int_equal(g.w.code, CLI_ERROR);
    }
}

static void asked_for_help(void **state)
{
    (void)state;
    static const char *const asks[] = {"--help", "-h", "--he", "a --flag -h", "-h --nose"};
    char line[128];
    struct got g;

    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        if (read_line(&g, line, asks[i])) fail_msg("%s goes on", asks[i]);
        assert_int_equal(g.w.code, CLI_OK);
    }
    assert_int_equal(cli_usage(help), CLI_ERROR);
}

static void actions(void **state)
{
    (void)state;
    static const struct cli_action known[] = {{"make", 1}, {"show", 0}, {0}};
    static const struct {
        const char *words;
        int want;
    } cases[] = {
        {"", -1},
        {"make", -1},
        {"make x", MAKE},
        {"make x y", -1},
        {"show", SHOW},
        {"show x", -1},
        {"other", -1},
        {"sho", -1},
        {"--text x show --flag", SHOW},
        {"make x --flag-two", MAKE},
        {"show --flag-two", -1},
        {"show --whole 2 --number 2", SHOW},
        {"make x --whole 2", MAKE},
        {"make x --whole 2 --number 2", -1},
    };
    char line[128];
    struct got g;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(read_line(&g, line, cases[i].words));
        const int is = cli_action(&g.w, known);
        if (is != cases[i].want) fail_msg("\"%s\" is action %d", cases[i].words, is);
    }
}

static void last_parts(void **state)
{
    (void)state;
    static const struct {
        const char *path, *last;
    } cases[] = {{"a", "a"},        {"a/b", "b"}, {"/a/bc", "bc"}, {"a/b/", "b"},
                 {"a/bc///", "bc"}, {"a/", "a"},  {"/", ""},       {"", ""}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int len;
        const char *last = cli_last_part(&len, cases[i].path);
        assert_int_equal(len, (int)strlen(cases[i].last));
        assert_memory_equal(last, cases[i].last, strlen(cases[i].last));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(refused),
                                       cmocka_unit_test(asked_for_help), cmocka_unit_test(actions),
                                       cmocka_unit_test(last_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
