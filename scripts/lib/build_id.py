"""Called by scripts/build-static: a build id that depends on nothing but what the stripped binary holds.

Usage: build_id.py STRIPPED DEBUG
The linker hashes the line tables too, and those of libc name the directory in which zig was installed: the same commit would be
another binary in another clone."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path


def main(stripped, debug):
    said = subprocess.run(["eu-readelf", "-n", debug], check=True, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout
    old = bytes.fromhex(re.search(r"Build ID: ([0-9a-f]+)", said)[1])
    files = {Path(name): Path(name).read_bytes() for name in (stripped, debug)}
    for path, data in files.items():
        if data.count(old) != 1:
            sys.exit(f"{path}: its build id stands there {data.count(old)} times instead of once")
    new = hashlib.sha1(files[Path(stripped)].replace(old, bytes(len(old))), usedforsecurity=False).digest()
    for path, data in files.items():
        path.write_bytes(data.replace(old, new))


main(*sys.argv[1:])
