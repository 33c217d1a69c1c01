#!/bin/sh
# Run by service_copy.sh in a copy of the machine, with a part of scripts/check-service: sysv, openrc, logrotate or manager.
set -u

conf=/etc/monkey/monkey.conf
log=/var/log/monkey/access.log

say() { printf '   %s\n' "$*" >&2; }
die() {
    say "FAILED: $*"
    [ ! -s /monkey-check/said ] || sed 's/^/   said: /' /monkey-check/said >&2
    exit 1
}
# expect STATUS COMMAND...: runs it, with what it says in /monkey-check/said.
expect() {
    wanted=$1
    shift
    "$@" >/monkey-check/said 2>&1
    got=$?
    [ "$got" = "$wanted" ] || die "status $got instead of $wanted: $*"
}
# until_true WHAT COMMAND...: waits for it, 20 seconds at most.
until_true() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || die "never: $what"
        sleep 0.1
    done
}
page() { curl -sS --max-time 20 http://127.0.0.1/ | grep -q '</html>'; }
server_field() { curl -sS --max-time 20 -o /dev/null -D - http://127.0.0.1/ | tr -d '\r' | sed -n 's/^Server: //p'; }
hides_version() { [ "$(server_field)" = Monkey ]; }
refused() { [ "$(curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1/ 2>/dev/null)" = 000 ]; }
edit() { sed -i "$1" "$conf"; }
child() { pgrep -P "$1" | head -n 1; }
is_gone() { ! kill -0 "$1"; }
other_child() { new=$(child "$1") && [ -n "$new" ] && [ "$new" != "$2" ]; }

# control SCRIPT...: an init script through all it can do.
control() {
    rm -rf /run/monkey /var/log/monkey
    expect "$stopped" "$@" status
    expect 0 "$@" start
    pid=$(cat /run/monkey.pid)
    until_true "a page" page
    expect 0 "$@" status
    [ "$(stat -c %U /run/monkey /var/log/monkey | uniq)" = www-data ] || die "its directories are not there"
    [ "$(ps -o user= -p "$(child "$pid")")" = www-data ] || die "the server is not www-data"
    say "started, and started again"
    expect 0 "$@" start
    [ "$(cat /run/monkey.pid)" = "$pid" ] || die "another one was started"
    kill -0 "$pid" || die "the first one is gone"

    edit 's/HideVersion Off/HideVersion On/'
    expect 0 "$@" reload
    until_true "the new configuration" hides_version
    edit 's/HideVersion On/HideVersion Maybe/'
    for operation in reload restart; do
        expect 1 "$@" "$operation"
        grep -q 'monkey.conf:[0-9]*:[0-9]*: ' /monkey-check/said || die "no place of the error"
        hides_version || die "a $operation that was refused has changed something"
        kill -0 "$pid" || die "a $operation that was refused has stopped it"
    done
    edit 's/HideVersion Maybe/HideVersion Off/'
    say "reloaded, and neither reloaded nor restarted by a wrong file"

    first=$(child "$pid")
    kill -KILL "$first"
    until_true "another server" other_child "$pid" "$first"
    page || die "no page after a crash"
    expect 0 "$@" status
    say "killed, and started again by its keeper"

    expect 0 "$@" restart
    kill -0 "$pid" 2>/dev/null && die "the old one lives"
    pid=$(cat /run/monkey.pid)
    until_true "a page" page
    expect 0 "$@" stop
    kill -0 "$pid" 2>/dev/null && die "it lives after stop"
    [ ! -e /run/monkey.pid ] || die "the PID file is left"
    expect "$stopped" "$@" status
    expect 0 "$@" stop
    say "restarted, stopped, and stopped again"

    python3 -c 'import socket, time; s = socket.socket(); s.bind(("", 80)); s.listen(); time.sleep(1000)' &
    taker=$!
    until_true "the port is taken" sh -c "ss -ltn | grep -q ':80 '"
    expect 1 "$@" start
    kill "$taker"
    wait "$taker" 2>/dev/null
    edit 's/HideVersion Off/HideVersion Maybe/'
    expect 1 "$@" start
    grep -q 'monkey.conf:[0-9]*:[0-9]*: ' /monkey-check/said || die "no place of the error"
    edit 's/HideVersion Maybe/HideVersion Off/'
    expect "$stopped" "$@" status
    say "did not start on a taken port, nor with a wrong file"

    expect 0 "$@" start
    pid=$(cat /run/monkey.pid)
    until_true "a page" page
    kill -KILL "$pid"
    until_true "the port is free" refused
    expect "$dead" "$@" status
    [ -z "$forget" ] || expect 0 "$@" "$forget"
    expect 0 "$@" start
    until_true "a page" page
    expect 0 "$@" stop
    say "started in spite of a PID file that was left behind"
}

sysv() {
    stopped=3 dead=1 forget=
    cat >/monkey-check/debian <<'SH'
#!/bin/sh
exec dash /etc/init.d/S50monkey "$@"
SH
    cat >/monkey-check/busybox <<'SH'
#!/bin/sh
PATH=/monkey-check/applets exec busybox sh /etc/init.d/S50monkey "$@"
SH
    chmod +x /monkey-check/debian /monkey-check/busybox
    mkdir /monkey-check/applets
    busybox --install -s /monkey-check/applets
    for name in debian busybox; do
        say "-- with the programs of $name"
        control "/monkey-check/$name"
    done
    expect 1 /monkey-check/busybox nonsense

    # As on a device so busy that the program is started only a while after start-stop-daemon has returned.
    mkdir /monkey-check/late
    cat >/monkey-check/late/start-stop-daemon <<'SH'
#!/bin/sh
case "$*" in
    *--background*) (sleep 1; exec busybox start-stop-daemon "$@") >/dev/null 2>&1 & ;;
    *) exec busybox start-stop-daemon "$@" ;;
esac
SH
    # Some builds of BusyBox sleep for whole seconds only.
    for name in sleep usleep; do
        cat >/monkey-check/late/$name <<'SH'
#!/bin/sh
case "${0##*/}$1" in usleep* | *.*) echo "invalid number '$1'" >&2 && exit 1 ;; esac
exec /bin/sleep "$@"
SH
    done
    chmod +x /monkey-check/late/*
    for left in "" 999999; do
        [ -z "$left" ] || echo "$left" >/run/monkey.pid
        expect 0 env PATH="/monkey-check/late:$PATH" /monkey-check/debian start
        until_true "a page" page
        expect 0 /monkey-check/debian status
        expect 0 /monkey-check/debian stop
    done
    say "started late"
}

openrc() {
    # Debian's start-stop-daemon does not tell OpenRC which daemons it has started, as OpenRC's own does: it can not see the death of
    # one (status 32). Either wants to be told to forget it.
    stopped=3 dead=0 forget=zap
    rm -rf /etc/init.d
    mkdir /etc/init.d
    # As a machine that OpenRC has booted: nothing else is to be started.
    for state in daemons exclusive failed inactive options scheduled started starting stopping tmp wasinactive; do
        mkdir -p "/run/openrc/$state"
    done
    : >/run/openrc/softlevel
    install -m 755 /monkey-check/monkey.openrc /etc/init.d/monkey
    printf '#!/sbin/openrc-run\nstart() { :; }\n' >/etc/init.d/localmount
    chmod +x /etc/init.d/localmount
    control rc-service monkey
}

# Requests one after the other, each for another file, until there is one of the name; how many there were.
load() {
    mkdir -p /srv/www/each
    (cd /srv/www/each && seq 5000 | xargs touch)
    count=0
    until [ -e "$1" ] || [ "$count" = 5000 ]; do
        count=$((count + 1))
        curl -sS --max-time 20 -o /dev/null "http://127.0.0.1/each/$count" || break
    done
    echo "$count" >"$1.count"
}

# rotated: rotates under load, twice; each request has its one line.
rotated() {
    load /monkey-check/end &
    for turn in 1 2; do
        until_true "lines in the log" test -s "$log"
        inode=$(stat -c %i "$log")
        expect 0 logrotate --force --state /monkey-check/rotated /etc/logrotate.d/monkey
        until_true "another log" sh -c "[ -e $log ] && [ \"\$(stat -c %i $log)\" != $inode ]"
    done
    : >/monkey-check/end
    wait
    requests=$(cat /monkey-check/end.count)
    rm -f /monkey-check/end /monkey-check/end.count
    [ "$requests" -gt 20 ] || die "only $requests requests"
    lines() { for file in "$log"*; do zcat -f "$file"; done | grep -o ' /each/[0-9]*' | sort | uniq -c; }
    all() { [ "$(lines | wc -l)" = "$requests" ]; }
    until_true "as many lines as requests, $requests" all
    lines | awk '$1 != 1 { exit 1 }' || die "lines twice"
    [ "$(stat -c %U "$log" "$log.2.gz" | uniq)" = www-data ] || die "not rotated as asked: $(ls -l /var/log/monkey)"
    # With nobody there it is the signal that makes the new file.
    expect 0 logrotate --force --state /monkey-check/rotated /etc/logrotate.d/monkey
    until_true "another log by the signal alone" test -e "$log"
    say "rotated ($turn times) during $requests requests: $requests lines"
}

logrotate_part() {
    expect 0 sh /etc/init.d/S50monkey start
    until_true "a page" page
    rotated
    expect 0 sh /etc/init.d/S50monkey stop

    # A PID file that was left behind, with a number that somebody else has now.
    sleep 1000 &
    other=$!
    echo "$other" >/run/monkey.pid
    echo line >>"$log"
    expect 0 logrotate --force --state /monkey-check/rotated /etc/logrotate.d/monkey
    sleep 0.5
    kill -0 "$other" || die "another program was sent the signal"
    kill "$other"
}

property() { systemctl show -p "$1" --value monkey.service; }
is_status() { [ "$(property StatusText)" = "$1" ]; }
has_restarted() { [ "$(property NRestarts)" -gt "$1" ] && [ "$(property ActiveState)" = active ]; }
# drop_in NAME LINE...: more for [Service].
drop_in() {
    mkdir -p /run/systemd/system/monkey.service.d
    name=$1
    shift
    { echo '[Service]' && printf '%s\n' "$@"; } >"/run/systemd/system/monkey.service.d/$name.conf"
    systemctl daemon-reload
}

manager() {
    expect 0 systemd-tmpfiles --create /usr/lib/tmpfiles.d/monkey.conf
    cat >/srv/www/state.cgi <<'SH'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
cat /proc/self/status
touch /srv/www/written /etc/monkey/written 2>&1
mount -t tmpfs tmpfs /mnt 2>&1
ls /dev
SH
    chmod +x /srv/www/state.cgi
    printf '[HANDLERS]\n    Match \\.cgi$ cgi\n' >>/etc/monkey/sites/default
    expect 0 systemctl start monkey.service
    page || die "no page right after systemctl start"
    is_status serving || die "status: $(property StatusText)"
    pid=$(property MainPID)
    [ "$(ps -o user= -p "$pid")" = www-data ] || die "the server is not www-data"
    status=/proc/$pid/status
    rights=$(sed -n '/^\(CapBnd\|NoNewPrivs\|Seccomp\):/s/.*\t0*//p' "$status" | tr '\n' ' ')
    [ "$rights" = "400 1 2 " ] || die "bounding set, no_new_privs, seccomp: $rights"
    say "started: ready when it serves, as www-data, on port 80 by one capability"

    curl -sS --max-time 20 http://127.0.0.1/state.cgi >/monkey-check/said
    grep -q '^CapEff:.*0000000000000000$' /monkey-check/said || die "a program with rights"
    [ "$(grep -c "touch: cannot touch.*Read-only file system" /monkey-check/said)" = 2 ] || die "files could be made"
    grep -q 'mount: .*permission denied\|must be superuser' /monkey-check/said || die "it could mount"
    [ ! -e /srv/www/written ] || die "written"
    : >/monkey-check/said
    say "a program of its: no rights, everything read-only"

    edit 's/HideVersion Off/HideVersion On/'
    expect 0 systemctl reload monkey.service
    until_true "the new configuration" hides_version
    edit 's/HideVersion On/HideVersion Maybe/'
    systemctl reload monkey.service
    until_true "the refused reload as status" is_status "serving; the last reload was refused, the log says why"
    [ "$(property ActiveState) $(property MainPID)" = "active $pid" ] || die "a refused reload ended it"
    edit 's/HideVersion Maybe/HideVersion Off/'
    expect 0 systemctl reload monkey.service
    until_true "the status" is_status serving
    say "reloaded; a refused reload is told"

    rotated

    kill -SEGV "$pid"
    until_true "another one" has_restarted 0
    until_true "a page" page
    say "died, and started again"

    drop_in watchdog WatchdogSec=2
    expect 0 systemctl restart monkey.service
    sleep 6
    [ "$(property NRestarts)" = 0 ] || die "killed in spite of its signs of life"
    page || die "no page"
    kill -STOP "$(property MainPID)"
    until_true "the end of one that gives no sign of life" has_restarted 0
    until_true "a page" page
    rm -r /run/systemd/system/monkey.service.d
    say "three periods of WatchdogSec lived through; stopped by SIGSTOP it was killed and started again"

    expect 0 systemctl stop monkey.service
    [ "$(property Result) $(property ActiveState)" = "success inactive" ] || die "the end: $(property Result)"
    refused || die "it listens still"
    expect 0 systemctl start monkey.socket
    [ "$(property ActiveState)" = inactive ] || die "nobody asked yet"
    page || die "no page by socket activation"
    page6=$(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' 'http://[::1]/')
    [ "$page6" = 200 ] || die "no IPv6"
    kill -KILL "$(property MainPID)"
    page || die "a client that came while it was started again was refused"
    until_true "a restart" has_restarted 0
    say "started by its first client; another one waited through a crash"
    expect 0 systemctl stop monkey.socket monkey.service

    # As the end of the unit says.
    drop_in root User= Group= AmbientCapabilities= CapabilityBoundingSet= \
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_CHOWN CAP_KILL"
    expect 0 systemctl start monkey.service
    page || die "no page"
    [ "$(ps -o user= -p "$(property MainPID)")" = www-data ] || die "the server is not www-data"
    expect 0 systemctl reload monkey.service
    expect 0 systemctl stop monkey.service
    say "the same, started as root"
}

case $1 in
    sysv | openrc | manager) "$1" ;;
    logrotate) logrotate_part ;;
esac
