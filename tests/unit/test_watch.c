#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/http/watch.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Deadlines are in the past or far away: no test waits. */
static const double PAST = -1, FAR = 1000;

struct pair_of {
    int ours, theirs;
};

static struct pair_of sockets(void)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    return (struct pair_of){fd[0], fd[1]};
}

/* What the client's side reads: text, then "|" where the stream has ended. */
static const char *heard(int fd)
{
    static char text[200];
    ssize_t n = recv(fd, text, sizeof text - 2, 0);
    if (n < 0) return "(nothing)";
    text[n] = 0;
    char one;
    if (n == 0 || recv(fd, &one, 1, 0) == 0) strcat(text, "|");
    return text;
}

static struct watch *new_watch(void)
{
    struct watch *w;
    assert_int_equal(watch_new(&w, NULL), ERR_OK);
    return w;
}

static void ends_what_is_late(void **state)
{
    struct watch *w = new_watch();
    struct pair_of s[4];
    struct watched *c[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        s[i] = sockets();
        c[i] = watch_add(w, s[i].ours, i == 0 ? PAST : FAR);
    }
    assert_int_equal(watch_count(w), 4);
    /* 1: late with last words, 2: stood still, 3: in time */
    assert_true(watch_enter(w, c[1], WATCH_READING, 1e-9, 0, strdup("too late")));
    assert_true(watch_enter(w, c[2], WATCH_READING, FAR, 1e-9, strdup("too slow")));
    assert_true(watch_enter(w, c[3], WATCH_READING, FAR, FAR, strdup("never said")));
    watch_sweep(w);
    assert_string_equal(heard(s[0].theirs), "|");
    assert_string_equal(heard(s[1].theirs), "too late|");
    assert_string_equal(heard(s[2].theirs), "too slow|");
    assert_string_equal(heard(s[3].theirs), "(nothing)");
    for (int i = 0; i < 4; i++) {
        if (watch_ended(w, c[i]) != (i < 3)) fail_msg("connection %d", i);
        assert_int_equal(watch_enter(w, c[i], WATCH_ANSWERING, FAR, 0, NULL), i == 3);
        watch_remove(w, c[i]);
        close(s[i].ours);
        close(s[i].theirs);
    }
    assert_int_equal(watch_count(w), 0);
    watch_free(w);
    watch_free(NULL);
}

static void no_deadline_while_we_work(void **state)
{
    struct watch *w = new_watch();
    struct pair_of s = sockets();
    struct watched *c = watch_add(w, s.ours, PAST);
    (void)state;
    assert_true(watch_enter(w, c, WATCH_ANSWERING, 0, 0, NULL));
    watch_sweep(w);
    assert_string_equal(heard(s.theirs), "(nothing)");
    assert_false(watch_ended(w, c));
    watch_remove(w, c);
    close(s.ours);
    close(s.theirs);
    watch_free(w);
}

static void last_words_at_once(void **state)
{
    struct watch *w = new_watch();
    struct pair_of s = sockets();
    struct watched *c = watch_add(w, s.ours, FAR);
    (void)state;
    assert_true(watch_enter(w, c, WATCH_READING, FAR, 0, strdup("no more")));
    assert_true(watch_end_now(w, c));
    assert_false(watch_end_now(w, c));
    assert_string_equal(heard(s.theirs), "no more|");
    /* the client may still send for a while: only our side is closed */
    assert_int_equal(send(s.theirs, "x", 1, MSG_NOSIGNAL), 1);
    watch_remove(w, c);
    close(s.ours);
    close(s.theirs);
    watch_free(w);
}

static void a_client_that_closed_is_noticed(void **state)
{
    struct watch *w = new_watch();
    struct pair_of s[2] = {sockets(), sockets()};
    struct watched *c[2];
    char byte;
    (void)state;
    /* 0: its bytes are read, and its end is still to be; 1: it closed its side and waits for our
     * answer */
    for (int i = 0; i < 2; i++) {
        c[i] = watch_add(w, s[i].ours, FAR);
        assert_int_equal(shutdown(s[i].theirs, SHUT_WR), 0);
    }
    assert_true(watch_enter(w, c[1], WATCH_ANSWERING, FAR, 0, NULL));
    watch_sweep(w);
    assert_int_equal(recv(s[0].theirs, &byte, 1, 0), 0);
    assert_int_equal(recv(s[1].theirs, &byte, 1, 0), -1);
    for (int i = 0; i < 2; i++) {
        assert_false(watch_ended(w, c[i])); /* the client did it */
        watch_remove(w, c[i]);
        close(s[i].ours);
        close(s[i].theirs);
    }
    watch_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_what_is_late),
        cmocka_unit_test(no_deadline_while_we_work),
        cmocka_unit_test(last_words_at_once),
        cmocka_unit_test(a_client_that_closed_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
