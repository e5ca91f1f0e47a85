#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# The orderly end. Each end's FIN passes once; the proxy adds neither a FIN nor a RST of its own, and nothing of
# the connection stays in it. A half-closed connection lives as long as the ends want.
#
#   client ── FIN ──> proxy ── FIN ──> b1        client <── FIN ── proxy <── FIN ── b1
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file small 1000
make_file medium 3000000
serve b1
serve b2
NGINX_B2=$STARTED_PID
proxy_start splice
monitor
capture_all

step "the client closes first (curl with keep-alive)"
get 4 http://a.test/medium b1
step "the server closes first"
get 4 http://a.test/medium b1 -H 'Connection: close'
wait_for 10 has_ended fin 2
wait_for 10 no_legs
same "live splices" "$(stat_of splices)" 0

step "half-close: the server answers after the client's FIN"
stop "$NGINX_B2"
cat >"$T/server.py" <<'PY'
# Reads to the end of the request, however long it takes, and only then answers: a hash of what it got and a body.
import hashlib, socket, sys, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", 80))
listener.listen()
s, _ = listener.accept()
got = b""
while chunk := s.recv(65536):
    got += chunk
time.sleep(2)
s.sendall(hashlib.sha256(got).hexdigest().encode() + open(sys.argv[1], "rb").read())
s.close()
PY
cat >"$T/half.py" <<'PY'
import hashlib, socket, sys, time
s = socket.create_connection(("10.0.1.1", 80))
asked = b"PUT /x HTTP/1.1\r\nHost: b.test\r\nContent-Length: 2000000\r\n\r\n"
s.sendall(asked)
time.sleep(0.5)
body = bytes(range(250)) * 8000
s.sendall(body)
s.shutdown(socket.SHUT_WR)
data = b""
while chunk := s.recv(65536):
    data += chunk
print(hashlib.sha256(data[64:]).hexdigest(), data[:64].decode() == hashlib.sha256(asked + body).hexdigest())
PY
start server b2 python3 "$T/server.py" "$FILES/medium"
wait_for 20 listening b2 80
same "answer after a half-close" "$(client python3 "$T/half.py")" "$(cat "$FILES/medium.sha256") True"
wait_for 10 has_ended fin 3
wait_for 10 no_legs
wait_for 90 no_tombstones
captures_end
judge_all --complete --lossless
few_retransmits
for side in up down; do
	same "FINs $side beside the client" "$(counted client .$side.fins)" 3
	same "FINs $side beside the backends" "$(($(counted b1 .$side.fins) + $(counted b2 .$side.fins)))" 3
done
