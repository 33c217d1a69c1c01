# shellcheck shell=sh
# Sourced after common.sh: the tools of the tuned build. A Rust toolchain that can rebuild std (Debian's, whose packages bring the
# source of std with its dependencies) and zig, which is a C compiler, a linker and a musl libc for every target in one file.

# Releases differ in code generation: a fixed one keeps figures comparable.
ZIG_VERSION=${ZIG_VERSION:-0.17.1}
# shellcheck disable=SC2154 # common.sh has set it
tools=$target_dir/static/tools

need_tuned_toolchain() {
    need_packages rustc-web cargo-web rust-web-src
    # std built from another version's source than the compiler's fails in ways that explain nothing.
    for package in cargo-web rust-web-src; do
        [ "$(package_version "$package")" = "$(package_version rustc-web)" ] ||
            die "$package and rustc-web differ in version: apt-get install --only-upgrade rustc-web cargo-web rust-web-src"
    done
    need_zig
}

package_version() { dpkg-query -W -f='${Version}' "$1"; }

need_zig() {
    zig=$(find_zig)
    if [ -z "$zig" ]; then
        need_packages python3 python3-venv
        say "installing zig $ZIG_VERSION in $tools"
        rm -rf "$tools/venv"
        mkdir -p "$tools"
        # Debian's own interpreter: python3-venv belongs to it.
        /usr/bin/python3 -m venv "$tools/venv"
        "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check "ziglang==$ZIG_VERSION" >&2
        zig=$(find_zig)
        [ -n "$zig" ] || die "the ziglang package brought no zig"
    fi
}

find_zig() {
    for candidate in "$tools"/venv/lib/python3*/site-packages/ziglang/zig; do
        [ -x "$candidate" ] && [ "$("$candidate" version)" = "$ZIG_VERSION" ] && printf '%s\n' "$candidate"
    done
    return 0
}

# zig_target TARGET: zig's name of a Rust target and the least CPU it must run on.
zig_target() {
    case $1 in
        arm-unknown-linux-musleabihf) echo "arm-linux-musleabihf -mcpu=arm1176jzf_s" ;;
        armv7-unknown-linux-musleabihf) echo "arm-linux-musleabihf -mcpu=generic+v7a" ;;
        aarch64-unknown-linux-musl) echo "aarch64-linux-musl" ;;
        x86_64-unknown-linux-musl) echo "x86_64-linux-musl" ;;
        *) die "no such target: $1" ;;
    esac
}

# linker_for TARGET: writes the linker wrapper of a target and prints its path.
linker_for() {
    wrapper=$tools/$1-cc
    mkdir -p "$tools"
    # Untouched when it would not change: cargo rebuilds std for a newer linker.
    wrapper_text="#!/bin/sh
exec \"$zig\" cc -target $(zig_target "$1") \"\$@\""
    if [ ! -x "$wrapper" ] || [ "$(cat "$wrapper")" != "$wrapper_text" ]; then
        printf '%s\n' "$wrapper_text" >"$wrapper"
        chmod 755 "$wrapper"
    fi
    printf '%s\n' "$wrapper"
}
