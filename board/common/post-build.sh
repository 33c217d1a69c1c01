#!/bin/sh
# usage: post-build.sh TARGET_DIR BOARD_DIR DATA_DEVICE
#
# Called by Buildroot before the root file system is packed. The root stays read-only; what an operator changes below /etc/monkey is
# on the data partition, DATA_DEVICE. Without that partition the device serves by what is on the root.
set -eu

target=$1
device=$3

mkdir -p "$target/data"

# mount -a goes from top to bottom. The last line is the guard against a second run.
if ! grep -q '^overlay' "$target/etc/fstab"; then
	cat >>"$target/etc/fstab" <<EOF
$device	/data	ext4	rw,noatime,nodev,nosuid,commit=1	0	0
overlay	/etc/monkey	overlay	lowerdir=/etc/monkey,upperdir=/data/monkey/upper,workdir=/data/monkey/work	0	0
EOF
fi
