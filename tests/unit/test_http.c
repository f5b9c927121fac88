#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The edge with routes of its own, in this process: what visavis' routes do not use (files), and
 * stopping with work in hand. */
#include "engine/base/mem.h"
#include "server/http/http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

enum { FILE_BYTES = 3000000 };

static atomic_bool inside, let_go;

static enum err give_file(struct app *app, struct request *rq, struct reply *rp,
                          struct err_info *err)
{
    (void)app, (void)rq;
    int fd = memfd_create("file", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, FILE_BYTES)) return err_set(err, ERR_IO, "no file");
    return reply_file(rp, 200, "application/octet-stream", fd, err);
}

static enum err give_param(struct app *app, struct request *rq, struct reply *rp,
                           struct err_info *err)
{
    (void)app;
    return reply_json(
        rp, 200,
        json_pack("{s:s, s:s*}", "thing", request_param(rq, "thing"), "q", request_query(rq, "q")),
        err);
}

/* Works until it is told to end. */
static enum err linger(struct app *app, struct request *rq, struct reply *rp, struct err_info *err)
{
    (void)app, (void)rq;
    atomic_store(&inside, true);
    while (!atomic_load(&let_go)) usleep(100);
    return reply_json(rp, 200, json_pack("{s:b}", "done", 1), err);
}

static const struct route routes[] = {
    {"GET", "/file", 0, 0, give_file},
    {"GET", "/things/{thing}", ROUTE_INLINE, 0, give_param},
    {"GET", "/linger", 0, 0, linger},
};

static struct http *start(struct http_address *address)
{
    struct http *h = NULL;
    struct err_info err = ERR_INFO_INIT;
    struct http_options o = {
        .routes = routes, .n_routes = ARRAY_LEN(routes), .spool_dir = "/tmp", .workers = 2};
    if (http_bind(address, "127.0.0.1:0", &err) || http_start(&h, address, &o, &err))
        fail_msg("%s", err.message);
    assert_int_equal(address->fd, -1);
    return h;
}

static int dial(const struct http_address *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)address->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void ask(int fd, const char *line)
{
    char text[300];
    int n =
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", line);
    assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

/* Everything until the end; returns its length, its beginning in text. */
static size_t hear(int fd, char *text, size_t size)
{
    char rest[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = recv(fd, rest, sizeof rest, 0)) > 0) {
        for (ssize_t i = 0; i < n && total + (size_t)i + 1 < size; i++)
            text[total + (size_t)i] = rest[i];
        total += (size_t)n;
    }
    text[total < size ? total : size - 1] = 0;
    close(fd);
    return total;
}

static void replies(void **state)
{
    struct http_address address;
    struct http *h = start(&address);
    char text[2000];
    (void)state;
    int fd = dial(&address);
    ask(fd, "GET /file");
    size_t n = hear(fd, text, sizeof text);
    assert_non_null(strstr(text, "HTTP/1.1 200"));
    assert_non_null(strstr(text, "Content-Length: 3000000"));
    assert_int_equal(n, (size_t)(strstr(text, "\r\n\r\n") + 4 - text) + FILE_BYTES);
    fd = dial(&address);
    ask(fd, "GET /things/a%2Fb%20c?q=1");
    hear(fd, text, sizeof text);
    /* MHD decodes before we route: %2F separates, like '/' */
    assert_non_null(strstr(text, "404"));
    fd = dial(&address);
    ask(fd, "GET /things/b%20c?q=%C3%A4");
    hear(fd, text, sizeof text);
    assert_non_null(strstr(text, "{\"thing\":\"b c\",\"q\":\"\xc3\xa4\"}"));
    http_stop(h);
    http_stop(NULL);
}

static void *stop(void *h)
{
    http_stop(h);
    return NULL;
}

static void stopping_finishes_what_is_in_work(void **state)
{
    struct http_address address;
    struct http *h = start(&address);
    pthread_t stopper;
    char text[2000];
    (void)state;
    int working = dial(&address), idle = dial(&address);
    ask(working, "GET /linger");
    while (!atomic_load(&inside)) usleep(100);
    assert_int_equal(pthread_create(&stopper, NULL, stop, h), 0);
    while (!http_stopping(h)) usleep(100);
    ask(idle, "GET /things/x"); /* an open connection: new work is refused */
    hear(idle, text, sizeof text);
    assert_non_null(strstr(text, "503"));
    assert_non_null(strstr(text, "shutting down"));
    assert_non_null(strstr(text, "Retry-After: 1"));
    atomic_store(&let_go, true);
    hear(working, text, sizeof text);
    assert_non_null(strstr(text, "{\"done\":true}"));
    pthread_join(stopper, NULL);
}

static void addresses(void **state)
{
    static const struct {
        const char *listen;
        enum err want;
        bool loopback;
    } rows[] = {
        {"127.0.0.1:0", ERR_OK, true},
        {"127.3.2.1:0", ERR_OK, true},
        {"0.0.0.0:0", ERR_OK, false},
        {":0", ERR_OK, false},
        {"localhost:0", ERR_OK, true},
        {"", ERR_INVALID, false},
        {"127.0.0.1", ERR_INVALID, false},
        {"127.0.0.1:", ERR_INVALID, false},
        {"127.0.0.1:65536", ERR_INVALID, false},
        {"127.0.0.1:-1", ERR_INVALID, false},
        {"::1:80", ERR_INVALID, false},
        {"[::1:80", ERR_INVALID, false},
        {"300.0.0.1:0", ERR_INVALID, false},
        {"192.0.2.1:0", ERR_IO, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_address a = {.fd = -1};
        struct err_info err = ERR_INFO_INIT;
        enum err rc = http_bind(&a, rows[i].listen, &err);
        if (rc != rows[i].want)
            fail_msg("\"%s\": %s (%s)", rows[i].listen, err_name(rc), err.message);
        if (rc) continue;
        if (a.loopback != rows[i].loopback || a.port <= 0)
            fail_msg("\"%s\": %s", rows[i].listen, a.text);
        struct http_address again;
        assert_int_equal(listen(a.fd, 1), 0);
        if (rows[i].listen[0] == '1')
            assert_int_equal(http_bind(&again, a.text, &err), ERR_CONFLICT);
        close(a.fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies),
        cmocka_unit_test(stopping_finishes_what_is_in_work),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
