"""What is sent up and down, and its sums."""

import hashlib
import json
import random

BLOCK = 65536
# 20 MB of what www/download.php and the Python programs make.
BLOCKS = 320


def block(number):
    return hashlib.sha256(str(number).encode()).digest() * (BLOCK // 32)


def sum_of_blocks(blocks):
    total = hashlib.sha256()
    for number in range(blocks):
        total.update(block(number))
    return total.hexdigest()


def random_bytes(length, seed):
    return random.Random(seed).randbytes(length)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def chunks(data, size):
    """The data in pieces, for a request in chunks."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


def multipart(fields, files):
    """(body, Content-Type) of a form (RFC 7578): fields by name, files as name: (file name, data)."""
    boundary = "----------------7be2f1d09c"
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value.encode() for name, value in fields.items()]
    parts += [
        f'Content-Disposition: form-data; name="{name}"; filename="{file}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode() + data
        for name, (file, data) in files.items()
    ]
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def from_json(answer):
    return json.loads(answer.text())
