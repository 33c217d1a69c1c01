"""The speed rows of the table of figures, side by side with the peers. Called by scripts/bench."""

import shutil
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bench_programs
import serving
from serving import COMMANDS, Running, say, wrk

FLOOR = None
PIPELINE = 16


@dataclass
class Row:
    """One line of the table: what wrk asks for, and the bars as (peer, most of it); the peer `best` is the best one present."""

    what: str
    path: str
    bars: tuple
    connections: int = 50
    size: int = 0
    headers: tuple = ()
    pipelined: bool = False
    floor: tuple | None = None


ROWS = {
    "1k": Row("GET 1 KB", "/1k.bin", (("nginx", 0.52), ("lighttpd", 1.0), ("floor", 1.2)), floor=(1024,)),
    "10k": Row("GET 10 KB", "/10k.bin", (("nginx", 0.52), ("lighttpd", 1.0), ("floor", 1.2)), floor=(10 * 1024,)),
    "404": Row("404", "/absent", (("best", 1.0),)),
    "100k": Row("GET 100 KB", "/100k.bin", (("best", 1.0),), floor=(100 * 1024,)),
    "1m": Row("GET 1 MB", "/1m.bin", (("best", 1.0),), connections=20, floor=(1024 * 1024,)),
    "close": Row("one request a connection", "/1k.bin", (), headers=("Connection: close",), floor=(1024, "close")),
    "pipelined": Row(f"pipelined {PIPELINE}", "/1k.bin", (("nginx", 0.25),), pipelined=True, floor=(1024,)),
}
PHP = "php"
START = "start"
PEERS = ("nginx", "lighttpd", "h2o")


def floor_command(port, arguments):
    return [FLOOR, str(port), str(arguments[0]), str(serving.WORKERS), *arguments[1:]]


def start_floor(work, arguments, core):
    port = serving.free_port()
    return Running("floor", floor_command(port, arguments), port, core=core).wait()


def pipeline_script(work, path):
    """A wrk script that sends PIPELINE requests at once; wrk counts each answer."""
    script = work / "pipelined.lua"
    script.write_text(
        "local batch\n"
        "function init()\n"
        "  local requests = {}\n"
        f'  for i = 1, {PIPELINE} do requests[i] = wrk.format("GET", "{path}") end\n'
        "  batch = table.concat(requests)\n"
        "end\n"
        "function request() return batch end\n"
    )
    return script


def cores():
    """(core of the servers, core of the client); none when the machine has one."""
    import os

    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        say("only one core: server and client share it, the figures mean little")
        return None, None
    return usable[1], usable[0]


def bench_row(row, work, servers, rounds, seconds, pins):
    """{server: median ns of server CPU per request}, the servers taking turns in every round."""
    server_core, client_core = pins
    present = dict(servers)
    if row.floor:
        present["floor"] = start_floor(work, row.floor, server_core)
    script = pipeline_script(work, row.path) if row.pipelined else None
    costs = {name: [] for name in present}
    names = list(present)
    try:
        for turn in range(rounds + 1):
            # Each starts a round once: what a neighbour on the machine does falls on all alike.
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                server = present[name]
                before = server.cpu_ns()
                # The first round warms up.
                done, errors, refused = wrk(
                    server.port, row.path, row.connections, seconds if turn else 1, client_core, row.headers, script
                )
                spent = server.cpu_ns() - before
                if not done:
                    sys.exit(f"{row.what}: {name} answered nothing")
                if refused and row.path != "/absent":
                    sys.exit(f"{row.what}: {name} answered {refused} of {done} requests with an error")
                if turn:
                    costs[name].append(spent / done)
                    if errors:
                        say(f"  {row.what}: {name}: {errors} socket errors")
            say(f"  {row.what}: round {turn} of {rounds}" + (" (warm-up)" if not turn else ""))
    finally:
        if row.floor:
            present["floor"].stop()
    return {name: statistics.median(values) for name, values in costs.items()}


def first_byte_ns(name, work, core):
    """Time from the spawn of a server to the first byte of its first answer."""
    port = serving.free_port()
    command = COMMANDS[name](work, port)
    begin = time.perf_counter_ns()
    server = Running(name, command, port, core=core)
    try:
        while True:
            if time.perf_counter_ns() - begin > 10_000_000_000:
                sys.exit(f"{name} did not answer within 10 s:\n{server.said()}")
            try:
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(b"GET /1k.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    if connection.recv(1):
                        return time.perf_counter_ns() - begin
            except OSError:
                time.sleep(0.0001)
    finally:
        server.stop()


def bench_start(work, names, rounds, pins):
    times = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name in names:
            taken = first_byte_ns(name, work, pins[0])
            if turn:
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def judge(measured, bars):
    """(text, whether every bar was kept) of one row: each ratio beside its bar."""
    peers = {name: cost for name, cost in measured.items() if name in PEERS}
    parts, kept = [], True
    for peer, bar in bars:
        name = min(peers, key=peers.get, default=None) if peer == "best" else peer
        if name not in measured:
            parts.append(f"{peer} absent (<= {bar})")
            continue
        ratio = measured["monkey"] / measured[name]
        good = ratio <= bar
        kept = kept and good
        label = f"best, {name}" if peer == "best" else name
        # More digits where two would hide that it is over.
        shown = f"{ratio:.2f}" if good or round(ratio, 2) > bar else f"{ratio:.4f}"
        parts.append(f"{shown} of {label} (<= {bar}) {'ok' if good else 'MISSED'}")
    return "; ".join(parts) or "no bar", kept


def speed(wanted, quick):
    rounds, seconds, starts = (3, 1, 7) if quick else (7, 2, 21)
    pins = cores()
    work = serving.make_work_directory()
    serving.raise_open_files(16_384)
    names = ["monkey", *(name for name in PEERS if shutil.which(COMMANDS[name](work, 1)[0]))]
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    results, servers = [], {}
    try:
        if any(name in ROWS for name in wanted):
            for name in names:
                servers[name] = serving.start(name, work, core=pins[0])
            for name in wanted:
                if name in ROWS:
                    row = ROWS[name]
                    results.append((row.what, "us", bench_row(row, work, servers, rounds, seconds, pins), row.bars))
        for server in servers.values():
            server.stop()
        servers = {}
        if PHP in wanted:
            row = Row(bench_programs.PHP_WHAT, "/hello.php", (("nginx", 0.7),), connections=bench_programs.PHP_CLIENTS)
            fpm, behind = bench_programs.php_servers(work, pins[0])
            try:
                results.append((row.what, "us", bench_row(row, work, behind, rounds, seconds, pins), row.bars))
            finally:
                bench_programs.stop_all(fpm, behind)
        if START in wanted:
            say("  start to first byte")
            results.append(("start to first byte", "ms", bench_start(work, names, starts, pins), (("lighttpd", 1.0),)))
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    print(f"server CPU per request, us, median of {rounds} rounds of {seconds} s; start to first byte, ms, median of {starts}")
    print(f"{serving.WORKERS} workers each, one core for the servers, one for wrk; congestion control {congestion}; no access log")
    columns = [*names, "floor"]
    print(f"{'row':26}" + "".join(f"{name:>10}" for name in columns) + "  ratio (bar)")
    table, missed = [], 0
    for what, unit, measured, bars in results:
        scale = 1e3 if unit == "us" else 1e6
        cells = [f"{measured[name] / scale:.2f}" if name in measured else "-" for name in columns]
        text, kept = judge(measured, bars)
        missed += not kept
        print(f"{what:26}" + "".join(f"{cell:>10}" for cell in cells) + f"  {text}")
        table.append((what, unit, *cells, text))
    serving.write_table("bench.tsv", ("row", "unit", *columns, "ratio"), table)
    print(f"{missed} rows over a bar" if missed else "no row over a bar")
    # Timing on a shared machine is a figure to read, not a test to fail.
    return 0


# What is measured with and without an access log, and the most that it may cost.
LOG_BAR = 1.15
LOG_SERVERS = {
    "monkey": serving.monkey_command,
    "monkey combined": serving.monkey_log_command,
    "monkey original": lambda work, port: serving.monkey_log_command(work, port, "monkey"),
    "nginx": serving.nginx_command,
    "nginx combined": serving.nginx_log_command,
    "nginx buffered": lambda work, port: serving.nginx_log_command(work, port, " buffer=64k flush=3s"),
}


def log(quick):
    """What an access log costs: server CPU per request with one and without, the servers taking turns."""
    rounds, seconds = (3, 1) if quick else (7, 2)
    pins, work, servers = cores(), serving.make_work_directory(), {}
    serving.raise_open_files(16_384)
    # Whoever nginx becomes makes its logs.
    work.chmod(0o777)
    results = []
    try:
        for name, command in LOG_SERVERS.items():
            if shutil.which(command(work, 1)[0]):
                port = serving.free_port()
                servers[name] = Running(name, command(work, port), port, core=pins[0]).wait()
        for row in (
            Row("GET 1 KB", "/1k.bin", ()),
            Row("one request a connection", "/1k.bin", (), headers=("Connection: close",)),
            Row(f"pipelined {PIPELINE}", "/1k.bin", (), pipelined=True),
        ):
            results.append((row.what, bench_row(row, work, servers, rounds, seconds, pins)))
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    print(f"server CPU per request, us, median of {rounds} rounds of {seconds} s, and its ratio to the same server without an access log")
    print(f"{serving.WORKERS} workers each, one core for the servers, one for wrk; bar {LOG_BAR}")
    table = []
    for what, measured in results:
        for name, cost in measured.items():
            ratio = cost / measured[name.split()[0]]
            note = "" if name in ("monkey", "nginx") else f"{ratio:.3f}"
            if name.startswith("monkey "):
                note += " ok" if ratio <= LOG_BAR else " MISSED"
            print(f"{what:26} {name:18} {cost / 1e3:8.2f}  {note}")
            table.append((what, name, f"{cost / 1e3:.2f}", note))
    serving.write_table("log.tsv", ("row", "server", "us", "ratio"), table)
    return 0


class Asker:
    """One client, one request at a time."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def keep_alive(self, path, times):
        connection = self.connection or socket.create_connection(("127.0.0.1", self.port), 60)
        self.connection = connection
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        # Learned from the first answer: all of a path are of one length.
        length = 0
        for _ in range(times):
            connection.sendall(request)
            length = self.read(length)

    def read(self, length):
        data = b""
        while not length or len(data) < length:
            more = self.connection.recv(65536)
            if not more:
                sys.exit(f"port {self.port}: the connection was closed instead of answered")
            data += more
            head, end, _ = data.partition(b"\r\n\r\n")
            if not length and end:
                fields = [line.split(b":") for line in head.lower().split(b"\r\n")[1:]]
                length = len(head) + 4 + next(int(field[1]) for field in fields if field[0] == b"content-length")
        return length

    def one_each(self, path, times):
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
                connection.sendall(request)
                while connection.recv(65536):
                    pass

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None


SYSCALL_ROWS = (
    ("keep-alive GET of 1 KB", lambda asker, n: asker.keep_alive("/1k.bin", n), 3),
    ("keep-alive 404", lambda asker, n: asker.keep_alive("/absent", n), 3),
    ("one-request connection", lambda asker, n: asker.one_each("/1k.bin", n), 9),
)


def traced_calls(server, action):
    """System calls of all the server's threads while `action` runs, by strace -c."""
    pids = [argument for pid in server.pids() for argument in ("-p", str(pid))]
    tasks = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in server.pids())
    trace = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", *pids], stderr=subprocess.PIPE, text=True)
    attached, said = 0, []
    while attached < tasks:
        line = trace.stderr.readline()
        if not line:
            sys.exit(f"strace could not attach to {server.name}:\n{''.join(said)}")
        said.append(line)
        attached += "attached" in line
        # With several threads: "Process N attached with M threads".
        words = line.split()
        if "with" in words:
            attached += int(words[words.index("with") + 1]) - 1
    action()
    trace.send_signal(2)
    rest = trace.communicate(timeout=30)[1]
    total = [line.split() for line in rest.splitlines() if line.split()[1:] == ["total"]]
    if not total:
        sys.exit(f"strace printed no total for {server.name}:\n{rest}")
    return int(total[0][0]), rest


def syscalls():
    """Counts of system calls, one request at a time."""
    requests = 2000
    work = serving.make_work_directory()
    names = ["monkey", *(name for name in PEERS if shutil.which(COMMANDS[name](work, 1)[0]))]
    table = []
    try:
        for name in names:
            server = serving.start(name, work)
            asker = Asker(server.port)
            try:
                for what, action, bar in SYSCALL_ROWS:
                    action(asker, 100)
                    calls, listing = traced_calls(server, lambda: action(asker, requests))
                    asker.close()
                    # A tenth: the housekeeping of the second that it took is not the request's.
                    each = round(calls / requests, 1)
                    note = "" if name != "monkey" else "ok" if each <= bar else "OVER"
                    table.append((what, name, each, bar if name == "monkey" else "-", note))
                    if note == "OVER":
                        say(f"{what}: {requests} requests took\n{listing}")
            finally:
                asker.close()
                server.stop()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"system calls per request, one at a time, mean of {requests}")
    return print_counts("syscalls.tsv", sorted(table, key=lambda row: [r[0] for r in SYSCALL_ROWS].index(row[0])))


def print_counts(file, table):
    print(f"{'what':28} {'server':10} {'count':>8} {'bar':>6}")
    for what, name, count, bar, note in table:
        print(f"{what:28} {name:10} {count:>8} {bar:>6}  {note}")
    serving.write_table(file, ("what", "server", "count", "bar", "note"), table)
    return 1 if any(row[4] == "OVER" for row in table) else 0


def perf_counts_instructions():
    run = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True, check=False) if (
        shutil.which("perf")
    ) else None
    return bool(run and run.returncode == 0 and run.stderr.split(",")[0].strip().isdigit())


def by_perf(name, command, port, requests):
    """User instructions of `requests` requests after as many, by the CPU's counter."""
    server = Running(name, command, port).wait()
    asker = Asker(port)
    try:
        asker.keep_alive("/1k.bin", requests)
        pids = ",".join(map(str, server.pids()))
        counter = subprocess.Popen(["perf", "stat", "-x,", "-e", "instructions:u", "-p", pids], stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        asker.keep_alive("/1k.bin", requests)
        counter.send_signal(2)
        return int(counter.communicate(timeout=30)[1].split(",")[0])
    finally:
        asker.close()
        server.stop()


def by_callgrind(name, command, port, requests, work):
    """User instructions of a whole run of the server that answers so many requests."""
    out = work / f"callgrind-{name}-{requests}"
    prefix = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={out}.%p"]
    server = Running(name, command, port, prefix=prefix).wait(60)
    asker = Asker(port)
    try:
        asker.keep_alive("/1k.bin", requests)
    finally:
        asker.close()
        server.process.terminate()
        try:
            server.process.wait(60)
        except subprocess.TimeoutExpired:
            pass
        server.stop()
    counts = [
        int(line.split()[1])
        for file in work.glob(f"{out.name}.*")
        for line in file.read_text(errors="replace").splitlines()
        if line.startswith("summary:") or line.startswith("totals:")
    ]
    if not counts:
        sys.exit(f"callgrind left no count for {name}:\n{server.said()}")
    return max(counts)


def instructions():
    """User instructions of a keep-alive GET of 1 KB, one at a time."""
    requests = 2000
    serving.need_monkey()
    work = serving.make_work_directory()
    perf = perf_counts_instructions()
    table = []
    try:
        for name, bar in (("monkey", 2500), ("floor", 400)):
            counts = []
            for times in (requests,) if perf else (requests, 2 * requests):
                port = serving.free_port()
                command = COMMANDS[name](work, port) if name in COMMANDS else floor_command(port, (1024,))
                counts.append(by_perf(name, command, port, times) if perf else by_callgrind(name, command, port, times, work))
            each = round((counts[-1] - (0 if perf else counts[0])) / requests)
            table.append(("keep-alive GET of 1 KB", name, each, bar, "ok" if each <= bar else "OVER"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"user instructions per request, one at a time, {'the CPU counter' if perf else 'callgrind'}, mean of {requests}")
    return print_counts("instructions.tsv", table)


def main():
    global FLOOR
    FLOOR, *arguments = sys.argv[1:]
    serving.need_monkey()
    if arguments == ["syscalls"]:
        return syscalls()
    if arguments == ["instructions"]:
        return instructions()
    quick = "--quick" in arguments
    if "log" in arguments:
        return log(quick)
    if "palm" in arguments:
        return bench_programs.palm(quick)
    known = [*ROWS, PHP, START]
    wanted = [argument.lower() for argument in arguments if argument != "--quick"] or known
    for name in wanted:
        if name not in known:
            sys.exit(f"no such row: {name} (known: {' '.join(known)})")
    return speed(wanted, quick)


if __name__ == "__main__":
    sys.exit(main())
