"""Starts a machine from a card image, cuts its power while it writes, and looks at what is left. Called by scripts/image.

Usage: python3 -m qemu_pi.card_test IMAGE WORK-DIRECTORY CUTS SECONDS
"""

import hashlib
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

from . import card, gpio, memory, web
from .report import Report
from .vm import MACHINES, Deadline, Failed, Vm, settle

MACHINE = MACHINES["raspi3b"]
PATIENCE = 120
# (mount point, file system, read-only or not): what has to be mounted.
MOUNTS = (
    ("/", "squashfs", "ro"),
    ("/etc/monkey", "ext4", "rw"),
    ("/var/log", "ext4", "rw"),
    ("/run", "tmpfs", "rw"),
    ("/tmp", "tmpfs", "rw"),
)
SITE = "/etc/monkey/sites/default"
PADDING = "# long enough to take a while to be written\n" * 500
# Makes of the shipped site the pattern of all that are written, @N@ being the number of the file.
PATTERN = (
    "(echo '# generation @N@'; sed 's/^.HEADERS.$/&\\n    Match .* X-Generation: @N@/' /usr/share/monkey/factory/sites/default; "
    f"n=500; while [ $n -gt 0 ]; do echo '{PADDING.splitlines()[0]}'; n=$((n - 1)); done; echo '# end of @N@') >/tmp/pattern"
)
# As docs/EMBEDDED.md tells to: beside it, to the card, then into its place.
WRITER = (
    "(n=%d; while true; do sed s/@N@/$n/ /tmp/pattern >/etc/monkey/.new && sync /etc/monkey/.new && mv /etc/monkey/.new "
    f"{SITE} && sync /etc/monkey/sites && kill -HUP $(cat /run/monkey.pid); "
    "echo generation $n >>/var/log/monkey/writer.log; n=$((n + 1)); done) >/dev/null 2>&1 &"
)


def written(generation):
    """The file that the writer puts in place."""
    text = card.factory_files()["sites/default"].replace("[HEADERS]\n", "[HEADERS]\n    Match .* X-Generation: @N@\n")
    return f"# generation @N@\n{text}{PADDING}# end of @N@\n".replace("@N@", str(generation))


class Card:
    """A copy of the image, which the machines write to, and what the firmware of a board would take from it."""

    def __init__(self, image, work):
        self.work = work
        self.path = work / "card.img"
        subprocess.run(["cp", "--sparse=always", str(image), str(self.path)], check=True)
        table = self.path.open("rb").read(512)
        entries = [struct.unpack_from("<II", table, 446 + 16 * number + 8) for number in range(4)]
        self.partitions = [(start * 512, count * 512) for start, count in entries]
        for name in ("vmlinuz", "initramfs.cpio", "cmdline.txt", MACHINE.dtb):
            source = f"{self.path}@@{self.partitions[0][0]}"
            subprocess.run(["mcopy", "-n", "-o", "-i", source, f"::{name}", str(work / name)], check=True)
        self.starts = 0
        self.read_only = self.hashes()

    def hashes(self):
        """Of the two partitions that nothing writes to."""
        found = []
        with self.path.open("rb") as image:
            for start, length in self.partitions[:2]:
                image.seek(start)
                digest = hashlib.sha256()
                while length:
                    data = image.read(min(length, 1 << 20))
                    digest.update(data)
                    length -= len(data)
                found.append(digest.hexdigest())
        return found

    def spoil(self, partition, length=65536):
        """Overwrites the beginning of a partition: superblock and tables."""
        with self.path.open("r+b") as image:
            image.seek(self.partitions[partition - 1][0])
            image.write(b"\xa5" * length)

    def start(self):
        """A machine with this card. Its log is kept beside it, numbered."""
        self.starts += 1
        log = self.work / f"start-{self.starts}.log"
        append = (self.work / "cmdline.txt").read_text().strip()
        return Vm(MACHINE, self.work / "vmlinuz", self.work / MACHINE.dtb, self.work / "initramfs.cpio", append, log, self.path)


def serves(vm, deadline):
    """Until the server answers and the console takes commands."""
    begun = time.monotonic()
    vm.shell.take_over(deadline)
    deadline.until(lambda: vm.alive() or web.answers(vm.port), "an answer of the server", PATIENCE)
    return f"{time.monotonic() - begun:.0f} s"


def mounts(vm, deadline):
    """Which partition is where, and whether it can be written."""
    lines = [line.split() for line in vm.shell.output("cat /proc/mounts", deadline).splitlines() if line.count(" ") > 3]
    found = {place: (kind, options.split(",")) for _, place, kind, options, *_ in lines}
    for place, kind, mode in MOUNTS:
        got = found.get(place)
        if not got or got[0] != kind or mode not in got[1]:
            raise Failed(f"{place}: {got} instead of {kind}, {mode}")
    vm.shell.output("touch /etc/monkey/.probe && rm /etc/monkey/.probe && touch /var/log/.probe && rm /var/log/.probe", deadline)
    if vm.shell.run("touch /probe", deadline)[0] == 0:
        raise Failed("the root partition can be written to")


def as_shipped(vm, deadline):
    """Every file of /etc/monkey, and none more."""
    said = vm.shell.output("cd /etc/monkey && find . -type f ! -path './lost+found/*' -exec sha256sum {} +; cd /", deadline)
    found = {name[2:]: digest for digest, name in (line.split() for line in said.splitlines() if line.count("./") == 1)}
    wanted = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in card.factory_files().items()}
    if found != wanted:
        raise Failed(f"differs: {', '.join(sorted(set(found.items()) ^ set(wanted.items()), key=str)[0])} and more")
    return f"{len(found)} files"


def logged(vm, deadline):
    """The access log is on its partition."""
    vm_reads = "grep -c 'GET /404.html' /var/log/monkey/access.log"
    web.expect(vm.port, "/404.html", 200)
    deadline.until(lambda: vm.shell.run(vm_reads, deadline)[0] == 0, "a line in the access log", 30)


def pins(vm, deadline):
    """What an operator does to have an LED: a few lines in gpio.conf, and a restart."""
    vm.shell.output("printf '[OUTPUT]\\n    Role ready\\n    Pin 17\\n' >>/etc/monkey/plugins/gpio/gpio.conf", deadline)
    vm.shell.output("/etc/init.d/S50monkey restart", deadline)
    deadline.until(lambda: vm.alive() or gpio.levels(vm, [gpio.READY])[gpio.READY] == 1, "pin 17 high", 30)


def shut_down(vm, deadline):
    """An orderly end: nothing is left in a journal for the next start. Where QEMU knows the board's reset it ends with it."""
    vm.shell.send("reboot")

    def ended():
        return vm.process.poll() is not None or b"reboot: Restarting system" in vm.log.read_bytes()

    deadline.until(ended, "the end of the guest", 60)


def clean(log):
    if b"recovering journal" in log.read_bytes():
        raise Failed("a journal had to be played back")


def generation(vm):
    """Of the configuration that the server answers with. 0: as shipped."""
    return int(web.expect(vm.port, "/", 200)[0].get("X-Generation", 0))


def write_until_cut(report, vm, deadline, first):
    """Cuts the power at a random moment of many writes. Returns the last generation that the server was seen to have taken up, by
    when it was on the card."""
    vm.shell.output(PATTERN, deadline)
    vm.shell.send(WRITER % first)
    report.say("writing")
    deadline.until(lambda: generation(vm) >= first + 2, "configurations that follow each other", 60)
    end = time.monotonic() + random.uniform(0.2, 3)
    seen = first
    while time.monotonic() < end:
        seen = max(seen, generation(vm))
    vm.kill()
    report.say(f"power cut, generation {seen} seen")
    return seen


def whole(vm, deadline, seen):
    """The file is one that was written, whole, and not older than what was seen; the server serves by it."""
    text = vm.shell.output(f"cat {SITE}", deadline)
    first = text.partition("\n")[0]
    if not first.startswith("# generation ") or text != written(first.rpartition(" ")[2]):
        raise Failed(f"{SITE} is not a file that was written: it begins {first!r}, {len(text)} characters")
    number = int(first.rpartition(" ")[2])
    if number < seen:
        raise Failed(f"generation {number} although {seen} had been synced")
    if generation(vm) != number:
        raise Failed(f"the server serves by generation {generation(vm)}, the file is {number}")
    return f"generation {number}, seen before the cut {seen}"


def recovered(log):
    """The console tells that the journal was played back."""
    if b"monkey-etc: recovering journal" not in log.read_bytes():
        raise Failed("no journal of monkey-etc was played back")


def untouched(image):
    if image.hashes() != image.read_only:
        raise Failed("the partitions boot and root are not what they were")
    return image.read_only[1][:16]


def first_start(report, image, deadline):
    """Cut while the configuration is written for the first time, then as a device comes up."""
    with image.start() as vm:
        deadline.until(lambda: vm.alive() or vm.shell.has_said("/etc/monkey is filled"), "the first start", PATIENCE, pause=0)
        time.sleep(random.uniform(0, 0.3))
    report.say("power cut while /etc/monkey is filled for the first time")
    with image.start() as vm:
        if not report.check("serves from the card", serves, vm, deadline):
            return
        report.check("root read-only, configuration and logs on partitions of their own, run and tmp in memory", mounts, vm, deadline)
        report.check("/etc/monkey is as shipped", as_shipped, vm, deadline)
        report.check("pages are those of htdocs", web.pages, vm.port)
        report.check("requests are logged on the card", logged, vm, deadline)
        report.check("an LED by a few lines in gpio.conf", pins, vm, deadline)
        report.note(f"resident: {memory.told(memory.read(vm, deadline))}")


def one_cut(report, image, deadline, number, seen):
    """Returns the generation to go on from, 0 when it can not."""
    with image.start() as vm:
        if not report.check(f"cut {number}: serves before", serves, vm, deadline):
            return 0
        seen = write_until_cut(report, vm, deadline, seen + 1)
    report.check(f"cut {number}: boot and root untouched", untouched, image)
    with image.start() as vm:
        if not report.check(f"cut {number}: serves after", serves, vm, deadline):
            return 0
        report.check(f"cut {number}: journal played back", recovered, vm.log)
        report.check(f"cut {number}: mounted as before", mounts, vm, deadline)
        report.check(f"cut {number}: a whole configuration", whole, vm, deadline, seen)
        return generation(vm)


def in_memory(vm, deadline):
    """What can not be mounted is replaced by memory."""
    lines = [line.split() for line in vm.shell.output("cat /proc/mounts", deadline).splitlines()]
    kinds = {line[1]: line[2] for line in lines if len(line) > 3}
    if (kinds.get("/etc/monkey"), kinds.get("/var/log")) != ("tmpfs", "tmpfs"):
        raise Failed(f"/etc/monkey: {kinds.get('/etc/monkey')}, /var/log: {kinds.get('/var/log')} instead of tmpfs")


def spoiled(report, image, deadline):
    """Both writable partitions beyond what e2fsck repairs unasked, as a dying card leaves them; then repaired by hand."""
    image.spoil(3)
    image.spoil(4)
    with image.start() as vm:
        if not report.check("spoiled: serves", serves, vm, deadline):
            return
        report.check("spoiled: configuration and logs are in memory", in_memory, vm, deadline)
        report.check("spoiled: /etc/monkey is as shipped", as_shipped, vm, deadline)
        vm.shell.output("/etc/init.d/S50monkey stop; umount /etc/monkey /var/log", deadline)
        for partition in (3, 4):
            vm.shell.run(f"e2fsck.static -fy /dev/mmcblk*p{partition}; sync", deadline)


def reset(report, image, deadline):
    """An emptied configuration partition, and an orderly end."""
    with image.start() as vm:
        if report.check("reset: serves before", serves, vm, deadline):
            report.check("reset: what was repaired is mounted as before", mounts, vm, deadline)
            vm.shell.output("rm -rf /etc/monkey/* /etc/monkey/.new", deadline)
            report.check("reset: reboot", shut_down, vm, deadline)
    with image.start() as vm:
        if report.check("reset: serves after", serves, vm, deadline):
            report.check("reset: no journal had to be played back", clean, vm.log)
            report.check("reset: /etc/monkey is as shipped", as_shipped, vm, deadline)


def main():
    path, work, cuts, seconds = sys.argv[1:]
    work, deadline = Path(work), Deadline(int(seconds))
    work.mkdir(parents=True, exist_ok=True)
    settle()
    report = Report()
    report.title(f"{Path(path).name} on raspi3b")
    image = Card(path, work)
    seen = 0
    try:
        first_start(report, image, deadline)
        for number in range(1, int(cuts) + 1):
            seen = one_cut(report, image, deadline, number, seen)
        spoiled(report, image, deadline)
        reset(report, image, deadline)
    except (Failed, OSError) as error:
        report.failed += 1
        report.title(f"  FAILED  {error}")
    report.say("done")
    if report.failed:
        report.title(f"{report.failed} failed; what the machine said: {work}/start-*.log")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
