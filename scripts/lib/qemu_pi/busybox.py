"""The names that a busybox binary answers to, read from the binary: it is of another architecture and can not be asked."""


def applets(binary):
    """The names of its table, which is sorted, each ended by a zero byte, the whole by an empty name. Not its own."""
    start = binary.find(b"\0[\0[[\0")
    if start < 0:
        raise SystemExit("this busybox has no table of names")
    names = binary[start + 1 : binary.index(b"\0\0", start + 1)].split(b"\0")
    return [name.decode() for name in names if name != b"busybox"]
