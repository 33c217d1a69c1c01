#!/usr/bin/python3
"""A CGI program in plain Python: a form by email.parser, the variables, a body of any length, statuses and redirects."""

import email.parser
import email.policy
import hashlib
import json
import os
import sys
from urllib.parse import parse_qs

query = {name: values[0] for name, values in parse_qs(os.environ.get("QUERY_STRING", ""), keep_blank_values=True).items()}
action = query.get("do", "")
kind = os.environ.get("CONTENT_TYPE", "")


def say(*lines):
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()


if action == "form":
    body = sys.stdin.buffer.read(int(os.environ["CONTENT_LENGTH"]))
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.iter_parts():
        data = part.get_payload(decode=True)
        fields[part.get_param("name", header="content-disposition")] = [part.get_filename(), len(data), hashlib.sha256(data).hexdigest()]
    say("Content-Type: application/json", "", json.dumps(fields))
elif action == "upload":
    total, length = hashlib.sha256(), 0
    while part := sys.stdin.buffer.read(65536):
        total.update(part)
        length += len(part)
    said = os.environ.get("CONTENT_LENGTH", "-")
    say("Content-Type: text/plain", "", f"{length} {total.hexdigest()} {said}\n")
elif action == "variables":
    told = {"environment": dict(os.environ), "arguments": sys.argv[1:], "directory": os.getcwd(), "fds": sorted(map(int, os.listdir("/proc/self/fd")))[:-1]}
    say("Content-Type: application/json", "", json.dumps(told))
elif action == "status":
    say(f"Status: {query['code']} A Reason", "Content-Type: text/plain", "X-One: 1", "", "a body\n")
elif action == "location":
    say(f"Location: {query['to']}", "", "")
elif action == "stderr":
    print(f"from a script: {query['text']}", file=sys.stderr, flush=True)
    say("Content-Type: text/plain", "", "said\n")
elif action == "nothing":
    pass
elif action == "nonsense":
    say("this is no field", "", "nor this a body\n")
else:
    say("Content-Type: text/plain", "", "hello\n")
