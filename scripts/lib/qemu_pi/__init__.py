"""Emulated Raspberry Pis: initramfs, kernel modules, the machine and what is checked in it. Used by scripts/qemu-pi and scripts/image."""
