"""The initramfs of the boot test."""

from . import busybox, device, modules
from .cpio import Initramfs

INIT = device.ROOT / "board/qemu/init"
# The network that QEMU plugs into the Pi's USB port, and the port. Where they are built in they are left out.
MODULES = ("dwc2", "phy_generic", "cdc_ether")


def make(path, binary, kernel_package, busybox_package, gpio_conf):
    """Writes it. `gpio_conf`: the text of plugins/gpio/gpio.conf, or None."""
    root = Initramfs()
    root.file("init", INIT.read_bytes(), 0o755)
    put_busybox(root, busybox_package)
    for place, module in enumerate(modules.Modules(kernel_package).closure(MODULES)):
        root.file(f"lib/modules/{place:02}-{module.name.removesuffix('.xz')}", modules.load(module))
    for name, text in device.USERS.items():
        root.file(name, text.encode())
    files = device.configuration()
    if gpio_conf is not None:
        files["plugins/gpio/gpio.conf"] = gpio_conf
    for name, text in files.items():
        root.file(f"etc/monkey/{name}", text.encode())
    for name, data in device.pages().items():
        root.file(f"{device.DOCUMENT_ROOT[1:]}/{name}", data)
    root.file("usr/sbin/monkey", binary.read_bytes(), 0o755)
    root.file("etc/init.d/S50monkey", (device.SERVICE / "S50monkey").read_bytes(), 0o755)
    root.file("etc/default/monkey", (device.SERVICE / "monkey.default").read_bytes())
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "var/log"):
        root.directory(name)
    root.link("var/run", "../run")
    root.write(path)


def put_busybox(root, package):
    """busybox and its names. /sbin and /usr/bin are /bin."""
    binary = (package / "bin/busybox").read_bytes()
    root.file("bin/busybox", binary, 0o755)
    for name in busybox.applets(binary):
        root.link(f"bin/{name}", "busybox")
    root.link("sbin", "bin")
    root.link("usr/bin", "../bin")
