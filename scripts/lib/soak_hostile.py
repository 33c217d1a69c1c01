"""The hostile clients of scripts/soak. None of them checks anything but whether it was turned away."""

import asyncio
import random
import socket
import struct
import time
from collections import Counter

VALID = (
    b"GET /small/1.txt HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip, br\r\nUser-Agent: x\r\n\r\n",
    b"GET /megabyte.bin HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=0-99,200-299,500-\r\n\r\n",
    b"HEAD /small/2.txt HTTP/1.0\r\nConnection: keep-alive\r\nIf-None-Match: \"a\", W/\"b\"\r\n\r\n",
    b"POST /small/3.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /small/4.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
    b"GET http://a/%2e%2e/%73mall/5.txt?q HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
)
PATIENCE = 30
# How many addresses a kind has, by its network; 40,000 unless said here.
SPREAD = {11: 3, 19: 2, 50: 4}


class Hostile:
    """Clients of one process, each kind from addresses of its own."""

    def __init__(self, port, seed, sizes):
        self.port, self.sizes = port, sizes
        self.rng = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.counts = Counter()
        # Held until the server has given everything back by itself.
        self.held = set()
        self.tasks = []
        self.number = 0

    async def connect(self, network):
        self.number += 1
        made = socket.socket()
        made.setblocking(False)
        # Small, so that the kernel's memory for TCP, which is that of both sides here, is for the most part the server's.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        # Closing is a reset: nothing of the client stays in the kernel.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        made.setsockopt(socket.SOL_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        number = self.number % SPREAD.get(network, 40_000)
        made.bind((f"127.{network}.{number // 200}.{number % 200 + 1}", 0))
        self.held.add(made)
        try:
            await asyncio.wait_for(self.loop.sock_connect(made, ("127.0.0.1", self.port)), PATIENCE)
        except (OSError, TimeoutError, asyncio.TimeoutError):
            self.close(made)
            raise
        self.counts["hostile connections"] += 1
        return made

    def close(self, made):
        self.held.discard(made)
        made.close()

    async def send(self, made, data):
        await asyncio.wait_for(self.loop.sock_sendall(made, data), PATIENCE)

    async def receive(self, made, size=4096, patience=PATIENCE):
        data = await asyncio.wait_for(self.loop.sock_recv(made, size), patience)
        if data.startswith(b"HTTP/1.1 503 "):
            self.counts["503 seen"] += 1
        return data

    async def until_closed(self, made):
        """Waits for the server to end the connection, a little longer than any of its limits."""
        while await self.receive(made, 65536, 60):
            pass

    # Each takes a new connection and does its worst with it.

    async def slow_head(self, made):
        await self.send(made, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        big = self.rng.random() < 0.5
        while True:
            await self.send(made, b"X-Slow: " + b"x" * (self.rng.randrange(3000) if big else 1) + b"\r\n")
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))

    async def large_head(self, made):
        """A head that does not end, of a size for each kind of buffer."""
        await self.send(made, b"GET / HTTP/1.1\r\nX: " + b"x" * self.rng.choice((900, 3900, 16_000)))
        await self.until_closed(made)

    async def silent(self, made):
        await self.until_closed(made)

    async def slow_reader(self, made):
        await self.send(made, b"GET /large.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        if await self.receive(made, 100):
            while await self.receive(made, 16, 60):
                await asyncio.sleep(self.rng.uniform(0.5, 2))

    async def never_reads(self, made):
        await self.send(made, b"GET /large.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await asyncio.sleep(self.rng.uniform(5, 40))

    async def idle(self, made):
        await self.send(made, VALID[0])
        await self.until_closed(made)

    async def reset(self, made):
        """Goes away in some phase of a connection."""
        phase = self.rng.randrange(7)
        if phase == 1:
            await self.send(made, b"GET /small/1.txt HT")
        elif phase == 2:
            await self.send(made, VALID[0])
        elif phase == 3:
            await self.send(made, b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            await self.receive(made, 20_000)
        elif phase == 4:
            await self.send(made, b"POST /small/1.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
        elif phase == 5:
            await self.send(made, b"POST /small/1.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nabc")
        elif phase == 6:
            await self.send(made, b"nonsense\r\n\r\n")
            await self.receive(made)
        if self.rng.random() < 0.5:
            await asyncio.sleep(self.rng.uniform(0, 0.1))

    async def pipeline(self, made):
        """Requests without end, no answer read."""
        # Answers that are gathered, to the last byte there is room for, or one by one.
        path = self.rng.choice((b"/small/39.txt", b"/many/700.txt", b"/many/882.txt"))
        for _ in range(200):
            await asyncio.wait_for(self.loop.sock_sendall(made, (b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path) * 50), 10)

    async def random_bytes(self, made):
        await self.send(made, self.rng.randbytes(self.rng.choice((1, 10, 100, 5000, 40_000))))
        await self.receive(made, patience=3)

    async def mutated(self, made):
        data = bytearray(b"".join(self.rng.choices(VALID, k=self.rng.randrange(1, 4))))
        for _ in range(self.rng.randrange(1, 6)):
            at = self.rng.randrange(len(data))
            change = self.rng.randrange(4)
            if change == 0:
                data[at] = self.rng.randrange(256)
            elif change == 1:
                del data[at : at + self.rng.randrange(1, 20)]
            elif change == 2:
                data[at:at] = self.rng.choice((b"\r\n", b"\0", b" ", b":", b"9", b"\n", b"A" * 300, b"%00", b"/../"))
            else:
                data[at:at] = data[self.rng.randrange(len(data)) :][: self.rng.randrange(60)]
            if not data:
                return
        await self.send(made, bytes(data))
        await self.receive(made, patience=3)

    async def broken_chunks(self, made):
        await self.send(made, b"POST /small/1.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        kind = self.rng.randrange(6)
        if kind == 0:
            # Chunks without end, at a pace no limit of progress minds.
            for _ in range(100):
                await self.send(made, b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await asyncio.sleep(0.1)
        else:
            await self.send(
                made,
                (b"", b"ffffffffffffffffff\r\n", b"5\r\nhelloXX", b"-1\r\n", b"5;" + b"a" * 30_000, b"5\nhello\n0\n\n")[kind],
            )
        await self.receive(made, patience=3)

    async def stalled_upload(self, made):
        await self.send(made, b"POST /small/1.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100)
        if self.rng.random() < 0.5:
            while True:
                await self.send(made, b"x")
                await asyncio.sleep(self.rng.uniform(0.5, 1.5))
        await self.until_closed(made)

    async def scan(self, made):
        """More files and dead ends than any cache holds."""
        for _ in range(100):
            path = self.rng.choice((f"/many/{self.rng.randrange(1000)}.txt", f"/dead/{self.rng.randrange(10_000)}"))
            await self.send(made, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            if not await self.receive(made, 65536):
                return

    async def flood(self, network):
        """Many connections at once, some with a request, all gone at once."""
        made = await asyncio.gather(*(self.connect(network) for _ in range(self.sizes["flood"])), return_exceptions=True)
        made = [one for one in made if isinstance(one, socket.socket)]
        for one in made[::2]:
            try:
                one.send(self.rng.choice(VALID))
            except OSError:
                pass
        await asyncio.sleep(self.rng.uniform(0, 0.3))
        for one in made:
            self.close(one)

    async def client(self, network, behaviour, pause):
        """One client of a kind, over and over. Cut off in the middle at the end of the run, it holds its connection."""
        await asyncio.sleep(self.rng.uniform(0, min(pause * 2, 3)))
        while True:
            try:
                if behaviour == self.flood:
                    await self.flood(network)
                else:
                    made = await self.connect(network)
                    try:
                        await behaviour(made)
                    except (OSError, TimeoutError, asyncio.TimeoutError):
                        pass
                    self.close(made)
            except (OSError, TimeoutError, asyncio.TimeoutError):
                self.counts["hostile connections refused"] += 1
            await asyncio.sleep(pause * self.rng.uniform(0.5, 1.5))

    def start(self, count, network, behaviour, pause):
        made = [asyncio.create_task(self.client(network, behaviour, pause)) for _ in range(count)]
        self.tasks += made
        return made


def fill(port, connections):
    """Uses every kind of memory to its end while nothing else happens: how far two runs fill a buffer that is seldom used must not
    be left to chance. `connections` at once, then two at a time, one for each worker."""
    held = []
    for number in range(connections):
        held.append(quick_connect(port, f"127.41.{number // 200}.{number % 200 + 1}"))
        held[-1].sendall(VALID[0])
    for made in held:
        made.close()
    host = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    ranges = b",".join(b"%d-%d" % (first, first + 9000) for first in range(0, 160_000, 10_000))
    payloads = (
        (b"GET /many/882.txt" + host + b"\r\n") * 60,
        (b"GET /small/39.txt" + host + b"\r\n") * 300,
        b"GET /" + host + b"X: " + b"x" * 16_300,
        b"GET /" + b"a" * 3900 + host + b"\r\n",
        b"GET /%41" + b"/%61" * 1900 + host + b"\r\n",
        b"GET /megabyte.bin" + host + b"Range: bytes=" + ranges + b"\r\n\r\n",
        b"GET /large.bin" + host + b"\r\n",
        b"POST /small/1.txt" + host + b"X: " + b"x" * 16_000 + b"\r\nContent-Length: 9\r\n\r\nbody",
    )
    for _ in range(4):
        for payload in payloads:
            pair = []
            for _ in range(2):
                made = quick_connect(port)
                made.send(payload)
                pair.append(made)
            time.sleep(0.06)
            for made in pair:
                made.close()
    for number in range(1000):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as made:
            made.sendall(f"GET /many/{number}.txt HTTP/1.0\r\nHost: a\r\n\r\n".encode())
            while made.recv(65536):
                pass


def quick_connect(port, source="127.0.0.1"):
    """A connection that is reset when it is closed and takes little at once."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.settimeout(PATIENCE)
    made.bind((source, 0))
    made.connect(("127.0.0.1", port))
    return made


def rough(hostile):
    """What keeps the parser and the time limits busy."""
    for network, (behaviour, count, pause) in enumerate(
        (
            (hostile.slow_head, 80, 1),
            (hostile.silent, 60, 1),
            (hostile.reset, 8, 0.3),
            (hostile.pipeline, 8, 1),
            (hostile.random_bytes, 6, 0.3),
            (hostile.mutated, 12, 0.2),
            (hostile.broken_chunks, 10, 0.5),
            (hostile.stalled_upload, 40, 1),
            (hostile.scan, 3, 0.5),
            (hostile.never_reads, 30, 1),
            (hostile.large_head, 90, 0.5),
        ),
        start=10,
    ):
        hostile.start(count, network, behaviour, pause)
    hostile.start(1, 30, hostile.flood, 2)


def many(hostile):
    """What is many: idle connections."""
    hostile.start(hostile.sizes["idle"], 40, hostile.idle, 2)


async def cancelled(tasks):
    """Ends tasks. More than one attempt: a wait that is over at the moment it is cancelled goes on."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=1)


async def run(port, seed, sizes, kind, stop, slow, release, report):
    """Runs until `stop` is set, holds what is open until `release` is, and reports in between. While `slow` is set, the
    process of the kind "many" has its slow readers."""
    hostile = Hostile(port, seed, sizes)
    (rough if kind == "rough" else many)(hostile)
    readers = []
    while not stop.is_set():
        if kind == "many" and slow.is_set() != bool(readers):
            await cancelled(readers)
            readers = [] if readers else hostile.start(sizes["slow"], 50, hostile.slow_reader, 1)
        await asyncio.sleep(0.1)
    await cancelled(hostile.tasks)
    hostile.counts["held at the end"] = len(hostile.held)
    report.put(dict(hostile.counts))
    while not release.is_set():
        await asyncio.sleep(0.1)
    for made in list(hostile.held):
        hostile.close(made)
