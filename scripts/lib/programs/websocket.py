"""The WebSocket protocol (RFC 6455), as much of both sides as the checks need: no extensions, no fragments sent."""

import base64
import hashlib
import os
import socket
import struct

from programs.table import Wrong, expect

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key):
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest()).decode()


def masked(data, mask):
    """XOR with the four bytes of the mask, over and over; as one number, for a megabyte byte by byte takes seconds."""
    whole = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(data), "big")


def frame(kind, data, mask=None):
    """A message in one frame. A client's are masked."""
    bit = 0x80 if mask else 0
    if len(data) < 126:
        head = struct.pack("!BB", 0x80 | kind, bit | len(data))
    elif len(data) < 1 << 16:
        head = struct.pack("!BBH", 0x80 | kind, bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", 0x80 | kind, bit | 127, len(data))
    return head + (mask + masked(data, mask) if mask else data)


def read_frame(file):
    """(kind, data) of the next frame, unmasked; (None, b"") at the end of the connection."""
    head = file.read(2)
    if len(head) < 2:
        return None, b""
    length = head[1] & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", file.read(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", file.read(8))
    mask = file.read(4) if head[1] & 0x80 else None
    data = file.read(length)
    if not head[0] & 0x80 or len(data) < length:
        raise Wrong(f"a frame that is none: {head!r}, {len(data)} of {length} bytes")
    return head[0] & 0x0F, masked(data, mask) if mask else data


class Socket:
    """A client. A context: its connection is closed at the end."""

    def __init__(self, place, path, together=b""):
        """Makes the connection a WebSocket. `together` is sent with the head, as a client may."""
        self.connection = socket.create_connection(("127.0.0.1", place.port), 30)
        self.file = self.connection.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {place.host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: echo\r\n\r\n".encode() + together
        )
        line = self.file.readline().decode("latin-1")
        fields = {}
        while text := self.file.readline().decode("latin-1").strip():
            name, _, value = text.partition(":")
            fields[name.lower()] = value.strip()
        if " 101 " not in line:
            raise Wrong(f"no WebSocket: {line.strip()} {fields}")
        expect(fields.get("sec-websocket-accept"), accept_of(key), "Sec-WebSocket-Accept")
        expect(fields.get("upgrade", "").lower(), "websocket", "Upgrade")
        if "upgrade" not in fields.get("connection", "").lower():
            raise Wrong(f"Connection: {fields.get('connection')}")

    def send(self, kind, data):
        self.connection.sendall(frame(kind, data, os.urandom(4)))

    def receive(self):
        return read_frame(self.file)

    def echo(self, kind, data):
        self.send(kind, data)
        expect(self.receive(), (kind, data), "what comes back")

    def close(self, code=1000):
        """The closing of both sides, and the end of the connection by the other one."""
        self.send(CLOSE, struct.pack("!H", code))
        expect(self.receive(), (CLOSE, struct.pack("!H", code)), "the answer to a close")
        expect(self.file.read(1), b"", "behind the close")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.connection.close()
