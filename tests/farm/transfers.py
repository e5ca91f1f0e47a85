# SPDX-License-Identifier: GPL-2.0
"""Downloads that last as long as they are wanted to: N of each site at once, each read at a rate, until /run/hurry is there,
then as fast as they come. A body is hashed, not kept.

    python3 transfers.py ADDRESS PORT PATH N RATE PATIENCE SITE...

/run/transfers has a line for each, anew five times a second: "NUMBER STATE BYTES STALL SITE PORT REST". STATE is running,
complete or lost; BYTES are of the body; STALL is the longest time in ms for which bytes were wanted and none came; PORT is the
client's; REST is the body's SHA-256, or why it was lost. A transfer that nothing comes of for PATIENCE seconds is lost."""

import hashlib
import os
import select
import socket
import sys
import time

STATUS = "/run/transfers"
HURRY = "/run/hurry"


class Transfer:
    def __init__(self, number, address, path, site):
        self.number, self.site, self.port = number, site, 0
        self.state, self.rest = "running", "-"
        self.head, self.length, self.got = b"", None, 0
        self.sum = hashlib.sha256()
        self.wanted = None  # since when a byte is wanted
        self.stall = 0.0
        self.socket = socket.socket()
        # Little room, so that a stall is not hidden by what waits in the socket.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        self.socket.settimeout(30)
        try:
            self.socket.connect(address)
            self.port = self.socket.getsockname()[1]
            self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {site}\r\nConnection: close\r\n\r\n".encode())
        except OSError as error:
            self.end("lost", f"connecting: {error}")
        self.socket.setblocking(False)
        self.began = time.monotonic()

    def end(self, state, rest):
        self.state, self.rest = state, rest
        self.socket.close()

    def waits(self, now):
        """Notes how long it has waited by now."""
        if self.wanted is not None:
            self.stall = max(self.stall, now - self.wanted)

    def read(self, most):
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return
        except OSError as error:
            self.end("lost", f"at byte {self.got}: {error.strerror}")
            return
        self.waits(time.monotonic())
        self.wanted = None
        if not data:
            self.closed()
            return
        if self.length is None:
            self.head += data
            head, found, data = self.head.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.decode("latin-1").lower().split("\r\n")
            if " 200 " not in lines[0]:
                self.end("lost", f"answer: {lines[0]}")
                return
            self.length = int(next(line.split(":")[1] for line in lines if line.startswith("content-length:")))
        self.got += len(data)
        self.sum.update(data)

    def closed(self):
        if self.got == self.length:
            self.end("complete", self.sum.hexdigest())
        else:
            self.end("lost", f"at byte {self.got}: closed, of {self.length}")

    def __str__(self):
        return f"{self.number} {self.state} {self.got} {self.stall * 1000:.0f} {self.site} {self.port} {self.rest}\n"


def report(transfers):
    with open(STATUS + ".new", "w", encoding="ascii", errors="replace") as file:
        file.write("".join(map(str, transfers)))
    os.rename(STATUS + ".new", STATUS)


def main():
    address, path = (sys.argv[1], int(sys.argv[2])), sys.argv[3]
    count, rate, patience = map(int, sys.argv[4:7])
    transfers = [Transfer(number, address, path, site) for number, site in enumerate(sys.argv[7:] * count)]
    told = 0.0
    while True:
        running = [transfer for transfer in transfers if transfer.state == "running"]
        now = time.monotonic()
        if now - told >= 0.2 or not running:
            report(transfers)
            told = now
        if not running:
            break
        hurry = os.path.exists(HURRY)
        due = {transfer: 65536 if hurry else int(rate * (now - transfer.began)) - transfer.got for transfer in running}
        hungry = [transfer for transfer in running if due[transfer] > 0]
        for transfer in hungry:
            transfer.wanted = transfer.wanted or now
            transfer.waits(now)
        readable = select.select([transfer.socket for transfer in hungry], [], [], 0.05)[0]
        for transfer in hungry:
            if transfer.socket in readable:
                transfer.read(min(65536, due[transfer]))
            elif now - transfer.wanted > patience:
                transfer.end("lost", f"at byte {transfer.got}: nothing for {patience} s")


main()
