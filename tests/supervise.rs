use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::util::{
    Client, PATIENCE, Record, Server, Setup, eventually, is_gone, is_root, listening, pattern, received, signal,
    skipped,
};

fn setup() -> Setup {
    let setup = Setup::new().argument("--supervise").server("SendBuffer 131072");
    setup.file("a.txt", "alpha").file("big.bin", pattern(5_000_000))
}

/// The processes that a process has started and that have not ended.
fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |child: &u32| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // After the name in parentheses: state, parent.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.len() > 1 && fields[0] != "Z" && fields[1] == pid.to_string()
    };
    numbers.filter(is_child).collect()
}

/// The server of a keeper that has one.
#[track_caller]
fn only_child(keeper: u32) -> u32 {
    let mut found = Vec::new();
    assert!(
        eventually(|| {
            found = children(keeper);
            found.len() == 1
        }),
        "{found:?}"
    );
    found[0]
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Puts new text in place of the old in monkey.conf.
fn edit(server: &Server, old: &str, new: &str) {
    let path = server.dir.path("conf/monkey.conf");
    let text = fs::read_to_string(&path).expect("the file");
    assert!(text.contains(old), "no {old} in\n{text}");
    fs::write(path, text.replace(old, new)).expect("the file");
}

/// One request on a connection of its own: what came back, or at which step it failed and how.
fn ask(address: SocketAddr) -> Result<String, (&'static str, ErrorKind)> {
    let at = |step| move |error: std::io::Error| (step, error.kind());
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(at("connect"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(at("connect"))?;
    let request = b"GET /a.txt HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(at("send"))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(at("read"))?;
    match text.starts_with("HTTP/1.1 200") && text.ends_with("alpha") {
        true => Ok(text),
        false => Err(("answer", ErrorKind::InvalidData)),
    }
}

/// Runs `what` while three clients open one connection after the other; gives how many were answered, and what failed.
fn under_load(address: SocketAddr, what: impl FnOnce()) -> (u32, Vec<(&'static str, ErrorKind)>) {
    let (over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        match ask(address) {
                            Ok(_) => _ = answered.fetch_add(1, Ordering::Relaxed),
                            Err(error) => failed.push(error),
                        }
                    }
                    failed
                })
            })
            .collect();
        // However this ends: the clients are to end with it.
        let stop = StopAtDrop(&over);
        assert!(eventually(|| answered.load(Ordering::Relaxed) > 10), "no load");
        what();
        let now = answered.load(Ordering::Relaxed);
        assert!(eventually(|| answered.load(Ordering::Relaxed) > now + 10), "no answers after");
        drop(stop);
        for client in clients {
            failed.extend(client.join().expect("a client"));
        }
    });
    (answered.into_inner(), failed)
}

struct StopAtDrop<'a>(&'a AtomicBool);

impl Drop for StopAtDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_crash_is_no_outage() {
    for scheduler in ["Fair", "ReusePort"] {
        let setup = setup().server("PidFile ../monkey.pid").server(&format!("Scheduler {scheduler}"));
        let mut server = setup.start();
        let (keeper, first) = (server.pid(), only_child(server.pid()));
        let address = server.address();
        let (_, failed) = under_load(address, || {
            let killed = Instant::now();
            signal(first, "KILL");
            // One that it had may be reset; one that comes now is answered.
            assert!(eventually(|| !exists(first) || children(keeper) != [first]));
            ask(address).expect("an answer");
            assert!(killed.elapsed() < Duration::from_secs(10), "{scheduler}: {:?}", killed.elapsed());
        });
        assert!(failed.iter().all(|(step, _)| *step != "connect"), "{scheduler}: {failed:?}");
        assert!(failed.len() <= 20, "{scheduler}: only those it had: {failed:?}");
        let second = only_child(keeper);
        assert_ne!(first, second);
        let line = format!("server {first} died after ");
        assert!(server.logged(&line) && server.logged(": signal 9 (SIGKILL); another one starts in 0 ms"), "a line");
        assert!(eventually(|| server.logged(&format!("server {second} is up"))), "{scheduler}");
        // The PID file is the keeper's, and locked.
        let file = server.dir.path("monkey.pid");
        assert_eq!(fs::read_to_string(&file).expect("the PID file"), format!("{keeper}\n"));
        let words = ["-c".into(), server.dir.path("conf").into(), "-I".into(), file.clone().into()];
        let again = Server::run_to_end(Setup::new().argument("-p").argument("0").command_as_is(&words));
        assert_eq!(again.code, Some(1));
        assert!(again.log.contains(&format!("a server runs already as process {keeper}")), "{}", again.log);
        assert!(server.is_running(), "{scheduler}");
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0), "{scheduler}");
        assert!(!file.exists() && !exists(second), "{scheduler}");
        assert!(TcpStream::connect(address).is_err(), "{scheduler}: the port is free");
    }
}

#[test]
fn deaths_in_a_row_are_further_and_further_apart() {
    let server = setup().start();
    for pause in ["in 0 ms", "in 100 ms", "in 200 ms", "in 400 ms"] {
        signal(only_child(server.pid()), "SEGV");
        let line = format!("signal 11 (SIGSEGV); another one starts {pause}\n");
        assert!(eventually(|| server.logged(&line)), "no line: {line}");
        // Whoever comes meanwhile waits, and is answered.
        server.get("/a.txt").is(200);
    }
    assert_eq!(listening(&server.log()).len(), 1, "one socket all the time");
}

#[test]
fn the_end_of_both() {
    for name in ["TERM", "INT", "QUIT"] {
        let mut server = setup().server("PidFile ../monkey.pid").start();
        let child = only_child(server.pid());
        let mut download = server.client();
        download.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n").take(1);
        server.signal(name);
        let address = server.address();
        let refused = || TcpStream::connect_timeout(&address, PATIENCE).is_err();
        assert!(eventually(refused) && exists(child), "{name}: no new connections");
        assert!(download.rest().ends_with(&pattern(5_000_000)), "{name}");
        assert_eq!(server.ended(), Some(0), "{name}");
        assert!(refused() && !exists(child) && !server.dir.path("monkey.pid").exists(), "{name}");
        assert!(eventually(|| server.logged("INFO: stopped")), "{name}");
    }
    // Whoever ends the server in order means the whole of it.
    let mut server = setup().start();
    signal(only_child(server.pid()), "TERM");
    assert_eq!(server.ended(), Some(0));
    // While there is none it is at once.
    let mut server = setup().start();
    for _ in 0..5 {
        signal(only_child(server.pid()), "KILL");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn a_server_that_does_not_end_is_killed() {
    let mut server = setup().server("Timeout 1").server("PidFile ../monkey.pid").start();
    let child = only_child(server.pid());
    signal(child, "STOP");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(server.logged("WARN: not ended in time: the server is killed"), "a line");
    assert!(!exists(child) && !server.dir.path("monkey.pid").exists());
}

#[test]
fn no_server_stays_behind_without_its_keeper() {
    for user in [None, Some("User nobody")] {
        if user.is_some() && !is_root() {
            skipped("only root can become somebody else");
            continue;
        }
        let setup = user.into_iter().fold(setup().server("PidFile ../monkey.pid"), Setup::server);
        let mut server = setup.start();
        let (child, address) = (only_child(server.pid()), server.address());
        server.get("/a.txt").is(200);
        server.signal("KILL");
        assert_eq!(server.ended(), None);
        is_gone(child);
        assert!(TcpStream::connect(address).is_err(), "{user:?}");
        // The lock went with it.
        let setup = Setup::new().listen(&address.to_string());
        let words = ["-I".into(), server.dir.path("monkey.pid").into()];
        let mut command = setup.command();
        command.args::<_, OsString>(words);
        let next = Server::start(setup.dir, command, Record::default());
        next.get("/").is(403);
    }
}

#[test]
fn what_can_change_in_place_does_and_outlives_a_crash() {
    let server = setup().start();
    let child = only_child(server.pid());
    edit(&server, "SendBuffer 131072\n", "SendBuffer 131072\n    HideVersion On\n");
    server.reload();
    let hidden = || server.get("/a.txt").is(200).field("Server") == Some("Monkey");
    assert!(eventually(hidden));
    assert_eq!(only_child(server.pid()), child, "the same server");
    // What is in the files when it dies does not count before it is asked for.
    std::thread::sleep(Duration::from_millis(200));
    edit(&server, "HideVersion On", "HideVersion maybe");
    signal(child, "KILL");
    assert!(eventually(|| server.logged(" is up\n")));
    assert!(hidden());
    server.reload();
    assert!(server.logged("HideVersion cannot be \"maybe\""), "told");
    assert!(server.logged("ERROR: reload refused: 1 error; the server goes on as it was"), "told");
    assert!(hidden());
}

#[test]
fn what_can_not_change_in_place_is_handed_over() {
    for (scheduler, other) in [("Fair", "ReusePort"), ("ReusePort", "Fair")] {
        let server = setup().server(&format!("Scheduler {scheduler}")).server("MemoryLimit 4000").start();
        let first = only_child(server.pid());
        let mut download = server.client();
        download.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n").take(1);
        let workers = |pid: u32| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
            tasks
                .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.contains("wrk")))
                .count()
        };
        let (answered, failed) = under_load(server.address(), || {
            for (old, new) in [
                ("Workers 2", "Workers 3"),
                ("Workers 3", "Workers 1"),
                (&format!("Scheduler {scheduler}"), &format!("Scheduler {other}")),
                ("MemoryLimit 4000", "MemoryLimit 5000"),
            ] {
                edit(&server, old, new);
                server.reload();
                assert!(!server.logged("refused"), "{new}");
            }
        });
        assert_eq!(failed, [], "{scheduler}: {answered} answered");
        assert_eq!(server.log().matches("configuration reloaded: server ").count(), 4, "{scheduler}");
        // The first one is there for as long as it has something to finish.
        assert!(exists(first) && children(server.pid()).len() > 1, "{scheduler}");
        assert!(download.rest().ends_with(&pattern(5_000_000)), "{scheduler}");
        let last = only_child(server.pid());
        assert_eq!(workers(last), 1, "{scheduler}");
        // It dies like any other.
        signal(last, "KILL");
        ask(server.address()).expect("an answer");
        assert_eq!(listening(&server.log()).len(), 1, "{scheduler}: one place all the time");
    }
}

#[test]
fn listeners_come_and_go_with_a_hand_over() {
    for scheduler in ["Fair", "ReusePort"] {
        let setup = setup().listen("127.0.0.1:0").listen("127.0.0.2:0").server(&format!("Scheduler {scheduler}"));
        let server = setup.start();
        let (kept, closed) = (server.addresses[0], server.addresses[1]);
        let (_, failed) = under_load(kept, || {
            edit(&server, "Listen 127.0.0.2:0", "Listen 127.0.0.3:0");
            server.reload();
        });
        assert_eq!(failed, [], "{scheduler}");
        let opened = listening(&server.log())[2];
        assert_eq!(opened.ip().to_string(), "127.0.0.3");
        ask(opened).expect("an answer");
        assert!(server.logged(&format!("no longer listening on {closed}")), "{scheduler}");
        assert!(eventually(|| TcpStream::connect_timeout(&closed, PATIENCE).is_err()), "{scheduler}");
        signal(only_child(server.pid()), "KILL");
        for address in [kept, opened] {
            ask(address).expect("an answer");
        }
    }
}

#[test]
fn a_hand_over_has_the_rights_of_the_keeper() {
    if !is_root() {
        return skipped("only root has rights to give up");
    }
    let server = setup().server("User nobody").start();
    let uid = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        status.lines().find_map(|line| line.strip_prefix("Uid:\t")).map(str::to_string).expect("its user")
    };
    assert_ne!(uid(only_child(server.pid())), "0\t0\t0\t0");
    assert_eq!(uid(server.pid()), "0\t0\t0\t0");
    edit(&server, "User nobody", "User 4321");
    server.reload();
    assert!(eventually(|| uid(only_child(server.pid())) == "4321\t4321\t4321\t4321"));
    // A port that the server itself can not have any more. One that is taken here is as good a test of what follows.
    let free = (700..1000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port");
    edit(&server, "Listen 127.0.0.1:0\n", &format!("Listen 127.0.0.1:0\n    Listen 127.0.0.1:{free}\n"));
    server.reload();
    ask(SocketAddr::from(([127, 0, 0, 1], free))).expect("an answer");
}

#[test]
fn a_second_server_that_can_not_be_changes_nothing() {
    let busy = Setup::new().start();
    let server = start_with_little_memory(setup());
    let child = only_child(server.pid());
    let text = fs::read_to_string(server.dir.path("conf/monkey.conf")).expect("the file");
    let place = format!("    Listen {}\n", busy.address());
    for (line, told) in [
        (place.as_str(), "cannot listen on 127.0.0.1:"),
        ("    MemoryLimit 600\n    Workers 9\n", "reload refused: MemoryLimit 600 KB is too little"),
        ("    User no-such-user\n", "reload refused: User no-such-user: no such user"),
        ("    PidFile ../other.pid\n    FDT Off\n", "reload refused: needs restart: PidFile"),
        ("    MemoryLimit 1048576\n", "reload refused: the new server did not come up: exit status 1"),
    ] {
        if line.contains("User") && !is_root() {
            continue;
        }
        fs::write(server.dir.path("conf/monkey.conf"), format!("{text}{line}")).expect("the file");
        server.reload();
        assert!(server.logged(told), "no line: {told}");
        assert_eq!(only_child(server.pid()), child, "{line}");
        ask(server.address()).expect("an answer");
    }
    // What was refused is not what comes after a crash.
    signal(child, "KILL");
    ask(server.address()).expect("an answer");
    assert!(!server.logged("1048576 KB:"), "the old limit");
}

/// Starts a server whose process may have 600 MB of address space.
#[track_caller]
fn start_with_little_memory(setup: Setup) -> Server {
    let command = with_little_memory(&setup);
    Server::start(setup.dir, command, Record::default())
}

fn with_little_memory(setup: &Setup) -> Command {
    let plain = setup.command();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 600000; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    command
}

#[test]
fn a_server_that_never_comes_up_is_the_end_of_the_keeper() {
    for word in ["--supervise", "-D"] {
        let setup = Setup::new().argument(word).server("MemoryLimit 1048576").server("PidFile ../monkey.pid");
        let ended = Server::run_to_end(with_little_memory(&setup));
        assert_eq!(ended.code, Some(1), "{word}: {}", ended.log);
        let last = ended.log.lines().last();
        assert_eq!(last, Some("monkey: the server did not come up: exit status 1"), "{word}: {}", ended.log);
        assert!(!ended.log.contains("another one starts"), "{word}: {}", ended.log);
        assert!(!setup.dir.path("monkey.pid").exists(), "{word}");
    }
    let busy = Setup::new().start();
    let ended = Setup::new().argument("--supervise").listen(&busy.address().to_string()).run();
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.lines().last().is_some_and(|line| line.contains("cannot listen on ")), "{}", ended.log);
}

#[test]
fn the_service_manager_knows_the_keeper() {
    let setup = setup();
    let path = setup.dir.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let heard = || {
        let mut bytes = [0; 512];
        let count = received(&socket, &mut bytes).expect("word from the keeper");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    };
    let mut server = setup.environment("NOTIFY_SOCKET", path).start();
    let ready = format!("READY=1\nSTATUS=serving\nMAINPID={}\n", server.pid());
    let refused = ready.replace("serving", "serving; the last reload was refused, the log says why");
    assert_eq!(heard(), ready);
    // A crash is none of its business.
    signal(only_child(server.pid()), "KILL");
    server.get("/a.txt").is(200);
    assert!(eventually(|| server.logged(" is up\n")));
    for (old, new) in
        [("SendBuffer 131072", "SendBuffer 65536"), ("Workers 2", "Workers 1"), ("Workers 1", "Workers x")]
    {
        edit(&server, old, new);
        server.reload();
        let reloading = heard();
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{new}: {reloading:?}");
        assert_eq!(heard(), if new == "Workers x" { &*refused } else { &*ready }, "{new}");
    }
    // A reload that the server died in is over, too, and not tried again.
    let child = only_child(server.pid());
    signal(child, "STOP");
    server.signal("HUP");
    assert!(heard().starts_with("RELOADING=1\n"));
    signal(child, "KILL");
    assert_eq!(heard(), refused);
    assert!(eventually(|| server.logged("reload refused: the server died before it was done")));
    server.get("/a.txt").is(200);
    server.signal("TERM");
    assert_eq!(heard(), "STOPPING=1\n");
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn the_keeper_is_one_thread_with_a_name() {
    let server = setup().start();
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).expect("a name");
    assert_eq!(name(server.pid()), "monkey: keeper\n");
    assert_eq!(name(only_child(server.pid())), "monkey: server\n");
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
    assert_eq!(tasks.count(), 1);
    // Signals without a meaning for it do not end it, nor its server.
    for name in ["PIPE", "USR1", "CHLD"] {
        server.signal(name);
    }
    assert!(eventually(|| server.logged("signal USR1: ")), "passed on");
    server.get("/a.txt").is(200);
}

#[test]
fn a_crash_in_the_background() {
    let setup = Setup::new().file("a.txt", "alpha").server("PidFile ../monkey.pid").argument("-D");
    let ended = setup.run();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let text = fs::read_to_string(setup.dir.path("monkey.pid")).expect("a PID file");
    let keeper: u32 = text.trim_end().parse().expect("a process id");
    let end = EndAtDrop(keeper);
    let first = only_child(keeper);
    let null = Path::new("/dev/null");
    let stdio = |pid: u32| (0..3).all(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|to| to == null));
    assert!(stdio(keeper) && stdio(first));
    let address = listening(&ended.log)[0];
    signal(first, "KILL");
    let mut client = Client::new(address, Record::default());
    client.get("/a.txt").is(200);
    let second = only_child(keeper);
    assert!(second != first && stdio(second));
    drop(end);
    is_gone(keeper);
    is_gone(second);
    assert!(!setup.dir.path("monkey.pid").exists());
}

struct EndAtDrop(u32);

impl Drop for EndAtDrop {
    fn drop(&mut self) {
        signal(self.0, "TERM");
    }
}

/// Opens sockets as descriptors 3 and on, and becomes the server: what a service manager does.
const ACTIVATE: &str = "
import os, socket, sys
kept = []
for number, place in enumerate(sys.argv[1].split()):
    if place == 'unix':
        opened = socket.socket(socket.AF_UNIX)
        opened.bind('')
    else:
        opened = socket.socket()
        opened.bind((place, 0))
    opened.listen(16)
    kept.append(opened)
for number, opened in enumerate(kept):
    kept[number] = os.dup2(opened.fileno(), 100 + number, inheritable=False)
for number, fd in enumerate(kept):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ['LISTEN_PID'] = str(os.getpid())
os.environ['LISTEN_FDS'] = str(len(kept))
os.environ['LISTEN_FDNAMES'] = 'web'
os.execv(sys.argv[2], sys.argv[2:])
";

/// The command of a setup, started with sockets at these addresses; none where there is no python3.
fn activated(setup: &Setup, places: &str) -> Option<Command> {
    if !crate::util::run("python3", &["-c", ""]) {
        skipped("there is no python3 to pass sockets");
        return None;
    }
    let plain = setup.command();
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATE, places]).arg(plain.get_program()).args(plain.get_args());
    Some(command)
}

#[test]
fn sockets_of_a_service_manager() {
    for word in [None, Some("--supervise")] {
        for scheduler in ["Fair", "ReusePort"] {
            let what = format!("{word:?} {scheduler}");
            let setup = Setup::new().file("a.txt", "alpha").listen("127.0.0.9:1").server("SendBuffer 131072");
            let setup = word.into_iter().fold(setup.server(&format!("Scheduler {scheduler}")), Setup::argument);
            let Some(command) = activated(&setup, "127.0.0.1 127.0.0.2") else { return };
            let server = Server::start(setup.dir, command, Record::default());
            let addresses = server.addresses.clone();
            let line = format!("instead of the Listen lines: {}, {}\n", addresses[0], addresses[1]);
            assert!(server.logged(&line), "{what}: no line: {line}");
            assert_eq!(addresses.len(), 2, "{what}");
            let answers = || addresses.iter().for_each(|address| _ = ask(*address).expect("an answer"));
            answers();
            let pid = if word.is_some() { only_child(server.pid()) } else { server.pid() };
            let environment = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("its command line");
            assert!(environment.contains("monkey"), "{what}");
            // A reload leaves them alone, whatever the Listen lines say.
            edit(&server, "Listen 127.0.0.9:1", "Listen 127.0.0.9:2\n    HideVersion On");
            server.reload();
            assert!(server.logged("INFO: configuration reloaded\n"), "{what}");
            answers();
            if word.is_some() {
                signal(only_child(server.pid()), "KILL");
                answers();
                edit(&server, "Workers 2", "Workers 1");
                let (_, failed) = under_load(addresses[1], || server.reload());
                assert_eq!(failed, [], "{what}");
                assert!(server.logged("configuration reloaded: server "), "{what}");
                answers();
            }
        }
    }
    // In the background the process is another one, and the sockets are the same.
    let setup = Setup::new().file("a.txt", "alpha").server("PidFile ../monkey.pid").argument("-D");
    let Some(command) = activated(&setup, "127.0.0.1") else { return };
    let ended = Server::run_to_end(command);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let text = fs::read_to_string(setup.dir.path("monkey.pid")).expect("a PID file");
    let end = EndAtDrop(text.trim_end().parse().expect("a process id"));
    ask(listening(&ended.log)[0]).expect("an answer");
    drop(end);
    assert!(eventually(|| !setup.dir.path("monkey.pid").exists()));
}

#[test]
fn what_can_not_be_listened_on_is_refused() {
    for word in [None, Some("--supervise")] {
        let setup = word.into_iter().fold(Setup::new(), Setup::argument);
        let Some(command) = activated(&setup, "127.0.0.1 unix") else { return };
        let ended = Server::run_to_end(command);
        assert_eq!(ended.code, Some(1), "{}", ended.log);
        let line = "monkey: LISTEN_FDS: descriptor 4 is not a listening TCP socket: ";
        assert!(ended.log.lines().last().is_some_and(|last| last.starts_with(line)), "{}", ended.log);
    }
}
