"""The memory rows of the table of figures. Called by scripts/measure-memory."""

import select
import shutil
import signal
import socket
import statistics
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import bench_programs
import serving
from programs import php
from serving import Running, say, wrk

STARTS = 5
IN_FLIGHT = 200
BUSY = 1000
BUSY_SECONDS = 3
# Descriptors beside the connections: the measuring program's own, and the server's listeners, epolls and open files.
OTHER_DESCRIPTORS = 500


class Unmeasured(Exception):
    """The server did not do what the row is about: the row has no value, and the others are measured all the same."""


def fresh(work):
    return Running("monkey", serving.monkey_command(work, 0), 0).wait_listening()


def median(what, measure):
    """The median of a measurement on STARTS freshly started servers."""
    values = []
    for turn in range(STARTS):
        values.append(measure())
        say(f"  {what}: {turn + 1} of {STARTS}: {values[-1]} KB")
    return round(statistics.median(values))


def idle(work):
    server = fresh(work)
    try:
        time.sleep(0.5)
        return server.resident_kb()
    finally:
        server.stop()


def keeper(work):
    """The keeper alone, with a server that it has started and that has read its configuration anew."""
    server = Running("monkey", [*serving.monkey_command(work, 0), "--supervise"], 0).wait_listening()
    try:
        time.sleep(0.5)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        if len(server.pids()) != 2 or "configuration reloaded" not in server.said():
            raise Unmeasured(f"not a keeper and its server: {server.said()}")
        return serving.field_kb(f"/proc/{server.process.pid}/smaps_rollup", "Rss")
    finally:
        server.stop()


def with_connections(work, count):
    """Resident size while `count` keep-alive connections stay open, each of which made one request."""
    server = fresh(work)
    held = []
    try:
        for first in range(0, count, 100):
            held += ask_together(server.port, range(first, min(first + 100, count)))
        time.sleep(1)
        closed = select.poll()
        for connection in held:
            closed.register(connection, select.POLLIN | select.POLLRDHUP)
        gone = len(closed.poll(0))
        if gone:
            raise Unmeasured(f"{gone} of {count} connections were closed by the server")
        return server.resident_kb()
    finally:
        for connection in held:
            connection.close()
        server.stop()


def ask_together(port, numbers):
    """Opens a connection for each number, makes one request on each, reads each whole answer."""
    connections = []
    for number in numbers:
        connection = socket.socket()
        # A reset at close leaves no TIME_WAIT; some source addresses, so that ports do not run out.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.bind((f"127.0.0.{2 + number % 8}", 0))
        connection.settimeout(20)
        connection.connect(("127.0.0.1", port))
        connections.append(connection)
    for connection in connections:
        connection.sendall(b"GET /1k.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    for connection in connections:
        read_answer(connection)
    return connections


def read_answer(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise Unmeasured(f"a connection was closed instead of answered, after {data!r}")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise Unmeasured(f"a request was answered {head.splitlines()[0]!r}")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            raise Unmeasured("a connection was closed in the middle of an answer")
        body += more


def peak(work, path):
    """The high-water mark under BUSY connections that ask without pause."""
    server = fresh(work)
    try:
        done, errors, refused = wrk(server.port, path, BUSY, BUSY_SECONDS)
        # The kernel's mark is kept per CPU and may lag: what is resident right after the load bounds it from below.
        kb = max(server.peak_kb(), server.resident_kb())
        if refused or not done:
            raise Unmeasured(f"{path}: {done} requests, {refused} not answered 2xx")
        if errors:
            say(f"  {path}: {errors} socket errors")
        return kb
    finally:
        server.stop()


def in_flight(work, fpm):
    """The high-water mark with IN_FLIGHT requests that php-fpm has begun to answer, and whose answers nobody reads yet."""
    port = serving.free_port()
    # Of each worker.
    limits = f"    Requests {IN_FLIGHT // serving.WORKERS}\n    Queue 16\n"
    command = bench_programs.monkey_fastcgi_command(work, port, fpm, IN_FLIGHT, limits)
    server = Running("monkey", command, port).wait()
    clients = []
    try:
        for _ in range(IN_FLIGHT):
            client = socket.socket()
            # Before it connects: a window that shrinks later stalls for seconds, whoever sends.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /sleep.php?behind&seconds=1 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            clients.append(client)
        time.sleep(1.5)
        peaks = [max(server.peak_kb(), server.resident_kb())]
        # All at once: who reads nothing for RateWindow is closed.
        with ThreadPoolExecutor(IN_FLIGHT) as readers:
            answers = list(readers.map(read_to_end, clients))
        for answer in answers:
            if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"x" * 100_000 + b"late\n"):
                raise Unmeasured(f"a request was answered {len(answer)} bytes, {answer[:100]!r}")
        return max(*peaks, server.peak_kb(), server.resident_kb())
    finally:
        for client in clients:
            client.close()
        server.stop()


def read_to_end(client):
    answer = b""
    while more := client.recv(65536):
        answer += more
    return answer


def with_php(work, measure):
    """A measurement with a php-fpm that answers IN_FLIGHT requests at once."""
    fpm = php.Fpm(work, IN_FLIGHT)
    try:
        return measure(fpm.start())
    finally:
        fpm.stop()


def main():
    serving.need_monkey()
    limit = serving.raise_open_files(20_000)
    work = serving.make_work_directory()
    rows = []

    def row(what, bar, measure, needed=0):
        if limit < needed + OTHER_DESCRIPTORS:
            rows.append((what, "SKIPPED", bar, f"open files limited to {limit}, {needed + OTHER_DESCRIPTORS} needed"))
            return
        try:
            value = median(what, measure)
        except (Unmeasured, OSError) as error:
            rows.append((what, "FAILED", bar, str(error)))
            return
        rows.append((what, value, bar, "ok" if value <= bar else f"OVER by {value - bar}"))

    try:
        row("resident at idle", 300, lambda: idle(work))
        row("resident, the keeper of --supervise", 200, lambda: keeper(work))
        row("resident, 1,000 idle keep-alive connections", 600, lambda: with_connections(work, 1_000), 1_000)
        row("resident, 10,000 idle keep-alive connections", 2500, lambda: with_connections(work, 10_000), 10_000)
        row("peak, 1,000 busy connections, 1 KB files", 2500, lambda: peak(work, "/1k.bin"), BUSY)
        row("peak, 1,000 busy connections, 100 KB files", 2500, lambda: peak(work, "/100k.bin"), BUSY)
        php.write_site(work, work / "www")
        row(f"peak, {IN_FLIGHT} requests in flight to php-fpm", 2500, lambda: with_php(work, lambda fpm: in_flight(work, fpm)), 2 * IN_FLIGHT)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"memory of {serving.MONKEY.parent.name}/{serving.MONKEY.name}, {serving.WORKERS} workers, KB, median of {STARTS} starts")
    print(f"{'what':46} {'measured':>9} {'bar':>6}")
    for what, value, bar, note in rows:
        print(f"{what:46} {value:>9} {bar:>6}  {note}")
    serving.write_table("memory.tsv", ("what", "kb", "bar", "note"), rows)
    return 1 if any(value == "FAILED" or note.startswith("OVER") for _, value, _, note in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
