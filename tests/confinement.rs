use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::util::{Ended, Server, Setup, eventually, is_root, pattern, received, request, run, set_mtime, skipped};

const SCHEDULERS: [&str; 2] = ["Fair", "ReusePort"];
/// CAP_DAC_READ_SEARCH and CAP_NET_BIND_SERVICE.
const KEPT_BY_ROOT: u64 = 1 << 2 | 1 << 10;
const BIND_SERVICE: u64 = 1 << 10;

/// What /proc/PID/task/TID/status says of one thread.
struct Thread(String);

impl Thread {
    fn all(server: &Server) -> Vec<Thread> {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
        let status = |path: &Path| fs::read_to_string(path.join("status")).expect("its status");
        tasks.flatten().map(|task| Thread(status(&task.path()))).collect()
    }

    fn field(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim_start_matches(':').trim()
    }

    fn set(&self, name: &str) -> u64 {
        u64::from_str_radix(self.field(name), 16).expect("a set")
    }

    /// Permitted, effective, inheritable, ambient and bounding capabilities.
    fn capabilities(&self) -> [u64; 5] {
        ["CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd"].map(|name| self.set(name))
    }
}

/// The capabilities this process holds and could come to hold.
fn own(name: &str) -> u64 {
    Thread(fs::read_to_string("/proc/self/status").expect("our status")).set(name)
}

/// The command as `nobody`, with what setpriv(1) is told beside it. None where there is no setpriv.
fn as_nobody(setup: &Setup, words: &[&str]) -> Option<Command> {
    if !Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return None;
    }
    // Where every user may run it.
    let program = setup.dir.path("monkey");
    fs::copy(env!("CARGO_BIN_EXE_monkey"), &program).expect("a copy");
    let plain = setup.command();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).args(words).arg(program);
    command.args(plain.get_args()).current_dir(setup.dir.path("")).env_remove("NOTIFY_SOCKET");
    Some(command)
}

#[test]
fn no_thread_can_gain_rights() {
    for scheduler in SCHEDULERS {
        let server = Setup::new().server(&format!("Scheduler {scheduler}")).file("a.txt", "alpha").start();
        server.get("/a.txt").is(200);
        let threads = Thread::all(&server);
        assert_eq!(threads.len(), 3, "{scheduler}");
        for thread in threads {
            assert_eq!(thread.field("NoNewPrivs"), "1", "{scheduler}");
        }
    }
    assert_eq!(Thread(fs::read_to_string("/proc/self/status").expect("our status")).field("NoNewPrivs"), "0");
}

#[test]
fn a_user_has_no_capabilities() {
    if !is_root() {
        return skipped("only root has capabilities to give up");
    }
    for scheduler in SCHEDULERS {
        let server = Setup::new().server("User 65534").server(&format!("Scheduler {scheduler}")).start();
        for thread in Thread::all(&server) {
            assert_eq!(thread.capabilities(), [0; 5], "{scheduler}");
        }
    }
}

#[test]
fn root_without_user_keeps_what_serving_needs() {
    if !is_root() {
        return skipped("only root has capabilities to keep");
    }
    let setup = Setup::new().file("secret.txt", "for the owner");
    // Somebody's file that nobody else may read.
    let path = setup.root("secret.txt");
    std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("another owner");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
    let server = setup.start();
    let kept = own("CapPrm") & KEPT_BY_ROOT;
    for thread in Thread::all(&server) {
        assert_eq!(thread.capabilities(), [kept, kept, 0, 0, own("CapBnd") & KEPT_BY_ROOT]);
    }
    assert_eq!(server.get("/secret.txt").is(200).text(), "for the owner");
    assert!(server.logged("WARN: running as root"), "a warning");
}

#[test]
fn rights_that_were_handed_in_are_given_up_but_for_ports() {
    if !is_root() {
        return skipped("only root can hand capabilities in");
    }
    let handed = "+net_bind_service,+net_raw,+dac_override";
    // As AmbientCapabilities of a systemd unit does.
    let words = ["--inh-caps", handed, "--ambient-caps", handed];
    let setup = Setup::new().listen("127.0.0.1:0").file("a.txt", "alpha");
    let Some(command) = as_nobody(&setup, &words) else { return skipped("there is no setpriv") };
    let server = Server::start(setup.dir, command, Default::default());
    for thread in Thread::all(&server) {
        assert_eq!(thread.field("Uid"), "65534\t65534\t65534\t65534");
        let [permitted, effective, inheritable, ambient, _] = thread.capabilities();
        assert_eq!([permitted, effective, inheritable, ambient], [BIND_SERVICE, BIND_SERVICE, 0, 0]);
        // Without CAP_SETPCAP the bounding set stays; nothing can be gained from it.
        assert_eq!(thread.field("NoNewPrivs"), "1");
    }
    server.get("/a.txt").is(200);
}

/// A port below 1024 that nobody listens on.
fn low_port() -> Option<u16> {
    (600..1000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

#[test]
fn a_low_port_may_come_by_a_reload() {
    let (true, Some(port)) = (is_root(), low_port()) else { return skipped("no port below 1024 can be had") };
    let handed = ["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"];
    // A sandbox knows only the ports of the start.
    let plain = || Setup::new().server("Sandbox Off").file("a.txt", "alpha");
    let as_root = plain().start();
    let setup = plain();
    let Some(command) = as_nobody(&setup, &handed) else { return skipped("there is no setpriv") };
    let as_service = Server::start(setup.dir, command, Default::default());
    let setup = plain().server("User 65534");
    let as_user = setup.start();
    for (server, allowed) in [(as_root, true), (as_service, true), (as_user, false)] {
        let path = server.dir.path("conf/monkey.conf");
        let text = fs::read_to_string(&path).expect("the file");
        let more = format!("    Listen 127.0.0.1:0\n    Listen 127.0.0.1:{port}\n");
        fs::write(path, text.replace("    Listen 127.0.0.1:0\n", &more)).expect("the file");
        server.reload();
        assert_eq!(server.logged("INFO: configuration reloaded"), allowed, "{}", server.log());
        assert_eq!(server.logged("reload refused: needs restart: Listen: "), !allowed, "{}", server.log());
        if allowed {
            server.client_of(([127, 0, 0, 1], port).into()).get("/a.txt").is(200);
        }
    }
}

/// A server whose own directory is its root directory, configuration included.
fn jail() -> Setup {
    Setup::new().server("Chroot ..").file("a.txt", "alpha")
}

fn cannot_chroot() -> bool {
    if !is_root() {
        skipped("only root can change its root directory");
    }
    !is_root()
}

#[test]
fn everything_is_served_from_inside_a_chroot() {
    if cannot_chroot() {
        return;
    }
    for keys in [&["Scheduler Fair"][..], &["Scheduler ReusePort", "User 65534"], &["FDT Off", "SymLink On"]] {
        let setup = keys.iter().fold(jail(), |setup, key| setup.server(key)).host("Alias /more ../more/");
        let setup = setup.section("ERROR_PAGES", &["404 404.html"]).file("404.html", "nothing here");
        let setup =
            setup.file("big.bin", pattern(300_000)).file("sub/index.html", "index").site("two", &["ServerName two"]);
        let setup = setup.file("x.txt", "plain").file("x.txt.gz", "compressed");
        set_mtime(&setup.root("x.txt"), 1_000_000_000);
        setup.dir.write("more/b.txt", "bravo");
        setup.dir.write("two/a.txt", "two");
        let server = setup.start();
        let root = fs::read_link(format!("/proc/{}/root", server.pid())).expect("a link");
        assert_eq!(root, fs::canonicalize(server.dir.path("")).expect("a directory"), "{keys:?}");
        let cwd = fs::read_link(format!("/proc/{}/cwd", server.pid())).expect("a link");
        assert_eq!(cwd, root, "the working directory is no way out: {keys:?}");

        let mut client = server.client();
        assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
        assert_eq!(client.get("/sub/").is(200).text(), "index");
        assert_eq!(client.get("/more/b.txt").is(200).text(), "bravo");
        assert_eq!(client.get("/no.txt").is(404).text(), "nothing here");
        assert_eq!(client.get("/../../etc/passwd").status, 403);
        assert!(client.get("/big.bin").is(200).body == pattern(300_000));
        let part = client.ask("GET /big.bin", "Range: bytes=200000-200009\r\n").is(206);
        assert_eq!(part.body, &pattern(300_000)[200_000..200_010]);
        let gz = client.ask("GET /x.txt", "Accept-Encoding: gzip\r\n").is(200);
        assert_eq!((gz.field("Content-Encoding"), gz.text()), (Some("gzip"), "compressed"));
        client.send("GET /a.txt HTTP/1.1\r\nHost: two\r\n\r\n");
        assert_eq!(client.answer(false).is(200).text(), "two");
    }
}

#[test]
fn what_changes_in_a_chroot_is_seen() {
    if cannot_chroot() {
        return;
    }
    let setup = jail().host("DocumentRoot ../current").host("Alias /later ../later").server("User 65534");
    setup.dir.write("v1/a.txt", "version 1");
    setup.dir.write("v2/a.txt", "version 2");
    symlink("v1", setup.dir.path("current")).expect("a link");
    let server = setup.start();
    let missing = format!("{} is no directory now", server.dir.path("later").display());
    assert!(server.logged(&missing), "as it is seen from outside: {missing}");
    let mut client = server.client();
    assert_eq!(client.get("/a.txt").is(200).text(), "version 1");
    client.get("/later/b.txt").is(503);
    symlink("v2", server.dir.path("next")).expect("a link");
    fs::rename(server.dir.path("next"), server.dir.path("current")).expect("a rename");
    server.dir.write("later/b.txt", "bravo");
    assert!(eventually(|| client.get("/a.txt").is(200).text() == "version 2"));
    assert!(eventually(|| client.get("/later/b.txt").status == 200));
    // The folder itself replaced.
    fs::rename(server.dir.path("v2"), server.dir.path("v2-old")).expect("a rename");
    server.dir.write("v2/a.txt", "version 3");
    assert!(eventually(|| client.get("/a.txt").text() == "version 3"));
}

#[test]
fn a_chroot_by_any_of_its_names() {
    if cannot_chroot() {
        return;
    }
    for (chroot, root) in [
        ("../jail", "../jail/www"),
        ("../jail/", "/jail//www/"),
        ("../link/", "/link/www"),
        ("../link", "../link/./www"),
        ("/link/.", "/x/../link/www"),
    ] {
        let setup = Setup::new();
        let named = |path: &str| match path.strip_prefix('/') {
            Some(path) => setup.dir.path(path).display().to_string(),
            None => path.to_string(),
        };
        let (chroot, root) = (named(chroot), named(root));
        setup.dir.write("jail/www/a.txt", "alpha");
        symlink("jail", setup.dir.path("link")).expect("a link");
        let server = setup.server(&format!("Chroot {chroot}")).host(&format!("DocumentRoot {root}")).start();
        assert_eq!(server.get("/a.txt").is(200).text(), "alpha", "{chroot} {root}");
        let inside = fs::read_link(format!("/proc/{}/root", server.pid())).expect("a link");
        assert!(inside.ends_with("jail"), "{inside:?}");
    }
}

#[test]
fn what_lies_outside_of_a_chroot_is_refused_at_its_place() {
    let setup = Setup::new().server("Chroot ../jail").host("DocumentRoot ../root").host("Alias /m ../jail-2");
    setup.dir.write("jail/x", "");
    setup.dir.write("jail-2/x", "");
    let setup = setup.argument("--check");
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    let site = setup.dir.path("conf/sites/default").display().to_string();
    let conf = setup.dir.path("conf").display().to_string();
    let end = format!(
        "is out of reach once Chroot {} is the root directory: name one in it",
        setup.dir.path("jail").display()
    );
    for line in [format!("{site}:3:18: {conf}/../root {end}"), format!("{site}:4:14: {conf}/../jail-2 {end}")] {
        assert!(ended.log.contains(&line), "no line {line} in\n{}", ended.log);
    }
    let setup = Setup::new().server("Chroot ../nowhere");
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    let line = format!("monkey.conf:4:12: {} is not there: name a directory", setup.dir.path("nowhere").display());
    assert!(ended.log.contains(&line), "{}", ended.log);
}

#[test]
fn a_chroot_needs_rights() {
    if !is_root() {
        return skipped("only root can become somebody else");
    }
    let setup = jail();
    let Some(command) = as_nobody(&setup, &[]) else { return skipped("there is no setpriv") };
    let ended = Server::run_to_end(command);
    assert_eq!(ended.code, Some(1));
    let line = "cannot make Chroot the root directory; it needs root or CAP_SYS_CHROOT: Operation not permitted";
    assert!(ended.log.contains(line), "{}", ended.log);
    // The right alone does, and is gone then.
    let words = ["--inh-caps", "+sys_chroot", "--ambient-caps", "+sys_chroot"];
    let Some(command) = as_nobody(&setup, &words) else { return };
    let server = Server::start(setup.dir, command, Default::default());
    server.get("/a.txt").is(200);
    assert_eq!(Thread::all(&server)[0].capabilities()[..4], [0; 4]);
}

#[test]
fn a_reload_inside_a_chroot() {
    if cannot_chroot() {
        return;
    }
    for scheduler in SCHEDULERS {
        let server = jail().server("User 65534").server(&format!("Scheduler {scheduler}")).start();
        let path = server.dir.path("conf/monkey.conf");
        let text = fs::read_to_string(&path).expect("the file");
        // A site, a type, an included file, a seed from a file.
        server.dir.write("two/a.txt", "two");
        server.dir.write("conf/seed", "image 7");
        let site = "[HOST]\n    ServerName two\n    DocumentRoot ../two\n    EtagSeed @seed\n";
        server.dir.write("conf/sites/two", site);
        server.dir.write("conf/monkey.mime", "[MIMETYPES]\n    txt text/x-changed\n");
        server.dir.write("conf/more.conf", "[SERVER]\n    HideVersion On\n");
        fs::write(&path, format!("{text}@INCLUDE *.conf\n").replace("*", "more")).expect("the file");
        server.reload();
        assert!(server.logged("INFO: configuration reloaded"), "{scheduler}");
        let mut client = server.client();
        assert!(eventually(|| client.get("/a.txt").is(200).field("Content-Type") == Some("text/x-changed")));
        assert_eq!(client.get("/a.txt").field("Server"), Some("Monkey"));
        client.send("GET /a.txt HTTP/1.1\r\nHost: two\r\n\r\n");
        assert_eq!(client.answer(false).is(200).text(), "two");

        // What is wrong is told by the names that the operator knows.
        fs::write(&path, format!("{text}    Timeout never\n")).expect("the file");
        server.reload();
        assert!(server.logged(&format!("ERROR: {}:7:13: Timeout cannot be", path.display())), "{}", server.log());
        server.dir.write("conf/sites/two", "[HOST]\n    ServerName two\n    DocumentRoot /elsewhere\n");
        fs::write(&path, &text).expect("the file");
        server.reload();
        assert!(server.logged("sites/two:3:18: /elsewhere is out of reach"), "{}", server.log());
        fs::remove_file(server.dir.path("conf/sites/two")).expect("a file");

        // Another root directory, or none.
        for (count, chroot) in ["    Chroot ../root/..//root\n", "", "    Chroot /no/such/place\n"].iter().enumerate() {
            let site = if count == 2 { "/no/such/place/x" } else { "../root" };
            server.dir.write("conf/sites/default", format!("[HOST]\n    ServerName a\n    DocumentRoot {site}\n"));
            fs::write(&path, text.replace("    Chroot ..\n", chroot)).expect("the file");
            server.reload();
            let refused = server.log().matches("ERROR: reload refused: needs restart: Chroot\n").count();
            assert_eq!(refused, count + 1, "{chroot}: {}", server.log());
        }
        assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    }
}

#[test]
fn a_reload_from_outside_of_a_chroot_is_refused() {
    if cannot_chroot() {
        return;
    }
    let setup = Setup::new().server("Chroot ../jail").host("DocumentRoot ../jail/www");
    setup.dir.write("jail/www/a.txt", "alpha");
    // A file of that name inside is not the configuration.
    let conf = setup.dir.path("conf");
    setup.dir.write(&format!("jail/{}/monkey.conf", conf.display()), "[SERVER]\n    Timeout never\n");
    let server = setup.start();
    server.reload();
    let line =
        "ERROR: reload refused: needs restart: Chroot: the configuration lies outside, where files can not be read\n";
    assert!(server.logged(line), "no line {line} in\n{}", server.log());
    server.get("/a.txt").is(200);
    // A file that lies outside, of a configuration that does not.
    let setup = jail().host("EtagSeed @seed");
    setup.dir.write("conf/seed", "1");
    let server = setup.start();
    server
        .dir
        .write("conf/sites/default", "[HOST]\n    ServerName a\n    DocumentRoot ../root\n    EtagSeed @/etc/passwd\n");
    server.reload();
    let line = "cannot read /etc/passwd: out of reach of a server with this Chroot: needs restart";
    assert!(server.logged(line), "{}", server.log());
}

#[test]
fn what_was_opened_outside_of_a_chroot_still_works() {
    if cannot_chroot() {
        return;
    }
    for user in ["", "    User 65534\n"] {
        let setup = Setup::new().server("Chroot ../root").server("PidFile ../run/pid");
        let setup = setup.file("www/a.txt", "alpha").host("DocumentRoot ../root/www");
        setup.dir.write("run/x", "");
        // With a User, one that may remove it.
        let run = setup.dir.path("run");
        if !user.is_empty() {
            std::os::unix::fs::chown(&run, Some(65534), Some(65534)).expect("another owner");
        }
        let path = setup.dir.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let heard = || {
            let mut bytes = [0; 512];
            let count = received(&socket, &mut bytes).expect("word from the server");
            String::from_utf8(bytes[..count].to_vec()).expect("text")
        };
        let setup = if user.is_empty() { setup } else { setup.server(user.trim()) };
        let mut server = setup.environment("NOTIFY_SOCKET", &path).start();
        assert_eq!(heard(), "READY=1\nSTATUS=serving\n");
        server.get("/a.txt").is(200);
        let pid = server.dir.path("run/pid");
        assert_eq!(fs::read_to_string(&pid).expect("a PID file"), format!("{}\n", server.pid()));
        server.signal("TERM");
        assert_eq!(heard(), "STOPPING=1\n");
        assert_eq!(server.ended(), Some(0));
        assert!(!pid.exists(), "the PID file is gone: {user}");
        assert!(server.logged("INFO: stopped"), "its log");
    }
}

#[test]
fn a_file_system_mounted_over_a_root_is_served() {
    if !is_root() {
        return skipped("only root can mount");
    }
    /// Takes the mount away however the test ends.
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            run("umount", &["-l", &self.0.display().to_string()]);
        }
    }
    // The root itself, and the directory of a file system that comes later.
    for (root, mount) in [("root", "root"), ("media/stick/www", "media/stick")] {
        let setup = Setup::new().file("a.txt", "below").host(&format!("DocumentRoot ../{root}"));
        fs::create_dir_all(setup.dir.path(mount)).expect("a directory");
        let server = setup.start();
        let mut client = server.client();
        client.get("/a.txt");
        for round in 0..2 {
            let place = server.dir.path(mount);
            if !run("mount", &["-t", "tmpfs", "none", &place.display().to_string()]) {
                return skipped("nothing can be mounted here");
            }
            let mounted = Mounted(place.clone());
            server.dir.write(&format!("{root}/a.txt"), format!("above {round}"));
            let served = || {
                let answer = client.get("/a.txt");
                answer.status == 200 && answer.text() == format!("above {round}")
            };
            assert!(eventually(served), "{root}: {}", server.log());
            drop(mounted);
        }
    }
}

/// What a run says of a configuration whose `path` has that mode.
fn with_mode(setup: &Setup, path: &Path, mode: u32) -> Ended {
    let before = fs::metadata(path).expect("it").permissions();
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    let ended = setup.run();
    fs::set_permissions(path, before).expect("a mode");
    ended
}

#[test]
fn a_configuration_that_everyone_may_write_is_refused() {
    for setup in [Setup::new(), Setup::new().argument("--check")] {
        let setup = setup.host("EtagSeed @seed");
        setup.dir.write("conf/seed", "1");
        setup.dir.write("conf/plugins/logger/logger.conf", "");
        setup.dir.write("outside", "[HOST]\n    ServerName b\n    DocumentRoot ../root\n");
        setup.dir.write("conf/sites/x", "");
        fs::remove_file(setup.dir.path("conf/sites/x")).expect("a file");
        symlink("../../outside", setup.dir.path("conf/sites/link")).expect("a link");
        setup.write();
        for (name, told, mode) in [
            ("conf", "conf", 0o777),
            ("conf", "conf", 0o1777),
            ("conf/sites", "conf/sites", 0o757),
            ("conf/plugins", "conf/plugins", 0o777),
            ("conf/monkey.conf", "conf/monkey.conf", 0o666),
            ("conf/monkey.mime", "conf/monkey.mime", 0o602),
            ("conf/sites/default", "conf/sites/default", 0o646),
            ("conf/seed", "conf/seed", 0o666),
            ("outside", "conf/sites/link", 0o666),
        ] {
            let ended = with_mode(&setup, &setup.dir.path(name), mode);
            assert_eq!(ended.code, Some(1), "{name}: {}", ended.log);
            let told = setup.dir.path(told).display().to_string();
            let line = format!(
                "{told}: every user may write here (mode {mode:04o}), so anyone could change what the server does: chmod o-w '{told}'"
            );
            assert!(ended.log.contains(&line), "no line {line} in\n{}", ended.log);
        }
        // The parents are not looked at, nor what is served.
        for name in ["", "root"] {
            fs::set_permissions(setup.dir.path(name), Permissions::from_mode(0o777)).expect("a mode");
        }
        let ended = setup.argument("--check").run();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}

#[test]
fn a_reload_refuses_it_too_and_one_directory_alone_is_no_configuration() {
    let server = Setup::new().file("a.txt", "alpha").start();
    let path = server.dir.path("conf/monkey.mime");
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("a mode");
    server.reload();
    let line = format!("ERROR: {}: every user may write here (mode 0666)", path.display());
    assert!(server.logged(&line), "{}", server.log());
    assert!(server.logged("ERROR: reload refused: 1 error; the server goes on as it was"), "{}", server.log());
    server.get("/a.txt").is(200);

    let setup = Setup::new().file("a.txt", "alpha");
    fs::set_permissions(setup.root(""), Permissions::from_mode(0o777)).expect("a mode");
    let mut words: Vec<std::ffi::OsString> = vec!["-o".into(), setup.root("").into()];
    words.extend(["-p".into(), "0".into()]);
    let command = setup.command_as_is(&words);
    let server = Server::start(setup.dir, command, Default::default());
    let mut client = server.client_of(([127, 0, 0, 1], server.address().port()).into());
    client.send(request("GET /a.txt", "")).answer(false).is(200);
}

#[cfg(feature = "sandbox")]
mod sandbox {
    use super::*;

    /// Whether the kernel holds a server to anything; says so if not.
    fn is_enforced(server: &Server) -> bool {
        let enforced = server.logged("INFO: sandbox: landlock version ");
        if !enforced {
            skipped("the kernel has no landlock");
        }
        enforced
    }

    fn put(server: &Server, name: &str, text: &str) {
        // As editors do it: another file in place of the old one.
        let aside = server.dir.write("conf/.aside", text);
        fs::rename(aside, server.dir.path(name)).expect("a rename");
        server.reload();
    }

    #[test]
    fn only_what_is_configured_can_be_read() {
        for scheduler in SCHEDULERS {
            let setup = Setup::new().server(&format!("Scheduler {scheduler}")).host("DocumentRoot ../site/current");
            setup.dir.write("site/v1/a.txt", "version 1");
            setup.dir.write("site/v2/a.txt", "version 2");
            setup.dir.write("elsewhere/a.txt", "not for you");
            symlink("v1", setup.dir.path("site/current")).expect("a link");
            let server = setup.start();
            if !is_enforced(&server) {
                return;
            }
            let mut client = server.client();
            assert_eq!(client.get("/a.txt").is(200).text(), "version 1");
            let switch = |to: &str| {
                symlink(to, server.dir.path("site/next")).expect("a link");
                fs::rename(server.dir.path("site/next"), server.dir.path("site/current")).expect("a rename");
            };
            switch("v2");
            assert!(eventually(|| client.get("/a.txt").is(200).text() == "version 2"), "{scheduler}");
            // A root that leads where nothing was allowed is not served, whoever may read it.
            switch("../elsewhere");
            assert!(eventually(|| client.get("/a.txt").status == 403), "{scheduler}");
            switch("v1");
            assert!(eventually(|| client.get("/a.txt").status == 200), "{scheduler}");
        }
    }

    #[cfg(feature = "plugin-auth")]
    #[test]
    fn a_users_file_is_replaced() {
        let setup = Setup::new().file("a.txt", "alpha").server("MemoryLimit 7000");
        let setup = setup.section("AUTH", &["Location /", "Users ../state/users"]);
        setup.dir.write("state/users", "");
        let server = setup.start();
        if !is_enforced(&server) {
            return;
        }
        let status = || server.ask("GET /a.txt", "Authorization: Basic YWw6cGFzc3dvcmQ=\r\n").status;
        assert_eq!(status(), 401);
        let aside = server.dir.write("state/users.new", "al:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
        fs::rename(aside, server.dir.path("state/users")).expect("a rename");
        assert!(eventually(|| status() == 200));
    }

    #[test]
    fn without_it_the_same_is_served() {
        let setup = Setup::new().server("Sandbox Off").host("DocumentRoot ../site/current");
        setup.dir.write("site/v1/a.txt", "version 1");
        setup.dir.write("elsewhere/a.txt", "for all");
        symlink("v1", setup.dir.path("site/current")).expect("a link");
        let server = setup.start();
        assert!(!server.logged("sandbox"), "{}", server.log());
        let mut client = server.client();
        client.get("/a.txt").is(200);
        symlink("../elsewhere", server.dir.path("site/next")).expect("a link");
        fs::rename(server.dir.path("site/next"), server.dir.path("site/current")).expect("a rename");
        assert!(eventually(|| client.get("/a.txt").is(200).text() == "for all"));
    }

    #[test]
    fn a_reload_within_the_sandbox_and_beyond_it() {
        for scheduler in SCHEDULERS {
            let setup = Setup::new().server(&format!("Scheduler {scheduler}")).file("a.txt", "alpha");
            let setup = setup.host("DocumentRoot ../site/root");
            setup.dir.write("site/root/a.txt", "alpha");
            setup.dir.write("site/two/a.txt", "two");
            setup.dir.write("elsewhere/www/a.txt", "elsewhere");
            let server = setup.start();
            if !is_enforced(&server) {
                return;
            }
            let text = fs::read_to_string(server.dir.path("conf/monkey.conf")).expect("the file");
            // Beside the root all may come and go.
            put(&server, "conf/sites/two", "[HOST]\n    ServerName two\n    DocumentRoot ../site/two\n");
            assert!(server.logged("INFO: configuration reloaded"), "{}", server.log());
            let mut client = server.client();
            let two = || {
                client.send("GET /a.txt HTTP/1.1\r\nHost: two\r\n\r\n");
                client.answer(false).is(200).text() == "two"
            };
            assert!(eventually(two), "{scheduler}");

            let elsewhere = "[HOST]\n    ServerName two\n    DocumentRoot ../site/two\n    Alias /e ../elsewhere/www\n";
            put(&server, "conf/sites/two", elsewhere);
            assert!(server.logged("ERROR: reload refused: needs restart: Alias\n"), "{}", server.log());
            put(&server, "conf/sites/two", &elsewhere.replace("site/two", "elsewhere/www"));
            assert!(server.logged("ERROR: reload refused: needs restart: DocumentRoot\n"), "{}", server.log());
            // A site that only redirects opens nothing.
            put(&server, "conf/sites/two", &elsewhere.replace("    Alias", "    Redirect /x\n    Alias"));
            assert_eq!(server.log().matches("INFO: configuration reloaded").count(), 2, "{}", server.log());

            put(&server, "conf/monkey.conf", &text.replace(":0\n", ":0\n    Listen 127.0.0.1:65533\n"));
            assert!(server.logged("ERROR: reload refused: needs restart: Listen\n"), "{}", server.log());
            put(&server, "conf/monkey.conf", &format!("{text}    UserDir www\n"));
            assert!(server.logged("ERROR: reload refused: needs restart: UserDir\n"), "{}", server.log());
            put(&server, "conf/monkey.conf", &format!("{text}    Sandbox Off\n"));
            assert!(server.logged("ERROR: reload refused: needs restart: Sandbox\n"), "{}", server.log());
            server.get("/a.txt").is(200);
        }
    }

    #[test]
    fn the_pid_file_is_removed_from_inside() {
        let setup = Setup::new().server("PidFile ../run/pid");
        setup.dir.write("run/x", "");
        let mut server = setup.start();
        let path = server.dir.path("run/pid");
        assert!(path.exists());
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        assert!(!path.exists());
    }

    #[test]
    fn in_a_chroot_it_is_about_what_is_inside() {
        if cannot_chroot() {
            return;
        }
        let setup = Setup::new().server("Chroot ../jail").server("User 65534").host("DocumentRoot ../jail/srv/www");
        setup.dir.write("jail/srv/www/a.txt", "alpha");
        let server = setup.start();
        if !is_enforced(&server) {
            return;
        }
        assert!(server.logged("and read below /srv\n"), "{}", server.log());
        server.get("/a.txt").is(200);
    }

    #[test]
    fn homes_are_served() {
        let Some(home) = std::env::var_os("HOME").filter(|home| is_root() && home == "/root") else {
            return skipped("only root's home is known to be there");
        };
        let folder = format!("monkey-test-{}", std::process::id());
        let path = Path::new(&home).join(&folder);
        fs::create_dir(&path).expect("a directory");
        fs::write(path.join("a.txt"), "home").expect("a file");
        let server = Setup::new().server(&format!("UserDir {folder}")).start();
        let answer = server.get("/~root/a.txt");
        fs::remove_dir_all(&path).expect("the directory");
        assert_eq!(answer.is(200).text(), "home");
    }

    #[cfg(feature = "test-switches")]
    #[test]
    fn it_can_be_kept_out_of_a_test() {
        let server = Setup::new().environment("MONKEY_TEST_NO_LANDLOCK", "1").start();
        assert!(server.logged("INFO: sandbox: nothing is enforced: MONKEY_TEST_NO_LANDLOCK"), "{}", server.log());
    }
}
