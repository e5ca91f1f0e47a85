# SPDX-License-Identifier: GPL-2.0
"""Many slow transfers at a time, of random sizes, in both directions: each is hashed, and its longest stall measured.

Usage: transfers.py HOST PORT FILE FOLDERS COUNT SEED SECONDS OUT
FILE is served as /large; uploads become files in one of FOLDERS (A:B). A transfer is made to take about SECONDS. Prints "running N" once all
have begun, and a line for each that fails; OUT gets the sums as JSON.
"""

import asyncio
import hashlib
import json
import os
import random
import sys
import time

HOST, PORT, FILE, PUT, COUNT, SEED, SECONDS, OUT = sys.argv[1:]
COUNT, SECONDS = int(COUNT), float(SECONDS)
CHUNK = 16384
# After this long without a byte a transfer has failed.
PATIENCE = 150

content = open(FILE, "rb").read()
rand = random.Random(SEED)
begun = 0


class Transfer:
    def __init__(self, number):
        self.number = number
        self.upload = rand.random() < 0.5
        self.size = rand.randrange(100_000, 2_000_000)
        self.start = rand.randrange(0, len(content) - self.size)
        self.piece = content[self.start : self.start + self.size]
        self.stall = 0.0
        self.fault = None

    async def waits(self, what):
        since = time.monotonic()
        result = await asyncio.wait_for(what, PATIENCE)
        self.stall = max(self.stall, time.monotonic() - since)
        return result

    async def run(self):
        try:
            reader, writer = await self.waits(asyncio.open_connection(HOST, PORT, limit=2 * CHUNK))
            pause = SECONDS * CHUNK / self.size
            if self.upload:
                head = f"PUT /put/{SEED}-{self.number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {self.size}\r\n\r\n"
                writer.write(head.encode())
                await self.waits(writer.drain())
                self.begins()
                for at in range(0, self.size, CHUNK):
                    writer.write(self.piece[at : at + CHUNK])
                    await self.waits(writer.drain())
                    await asyncio.sleep(pause)
                head = await self.waits(reader.readuntil(b"\r\n\r\n"))
                self.check(head, b"201")
                await self.waits(reader.read())
                body = self.arrived()
            else:
                last = self.start + self.size - 1
                head = f"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes={self.start}-{last}\r\n\r\n"
                writer.write(head.encode())
                head = await self.waits(reader.readuntil(b"\r\n\r\n"))
                self.check(head, b"206")
                self.begins()
                body = b""
                while chunk := await self.waits(reader.read(CHUNK)):
                    body += chunk
                    await asyncio.sleep(pause)
            writer.close()
            if len(body) != self.size:
                raise ValueError(f"{len(body)} bytes of {self.size}")
            if hashlib.sha256(body).digest() != hashlib.sha256(self.piece).digest():
                raise AssertionError("wrong bytes")
        except Exception as fault:
            self.fault = f"{type(fault).__name__}: {fault}"
            print(f"transfer {self.number} ({'upload' if self.upload else 'download'}, {self.size} bytes): {self.fault}", flush=True)

    def arrived(self):
        for folder in PUT.split(":"):
            path = os.path.join(folder, f"{SEED}-{self.number}")
            if os.path.exists(path):
                with open(path, "rb") as file:
                    return file.read()
        raise FileNotFoundError(f"{SEED}-{self.number}")

    def begins(self):
        global begun
        begun += 1
        if begun == COUNT:
            print("running", begun, flush=True)

    def check(self, head, status):
        line = head.split(b"\r\n", 1)[0]
        if line.split(b" ")[1:2] != [status]:
            raise ValueError(f"answered {line!r}")


async def main():
    transfers = [Transfer(n) for n in range(COUNT)]
    await asyncio.gather(*(t.run() for t in transfers))
    faults = [t.fault for t in transfers if t.fault]
    sums = {
        "transfers": COUNT,
        "bytes": sum(t.size for t in transfers),
        "lost": sum(not f.startswith("AssertionError") for f in faults),
        "corrupted": sum(f.startswith("AssertionError") for f in faults),
        "longest_stall": round(max(t.stall for t in transfers), 2),
    }
    with open(OUT, "w") as out:
        json.dump(sums, out)


asyncio.run(main())
