use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::util::{Client, Server, Setup, eventually, is_gone, is_root, pattern, received, signal, skipped};

fn setup() -> Setup {
    Setup::new().server("SendBuffer 131072").file("a.txt", "alpha").file("big.bin", pattern(6_000_000))
}

/// A download that has begun and that the server can not have finished.
fn begun(server: &Server) -> Client {
    let mut client = server.client();
    client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    client.take(1);
    client
}

#[test]
fn the_end_lets_what_is_in_flight_finish() {
    for (name, scheduler) in [("TERM", "Fair"), ("INT", "Fair"), ("QUIT", "Fair"), ("TERM", "ReusePort")] {
        let mut server = setup().server(&format!("Scheduler {scheduler}")).server("KeepAliveTimeout 60").start();
        let mut download = begun(&server);
        let mut idle = server.client();
        idle.get("/a.txt").is(200);
        let mut halfway = server.client();
        halfway.send("GET /a.txt HTTP/1.1\r\nHo");
        std::thread::sleep(Duration::from_millis(100));
        server.signal(name);
        // Who is idle is told at once, and nobody else is let in.
        idle.is_closed();
        let address = server.address();
        let refused = || TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_err();
        assert!(eventually(refused), "{name} {scheduler}: no new connections");
        // A request under way is answered, as the last one.
        halfway.send("st: test\r\n\r\n");
        assert!(halfway.answer(false).is(200).closes());
        halfway.is_closed();
        assert!(download.rest().ends_with(&pattern(6_000_000)), "{name} {scheduler}: the download is whole");
        assert_eq!(server.ended(), Some(0), "{name} {scheduler}");
        assert!(eventually(|| server.logged("INFO: stopped")), "{name} {scheduler}");
    }
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let mut server = setup().server("Timeout 1").start();
    let mut download = begun(&server);
    let mut silent = server.client();
    silent.send("GET / HT");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(download.rest().len() < 6_000_000, "it read nothing");
}

#[test]
fn the_end_of_an_idle_server_is_at_once() {
    let mut server = setup().server("Timeout 3600").server("KeepAliveTimeout 3600").server("DeferAccept 0").start();
    let mut idle: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut idle {
        client.get("/a.txt").is(200);
    }
    // Connections opened ahead of any request have nothing in flight either.
    let mut silent: Vec<Client> = (0..20).map(|_| server.client()).collect();
    std::thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    for client in idle.iter_mut().chain(&mut silent) {
        client.is_closed();
    }
}

#[test]
fn who_waits_at_a_listener_when_it_stops_is_served() {
    for scheduler in ["Fair", "ReusePort"] {
        let setup = setup().server(&format!("Scheduler {scheduler}")).server("DeferAccept 0").workers(1);
        let mut server = setup.start();
        server.signal("STOP");
        let mut waiting: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for client in &mut waiting {
            client.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        server.signal("TERM");
        server.signal("CONT");
        for client in &mut waiting {
            client.answer(false).is(200);
            client.is_closed();
        }
        assert_eq!(server.ended(), Some(0), "{scheduler}");
    }
}

#[test]
fn who_has_only_just_come_when_it_stops_is_heard_out() {
    for scheduler in ["Fair", "ReusePort"] {
        // The request comes 100 ms after the end began. Where the machine is so slow that it comes too late that says nothing.
        let heard = (0..10).any(|_| {
            let mut server = setup().server(&format!("Scheduler {scheduler}")).server("DeferAccept 0").start();
            let begun = Instant::now();
            let mut client = server.client();
            std::thread::sleep(Duration::from_millis(50));
            server.signal("TERM");
            assert!(eventually(|| server.logged("finishing those there are")));
            std::thread::sleep(Duration::from_millis(100));
            let in_time = begun.elapsed() < Duration::from_millis(400);
            if in_time {
                client.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
                assert!(client.answer(false).is(200).closes(), "{scheduler}");
            }
            assert_eq!(server.ended(), Some(0), "{scheduler}");
            in_time
        });
        assert!(heard, "{scheduler}: too slow a machine");
    }
}

#[test]
fn signals_that_do_not_end_it() {
    let mut server = setup().start();
    for name in ["PIPE", "USR1", "CHLD"] {
        server.signal(name);
        server.get("/a.txt").is(200);
    }
    assert!(server.is_running());
}

#[test]
fn the_service_manager_is_told() {
    let setup = setup();
    let path = setup.dir.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let heard = || {
        let mut bytes = [0; 512];
        let count = received(&socket, &mut bytes).expect("word from the server");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    };
    let mut server = setup.environment("NOTIFY_SOCKET", path).start();
    assert_eq!(heard(), "READY=1\nSTATUS=serving\n");
    server.get("/a.txt").is(200);
    server.reload();
    let reloading = heard();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.strip_suffix('\n'));
    assert!(time.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0)), "{reloading:?}");
    assert_eq!(heard(), "READY=1\nSTATUS=serving\n");
    server.signal("TERM");
    assert_eq!(heard(), "STOPPING=1\n");
    assert_eq!(server.ended(), Some(0));
}

/// Kills a daemon when the test is over, however it ends.
struct Daemon(u32);

impl Drop for Daemon {
    fn drop(&mut self) {
        if Path::new(&format!("/proc/{}", self.0)).exists() {
            signal(self.0, "KILL");
        }
    }
}

#[test]
fn in_the_background() {
    let setup = setup().server("PidFile ../monkey.pid").argument("-D");
    let ended = setup.run();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    // The one that was started ends when the server is up: no waiting here.
    let file = setup.dir.path("monkey.pid");
    let text = fs::read_to_string(&file).expect("a PID file");
    let pid: u32 = text.trim_end().parse().expect("a process id");
    let daemon = Daemon(pid);
    assert_eq!(text, format!("{pid}\n"));
    let address = crate::util::listening(&ended.log)[0];
    let mut client = Client::new(address, Default::default());
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    // It has no terminal, no directory and no pipe of anybody's.
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).expect("a link");
    assert_eq!(link("cwd"), Path::new("/"));
    for fd in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(fd), Path::new("/dev/null"), "{fd}");
    }
    // A second one is refused, and says so to the one who waits.
    let again = setup.run();
    assert_eq!(again.code, Some(1), "{}", again.log);
    assert!(again.log.contains(&format!("a server runs already as process {pid}")), "{}", again.log);
    // It reads its configuration anew from where it was, whatever its directory is now.
    fs::write(setup.root("b.txt"), "bravo").expect("a file");
    setup.dir.write("conf/monkey.mime", "[MIMETYPES]\n    txt text/x-changed\n");
    signal(pid, "HUP");
    assert!(eventually(|| client.get("/b.txt").is(200).field("Content-Type") == Some("text/x-changed")));
    signal(pid, "TERM");
    client.is_closed();
    is_gone(pid);
    assert!(!file.exists(), "the PID file is gone");
    drop(daemon);
}

#[test]
fn what_goes_wrong_in_the_background_is_told_in_the_foreground() {
    let server = setup().start();
    let place = server.address().to_string();
    let setup = Setup::new().listen(&place).server("PidFile ../monkey.pid").argument("-D");
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains(&format!("cannot listen on {place}: ")), "{}", ended.log);
    assert!(!setup.dir.path("monkey.pid").exists());
    let setup = Setup::new().server("Timeout never").argument("-D");
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("Timeout cannot be \"never\""), "{}", ended.log);
}

/// The account that gives no rights, and all its groups as the system's own files have them.
fn nobody() -> Option<(u32, u32, Vec<u32>)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> =
        passwd.lines().map(|line| line.split(':').collect()).find(|f: &Vec<&str>| f[0] == "nobody")?;
    let (uid, gid) = (fields[2].parse().ok()?, fields[3].parse().ok()?);
    let group = fs::read_to_string("/etc/group").ok()?;
    let mut groups = vec![gid];
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.len() == 4 && fields[3].split(',').any(|name| name == "nobody") {
            groups.push(fields[2].parse().ok()?);
        }
    }
    groups.sort_unstable();
    groups.dedup();
    Some((uid, gid, groups))
}

#[test]
fn the_rights_of_root_are_given_up_in_every_thread() {
    if !is_root() {
        return skipped("only root has rights to give up");
    }
    let Some((uid, gid, groups)) = nobody() else { return skipped("there is no account nobody") };
    for scheduler in ["Fair", "ReusePort"] {
        let setup = setup().server("User nobody").server(&format!("Scheduler {scheduler}"));
        // Written as root, in a directory of root's.
        let mut server = setup.server("PidFile ../monkey.pid").start();
        server.get("/a.txt").is(200);
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
        let mut threads = 0;
        for task in tasks.flatten() {
            threads += 1;
            let status = fs::read_to_string(task.path().join("status")).expect("its status");
            let ids = |name: &str| -> Vec<u32> {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
                line.split_whitespace().map(|id| id.parse().expect("an id")).collect()
            };
            assert_eq!(ids("Uid:"), [uid; 4], "real, effective, saved and file system: {scheduler}");
            assert_eq!(ids("Gid:"), [gid; 4], "{scheduler}");
            let mut have = ids("Groups:");
            have.sort_unstable();
            assert_eq!(have, groups, "{scheduler}");
            let capabilities = status.lines().filter(|line| line.starts_with("CapEff") || line.starts_with("CapPrm"));
            for line in capabilities {
                assert!(line.ends_with("0000000000000000"), "{scheduler}: {line}");
            }
        }
        assert_eq!(threads, 3, "a scheduler and two workers: {scheduler}");
        assert!(!server.logged("running as root"), "{scheduler}");
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0), "{scheduler}");
    }
}

#[test]
fn users_that_can_not_be() {
    if !is_root() {
        return skipped("only root can become somebody else");
    }
    let ended = Setup::new().server("User no-such-user-here").run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("User no-such-user-here: no such user in /etc/passwd"), "{}", ended.log);
    let ended = Setup::new().server("User root").run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("`User` is root: name an account without rights"), "{}", ended.log);
    assert!(Setup::new().start().logged("running as root: name a User in [SERVER]"), "a warning");
}

#[test]
fn threads_have_names() {
    let server = setup().start();
    let names = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
        let names = tasks.flatten().map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        let mut names: Vec<String> = names.map(|name| name.trim_end().to_string()).collect();
        names.sort();
        names
    };
    // Each gives itself its name, which may be after the server serves.
    assert!(eventually(|| names() == ["monkey: server", "monkey: wrk/0", "monkey: wrk/1"]), "{:?}", names());
}
