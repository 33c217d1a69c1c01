"""Mixed good and hostile load for a chosen time. Called by scripts/soak, which says what it is for."""

import asyncio
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import serving
import soak_good
import soak_hostile
from serving import Running, field_kb, say

GROWTH_KB = 16
# In runs of less than a minute, where chance decides which pages of the buffers are used.
SHORT_GROWTH_KB = 48
# Longer than any limit of time at the defaults.
SETTLE = 75
# Connections at once before a run, more than it comes to have by chance.
FILL = 6000
PASSES = {
    "defaults": {
        "keys": "",
        "sizes": {"idle": 2000, "slow": 1000, "flood": 200},
    },
    # 369 descriptors for other things, 64 of head-room, 140 connections.
    "lowered": {
        "keys": "    FDLimit 573\n    MemoryLimit 1500\n    Timeout 5\n    KeepAliveTimeout 2\n    MaxKeepAliveRequest 20\n"
        "    MaxConnectionsPerAddress 24\n    RetryAfter 1\n",
        "sizes": {"idle": 2000, "slow": 1000, "flood": 200},
    },
}
# What must have been hit in which pass, by the server's own count.
HIT = {
    "defaults": ("buffers refused",),
    "lowered": ("gave way", "times full", "over address", "buffers refused", "without descriptor or given way for one"),
}


def server_command(work, keys):
    directory = work / "conf"
    (directory / "sites").mkdir(parents=True, exist_ok=True)
    (directory / "monkey.conf").write_text(f"[SERVER]\n    Listen 127.0.0.1:0\n    Workers {serving.WORKERS}\n{keys}")
    (directory / "sites" / "default").write_text(f"[HOST]\n    ServerName 127.0.0.1\n    DocumentRoot {work / 'www'}\n")
    shutil.copy(serving.ROOT / "conf" / "monkey.mime", directory / "monkey.mime")
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return [str(serving.MONKEY), "-c", str(directory)]


def write_site(www):
    (www / "megabyte.bin").write_bytes(soak_good.MEGABYTE)
    with open(www / "large.bin", "wb") as large:
        large.truncate(64 << 20)
    (www / "small").mkdir()
    (www / "many").mkdir()
    for path, content in soak_good.SMALL.items():
        (www / path[1:]).write_bytes(content)
    for number in range(1000):
        (www / "many" / f"{number}.txt").write_bytes(b"x" * (number * 17 % 15_000))


class Watched:
    """A server and what it says and uses."""

    def __init__(self, work, keys):
        self.server = Running("monkey", server_command(work, keys), 0).wait_listening()
        self.pid = self.server.process.pid
        while " workers, up to " not in self.server.said():
            time.sleep(0.01)
        self.limit_kb = int(re.search(r"memory: at most \d+ of (\d+) KB", self.server.said())[1])
        self.capacity = int(re.search(r"up to (\d+) connections", self.server.said())[1])
        self.peaks = {}
        self.over = threading.Event()

    def alive(self):
        return self.server.process.poll() is None

    def state(self):
        """What it says on SIGUSR2, by name."""
        file = self.server.output.fileno()
        begin = os.fstat(file).st_size
        os.kill(self.pid, signal.SIGUSR2)
        end = time.monotonic() + 10
        while time.monotonic() < end and self.alive():
            text = os.pread(file, 1 << 16, begin).decode(errors="replace")
            lines = [line.partition("state: ")[2] for line in text.split("\n")[:-1] if "state: " in line]
            if len(lines) == 1 + serving.WORKERS:
                break
            time.sleep(0.01)
        else:
            sys.exit(f"the server does not say its state:\n{self.server.said()[-2000:]}")
        whole = next(line for line in lines if not line.startswith("worker "))
        workers = [line for line in lines if line.startswith("worker ")]

        def number(line, words):
            return int(re.search(rf"(\d+) {words}", line)[1])

        found = {"connections": number(whole, "of")}
        for name in ("accepted", "gave way", "times full", "over capacity", "over address", "without descriptor", "pauses", "addresses"):
            found[name] = number(whole, name)
        for name, words in (("answered", "answered"), ("buffers", r"of \d+ \("), ("buffers refused", "refused"), ("in use", "in use")):
            found[name] = sum(number(line, words) for line in workers)
        return found

    def held(self):
        """What must be as at the start once all clients are done: connections, buffers, files, descriptors."""
        state = self.state()
        fds = len(os.listdir(f"/proc/{self.pid}/fd"))
        return {**{name: state[name] for name in ("connections", "buffers", "in use", "addresses")}, "fds": fds}

    def memory(self):
        rollup = f"/proc/{self.pid}/smaps_rollup"
        return {"Rss": field_kb(rollup, "Rss"), "Anonymous": field_kb(rollup, "Anonymous")}

    def sample(self):
        """Keeps the peaks, until told that it is over."""
        while not self.over.wait(0.5):
            try:
                now = {**self.memory(), "TCP mem": tcp_memory_kb(), "fds": len(os.listdir(f"/proc/{self.pid}/fd"))}
            except OSError:
                return
            for name, value in now.items():
                self.peaks[name] = max(self.peaks.get(name, 0), value)

    def limit_descriptors(self, limit):
        subprocess.run(["prlimit", "--pid", str(self.pid), f"--nofile={limit}:"], check=True)

    def descriptor_limit(self):
        with open(f"/proc/{self.pid}/limits", encoding="ascii") as limits:
            return int(re.search(r"Max open files\s+(\d+)", limits.read())[1])


def tcp_memory_kb():
    with open("/proc/net/sockstat", encoding="ascii") as sockstat:
        return int(re.search(r"^TCP: .* mem (\d+)", sockstat.read(), re.M)[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def start_process(function, *arguments):
    process = multiprocessing.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def good_process(port, seed, stop, calm, busy, report):
    report.put(asyncio.run(soak_good.run(port, seed, stop, calm, busy)))


def hostile_process(*arguments):
    asyncio.run(soak_hostile.run(*arguments))


def descriptors_run_out(watched, calm, busy):
    """For a moment the server can open nothing. Good clients ask for nothing meanwhile: their files could not be opened."""
    calm.set()
    end = time.monotonic() + 20
    quiet = 0
    while time.monotonic() < end and quiet < 5:
        quiet = 0 if busy.value else quiet + 1
        time.sleep(0.03)
    usual = watched.descriptor_limit()
    if quiet == 5:
        watched.limit_descriptors(len(os.listdir(f"/proc/{watched.pid}/fd")) * 3 // 4)
        time.sleep(0.5)
        watched.limit_descriptors(usual)
    calm.clear()


def run_load(watched, seconds, sizes, lowered):
    """One run of all clients. Gives what they counted."""
    port = watched.server.port
    stop, slow, release, calm = (multiprocessing.Event() for _ in range(4))
    busy = multiprocessing.Value("i", 0)
    soak_hostile.fill(port, min(watched.capacity, FILL))
    good_report, hostile_report = multiprocessing.Queue(), multiprocessing.Queue()
    good = start_process(good_process, port, 1, stop, calm, busy, good_report)
    hostile = [
        start_process(hostile_process, port, kind, sizes, kind, stop, slow, release, hostile_report)
        for kind in ("rough", "many")
    ]
    begun = time.monotonic()
    slow_peak, next_spell = 0, 0.3 * seconds
    while (now := time.monotonic() - begun) < seconds and watched.alive():
        # The slow readers are there for the middle third.
        if (seconds / 3 < now < seconds * 2 / 3) != slow.is_set():
            (slow.clear if slow.is_set() else slow.set)()
        if slow.is_set():
            slow_peak = max(slow_peak, tcp_memory_kb())
        if lowered and now > next_spell:
            next_spell = now + max(5, seconds / 20)
            descriptors_run_out(watched, calm, busy)
        time.sleep(0.2)
    stop.set()
    counts = {"TCP mem, slow readers": slow_peak}
    for _ in hostile:
        for name, count in hostile_report.get(timeout=60).items():
            counts[name] = counts.get(name, 0) + count
    totals = good_report.get(timeout=200)
    counts.update({name: totals[name] for name in ("good requests", "good errors", "good retries")})
    # Whoever is left is closed by the server alone: the clients hold on.
    counts["details"] = totals["details"]
    return counts, release, [good, *hostile]


def settle(watched, start):
    """Waits until the server holds nothing for anybody. Gives what it holds then, and how many seconds that took."""
    begun = time.monotonic()
    while True:
        time.sleep(1)
        held = watched.held() if watched.alive() else {}
        took = time.monotonic() - begun
        if took > SETTLE or not held or all(held[name] <= start[name] for name in start):
            return held, took


def one_pass(name, work, seconds):
    """Two runs against one server. Gives two columns of figures and what was wrong."""
    watched = Watched(work, PASSES[name]["keys"])
    columns, wrong = [], []
    binding = serving.MONKEY.is_relative_to(serving.TARGET_DIR / "static")
    sampler = threading.Thread(target=watched.sample, daemon=True)
    try:
        start, before = watched.held(), watched.state()
        sampler.start()
        for number in (1, 2):
            column = {"connections at most": watched.capacity, "seconds": seconds}
            watched.peaks = {}
            memory, tcp = watched.memory(), tcp_memory_kb()
            counts, release, processes = run_load(watched, seconds, PASSES[name]["sizes"], name == "lowered")
            held, took = settle(watched, start)
            release.set()
            for process in processes:
                process.join(60)
            if not watched.alive():
                wrong.append(f"{name}, run {number}: the server died:\n{watched.server.said()[-2000:]}")
                break
            after, ended = watched.state(), watched.memory()
            details = counts.pop("details")
            column.update(counts)
            since = {key: after[key] - before[key] for key in after}
            since["without descriptor or given way for one"] = since["without descriptor"] + since["pauses"]
            column["answered by the server"] = since["answered"]
            for key in ("accepted", "gave way", "times full", "over capacity", "over address", "without descriptor", "pauses", "buffers refused"):
                column[f"server: {key}"] = since[key]
            for key in ("Rss", "Anonymous"):
                column[f"{key}, KB: start"], column[f"{key}, KB: end"] = memory[key], ended[key]
                column[f"{key}, KB: peak"] = watched.peaks[key]
            column["TCP mem, KB: start"], column["TCP mem, KB: peak"] = tcp, watched.peaks["TCP mem"]
            column["fds: peak"] = watched.peaks["fds"]
            for key in start:
                column[f"{key}: start"], column[f"{key}: end"] = start[key], held.get(key, "?")
            column["seconds to settle"] = round(took)
            columns.append(column)
            wrong += [f"{name}, run {number}: a good client: {detail}" for detail in details]
            wrong += [f"{name}, run {number}: {key} {start[key]} at the start, {held[key]} at the end" for key in start if held[key] > start[key]]
            wrong += [f"{name}, run {number}: never hit: {key}" for key in HIT[name] if not since[key]]
            if counts["good errors"] and not details or not counts["good requests"]:
                wrong.append(f"{name}, run {number}: {counts['good requests']} requests of good clients, {counts['good errors']} errors")
            if binding and watched.peaks["Rss"] > watched.limit_kb:
                wrong.append(f"{name}, run {number}: {watched.peaks['Rss']} KB resident, MemoryLimit is {watched.limit_kb}")
            before = after
        if len(columns) == 2:
            grown = columns[1]["Anonymous, KB: end"] - columns[0]["Anonymous, KB: end"]
            columns[1]["Anonymous above the first run, KB"] = grown
            if binding and grown > (GROWTH_KB if seconds >= 60 else SHORT_GROWTH_KB):
                wrong.append(f"{name}: the second run ends {grown} KB of anonymous memory above the first")
    finally:
        watched.over.set()
        watched.server.stop()
    return columns, wrong


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    serving.need_monkey()
    serving.raise_open_files(20_000)
    work = serving.make_work_directory()
    columns, wrong = {}, []
    try:
        write_site(work / "www")
        for name in PASSES:
            say(f"-- {name}: twice {seconds} s")
            made, found = one_pass(name, work, seconds)
            wrong += found
            columns.update({f"{name} {number}": column for number, column in enumerate(made, start=1)})
    finally:
        shutil.rmtree(work, ignore_errors=True)
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows = [(name, *(column.get(name, "") for column in columns.values())) for name in names]
    for row in [("", *columns), *rows]:
        print(f"{row[0]:<36}" + "".join(f"{cell!s:>14}" for cell in row[1:]))
    serving.write_table("soak.tsv", ("what", *columns), rows)
    for line in wrong[:50]:
        print(f"WRONG: {line}")
    if len(wrong) > 50:
        print(f"WRONG: and {len(wrong) - 50} more")
    print(f"{len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
