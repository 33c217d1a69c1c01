"""Kernel modules with what they depend on, in the order in which they are to be loaded. Debian's packages hold no modules.dep."""

import lzma
import re
from pathlib import Path

from .device import only


class Modules:
    """The modules of an unpacked kernel package."""

    def __init__(self, package):
        package = Path(package)
        self.directory = only([*package.glob("lib/modules/*"), *package.glob("usr/lib/modules/*")], f"{package}: modules")
        self.version = self.directory.name
        self.files = {_plain(path.name): path for path in self.directory.rglob("*.ko*")}
        built_in = (self.directory / "modules.builtin").read_text().split()
        self.built_in = {_plain(Path(name).name) for name in built_in}

    def closure(self, names):
        """Paths of the modules named and of all they need, each after what it depends on. What is built into the kernel is left out."""
        order = []
        for name in names:
            self._visit(_plain(name), order)
        return order

    def _visit(self, name, order):
        if name in self.built_in:
            return
        if name not in self.files:
            raise SystemExit(f"{self.directory}: no module {name}, and it is not built in")
        path = self.files[name]
        if path in order:
            return
        data = load(path)
        for other in filter(None, field(data, "depends").split(",")):
            self._visit(_plain(other), order)
        # What it asks for by name without using a symbol of it: the Ethernet of the Pi 4 has no bus to its PHY without. Some are names
        # of algorithms, which no file has.
        for other in field(data, "softdep").partition("pre:")[2].partition("post:")[0].split():
            if _plain(other) in self.files:
                self._visit(_plain(other), order)
        order.append(path)


def load(path):
    """A module, unpacked: later Debian releases compress them."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def field(data, name):
    """A field of a module's .modinfo, empty when it has none."""
    found = re.search(rb"(?:^|\0)%s=([^\0]*)\0" % name.encode(), data)
    return found[1].decode() if found else ""


def _plain(name):
    return name.split(".ko")[0].replace("-", "_")
