"""Writes an initramfs: a cpio archive of the form newc (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""

import stat
from pathlib import Path


class Initramfs:
    """Files to be the first root of a guest. All belong to root and have the time 0: the same input is the same archive."""

    def __init__(self):
        self.entries = {}
        # Before /dev is mounted a shell that redirects to a missing /dev/null leaves out the whole command.
        self.device("dev/console", 0o600, 5, 1)
        self.device("dev/null", 0o666, 1, 3)

    def _put(self, name, mode, data=b"", device=(0, 0)):
        for parent in reversed(Path(name).parents):
            if str(parent) != "." and str(parent) not in self.entries:
                self.entries[str(parent)] = (stat.S_IFDIR | 0o755, b"", (0, 0))
        self.entries[name] = (mode, data, device)

    def directory(self, name, mode=0o755):
        self._put(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        self._put(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self._put(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, mode, major, minor):
        self._put(name, stat.S_IFCHR | mode, b"", (major, minor))

    def tree(self, name, directory):
        """A directory of this machine with all below it."""
        for path in sorted(Path(directory).rglob("*")):
            if path.is_file():
                self.file(f"{name}/{path.relative_to(directory)}", path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)

    def write(self, path):
        with open(path, "wb") as out:
            for number, (name, (mode, data, device)) in enumerate(self.entries.items(), 1):
                self._entry(out, number, name, mode, data, device)
            self._entry(out, 0, "TRAILER!!!", 0, b"", (0, 0))

    @staticmethod
    def _entry(out, number, name, mode, data, device):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + encoded, data):
            out.write(part)
            out.write(b"\0" * (-out.tell() % 4))
