"""The good clients of scripts/soak: ordinary requests, every byte of every answer checked."""

import asyncio
import random
import socket

# Far beyond what a server that is full makes anybody wait.
PATIENCE = 90
CLIENTS = 12
SMALL = {f"/small/{number}.txt": f"this is file {number}\n".encode() * (number % 40 + 1) for number in range(40)}
MEGABYTE = random.Random(7).randbytes(1 << 20)


class Wrong(Exception):
    """An answer that is not what it must be, or none."""


class Gone(Exception):
    """The connection ended before any byte of an answer."""


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body


class Client:
    """One client with at most one connection, which it keeps for some requests."""

    def __init__(self, port, seed, totals, calm):
        self.port, self.totals, self.calm = port, totals, calm
        self.rng = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.socket = None
        self.used = 0
        self.read = b""

    async def connect(self):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.used, self.read = 0, b""
        await asyncio.wait_for(self.loop.sock_connect(self.socket, ("127.0.0.1", self.port)), PATIENCE)

    def drop(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    async def fill(self):
        data = await asyncio.wait_for(self.loop.sock_recv(self.socket, 1 << 16), PATIENCE)
        self.read += data
        return bool(data)

    async def answer(self, to_head=False):
        """Reads one answer."""
        while b"\r\n\r\n" not in self.read:
            try:
                more = await self.fill()
            except OSError as error:
                if not self.read:
                    raise Gone(repr(error)) from error
                raise
            if not more:
                if not self.read:
                    raise Gone("closed")
                raise Wrong(f"it ended in a head: {self.read[:200]!r}")
        head, self.read = self.read.split(b"\r\n\r\n", 1)
        line, *lines = head.decode("ascii").split("\r\n")
        fields = dict(field.lower().split(": ", 1) for field in lines)
        length = 0 if to_head or line.split()[1] == "304" else int(fields["content-length"])
        while len(self.read) < length:
            if not await self.fill():
                raise Wrong(f"it ended after {len(self.read)} of {length} bytes:\n{head.decode()}")
        body, self.read = self.read[:length], self.read[length:]
        return Answer(int(line.split()[1]), fields, body)

    async def exchange(self, parts, to_head=False):
        """Sends a request in the parts given and reads its answer. A connection that was closed while idle is replaced, once."""
        while True:
            fresh = self.socket is None
            if fresh:
                await self.connect()
            try:
                try:
                    for number, part in enumerate(parts):
                        if number:
                            await asyncio.sleep(self.rng.uniform(0, 0.05))
                        await asyncio.wait_for(self.loop.sock_sendall(self.socket, part), PATIENCE)
                except (ConnectionResetError, BrokenPipeError):
                    # What was answered before the break is still to be read.
                    pass
                answer = await self.answer(to_head)
            except Gone as error:
                self.drop()
                if fresh:
                    raise Wrong(f"a new connection ended without an answer: {error}") from error
                self.totals["good retries"] += 1
                continue
            self.used += 1
            if answer.fields.get("connection") == "close" or self.rng.random() < 0.2:
                if self.read:
                    raise Wrong(f"more than an answer came: {self.read[:100]!r}")
                self.drop()
            return answer

    def expect(self, answer, status, body=None):
        if answer.status != status:
            raise Wrong(f"status {answer.status}, not {status}: {answer.fields} {answer.body[:300]!r}")
        if body is not None and answer.body != body:
            at = next((at for at, (a, b) in enumerate(zip(answer.body, body)) if a != b), min(len(answer.body), len(body)))
            raise Wrong(f"{len(answer.body)} bytes, not the {len(body)} there are; they differ from byte {at} on")

    async def small(self):
        path, content = self.rng.choice(list(SMALL.items()))
        self.expect(await self.exchange([request("GET", path)]), 200, content)

    async def head(self):
        path, content = self.rng.choice(list(SMALL.items()))
        answer = await self.exchange([request("HEAD", path)], to_head=True)
        self.expect(answer, 200, b"")
        if answer.fields["content-length"] != str(len(content)):
            raise Wrong(f"HEAD says {answer.fields['content-length']} bytes, not {len(content)}")

    async def megabyte(self):
        self.expect(await self.exchange([request("GET", "/megabyte.bin")]), 200, MEGABYTE)

    async def part(self):
        first = self.rng.randrange(len(MEGABYTE))
        last = min(first + self.rng.randrange(100_000), len(MEGABYTE) - 1)
        answer = await self.exchange([request("GET", "/megabyte.bin", f"Range: bytes={first}-{last}")])
        self.expect(answer, 206, MEGABYTE[first : last + 1])
        if answer.fields["content-range"] != f"bytes {first}-{last}/{len(MEGABYTE)}":
            raise Wrong(f"Content-Range: {answer.fields['content-range']}")

    async def nothing(self):
        self.expect(await self.exchange([request("GET", f"/no/{self.rng.randrange(1000)}")]), 404)

    async def not_modified(self):
        path, content = self.rng.choice(list(SMALL.items()))
        answer = await self.exchange([request("GET", path)])
        self.expect(answer, 200, content)
        again = await self.exchange([request("GET", path, f"If-None-Match: {answer.fields['etag']}")])
        self.expect(again, 304, b"")

    async def post(self):
        path, content = self.rng.choice(list(SMALL.items()))
        body = self.rng.randbytes(self.rng.randrange(20_000))
        parts = [request("POST", path, f"Content-Length: {len(body)}"), body]
        self.expect(await self.exchange(self.split(parts)), 200, content)

    async def post_chunked(self):
        path, content = self.rng.choice(list(SMALL.items()))
        chunks = [self.rng.randbytes(self.rng.randrange(1, 5000)) for _ in range(self.rng.randrange(5))]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        parts = [request("POST", path, "Transfer-Encoding: chunked"), body]
        self.expect(await self.exchange(self.split(parts)), 200, content)

    def split(self, parts):
        """Head and body in one write or in two."""
        return parts if self.rng.random() < 0.5 else [b"".join(parts)]

    async def run(self):
        kinds = [self.small] * 6 + [self.head, self.megabyte, self.part, self.part, self.nothing, self.not_modified]
        kinds += [self.post, self.post_chunked]
        while not self.totals["stop"]:
            if self.calm.is_set():
                await asyncio.sleep(0.02)
                continue
            kind = self.rng.choice(kinds)
            self.totals["under way"] += 1
            try:
                await kind()
                self.totals["good requests"] += 1
            except (Wrong, Gone, OSError, TimeoutError, asyncio.TimeoutError, KeyError, ValueError) as error:
                self.totals["good errors"] += 1
                self.totals["details"].append(f"{kind.__name__}, request {self.used + 1} of its connection: {error!r}")
                self.drop()
            finally:
                self.totals["under way"] -= 1
            await asyncio.sleep(self.rng.choice((0, 0, 0.01, 0.05, 0.3, 1.0)))
        self.drop()


def request(method, path, *fields):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]
    return "\r\n".join(lines).encode()


async def run(port, seed, stop, calm, busy):
    """Runs until `stop` is set; while `calm` is set nothing new is asked. `busy` counts what is under way. Returns the totals."""
    totals = {"good requests": 0, "good errors": 0, "good retries": 0, "details": [], "stop": False, "under way": 0}
    tasks = [asyncio.create_task(Client(port, f"{seed} {number}", totals, calm).run()) for number in range(CLIENTS)]
    while not stop.is_set():
        busy.value = totals["under way"]
        await asyncio.sleep(0.02)
    totals["stop"] = True
    await asyncio.gather(*tasks)
    return totals
