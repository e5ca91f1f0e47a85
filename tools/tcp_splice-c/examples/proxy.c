/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A proxy with one server: reads a request, and leaves the rest to the kernel. With "handoff" the connection moves to the server's
 * host; what cannot move is spliced.
 *
 * Usage: proxy PORT SERVER PORT [handoff]	(IPv4)
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcp_splice.h"

static int connect_to(const struct sockaddr_in *server)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)server, sizeof(*server)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void serve(struct tcp_splice *kernel, int client, const struct sockaddr_in *server, const char *handoff)
{
	char head[16384];
	size_t length = 0;
	int to = -1, error;

	while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4) != 0) {
		ssize_t n = length < sizeof(head) ? read(client, head + length, sizeof(head) - length) : -1;

		if (n <= 0)
			goto out;
		length += n;
	}
	if (handoff) {
		error = tcp_splice_hand_off(kernel, client, head, length, handoff, TCP_SPLICE_DIRECT, NULL);
		if (error < 0)
			fprintf(stderr, "it stays: %s (%s)\n", tcp_splice_error(kernel), strerror(-error));
		if (error >= 0)
			goto out;
	}
	to = connect_to(server);
	if (to < 0 || write(to, head, length) != (ssize_t)length)
		goto out;
	error = tcp_splice_join(kernel, client, to, NULL);
	if (error)
		fprintf(stderr, "%s (%s)\n", tcp_splice_error(kernel), strerror(-error));
out:
	if (to >= 0)
		close(to);
	close(client);
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET }, server = { .sin_family = AF_INET };
	struct tcp_splice_events *events;
	struct tcp_splice_event event;
	struct tcp_splice *kernel;
	char handoff[64];
	int error, one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc < 4 || inet_pton(AF_INET, argv[2], &server.sin_addr) != 1)
		return 2;
	here.sin_port = htons(atoi(argv[1]));
	server.sin_port = htons(atoi(argv[3]));
	snprintf(handoff, sizeof(handoff), "%s:%s", argv[2], argv[3]);
	error = tcp_splice_open(&kernel);
	if (!error)
		error = tcp_splice_events_open(&events);
	if (error) {
		fprintf(stderr, "tcp_splice: %s\n", strerror(-error));
		return 1;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) || listen(fd, 128))
		return 1;
	for (;;) {
		struct pollfd fds[] = { { fd, POLLIN, 0 }, { tcp_splice_events_fd(events), POLLIN, 0 } };

		poll(fds, 2, -1);
		while (tcp_splice_events_next(events, &event) == 1)
			if (event.kind == TCP_SPLICE_EVENT_END)
				printf("ended: %u, %llu bytes\n", event.reason, (unsigned long long)event.bytes_to_client);
		fflush(stdout);
		if (fds[0].revents & POLLIN)
			serve(kernel, accept(fd, NULL, NULL), &server, argc > 4 ? handoff : NULL);
	}
}
