# shellcheck shell=sh
# Run by scripts/check-service in namespaces of its own: makes a copy of this machine (an overlay) with the server installed in it as a
# package would, and runs a part of service_inside.sh there. Exit 77 with the reason in SERVICE_COPY.reason when that is not possible.
set -eu

no() {
    echo "$*" >"$SERVICE_COPY.reason"
    exit 77
}

mount --make-rprivate /
mount -t tmpfs tmpfs "$SERVICE_COPY" || no "mount(2) is not allowed"
mkdir "$SERVICE_COPY/upper" "$SERVICE_COPY/work" "$SERVICE_COPY/root"
inside=$SERVICE_COPY/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$SERVICE_COPY/upper,workdir=$SERVICE_COPY/work" "$inside" || no "no overlay file system"
mount -t proc proc "$inside/proc"
mount -t sysfs sysfs "$inside/sys"
mount -t tmpfs -o mode=755 tmpfs "$inside/run"
mount -t tmpfs -o mode=1777 tmpfs "$inside/tmp"
mount -t tmpfs -o mode=755 tmpfs "$inside/dev"
for device in null zero full random urandom tty; do
    : >"$inside/dev/$device"
    mount --bind "/dev/$device" "$inside/dev/$device"
done
# Not in /tmp, which a starting systemd clears, and by a name that no machine has in its root.
mkdir "$inside/dev/shm" "$inside/monkey-check"
ip link set lo up

# The layout of the packages.
files=$SERVICE_ROOT/conf/service
install -D -m 755 "$SERVICE_BINARY" "$inside/usr/sbin/monkey"
rm -rf "$inside/etc/monkey" "$inside/srv/www" "$inside/var/log/monkey"
mkdir -p "$inside/etc/monkey" "$inside/srv/www"
for part in monkey.conf monkey.mime sites plugins; do
    cp -R "$SERVICE_ROOT/conf/$part" "$inside/etc/monkey"
done
cp -R "$SERVICE_ROOT/htdocs/." "$inside/srv/www"
sed -i 's|DocumentRoot ../htdocs|DocumentRoot /srv/www|' "$inside/etc/monkey/sites/default"
sed -i 's|Listen 2001|Listen 80|; s|# User www-data|User www-data|' "$inside/etc/monkey/monkey.conf"
chmod -R go-w,a+rX "$inside/etc/monkey" "$inside/srv/www"
printf '[LOGGER]\n    AccessLog /var/log/monkey/access.log\n    ErrorLog /var/log/monkey/error.log\n' >>"$inside/etc/monkey/sites/default"
install -D -m 644 "$files/monkey.default" "$inside/etc/default/monkey"
install -D -m 755 "$files/S50monkey" "$inside/etc/init.d/S50monkey"
install -D -m 755 "$files/monkey.openrc" "$inside/monkey-check/monkey.openrc"
install -D -m 644 "$files/monkey.logrotate" "$inside/etc/logrotate.d/monkey"
install -D -m 644 "$files/monkey.tmpfiles" "$inside/usr/lib/tmpfiles.d/monkey.conf"
install -m 644 "$files/monkey.service" "$files/monkey.socket" "$inside/etc/systemd/system"
cp "$SERVICE_ROOT/scripts/lib/service_inside.sh" "$inside/monkey-check/inside.sh"

[ "$SERVICE_PART" = manager ] || exec chroot "$inside" sh /monkey-check/inside.sh "$SERVICE_PART"

# systemd wants a tree of control groups to itself, and process 1.
mkdir "$SERVICE_COPY/cgroup"
mount -t cgroup2 cgroup2 "$SERVICE_COPY/cgroup" || no "no control groups"
group=$SERVICE_COPY/cgroup/$(echo "$SERVICE_COPY" | tr -c 'a-zA-Z0-9\n' .)
before=$SERVICE_COPY/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir -p "$group" || no "control groups can not be made"
echo $$ >"$group/cgroup.procs" || no "control groups can not be used"
: >"$inside/monkey-check/out"
cat >"$inside/etc/systemd/system/check.target" <<'UNIT'
[Unit]
Wants=check.service
DefaultDependencies=no
UNIT
cat >"$inside/etc/systemd/system/check.service" <<'UNIT'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=append:/monkey-check/out
StandardError=append:/monkey-check/out
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/sh -c 'sh /monkey-check/inside.sh manager; echo $? >/monkey-check/status; systemctl exit 0'
UNIT
# shellcheck disable=SC2016 # expanded by that shell
unshare --cgroup sh -c '
    mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup" && exec chroot "$0" unshare --pid --fork --kill-child --mount-proc \
        env container=check /lib/systemd/systemd --system --unit=check.target --show-status=no --log-target=null
' "$inside" >/dev/null 2>&1 || :
{ echo $$ >"$before/cgroup.procs" || echo $$ >"$SERVICE_COPY/cgroup/cgroup.procs"; } 2>/dev/null
find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :
cat "$inside/monkey-check/out" >&2
[ -e "$inside/monkey-check/status" ] || no "systemd does not run in a container here"
exit "$(cat "$inside/monkey-check/status")"
