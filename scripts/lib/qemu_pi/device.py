"""What a device has on its file systems: the server, its configuration as shipped but for the lines that a packager changes, the
init script, users. The same for the initramfs of the boot test and for the card."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
CONF = ROOT / "conf"
SERVICE = CONF / "service"
HTDOCS = ROOT / "htdocs"
# Where the packagings put the pages.
DOCUMENT_ROOT = "/srv/www"

USERS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/srv/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nadm:x:4:\nwww-data:x:33:\nnogroup:x:65534:\n",
}

# (file, line as shipped, what a device has instead); a line that is not there any more ends the run.
CHANGES = (
    ("monkey.conf", r"^    Listen 2001$", "    Listen 80"),
    ("monkey.conf", r"^    # User www-data$", "    User www-data"),
    ("monkey.conf", r"^    # LogTarget stderr$", "    LogTarget syslog"),
    ("sites/default", r"^    DocumentRoot \.\./htdocs$", f"    DocumentRoot {DOCUMENT_ROOT}"),
)


def configuration(more=()):
    """The files of /etc/monkey by their names. `more`: further changes, as in CHANGES."""
    files = {}
    for path in sorted(CONF.rglob("*")):
        if path.is_file() and SERVICE not in path.parents:
            files[str(path.relative_to(CONF))] = path.read_text()
    for name, shipped, wanted in (*CHANGES, *more):
        files[name], count = re.subn(shipped, wanted.replace("\\", r"\\"), files[name], count=1, flags=re.M)
        if not count:
            raise SystemExit(f"conf/{name}: no line {shipped!r} to change")
    return files


def pages():
    """The files of the document root by their names."""
    return {str(path.relative_to(HTDOCS)): path.read_bytes() for path in sorted(HTDOCS.rglob("*")) if path.is_file()}


def kernel(package):
    """The kernel of an unpacked Debian package."""
    return only(Path(package).glob("boot/vmlinuz-*"), f"{package}: kernels")


def device_tree(package, name):
    """A board's device tree of an unpacked kernel package."""
    return only((Path(package) / "usr/lib").rglob(name), f"{package}: {name}")


def only(found, what):
    """The one path that there has to be."""
    found = sorted(found)
    if len(found) != 1:
        raise SystemExit(f"{what}: {len(found)} instead of one")
    return found[0]
