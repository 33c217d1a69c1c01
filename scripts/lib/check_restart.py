"""From SIGKILL of the serving process to the next answer. Called by scripts/check-restart."""

import os
import shutil
import signal
import socket
import sys
import threading
import time

import serving

CLIENTS = 4
BAR_MS = 1000
# A server that has lived this long is started again at once when it dies.
LONG_LIFE_S = 10


def ask(port):
    """One request on a connection of its own. Raises OSError when it fails, ConnectionRefusedError when nobody listens."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(10)
        connection.sendall(b"GET /1k.bin HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while more := connection.recv(65536):
            answer += more
        if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(bytes(i * 7 % 251 for i in range(1024))):
            raise OSError("half an answer")


class Load:
    """Clients that open one connection after the other. Those a kill cuts off count as cut, those nobody listened to as refused."""

    def __init__(self, port):
        self.port, self.over, self.answered, self.cut, self.refused = port, False, 0, 0, 0
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.over:
            try:
                ask(self.port)
                self.answered += 1
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                self.cut += 1
            # Steady, and not all of two processors.
            time.sleep(0.002)

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()


def child_of(keeper, other_than=None):
    """The serving process, once there is one."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for pid in keeper.pids():
            if pid not in (keeper.process.pid, other_than):
                return pid
        time.sleep(0.001)
    sys.exit(f"the keeper has no server:\n{keeper.said()}")


def measure(work, scheduler, kills):
    """Milliseconds from each kill to the next answer."""
    command = serving.monkey_command(work, 0)
    configuration = work / "monkey-0" / "monkey.conf"
    pid_file = work / f"{scheduler}.pid"
    configuration.write_text(configuration.read_text() + f"    Scheduler {scheduler}\n    PidFile {pid_file}\n")
    server = serving.Running("monkey", [*command, "--supervise"], 0).wait_listening()
    keeper = server.process.pid
    load = Load(server.port)
    times = []
    try:
        child = child_of(server)
        time.sleep(1)
        for turn in range(kills):
            if turn:
                time.sleep(LONG_LIFE_S + 0.5)
            begun = time.monotonic()
            os.kill(child, signal.SIGKILL)
            while os.path.exists(f"/proc/{child}/fd/0"):
                time.sleep(0.0002)
            ask(server.port)
            times.append(round((time.monotonic() - begun) * 1000, 1))
            serving.say(f"  {scheduler}: {turn + 1} of {kills}: {times[-1]} ms")
            if pid_file.read_text() != f"{keeper}\n":
                sys.exit(f"the PID file has {pid_file.read_text()!r} instead of {keeper}")
            child = child_of(server, other_than=child)
    finally:
        load.stop()
        server.stop()
    return times, load


def main():
    serving.need_monkey()
    kills = int(sys.argv[1]) if sys.argv[1:] else 5
    work = serving.make_work_directory()
    rows = []
    try:
        for scheduler in ("Fair", "ReusePort"):
            times, load = measure(work, scheduler, kills)
            good = max(times) <= BAR_MS and not load.refused
            rows.append((scheduler, max(times), min(times), BAR_MS, load.answered, load.cut, load.refused, "ok" if good else "FAILED"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    header = ("scheduler", "longest ms", "shortest ms", "bar", "answered", "cut off", "refused", "note")
    print(f"from SIGKILL of the server to the next answer, {kills} kills, {CLIENTS} clients")
    for row in (header, *rows):
        print("".join(f"{cell!s:>12}" for cell in row))
    serving.write_table("restart.tsv", header, rows)
    return 0 if all(row[-1] == "ok" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
