"""The memory ceiling under abuse. Called by scripts/check-ceiling."""

import re
import shutil
import socket
import struct
import subprocess
import sys
import time

import serving
from serving import Running, say

LIMITS = (1500, 2500, 8000)
WORKERS = (1, 2, 4)
TOO_LOW = 512
# Descriptors of this program beside the connections.
OTHER_DESCRIPTORS = 100
FILES = 3000
HEADS = ((500, 1200), (3000, 400), (14_000, 200))
SLOW = 400


def configuration(work, limit):
    directory = serving.monkey_configuration(work, 0)
    conf = directory / "monkey.conf"
    conf.write_text(conf.read_text() + f"    MemoryLimit {limit}\n    DeferAccept 0\n")
    return directory


def command(work, limit, workers):
    return [str(serving.MONKEY), "-c", str(configuration(work, limit)), "-w", str(workers)]


def too_low(work):
    """A ceiling nothing fits under: refused, and the keys named."""
    run = subprocess.run(command(work, TOO_LOW, 4), capture_output=True, text=True, timeout=20, check=False)
    named = "MemoryLimit" in run.stderr and "Workers" in run.stderr
    verdict = "refused, keys named" if run.returncode == 1 and named else f"WRONG: exit {run.returncode}: {run.stderr}"
    return (TOO_LOW, 4, "-", "-", verdict)


class Abuse:
    """The clients of one server."""

    def __init__(self, port):
        self.port = port
        self.held = []
        self.answers = 0

    def connect(self):
        connection = socket.socket()
        # A reset at close leaves no TIME_WAIT; some source addresses, so that ports do not run out.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.bind((f"127.0.0.{2 + len(self.held) % 8}", 0))
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        self.held.append(connection)
        return connection

    def fill_table(self, count):
        """Every connection there may be, each with one answer."""
        while len(self.held) < count:
            new = [self.connect() for _ in range(min(100, count - len(self.held)))]
            for connection in new:
                connection.sendall(request("/1k.bin"))
            for connection in new:
                self.answers += b" 200 " in connection.recv(4096)

    def scan(self):
        """Files and dead ends, more than any cache holds, over some of the connections so that every worker is asked."""
        askers = self.held[-16:]
        for number in range(FILES):
            for target in (f"/many/{number}.txt", f"/dead/{number}"):
                connection = askers[number % len(askers)]
                connection.sendall(request(target))
                drain(connection)

    def unfinished_heads(self):
        """More than there are buffers, in every size; who gives way is the server's choice."""
        first = 0
        for size, count in HEADS:
            for connection in self.held[first : first + count]:
                send(connection, b"GET / HTTP/1.1\r\nX: " + b"x" * size)
            first += count

    def slow_readers(self):
        """Large files, and pipelines of small ones, that nobody takes."""
        for number, connection in enumerate(self.held[-SLOW - 16 : -16]):
            send(connection, request("/4m.bin") if number % 2 else request("/10k.bin") * 30)

    def close(self):
        for connection in self.held:
            connection.close()


def request(target):
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def send(connection, data):
    try:
        connection.send(data, socket.MSG_DONTWAIT)
    except OSError:
        pass


def drain(connection):
    """Reads what is at hand of an answer, at least its beginning."""
    data = connection.recv(65536)
    length = re.search(rb"Content-Length: (\d+)\r\n", data)
    head, _, body = data.partition(b"\r\n\r\n")
    if not length or not head.startswith(b"HTTP/1.1 "):
        sys.exit(f"no answer: {data[:200]!r}")
    left = int(length[1]) - len(body)
    while left > 0:
        left -= len(connection.recv(left))


def measure(work, limit, workers, descriptors):
    server = Running("monkey", command(work, limit, workers), 0)
    abuse = None
    try:
        refusal = f"MemoryLimit {limit} KB is too little"
        while server.process.poll() is None and "up to" not in server.said():
            time.sleep(0.01)
        if server.process.poll() == 1 and refusal in server.said():
            return (limit, workers, "-", "-", "refused, keys named")
        server.wait_listening()
        capacity = int(re.search(r"up to (\d+) connections", server.said())[1])
        if capacity + OTHER_DESCRIPTORS > descriptors:
            return (limit, workers, capacity, "-", f"SKIPPED: open files limited to {descriptors}")
        abuse = Abuse(server.port)
        peaks = {}

        def step(name, action, *arguments):
            action(*arguments)
            time.sleep(0.3)
            peaks[name] = max(server.peak_kb(), server.resident_kb())

        step("connections", abuse.fill_table, capacity)
        step("scan", abuse.scan)
        step("heads", abuse.unfinished_heads)
        step("slow readers", abuse.slow_readers)
        if server.process.poll() is not None:
            return (limit, workers, capacity, "-", f"DIED: {server.said()[-500:]}")
        if abuse.answers != capacity:
            return (limit, workers, capacity, "-", f"WRONG: only {abuse.answers} connections were answered")
        say(f"  {limit} KB, {workers} workers: " + ", ".join(f"after {name} {kb}" for name, kb in peaks.items()))
        peak = max(peaks.values())
        return (limit, workers, capacity, peak, "ok" if peak <= limit else f"OVER by {peak - limit}")
    finally:
        if abuse:
            abuse.close()
        server.stop()


def main():
    serving.need_monkey()
    binding = serving.MONKEY.is_relative_to(serving.TARGET_DIR / "static")
    descriptors = serving.raise_open_files(60_000)
    work = serving.make_work_directory()
    try:
        (work / "www" / "many").mkdir(mode=0o755)
        for number in range(FILES):
            (work / "www" / "many" / f"{number}.txt").write_bytes(b"x" * (number * 5 % 15_000))
        with open(work / "www" / "4m.bin", "wb") as large:
            large.truncate(4 << 20)
        rows = [too_low(work)]
        rows += [measure(work, limit, workers, descriptors) for limit in LIMITS for workers in WORKERS]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    name = f"{serving.MONKEY.parent.name}/{serving.MONKEY.name}"
    print(f"peak resident size of {name} under abuse, KB{'' if binding else ' (not the tuned static build: binds nothing)'}")
    print(f"{'MemoryLimit':>11} {'workers':>8} {'connections':>12} {'peak':>6}")
    for limit, workers, capacity, peak, note in rows:
        print(f"{limit:>11} {workers:>8} {capacity:>12} {peak:>6}  {note}")
    serving.write_table("ceiling.tsv", ("limit", "workers", "connections", "peak", "note"), rows)
    wrong = [note for *_, note in rows if note.startswith(("WRONG", "DIED")) or (binding and note.startswith("OVER"))]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
