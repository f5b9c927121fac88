/* Deadlines of connections. MHD's own time-out starts again with every byte, so a client that sends
 * one a second would hold a connection for ever; here a phase has an end whatever arrives. One
 * lock; an MHD thread changes a connection's phase, the housekeeper ends those that are late: it
 * sends a last answer where one is due and shuts the socket down, which the MHD thread sees as a
 * client that went away.
 *
 * Invariant: a socket is only touched under the lock and before watch_remove, which MHD calls
 * before it closes it. */
#ifndef VISAVIS_SERVER_HTTP_WATCH_H
#define VISAVIS_SERVER_HTTP_WATCH_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct watch;
struct watched;

NODISCARD enum err watch_new(struct watch **out, struct err_info *err);
void watch_free(struct watch *w); /* every connection must be removed */

/* A new connection, waiting seconds for its first request. NULL: no memory. */
struct watched *watch_add(struct watch *w, int fd, double seconds);
void watch_remove(struct watch *w, struct watched *c);

/* What a connection is doing. Where it reads, a client that has gone is noticed by the sweep too:
 * MHD 0.9.75 misses an end of stream that arrives together with the last bytes (edge-triggered
 * epoll, short read). While we work or answer, a client that closed only its sending side still
 * waits for us. */
enum watch_phase { WATCH_READING, WATCH_ANSWERING };

/* A new phase that ends in `seconds` (0: never), or earlier after stall seconds without
 * watch_alive (0: never). last_words: a whole HTTP response that is sent if it comes to that, NULL:
 * none; malloc'd, taken in every case. false: too late, the connection was already ended. */
bool watch_enter(struct watch *w, struct watched *c, enum watch_phase phase, double seconds,
                 double stall, char *last_words);
/* Bytes came in. Lock-free. */
void watch_alive(struct watched *c);
/* Sends the last words now and ends our side; false when that already happened. */
bool watch_end_now(struct watch *w, struct watched *c);
/* Has the client closed, or reset, with nothing left to read? While nobody else reads the socket
 * and the connection cannot end. */
bool watch_client_gone(const struct watched *c);
/* Was it ended here (and not by the client)? */
bool watch_ended(struct watch *w, struct watched *c);

/* Ends what is late; called a few times a second. */
void watch_sweep(struct watch *w);
size_t watch_count(struct watch *w);

#endif
