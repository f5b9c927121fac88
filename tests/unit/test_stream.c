#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Replies that are streams, over real sockets: many listeners, few threads. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/http/http.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENERS = 50, RECV_S = 60 };

/* A source that all listeners share: a number that grows; each listener is told each new one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int number;
static bool over;
static struct listener {
    struct listener *next;
    int told;
    void (*wake)(void *arg);
    void *arg;
} * listeners;
static atomic_int opened, closed, reads;

static void listen_to(void *self, void (*wake)(void *arg), void *arg)
{
    struct listener *l = self;
    pthread_mutex_lock(&lock);
    l->wake = wake;
    l->arg = arg;
    pthread_mutex_unlock(&lock);
}

static size_t read_number(void *self, char *out, size_t max, bool *end)
{
    struct listener *l = self;
    size_t n = 0;
    atomic_fetch_add(&reads, 1);
    pthread_mutex_lock(&lock);
    if (l->told != number) n = (size_t)snprintf(out, max, "<%d>", l->told = number);
    *end = over;
    pthread_mutex_unlock(&lock);
    return n;
}

static void close_listener(void *self)
{
    pthread_mutex_lock(&lock);
    struct listener **p = &listeners;
    while (*p != self) p = &(*p)->next;
    *p = (*p)->next;
    pthread_mutex_unlock(&lock);
    free(self);
    atomic_fetch_add(&closed, 1);
}

static enum err give_stream(struct app *app, struct request *rq, struct reply *rp,
                            struct err_info *err)
{
    struct listener *l = calloc(1, sizeof *l);
    (void)app, (void)rq;
    if (!l) return err_set(err, ERR_NOMEM, "no listener");
    l->told = -1;
    pthread_mutex_lock(&lock);
    l->next = listeners;
    listeners = l;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&opened, 1);
    reply_stream(
        rp, 200, "text/plain",
        &(struct reply_stream){l, listen_to, read_number, close_listener, .idle = "(idle)"});
    return ERR_OK;
}

static void set(int to, bool end)
{
    pthread_mutex_lock(&lock);
    number = to;
    over = end;
    for (struct listener *l = listeners; l; l = l->next)
        if (l->wake) l->wake(l->arg);
    pthread_mutex_unlock(&lock);
}

static enum err give_word(struct app *app, struct request *rq, struct reply *rp,
                          struct err_info *err)
{
    (void)app, (void)rq;
    return reply_json(rp, 200, json_pack("{s:s}", "word", "yes"), err);
}

static const struct route routes[] = {
    {"GET", "/stream", 0, 0, give_stream},
    {"GET", "/word", 0, 0, give_word},
};

static struct http *start(struct http_address *address, int streams_max, double idle_s)
{
    struct http *h = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct http_options o = {.routes = routes,
                             .n_routes = ARRAY_LEN(routes),
                             .spool_dir = "/tmp",
                             .workers = 2,
                             .streams_max = streams_max,
                             .stream_idle_s = idle_s};
    number = 0;
    over = false;
    atomic_store(&opened, 0);
    atomic_store(&closed, 0);
    atomic_store(&reads, 0);
    if (http_bind(address, "127.0.0.1:0", &err) || http_start(&h, address, &o, &err))
        fail_msg("%s", err.message);
    return h;
}

static int dial(const struct http_address *address, const char *request)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)address->port)};
    struct timeval patience = {.tv_sec = RECV_S};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    return fd;
}

static const char ask_stream[] = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
static const char ask_word[] = "GET /word HTTP/1.1\r\nHost: x\r\n\r\n";

/* Reads up to and with what ends so, or to the end; text gets it all. */
static bool hear(int fd, char *text, size_t size, const char *until)
{
    size_t n = 0;
    while (n + 1 < size && recv(fd, text + n, 1, 0) == 1) {
        text[++n] = 0;
        size_t k = strlen(until);
        if (k && n >= k && !strcmp(text + n - k, until)) return true;
    }
    text[n] = 0;
    return false;
}

static void becomes(atomic_int *what, int want)
{
    double until = clock_seconds() + RECV_S;
    while (atomic_load(what) != want && clock_seconds() < until) usleep(1000);
    assert_int_equal(atomic_load(what), want);
}

static void many_listeners_hold_no_thread(void **state)
{
    struct http_address address;
    struct http *h = start(&address, 0, 1000);
    int fd[LISTENERS];
    char text[2000], want[20];
    (void)state;
    for (int i = 0; i < LISTENERS; i++) fd[i] = dial(&address, ask_stream);
    for (int i = 0; i < LISTENERS; i++) {
        assert_true(hear(fd[i], text, sizeof text, "<0>\r\n"));
        assert_non_null(strstr(text, "200 OK"));
    }
    for (int round = 1; round <= 20; round++) {
        set(round, false);
        snprintf(want, sizeof want, "<%d>\r\n", round);
        for (int i = 0; i < LISTENERS; i++) assert_true(hear(fd[i], text, sizeof text, want));
        /* both workers are free, and so are MHD's threads */
        int other = dial(&address, ask_word);
        assert_true(hear(other, text, sizeof text, "yes\"}\n"));
        close(other);
    }
    /* Each number is read once, and then once more to find nothing: no loop turned meanwhile. */
    assert_in_range(atomic_load(&reads), LISTENERS * 21, LISTENERS * 21 * 3);
    set(21, true);
    for (int i = 0; i < LISTENERS; i++) {
        assert_true(hear(fd[i], text, sizeof text, "\r\n0\r\n\r\n"));
        assert_non_null(strstr(text, "<21>"));
    }
    becomes(&closed, LISTENERS);
    /* the connection goes on */
    assert_int_equal(send(fd[0], ask_word, strlen(ask_word), MSG_NOSIGNAL), strlen(ask_word));
    assert_true(hear(fd[0], text, sizeof text, "yes\"}\n"));
    for (int i = 0; i < LISTENERS; i++) close(fd[i]);
    http_stop(h);
}

static void a_client_that_goes_is_noticed(void **state)
{
    struct http_address address;
    struct http *h = start(&address, 0, 1000);
    char text[2000];
    (void)state;
    int stays = dial(&address, ask_stream);
    assert_true(hear(stays, text, sizeof text, "<0>\r\n"));
    for (int i = 0; i < 2; i++) {
        int fd = dial(&address, ask_stream);
        assert_true(hear(fd, text, sizeof text, "<0>\r\n"));
        struct linger reset = {.l_onoff = 1};
        if (i) assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        close(fd); /* the second time with a reset */
        becomes(&closed, i + 1);
    }
    set(1, false);
    assert_true(hear(stays, text, sizeof text, "<1>\r\n"));
    close(stays);
    becomes(&closed, 3);
    http_stop(h);
}

static void silence_is_broken(void **state)
{
    struct http_address address;
    struct http *h = start(&address, 0, 0.3);
    char text[2000];
    (void)state;
    int fd = dial(&address, ask_stream), old = dial(&address, "GET /stream HTTP/1.0\r\n\r\n");
    assert_true(hear(fd, text, sizeof text, "<0>\r\n"));
    double begun = clock_seconds();
    assert_true(hear(fd, text, sizeof text, "(idle)\r\n"));
    assert_true(clock_seconds() - begun > 0.25);
    assert_true(hear(fd, text, sizeof text, "(idle)\r\n"));
    set(1, false);
    assert_true(hear(fd, text, sizeof text, "<1>\r\n"));
    /* an HTTP/1.0 client gets the same without chunks */
    assert_true(hear(old, text, sizeof text, "<0>(idle)"));
    close(fd);
    close(old);
    becomes(&closed, 2);
    http_stop(h);
}

static void stopping_ends_streams(void **state)
{
    struct http_address address;
    struct http *h = start(&address, 0, 1000);
    int fd[LISTENERS];
    char text[2000];
    (void)state;
    for (int i = 0; i < LISTENERS; i++) fd[i] = dial(&address, ask_stream);
    for (int i = 0; i < LISTENERS; i++) assert_true(hear(fd[i], text, sizeof text, "<0>\r\n"));
    double begun = clock_seconds();
    http_stop(h);
    assert_true(clock_seconds() - begun < 9); /* none was waited for until the grace time's end */
    assert_int_equal(atomic_load(&closed), LISTENERS);
    for (int i = 0; i < LISTENERS; i++) {
        assert_false(hear(fd[i], text, sizeof text, "nothing more"));
        assert_string_equal(text, "0\r\n\r\n"); /* not cut short */
        close(fd[i]);
    }
}

static void too_many_and_head(void **state)
{
    struct http_address address;
    struct http *h = start(&address, 2, 1000);
    char text[2000];
    int fd[3];
    (void)state;
    int head = dial(&address, "HEAD /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_false(hear(head, text, sizeof text, "<"));
    assert_non_null(strstr(text, "200 OK"));
    close(head);
    becomes(&closed, 1); /* nothing is read for HEAD */
    for (int i = 0; i < 2; i++) {
        fd[i] = dial(&address, ask_stream);
        assert_true(hear(fd[i], text, sizeof text, "<0>\r\n"));
    }
    fd[2] = dial(&address, ask_stream);
    assert_true(hear(fd[2], text, sizeof text, "}\n"));
    assert_non_null(strstr(text, "503"));
    assert_non_null(strstr(text, "2 clients listen to events, which is the limit"));
    assert_int_equal(atomic_load(&closed), 2);
    for (int i = 0; i < 3; i++) close(fd[i]);
    becomes(&closed, 4);
    http_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_listeners_hold_no_thread),
        cmocka_unit_test(a_client_that_goes_is_noticed),
        cmocka_unit_test(silence_is_broken),
        cmocka_unit_test(stopping_ends_streams),
        cmocka_unit_test(too_many_and_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
