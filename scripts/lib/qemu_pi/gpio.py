"""The plugin gpio, seen from outside: levels and modes in the registers of the chip, by QEMU's monitor, and every edge, by qtest. What
is asked of edges is their order and number, and how far apart they are where that is the code; never how soon they come."""

import time

from . import web
from .vm import Failed

# Byte offsets of GPFSEL0 and GPLEV0 (BCM2835 ARM Peripherals, section 6.1); function 1 is output.
GPFSEL, GPLEV = 0x00, 0x34
OUTPUT = 1

READY, READY_LOW, ACTIVITY, ERROR, HEARTBEAT, BUSY = 17, 13, 27, 22, 5, 6
CONFIGURATION = """
[OUTPUT]
    Role ready
    Pin 17

[OUTPUT]
    Role ready
    Pin 13
    ActiveLow On

[OUTPUT]
    Role activity
    Pin 27
    Pattern pulse 50
    Safe high

[OUTPUT]
    Role error
    Pin 22
    Pattern count

[OUTPUT]
    Role heartbeat
    Pin 5
    Pattern blink 1

[OUTPUT]
    Role busy
    Pin 6
    Safe on
"""
PINS = (READY, READY_LOW, ACTIVITY, ERROR, HEARTBEAT, BUSY)
# What docs/plugins/GPIO.md says is left behind: dark, high where lit is low, or what Safe names.
SAFE = {READY: 0, READY_LOW: 1, ACTIVITY: 1, ERROR: 0, HEARTBEAT: 0, BUSY: 1}
# Flashes of one number begin half a second after each other, two numbers 1.7 s and more.
APART = 1.1


def modes(vm):
    """The function of each pin of ours."""
    words = vm.registers(GPFSEL, 6)
    return {pin: words[pin // 10] >> pin % 10 * 3 & 7 for pin in PINS}


def levels(vm, pins=PINS):
    word = vm.registers(GPLEV, 1)[0]
    return {pin: word >> pin & 1 for pin in pins}


def ready(vm, deadline):
    """Outputs, all dark but those that say that it serves."""
    wanted = {READY: 1, READY_LOW: 0, ACTIVITY: 0, ERROR: 0, BUSY: 0}
    deadline.until(lambda: levels(vm, wanted) == wanted, f"levels {wanted}", 30)
    if set(modes(vm).values()) != {OUTPUT}:
        raise Failed(f"not all are outputs: {modes(vm)}")
    edges = [high for _, high in vm.edges.since(0, READY)]
    if edges != [True]:
        raise Failed(f"pin {READY}: edges {edges} instead of one to high")
    return f"{shown(levels(vm, wanted))}, all outputs; pin {READY} rose once"


def activity(vm, deadline):
    """Nothing while nobody asks; pulses, each begun and ended, with requests."""
    deadline.until(lambda: not recent(vm, ACTIVITY, 1.5), "no activity while nobody asks", 30)
    mark, pulses = vm.edges.mark(), []
    for _ in range(5):
        before = len(vm.edges.since(mark, ACTIVITY))
        web.expect(vm.port, "/", 200)
        deadline.until(lambda before=before: len(vm.edges.since(mark, ACTIVITY)) >= before + 2, "a pulse with a request", 30)
    deadline.until(lambda: not recent(vm, ACTIVITY, 1.5), "the end of the pulses", 30)
    pulses = vm.edges.since(mark, ACTIVITY)
    if [high for _, high in pulses] != [True, False] * (len(pulses) // 2):
        raise Failed(f"edges {pulses}")
    return f"{len(pulses) // 2} pulses for 5 requests, {lengths(pulses)}"


def heartbeat(vm, deadline):
    """It blinks."""
    mark = vm.edges.mark()
    deadline.until(lambda: len(vm.edges.since(mark, HEARTBEAT)) >= 6, "three beats", 60)
    edges = vm.edges.since(mark, HEARTBEAT)
    if any(first[1] == second[1] for first, second in zip(edges, edges[1:])):
        raise Failed(f"edges {edges}")
    return f"{len(edges)} edges, {lengths(edges)}"


def errors(vm, deadline):
    """The number of what is wrong, flashed: the document root is gone; then a refused reload beside it; then nothing."""
    shell = vm.shell
    shell.output("mv /srv/www /srv/gone", deadline)
    wait_for_codes(vm, deadline, {1})
    deadline.until(lambda: web.get(vm.port, "/")[0] == 503, "503 without a document root", 30)
    shell.output("echo '    NoSuchKey 1' >>/etc/monkey/monkey.conf; kill -HUP $(cat /run/monkey.pid)", deadline)
    wait_for_codes(vm, deadline, {1, 2})
    shell.output("sed -i '$d' /etc/monkey/monkey.conf; mv /srv/gone /srv/www; kill -HUP $(cat /run/monkey.pid)", deadline)
    deadline.until(lambda: not recent(vm, ERROR, 4), "no flashes once all is right", 60)
    if levels(vm, [ERROR])[ERROR]:
        raise Failed(f"pin {ERROR} stays lit")
    web.expect(vm.port, "/", 200)
    return "1 without the document root, 1 and 2 with a refused reload beside it, none after"


def death(vm, deadline):
    """The server is killed: its keeper lights the error, and the next server tells of it."""
    mark = vm.edges.mark()
    vm.shell.output("for p in $(pidof monkey); do grep -q server /proc/$p/comm && kill -KILL $p; done; true", deadline)
    deadline.until(lambda: vm.edges.since(mark, ERROR), "the keeper's error", 30)
    deadline.until(lambda: vm.alive() or web.answers(vm.port), "the next server", 60)
    wait_for_codes(vm, deadline, {4})
    if levels(vm, [READY])[READY] != 1:
        raise Failed(f"pin {READY} is dark although it serves")
    return "4, and it serves"


def safe(vm, _deadline):
    """After the stop."""
    if levels(vm) != SAFE:
        raise Failed(f"{shown(levels(vm))} instead of {shown(SAFE)}")
    if set(modes(vm).values()) != {OUTPUT}:
        raise Failed(f"not all are outputs any more: {modes(vm)}")
    return shown(SAFE)


def denied(vm, deadline):
    """A kernel that refuses /dev/mem: one warning, and no pin is touched."""
    web.pages(vm.port)
    log = vm.shell.output("grep -i gpio /var/log/messages", deadline)
    warnings = [line for line in log.splitlines() if ".warn" in line]
    if len(warnings) != 1:
        raise Failed(f"{len(warnings)} warnings instead of one: {log}")
    if OUTPUT in modes(vm).values():
        raise Failed(f"a pin is an output: {modes(vm)}")
    return warnings[0].partition("]: ")[2]


def wait_for_codes(vm, deadline, wanted):
    """Until the last numbers flashed are the wanted ones, each at least twice, in turn."""
    mark = vm.edges.mark()

    def seen():
        # The first group may have been under way, the last may still be.
        last = codes(vm.edges.since(mark, ERROR))[1:-1][-2 * len(wanted) :]
        return len(last) == 2 * len(wanted) and set(last) == wanted and all(last.count(code) == 2 for code in wanted)

    try:
        deadline.until(seen, "", 60)
    except Failed as error:
        raise Failed(f"flashed {codes(vm.edges.since(mark, ERROR))} instead of {sorted(wanted)}") from error


def codes(edges):
    """The numbers that were flashed."""
    found, last = [], None
    for at, high in edges:
        if not high:
            continue
        if last is None or at - last > APART:
            found.append(0)
        found[-1] += 1
        last = at
    return found


def recent(vm, pin, seconds):
    """Whether a pin changed within the last seconds."""
    edges = vm.edges.since(0, pin)
    return bool(edges) and time.monotonic() - edges[-1][0] < seconds


def lengths(edges):
    """How long it was high, for the reader."""
    high = [int((second[0] - first[0]) * 1000) for first, second in zip(edges, edges[1:]) if first[1]]
    return f"high for {min(high)} to {max(high)} ms" if high else "never high"


def shown(wanted):
    return " ".join(f"{pin}:{'high' if level else 'low'}" for pin, level in sorted(wanted.items()))
