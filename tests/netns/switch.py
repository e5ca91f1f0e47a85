# SPDX-License-Identifier: GPL-2.0
"""A layer-7 switch: accepts, reads a request's head, and hands the connection to the backend that its path names.

Arguments: address, port, and a backend each as NAMESPACE=ADDRESS; the first component of a path names the namespace, or it is the
first backend. A line for each connection: what splicectl said."""

import os
import socket
import subprocess
import sys
import tempfile
import threading

address, port, *backends = sys.argv[1:]
WITHIN = f"{5 * int(os.environ.get('SLOW', '1'))}s"
backends = dict(b.split("=", 1) for b in backends)


def handle(s):
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = s.recv(65536)
        if not chunk:
            return
        head += chunk
    name = head.split(b" ")[1].split(b"/")[1].decode()
    if name not in backends:
        name = next(iter(backends))
    with tempfile.NamedTemporaryFile() as f:
        f.write(head)
        f.flush()
        done = subprocess.run(
            ["splicectl", "handoff", "send", "--fd", str(s.fileno()), "--via", backends[name], "--read", f.name,
             "--timeout", WITHIN, "--", "nsenter", f"--net=/run/netns/{name}", "splicectl", "handoff", "receive", "--timeout", WITHIN],
            pass_fds=[s.fileno()], capture_output=True, text=True)
    print(name, done.returncode, (done.stdout + done.stderr).strip(), flush=True)
    if done.returncode:
        s.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    s.close()


listener = socket.create_server((address, int(port)), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=1000)
while True:
    threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()
