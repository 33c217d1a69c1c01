use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::util::{
    Client, PATIENCE, Server, Setup, eventually, is_gone, is_root, listening, lives, parent, signal, skipped,
    spawner_below, spawners,
};

/// A server with a spawner, and one worker.
fn setup() -> Setup {
    Setup::new()
        .workers(1)
        .server("MaxKeepAliveRequest 100000")
        .host("ServerName test spawn.test")
        .file("a.txt", "alpha")
}

/// What programs came to, in the words of the handler `spawn`: `exited 0`.
struct Orders {
    client: Client,
    last: HashMap<u32, String>,
    pids: HashMap<u32, u32>,
}

impl Orders {
    fn of(server: &Server) -> Orders {
        Orders { client: server.client(), last: HashMap::new(), pids: HashMap::new() }
    }

    /// Orders a program with these fields more. Gives the status and text of the answer.
    #[track_caller]
    fn start(&mut self, id: u32, words: &[&str], fields: &str) -> (u16, String) {
        let mut all = format!("X-Id: {id}\r\nX-Program: {}\r\n{fields}", words[0]);
        words.iter().for_each(|word| all.push_str(&format!("X-Argument: {word}\r\n")));
        let answer = self.client.ask("GET /.spawn/start", &all);
        (answer.status, answer.text().to_string())
    }

    #[track_caller]
    fn shell(&mut self, id: u32, script: &str, fields: &str) {
        assert_eq!(self.start(id, &["/bin/sh", "-c", script], fields).0, 200);
    }

    /// Hears what there is to hear. False = the spawner is gone.
    #[track_caller]
    fn hear(&mut self) -> bool {
        let answer = self.client.ask("GET /.spawn/answers", "");
        for line in answer.text().lines().filter(|_| answer.status == 200) {
            let (id, became) = line.split_once(' ').expect(line);
            let id = id.parse().expect("an id");
            match became.strip_prefix("started ") {
                Some(pid) => {
                    assert!(!self.last.contains_key(&id), "started last: {line}");
                    assert!(self.pids.insert(id, pid.parse().expect("a pid")).is_none(), "twice: {line}");
                }
                None => assert!(self.last.insert(id, became.into()).is_none(), "twice: {line}"),
            }
        }
        answer.status == 200
    }

    /// Waits until a program's process is known.
    #[track_caller]
    fn pid(&mut self, id: u32) -> u32 {
        assert!(eventually(|| self.hear() && self.pids.contains_key(&id)), "{id} does not start");
        self.pids[&id]
    }

    /// Waits for a program's end, and tells what is known of it.
    #[track_caller]
    fn ended(&mut self, id: u32) -> String {
        assert!(eventually(|| self.hear() && self.last.contains_key(&id)), "{id} does not end");
        let (known, end) = (self.pids.remove(&id).is_some(), self.last.remove(&id).expect("its end"));
        // Those that there is no room for, and that may not be, have no process.
        assert!(known || ["failed 11", "failed 13"].contains(&end.as_str()), "{id} was never started: {end}");
        end
    }

    /// Everything that a program writes.
    #[track_caller]
    fn output(&mut self, id: u32) -> String {
        let (mut text, begun) = (Vec::new(), Instant::now());
        loop {
            let answer = self.client.ask("GET /.spawn/output", &format!("X-Id: {id}\r\n"));
            if answer.status == 410 {
                return String::from_utf8(text).expect("a text");
            }
            assert_eq!(answer.status, 200);
            if answer.body.is_empty() {
                assert!(begun.elapsed() < PATIENCE, "no end of {}", text.escape_ascii());
                std::thread::sleep(Duration::from_millis(5));
            }
            text.extend(answer.body);
        }
    }

    /// A shell script to its end: what it wrote.
    #[track_caller]
    fn run(&mut self, script: &str, fields: &str) -> String {
        self.shell(400, script, fields);
        let text = self.output(400);
        assert_eq!(self.ended(400), "exited 0", "{text}");
        text
    }
}

#[track_caller]
fn spawner(server: &Server) -> u32 {
    spawner_below(server.pid())
}

#[test]
fn output_comes_through_and_the_end_is_told() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    let script = "echo one; echo two >&2; echo \"$0 $1 $#\"; pwd; umask; cat; echo $A-$B; exit 7";
    let fields = "X-Argument: zero\r\nX-Argument: first\r\nX-Variable: A=1\r\nX-Variable: B=x y\r\nX-Input: typed\r\nX-Directory: /tmp\r\n";
    // The words after the script come as fields of their own.
    let answer = orders.client.ask(
        "GET /.spawn/start",
        &format!(
            "X-Id: 3\r\nX-Program: /bin/sh\r\nX-Argument: sh\r\nX-Argument: -c\r\nX-Argument: {script}\r\n{fields}"
        ),
    );
    assert_eq!(answer.status, 200);
    assert_eq!(orders.output(3), "one\ntwo\nzero first 1\n/tmp\n0022\ntyped1-x y\n");
    let pid = orders.pid(3);
    assert_eq!(orders.ended(3), "exited 7");
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "not waited for");
    orders.shell(4, "kill -TERM $$", "");
    assert_eq!(orders.ended(4), "killed 15");
    // An output larger than a pipe holds the program back until it is read.
    orders.shell(5, "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done", "");
    assert_eq!(orders.output(5).len(), 220_000);
    assert_eq!(orders.ended(5), "exited 0");
    assert_eq!(server.get("/a.txt").text(), "alpha");
}

#[test]
fn what_can_not_be_run_says_why() {
    let setup = setup().file("plain", "#!/bin/sh\n").file("broken", "#!/no/such/interpreter\n").file("empty", "");
    for name in ["broken", "empty"] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(setup.root(name), fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let server = setup.start();
    let mut orders = Orders::of(&server);
    let at = |name: &str| server.root(name).display().to_string();
    let (noent, acces, noexec, notdir) = (2, 13, 8, 20);
    let cases = [
        (at("nothing"), noent),
        (at("plain"), acces),
        (at("."), acces),
        (at("broken"), noent),
        (at("empty"), noexec),
        (at("plain/x"), notdir),
    ];
    for (number, (path, errno)) in (1..).zip(&cases) {
        assert_eq!(orders.start(number, &[path, "x"], "").0, 200);
        assert_eq!(orders.ended(number), format!("failed {errno}"), "{path}");
    }
    orders.shell(20, "true", "X-Directory: /no/such\r\n");
    assert_eq!(orders.ended(20), format!("failed {noent}"));
    orders.shell(21, "true", "X-User: 9\r\n");
    assert_eq!(orders.ended(21), format!("failed {acces}"), "a user that nobody configured");
    // A program that ends with the status of one that can not be run has run.
    orders.shell(22, "exit 127", "");
    assert_eq!(orders.ended(22), "exited 127");
    let mut client = server.client();
    let answer = client.ask("GET /.spawn/start", "X-Id: 1\r\nX-Program: /bin/true\r\n");
    assert_eq!((answer.status, answer.text()), (503, "7"), "no arguments: E2BIG stands for all that is no order");
    assert_eq!(orders.run("echo fine", ""), "fine\n");
}

#[test]
fn a_program_has_nothing_of_the_server() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    let script = "exec ls -l /proc/self/fd /proc/self/cwd";
    let listed = orders.run(script, "X-Input: x\r\n");
    let pipes = listed.lines().filter(|line| line.contains("pipe:")).count();
    assert_eq!(pipes, 3, "{listed}");
    assert!(!listed.contains("socket:") && !listed.contains("anon_inode"), "{listed}");
    // The directory that is listed is the only other one.
    assert_eq!(listed.lines().filter(|line| line.contains(" -> ")).count(), 5, "{listed}");
    assert!(orders.run("readlink /proc/self/fd/0", "").contains("/dev/null"));
    let flags = orders.run("exec cat /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2", "X-Input: x\r\n");
    let of = |line: &str| line.strip_prefix("flags:").and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    let flags: Vec<u32> = flags.lines().filter_map(of).collect();
    assert!(flags.len() == 3 && flags.iter().all(|flags| flags & 0o4000 == 0), "one never blocks: {flags:?}");
    // Signals: nothing is blocked or ignored, though the server does both. Environment: what was ordered.
    let status = orders.run("exec cat /proc/self/status", "");
    for name in ["SigBlk:", "SigIgn:", "SigPnd:"] {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).expect(name).trim();
        // Those from 32 on are the C library's: what a process was started with can not be changed by its means.
        assert_eq!(u64::from_str_radix(set, 16).expect("a set") & 0x7fff_ffff, 0, "{name} {status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(
        orders.run("exec env", "X-Variable: ONLY=1\r\n").lines().filter(|line| !line.starts_with("PWD=")).count(),
        1
    );
    // A group and session of its own: fields after the name are state, parent, group, session.
    orders.shell(2, "exec cat /proc/self/stat", "");
    let pid = orders.pid(2).to_string();
    let stat = orders.output(2);
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    assert_eq!((fields[2], fields[3], fields[4]), (pid.as_str(), pid.as_str(), "0"));
    assert_eq!(fields[1], spawner(&server).to_string());
}

#[test]
fn limits_hold_a_program() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    let limits = orders.run("ulimit -c; ulimit -v; ulimit -t; ulimit -n", "X-Limits: 500000 20 0 33 0\r\n");
    assert_eq!(limits, "0\n500000\n20\n33\n");
    assert_eq!(orders.run("ulimit -n", ""), "1024\n");
    let nice = |text: String| text.split_whitespace().nth(18).map(str::to_string);
    let own = nice(fs::read_to_string("/proc/self/stat").expect("stat"));
    assert_eq!(nice(orders.run("exec cat /proc/self/stat", "X-Limits: 0 0 0 0 7\r\n")).as_deref(), Some("7"));
    assert_eq!(nice(orders.run("exec cat /proc/self/stat", "")), own);
    orders.shell(2, "while :; do :; done", "X-Limits: 0 1 0 0 0\r\n");
    let end = orders.ended(2);
    assert!(end == "killed 24" || end == "killed 9", "{end}");
    let score = |path: &str| fs::read_to_string(path).expect("a score").trim().parse::<i32>().expect("a number");
    let own = score("/proc/self/oom_score_adj");
    let raised = orders.run("cat /proc/self/oom_score_adj", "");
    assert_eq!(raised.trim().parse::<i32>().expect("a number"), (own + 500).min(1000));
    assert_eq!(score(&format!("/proc/{}/oom_score_adj", spawner(&server))), own);
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    orders.shell(1, "sleep 1000 & echo $!; wait", "");
    let pid = orders.pid(1);
    let mut text = String::new();
    assert!(eventually(|| {
        text += orders.client.ask("GET /.spawn/output", "X-Id: 1\r\n").text();
        text.ends_with('\n')
    }));
    let child: u32 = text.trim().parse().expect("a pid");
    assert!(lives(pid) && lives(child));
    let order = |orders: &mut Orders, id: u32| {
        orders.client.ask("GET /.spawn/signal", &format!("X-Id: {id}\r\nX-Signal: 9\r\n")).is(200);
    };
    order(&mut orders, 2);
    order(&mut orders, 0);
    assert!(orders.hear() && lives(pid), "another one's id");
    order(&mut orders, 1);
    assert_eq!(orders.ended(1), "killed 9");
    is_gone(child);
    order(&mut orders, 1);
    assert_eq!(orders.run("echo fine", ""), "fine\n");
}

#[test]
fn two_hundred_at_once_and_one_more_than_there_is_room_for() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    let resting = server.descriptors();
    for id in 0..200 {
        orders.shell(id, "cat; sleep 0.2; echo x", "X-Input: in\r\n");
    }
    assert_eq!(server.get("/a.txt").text(), "alpha");
    for id in 0..200 {
        assert_eq!(orders.output(id), "inx\n");
        assert_eq!(orders.ended(id), "exited 0");
    }
    // 256 is what the handler asked for; the one that starts by itself is over.
    for id in 0..256 {
        orders.shell(id, "exec sleep 1000", "");
    }
    orders.shell(256, "true", "");
    assert_eq!(orders.ended(256), "failed 11", "EAGAIN");
    let all: Vec<u32> = (0..256).map(|id| orders.pid(id)).collect();
    for id in 0..256 {
        orders.client.ask("GET /.spawn/signal", &format!("X-Id: {id}\r\nX-Signal: 15\r\n")).is(200);
    }
    (0..256).for_each(|id| assert_eq!(orders.ended(id), "killed 15"));
    all.into_iter().for_each(is_gone);
    (0..257).for_each(|id| drop(orders.output(id)));
    let left = || server.descriptors().saturating_sub(resting);
    assert!(eventually(|| left() <= 257), "{} ends of pipes are left open", left());
    assert_eq!(fs::read_dir(format!("/proc/{}/fd", spawner(&server))).map_or(0, Iterator::count), 3 + 1 + 2 + 2 + 1);
}

#[test]
fn ends_all_at_once_are_all_told() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    for round in 0..3 {
        let gate = server.root(&format!("gate{round}"));
        let script = format!("until [ -e {} ]; do sleep 0.05; done; exit 5", gate.display());
        (0..100).for_each(|id| orders.shell(id, &script, ""));
        // Those that end while nobody hears.
        (100..200).for_each(|id| orders.shell(id, "exit 6", ""));
        fs::write(gate, "").expect("a file");
        std::thread::sleep(Duration::from_millis(200));
        for id in 0..200 {
            assert_eq!(orders.ended(id), if id < 100 { "exited 5" } else { "exited 6" });
        }
        assert!(orders.hear() && orders.last.is_empty() && orders.pids.is_empty());
    }
}

/// Answers are not heard until there is no room for more: none is lost.
#[test]
fn nothing_is_lost_when_nobody_hears() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    // With a process that can not run it, which are two answers each, and without one.
    for (fields, what) in [("", "failed 2"), ("X-User: 9\r\n", "failed 13")] {
        let mut waiting = Vec::new();
        for id in 1000..4000 {
            let (status, errno) = orders.start(id, &["/no/such"], fields);
            if status == 503 {
                assert_eq!(errno, "11", "EAGAIN");
                break;
            }
            waiting.push(id);
        }
        assert!((300..3000).contains(&waiting.len()), "{}", waiting.len());
        for id in waiting {
            let end = orders.ended(id);
            assert!(end == what || end == "failed 11", "{end}");
        }
    }
    assert_eq!(orders.run("echo fine", ""), "fine\n");
}

#[test]
fn the_server_says_that_its_spawner_died_and_serves_on() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    orders.shell(1, "exec sleep 1000", "");
    let (pid, dead) = (orders.pid(1), spawner(&server));
    signal(dead, "KILL");
    assert!(eventually(|| server.logged("the spawner") && server.logged("died: signal 9 (SIGKILL); no programs")));
    is_gone(pid);
    assert!(!Path::new(&format!("/proc/{dead}")).exists(), "not waited for");
    assert!(!orders.hear());
    assert_eq!(orders.start(2, &["/bin/true", "true"], ""), (503, "32".into()), "EPIPE");
    assert!(eventually(|| server.logged("herald 1: Readable errno 32")), "the worker was not woken");
    assert_eq!(server.get("/a.txt").text(), "alpha");
    let used = server.cpu_ms();
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.cpu_ms() - used < 100, "woken again and again");
}

#[test]
fn programs_end_with_the_server_however_that_ends() {
    for name in ["KILL", "TERM"] {
        let mut server = setup().server("Timeout 1").start();
        let mut orders = Orders::of(&server);
        orders.shell(1, "trap '' TERM; sleep 1000 & echo x; wait", "");
        let (pid, spawner) = (orders.pid(1), spawner(&server));
        assert!(eventually(|| orders.client.ask("GET /.spawn/output", "X-Id: 1\r\n").text() == "x\n"));
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let below: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        assert_eq!(below.len(), 1, "{children}");
        // To the spawner itself it is nothing.
        signal(spawner, "TERM");
        assert_eq!(orders.run("echo fine", ""), "fine\n");
        drop(orders);
        server.signal(name);
        server.ended();
        if name == "TERM" {
            assert!(!lives(spawner) && !lives(pid), "not waited for");
        }
        [spawner, pid, below[0]].into_iter().for_each(is_gone);
    }
}

#[test]
fn a_worker_is_woken_by_an_answer() {
    let server = setup().start();
    assert!(eventually(|| server.logged("herald: Some(Ok(()))")));
    assert!(eventually(|| server.logged("herald 1: Readable Answer { id: 1, became: Ended(Exited(9)) }")));
    assert!(server.logged("herald 1: Readable Answer { id: 1, became: Started("));
}

#[test]
fn there_is_none_without_a_need_and_a_reload_can_not_make_one() {
    let server = Setup::new().workers(1).file("a.txt", "alpha").start();
    assert!(spawners(server.pid()).is_empty());
    let mut orders = Orders::of(&server);
    assert_eq!(orders.start(1, &["/bin/true", "true"], ""), (503, "32".into()));
    let path = server.dir.path("conf/sites/default");
    let text = fs::read_to_string(&path).expect("the site");
    fs::write(&path, text.replace("ServerName test", "ServerName test spawn.test")).expect("the site");
    server.reload();
    assert!(server.logged("needs restart: memory of a handler, programs to be started"), "{}", server.log());
    assert!(spawners(server.pid()).is_empty());
    fs::write(&path, text).expect("the site");
    server.reload();
    assert!(server.logged("configuration reloaded"));
}

#[test]
fn a_reload_leaves_programs_alone() {
    let server = setup().start();
    let mut orders = Orders::of(&server);
    orders.shell(1, "sleep 0.5; echo later", "");
    let (pid, before) = (orders.pid(1), spawner(&server));
    server.reload();
    assert!(server.logged("configuration reloaded"), "{}", server.log());
    assert!(lives(pid));
    assert_eq!(spawner(&server), before);
    assert_eq!(orders.output(1), "later\n");
    assert_eq!(orders.ended(1), "exited 0");
}

#[test]
fn with_a_keeper_a_reload_makes_one_and_a_death_another() {
    let server = Setup::new().workers(1).file("a.txt", "alpha").argument("--supervise").start();
    assert!(spawners(server.pid()).is_empty());
    let path = server.dir.path("conf/sites/default");
    let text = fs::read_to_string(&path).expect("the site");
    fs::write(&path, text.replace("ServerName test", "ServerName test spawn.test")).expect("the site");
    server.reload();
    assert!(
        server.logged("another server is to take over: memory of a handler, programs to be started"),
        "{}",
        server.log()
    );
    let first = spawner(&server);
    let mut orders = Orders::of(&server);
    orders.shell(1, "exec sleep 1000", "");
    let pid = orders.pid(1);
    assert_eq!(parent(parent(first)), server.pid(), "not of the server, which is of the keeper");
    signal(parent(first), "KILL");
    assert!(eventually(|| server.logged("another one starts in")));
    [first, pid].into_iter().for_each(is_gone);
    let second = spawner(&server);
    assert_ne!(second, first);
    assert!(eventually(|| server.logged(" is up")));
    let mut orders = Orders::of(&server);
    assert_eq!(orders.run("echo fine", ""), "fine\n");
    // And one that died alone comes back by a reload.
    signal(second, "KILL");
    assert!(eventually(|| server.logged("the spawner")));
    server.reload();
    assert_ne!(spawner(&server), second);
    assert_eq!(Orders::of(&server).run("echo fine", ""), "fine\n");
}

#[test]
fn in_the_background_it_holds_on_to_nothing() {
    let setup = setup().server("PidFile ../monkey.pid").argument("-D");
    // Comes back when nobody has its standard error open any more.
    let ended = setup.run();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let keeper: u32 =
        fs::read_to_string(setup.dir.path("monkey.pid")).expect("a PID file").trim().parse().expect("a pid");
    let spawner = spawner_below(keeper);
    let link = |name: &str| fs::read_link(format!("/proc/{spawner}/{name}")).expect("a link");
    assert_eq!(link("cwd"), Path::new("/"));
    for fd in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(fd), Path::new("/dev/null"), "{fd}");
    }
    let mut orders = Orders {
        client: Client::new(listening(&ended.log)[0], Default::default()),
        last: HashMap::new(),
        pids: HashMap::new(),
    };
    assert_eq!(orders.run("echo fine", ""), "fine\n");
    signal(keeper, "TERM");
    [spawner, keeper].into_iter().for_each(is_gone);
}

#[test]
fn programs_stay_in_a_chroot() {
    if !is_root() {
        return skipped("only root can change its root directory");
    }
    let setup = setup().server("Chroot ..");
    let needs = Command::new("ldd").arg("/bin/sh").output();
    let Ok(needs) = needs else { return skipped("no ldd(1) to tell what a shell needs") };
    let text = String::from_utf8(needs.stdout).expect("a text");
    for path in text.split_whitespace().filter(|word| word.starts_with('/')).chain(["/bin/sh"]) {
        let inside = setup.dir.path(path.trim_start_matches('/'));
        fs::create_dir_all(inside.parent().expect("a directory")).expect("a directory");
        fs::copy(path, inside).expect("a copy");
    }
    let server = setup.start();
    let mut orders = Orders::of(&server);
    // The shell does all of it by itself: nothing else is there.
    let listed = orders.run("echo /*; cd ..; pwd; read line < root/a.txt; echo $line", "X-Directory: /root\r\n");
    assert!(listed.contains("/conf") && !listed.contains("/etc") && listed.ends_with("\n/\nalpha\n"), "{listed}");
    assert_eq!(orders.start(2, &["/bin/true", "true"], "").0, 200);
    assert_eq!(orders.ended(2), "failed 2", "outside there is one");
}

#[cfg(feature = "sandbox")]
#[test]
fn the_sandbox_does_not_hold_programs() {
    let server = setup().start();
    if !server.logged("sandbox: landlock version") {
        return skipped("the kernel has no landlock");
    }
    let secret = server.dir.path("secret");
    fs::write(&secret, "told").expect("a file");
    assert_eq!(Orders::of(&server).run(&format!("cat {}", secret.display()), ""), "told");
}

fn ids(status: &str) -> (String, String) {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect("a line").trim().to_string();
    (line("Uid:"), line("CapEff:"))
}

#[test]
fn programs_run_as_the_servers_user() {
    if !is_root() {
        return skipped("needs root");
    }
    let server = setup().server("User nobody").start();
    let mut orders = Orders::of(&server);
    let (uid, rights) = ids(&orders.run("exec cat /proc/self/status", ""));
    assert!(uid.starts_with("65534\t65534\t65534\t65534"), "{uid}");
    assert_eq!(rights, "0000000000000000");
    let of_spawner = fs::read_to_string(format!("/proc/{}/status", spawner(&server))).expect("its status");
    assert_eq!(ids(&of_spawner), (uid, rights), "it could take root back");
    orders.shell(2, "true", "X-User: 1\r\n");
    assert_eq!(orders.ended(2), "failed 13");
}

#[test]
fn programs_run_as_another_user_that_is_configured() {
    if !is_root() {
        return skipped("needs root");
    }
    let setup =
        setup().server("User nobody").site("other", &["ServerName as-daemon.spawn.test", "DocumentRoot ../root"]);
    let server = setup.start();
    let mut orders = Orders::of(&server);
    let mut whose = |fields: &str| ids(&orders.run("exec cat /proc/self/status", fields));
    let (nobody, none) = whose("");
    assert!(nobody.starts_with("65534\t65534\t65534\t65534"), "{nobody}");
    let (daemon, rights) = whose("X-User: 1\r\n");
    assert!(daemon.starts_with("1\t1\t1\t1"), "{daemon}");
    assert!(none == "0000000000000000" && rights == none);
    // What is refused alike: none of them, and root.
    orders.shell(3, "true", "X-User: 2\r\n");
    assert_eq!(orders.ended(3), "failed 13");
    orders.shell(4, "exec sleep 1000", "X-User: 1\r\n");
    let pid = orders.pid(4);
    orders.client.ask("GET /.spawn/signal", "X-Id: 4\r\nX-Signal: 9\r\n").is(200);
    assert_eq!(orders.ended(4), "killed 9");
    is_gone(pid);
    let path = server.dir.path("conf/sites/other");
    let text = fs::read_to_string(&path).expect("the site");
    fs::write(&path, text.replace("daemon", "bin")).expect("the site");
    server.reload();
    assert!(server.logged("programs to be started"), "{}", server.log());
}
