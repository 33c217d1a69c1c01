"""Processes, descriptors and memory of what runs: at the start, at most, and when nobody asks any more."""

import os
import threading
import time
from pathlib import Path

from serving import field_kb, parents

SETTLE = 15


def family(pid):
    """A process, those of its session, and whatever these started and still have."""
    all_of_them = parents()
    known = {pid} | {other for other, (_, session) in all_of_them.items() if session == pid}
    grown = True
    while grown:
        more = {other for other, (parent, _) in all_of_them.items() if parent in known} - known
        known |= more
        grown = bool(more)
    return known & set(all_of_them)


def strays(work):
    """Processes that run in a directory or were told of it, but those that this program is or came from."""
    found = []
    for pid in parents():
        try:
            told = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
            told += os.readlink(f"/proc/{pid}/cwd").encode()
        except OSError:
            continue
        if str(work).encode() in told and pid != os.getpid():
            found.append((pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()))
    return found


class Watched:
    """One started thing: its first process and all that it starts."""

    def __init__(self, name, running):
        self.name, self.pid = name, running.process.pid
        self.program = os.readlink(f"/proc/{self.pid}/exe")
        self.start, self.peaks = self.now(), {}

    def now(self):
        pids, descriptors, memory = family(self.pid), 0, 0
        for pid in pids:
            try:
                descriptors += len(os.listdir(f"/proc/{pid}/fd"))
                # What it runs has memory of its own.
                if os.readlink(f"/proc/{pid}/exe") == self.program:
                    memory += field_kb(f"/proc/{pid}/smaps_rollup", "Anonymous")
            except OSError:
                # It has ended meanwhile.
                continue
        return {"processes": len(pids), "descriptors": descriptors, "anonymous KB": memory}

    def sample(self):
        for name, value in self.now().items():
            self.peaks[name] = max(self.peaks.get(name, 0), value)

    def settled(self, spare):
        """What it has once it has given everything back, or after SETTLE seconds. `spare`: descriptors more than at the start."""
        end = time.monotonic() + SETTLE
        while True:
            now = self.now()
            good = now["processes"] == self.start["processes"] and now["descriptors"] <= self.start["descriptors"] + spare
            if good or time.monotonic() > end:
                return now, good
            time.sleep(0.2)


class Sampler:
    """Takes the peaks of what is watched, while it is a context."""

    def __init__(self, watched):
        self.watched, self.over = watched, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.wait(0.2):
            for each in self.watched:
                try:
                    each.sample()
                except OSError:
                    return

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
