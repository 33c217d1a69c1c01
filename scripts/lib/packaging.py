"""What Cargo.toml and Cargo.lock say, and how it stands in the packagings.

Used by scripts/dist, scripts/check-packaging and scripts/update-packaging, which calls this file: packaging.py TREE [DIGESTS]
rewrites buildroot/ and yocto/ of TREE; DIGESTS is a file with what scripts/dist printed, without it only the list of crates."""

import glob
import hashlib
import os
import re
import sys
import tomllib

# Features that no device needs: groups of others, the example of a page, what puts a server in a state for a test.
NOT_PACKAGED = {"default", "default-plugins", "plugin-hello", "test-switches"}

PACKAGE = "buildroot/package/monkeyd"
RECIPES = "yocto/meta-monkey/recipes-httpd/monkeyd"


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def manifest(root):
    """Cargo.toml as a dictionary."""
    return tomllib.loads(read(root, "Cargo.toml"))


def version(root):
    """The version in Cargo.toml."""
    return manifest(root)["package"]["version"]


def features(root):
    """Every feature that the packagings offer, sorted, and whether it is on as shipped."""
    table = manifest(root)["features"]
    on, left = set(), ["default"]
    while left:
        name = left.pop()
        # What stands behind a feature: others, or crates (dep:NAME), which are none.
        if name in table and name not in on:
            on.add(name)
            left += table[name]
    return {name: name in on for name in sorted(table.keys() - NOT_PACKAGED)}


def option(feature):
    """What a feature is called where everything is one: the plugin without its prefix."""
    return feature.removeprefix("plugin-")


def symbol(feature):
    """The name of a feature in Buildroot's configuration."""
    return "BR2_PACKAGE_MONKEYD_" + option(feature).upper().replace("-", "_")


def crates(root):
    """The crates of Cargo.lock that come from the registry, as dictionaries."""
    return [crate for crate in tomllib.loads(read(root, "Cargo.lock"))["package"] if "source" in crate]


def crates_inc(root):
    """The text of monkeyd-crates.inc."""
    lines = ["# From Cargo.lock, by scripts/update-packaging.", "", 'SRC_URI += "\\']
    lines += ["    crate://crates.io/{name}/{version};name={name}-{version} \\".format(**crate) for crate in crates(root)]
    lines += ['"', ""]
    lines += ['SRC_URI[{name}-{version}.sha256sum] = "{checksum}"'.format(**crate) for crate in crates(root)]
    return "\n".join(lines) + "\n"


def recipe(root):
    """The path of the recipe in `root`. There is one."""
    found = glob.glob(os.path.join(glob.escape(root), RECIPES, "monkeyd_*.bb"))
    if len(found) != 1:
        sys.exit(f"{RECIPES}: {len(found)} files monkeyd_*.bb where there should be one")
    return found[0]


def replace(path, pattern, text):
    """Puts `text` where `pattern` matches, which is once."""
    old = read(path)
    new, count = re.subn(pattern, lambda _: text, old, flags=re.M)
    if count != 1:
        sys.exit(f"{path}: {pattern} matches {count} times where it should once")
    write(path, new)


def write(path, text):
    """Writes a file if that changes it."""
    if not os.path.exists(path) or read(path) != text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"rewritten: {path}", file=sys.stderr)


def licence(root, how):
    """The digest of LICENSE by the hash `how`, in hexadecimal."""
    with open(os.path.join(root, "LICENSE"), "rb") as file:
        return hashlib.new(how, file.read(), usedforsecurity=False).hexdigest()


def hashes(root, digests):
    """The text of monkeyd.hash."""
    name = f"monkeyd-{version(root)}-vendored.tar.gz"
    return (
        "# What scripts/dist made of the release, by scripts/update-packaging\n"
        f"sha256  {digests[name]}  {name}\n"
        f"sha256  {licence(root, 'sha256')}  LICENSE\n"
    )


def update(tree, digests):
    """Rewrites the packagings of `tree` for the version that is there. `digests`: name of an archive to its SHA-256."""
    write(os.path.join(tree, RECIPES, "monkeyd-crates.inc"), crates_inc(tree))
    if not digests:
        return
    number = version(tree)
    replace(os.path.join(tree, PACKAGE, "monkeyd.mk"), r"^MONKEYD_VERSION = .*$", f"MONKEYD_VERSION = {number}")
    write(os.path.join(tree, PACKAGE, "monkeyd.hash"), hashes(tree, digests))
    named = os.path.join(tree, RECIPES, f"monkeyd_{number}.bb")
    if recipe(tree) != named:
        os.rename(recipe(tree), named)
        print(f"renamed to: {named}", file=sys.stderr)
    replace(named, r'^SRC_URI\[sha256sum\] = ".*"$', f'SRC_URI[sha256sum] = "{digests[f"monkeyd-{number}.tar.gz"]}"')
    md5 = licence(tree, "md5")
    replace(named, r'^LIC_FILES_CHKSUM = ".*"$', f'LIC_FILES_CHKSUM = "file://LICENSE;md5={md5}"')


def parse_digests(text):
    """What scripts/dist prints: a digest, two blanks and a name a line."""
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


if __name__ == "__main__":
    update(sys.argv[1], parse_digests(read(sys.argv[2])) if len(sys.argv) > 2 else None)
