"""What was checked and how it went."""

import sys
import time
import traceback
from contextlib import contextmanager
from http.client import HTTPException


class Wrong(Exception):
    """Something is not as it must be."""


def expect(found, wanted, what):
    if found != wanted:
        raise Wrong(f"{what}: {shorten(found)} instead of {shorten(wanted)}")


def shorten(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:200]}... ({len(text)} characters)"


class Table:
    """Rows of (program, way, what, verdict, milliseconds, note)."""

    def __init__(self):
        self.rows = []
        # (program, way, part of what is checked): what fails and may, for the server in front is known to do it otherwise.
        self.otherwise = ()

    @contextmanager
    def check(self, program, way, what):
        """What happens within is one check: it fails by an exception."""
        begun = time.monotonic()
        verdict, note = "ok", ""
        try:
            yield
        except (Wrong, OSError, HTTPException) as error:
            verdict, note = "FAILED", f"{type(error).__name__}: {error}" if not isinstance(error, Wrong) else str(error)
        except Exception:  # A check must not end the others.
            verdict, note = "FAILED", traceback.format_exc()
        if verdict == "FAILED" and any((program, way) == known[:2] and known[2] in what for known in self.otherwise):
            verdict = "differs"
        self.add(program, way, what, verdict, round((time.monotonic() - begun) * 1000), note)

    def skip(self, program, way, what, why):
        self.add(program, way, what, "SKIPPED", 0, why)

    def add(self, program, way, what, verdict, took=0, note=""):
        self.rows.append((program, way, what, verdict, took, note))
        if verdict == "FAILED":
            print(f"  {program}, {way}: {what}: {note}", file=sys.stderr, flush=True)

    def count(self, verdict):
        return sum(row[3] == verdict for row in self.rows)

    def print(self):
        for program, way, what, verdict, took, note in self.rows:
            print(f"{program:8} {way:9} {what:50} {verdict:8} {took:>6} ms  {' '.join(note.split())[:160]}".rstrip())
