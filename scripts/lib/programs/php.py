"""PHP: php-fpm over FastCGI, php-cgi over Palm and as CGI. The same checks for all three."""

import os
import subprocess
import time
from urllib.parse import urlencode

import serving
from programs.client import MEGABYTE, Client, ask, get_ok, must_be_cut, send_and_leave
from programs.payload import BLOCKS, chunks, from_json, multipart, random_bytes, sha256, sum_of_blocks
from programs.table import Wrong, expect

CHILDREN = 6
# Settings that PHP takes from a file in the root, whichever way it is run.
SETTINGS = """post_max_size = 64M
upload_max_filesize = 64M
session.save_path = {sessions}
session.gc_probability = 0
max_execution_time = 60
"""
# Every one of them is in the source of a script, never in its output.
SOURCE = (b"<?php", b"session_start", b"posix_kill")


def write_site(work, www):
    """The scripts, as they lie beside this file."""
    sessions = work / "sessions"
    sessions.mkdir()
    sessions.chmod(0o1777)
    for script in serving.ROOT.glob("scripts/lib/programs/www/**/*.php"):
        place = www / script.relative_to(serving.ROOT / "scripts/lib/programs/www")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(script.read_bytes())
        place.chmod(0o755)
    (www / ".user.ini").write_text(SETTINGS.format(sessions=sessions))


class Fpm:
    """A php-fpm of our own, on a local socket."""

    def __init__(self, work, children=CHILDREN):
        self.socket, self.work, self.running = work / "fpm.sock", work, None
        self.command = [program("php-fpm"), "--nodaemonize", "--fpm-config", str(work / "fpm.conf")]
        user = ""
        if os.geteuid() == 0:
            self.command.append("--allow-to-run-as-root")
            user = "user = root\ngroup = root\n"
        (work / "fpm.conf").write_text(
            f"[global]\nerror_log = {work}/fpm.log\ndaemonize = no\n"
            f"[www]\n{user}listen = {self.socket}\nlisten.mode = 0666\nlisten.backlog = 511\n"
            f"pm = static\npm.max_children = {children}\ncatch_workers_output = no\n"
        )

    def start(self):
        self.running = serving.Running("php-fpm", self.command, 0)
        end = time.monotonic() + 10
        while not self.socket.exists():
            if self.running.process.poll() is not None or time.monotonic() > end:
                raise Wrong(f"php-fpm did not start: {self.running.said()}")
            time.sleep(0.01)
        return self

    def stop(self):
        if self.running:
            self.running.stop()
            self.running = None
        self.socket.unlink(missing_ok=True)


def program(name):
    """A program of Debian's PHP, whose name may end in its version."""
    for directory in ("/usr/sbin", "/usr/bin"):
        found = sorted(path for path in os.listdir(directory) if path == name or path.startswith(f"{name}") and path[len(name) :][:1].isdigit())
        if found:
            return f"{directory}/{found[-1]}"
    raise Wrong(f"{name} is not installed")


def version():
    return subprocess.run([program("php-cgi"), "-v"], capture_output=True, text=True, check=True).stdout.split()[1]


def check(table, way, place, limit):
    """All that PHP does, at a site. `limit` is the server's limit of time in seconds."""

    def row(what):
        return table.check("php", way, what)

    with row("phpinfo()"):
        page = get_ok(place, "/info.php").text()
        for part in ("<h1 class=\"p\">PHP Version", "SCRIPT_FILENAME", "</html>"):
            if part not in page:
                raise Wrong(f"no {part} in {len(page)} bytes")
    with row("the variables of a request"):
        variables(place)
    with row("fields of a form, urlencoded"):
        sent = {"name": "Ada Lovelace", "text": "a&b=c\r\nd é", "empty": ""}
        got = from_json(get_ok(place, "/form.php?q=1&r=%20", method="POST", body=urlencode(sent).encode(), Content_Type="application/x-www-form-urlencoded"))
        expect((got["post"], got["get"]), (sent, {"q": "1", "r": " "}), "what PHP has")
    with row("fields and files of a form, multipart"):
        data = random_bytes(300_000, "file")
        body, kind = multipart({"name": "value"}, {"one": ("one.bin", data), "two": ("two.txt", b"text\r\n--")})
        got = from_json(get_ok(place, "/form.php", method="POST", body=body, Content_Type=kind))
        expect(got["post"], {"name": "value"}, "fields")
        expect(got["files"], {"one": ["one.bin", len(data), sha256(data)], "two": ["two.txt", 8, sha256(b"text\r\n--")]}, "files")
    big = random_bytes(20 * MEGABYTE, "upload")
    with row("20 MB sent up, by its sum"):
        got = get_ok(place, "/upload.php", method="POST", body=big, Content_Type="application/octet-stream").text()
        expect(got.split(), [str(len(big)), sha256(big)], "length and sum in PHP")
    with row("20 MB sent up as a file of a form"):
        body, kind = multipart({}, {"big": ("big.bin", big)})
        got = from_json(get_ok(place, "/form.php", method="POST", body=body, Content_Type=kind))
        expect(got["files"], {"big": ["big.bin", len(big), sha256(big)]}, "the file in PHP")
    with row("a body in chunks: whole, or 411"):
        # PHP reads CONTENT_LENGTH bytes and there is none: it must not be given an empty body in silence.
        data = big[:MEGABYTE]
        answer = ask(place, "/upload.php", "POST", chunks(data, 5000), Content_Type="application/octet-stream", Transfer_Encoding="chunked")
        if answer.status != 411:
            expect((answer.status, answer.text().split()), (200, [str(len(data)), sha256(data)]), "answer")
    for what, path in (("20 MB of answer, streamed", "/download.php?blocks="), ("20 MB of answer, its length said", "/download.php?length&blocks=")):
        with row(what):
            answer = get_ok(place, f"{path}{BLOCKS}")
            expect(len(answer.body), BLOCKS * 65536, "length")
            expect(sha256(answer.body), sum_of_blocks(BLOCKS), "sum")
            expect(answer.fields["Content-Length"], str(BLOCKS * 65536) if "length" in path else None, "Content-Length")
    with row("the first bytes come before the last are made"):
        begun = time.monotonic()
        with Client(place) as client:
            client.connection.request("GET", "/sleep.php?behind&seconds=1", headers={"Host": place.host})
            answer = client.connection.getresponse()
            answer.read(1)
            first = time.monotonic() - begun
            rest = answer.read()
        if first > 0.7 or not rest.endswith(b"late\n"):
            raise Wrong(f"the first byte after {first:.2f} s, the end is {rest[-10:]!r}")
    with row("a session that counts"):
        with Client(place) as client:
            answer = client.ask("/session.php")
            cookie = answer.fields["Set-Cookie"].split(";")[0]
            counts = [answer.text()] + [client.ask("/session.php", Cookie=cookie).text() for _ in range(3)]
        expect(counts, ["1", "2", "3", "4"], "counts")
        expect(get_ok(place, "/session.php").text(), "1", "count without a cookie")
    with row("PATH_INFO"):
        got = from_json(get_ok(place, "/server.php/more/of%20it?x=/y"))
        found = {name: got.get(name) for name in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI")}
        expect(found, {"SCRIPT_NAME": "/server.php", "PATH_INFO": "/more/of it", "QUERY_STRING": "x=/y", "REQUEST_URI": "/server.php/more/of%20it?x=/y"}, "variables")
    with row("index.php of a directory"):
        expect(get_ok(place, "/app/").text(), "index of app\n", "page")
        answer = ask(place, "/app")
        expect((answer.status, answer.fields["Location"].rpartition(place.host)[2].lstrip(":0123456789")), (301, "/app/"), "without the slash")
    with row("statuses, redirects, fields set twice"):
        for code in (201, 404, 418, 503):
            expect(ask(place, f"/status.php?code={code}").status, code, "status")
        answer = ask(place, "/status.php?location=http://other.test/x")
        expect((answer.status, answer.fields["Location"]), (302, "http://other.test/x"), "redirect")
        expect(answer.fields.get_all("X-Several"), ["one", "two"], "X-Several")
    with row("HEAD and 304 have no body"):
        with Client(place) as client:
            for path, method, status in (("/hello.php", "HEAD", 200), ("/status.php?code=304", "GET", 304), ("/hello.php", "GET", 200)):
                answer = client.ask(path, method)
                expect((answer.status, answer.body), (status, b"" if (method, status) != ("GET", 200) else b"hello\n"), f"{method} {path}")
    with row("a script that is not there: 404"):
        expect(ask(place, "/absent.php").status, 404, "status")
        expect(ask(place, "/absent/deep.php/info").status, 404, "status")
    with row("one that dies half-way: known as unfinished"):
        must_be_cut(place, "/half.php", 50_000)
        must_be_cut(place, "/half.php?length", 50_000)
        get_ok(place, "/hello.php")
    with row(f"one that sleeps past {limit} s: 504"):
        begun = time.monotonic()
        expect(ask(place, f"/sleep.php?seconds={2 * limit}").status, 504, "status")
        took = time.monotonic() - begun
        if not limit - 0.5 < took < limit + 1.5:
            raise Wrong(f"after {took:.1f} s")
    with row(f"one that stops for {limit} s in its answer: cut"):
        must_be_cut(place, f"/sleep.php?behind&seconds={2 * limit}", 50_000)
    with row("clients that leave, others that are served"):
        for _ in range(2 * CHILDREN):
            send_and_leave(place, "/download.php?blocks=100")
        expect(get_ok(place, "/hello.php").text(), "hello\n", "page")
    with row("the source is never sent"):
        no_source(place)


def variables(place):
    got = from_json(get_ok(place, "/server.php?a=b%20c", Proxy="http://evil.test/", X_One="1", User_Agent="checks"))
    wanted = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "a=b%20c",
        "SCRIPT_NAME": "/server.php",
        "SCRIPT_FILENAME": str(place.root / "server.php"),
        "DOCUMENT_ROOT": str(place.root),
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": str(place.port),
        "SERVER_NAME": place.host,
        "HTTP_HOST": place.host,
        "HTTP_X_ONE": "1",
        "HTTP_USER_AGENT": "checks",
        "PATH_INFO": None,
        "HTTPS": None,
        "HTTP_PROXY": None,
        "PHP_AUTH_USER": None,
    }
    expect({name: got.get(name) or None for name in wanted}, wanted, "variables")


def no_source(place):
    """By none of the ways to write a path, whether the script can be run or not."""
    paths = ("/hello.php", "/session.php", "/half.php.", "/hello.php%00", "/hello.php/", "/hello.php%20", "/HELLO.PHP", "/app/", "/app/index.php")
    paths += ("/./hello.php", "/app/../hello.php", "//hello.php", "/hello%2ephp", "/hello.php?x", "/.user.ini/../hello.php")
    for path in paths:
        for fields in ({}, {"Range": "bytes=0-100"}, {"Accept": "text/plain"}):
            try:
                answer = ask(place, path, **fields)
            except OSError:
                continue
            for part in SOURCE:
                if part in answer.body:
                    raise Wrong(f"{path}: the source was sent: {answer.body[:100]!r}")


def check_stopped(table, way, place):
    """With the backend gone: an answer that says so, and no source."""
    with table.check("php", way, "with the backend stopped: 502 or 503, no source"):
        for path in ("/hello.php", "/app/", "/info.php", "/server.php/more"):
            answer = ask(place, path)
            if answer.status not in (502, 503):
                raise Wrong(f"{path}: {answer.status}")
        no_source(place)
        answer = ask(place, "/upload.php", "POST", random_bytes(MEGABYTE, "x"))
        if answer.status not in (502, 503):
            raise Wrong(f"an upload: {answer.status}")
        expect(ask(place, "/1k.bin").status, 200, "a file meanwhile")


def check_back(table, way, place, seconds):
    with table.check("php", way, "with the backend back: served again"):
        end = time.monotonic() + seconds
        while (answer := ask(place, "/hello.php")).status != 200:
            if time.monotonic() > end:
                raise Wrong(f"{answer.status} after {seconds} s")
            time.sleep(0.1)


def load(client, number):
    """What one of many clients asks, again and again."""
    if number % 5 == 0:
        data = random_bytes(50_000, number)
        got = client.ask("/upload.php", "POST", data, Content_Type="application/octet-stream")
        expect((got.status, got.text().split()), (200, [str(len(data)), sha256(data)]), "upload.php")
    elif number % 5 == 1:
        got = client.ask("/download.php?blocks=2")
        expect((got.status, sha256(got.body)), (200, sum_of_blocks(2)), "download.php")
    else:
        got = client.ask("/hello.php")
        expect((got.status, got.text()), (200, "hello\n"), "hello.php")
