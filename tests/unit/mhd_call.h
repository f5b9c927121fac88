/* Runs a function inside libmicrohttpd's first call for a request: what needs a struct
 * MHD_Connection (the multipart parser) can so be tested and fuzzed without a network. The daemon
 * has no thread and no listening socket; the request comes through a socket pair. Header only. */
#ifndef VISAVIS_TESTS_UNIT_MHD_CALL_H
#define VISAVIS_TESTS_UNIT_MHD_CALL_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct mhd_call {
    void (*inside)(struct MHD_Connection *connection, void *self);
    void *self;
    bool called;
};

static inline enum MHD_Result mhd_call__access(void *cls, struct MHD_Connection *connection,
                                               const char *url, const char *method,
                                               const char *version, const char *data, size_t *size,
                                               void **con_cls)
{
    struct mhd_call *call = *(struct mhd_call **)cls;
    (void)url, (void)method, (void)version, (void)data, (void)size, (void)con_cls;
    if (call->called) return MHD_NO;
    call->called = true;
    call->inside(connection, call->self);
    return MHD_NO; /* closes the connection */
}

static inline void mhd_call__silent(void *cls, const char *fmt, va_list ap)
{
    (void)cls, (void)fmt, (void)ap;
}

/* content_type: of the request, NULL: none. False when MHD did not come to call. */
static inline bool mhd_call(const char *content_type,
                            void (*inside)(struct MHD_Connection *, void *), void *self)
{
    static struct MHD_Daemon *daemon;
    static struct mhd_call *current;
    struct mhd_call call = {inside, self, false};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char head[600];
    int pair[2];

    if (!daemon)
        daemon = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL,
                                  mhd_call__access, &current, MHD_OPTION_EXTERNAL_LOGGER,
                                  mhd_call__silent, NULL, MHD_OPTION_END);
    if (!daemon || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair)) return false;
    int n = snprintf(head, sizeof head,
                     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n%s%s%s\r\n",
                     content_type ? "Content-Type: " : "", content_type ? content_type : "",
                     content_type ? "\r\n" : "");
    bool ok = write(pair[0], head, (size_t)n) == n;
    current = &call;
    if (!ok || !MHD_add_connection(daemon, pair[1], (struct sockaddr *)&address, sizeof address))
        close(pair[1]);
    for (int i = 0; i < 10 && !call.called; i++) MHD_run(daemon);
    close(pair[0]);
    for (int i = 0; i < 3; i++) MHD_run(daemon); /* lets it clean up */
    current = NULL;
    return call.called;
}

#endif
