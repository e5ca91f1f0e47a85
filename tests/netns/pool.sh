#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Connections to backends outlive the clients that they served. Many clients with one request each, few connections;
# a backend dies and comes back, and nobody notices.
#
#   clients ── connect, one request, close ── proxy ══ a few connections ══ b1, b2
# Limit: 240 s
. "$(dirname "$0")/lib.sh"

topology
make_file small 1000
make_file medium 100000
serve b1
NGINX_B1=$STARTED_PID
serve b2
cat >"$T/spliced.toml" <<TOML
mode = "splice"
workers = 2
[log]
level = "debug"
access = "$T/access"
[timeouts]
connect = "1s"
[pool.one]
addresses = ["10.0.2.11:80"]
max_idle = 8
[pool.both]
addresses = ["10.0.2.11:80", "10.0.2.12:80"]
max_idle = 8
min_idle = 2
[[listener]]
name = "web"
addresses = ["10.0.1.1:80"]
protocol = "http"
[[listener.route]]
hosts = ["a.test"]
pool = "one"
[[listener.route]]
pool = "both"
TOML
spliced --check --config "$T/spliced.toml"
start spliced proxy spliced --config "$T/spliced.toml"
PROXY_PID=$STARTED_PID
wait_for 20 listening proxy 80

cat >"$T/clients.py" <<'PY'
# THREADS at a time, COUNT connections each, one GET a connection; says how many answers of which backend were right.
import collections, hashlib, socket, sys, threading
host, files, threads, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
digests = {name: open(f"{files}/{name}.sha256").read().strip() for name in ("small", "medium")}
right, lock = collections.Counter(), threading.Lock()
def work(me):
    for n in range(count):
        name = ["small", "medium"][(me + n) % 2]
        try:
            s = socket.create_connection(("10.0.1.1", 80))
            s.settimeout(60)
            s.sendall(f"GET /one/{name} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            f = s.makefile("rb")
            status, fields = f.readline(), {}
            while (line := f.readline().strip()):
                key, value = line.decode().split(": ", 1)
                fields[key.lower()] = value
            body = f.read(int(fields["content-length"]))
            good = status.startswith(b"HTTP/1.1 200") and hashlib.sha256(body).hexdigest() == digests[name]
            what = fields["x-backend"] if good else f"wrong {status}"
            s.close()
        except Exception as e:
            what = f"failed {e!r}"
        with lock:
            right[what] += 1
all = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
for t in all: t.start()
for t in all: t.join()
print(" ".join(f"{key}={value}" for key, value in sorted(right.items())))
PY
clients() { client python3 "$T/clients.py" "$1" "$FILES" "$2" "$3"; }
accepted() { snmp "$1" TcpPassiveOpens; }

step "160 clients, four at a time"
# Those opened ahead are there already.
sleep 1
before=$(accepted b1)
same "answers" "$(clients a.test 4 40)" "b1=160"
made=$(($(accepted b1) - before))
echo "$made connections to the backend"
# Four in use, and those that are on their way back from the kernel, which takes longer on a slow one.
expect "connections that the backend saw, at most" $made -le $((4 * SLOW))
expect "connections that the backend saw, at least" $made -ge 1
lines_are() { [ "$(wc -l <"$T/access")" -ge "$1" ]; }
wait_for 10 lines_are 160
expect "requests on connections used before" "$(jq -s '[.[] | select(.reused)] | length' "$T/access")" -ge 152
expect "requests that the kernel carried" "$(jq -s '[.[] | select(.mode == "spliced" and .spliced_to_client > 0)] | length' "$T/access")" -ge 70
expect "splices that came back" "$(stat_of returned)" -ge 70

step "connections opened ahead"
expect "first request of a connection opened ahead" "$(clients c.test 1 2 >"$T/two" && wait_for 10 lines_are 162 && tail -n 2 "$T/access" | jq -s '[.[] | select(.reused)] | length')" -eq 2
same "each backend in turn" "$(cat "$T/two")" "b1=1 b2=1"

step "a backend dies"
stop "$NGINX_B1"
wait_for 10 bash -c "! nsenter --net=/run/netns/b1 ss -Hltn 'sport = :80' | grep -q ."
same "answers" "$(clients c.test 4 15)" "b2=60"
wait_for 10 lines_are 222
# It is left alone after the first failure.
expect "attempts at the dead backend" "$(tail -n 60 "$T/access" | jq -s 'map(.failed_backends) | add')" -le 12

step "it comes back"
serve b1
back() { client python3 "$T/clients.py" c.test "$FILES" 1 2 | grep -q 'b1=1 b2=1'; }
wait_for 20 back
same "answers" "$(clients c.test 4 10)" "b1=20 b2=20"

step "nothing is left"
stop "$PROXY_PID"
wait_for 30 no_splices
wait_for 20 no_legs
