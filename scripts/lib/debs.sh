# shellcheck shell=sh
# Sourced after common.sh: Debian packages of other architectures, fetched and unpacked, not installed. apt gets a configuration and a
# state of its own below the target directory: no foreign architecture and no component is added to the machine's.

# shellcheck disable=SC2154 # common.sh has set it
board_dir=$target_dir/board
apt_dir=$board_dir/apt
unpacked_dir=$board_dir/packages

# skip REASON: what has to be there can not be had. Not a pass: exit 77.
skip() {
    say "SKIPPED: $*"
    # For scripts/test, which prints it beside the stage.
    [ -z "${SKIP_REASON:-}" ] || printf '%s\n' "$*" >"$SKIP_REASON"
    exit 77
}

# alone: two runs in one target directory would take each other's files away: the second waits. What is started keeps the lock.
alone() {
    mkdir -p "$board_dir"
    exec 9>"$board_dir/lock"
    flock -n 9 || {
        say "waiting for another run in $board_dir"
        flock 9
    }
}

# need_or_skip PACKAGE...: need_packages, but what can not be installed is no failure of what is tested.
need_or_skip() { (need_packages "$@") || skip "these packages can not be installed: $*"; }

# foreign_apt PROGRAM ARGUMENT...: apt-get or apt-cache with the configuration of our own.
foreign_apt() { APT_CONFIG=$apt_dir/conf "$@"; }

# prepare_apt: the machine's own Debian sources, for the architectures that are needed, firmware included.
prepare_apt() {
    [ ! -e "$apt_dir/ready" ] || return 0
    command -v apt-get >/dev/null 2>&1 || skip "this machine has no apt-get to fetch Debian packages with"
    mkdir -p "$apt_dir/state/lists/partial" "$apt_dir/cache/archives/partial"
    : >"$apt_dir/status"
    sources | sort -u >"$apt_dir/sources.list"
    if [ ! -s "$apt_dir/sources.list" ]; then
        as_root apt-get update -q >/dev/null 2>&1 || true
        sources | sort -u >"$apt_dir/sources.list"
    fi
    [ -s "$apt_dir/sources.list" ] || skip "apt has no source of Debian packages here"
    cat >"$apt_dir/conf" <<EOF
Dir::Etc::sourcelist "$apt_dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$apt_dir/state";
Dir::State::status "$apt_dir/status";
Dir::Cache "$apt_dir/cache";
APT::Architecture "arm64";
APT::Architectures { "arm64"; "armel"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
EOF
    say "reading the package lists of arm64 and armel"
    foreign_apt apt-get update -q >"$apt_dir/update.log" 2>&1 ||
        skip "the package lists of arm64 and armel can not be read: $(tail -n 1 "$apt_dir/update.log")"
    : >"$apt_dir/ready"
}

# The sources of Debian itself that apt knows here, one a line, with the component that holds the Pi's firmware.
sources() {
    # shellcheck disable=SC2016 # apt replaces these
    apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(REPO_URI)|$(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        awk -F '|' '$1 == "Debian" && $2 == "main" {
            print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $3 " " $4 " main non-free-firmware"
        }'
}

# unpacked PACKAGE ARCHITECTURE: prints the directory with the package's files, fetched when it is not there yet. A package that
# only depends on the one of the current version (linux-image-arm64) stands for that one. A failure is a status, with the reason
# on stderr.
unpacked() {
    directory=$unpacked_dir/$1-$2
    if [ ! -e "$directory/.complete" ]; then
        # Lists that were read some time ago may name what is not there any more.
        download "$1" "$2" || { rm -f "$apt_dir/ready" && download "$1" "$2"; } || {
            say "$1 of Debian's $2 can not be fetched: $(tail -n 1 "$apt_dir/download.log")"
            return 1
        }
        # What no board of ours has makes up most of a kernel package.
        for archive in "$directory"/*.deb; do
            dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$directory" --no-same-owner --exclude='*/drivers/gpu' \
                --exclude='*/drivers/media' --exclude='*/kernel/sound' --exclude='*/drivers/staging' || return 1
            basename "$archive" >"$directory/.complete"
            rm -f "$archive"
        done
    fi
    printf '%s\n' "$directory"
}

# download PACKAGE ARCHITECTURE: the archive into $directory.
download() {
    prepare_apt
    name=$1
    versioned=$(foreign_apt apt-cache depends "$1:$2" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9][^: ]*\).*/\1/p')
    [ -z "$versioned" ] || name=$versioned
    say "fetching $name ($2)"
    rm -rf "$directory"
    mkdir -p "$directory"
    (cd "$directory" && foreign_apt apt-get download -q "$name:$2") >"$apt_dir/download.log" 2>&1
}
