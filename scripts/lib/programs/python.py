"""Python: a CGI program, and an HTTP server behind the proxy with a WebSocket through it."""

import sys
import time
from pathlib import Path

import serving
from programs import websocket
from programs.client import MEGABYTE, Client, ask, get_ok, must_be_cut, send_and_leave
from programs.payload import BLOCKS, chunks, from_json, multipart, random_bytes, sha256, sum_of_blocks
from programs.table import Wrong, expect
from programs.websocket import BINARY, PING, PONG, TEXT

HERE = Path(__file__).resolve().parent
SCRIPT = HERE / "www" / "echo.py"


def write_site(www):
    place = www / "echo.py"
    place.write_bytes(SCRIPT.read_bytes())
    place.chmod(0o755)
    (www / "plain.txt").write_text("a file\n")


def check_cgi(table, place, said):
    """The CGI program. `said()` is what the server has written to its log."""

    def row(what):
        return table.check("python", "cgi", what)

    with row("a script with print"):
        expect(get_ok(place, "/echo.py").text(), "hello\n", "page")
    with row("a form with a file, by email.parser"):
        data = random_bytes(200_000, "form")
        body, kind = multipart({"name": "value"}, {"file": ("a file.bin", data)})
        got = from_json(get_ok(place, "/echo.py?do=form", method="POST", body=body, Content_Type=kind))
        expect(got, {"name": [None, 5, sha256(b"value")], "file": ["a file.bin", len(data), sha256(data)]}, "fields")
    data = random_bytes(5 * MEGABYTE, "python")
    with row("5 MB sent up"):
        got = get_ok(place, "/echo.py?do=upload", method="POST", body=data).text().split()
        expect(got, [str(len(data)), sha256(data), str(len(data))], "length, sum, CONTENT_LENGTH")
    with row("5 MB sent up in chunks: to the end of stdin"):
        got = get_ok(place, "/echo.py?do=upload", method="POST", body=chunks(data, 7000), Transfer_Encoding="chunked").text().split()
        expect(got[:2], [str(len(data)), sha256(data)], "length and sum")
        if got[2] not in ("-", str(len(data))):
            raise Wrong(f"CONTENT_LENGTH is {got[2]}")
    with row("variables, directory, no descriptor but three"):
        told = from_json(get_ok(place, "/echo.py/a/b?do=variables", Proxy="http://evil.test", X_One="1"))
        has = told["environment"]
        expect({n: has.get(n) for n in ("SCRIPT_NAME", "PATH_INFO", "HTTP_X_ONE", "HTTP_PROXY")}, {"SCRIPT_NAME": "/echo.py", "PATH_INFO": "/a/b", "HTTP_X_ONE": "1", "HTTP_PROXY": None}, "variables")
        expect((told["directory"], told["fds"]), (str(place.root), [0, 1, 2]), "directory and descriptors")
    with row("Status:, and redirects to a path and to a URL"):
        answer = ask(place, "/echo.py?do=status&code=404")
        expect((answer.status, answer.fields["X-One"], answer.text()), (404, "1", "a body\n"), "answer")
        expect(get_ok(place, "/echo.py?do=location&to=/plain.txt").text(), "a file\n", "a local redirect")
        answer = ask(place, "/echo.py?do=location&to=http://other.test/")
        expect((answer.status, answer.fields["Location"]), (302, "http://other.test/"), "a client redirect")
    with row("stderr comes to the error log"):
        mark = f"mark {time.monotonic_ns()}"
        get_ok(place, f"/echo.py?do=stderr&text={mark.replace(' ', '+')}")
        end = time.monotonic() + 5
        while mark not in said():
            if time.monotonic() > end:
                raise Wrong("it is not there")
            time.sleep(0.05)
    with row("nothing, or nonsense: 502 or 500"):
        for action in ("nothing", "nonsense"):
            status = ask(place, f"/echo.py?do={action}").status
            if status not in (500, 502):
                raise Wrong(f"{action}: {status}")


def load_cgi(client, number):
    data = random_bytes(10_000, number)
    if number % 4:
        got = client.ask("/echo.py")
        expect((got.status, got.text()), (200, "hello\n"), "page")
    else:
        got = client.ask("/echo.py?do=upload", "POST", data)
        expect((got.status, got.text().split()[:2]), (200, [str(len(data)), sha256(data)]), "upload")


class Backend:
    """The HTTP server, a process of its own."""

    def __init__(self):
        self.port, self.running = serving.free_port(), None

    def start(self):
        self.running = serving.Running("backend.py", [sys.executable, str(HERE / "backend.py"), str(self.port)], self.port).wait()
        return self

    def stop(self):
        if self.running:
            self.running.stop()
            self.running = None


def check_proxy(table, place, limit):
    """Whatever is below /app goes to the HTTP server."""

    def row(what):
        return table.check("python", "proxy", what)

    with row("pages, one connection for many"):
        with Client(place) as client:
            for _ in range(20):
                answer = client.ask("/app/hello")
                expect((answer.status, answer.text()), (200, "hello\n"), "page")
    with row("what the server is told of the client"):
        told(place)
    big = random_bytes(20 * MEGABYTE, "proxy")
    with row("20 MB sent up, by its sum"):
        expect(get_ok(place, "/app/upload", method="POST", body=big).text().split(), [str(len(big)), sha256(big)], "length and sum")
    with row("20 MB sent up in chunks"):
        got = get_ok(place, "/app/upload", method="PUT", body=chunks(big, 30_000), Transfer_Encoding="chunked")
        expect(got.text().split(), [str(len(big)), sha256(big)], "length and sum")
    for what, path in (("streamed", "/app/download?blocks="), ("its length said", "/app/download?length&blocks="), ("that ends with its connection", "/app/untold?blocks=")):
        with row(f"20 MB of answer, {what}"):
            answer = get_ok(place, f"{path}{BLOCKS}")
            expect((len(answer.body), sha256(answer.body)), (BLOCKS * 65536, sum_of_blocks(BLOCKS)), "length and sum")
    with row("events come one by one"):
        events(place)
    with row("HEAD, 304, statuses, fields of one hop"):
        with Client(place) as client:
            expect((client.ask("/app/hello", "HEAD").body, client.ask("/app/status?code=304").status), (b"", 304), "HEAD and 304")
            answer = client.ask("/app/status?code=418")
            hop = {name: answer.fields[name] for name in ("X-One", "Set-Cookie", "Keep-Alive", "Proxy-Connection")}
            expect((answer.status, hop), (418, {"X-One": "1", "Set-Cookie": "a=b", "Keep-Alive": None, "Proxy-Connection": None}), "answer")
            expect(client.ask("/app/absent").status, 404, "status")
    with row("one that dies half-way: known as unfinished"):
        for path in ("/app/half", "/app/half?length", "/app/half?reset", "/app/half?length&reset"):
            must_be_cut(place, path, 1)
        get_ok(place, "/app/hello")
    with row(f"one that sleeps past {limit} s: 504"):
        begun = time.monotonic()
        expect(ask(place, f"/app/sleep?seconds={limit * 2}").status, 504, "status")
        took = time.monotonic() - begun
        if not limit - 0.5 < took < limit + 1.5:
            raise Wrong(f"after {took:.1f} s")
    with row(f"one that stops for {limit} s in its answer: cut"):
        must_be_cut(place, f"/app/sleep?behind&seconds={limit * 2}", 1)
    with row("clients that leave, others that are served"):
        for _ in range(20):
            send_and_leave(place, "/app/download?blocks=100")
        get_ok(place, "/app/hello")
    check_websocket(row, place, limit)


def told(place):
    """The request as it arrived behind the proxy."""
    sent = {"X_One": "1", "Connection": "keep-alive, X-Hop", "X_Hop": "1", "Keep_Alive": "timeout=5", "TE": "trailers", "Proxy": "x", "Cookie": "a=b"}
    got = from_json(get_ok(place, "/app/request?a=b%20c", method="POST", body=b"a body", X_Forwarded_For="192.0.2.1", **sent))
    fields = {name.lower(): value for name, value in got["fields"]}
    expect(len(fields), len(got["fields"]), "fields, each once")
    expect(got["line"], "POST /app/request?a=b%20c HTTP/1.1", "request line")
    expect({n: fields.get(n) for n in ("x-one", "x-hop", "keep-alive", "te", "cookie", "content-length")}, {"x-one": "1", "x-hop": None, "keep-alive": None, "te": None, "cookie": "a=b", "content-length": "6"}, "fields")
    expect(got["body"], "a body", "body")
    if not fields.get("x-forwarded-for", "").endswith("127.0.0.1"):
        raise Wrong(f"X-Forwarded-For: {fields.get('x-forwarded-for')}")
    expect(fields.get("x-forwarded-proto"), "http", "X-Forwarded-Proto")
    if "for=127.0.0.1" not in fields.get("forwarded", "").replace('"', ""):
        raise Wrong(f"Forwarded: {fields.get('forwarded')}")


def events(place):
    begun, came = time.monotonic(), []
    with Client(place) as client:
        client.connection.request("GET", "/app/events", headers={"Host": place.host})
        answer = client.connection.getresponse()
        for number in range(3):
            expect(answer.readline() + answer.readline(), f"data: {number}\n\n".encode(), "event")
            came.append(time.monotonic() - begun)
    late = [at - 0.5 * number for number, at in enumerate(came)]
    if max(late) > 0.4:
        raise Wrong(f"they came after {came} s")


def check_websocket(row, place, limit):
    with row("WebSocket: text, binary of 1 MB, ping, close"):
        with websocket.Socket(place, "/app/ws") as client:
            client.echo(TEXT, "žluťoučký kůň".encode())
            client.echo(BINARY, random_bytes(MEGABYTE, "ws"))
            client.send(PING, b"are you there")
            expect(client.receive(), (PONG, b"are you there"), "the answer to a ping")
            client.close()
    with row("WebSocket: a message sent with the head"):
        with websocket.Socket(place, "/app/ws", websocket.frame(TEXT, b"early", b"mask")) as client:
            expect(client.receive(), (TEXT, b"early"), "what comes back")
            client.close()
    with row("WebSocket: 20 MB each way at once"):
        data = [random_bytes(MEGABYTE, number) for number in range(20)]
        with websocket.Socket(place, "/app/ws") as client:
            for message in data:
                client.echo(BINARY, message)
            client.close()
    with row(f"WebSocket: quiet for {limit + 1} s, open still"):
        with websocket.Socket(place, "/app/ws") as client:
            client.echo(TEXT, b"before")
            time.sleep(limit + 1)
            client.echo(TEXT, b"after")
            client.close()
    with row("WebSocket: one that is not wanted"):
        answer = ask(place, "/app/ws")
        expect((answer.status, answer.text()), (426, "a WebSocket is wanted\n"), "answer")


def check_stopped(table, place):
    with table.check("python", "proxy", "with the backend stopped: 502 or 503"):
        for method, body in (("GET", None), ("POST", b"x" * MEGABYTE)):
            status = ask(place, "/app/hello", method, body).status
            if status not in (502, 503):
                raise Wrong(f"{method}: {status}")
        expect(ask(place, "/1k.bin").status, 200, "a file meanwhile")


def check_back(table, place, seconds):
    with table.check("python", "proxy", "with the backend back: served again"):
        end = time.monotonic() + seconds
        while (answer := ask(place, "/app/hello")).status != 200:
            if time.monotonic() > end:
                raise Wrong(f"{answer.status} after {seconds} s")
            time.sleep(0.1)


def load_proxy(client, number):
    if number % 5 == 0:
        with websocket.Socket(client.place, "/app/ws") as socket:
            for size in (10, 1000, 100_000):
                socket.echo(BINARY, random_bytes(size, number))
            socket.close()
    elif number % 5 == 1:
        data = random_bytes(50_000, number)
        got = client.ask("/app/upload", "POST", data)
        expect((got.status, got.text().split()), (200, [str(len(data)), sha256(data)]), "upload")
    elif number % 5 == 2:
        got = client.ask("/app/download?blocks=2")
        expect((got.status, sha256(got.body)), (200, sum_of_blocks(2)), "download")
    else:
        got = client.ask("/app/hello")
        expect((got.status, got.text()), (200, "hello\n"), "page")
