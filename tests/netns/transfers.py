# SPDX-License-Identifier: GPL-2.0
"""Many slow transfers at a time, of random sizes, in both directions: each byte is compared, and the longest stall measured.

Usage: transfers.py HOST PORT FILE FOLDERS COUNT SEED SECONDS LARGEST OUT
FILE is served as /large; uploads become files in one of FOLDERS (A:B). A transfer has up to LARGEST bytes, and is made to take
about SECONDS. Prints "begun N" at each tenth of them, "running N" once all have begun or failed, and a line for each that fails; OUT
gets the sums as JSON.
"""

import asyncio
import json
import os
import random
import socket
import sys
import time

HOST, PORT, FILE, PUT, COUNT, SEED, SECONDS, LARGEST, OUT = sys.argv[1:]
COUNT, SECONDS, LARGEST = int(COUNT), float(SECONDS), int(LARGEST)
CHUNK = 16384
# After this long without a byte a transfer has failed.
PATIENCE = 150
# So many connections are made at a time.
OPENING = asyncio.Semaphore(100)

content = memoryview(open(FILE, "rb").read())
rand = random.Random(SEED)
begun = 0


class WrongBytes(Exception):
    pass


class Transfer:
    def __init__(self, number):
        self.number = number
        self.upload = rand.random() < 0.5
        self.size = rand.randrange(LARGEST // 5, LARGEST)
        self.start = rand.randrange(0, len(content) - self.size)
        # A small one as often as a large one: servers cut off who says nothing for a minute.
        self.chunk = min(CHUNK, self.size // 32)
        self.stall = 0.0
        self.fault = None
        self.has_begun = False

    async def waits(self, what):
        since = time.monotonic()
        result = await asyncio.wait_for(what, PATIENCE)
        self.stall = max(self.stall, time.monotonic() - since)
        return result

    def expect(self, at, data):
        """These bytes stand there, and not behind the end."""
        at += self.start
        if content[at : min(at + len(data), self.start + self.size)] != data:
            raise WrongBytes(f"within {len(data)} bytes from {at - self.start}")

    async def connection(self):
        """What is not read stays on its way, if it is much: there is room for little of it here. What is not much fits into the
        buffers of proxies, whose sockets would have to bring it."""
        if LARGEST < 1_000_000:
            return await asyncio.open_connection(HOST, PORT, limit=2 * CHUNK)
        sock = socket.socket(socket.AF_INET6 if ":" in HOST else socket.AF_INET)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
        await asyncio.get_running_loop().sock_connect(sock, (HOST, int(PORT)))
        return await asyncio.open_connection(sock=sock, limit=CHUNK)

    async def opens(self, head):
        async with OPENING:
            reader, writer = await self.waits(self.connection())
            writer.write(head.encode())
            await self.waits(writer.drain())
            return reader, writer

    async def run(self):
        try:
            pause = SECONDS / self.size
            if self.upload:
                reader, writer = await self.opens(
                    f"PUT /put/{SEED}-{self.number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {self.size}\r\n\r\n"
                )
                self.begins()
                for at in range(0, self.size, self.chunk):
                    writer.write(content[self.start + at : self.start + min(at + self.chunk, self.size)])
                    await self.waits(writer.drain())
                    await asyncio.sleep(pause * self.chunk)
                head = await self.waits(reader.readuntil(b"\r\n\r\n"))
                self.check(head, b"201")
                await self.waits(reader.read())
                size = self.arrived()
            else:
                last = self.start + self.size - 1
                reader, writer = await self.opens(
                    f"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes={self.start}-{last}\r\n\r\n"
                )
                head = await self.waits(reader.readuntil(b"\r\n\r\n"))
                self.check(head, b"206")
                self.begins()
                size = 0
                while chunk := await self.waits(reader.read(self.chunk)):
                    self.expect(size, chunk)
                    size += len(chunk)
                    await asyncio.sleep(pause * len(chunk))
            writer.close()
            if size != self.size:
                raise ValueError(f"{size} bytes of {self.size}")
        except Exception as fault:
            self.fault = fault
            self.begins()
            kind = "upload" if self.upload else "download"
            print(f"transfer {self.number} ({kind}, {self.size} bytes): {type(fault).__name__}: {fault}", flush=True)

    def arrived(self):
        """The size of what was uploaded, which is right."""
        for folder in PUT.split(":"):
            path = os.path.join(folder, f"{SEED}-{self.number}")
            if os.path.exists(path):
                with open(path, "rb") as file:
                    data = file.read()
                os.remove(path)
                self.expect(0, data)
                return len(data)
        raise FileNotFoundError(f"{SEED}-{self.number}")

    def begins(self):
        global begun
        if self.has_begun:
            return
        self.has_begun = True
        begun += 1
        if begun in {COUNT * n // 10 for n in range(1, 11)}:
            print("begun", begun, flush=True)
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
    corrupted = sum(isinstance(f, WrongBytes) for f in faults)
    sums = {
        "transfers": COUNT,
        "bytes": sum(t.size for t in transfers),
        "lost": len(faults) - corrupted,
        "corrupted": corrupted,
        "longest_stall": round(max(t.stall for t in transfers), 2),
    }
    with open(OUT, "w") as out:
        json.dump(sums, out)


asyncio.run(main())
