"""Requests to the server in the guest. No check here is about how long an answer takes: the machine is emulated and shared."""

import http.client
import threading
import time
from collections import Counter

from . import device
from .vm import Failed

# A single answer, seconds: the end of waiting, not a measure.
PATIENCE = 60
CONNECTIONS = 8
REQUESTS = 50
# A kept connection that says nothing for KeepAliveTimeout (5) seconds is closed. Seconds after which that can be why: clocks differ.
IDLE = 4


def get(port, path, connection=None):
    """(status, fields, body)"""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        own.request("GET", path)
        answer = own.getresponse()
        return answer.status, answer.headers, answer.read()
    except http.client.HTTPException as error:
        raise Failed(f"GET {path}: {error!r}") from error
    finally:
        if own is not connection:
            own.close()


def answers(port):
    """Whether the server answers. A connection alone says nothing: QEMU accepts it before anyone listens in the guest."""
    own = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        own.request("GET", "/")
        return own.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        own.close()


def expect(port, path, status):
    """The answer, which must have the status."""
    got, fields, body = get(port, path)
    if got != status:
        raise Failed(f"GET {path}: {got} instead of {status}")
    return fields, body


def pages(port):
    """Every page of htdocs, byte by byte."""
    files = device.pages()
    total = 0
    for name, data in files.items():
        body = expect(port, f"/{name}", 200)[1]
        if body != data:
            raise Failed(f"/{name}: {len(body)} bytes that are not those of htdocs ({len(data)})")
        total += len(body)
    if expect(port, "/", 200)[1] != files["index.html"]:
        raise Failed("/ is not index.html")
    return f"{len(files)} files, {total} bytes"


def absent(port):
    """A page that is not there: 404 with the site's own page."""
    if expect(port, "/absent", 404)[1] != device.pages()["404.html"]:
        raise Failed("the page of the 404 is not the site's")


def load(port):
    """Many requests over few connections; all have to be right."""
    files = list(device.pages().items())
    wrong, idle = Counter(), Counter()

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        kept = answered = None
        try:
            for turn in range(REQUESTS):
                name, data = files[(number + turn) % len(files)]
                try:
                    status, _, body = get(port, f"/{name}", connection)
                except (OSError, Failed):
                    if answered is None or time.monotonic() - answered < IDLE:
                        raise
                    # A machine so slow that the server saw an idle connection: a client asks again then.
                    idle["closed"] += 1
                    connection.close()
                    kept = None
                    status, _, body = get(port, f"/{name}", connection)
                if status != 200 or body != data:
                    wrong[f"status {status}, {len(body)} bytes"] += 1
                if kept not in (None, connection.sock):
                    wrong["connection not kept"] += 1
                kept, answered = connection.sock, time.monotonic()
        except (OSError, Failed) as error:
            wrong[repr(error)] += 1
        finally:
            connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if wrong:
        raise Failed(", ".join(f"{count} times {what}" for what, count in wrong.items()))
    again = f", {idle['closed']} of them asked again after an idle close" if idle else ""
    return f"{CONNECTIONS * REQUESTS} requests over {CONNECTIONS} connections{again}"


def date(port, deadline, set_clock):
    """A Pi has no clock of its own: no Date before the time is known, the time once it is."""

    def told():
        return expect(port, "/", 200)[0].get("Date")

    if told():
        raise Failed(f"Date: {told()} although nobody has set the clock")
    set_clock("2030-01-02 03:04:05")
    date = deadline.until(told, "a Date after the clock was set", 20)
    if not date.startswith("Wed, 02 Jan 2030 "):
        raise Failed(f"Date: {date}")
    return date
