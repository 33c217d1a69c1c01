"""usage: backend.py PORT

A Python HTTP server as people write them, for the proxy to stand in front of. The last part of a path says what is done.
"""

import hashlib
import json
import socket
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from programs import websocket
from programs.payload import block


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment each: no waiting for an acknowledgement of the head.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        action = getattr(self, f"on_{url.path.rpartition('/')[2]}", None)
        if action:
            action()
        else:
            self.answer(b"nothing here\n", 404)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def answer(self, body, status=200, **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        """The parts of the request body."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            part = self.rfile.read(min(left, 65536))
            if not part:
                return
            left -= len(part)
            yield part

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def begin_chunks(self, kind="application/octet-stream"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def on_hello(self):
        self.answer(b"hello\n", Content_Type="text/plain")

    def on_request(self):
        """The request as it came here."""
        body = b"".join(self.body()).decode("latin-1")
        told = {"line": self.requestline, "fields": self.headers.items(), "body": body, "peer": self.client_address}
        self.answer(json.dumps(told).encode(), Content_Type="application/json")

    def on_upload(self):
        total, length = hashlib.sha256(), 0
        for part in self.body():
            total.update(part)
            length += len(part)
        self.answer(f"{length} {total.hexdigest()}\n".encode())

    def on_download(self):
        blocks = int(self.query["blocks"])
        if "length" in self.query:
            self.send_response(200)
            self.send_header("Content-Length", str(blocks * 65536))
            self.end_headers()
            for number in range(blocks):
                self.wfile.write(block(number))
            return
        self.begin_chunks()
        for number in range(blocks):
            self.chunk(block(number))
        self.wfile.write(b"0\r\n\r\n")

    def on_untold(self):
        """An answer that ends with its connection."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(int(self.query["blocks"])):
            self.wfile.write(block(number))

    def on_events(self):
        """Three events, half a second apart."""
        self.begin_chunks("text/event-stream")
        for number in range(3):
            self.chunk(f"data: {number}\n\n".encode())
            time.sleep(0.5)
        self.wfile.write(b"0\r\n\r\n")

    def on_sleep(self):
        if "behind" in self.query:
            self.begin_chunks()
            self.chunk(b"x" * 100_000)
        time.sleep(float(self.query["seconds"]))
        if "behind" not in self.query:
            self.answer(b"late\n")

    def on_half(self):
        """Dies in the middle of its answer, gently or by a reset."""
        self.close_connection = True
        if "length" in self.query:
            self.send_response(200)
            self.send_header("Content-Length", "200000")
            self.end_headers()
            self.wfile.write(b"x" * 100_000)
        else:
            self.begin_chunks()
            self.chunk(b"x" * 100_000)
        if "reset" in self.query:
            time.sleep(0.2)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def on_status(self):
        status = int(self.query["code"])
        if status == 304:
            self.send_response(status)
            self.send_header("ETag", '"x"')
            self.end_headers()
        else:
            self.answer(b"a body\n", status, X_One="1", Set_Cookie="a=b", Keep_Alive="timeout=9", Proxy_Connection="keep-alive")

    def on_ws(self):
        """Gives back every message; a ping is answered, and a close."""
        self.close_connection = True
        if self.headers.get("Upgrade", "").lower() != "websocket":
            self.answer(b"a WebSocket is wanted\n", 426, Upgrade="websocket", Connection="Upgrade")
            return
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", websocket.accept_of(self.headers["Sec-WebSocket-Key"]))
        if wanted := self.headers.get("Sec-WebSocket-Protocol"):
            self.send_header("Sec-WebSocket-Protocol", wanted)
        self.end_headers()
        while True:
            kind, data = websocket.read_frame(self.rfile)
            if kind is None:
                return
            if kind == websocket.PING:
                kind = websocket.PONG
            self.wfile.write(websocket.frame(kind, data))
            if kind == websocket.CLOSE:
                return


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
