"""What is resident of the server, read in the guest from smaps_rollup. VmRSS of /proc/PID/status is approximate."""

import re
import time

from .vm import Failed

# KB: the server with the plugin gpio at rest, and at any time (MemoryLimit as shipped).
IDLE = 520
CEILING = 2500
READINGS = 11

# Name and pages of each process of the server.
READ = "for p in $(pidof monkey); do echo $(cat /proc/$p/comm) = $(grep -E '^(Rss|Anonymous):' /proc/$p/smaps_rollup); done"


def read(vm, deadline):
    """{name of the process: (resident KB, of it anonymous)}"""
    found = {}
    for line in vm.shell.output(READ, deadline).splitlines():
        match = re.fullmatch(r"(monkey.*?) = Rss: (\d+) kB Anonymous: (\d+) kB", line.strip())
        if match:
            found[match[1]] = int(match[2]), int(match[3])
    return found


def server(sizes):
    """Resident KB of the one that answers. Without a keeper it is all there is."""
    for name, (resident, _) in sizes.items():
        if "server" in name or len(sizes) == 1:
            return resident
    raise Failed(f"the server is not among the processes: {', '.join(sizes) or 'none'}")


def idle(vm, deadline):
    """At rest before the first request, once it has given back the pages of its start: the median of readings that keep no step with
    what beats once a second, and the most that was read."""
    deadline.until(lambda: server(read(vm, deadline)) <= IDLE, f"at most {IDLE} KB", 30, pause=0.5)
    readings = []
    for _ in range(READINGS):
        readings.append(read(vm, deadline))
        time.sleep(0.37)
    readings.sort(key=server)
    sizes = readings[READINGS // 2]
    if server(sizes) > IDLE:
        raise Failed(f"{told(sizes)}; at most {IDLE} KB are allowed")
    return sizes, server(readings[-1])


def within_ceiling(vm, deadline):
    """At once after the load."""
    sizes = read(vm, deadline)
    if server(sizes) > CEILING:
        raise Failed(f"{told(sizes)}; at most {CEILING} KB are allowed")
    return sizes


def told(sizes):
    """One line for the reader."""
    return ", ".join(f"{name} {resident} KB ({anonymous} anonymous)" for name, (resident, anonymous) in sorted(sizes.items(), reverse=True))
