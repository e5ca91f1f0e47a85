# SPDX-License-Identifier: GPL-2.0
"""Frames at devices of network namespaces, whole."""

import os
import signal
import struct
import subprocess
import time

from rawtcp import fail

OUT = os.environ.get("OUT", "/tmp")
SLOW = int(os.environ.get("SLOW", "1"))


class Capture:
    """What passes some places until end(). Each has a namespace, a device, which way (in, out or inout), and a filter; a file in OUT
    has them by name. `read` makes what is wanted of a source MAC address and an IP packet."""

    def __init__(self, name, places, read=lambda source, packet: (source, packet)):
        self.files, self.runs, self.read = {}, [], read
        for place, (ns, dev, way, what) in places.items():
            self.files[place] = f"{OUT}/{name}-{ns}-{dev}.pcap"
            self.runs.append(subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{ns}", "tcpdump", "-p", "-Z", "root", "-i", dev, "-Q", way, "-s", "0", "-B", "16384",
                 "--immediate-mode", "-U", "-w", self.files[place], what], stderr=subprocess.PIPE, text=True))
        for p in self.runs:
            while "listening on" not in (line := p.stderr.readline()):
                if not line:
                    fail("tcpdump did not start")

    def end(self):
        """By place: what passed, in its order."""
        sizes = [-1, -2]
        while sizes[-1] != sizes[-2]:
            time.sleep(0.5 * SLOW)
            sizes.append(sum(os.path.getsize(f) for f in self.files.values()))
        for p in self.runs:
            p.send_signal(signal.SIGINT)
            said = p.stderr.read()
            p.wait()
            if "0 packets dropped by kernel" not in said:
                fail(f"a capture is not whole: {said}")
        return {place: [self.read(*f) for f in frames(path)] for place, path in self.files.items()}


def frames(path):
    """Of each frame of a file: the source MAC address, and the IP packet."""
    with open(path, "rb") as f:
        raw = f.read()
    at = 24
    while at < len(raw):
        n = struct.unpack("<IIII", raw[at:at + 16])[2]
        frame = raw[at + 16:at + 16 + n]
        at += 16 + n
        packet = frame[14:]
        # What Ethernet pads short frames with is no part of the packet.
        total = struct.unpack("!H", packet[2:4])[0] if packet[0] >> 4 == 4 else struct.unpack("!H", packet[4:6])[0] + 40
        yield frame[6:12], packet[:total]
