/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For proxies: once a request is read and a server chosen, the kernel does the rest.
 *
 *	struct tcp_splice *kernel;
 *
 *	if (tcp_splice_open(&kernel) == 0 && tcp_splice_join(kernel, client, server, NULL) == 0) {
 *		close(client);
 *		close(server);
 *	}
 *
 * Link with -ltcp_splice_c. Every call needs CAP_NET_ADMIN over the network namespace of the calling thread. One thread at a time uses a
 * struct tcp_splice or a struct tcp_splice_events; several may have one each.
 */
#ifndef TCP_SPLICE_H
#define TCP_SPLICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kernel's splices of a network namespace. */
struct tcp_splice;

/* 0 and *kernel; or a negative errno: ENOENT when the module is not loaded, and so on. */
int tcp_splice_open(struct tcp_splice **kernel);
void tcp_splice_close(struct tcp_splice *kernel);

/* Why the last call did not succeed, in a sentence without a stop; until the next call. */
const char *tcp_splice_error(const struct tcp_splice *kernel);

/*
 * Joins two connected TCP sockets. What one end sends goes to the other, first of all what is in the sockets unread. The caller closes
 * the descriptors, by which nothing can be read or written any more.
 *
 * 0 and in *id, unless it is NULL, the splice's identity; or a negative errno, and both sockets are as they were.
 */
int tcp_splice_join(struct tcp_splice *kernel, int client, int server, uint64_t *id);

/* How a client's packets get to the host of its server. */
enum tcp_splice_way {
	TCP_SPLICE_DIRECT = 0,	/* in a frame to a neighbour (TCP handoff) */
	TCP_SPLICE_TUNNEL = 1,	/* in a packet to the server's address (connection hop) */
};

/*
 * Where the spliced of this host answers, instead of /run/spliced/control; and how many milliseconds another host may take to
 * answer, instead of 5,000. A negative errno, and nothing has changed, if the path is no text.
 */
int tcp_splice_set_control(struct tcp_splice *kernel, const char *path);
void tcp_splice_set_patience(struct tcp_splice *kernel, uint32_t ms);

/*
 * Moves a client's connection to the host of the server "10.0.2.21:80" or "[fd00:2::21]:80", where whoever listens on the client's
 * side of the connection accepts it. The length bytes that were read of it last are the first that it reads there. The
 * caller closes the descriptor.
 *
 * 0 and in *id, unless it is NULL, the identity of the flow that the client's packets go by; a negative errno, and the socket is as it was:
 * EREMOTEIO when the other host does not take it or cannot be reached; or 1: nobody knows whether the other host has it, and
 * the socket is of no use any more.
 */
int tcp_splice_hand_off(struct tcp_splice *kernel, int client, const void *read, size_t length, const char *server,
			enum tcp_splice_way way, uint64_t *id);

/*
 * Takes a connection that another host moves here: connection is what "splicectl handoff send" gives its command. Nobody need
 * listen; the connection's own address has to be this host's. Whoever sends it is told afterwards.
 *
 * 0 and in *fd the connected socket, with what its client has sent to be read, which the caller closes; a negative errno, and the connection
 * stayed where it was; or 1: it is lost, and whoever had it has to let it go as if it had moved.
 */
int tcp_splice_receive(struct tcp_splice *kernel, const char *connection, int *fd);

/* What happens to splices. */
struct tcp_splice_events;

enum tcp_splice_event_kind {
	TCP_SPLICE_EVENT_NEW = 1,
	TCP_SPLICE_EVENT_END = 2,
	TCP_SPLICE_EVENT_LOST = 3,	/* they came faster than they were read */
};

struct tcp_splice_event {
	uint32_t kind;			/* enum tcp_splice_event_kind */
	uint32_t reason;		/* of an end: enum tcp_splice_end_reason of linux/tcp_splice.h */
	uint64_t id;
	uint64_t bytes_to_server;	/* carried by the kernel, in all */
	uint64_t bytes_to_client;
};

/* 0 and *events, which tell of what happens from now on; or a negative errno. */
int tcp_splice_events_open(struct tcp_splice_events **events);
void tcp_splice_events_close(struct tcp_splice_events *events);
/* Readable when there are events; for poll(2). */
int tcp_splice_events_fd(const struct tcp_splice_events *events);
/* 1 and the next event; 0 when there is none now; or a negative errno. */
int tcp_splice_events_next(struct tcp_splice_events *events, struct tcp_splice_event *event);

#ifdef __cplusplus
}
#endif

#endif
