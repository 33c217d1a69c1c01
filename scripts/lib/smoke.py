"""The HTTP smoke test of a static binary, run natively or under qemu-user. Called by scripts/smoke-arm.

Usage: smoke.py BINARY [PREFIX...] — PREFIX is put before the binary: the emulator and its options.
"""

import calendar
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import serving
from serving import Running

GIB = 1 << 30
# A time that 32 bits cannot hold.
YEAR_2040 = calendar.timegm((2040, 1, 1, 12, 0, 0))
DATE_2040 = "Sun, 01 Jan 2040 12:00:00 GMT"
MARK = b"past two gigabytes"
MARK_AT = 2 * GIB + 100
SPARSE_SIZE = 2 * GIB + 4096
PAGE = b"<!doctype html><title>smoke</title>\n"


def capable_directory():
    """A temporary directory whose file system can hold a date of 2040 and a sparse file past 2 GiB."""
    for base in (None, "/dev/shm", "/var/tmp"):
        if base and not os.access(base, os.W_OK):
            continue
        work = Path(tempfile.mkdtemp(prefix="monkey-smoke-", dir=base))
        work.chmod(0o755)
        www = work / "www"
        www.mkdir(mode=0o755)
        late = www / "late.txt"
        late.write_bytes(b"late\n")
        os.utime(late, (YEAR_2040, YEAR_2040))
        try:
            with open(www / "sparse.bin", "wb") as sparse:
                sparse.truncate(SPARSE_SIZE)
                sparse.seek(MARK_AT)
                sparse.write(MARK)
            if late.stat().st_mtime == YEAR_2040:
                return work
        except OSError:
            pass
        shutil.rmtree(work, ignore_errors=True)
    sys.exit("no file system here holds both a date of 2040 and a file past 2 GiB")


class Client:
    """One connection; answers are read by their framing, so that several can follow each other."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), 30)
        self.rest = b""

    def ask(self, method, path, *fields):
        """(status, fields in lower case, body)"""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]
        self.connection.sendall("\r\n".join(lines).encode())
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        answer = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        code = int(status.split()[1])
        length = 0 if method == "HEAD" or code == 304 else int(answer.get("content-length", 0))
        while len(self.rest) < length:
            self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return code, answer, body

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise AssertionError(f"the connection was closed; unread: {self.rest!r}")
        self.rest += data

    def close(self):
        self.connection.close()


# Where the files are, once they are made.
WORK = None
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


@check
def page(client):
    """a page, by its index file"""
    code, fields, body = client.ask("GET", "/")
    same("status", code, 200)
    same("body", body, PAGE)
    same("Content-Length", fields.get("content-length"), str(len(PAGE)))


@check
def absent(client):
    """404"""
    same("status", client.ask("GET", "/absent")[0], 404)


@check
def head(client):
    """HEAD has the length and no body"""
    code, fields, _ = client.ask("HEAD", "/100k.bin")
    same("status", code, 200)
    same("Content-Length", fields.get("content-length"), "102400")
    # Had a body come, the next answer would not begin where it should.
    same("status of the next", client.ask("GET", "/")[0], 200)


@check
def keep_alive(client):
    """many answers on one connection"""
    for _ in range(20):
        code, _, body = client.ask("GET", "/10k.bin")
        same("status", code, 200)
        same("length", len(body), 10 * 1024)


@check
def one_range(client):
    """a range"""
    code, fields, body = client.ask("GET", "/10k.bin", "Range: bytes=100-199")
    same("status", code, 206)
    same("Content-Range", fields.get("content-range"), "bytes 100-199/10240")
    same("body", body, bytes(i * 7 % 251 for i in range(100, 200)))


@check
def large_file(client):
    """a file sent whole"""
    code, _, body = client.ask("GET", "/1m.bin")
    same("status", code, 200)
    same("body is right", body == bytes(i * 7 % 251 for i in range(1024 * 1024)), True)


@check
def date_2040(client):
    """a file dated 2040"""
    code, fields, _ = client.ask("GET", "/late.txt")
    same("status", code, 200)
    # RFC 9110 section 8.8.2.1: never later than the Date of the answer. A time cut to 32 bits would be of the year 1903.
    wanted = DATE_2040 if time.time() >= YEAR_2040 else fields.get("date")
    same("Last-Modified", fields.get("last-modified"), wanted)
    # The tag tells files apart by their true time: one second later is another file.
    os.utime(WORK / "www" / "late.txt", (YEAR_2040 + 1, YEAR_2040 + 1))
    time.sleep(2.5)
    if client.ask("GET", "/late.txt")[1].get("etag") == fields.get("etag"):
        raise AssertionError("the ETag does not see the file's time")


@check
def not_modified(client):
    """304 by the entity tag"""
    tag = client.ask("GET", "/1k.bin")[1].get("etag")
    if not tag:
        raise AssertionError("no ETag")
    same("status", client.ask("GET", "/1k.bin", f"If-None-Match: {tag}")[0], 304)


@check
def date_now(client):
    """the Date of now"""
    date = client.ask("GET", "/")[1].get("date", "")
    told = calendar.timegm(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT"))
    if abs(told - time.time()) > 30:
        raise AssertionError(f"Date: {date}")


@check
def past_two_gigabytes(client):
    """a range past 2 GiB"""
    last = MARK_AT + len(MARK) - 1
    code, fields, body = client.ask("GET", "/sparse.bin", f"Range: bytes={MARK_AT}-{last}")
    same("status", code, 206)
    same("Content-Range", fields.get("content-range"), f"bytes {MARK_AT}-{last}/{SPARSE_SIZE}")
    same("body", body, MARK)


@check
def length_past_two_gigabytes(client):
    """the length of a file past 2 GiB"""
    same("Content-Length", client.ask("HEAD", "/sparse.bin")[1].get("content-length"), str(SPARSE_SIZE))


@check
def above_the_root(client):
    """a path that climbs above the root"""
    same("status", client.ask("GET", "/../secret.txt")[0], 403)


def main():
    binary, *prefix = sys.argv[1:]
    global WORK
    work = WORK = capable_directory()
    failed = 0
    try:
        for name, size in serving.FILES.items():
            (work / "www" / f"{name}.bin").write_bytes(bytes(i * 7 % 251 for i in range(size)))
        (work / "www" / "index.html").write_bytes(PAGE)
        (work / "secret.txt").write_text("secret\n")
        configuration = serving.monkey_configuration(work, 0)
        server = Running("monkey", [binary, "-c", str(configuration)], 0, prefix=prefix).wait_listening(30)
        try:
            for function in CHECKS:
                client = Client(server.port)
                try:
                    function(client)
                    print(f"  ok      {function.__doc__}")
                except (AssertionError, OSError, ValueError) as error:
                    failed += 1
                    print(f"  FAILED  {function.__doc__}: {error}")
                finally:
                    client.close()
            server.process.terminate()
            code = server.process.wait(20)
            if code:
                failed += 1
            print(f"  {'FAILED ' if code else 'ok     '} SIGTERM ends it with exit 0" + (f": exit {code}" if code else ""))
        finally:
            server.stop()
        if failed:
            print(f"the server said:\n{server.said()}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
