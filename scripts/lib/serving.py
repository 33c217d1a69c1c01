"""The servers that the measurements run: their configuration, their start and stop, and what /proc says of them."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET_DIR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MONKEY = Path(os.environ.get("MONKEY", TARGET_DIR / "static/x86_64-unknown-linux-musl/monkey"))
WORKERS = 2
# More than any run asks of one connection. lighttpd keeps its number in 16 bits.
REQUESTS_A_CONNECTION = 1_000_000
FILES = {"1k": 1024, "10k": 10 * 1024, "100k": 100 * 1024, "1m": 1024 * 1024}


def say(text):
    print(text, file=sys.stderr, flush=True)


def raise_open_files(wanted):
    """Raises this process's limit of open files, which every program started from here inherits. Returns what is in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def make_work_directory():
    """A directory that a server which has dropped its rights can read, with the files to serve in `www`."""
    work = Path(tempfile.mkdtemp(prefix="monkey-measure-"))
    work.chmod(0o755)
    www = work / "www"
    www.mkdir(mode=0o755)
    for name, size in FILES.items():
        (www / f"{name}.bin").write_bytes(bytes(i * 7 % 251 for i in range(size)))
    return work


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def monkey_configuration(work, port, site=""):
    """A configuration directory of the shipped kind, for one port, with more sections of its site. Every key not set is at its default."""
    directory = work / f"monkey-{port}"
    (directory / "sites").mkdir(parents=True, exist_ok=True)
    (directory / "monkey.conf").write_text(
        "[SERVER]\n"
        f"    Listen 127.0.0.1:{port}\n"
        f"    Workers {WORKERS}\n"
        "    Timeout 120\n"
        "    KeepAlive On\n"
        "    KeepAliveTimeout 120\n"
        f"    MaxKeepAliveRequest {REQUESTS_A_CONNECTION}\n"
    )
    (directory / "sites" / "default").write_text(
        f"[HOST]\n    ServerName 127.0.0.1 localhost\n    DocumentRoot {work / 'www'}\n{site}"
    )
    shipped = ROOT / "conf" / "monkey.mime"
    if shipped.is_file():
        shutil.copy(shipped, directory / "monkey.mime")
    else:
        (directory / "monkey.mime").write_text("[MIMETYPES]\n    bin application/octet-stream\n    html text/html\n")
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def write_plugin_file(configuration, name, text):
    """The file of a plugin in a configuration directory."""
    directory = configuration / "plugins" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.conf").write_text(text)


def monkey_command(work, port):
    return [str(MONKEY), "-c", str(monkey_configuration(work, port)), "-w", str(WORKERS)]


def monkey_log_command(work, port, form="combined"):
    site = f"[LOGGER]\n    AccessLog {work}/monkey-{port}.log\n    Format {form}\n"
    return [str(MONKEY), "-c", str(monkey_configuration(work, port, site)), "-w", str(WORKERS)]


def nginx_log_command(work, port, options=""):
    return nginx_command(work, port, f"{work}/nginx-{port}.log combined{options}")


def nginx_command(work, port, log="off", more=""):
    """`more`: further lines of its server."""
    configuration = work / f"nginx-{port}.conf"
    temporary = "".join(f"{kind}_temp_path {work}/nginx-{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration.write_text(
        f"daemon off;\nworker_processes {WORKERS};\npid {work}/nginx-{port}.pid;\nerror_log stderr crit;\n"
        "events { worker_connections 8192; }\n"
        f"http {{\naccess_log {log};\n"
        "sendfile on;\ntcp_nopush on;\ntcp_nodelay on;\nkeepalive_timeout 120;\n"
        f"keepalive_requests {REQUESTS_A_CONNECTION};\ndefault_type application/octet-stream;\n{temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {work}/www; {more}}}\n}}\n"
    )
    return ["nginx", "-c", str(configuration), "-p", str(work)]


def lighttpd_command(work, port):
    configuration = work / f"lighttpd-{port}.conf"
    configuration.write_text(
        f'server.document-root = "{work}/www"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n'
        f"server.max-worker = {WORKERS}\nserver.max-keep-alive-requests = 65535\nserver.max-keep-alive-idle = 120\n"
        "server.max-connections = 4096\nserver.max-fds = 16384\n"
        'mimetype.assign = ( ".bin" => "application/octet-stream" )\n'
    )
    return ["lighttpd", "-D", "-f", str(configuration)]


def h2o_command(work, port):
    configuration = work / f"h2o-{port}.conf"
    user = "user: root\n" if os.geteuid() == 0 else ""
    configuration.write_text(
        f"{user}num-threads: {WORKERS}\nhttp1-request-timeout: 120\npid-file: {work}/h2o-{port}.pid\n"
        f"listen:\n  host: 127.0.0.1\n  port: {port}\n"
        f'hosts:\n  default:\n    paths:\n      "/":\n        file.dir: {work}/www\n'
    )
    return ["h2o", "-c", str(configuration)]


COMMANDS = {"monkey": monkey_command, "nginx": nginx_command, "lighttpd": lighttpd_command, "h2o": h2o_command}


class Running:
    """A started server. It leads a session of its own, by which its processes are known, and is ended by `stop`."""

    def __init__(self, name, command, port, core=None, prefix=()):
        self.name, self.port = name, port
        self.output = tempfile.TemporaryFile()
        if core is not None:
            prefix = ["taskset", "-c", str(core), *prefix]
        self.process = subprocess.Popen(
            [*prefix, *command], stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True
        )

    def wait(self, seconds=10):
        """Returns when the server answers on its port."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    connection.sendall(b"GET /1k.bin HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    connection.settimeout(seconds)
                    if connection.recv(1):
                        return self
            except OSError:
                time.sleep(0.01)
        self.stop()
        sys.exit(f"{self.name} did not answer on port {self.port}:\n{self.said()}")

    def wait_listening(self, seconds=10):
        """Returns when the server has said where it listens, without a request made. Learns the port."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            match = re.search(r"Server listening on \S*:(\d+)", self.said())
            if match:
                self.port = int(match[1])
                return self
            time.sleep(0.01)
        self.stop()
        sys.exit(f"{self.name} did not say where it listens:\n{self.said()}")

    def said(self):
        # By position: the file's own is shared with the server that writes to it.
        return os.pread(self.output.fileno(), 1 << 16, 0).decode(errors="replace")

    def pids(self):
        """Its process and those it started."""
        return [pid for pid, (_, session) in parents().items() if session == self.process.pid]

    def cpu_ns(self):
        """CPU time that all its threads have used, ns."""
        total = 0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                try:
                    total += int((task / "schedstat").read_text().split()[0])
                except FileNotFoundError:
                    fields = (task / "stat").read_text().rpartition(")")[2].split()
                    total += (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return total

    def resident_kb(self):
        return sum(field_kb(f"/proc/{pid}/smaps_rollup", "Rss") for pid in self.pids())

    def peak_kb(self):
        return sum(field_kb(f"/proc/{pid}/status", "VmHWM") for pid in self.pids())

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        # Its own session only: whatever it started and left behind.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def parents():
    """{pid: (parent, session)} of all processes that run."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found[int(entry.name)] = (int(fields[1]), int(fields[3]))
    return found


def field_kb(file, field):
    match = re.search(rf"^{field}:\s+(\d+) kB", Path(file).read_text(), re.M)
    return int(match[1]) if match else 0


def start(name, work, port=None, **options):
    """Starts one of COMMANDS on a free port and waits until it answers."""
    port = port or free_port()
    return Running(name, COMMANDS[name](work, port), port, **options).wait()


def wrk(port, path, connections, seconds, core=None, headers=(), script=None):
    """Runs wrk with one thread. Returns (requests done, socket errors, answers not 2xx or 3xx)."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    for header in headers:
        command += ["-H", header]
    if script:
        command += ["-s", str(script)]
    run = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    done = re.search(r"(\d+) requests in", run.stdout)
    if run.returncode or not done:
        sys.exit(f"wrk failed on port {port}{path}:\n{run.stdout}{run.stderr}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", run.stdout)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", run.stdout)
    return int(done[1]), sum(map(int, errors.groups())) if errors else 0, int(refused[1]) if refused else 0


def until(holds, otherwise, seconds=10):
    """Returns when `holds()` does. Ends the program with a text when that takes longer."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(otherwise)
        time.sleep(0.01)


def write_table(name, header, rows):
    """Writes target/measure/NAME, tab separated, for other programs."""
    directory = TARGET_DIR / "measure"
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(header), *("\t".join(str(cell) for cell in row) for row in rows)]
    (directory / name).write_text("\n".join(lines) + "\n")


def need_monkey():
    if not os.access(MONKEY, os.X_OK):
        sys.exit(f"{MONKEY} is not there: run scripts/build-static x86_64-unknown-linux-musl, or set MONKEY=path")
