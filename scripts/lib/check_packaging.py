"""The steps of scripts/check-packaging. Called with a step and its arguments; the work directory is the repository.

Exit 0: passed. 1: something is wrong, each thing in a line. 77: a tool of PyPI is missing."""

import contextlib
import glob
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile

import packaging
from packaging import PACKAGE, RECIPES, read

ROOT = os.getcwd()
LAYER = "yocto/meta-monkey"
wrong = []


def bad(text):
    wrong.append(text)
    print(f"wrong: {text}", file=sys.stderr)


def same(what, found, wanted):
    if found != wanted:
        bad(f"{what}: {found} where it should be {wanted}")


def need(module):
    """A module of PyPI, or the end of the step: skipped if the tools could not be installed."""
    if "TOOLS" not in os.environ:
        sys.exit(77)
    return __import__(module)


def run(*words, **more):
    """A command; its output is shown if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        bad(f"{' '.join(words)[:100]}: exit {done.returncode}")
    return done.stdout


# --- names ---


def names():
    """One option, one word and one row of the page for each feature, and the same are on as shipped."""
    features = packaging.features(ROOT)
    config = read(PACKAGE, "Config.in")
    entries = dict(re.findall(r"^config (BR2_PACKAGE_MONKEYD_\w+)\n((?:.+\n)+)", config, re.M))
    same("options of Config.in", sorted(entries), sorted(map(packaging.symbol, features)))
    make = set(re.findall(r"\$\(if \$\((BR2_PACKAGE_MONKEYD_\w+)\),", read(PACKAGE, "monkeyd.mk")))
    same("options that monkeyd.mk asks for", sorted(make), sorted(map(packaging.symbol, features)))
    recipe = read(packaging.recipe(ROOT))
    words = dict(re.findall(r'^PACKAGECONFIG\[([\w-]+)\] = "--features ([\w-]+)"$', recipe, re.M))
    same("words of PACKAGECONFIG", words, {packaging.option(name): name for name in features})
    shipped = re.search(r'^PACKAGECONFIG \?\?= "(.*)"$', recipe, re.M)[1].split()
    same("PACKAGECONFIG as shipped", shipped, sorted(packaging.option(name) for name, on in features.items() if on))
    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+)` \| `([\w-]+)` \| (on|off) \|", read("docs/PACKAGING.md"), re.M)
    wanted = [(name, packaging.symbol(name), packaging.option(name), "on" if on else "off") for name, on in features.items()]
    same("rows of docs/PACKAGING.md", sorted(rows), sorted(wanted))


# --- kconfig ---

# What Config.in asks of Buildroot: a toolchain for which there is a Rust.
STUB = """
config BR2_USE_MMU
	def_bool y
config BR2_PACKAGE_HOST_RUSTC_TARGET_ARCH_SUPPORTS
	def_bool y
config BR2_PACKAGE_HOST_RUSTC
	bool
config BR2_TOOLCHAIN_USES_MUSL
	bool
config BR2_INSTALL_LIBSTDCPP
	bool
source "$BR2_EXTERNAL_MONKEYD_PATH/Config.in"
"""


def kconfig():
    library = need("kconfiglib")
    # Buildroot's symbols have no prefix in a configuration.
    os.environ["CONFIG_"] = ""
    os.environ["BR2_EXTERNAL_MONKEYD_PATH"] = os.path.join(ROOT, "buildroot")
    features = packaging.features(ROOT)
    with tempfile.TemporaryDirectory() as work:
        stub = os.path.join(work, "Config.in")
        with open(stub, "w", encoding="utf-8") as file:
            file.write(STUB)
        parsed = library.Kconfig(stub, warn_to_stderr=False)
        for warning in parsed.warnings:
            bad(f"Config.in: {warning}")
        parsed.syms["BR2_PACKAGE_MONKEYD"].set_value("y")
        same("BR2_PACKAGE_HOST_RUSTC with monkeyd", parsed.syms["BR2_PACKAGE_HOST_RUSTC"].str_value, "y")
        for name, on in features.items():
            same(f"default of {packaging.symbol(name)}", parsed.syms[packaging.symbol(name)].str_value, "y" if on else "n")
        for path in sorted(glob.glob("buildroot/configs/*_defconfig")):
            ours = re.findall(r"^(?:# )?(BR2_PACKAGE_MONKEYD\w*)(?:=(.*)| is not set)$", read(path), re.M)
            if ("BR2_PACKAGE_MONKEYD", "y") not in ours:
                bad(f"{path}: no BR2_PACKAGE_MONKEYD=y")
            parsed.load_config(path)
            for symbol, value in ours:
                if symbol not in parsed.syms:
                    bad(f"{path}: there is no {symbol}")
                elif parsed.syms[symbol].str_value != (value or "n"):
                    bad(f"{path}: {symbol} does not take the value {value or 'n'}")
            for place in re.findall(r"\$\(BR2_EXTERNAL_MONKEYD_PATH\)/([\w./-]+)", read(path)):
                if not os.path.exists(os.path.join("buildroot", place)):
                    bad(f"{path}: there is no buildroot/{place}")
            print(f"{path}: {len(ours)} options of monkeyd")


# --- make ---

# Buildroot's part of the work: what it defines before a package's file, and what it calls of it.
MAKEFILE = """
BR2_EXTERNAL_MONKEYD_PATH := {root}/buildroot
INSTALL := install
SED := sed -i -e
KCONFIG_ENABLE_OPT = @echo "kernel option: $(1)"
include $(BR2_EXTERNAL_MONKEYD_PATH)/external.mk
.PHONY: show
show:
	@printf '%s\\n' '$(MONKEYD_CARGO_BUILD_OPTS)' '$(MONKEYD_CARGO_ENV)' '$(MONKEYD_VERSION)' '$(MONKEYD_SOURCE)'
$(SOURCES)/.stamp_installed:
	$(MONKEYD_INSTALL_TARGET_CMDS)
	$(MONKEYD_INSTALL_INIT_$(INIT))
	$(MONKEYD_LINUX_CONFIG_FIXUPS)
.PHONY: tables
define TABLES
$(MONKEYD_USERS)
$(MONKEYD_PERMISSIONS)
endef
tables:
	$(info $(TABLES)) @:
"""


def make(target, chosen, *words):
    """Runs a target of that stub with the options of the features `chosen`."""
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "Makefile")
        with open(path, "w", encoding="utf-8") as file:
            file.write(MAKEFILE.format(root=ROOT))
        options = [f"{packaging.symbol(name)}=y" for name in chosen]
        return run("make", "--silent", "--no-print-directory", "-f", path, target, *options, *words)


def shown(chosen):
    return make("show", chosen).splitlines()


def check_make():
    features = packaging.features(ROOT)
    shipped = [name for name, on in features.items() if on]
    sets = [[], shipped, list(features), *([name] for name in features)]
    for chosen in sets:
        options = shown(chosen)[0]
        found = re.fullmatch(r'--no-default-features --features "(.*)"', options)
        if not found:
            bad(f"MONKEYD_CARGO_BUILD_OPTS is {options}")
        else:
            same("features for the options", sorted(found[1].split()), sorted(chosen))
    print(f"{len(sets)} sets of options")
    profile = packaging.manifest(ROOT)["profile"]["release"]
    wanted = {f"CARGO_PROFILE_RELEASE_{key.upper().replace('-', '_')}": str(profile[key]) for key in ("codegen-units", "lto", "opt-level")}
    same("MONKEYD_CARGO_ENV", dict(word.split("=") for word in shown([])[1].split()), wanted)


def carded():
    """The features of the cards of board/raspberrypi."""
    chosen = re.findall(r"^(BR2_PACKAGE_MONKEYD_\w+)=y$", read("buildroot/configs/monkeyd_raspberrypi_defconfig"), re.M)
    return [name for name, on in packaging.features(ROOT).items() if on or packaging.symbol(name) in chosen]


def options():
    """Those, as monkeyd.mk gives them to cargo."""
    print(shown(carded())[0])


# --- recipe ---


def parse_recipe(variables):
    """The recipe as bitbake reads it, with what the classes and bitbake.conf would define in `variables`."""
    for name in ("hashserv", "hashserv.client"):
        # A server for signatures, which the package of PyPI leaves out and nothing here asks.
        sys.modules[name] = type(sys)(name)
    sys.modules["hashserv"].client = sys.modules["hashserv.client"]
    need("bb")
    import bb.data
    import bb.fetch2
    import bb.parse

    path = os.path.abspath(packaging.recipe(ROOT))
    name, number = os.path.basename(path)[:-3].split("_")
    with tempfile.TemporaryDirectory() as work:
        os.mkdir(os.path.join(work, "classes"))
        for inherited in re.findall(r"^inherit (.*)$", read(path), re.M)[0].split():
            with open(os.path.join(work, "classes", f"{inherited}.bbclass"), "w", encoding="utf-8") as file:
                file.write('CARGO_BUILD_FLAGS = "--frozen"\n' if inherited == "cargo" else "\n")
        data = bb.data.init()
        given = {"PN": name, "BPN": name, "PV": number, "BP": f"{name}-{number}", "FILE": path, "TOPDIR": work, "BBPATH": work}
        for key, value in (given | {"__bbclasstype": "recipe"} | variables).items():
            data.setVar(key, value)
        bb.parse.siggen = type("", (), {"finalise": staticmethod(lambda *_: None)})
        return bb.parse.handle(path, data, False)[""]


def recipe():
    data = parse_recipe({})
    features = packaging.features(ROOT)
    words = {packaging.option(name): f"--features {name}" for name in features}
    same("PACKAGECONFIG for bitbake", dict(data.getVarFlags("PACKAGECONFIG")), words)
    if "--no-default-features" not in (data.getVar("CARGO_BUILD_FLAGS") or ""):
        bad("the recipe takes the default features in any case")
    uris = data.getVar("SRC_URI").split()
    crates = [f"crate://crates.io/{crate['name']}/{crate['version']}" for crate in packaging.crates(ROOT)]
    same("crates in SRC_URI", [uri.split(";")[0] for uri in uris if uri.startswith("crate:")], crates)
    for crate in packaging.crates(ROOT):
        sum_ = data.getVarFlag("SRC_URI", f"{crate['name']}-{crate['version']}.sha256sum")
        same(f"checksum of {crate['name']}", sum_, crate["checksum"])
    for uri in uris:
        if uri.startswith("file://") and not os.path.exists(os.path.join(RECIPES, "files", uri[7:])):
            bad(f"there is no {RECIPES}/files/{uri[7:]}")
    print(f"bitbake's parser: {len(words)} words, {len(uris)} sources")
    lint()


def lint():
    """oelint-adv. Left out: whether the home page answers, which is a placeholder, and that a server could be built for the host."""
    files = [os.path.join(LAYER, "conf/layer.conf"), packaging.recipe(ROOT), os.path.join(RECIPES, "monkeyd-crates.inc")]
    left_out = [f"--suppress={rule}" for rule in ("oelint.vars.homepageping", "oelint.var.bbclassextend")]
    for series in re.search(r'^LAYERSERIES_COMPAT_\S+ = "(.*)"$', read(files[0]), re.M)[1].split():
        run("oelint-adv", "--quiet", f"--release={series}", *left_out, *files)
        print(f"oelint-adv: {len(files)} files, series {series}")
    # What yocto-check-layer asks of the files beside.
    readme = read(LAYER, "README.md")
    for word in ("maintainer", "patch"):
        if word not in readme.lower():
            bad(f"{LAYER}/README.md: no word of a {word}")
    if not re.search(r"\w@\w+\.\w", readme):
        bad(f"{LAYER}/README.md: no address")
    for name in ("SECURITY.md", "COPYING.MIT"):
        if not os.path.exists(os.path.join(LAYER, name)):
            bad(f"there is no {LAYER}/{name}")


# --- versions ---


def agree(tree):
    """That Cargo.toml, both packagings and the licence in `tree` say the same. The answer: the digests that the packagings have."""
    number = packaging.version(tree)
    name = f"monkeyd-{number}-vendored.tar.gz"
    makefile = read(tree, PACKAGE, "monkeyd.mk")
    same("MONKEYD_VERSION", re.search(r"^MONKEYD_VERSION = (.*)$", makefile, re.M)[1], number)
    same("file name of the recipe", os.path.basename(packaging.recipe(tree)), f"monkeyd_{number}.bb")
    same("monkeyd-crates.inc", read(tree, RECIPES, "monkeyd-crates.inc") == packaging.crates_inc(tree), True)
    hashes = dict(reversed(line.split("  ")[1:]) for line in read(tree, PACKAGE, "monkeyd.hash").splitlines() if not line.startswith("#"))
    same("files of monkeyd.hash", sorted(hashes), sorted([name, "LICENSE"]))
    same("sha256 of LICENSE in monkeyd.hash", hashes.get("LICENSE"), packaging.licence(tree, "sha256"))
    recipe_text = read(packaging.recipe(tree))
    md5 = re.search(r'^LIC_FILES_CHKSUM = "file://LICENSE;md5=(.*)"$', recipe_text, re.M)[1]
    same("md5 of LICENSE in the recipe", md5, packaging.licence(tree, "md5"))
    plain = re.search(r'^SRC_URI\[sha256sum\] = "(.*)"$', recipe_text, re.M)[1]
    found = {name: hashes.get(name, ""), f"monkeyd-{number}.tar.gz": plain}
    for archive, digest in found.items():
        if not re.fullmatch("[0-9a-f]{64}", digest):
            bad(f"{archive}: {digest} is no SHA-256")
    return found


def versions(sums):
    noted = agree(ROOT)
    number = packaging.version(ROOT)
    tags = run("git", "tag", "--points-at", "HEAD").split()
    made = packaging.parse_digests(read(sums))
    if f"v{number}" in tags:
        same(f"digests of the archives of the release v{number}", noted, made)
    elif noted == made:
        print(f"the digests are those of this commit, which has no tag v{number}")
    else:
        print(f"this commit has no tag v{number}: the digests of its archives are not looked at, for they change with every commit")


def release():
    """update-packaging on a copy with another version: everything has to follow."""
    with tempfile.TemporaryDirectory() as work:
        for name in ("buildroot", "yocto"):
            shutil.copytree(name, os.path.join(work, name))
        for name in ("Cargo.toml", "Cargo.lock", "LICENSE"):
            shutil.copy(name, work)
        with open(os.path.join(work, "LICENSE"), "a", encoding="utf-8") as file:
            file.write("\n")
        wanted = {"monkeyd-9.8.7.tar.gz": "a" * 64, "monkeyd-9.8.7-vendored.tar.gz": "b" * 64}
        # What it says of each file is nothing to read here.
        with contextlib.redirect_stderr(io.StringIO()):
            packaging.replace(os.path.join(work, "Cargo.toml"), r'^version = ".*"$', 'version = "9.8.7"')
            packaging.replace(os.path.join(work, "Cargo.lock"), r'^name = "log"\nversion = ".*"$', 'name = "log"\nversion = "9.9.9"')
            packaging.update(work, wanted)
        same("digests after an update", agree(work), wanted)


# --- style ---


def style():
    """The rules of check-package that are broken most easily."""
    for path in sorted(glob.glob("buildroot/**", recursive=True)):
        if not os.path.isfile(path):
            continue
        text = read(path)
        lines = text.split("\n")
        if lines[-1] or not lines[-2]:
            bad(f"{path}: it ends without a line feed or with an empty line")
        for number, line in enumerate(lines, 1):
            place = f"{path}:{number}"
            if line != line.rstrip():
                bad(f"{place}: blanks at the end")
            if not line.isascii():
                bad(f"{place}: not ASCII")
            if not line and number < len(lines) - 1 and not lines[number]:
                bad(f"{place}: two empty lines")
            if path.endswith(".mk") and re.search(r"\$\{|^\s*(else )?ifn?def\s|\s\s\\$", line):
                bad(f"{place}: braces, ifdef, or blanks before the backslash")
            if path.endswith("Config.in") and re.match(r" |\t\t|\t .{65}|\t   ", line):
                bad(f"{place}: a tab; help: a tab, two blanks and 62 characters")
        if os.access(path, os.X_OK):
            bad(f"{path}: executable")
        if path.endswith("_defconfig") and "BR2_DOWNLOAD_FORCE_CHECK_HASHES=y" not in lines:
            bad(f"{path}: no BR2_DOWNLOAD_FORCE_CHECK_HASHES=y")
        if path.endswith(".hash") and any(not re.fullmatch(r"(#.*|sha256  [0-9a-f]{64}  \S+)?", line) for line in lines):
            bad(f"{path}: a line is not TYPE, two blanks, DIGEST, two blanks, FILE")
    header = ["#" * 80, "#", "# monkeyd", "#", "#" * 80, ""]
    same("the first lines of monkeyd.mk", read(PACKAGE, "monkeyd.mk").split("\n")[:6], header)
    script = read("conf/service/S50monkey")
    if os.access("conf/service/S50monkey", os.X_OK):
        bad("conf/service/S50monkey: executable in the tree")
    if not re.search(r'^DAEMON="monkey"$', script, re.M) or not re.search(r'^PIDFILE="/var/run/\$DAEMON\.pid"$', script, re.M):
        bad("conf/service/S50monkey: DAEMON or PIDFILE is not as Buildroot wants it")
    if re.search(r"^\t* ", script, re.M):
        bad("conf/service/S50monkey: indented by blanks")


# --- image ---


def image(work):
    """The scripts of board/ on dummy images, as Buildroot calls them."""
    shutil.rmtree(work, ignore_errors=True)
    for board, device, boot in (("raspberrypi", "/dev/mmcblk0p3", True), ("qemu", "/dev/vda2", False)):
        binaries, target, build = (os.path.join(work, board, name) for name in ("images", "target", "build"))
        for directory in (binaries, f"{target}/etc", build):
            os.makedirs(directory)
        with open(f"{target}/etc/fstab", "w", encoding="utf-8") as file:
            file.write("/dev/root\t/\text2\tro,noauto\t0\t1\n")
        contents = {}
        if boot:
            contents = {"zImage": b"kernel" * 1000, "bcm2708-rpi-b.dtb": b"tree", "rpi-firmware/start.elf": b"firmware" * 9}
            contents |= {"rpi-firmware/config.txt": read("board/raspberrypi/config.txt").encode(), "rpi-firmware/overlays/a.dtbo": b"o"}
        for name, content in contents.items():
            os.makedirs(os.path.dirname(f"{binaries}/{name}"), exist_ok=True)
            with open(f"{binaries}/{name}", "wb") as file:
                file.write(content)
        run("truncate", "-s", "8M", f"{binaries}/rootfs.ext4")
        run("mke2fs", "-q", "-t", "ext4", f"{binaries}/rootfs.ext4")
        for _ in range(2):
            run("board/common/post-build.sh", target, f"board/{board}", device)
        fstab = read(target, "etc/fstab")
        same(f"{board}: lines in fstab", [line.split()[0] for line in fstab.splitlines()], ["/dev/root", device, "overlay"])
        run("board/common/post-image.sh", binaries, f"board/{board}", device, env=os.environ | {"BUILD_DIR": build})
        card = f"{binaries}/{'sdcard' if boot else 'disk'}.img"
        layout = re.findall(r"start= *(\d+), size= *(\d+), type=(\w+)", run("sfdisk", "-d", card))
        same(f"{board}: types of the partitions", [kind for _, _, kind in layout], ["c", "83", "83"] if boot else ["83", "83"])
        number = re.search(r"(\d)$", device)[1]
        same(f"{board}: partitions, of which {device} is the last", len(layout), int(number))
        if boot:
            start = int(layout[0][0]) * 512
            for name, content in contents.items():
                inside = name.removeprefix("rpi-firmware/")
                done = subprocess.run(["mtype", "-i", f"{card}@@{start}", f"::{inside}"], capture_output=True, check=False)
                same(f"{board}: {inside} on the card", done.stdout, content)
        for directory in ("/monkey/upper", "/monkey/work"):
            stat = run("debugfs", "-R", f"stat {directory}", f"{binaries}/data.ext4")
            if "Type: directory" not in stat or not re.search(r"User: +0 +Group: +0", stat):
                bad(f"{board}: {directory} of the data partition is no directory of root's")
        print(f"{board}: {os.path.getsize(card) >> 20} MB, {len(layout)} partitions")


# --- install ---


def install(sources, host, work):
    """Both packagings install what was built of the archive; then the server tells what it thinks of it."""
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    features = packaging.features(ROOT)
    shipped = carded()
    trees = {}
    for init in ("SYSV", "OPENRC", "SYSTEMD"):
        trees[f"buildroot {init}"] = root = f"{work}/buildroot-{init.lower()}"
        variables = (f"SOURCES={sources}", f"INIT={init}", f"TARGET_DIR={root}", f"RUSTC_TARGET_NAME={host}", "BR2_ENABLE_DEBUG=y")
        make(f"{sources}/.stamp_installed", shipped, *variables)
    # Every option at once: what has files of its own is installed too.
    extra = f"{work}/buildroot-everything"
    variables = (f"SOURCES={sources}", "INIT=SYSV", f"TARGET_DIR={extra}", f"RUSTC_TARGET_NAME={host}", "BR2_ENABLE_DEBUG=y")
    said = make(f"{sources}/.stamp_installed", list(features), "BR2_PACKAGE_LOGROTATE=y", *variables)
    same("kernel options", re.findall(r"kernel option: (\w+)", said), ["CONFIG_SECURITY", "CONFIG_SECURITY_LANDLOCK"])
    for name in features:
        plugin = packaging.option(name)
        if os.path.isdir(f"{sources}/conf/plugins/{plugin}") and not os.path.isdir(f"{extra}/etc/monkey/plugins/{plugin}"):
            bad(f"the configuration of {plugin} is not installed with its option")
    if not os.path.exists(f"{extra}/etc/logrotate.d/monkey"):
        bad("no logrotate.d/monkey with logrotate")
    tables = make("tables", shipped)
    for path in re.findall(r"^\s*(/\S+) f ", tables, re.M):
        if not os.path.exists(trees["buildroot SYSV"] + path):
            bad(f"MONKEYD_PERMISSIONS: {path} is not installed")
    if not re.search(r"^\s*www-data 33 www-data 33 ", tables, re.M):
        bad("MONKEYD_USERS: no www-data")

    # The card's own configuration, over what is installed.
    shutil.copytree(trees["buildroot SYSV"] + "/etc", f"{work}/card/etc")
    shutil.copytree("board/raspberrypi/rootfs_overlay/etc", f"{work}/card/etc", dirs_exist_ok=True)
    run(trees["buildroot SYSV"] + "/usr/sbin/monkey", "--check", "--configdir", f"{work}/card/etc/monkey")

    shell_functions = "set -e; chown() { :; }; "
    for distro in ("systemd", "sysvinit"):
        trees[f"yocto {distro}"] = root = f"{work}/yocto-{distro}"
        paths = {"D": root, "S": sources, "B": sources, "CARGO_TARGET_SUBDIR": f"{host}/debug", "UNPACKDIR": os.path.abspath(f"{RECIPES}/files")}
        paths |= {"sysconfdir": "/etc", "sbindir": "/usr/sbin", "servicedir": "/srv", "nonarch_libdir": "/usr/lib", "localstatedir": "/var"}
        paths |= {"systemd_system_unitdir": "/usr/lib/systemd/system", "DISTRO_FEATURES": distro}
        data = parse_recipe(paths | {"PACKAGECONFIG": " ".join(packaging.option(name) for name in shipped)})
        run("sh", "-c", shell_functions + data.getVar("do_install"))

    service = {"buildroot SYSV": "/etc/init.d/S50monkey", "buildroot OPENRC": "/etc/init.d/monkey", "yocto sysvinit": "/etc/init.d/monkey"}
    for name, root in trees.items():
        script = service.get(name)
        wanted = ["/usr/sbin/monkey", "/etc/default/monkey", "/etc/monkey/monkey.conf", "/srv/www/index.html"]
        wanted += [script] if script else ["/usr/lib/systemd/system/monkey.service", "/usr/lib/tmpfiles.d/monkey.conf"]
        for path in wanted:
            if not os.path.exists(root + path):
                bad(f"{name}: {path} is not installed")
        for path in ["/usr/sbin/monkey"] + ([script] if script else []):
            if not os.access(root + path, os.X_OK):
                bad(f"{name}: {path} is not executable")
        config = read(root, "etc/monkey/monkey.conf") + read(root, "etc/monkey/sites/default")
        settings = ["User www-data", "DocumentRoot /srv/www"] + (["LogTarget syslog"] if script else [])
        for line in settings:
            if not re.search(rf"^ +{line}$", config, re.M):
                bad(f"{name}: no line `{line}`")
        server = f"{root}/usr/sbin/monkey"
        run(server, "--check", "--configdir", f"{root}/etc/monkey")
        ptest = f"{RECIPES}/files/run-ptest"
        said = run("sh", ptest, env=os.environ | {"MONKEY": server, "CONFIG": f"{root}/etc/monkey"})
        tests = re.findall(r"^(PASS|FAIL): (.*)$", said, re.M)
        if len(tests) != 5 or any(verdict != "PASS" for verdict, _ in tests):
            bad(f"{name}: run-ptest: {tests}")
        # The test has to notice a server that is none.
        broken = subprocess.run(["sh", ptest], env=os.environ | {"MONKEY": "/bin/false"}, capture_output=True, check=False)
        same(f"{name}: run-ptest with /bin/false for a server", broken.returncode, 1)
        print(f"{name}: {sum(len(files) for _, _, files in os.walk(root))} files, {len(tests)} tests")


STEPS = {
    "names": names, "kconfig": kconfig, "make": check_make, "options": options, "recipe": recipe, "versions": versions,
    "release": release, "style": style, "image": image, "install": install,
}
STEPS[sys.argv[1]](*sys.argv[2:])
sys.exit(1 if wrong else 0)
