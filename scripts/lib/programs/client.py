"""One request and its whole answer."""

import http.client
import socket

from programs.table import Wrong

PATIENCE = 30
MEGABYTE = 1 << 20


class Answer:
    def __init__(self, got, body):
        self.status, self.fields, self.body = got.status, got.headers, body

    def text(self):
        return self.body.decode("utf-8", "replace")


class Cut(Exception):
    """An answer that ended before its time. Holds what came of it."""

    def __init__(self, status, body):
        super().__init__(f"status {status}, cut off after {len(body)} bytes")
        self.status, self.body = status, body


class Client:
    """A client of one site, with a connection of its own that is kept as long as the server keeps it."""

    def __init__(self, place, patience=PATIENCE):
        self.place = place
        self.connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=patience)

    def ask(self, path, method="GET", body=None, **fields):
        """Fields are given as `Content_Type="text/plain"`. A body that is no bytes is sent in chunks."""
        headers = {"Host": self.place.host, **{name.replace("_", "-"): value for name, value in fields.items()}}
        if not path.startswith("/"):
            path = f"/{path}"
        try:
            self.connection.request(method, path, body, headers, encode_chunked=not isinstance(body, (bytes, type(None))))
        except (BrokenPipeError, ConnectionResetError):
            # The answer may have come before all of the body went.
            pass
        answer = self.connection.getresponse()
        try:
            return Answer(answer, answer.read())
        except http.client.IncompleteRead as error:
            self.connection.close()
            raise Cut(answer.status, error.partial) from error
        except ConnectionResetError as error:
            self.connection.close()
            raise Cut(answer.status, b"") from error

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(place, path, method="GET", body=None, patience=PATIENCE, **fields):
    with Client(place, patience) as client:
        return client.ask(path, method, body, **fields)


def get_ok(place, path, **more):
    """The answer to a request that must have the status 200."""
    answer = ask(place, path, **more)
    if answer.status != 200:
        raise Wrong(f"{path}: status {answer.status}: {answer.text()[:200]}")
    return answer


def must_be_cut(place, path, at_least, **more):
    """The answer begins well and must be known as unfinished: a chunked one without its end, or less than the length said."""
    try:
        answer = ask(place, path, **more)
    except Cut as cut:
        if cut.status != 200 or len(cut.body) < at_least:
            raise Wrong(f"{path}: {cut}") from cut
        return
    raise Wrong(f"{path}: {answer.status} with {len(answer.body)} bytes has a good end: {answer.fields.items()}")


def send_and_leave(place, path):
    """A client that asks and is gone."""
    with socket.create_connection(("127.0.0.1", place.port), PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {place.host}\r\n\r\n".encode())
