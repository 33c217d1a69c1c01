# shellcheck shell=sh
# Sourced by the scripts beside it: where things are, how to say something, how to install what is missing.
# The caller sets `here` to the directory of the script before it sources this file.

# shellcheck disable=SC2154 # the caller has set it
root=$(CDPATH='' cd -- "$here/.." && pwd)

# Where cargo builds, and where every script leaves what it made.
target_dir=${CARGO_TARGET_DIR:-$root/target}
case $target_dir in
    /*) ;;
    *) target_dir=$PWD/$target_dir ;;
esac
export CARGO_TARGET_DIR="$target_dir"

say() { printf '%s\n' "$*" >&2; }
die() {
    say "${0##*/}: $*"
    exit 1
}

# Prints the comment block at the top of the calling script: its usage.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; }

# Runs a command with the rights to install packages.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        die "needs root or sudo to run: $*"
    fi
}

# need_packages PACKAGE...: installs the Debian packages that are not there. No service of theirs is started.
need_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null 2>&1 || die "install these packages, this machine has no apt-get:$missing"
    say "installing$missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    if ! install_quietly $missing >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "apt-get could not install:$missing (whole output: $log)"
    fi
    rm -f "$log"
}

# A web server's package starts it on port 80 at once. policy-rc.d answering 101 forbids that while packages are installed;
# what stood there before is put back. The subshell's trap does so on an interrupt too.
install_quietly() (
    policy=/usr/sbin/policy-rc.d
    kept=
    if [ -e "$policy" ]; then
        kept=$policy.kept.$$
        as_root mv "$policy" "$kept"
    fi
    trap 'as_root rm -f "$policy"; [ -z "$kept" ] || as_root mv "$kept" "$policy"' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
)
