"""One boot of a machine with a binary, and what is checked in it. Called by scripts/qemu-pi.

Usage: python3 -m qemu_pi.boot_test MACHINE ARCHITECTURE BINARY KERNEL-PACKAGE BUSYBOX-PACKAGE WORK-DIRECTORY SECONDS
"""

import sys
import time
from pathlib import Path

from . import device, gpio, guest, memory, web
from .report import Report
from .vm import MACHINES, Deadline, Failed, Vm, settle

# The first answer may take this long on a busy machine, seconds.
PATIENCE = 120


def boot(vm, deadline):
    """Until the guest has started everything. Nothing has been asked of the server by then."""
    begun = time.monotonic()

    def started():
        vm.alive()
        return vm.shell.is_ready()

    deadline.until(started, "the end of the guest's start", PATIENCE)
    return f"{time.monotonic() - begun:.0f} s, {vm.shell.output('uname -srm', deadline).strip()}"


def first_answer(vm, deadline):
    deadline.until(lambda: vm.alive() or web.answers(vm.port), "an answer of the server", PATIENCE)


def checks(report, vm, deadline):
    """The whole list. Returns the resident sizes before the first request and after the load."""
    sizes = {}

    def idle():
        sizes["idle"], most = memory.idle(vm, deadline)
        return f"{memory.told(sizes['idle'])}; for moments {most} KB"

    def loaded():
        sizes["load"] = memory.within_ceiling(vm, deadline)
        return memory.told(sizes["load"])

    report.check(f"resident at rest, at most {memory.IDLE} KB", idle)
    if not report.check("answers", first_answer, vm, deadline):
        return sizes
    report.check("gpio: ready", gpio.ready, vm, deadline)
    report.check("pages are those of htdocs", web.pages, vm.port)
    report.check("404 for what is not there", web.absent, vm.port)
    report.say("load")
    report.check("keep-alive load", web.load, vm.port)
    report.check(f"resident after the load, at most {memory.CEILING} KB", loaded)
    report.say("pins")
    report.check("gpio: activity with requests", gpio.activity, vm, deadline)
    report.check("gpio: heartbeat", gpio.heartbeat, vm, deadline)
    report.check("gpio: numbers of errors", gpio.errors, vm, deadline)
    report.check("gpio: a server that dies", gpio.death, vm, deadline)
    report.check("Date once the clock is set", web.date, vm.port, deadline, lambda to: vm.shell.output(f"date -u -s '{to}'", deadline))
    # What it ends with: /etc/init.d, as when a device is turned off.
    report.check("ends on SIGTERM by the init script", stop, vm, deadline)
    report.check("gpio: safe levels after the stop", gpio.safe, vm, deadline)
    return sizes


def denied(report, vm, deadline):
    """Without iomem=relaxed."""
    if report.check("without rights to the pins: boots", boot, vm, deadline):
        report.check("without rights to the pins: answers", first_answer, vm, deadline)
        report.check("without rights to the pins: one warning, all pages", gpio.denied, vm, deadline)


def main():
    name, architecture, binary, kernel, busybox, work, seconds = sys.argv[1:]
    machine, work, deadline = MACHINES[name], Path(work), Deadline(int(seconds))
    work.mkdir(parents=True, exist_ok=True)
    log = work / f"{name}-{architecture}.log"
    report = Report()
    report.title(f"{name}, {architecture}: {Path(binary).stat().st_size // 1024} KB")
    settle()
    initramfs = work / f"{name}-{architecture}.cpio"
    guest.make(initramfs, Path(binary), kernel, Path(busybox), gpio.CONFIGURATION)

    def machine_with(more, log):
        append = f"console={machine.console},115200 quiet panic=-1 {more} {machine.append}"
        return Vm(machine, device.kernel(kernel), device.device_tree(kernel, machine.dtb), initramfs, append, log)

    with machine_with("iomem=relaxed", log) as vm:
        report.say("booting")
        if report.check("boots", boot, vm, deadline):
            sizes = checks(report, vm, deadline)
            # So that it is in the boot log.
            vm.shell.run("cat /var/log/messages", deadline)
            append_sizes(work.parent.parent / "measure", name, architecture, sizes)
    if (name, architecture) == ("raspi3b", "aarch64"):
        report.say("booting without iomem=relaxed")
        with machine_with("", log.with_suffix(".denied.log")) as vm:
            denied(report, vm, deadline)
    report.say("done")
    if report.failed:
        report.title(f"{report.failed} failed; what the machine said: {log.with_suffix('')}.*log")
    return 1 if report.failed else 0


def stop(vm, deadline):
    vm.shell.output("/etc/init.d/S50monkey stop", deadline)
    left = memory.read(vm, deadline)
    if left:
        raise Failed(f"still there: {', '.join(left)}")


def append_sizes(directory, name, architecture, sizes):
    """target/measure/board.tsv: machine, architecture, when, process, resident KB, of it anonymous."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "board.tsv"
    key = f"{name}\t{architecture}\t"
    old = [line for line in path.read_text().splitlines() if not line.startswith(key)] if path.exists() else []
    for when, processes in sizes.items():
        old += [f"{key}{when}\t{process}\t{resident}\t{anonymous}" for process, (resident, anonymous) in processes.items()]
    path.write_text("\n".join(sorted(old)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
