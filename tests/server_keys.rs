use std::fs;
use std::path::{Path, PathBuf};

use crate::util::{DATE, Dir, ETAG, MODIFIED, RANGES, Record, SERVER, Server, Setup, example, pattern, skipped};

const TEXT: &str = "Content-Type: text/plain; charset=utf-8";

#[test]
fn hide_version() {
    let server = Setup::new().server("HideVersion On").file("a.txt", "alpha").start();
    let bare = "Server: Monkey";
    let lines = ["HTTP/1.1 200 OK", bare, DATE, MODIFIED, ETAG, TEXT, RANGES, "Content-Length: 5"];
    server.get("/a.txt").has_head(&lines);
    for line in ["GET /nothing", "OPTIONS *", "TRACE /", "GET nothing"] {
        assert_eq!(server.ask(line, "").field("Server"), Some("Monkey"), "{line}");
    }
    let refused = server.exchange("nonsense\r\n\r\n");
    assert!(refused.windows(18).any(|window| window == b"\r\nServer: Monkey\r\n"));
}

#[test]
fn resume_off() {
    let server = Setup::new().server("Resume Off").file("a.txt", "alpha").start();
    let none = "Accept-Ranges: none";
    let lines = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, TEXT, none, "Content-Length: 5"];
    for fields in ["", "Range: bytes=1-2\r\n", "Range: bytes=9-\r\n"] {
        let answer = server.ask("GET /a.txt", fields);
        answer.has_head(&lines);
        assert_eq!(answer.text(), "alpha");
    }
}

#[test]
fn index_files_in_their_order() {
    let setup = Setup::new().server("Indexfile first.html second.txt third.txt").file("index.html", "none");
    let setup = setup.file("a/second.txt", "2").file("a/third.txt", "3").file("b/third.txt", "3").file("b/x", "");
    let server = setup.file("c/first.html/x", "a directory").file("c/third.txt", "3").start();
    let mut client = server.client();
    client.get("/").is(403);
    let second = client.get("/a/").is(200);
    assert_eq!((second.text(), second.field("Content-Type")), ("2", Some("text/plain; charset=utf-8")));
    assert_eq!(client.get("/b/").is(200).text(), "3");
    assert_eq!(client.get("/c/").is(200).text(), "3");
    assert_eq!(client.get("/index.html").is(200).text(), "none");
}

#[test]
fn default_mime_type() {
    let server = Setup::new().server("DefaultMimeType application/x-test").file("a", "1").file("b.odd", "2").start();
    for path in ["/a", "/b.odd"] {
        assert_eq!(server.get(path).is(200).field("Content-Type"), Some("application/x-test"));
    }
}

#[test]
fn max_keep_alive_request() {
    let server = Setup::new().server("MaxKeepAliveRequest 3").file("a.txt", "alpha").start();
    let mut client = server.client();
    assert!(!client.get("/a.txt").closes());
    assert!(!client.get("/nothing").closes());
    let last = client.get("/a.txt");
    let close = "Connection: Close";
    let lines = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, TEXT, RANGES, "Content-Length: 5", close];
    last.has_head(&lines);
    client.is_closed();
    // Pipelined requests count too, and those beyond get no answer.
    let mut client = server.client();
    client.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n".repeat(5));
    let closes: Vec<bool> = (0..3).map(|_| client.answer(false).is(200).closes()).collect();
    assert_eq!(closes, [false, false, true]);
    client.half_close();
    client.is_closed();
}

#[test]
fn keep_alive_off() {
    let server = Setup::new().server("KeepAlive Off").file("a.txt", "alpha").start();
    for fields in ["", "Connection: keep-alive\r\n"] {
        let mut client = server.client();
        assert!(client.ask("GET /a.txt", fields).is(200).closes());
        client.is_closed();
    }
}

#[test]
fn max_request_size_bounds_the_head_and_no_body() {
    let server = Setup::new().server("MaxRequestSize 1").file("a.txt", "alpha").start();
    let head = |len: usize| {
        let start = "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
    };
    let mut client = server.client();
    client.send(head(1024)).send(pattern(100_000));
    client.answer(false).is(200);
    client.get("/a.txt").is(200);
    for (length, ends) in [(1025, true), (1029, false), (9000, true), (9000, false)] {
        let mut client = server.client();
        let text = head(length);
        client.send(if ends { &text[..] } else { &text[..text.len() - 4] });
        assert!(client.answer(false).is(413).closes(), "{length} {ends}");
        client.half_close();
        client.is_closed();
    }
}

#[test]
fn the_table_of_open_files_can_be_left_out() {
    let server = Setup::new().server("FDT Off").file("a.txt", "alpha").file("big.bin", pattern(300_000)).start();
    let mut client = server.client();
    for _ in 0..3 {
        assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
        assert!(client.get("/big.bin").is(200).body == pattern(300_000));
        client.get("/nothing").is(404);
        assert_eq!(client.ask("GET /a.txt", "Range: bytes=1-2\r\n").is(206).text(), "lp");
    }
}

/// A user, a folder below that user's home that everyone may write to, and its name as `UserDir` has it. Some system
/// accounts live in `/` or in `/dev`.
fn user_with_folder() -> Option<(String, PathBuf, &'static str)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, _, _, _, home, ..] = fields[..] else { continue };
        let folder = match home {
            "/dev" => "shm",
            "/" => "tmp",
            _ => continue,
        };
        let path = Path::new(home).join(folder);
        if path.is_dir() {
            return Some((user.into(), path, folder));
        }
    }
    None
}

#[test]
fn user_directories() {
    let setup = Setup::new().file("~nobody/a.txt", "below the root");
    let server = setup.start();
    assert_eq!(server.get("/~nobody/a.txt").is(200).text(), "below the root", "off unless set");

    let Some((user, path, folder)) = user_with_folder() else {
        return skipped("no account has a home below which files can be made");
    };
    let name = format!("monkey-test-{}.txt", std::process::id());
    fs::write(path.join(&name), "of a user").expect("a file");
    let server = Setup::new().server(&format!("UserDir {folder}")).file("a.txt", "alpha").start();
    // A user may not share what lies elsewhere by a link in place of the folder.
    let link = path.join(format!("monkey-test-{}.link", std::process::id()));
    std::os::unix::fs::symlink(server.root(""), &link).expect("a link");
    let link_name = format!("{folder}/monkey-test-{}.link", std::process::id());
    let linked = ["Off", "On"].map(|follow| {
        let keys = Setup::new().server(&format!("UserDir {link_name}")).server(&format!("SymLink {follow}"));
        keys.start().get(&format!("/~{user}/a.txt"))
    });
    let _ = fs::remove_file(link);
    let answers = [format!("/~{user}/{name}"), format!("/~{user}/x/../{name}"), format!("/%7e{user}/{name}")];
    let answers = answers.map(|path| server.get(&path));
    let unknown = server.get(&format!("/~no-such-user/{name}"));
    let bare = server.get(&format!("/~{user}"));
    let climbing = server.get(&format!("/~{user}/%2e%2e/%2e%2e/etc/passwd"));
    let up = server.get(&format!("/~{user}/../a.txt"));
    let _ = fs::remove_file(path.join(&name));
    for answer in answers {
        assert_eq!(answer.is(200).text(), "of a user");
    }
    for answer in linked {
        answer.is(403);
    }
    unknown.is(404);
    climbing.is(403);
    assert_eq!(up.is(200).text(), "alpha");
    assert_eq!(bare.is(301).field("Location"), Some(&*format!("/~{user}/")));
}

#[test]
fn a_locked_pid_file_keeps_a_second_server_from_starting() {
    let setup = Setup::new().server("PidFile ../monkey.pid").file("a.txt", "alpha");
    setup.write();
    let again = setup.command_as_is(&["-c".into(), "conf".into()]);
    let mut server = setup.start();
    let file = server.dir.path("monkey.pid");
    assert_eq!(fs::read_to_string(&file).expect("a PID file"), format!("{}\n", server.pid()));
    let ended = Server::run_to_end(again);
    assert_eq!(ended.code, Some(1));
    let line = format!("a server runs already as process {}; stop it or name another PidFile", server.pid());
    assert!(ended.log.contains(&line), "{}", ended.log);
    server.get("/a.txt").is(200);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(!file.exists(), "removed at the end");
}

#[test]
fn a_pid_file_left_by_a_crash_is_taken_over() {
    let setup = Setup::new().server("PidFile ../monkey.pid").file("a.txt", "alpha");
    setup.write();
    let again = setup.command_as_is(&["-c".into(), "conf".into()]);
    let mut first = setup.start();
    first.signal("KILL");
    assert_eq!(first.ended(), None, "killed");
    let file = first.dir.path("monkey.pid");
    assert_eq!(fs::read_to_string(&file).expect("it is left"), format!("{}\n", first.pid()));
    let mut second = Server::start(Dir::new(), again, Record::default());
    assert_eq!(fs::read_to_string(&file).expect("a PID file"), format!("{}\n", second.pid()));
    second.get("/a.txt").is(200);
    second.signal("TERM");
    assert_eq!(second.ended(), Some(0));
    assert!(!file.exists(), "removed at the end");
}

#[test]
fn a_pid_file_that_cannot_be_written_is_an_error() {
    let setup = Setup::new().server("PidFile ../nowhere/monkey.pid");
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("nowhere/monkey.pid: No such file or directory"), "{}", ended.log);
}

#[test]
fn more_than_the_memory_can_hold() {
    let ended = Setup::new().server("MemoryLimit 512").workers(8).run();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.log.contains(
            "MemoryLimit 512 KB is too little for 8 workers and 128 KB of configuration: raise MemoryLimit to "
        ),
        "{}",
        ended.log
    );
    let ended = Setup::new().server("FDLimit 40").run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("raise FDLimit or `ulimit -n`"), "{}", ended.log);
}

/// A configuration is memory too: one that cannot fit is refused, at start and by a reload.
#[test]
fn a_configuration_counts_as_memory() {
    let write = |dir: &crate::util::Dir, sites: usize| {
        for site in 0..sites {
            let names: Vec<String> = (0..20).map(|name| format!("name-{name}.of-site-{site}.example.org")).collect();
            let text = format!("[HOST]\n    ServerName {}\n    DocumentRoot ../root\n", names.join(" "));
            dir.write(&format!("conf/sites/s{site}"), text);
        }
    };
    let setup = Setup::new().server("MemoryLimit 2500").file("a.txt", "alpha");
    let server = setup.start();
    write(&server.dir, 1000);
    server.reload();
    assert!(server.logged("ERROR: reload refused: needs restart: MemoryLimit: "), "refused");
    server.get("/a.txt").is(200);

    let setup = Setup::new().server("MemoryLimit 2500");
    write(&setup.dir, 1000);
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("KB of configuration: raise MemoryLimit to "), "{}", ended.log);
}

#[test]
fn the_parts_of_the_memory_are_never_more_than_the_whole() {
    for (limit, workers) in [(1800, 1), (1900, 1), (2500, 1), (2500, 2), (2600, 2), (3500, 3), (9000, 2)] {
        let server = Setup::new().server(&format!("MemoryLimit {limit}")).workers(workers).start();
        let log = server.log();
        let numbers = log.split_once("memory: at most ").and_then(|(_, rest)| rest.split_once(" KB: "));
        let (total, told) = numbers.and_then(|(numbers, _)| numbers.split_once(" of ")).expect("the division");
        assert_eq!(told, limit.to_string());
        assert!(total.parse::<u32>().is_ok_and(|total| total <= limit), "{log}");
    }
}

#[test]
fn messages_to_the_system_log() {
    let setup = Setup::new().server("LogTarget syslog").file("a.txt", "alpha");
    if !cfg!(feature = "syslog") {
        let ended = setup.run();
        assert_eq!(ended.code, Some(1));
        assert!(ended.log.contains("syslog is not in this build: write stderr"), "{}", ended.log);
        return;
    }
    if Path::new("/dev/log").exists() {
        return skipped("a system log runs here, and what it gets is not ours to read");
    }
    // Where there is none, the messages are not lost: they go to stderr, which is how the port is known here.
    setup.start().get("/a.txt").is(200);
}

#[test]
fn the_example_of_the_transport() {
    let text = example("plugins/LIANA.md", "liana");
    let keys = text.strip_prefix("[SERVER]\n").expect("its section").lines();
    let setup = keys.fold(Setup::new().file("a.txt", "alpha"), |setup, key| setup.server(key.trim()));
    assert_eq!(setup.start().get("/a.txt").is(200).text(), "alpha");
    let ended = Setup::new().server("TransportLayer lianas").run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("TransportLayer cannot be \"lianas\": write liana"), "{}", ended.log);
}
