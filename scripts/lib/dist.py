"""The source archives: called by scripts/dist with the directory to put them in. The work directory is the repository."""

import glob
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

import packaging

# Not needed to build, and their files hold the digests of the archives.
LEFT_OUT = ("buildroot", "yocto", "board")
# Every file has this date unless SOURCE_DATE_EPOCH says another: the archive is to depend on what the files hold, nothing else.
DATE = 1577836800
VENDORED = """
# All crates are in VENDOR.
[source.crates-io]
replace-with = "vendored"

[source.vendored]
directory = "VENDOR"
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def sources():
    """Name to (content, executable, link target) of every file of the last commit that is shipped."""
    names = [f":(exclude){name}" for name in LEFT_OUT]
    # A user's own settings of line ends would go into the archive.
    command = ["git", "-c", "core.autocrlf=false", "-c", "core.eol=lf", "archive", "--format=tar", "HEAD", "--", ".", *names]
    packed = subprocess.run(command, check=True, capture_output=True).stdout
    return members(io.BytesIO(packed), "")


def members(file, strip):
    """The files of a tar archive, without the directory `strip` before their names."""
    found = {}
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            name = member.name.removeprefix(strip)
            if member.issym():
                found[name] = (b"", False, member.linkname)
            elif member.isfile():
                found[name] = (archive.extractfile(member).read(), bool(member.mode & 0o100), None)
    return found


def vendored(lock):
    """The files of all crates, below VENDOR. Each crate's archive is compared with its checksum in Cargo.lock."""
    home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    found = {}
    for crate in lock:
        name = f"{crate['name']}-{crate['version']}"
        for path in glob.glob(os.path.join(glob.escape(home), "registry", "cache", "*", f"{name}.crate")):
            with open(path, "rb") as file:
                packed = file.read()
            if hashlib.sha256(packed).hexdigest() == crate["checksum"]:
                break
        else:
            sys.exit(f"dist: no archive of {name} with the checksum of Cargo.lock in {home}/registry/cache")
        for inner, content in members(io.BytesIO(packed), f"{name}/").items():
            found[f"VENDOR/{name}/{inner}"] = content
        # What cargo asks of a directory of crates. Without digests of files: those of the archive are checked by who unpacks it.
        checksum = json.dumps({"files": {}, "package": crate["checksum"]}).encode()
        found[f"VENDOR/{name}/.cargo-checksum.json"] = (checksum, False, None)
    return found


def write(path, top, files, date):
    """One archive; the answer is its SHA-256 as text."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(files):
            content, executable, link = files[name]
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.mtime = date
            entry.mode = 0o755 if executable else 0o644
            if link is not None:
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, link, 0o777
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    # The program and not the module: what a zlib makes of the same bytes differs from one to the next.
    packed = subprocess.run(["gzip", "-9n"], input=plain.getvalue(), check=True, capture_output=True).stdout
    with open(path, "wb") as file:
        file.write(packed)
    say(f"{path}: {len(files)} files, {len(packed) // 1024} KB")
    return hashlib.sha256(packed).hexdigest()


def main(out):
    root = os.getcwd()
    top = f"monkeyd-{packaging.version(root)}"
    date = int(os.environ.get("SOURCE_DATE_EPOCH") or DATE)
    files = sources()
    digests = {f"{top}.tar.gz": write(f"{out}/{top}.tar.gz", top, files, date)}
    files |= vendored(packaging.crates(root))
    config, executable, _ = files[".cargo/config.toml"]
    files[".cargo/config.toml"] = (config + VENDORED.encode(), executable, None)
    digests[f"{top}-vendored.tar.gz"] = write(f"{out}/{top}-vendored.tar.gz", top, files, date)
    for name, digest in digests.items():
        print(f"{digest}  {name}")


main(*sys.argv[1:])
