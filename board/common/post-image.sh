#!/bin/sh
# usage: post-image.sh BINARIES_DIR BOARD_DIR DATA_DEVICE
#
# Called by Buildroot when the images are there: makes the whole card from BOARD_DIR/genimage.cfg.in. Needs BUILD_DIR in the environment.
set -eu

binaries=$1
board=$2
config=$binaries/genimage.cfg

# Device trees, firmware and the kernel that config.txt names, one a line. A board without firmware has no boot partition.
files=
if [ -d "$binaries/rpi-firmware" ]; then
	kernel=$(sed -n 's/^kernel=//p' "$binaries/rpi-firmware/config.txt")
	for file in "$binaries"/*.dtb "$binaries"/rpi-firmware/* "$binaries/$kernel"; do
		[ -e "$file" ] || { echo "post-image.sh: missing: $file" >&2; exit 1; }
		files="$files			\"${file#"$binaries"/}\",
"
	done
fi
while IFS= read -r line; do
	case $line in
		'#BOOT_FILES#') printf '%s' "$files" ;;
		*) printf '%s\n' "$line" ;;
	esac
done <"$board/genimage.cfg.in" >"$config"

# What the data partition holds at first: the two directories that an overlay asks for.
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -p "$tree/data/monkey/upper" "$tree/data/monkey/work"

# fakeroot: what is in the data partition belongs to root, not to who builds.
rm -rf "$BUILD_DIR/genimage.tmp"
fakeroot genimage --rootpath "$tree" --tmppath "$BUILD_DIR/genimage.tmp" --inputpath "$binaries" --outputpath "$binaries" \
	--config "$config"
