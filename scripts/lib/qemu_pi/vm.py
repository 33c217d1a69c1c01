"""One emulated machine: QEMU's process, its monitor (QMP), the edges of its pins (qtest) and the shell on its serial line."""

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Failed(Exception):
    """Something did not happen, or not as it should have. The text is for the reader."""


class Deadline:
    """The time that a run may take, in seconds. Every wait ends with it."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def until(self, holds, what, seconds=None, pause=0.1):
        """Waits until `holds()` is true, which it returns. Fails when `seconds`, or all that is left, are over."""
        end = self.end if seconds is None else min(self.end, time.monotonic() + seconds)
        while True:
            result = holds()
            if result:
                return result
            if time.monotonic() >= end:
                raise Failed(f"{what}: not within {'the %d s of the run' % self.seconds if end == self.end else '%d s' % seconds}")
            time.sleep(pause)


class Machine:
    """What QEMU calls a machine, and what differs between them."""

    def __init__(self, name, emulator, dtb, gpio, console, append=""):
        self.name, self.emulator, self.dtb, self.gpio, self.console, self.append = name, emulator, dtb, gpio, console, append


MACHINES = {
    machine.name: machine
    for machine in (
        # More threads of QEMU than one make it slower where others work too.
        # The first serial line of a Pi 3 belongs to its Bluetooth chip.
        Machine(
            "raspi3b",
            ["qemu-system-aarch64", "-M", "raspi3b", "-accel", "tcg,thread=single"],
            "bcm2837-rpi-3-b.dtb",
            0x3F200000,
            "ttyS1",
        ),
        # The kernel dies in this driver: QEMU has not the part of the power controller that it asks.
        Machine(
            "raspi0",
            ["qemu-system-arm", "-M", "raspi0"],
            "bcm2835-rpi-zero.dtb",
            0x20200000,
            "ttyAMA0",
            "initcall_blacklist=bcm2835_power_driver_init",
        ),
    )
}


class Vm:
    """A running machine. `log` is what came over its serial line."""

    def __init__(self, machine, kernel, dtb, initramfs, append, log, card=None):
        self.machine = machine
        self.log = Path(log)
        # Paths of sockets have to be short.
        self.directory = tempfile.TemporaryDirectory(prefix="qemu-pi-")
        names = {name: f"{self.directory.name}/{name}" for name in ("serial", "qmp", "qtest")}
        self.port = free_port()
        lines = ["-serial", "chardev:serial", "-serial", "null"]
        if machine.console == "ttyS1":
            lines = lines[2:] + lines[:2]
        command = [
            # It does not outlive this process, however that ends.
            "setpriv", "--pdeathsig", "KILL", *machine.emulator, "-display", "none", "-monitor", "none", "-no-reboot",
            "-kernel", str(kernel), "-dtb", str(dtb), "-initrd", str(initramfs),
            "-append", append,
            "-chardev", f"socket,id=serial,path={names['serial']},server=on,wait=off,logfile={self.log}",
            *lines,
            "-device", "usb-net,netdev=net", "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:80",
            "-qmp", f"unix:{names['qmp']},server=on,wait=off",
            "-qtest", f"unix:{names['qtest']},server=on,wait=off", "-qtest-log", "/dev/null",
        ]  # fmt: skip
        if card:
            command += ["-drive", f"file={card},if=sd,format=raw"]
        self.log.unlink(missing_ok=True)
        self.errors = open(self.log.with_suffix(".qemu.log"), "w+b")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors)
        try:
            self.qmp = Qmp(self._connect(names["qmp"]))
            self.edges = Edges(self._connect(names["qtest"]))
            self.shell = Shell(self._connect(names["serial"]))
        except BaseException:
            self.kill()
            raise

    def _connect(self, path):
        end = time.monotonic() + 30
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(path)
                return connection
            except OSError as error:
                connection.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    self.errors.seek(0)
                    raise Failed(f"QEMU did not start: {self.errors.read().decode(errors='replace').strip()}") from error
                time.sleep(0.05)

    def alive(self):
        """Fails when the machine has stopped: a kernel that panics ends QEMU."""
        if self.process.poll() is not None:
            raise Failed(f"the machine stopped (QEMU: exit {self.process.returncode})")

    def registers(self, offset, count):
        """Words of the GPIO block at a byte offset (BCM2835 ARM Peripherals, section 6.1)."""
        answer = self.qmp.monitor(f"xp /{count}wx {self.machine.gpio + offset:#x}")
        words = [int(word, 16) for word in re.findall(r"(?<=[ :])0x[0-9a-f]{8}", answer)]
        if len(words) != count:
            raise Failed(f"the monitor said {answer!r}")
        return words

    def kill(self):
        """Ends it at once, as a power cut does."""
        self.process.kill()
        self.process.wait()
        self.errors.close()
        for part in ("qmp", "edges", "shell"):
            if hasattr(self, part):
                getattr(self, part).connection.close()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Qmp:
    """QEMU's monitor (QEMU Machine Protocol)."""

    def __init__(self, connection):
        self.connection = connection
        connection.settimeout(60)
        self.lines = connection.makefile("r")
        json.loads(self.lines.readline())
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.connection.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        for line in self.lines:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Failed(f"{command}: {answer['error'].get('desc')}")
        raise Failed(f"{command}: QEMU is gone")

    def monitor(self, line):
        return self.execute("human-monitor-command", **{"command-line": line})


class Edges:
    """Every change of a pin that is an output, as QEMU tells of it (docs/devel/qtest: irq_intercept_out), with the time it came."""

    def __init__(self, connection):
        self.connection = connection
        self.seen = []
        self.lines = connection.makefile("r")
        connection.sendall(b"irq_intercept_out /machine/soc/peripherals/gpio\n")
        if self.lines.readline().strip() != "OK":
            raise Failed("qtest knows no GPIO in this machine")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for line in self.lines:
                edge = re.fullmatch(r"IRQ (raise|lower) (\d+)\n", line)
                if edge:
                    self.seen.append((time.monotonic(), int(edge[2]), edge[1] == "raise"))
        except (OSError, ValueError):
            pass

    def mark(self):
        """A place in the stream, for `since`."""
        return len(self.seen)

    def since(self, mark, pin):
        """Edges of a pin after `mark`: (time, level)."""
        return [(at, high) for at, number, high in self.seen[mark:] if number == pin]


class Shell:
    """A shell loop on the serial line of the guest: one command a line, its output, then a line with its status."""

    # What a shell is told so that it becomes that loop; board/qemu/init has its own.
    LOOP = """stty -echo; set +m; echo guest: com""mands; while read -r line; do eval "$line" </dev/null 2>&1; echo "[guest: $?]"; done"""

    def __init__(self, connection):
        self.connection = connection
        connection.settimeout(0.2)
        self.text = ""

    def _more(self):
        try:
            data = self.connection.recv(65536)
        except TimeoutError:
            return
        if not data:
            raise Failed("the machine stopped")
        self.text += data.decode(errors="replace").replace("\r", "")
        if "Kernel panic" in self.text:
            raise Failed("the guest's kernel panicked")

    def has_said(self, pattern):
        """Whether the guest has said something that matches since the last command."""
        self._more()
        return re.search(pattern, self.text, re.M)

    def is_ready(self):
        """Whether the loop takes commands by now."""
        return self.has_said(r"^guest: commands\n")

    def take_over(self, deadline):
        """Makes the shell of a console, which waits for Enter, that loop."""
        deadline.until(lambda: self.has_said(r"press Enter to activate this console\. $"), "the console of the guest", 120)
        self.connection.sendall(b"\n")
        # What is typed before the prompt is thrown away.
        deadline.until(lambda: self.has_said(r"^/ # "), "the prompt of the guest", 60)
        self.send(self.LOOP)
        deadline.until(self.is_ready, "the shell of the guest", 60)

    def send(self, command):
        """A command that need not end, nor the machine live to see it."""
        self.text = ""
        self.connection.sendall(command.encode() + b"\n")

    def run(self, command, deadline, seconds=60):
        """(status, output) of a command."""
        self.send(command)
        match = deadline.until(lambda: self.has_said(r"^\[guest: (\d+)\]\n"), f"in the guest: {command}", seconds, pause=0)
        return int(match[1]), self.text[: match.start()]

    def output(self, command, deadline, seconds=60):
        """The output of a command that has to succeed."""
        status, text = self.run(command, deadline, seconds)
        if status:
            raise Failed(f"in the guest: {command}: status {status}: {text.strip()}")
        return text


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settle():
    """What a run does first. One that is told to end leaves nothing behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
