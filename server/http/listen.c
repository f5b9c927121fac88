#include "server/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* "HOST:PORT" -> both; brackets of an IPv6 host are taken off. false: it is not of that form. */
static bool split(char *host, size_t host_size, char *port, size_t port_size, const char *listen)
{
    const char *colon = strrchr(listen, ':');
    char *end;

    if (!colon) return false;
    size_t n = (size_t)(colon - listen);
    if (n && listen[0] == '[') {
        if (listen[n - 1] != ']') return false;
        listen++;
        n -= 2;
    } else if (memchr(listen, ':', n)) {
        return false; /* an IPv6 address wants brackets */
    }
    long number = strtol(colon + 1, &end, 10);
    if (n >= host_size || end == colon + 1 || *end || number < 0 || number > 65535) return false;
    memcpy(host, listen, n);
    host[n] = 0;
    snprintf(port, port_size, "%ld", number);
    return true;
}

static bool is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

static int bind_one(const struct addrinfo *a)
{
    int on = 1, off = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* [::] means every address, IPv4 too, whatever the system's default is. */
    if (a->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (!bind(fd, a->ai_addr, a->ai_addrlen)) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

enum err http_bind(struct http_address *out, const char *listen, struct err_info *err)
{
    char host[64], port[8], number[INET6_ADDRSTRLEN + 20], service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;

    if (!split(host, sizeof host, port, sizeof port, listen))
        return err_set(err, ERR_INVALID,
                       "cannot listen on \"%.80s\": it must read HOST:PORT, [IPV6]:PORT or :PORT",
                       listen);
    int failed = getaddrinfo(*host ? host : NULL, port, &hints, &list);
    if (failed)
        return err_set(err, ERR_INVALID, "cannot listen on \"%.80s\": %s", listen,
                       gai_strerror(failed));
    /* ":PORT" gives both wildcards; IPv6's covers IPv4, so it is tried first. */
    int fd = -1;
    for (int want6 = !*host; fd < 0 && want6 >= 0; want6--)
        for (const struct addrinfo *a = list; fd < 0 && a; a = a->ai_next)
            if (!want6 || a->ai_family == AF_INET6) fd = bind_one(a);
    int saved = errno;
    freeaddrinfo(list);
    if (fd < 0)
        return err_set(err, saved == EADDRINUSE ? ERR_CONFLICT : ERR_IO,
                       "cannot listen on %.80s: %s", listen, strerror(saved));
    if (getsockname(fd, (struct sockaddr *)&bound, &size) ||
        getnameinfo((struct sockaddr *)&bound, size, number, sizeof number, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV)) {
        close(fd);
        return err_set(err, ERR_IO, "cannot read the address of the socket for %.80s", listen);
    }
    out->fd = fd;
    out->port = atoi(service);
    out->loopback = is_loopback(&bound);
    bool v6 = bound.ss_family == AF_INET6;
    snprintf(out->text, sizeof out->text, "%s%s%s:%s", v6 ? "[" : "", number, v6 ? "]" : "",
             service);
    return ERR_OK;
}
