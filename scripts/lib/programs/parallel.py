"""Fifty clients at once, and what a static file takes beside them."""

import multiprocessing
import socket
import statistics
import threading
import time

from programs.client import Client
from programs.table import Wrong

CLIENTS = 50
SECONDS = 3
IDLE_SECONDS = 3
PAUSE = 0.002
# Fewer samples say nothing about the slowest of a hundred.
SAMPLES = 20


def clients_process(place, action, seconds, report):
    """CLIENTS threads, each with a client of its own, until the time is over. Reports (requests done, errors)."""
    done, errors, lock = [0], [], threading.Lock()
    end = time.monotonic() + seconds

    def run(number):
        client, count = Client(place), 0
        while time.monotonic() < end or not count:
            try:
                action(client, number)
                count += 1
            except Exception as error:  # Whatever it is: the client did not get what it asked for.
                with lock:
                    errors.append(f"client {number}, request {count + 1}: {type(error).__name__}: {error}")
                break
        client.close()
        with lock:
            done[0] += count

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report.put((done[0], errors))


def static_process(place, stop, report):
    """Asks for a file of 1 KB over one connection and reports what each took, in ns."""
    times = []
    try:
        with socket.create_connection(("127.0.0.1", place.port), 30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = f"GET /1k.bin HTTP/1.1\r\nHost: {place.host}\r\n\r\n".encode()
            while not stop.is_set():
                begun = time.perf_counter_ns()
                connection.sendall(request)
                answer = b""
                while len(answer) < 1024 or len(answer) < answer.index(b"\r\n\r\n") + 4 + 1024:
                    more = connection.recv(65536)
                    if not more:
                        raise OSError("closed")
                    answer += more
                times.append(time.perf_counter_ns() - begun)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise OSError(answer[:100])
                time.sleep(PAUSE)
        report.put((times, ""))
    except (OSError, ValueError) as error:
        report.put((times, repr(error)))


def started(function, *arguments):
    report = multiprocessing.Queue()
    process = multiprocessing.Process(target=function, args=(*arguments, report), daemon=True)
    process.start()
    return process, report


def finished(process, report, seconds=120):
    found = report.get(timeout=seconds)
    process.join()
    return found


def percentiles(times):
    """(median, 99th percentile), microseconds."""
    return statistics.median(times) / 1e3, statistics.quantiles(times, n=100)[98] / 1e3


def static_alone(place):
    stop = multiprocessing.Event()
    process, report = started(static_process, place, stop)
    time.sleep(IDLE_SECONDS)
    stop.set()
    times, error = finished(process, report)
    if error:
        raise Wrong(f"static requests without any load: {error}")
    return percentiles(times)


def together(place, action, seconds=SECONDS):
    """(requests, requests a second, errors, median and 99th percentile of a static request beside them in microseconds)."""
    stop = multiprocessing.Event()
    static, static_report = started(static_process, place, stop)
    begun = time.monotonic()
    load, load_report = started(clients_process, place, action, seconds)
    done, errors = finished(load, load_report)
    took = time.monotonic() - begun
    stop.set()
    times, error = finished(static, static_report)
    if error:
        errors.append(f"a static request beside them: {error}")
    if len(times) < SAMPLES:
        errors.append(f"only {len(times)} static requests were answered beside them")
        return done, done / took, errors, 0, 0
    return done, done / took, errors, *percentiles(times)
