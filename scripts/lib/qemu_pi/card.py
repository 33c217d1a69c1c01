"""What is on the card: the trees of its boot and root partition, for genimage. Called by scripts/image.

Usage: python3 -m qemu_pi.card DIRECTORY BINARY KERNEL BUSYBOX E2FSCK FIRMWARE — unpacked packages; FIRMWARE may be empty.
Makes DIRECTORY/boot and DIRECTORY/root.
"""

import re
import shutil
import sys
from pathlib import Path

from . import busybox, device, guest, modules
from .cpio import Initramfs

IMAGE = device.ROOT / "board/image"
# 64-bit boards that the modules and device trees of Debian's kernel know.
DEVICE_TREES = (
    "bcm2837-rpi-3-a-plus.dtb",
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
    "bcm2837-rpi-cm3-io3.dtb",
    "bcm2837-rpi-zero-2-w.dtb",
    "bcm2711-rpi-4-b.dtb",
    "bcm2711-rpi-400.dtb",
    "bcm2711-rpi-cm4-io.dtb",
)
# Of the firmware only what these boards load, and no Wi-Fi firmware, whose licence is another.
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")

FACTORY = "usr/share/monkey/factory"
# On a device there is a place for logs, and it is not endless.
LOGS = (
    ("plugins/logger/logger.conf", r"^    # MasterLog /var/log/monkey/master.log$", "    MasterLog /var/log/monkey/master.log"),
    ("plugins/logger/logger.conf", r"^    # MaxSize 1024$", "    MaxSize 1024"),
    ("plugins/logger/logger.conf", r"^    # Keep 4$", "    Keep 4"),
)
LOGGER = """
[LOGGER]
    AccessLog /var/log/monkey/access.log
    ErrorLog /var/log/monkey/error.log
"""


class Tree:
    """A directory to be the content of a partition, which belongs to root there."""

    def __init__(self, directory):
        self.directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)

    def file(self, name, data, mode=0o644):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(mode)

    def link(self, name, target):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def folder(self, name, mode=0o755):
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)


def wanted_modules(when):
    """The names behind `when` in board/image/modules."""
    lines = (line.split() for line in (IMAGE / "modules").read_text().splitlines())
    return [name for line in lines if line[:1] == [when] for name in line[1:]]


def factory_files():
    """What /etc/monkey is filled with on the first start."""
    files = device.configuration(LOGS)
    files["sites/default"] += LOGGER
    return files


def make_root(tree, binary, kernel, busybox_package, e2fsck):
    overlay = IMAGE / "rootfs"
    for path in sorted(overlay.rglob("*")):
        if path.is_file():
            tree.file(path.relative_to(overlay), path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
    guest.put_busybox(tree, busybox_package)
    tree.file("bin/e2fsck.static", device.only(e2fsck.rglob("e2fsck.static"), "e2fsck").read_bytes(), 0o755)
    tree.file("usr/sbin/monkey", binary.read_bytes(), 0o755)
    tree.file("etc/init.d/S50monkey", (device.SERVICE / "S50monkey").read_bytes(), 0o755)
    tree.file("etc/default/monkey", (device.SERVICE / "monkey.default").read_bytes())
    for name, text in device.USERS.items():
        tree.file(name, text)
    tree.file("etc/shadow", "root:*:::::::\n", 0o600)
    tree.file("etc/hostname", "monkey\n")
    tree.file("etc/hosts", "127.0.0.1 localhost monkey\n")
    tree.link("etc/resolv.conf", "../run/resolv.conf")
    for name, text in factory_files().items():
        tree.file(f"{FACTORY}/{name}", text)
    for name, data in device.pages().items():
        tree.file(f"{device.DOCUMENT_ROOT[1:]}/{name}", data)
    known = modules.Modules(kernel)
    early = known.closure(wanted_modules("early"))
    late = [path for path in known.closure(wanted_modules("early") + wanted_modules("late")) if path not in early]
    put_modules(tree, late)
    for name in ("dev", "proc", "sys", "run", "etc/monkey", "var/log", "root", "mnt"):
        tree.folder(name)
    tree.folder("tmp", 0o1777)
    tree.link("var/run", "../run")
    tree.link("var/tmp", "../tmp")
    return early


def put_modules(tree, paths):
    for place, path in enumerate(paths):
        tree.file(f"lib/modules/{place:02}-{path.name.removesuffix('.xz')}", modules.load(path))


def make_initramfs(path, early, busybox_package):
    root = Initramfs()
    root.file("init", (IMAGE / "init").read_bytes(), 0o755)
    guest.put_busybox(root, busybox_package)
    put_modules(root, early)
    for name in ("proc", "sys", "dev", "root"):
        root.directory(name)
    root.write(path)


def make_boot(tree, kernel, firmware):
    tree.file("vmlinuz", device.kernel(kernel).read_bytes())
    for name in DEVICE_TREES:
        tree.file(name, device.device_tree(kernel, name).read_bytes())
    for name in ("config.txt", "cmdline.txt"):
        tree.file(name, (IMAGE / name).read_bytes())
    if firmware:
        for name in FIRMWARE:
            tree.file(name, (firmware / "usr/lib/raspi-firmware" / name).read_bytes())
        tree.file("LICENCE-firmware.txt", firmware_licence(firmware))


def firmware_licence(firmware):
    """The part of the package's copyright file that is about what is taken. It allows to pass binaries on unmodified, with this text,
    for use with a Raspberry Pi."""
    text = (firmware / "usr/share/doc/raspi-firmware/copyright").read_text()
    part = re.search(r"^Files: boot/\*\n.*?(?=^Files: )", text, re.M | re.S)
    if not part or "Redistribution and use in binary form" not in part[0]:
        raise SystemExit("raspi-firmware: the licence of its boot files is not the one known: read its copyright file")
    return part[0]


def main():
    directory, binary, kernel, busybox_package, e2fsck = map(Path, sys.argv[1:6])
    firmware = Path(sys.argv[6]) if sys.argv[6] else None
    boot, root = Tree(directory / "boot"), Tree(directory / "root")
    early = make_root(root, binary, kernel, busybox_package, e2fsck)
    make_boot(boot, kernel, firmware)
    make_initramfs(boot.directory / "initramfs.cpio", early, busybox_package)
    sources = [package for package in (kernel, busybox_package, e2fsck, firmware) if package]
    names = "".join((package / ".complete").read_text() for package in sources)
    root.file("usr/share/doc/packages", f"Debian packages that this image has parts of:\n{names}")
    for package in sources:
        for path in sorted(package.glob("usr/share/doc/*/copyright")):
            root.file(f"usr/share/doc/{path.parent.name}/copyright", path.read_bytes())
    root.file("usr/share/doc/monkey/copyright", (device.ROOT / "LICENSE").read_bytes())


if __name__ == "__main__":
    main()
