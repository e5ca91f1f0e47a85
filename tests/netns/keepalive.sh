#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Requests that share a connection of a client go each to its own backend. What is large goes through the kernel,
# which gives both sockets back when it has carried exactly the body; user space sees heads.
#
#   client ── one connection ── proxy ──┬── b1: /one/..., GET, PUT
#                                       └── b2: /two/...
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

HTTP_KEYS=('keep_alive = true')
topology
make_file small 1000
make_file medium 100000
make_file large 4M
serve b1 b2
monitor
capture_all
proxy_start splice

# last N FILTER: a number over the lines of the last N requests.
last() { tail -n "$1" "$T/access" | jq -s "$2"; }
lines() { wc -l <"$T/access"; }
lines_are() { [ "$(lines)" -ge "$1" ]; }
# urls FAMILY NAME...: one curl, one connection: the names in turn from b1 and b2.
urls() {
	local fam=$1 n=0 args=() name side
	shift
	rm -f "$T"/body.* "$T/heads"
	for name in "$@"; do
		n=$((n + 1))
		side=$([ $((n % 2)) = 1 ] && echo one || echo two)
		args+=(-o "$T/body.$n" "http://c.test/$side/$name")
	done
	client curl -sS --fail --max-time $((60 * SLOW)) --resolve "c.test:80:$(vip "$fam")" -D "$T/heads" -w '%{num_connects}\n' "${args[@]}" >"$T/connects"
	same "connections of curl" "$(awk '{ n += $1 } END { print n }' "$T/connects")" 1
	n=0
	for name in "$@"; do
		n=$((n + 1))
		same "SHA-256 of the response $n, $name" "$(sum_of <"$T/body.$n")" "$(cat "$FILES/$name.sha256")"
	done
}

all=0
for fam in 4 6; do
	step "one connection, IPv$fam"
	names=(large large small medium medium small large medium)
	urls $fam "${names[@]}"
	same "backends over IPv$fam" "$(tr -d '\r' <"$T/heads" | sed -n 's/^[Xx]-[Bb]ackend: //p' | paste -sd' ')" "b1 b2 b1 b2 b1 b2 b1 b2"
	all=$((all + ${#names[@]}))
	wait_for 10 lines_are $all
	same "requests of this connection" "$(last 8 'map(.request) == [1, 2, 3, 4, 5, 6, 7, 8]')" true
	same "how they were carried" "$(last 8 'map(.mode) | join(" ")')" '"spliced spliced copied spliced spliced copied spliced spliced"'
	same "requests of connections used before" "$(last 8 '[.[] | select(.reused)] | length')" $((fam == 4 ? 6 : 6))
	# The head, and what came with it: the rest is the kernel's.
	size=$(stat -L -c %s "$FILES/large")
	expect "bytes of a large body that user space saw, at most" "$(last 8 '[.[] | select(.path | endswith("large")) | .carried_to_client] | max')" -le 66000
	same "bytes of the large bodies, all counted" "$(last 8 "[.[] | select(.path | endswith(\"large\")) | .carried_to_client + .spliced_to_client > $size] | all")" true
	expect "bytes the kernel carried" "$(last 8 'map(.spliced_to_client) | add')" -ge $((3 * size - 200000))
done
step "the kernel's own account"
expect "splices that came back" "$(stat_of returned)" -ge 12
has_ended returned 12 || fail "events: $(ended returned) returned, expected 12"

step "an upload between two downloads"
for fam in 4 6; do
	for expects in 'Expect:' 'Expect: 100-continue'; do
		rm -f "$T/b2/put/large"
		client curl -sS --fail --max-time $((60 * SLOW)) -w '%{num_connects}\n' -o "$T/body.1" --resolve "c.test:80:$(vip $fam)" http://c.test/one/medium \
			--next -sS --fail -w '%{num_connects}\n' -o /dev/null --resolve "b.test:80:$(vip $fam)" --connect-to "b.test:80:$(vip $fam):80" -H "$expects" -T "$FILES/large" http://b.test/put/large \
			--next -sS --fail -w '%{num_connects}\n' -o "$T/body.2" --resolve "c.test:80:$(vip $fam)" http://c.test/one/large >"$T/connects"
		same "SHA-256 of the upload over IPv$fam, $expects" "$(sum_of <"$T/b2/put/large")" "$(cat "$FILES/large.sha256")"
		same "SHA-256 before it" "$(sum_of <"$T/body.1")" "$(cat "$FILES/medium.sha256")"
		same "SHA-256 after it" "$(sum_of <"$T/body.2")" "$(cat "$FILES/large.sha256")"
	done
done

cat >"$T/pipeline.py" <<'PY'
# Sends 20 requests of mixed sizes at once, an upload among them, and checks the answers, in their order.
import hashlib, socket, sys, time
address, files = sys.argv[1:3]
names = ["large", "small", "medium", "small", "small", "medium", "large", "small", "medium", "medium"] * 2
upload = open(files + "/large", "rb").read()
wants, requests = [], b""
for n, name in enumerate(names):
    side = ["one", "two"][n % 2]
    if n == 7:
        requests += b"PUT /put/pipelined HTTP/1.1\r\nHost: b.test\r\nContent-Length: %d\r\n\r\n" % len(upload) + upload
        wants.append(("b2", None))
    else:
        requests += f"GET /{side}/{name} HTTP/1.1\r\nHost: c.test\r\n\r\n".encode()
        wants.append((["b1", "b2"][n % 2], open(files + "/" + name + ".sha256").read().strip()))
s = socket.create_connection((address, 80))
s.settimeout(100)
import threading
threading.Thread(target=s.sendall, args=(requests,), daemon=True).start()
f = s.makefile("rb")
for n, (backend, digest) in enumerate(wants):
    status = f.readline()
    fields = {}
    while (line := f.readline().strip()):
        key, value = line.decode().split(": ", 1)
        fields[key.lower()] = value
    assert status.startswith(b"HTTP/1.1 20"), (n, status)
    assert fields["x-backend"] == backend, (n, fields)
    body = f.read(int(fields.get("content-length", 0)))
    if digest:
        assert hashlib.sha256(body).hexdigest() == digest, (n, len(body))
s.shutdown(socket.SHUT_WR)
assert f.read() == b""
print(len(wants))
PY
for fam in 4 6; do
	step "20 requests at once, IPv$fam"
	v=$(vip $fam)
	v=${v#[}
	same "answers" "$(client python3 "$T/pipeline.py" "${v%]}" "$FILES")" 20
	same "SHA-256 of the upload" "$(sum_of <"$T/b2/put/pipelined")" "$(cat "$FILES/large.sha256")"
	rm -f "$T/b2/put/pipelined"
done

step "nothing is left"
stop "$PROXY_PID"
wait_for 30 no_splices
same "splices that ended otherwise than by a return" "$(jq -s '[.[] | select(.event == "end" and .reason != "returned")] | length' "$T/events.json")" 0
captures_end
judge_all --lossless
# curl: one connection a family, and two for each of four uploads, since the host changes; the raw client: one a family.
same "connections of clients" "$(counted client '.connections | length')" 12
