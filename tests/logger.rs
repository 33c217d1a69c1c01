use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{Server, Setup, eventually, example, is_root, received, request, run, signal, skipped};

/// A setup whose logs are in a folder `log`, and are flushed after a second.
fn setup(lines: &[&str]) -> Setup {
    with(lines, "    FlushTimeout 1\n")
}

fn with(lines: &[&str], file: &str) -> Setup {
    let setup = Setup::new().file("a.txt", "alpha").section("LOGGER", lines);
    fs::create_dir(setup.dir.path("log")).expect("a folder");
    setup.dir.write("conf/plugins/logger/logger.conf", format!("[LOGGER]\n{file}"));
    setup
}

const BOTH: [&str; 2] = ["AccessLog ../log/access.log", "ErrorLog ../log/error.log"];

fn text(server: &Server, name: &str) -> String {
    fs::read_to_string(server.dir.path("log").join(name)).unwrap_or_default()
}

/// Waits until a log has so many lines, and gives them.
#[track_caller]
fn lines(server: &Server, name: &str, count: usize) -> Vec<String> {
    let reached = eventually(|| text(server, name).lines().count() >= count);
    let text = text(server, name);
    assert!(reached, "{name} has not {count} lines but\n{text}");
    assert!(text.is_empty() || text.ends_with('\n'), "half a line in\n{text}");
    assert_eq!(text.lines().count(), count, "{text}");
    text.lines().map(String::from).collect()
}

/// A line with its time left out, once that was found to be one.
fn masked(line: &str) -> String {
    let (before, rest) = line.split_once('[').expect(line);
    let (time, after) = rest.split_once(']').expect(line);
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let month: String = shape.chars().filter(|c| c.is_ascii_alphabetic()).collect();
    assert_eq!(month.len(), 3, "{line}");
    assert!(["00/MON/0000 00:00:00 +0000", "00/MON/0000:00:00:00 +0000"].contains(&&*shape.replace(&month, "MON")));
    format!("{before}[]{after}")
}

#[test]
fn the_example_logs_and_rotates() {
    let setup = Setup::new().workers(1).file("a.txt", "alpha").text(&example("plugins/LOGGER.md", "logger"));
    fs::create_dir(setup.dir.path("log")).expect("a folder");
    setup.dir.write("conf/plugins/logger/logger.conf", example("plugins/LOGGER.md", "logger.conf"));
    let server = setup.start();
    let mut client = server.client();
    client.get("/a.txt?x=1").is(200);
    client.send(request("HEAD /a.txt", "")).answer(true).is(200);
    client.get("/nothing").is(404);
    client.send(request("PUT /a.txt", "Content-Length: 0\r\n")).answer(false).is(405);
    client.send(request("BREW /pot", "")).answer(false).is(501);
    let mut old = server.client();
    old.send("GET /a.txt HTTP/1.0\r\nIf-None-Match: *\r\n\r\n").answer(false).is(304);
    server.client().send("nonsense\r\n\r\n").answer(false).is(400);
    let access: Vec<String> = lines(&server, "access.log", 3).iter().map(|line| masked(line)).collect();
    assert_eq!(
        access,
        [
            "127.0.0.1 - [] GET /a.txt HTTP/1.1 200 5",
            "127.0.0.1 - [] HEAD /a.txt HTTP/1.1 200 -",
            "127.0.0.1 - [] GET /a.txt HTTP/1.0 304 -"
        ]
    );
    let error: Vec<String> = lines(&server, "error.log", 4).iter().map(|line| masked(line)).collect();
    assert_eq!(
        error,
        [
            "127.0.0.1 - [] [error 404] Not Found /nothing",
            "127.0.0.1 - [] [error 405] Method Not Allowed PUT",
            "127.0.0.1 - [] [error 501] Not Implemented BREW",
            "127.0.0.1 - [] [error 400] Bad Request"
        ]
    );
    for name in ["access.log", "error.log"] {
        let mode = fs::metadata(server.dir.path("log").join(name)).expect("a log").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
    // 64 KB a file, and two old ones.
    for _ in 0..8 {
        let mut client = server.client();
        client.send(request("GET /a.txt", "").repeat(600));
        (0..600).for_each(|_| _ = client.answer(false).is(200));
        thread::sleep(Duration::from_millis(300));
    }
    let size = |name: &str| fs::metadata(server.dir.path("log").join(name)).map_or(0, |about| about.len());
    assert!(eventually(|| size("access.log.2") > 0 && size("access.log") > 0), "no rotation");
    thread::sleep(Duration::from_millis(1600));
    for name in ["access.log", "access.log.1", "access.log.2"] {
        assert!((1..=64 * 1024).contains(&size(name)), "{name} has {}", size(name));
        assert!(text(&server, name).lines().all(|line| line.ends_with(" 200 5") || line.contains("HTTP/1")));
    }
    assert_eq!(size("access.log.3"), 0);
}

#[test]
fn common_combined_and_json() {
    let fields = "Referer: http://x/\"y\r\nUser-Agent: A\\B\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    for (format, access, error) in [
        (
            "common",
            r#"127.0.0.1 - Aladdin [] "GET /a.txt?q=%22 HTTP/1.1" 200 5"#,
            r#"127.0.0.1 - - [] "GET /no HTTP/1.1" 404 "#,
        ),
        (
            "combined",
            r#"127.0.0.1 - Aladdin [] "GET /a.txt?q=%22 HTTP/1.1" 200 5 "http://x/\x22y" "A\x5cB""#,
            r#"127.0.0.1 - - [] "GET /no HTTP/1.1" 404 "#,
        ),
    ] {
        // Where no ErrorLog is named all requests are in one log.
        let server = setup(&["AccessLog ../log/all.log", &format!("Format {format}")]).start();
        let mut client = server.client();
        client.ask("GET /a.txt?q=%22", fields).is(200);
        client.get("/no").is(404);
        let lines = lines(&server, "all.log", 2);
        assert_eq!(masked(&lines[0]), access);
        assert!(masked(&lines[1]).starts_with(error), "{lines:?}");
    }
    let server = setup(&["AccessLog ../log/all.log", "ErrorLog ../log/bad.log", "Format json"]).start();
    server.ask("GET /a.txt?q=%22", fields).is(200);
    server.get("/no").is(404);
    let lines_of = |name| lines(&server, name, 1).remove(0);
    let (start, rest) =
        lines_of("all.log").split_once("Z\",").map(|(a, b)| (a.to_string(), b.to_string())).expect("a time");
    assert!(start.starts_with("{\"time\":\"20"), "{start}");
    let wanted = r#""remote":"127.0.0.1","method":"GET","path":"/a.txt","query":"q=%22","status":200,"bytes":5,"referer":"http://x/\"y","agent":"A\\B","host":"test"}"#;
    assert_eq!(rest, wanted);
    assert!(lines_of("bad.log").contains(r#""path":"/no","query":"","status":404,"#));
}

#[test]
fn no_request_forges_a_line() {
    let evil = b"\"\\ [error 200] \xff\xc3\xa9\t\xe2\x80\xa8x\xc2\x9b2J\xc2\x85";
    for format in ["monkey", "common", "combined", "json"] {
        let server = setup(&["AccessLog ../log/l", "ErrorLog ../log/l", &format!("Format {format}")]).start();
        let mut client = server.client();
        let mut sent = 0;
        for target in ["/%0d%0a127.0.0.1%20-%20forged", "/a.txt?\"\\", "/%22%5c%00", "/\\x0a\"", "/a.txt"] {
            let mut bytes = format!("GET {target} HTTP/1.1\r\nHost: test\r\n").into_bytes();
            for name in ["Referer: ", "User-Agent: ", "Authorization: "] {
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(evil);
                bytes.extend_from_slice(b"\r\n");
            }
            // A user with a line end, an escape and a quote in the name.
            bytes.extend_from_slice(b"X: 1\r\n\r\n");
            client.send(bytes).answer(false);
            client.ask(&format!("GET {target}"), "Authorization: Basic YQoiGy1iIFxdOng=\r\n");
            sent += 2;
        }
        for line in lines(&server, "l", sent) {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line:?}");
            match format {
                "json" => {
                    assert!(line.starts_with("{\"time\":\"") && line.ends_with("\"host\":\"test\"}"), "{line}");
                    let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
                    assert_eq!(quotes, 36, "{line}");
                }
                _ => {
                    assert!(line.is_ascii() && line.starts_with("127.0.0.1 - "), "{line}");
                    let quotes = line.matches('"').count();
                    match format {
                        "common" => assert_eq!(quotes, 2, "{line}"),
                        "combined" => assert_eq!(quotes, 6, "{line}"),
                        _ => assert!(!line.contains("forged") || line.contains("%20forged"), "{line}"),
                    }
                }
            }
        }
    }
}

#[test]
fn lines_wait_for_their_time_and_the_end_writes_them() {
    let mut server = with(&BOTH, "    FlushTimeout 3600\n").start();
    server.get("/a.txt").is(200);
    thread::sleep(Duration::from_millis(900));
    assert_eq!(text(&server, "access.log"), "");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    lines(&server, "access.log", 1);

    let server = setup(&BOTH).start();
    let begun = Instant::now();
    server.get("/a.txt").is(200);
    lines(&server, "access.log", 1);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn as_many_lines_as_requests() {
    for transport in ["Scheduler Fair", "Scheduler ReusePort"] {
        let mut server = setup(&BOTH).server("MaxKeepAliveRequest 100000").server(transport).start();
        const CLIENTS: usize = 6;
        const ROUNDS: usize = 20;
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client();
                    for round in 0..ROUNDS {
                        // Sixteen at once, then one.
                        let batch: String =
                            (0..16).map(|at| request(&format!("GET /a.txt?{number}.{round}.{at}"), "")).collect();
                        client.send(batch);
                        (0..16).for_each(|_| _ = client.answer(false).is(200));
                        client.get("/nothing").is(404);
                        // So that a busy machine has the time to empty the pipes.
                        thread::sleep(Duration::from_millis(2));
                    }
                });
            }
        });
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        lines(&server, "access.log", CLIENTS * ROUNDS * 16);
        lines(&server, "error.log", CLIENTS * ROUNDS);
    }
}

#[test]
fn files_that_are_renamed_or_cut_need_no_signal() {
    let server = setup(&BOTH[..1]).workers(1).start();
    let path = server.dir.path("log/access.log");
    let mut client = server.client();
    client.get("/a.txt").is(200);
    lines(&server, "access.log", 1);
    fs::rename(&path, server.dir.path("log/old")).expect("a rename");
    client.get("/a.txt?2").is(200);
    client.get("/a.txt?3").is(200);
    lines(&server, "access.log", 2);
    lines(&server, "old", 1);
    // As logrotate with `create` does it.
    fs::rename(&path, server.dir.path("log/old2")).expect("a rename");
    fs::write(&path, "").expect("a file");
    client.get("/a.txt").is(200);
    lines(&server, "access.log", 1);
    lines(&server, "old2", 2);
    // And with `copytruncate`.
    fs::write(&path, "").expect("a file");
    client.get("/a.txt").is(200);
    assert!(lines(&server, "access.log", 1)[0].starts_with("127.0.0.1"), "no hole of zeros");
    fs::remove_file(&path).expect("a file");
    client.get("/a.txt").is(200);
    lines(&server, "access.log", 1);
}

#[test]
fn usr1_opens_files_at_once() {
    let server = with(&BOTH, "    FlushTimeout 3600\n").start();
    let path = server.dir.path("log/access.log");
    fs::rename(&path, server.dir.path("log/old")).expect("a rename");
    server.signal("USR1");
    assert!(eventually(|| path.exists()), "not made anew");
    assert!(eventually(|| server.log().contains("signal USR1")), "not told");
}

#[test]
fn a_folder_that_goes_away_and_comes_back() {
    // What a sandbox allows is the folder there was.
    let mut server = setup(&BOTH[..1]).server("Sandbox Off").start();
    server.get("/a.txt").is(200);
    lines(&server, "access.log", 1);
    fs::remove_dir_all(server.dir.path("log")).expect("a folder");
    for _ in 0..3 {
        server.get("/a.txt").is(200);
        thread::sleep(Duration::from_millis(500));
    }
    let warning = "access.log: cannot open it: its directory is not there; trying again";
    assert!(eventually(|| server.logged(warning)));
    fs::create_dir(server.dir.path("log")).expect("a folder");
    lines(&server, "access.log", 3);
    assert!(eventually(|| server.logged("access.log: written again")));
    assert_eq!(server.log().matches(warning).count(), 1, "one warning an episode");
    assert!(server.is_running());
}

#[test]
fn a_folder_that_comes_after_the_start() {
    let setup = Setup::new().file("a.txt", "alpha").section("LOGGER", &["AccessLog ../later/access.log"]);
    let setup = setup.server("Sandbox Off");
    setup.dir.write("conf/plugins/logger/logger.conf", "[LOGGER]\n    FlushTimeout 1\n");
    let server = setup.start();
    assert!(server.logged("later/access.log: cannot open it"));
    server.get("/a.txt").is(200);
    fs::create_dir(server.dir.path("later")).expect("a folder");
    let path = server.dir.path("later/access.log");
    assert!(eventually(|| fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 1)));
}

#[test]
fn a_symbolic_link_is_no_log() {
    let link = setup(&BOTH[..1]);
    link.dir.write("victim", "precious");
    std::os::unix::fs::symlink("../victim", link.dir.path("log/access.log")).expect("a link");
    let server = link.start();
    assert!(server.logged("access.log: cannot open it: it is a symbolic link"));
    server.get("/a.txt").is(200);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(fs::read_to_string(server.dir.path("victim")).expect("a file"), "precious");
    let server = setup(&["AccessLog ../root"]).start();
    assert!(server.logged("root: cannot open it: it is a directory"));
}

#[test]
fn a_full_disk() {
    if !run("unshare", &["--mount", "true"]) {
        return skipped("this user may not mount anything");
    }
    let script = "mount -t tmpfs -o size=128k none log; head -c 126976 /dev/zero > log/filler; exec \"$@\"";
    let server = setup(&BOTH[..1]).workers(1).start_among_mounts(script);
    let log = format!("/proc/{}/root{}", server.pid(), server.dir.path("log").display());
    let log = Path::new(&log);
    let mut client = server.client();
    for _ in 0..3 {
        (0..60).for_each(|_| _ = client.get("/a.txt").is(200));
        thread::sleep(Duration::from_millis(700));
    }
    let warning = "access.log: cannot write it: no room is left on the device; trying again";
    assert!(eventually(|| server.logged(warning)), "{:?}", fs::read_to_string(log.join("access.log")));
    client.get("/a.txt").is(200);
    fs::remove_file(log.join("filler")).expect("the filler");
    let count = || fs::read_to_string(log.join("access.log")).unwrap_or_default().lines().count();
    assert!(eventually(|| count() == 181), "{}", count());
    let text = fs::read_to_string(log.join("access.log")).expect("a log");
    assert!(text.lines().all(|line| line.starts_with("127.0.0.1 - [") && line.ends_with(" GET /a.txt HTTP/1.1 200 5")));
    assert!(eventually(|| server.logged("written again")));
    assert_eq!(server.log().matches(warning).count(), 1);
}

#[test]
fn a_line_that_a_full_disk_cut_in_two() {
    if !run("unshare", &["--mount", "true"]) {
        return skipped("this user may not mount anything");
    }
    // Room for 20 KB, but for what an old file takes.
    let script = "mount -t tmpfs -o size=64k none log; head -c 45056 /dev/zero > log/access.log.1; exec \"$@\"";
    for rotation in ["", "    MaxSize 24\n    Keep 1\n"] {
        let setup = with(&BOTH[..1], &format!("    FlushTimeout 1\n{rotation}")).workers(1);
        let server = setup.start_among_mounts(script);
        let log = format!("/proc/{}/root{}", server.pid(), server.dir.path("log").display());
        let log = Path::new(&log);
        let text = |name: &str| fs::read_to_string(log.join(name)).unwrap_or_default();
        let mut client = server.client();
        let mut asked = 0;
        let mut ask = |count: usize| {
            (0..count).for_each(|_| _ = client.get("/a.txt").is(200));
            asked += count;
            asked
        };
        ask(300);
        assert!(eventually(|| text("access.log").lines().count() == 300));
        ask(60);
        let warning = "access.log: cannot write it: no room is left on the device; trying again";
        assert!(eventually(|| server.logged(warning)));
        let cut = text("access.log");
        assert!(cut.len() == 20480 && !cut.ends_with('\n'), "{cut}");
        // An attempt, and in vain.
        server.signal("USR1");
        assert!(eventually(|| server.logged("signal USR1")));
        thread::sleep(Duration::from_millis(300));
        assert!(!server.logged("written again"), "{}", server.log());
        if rotation.is_empty() {
            // What an operator does who needs room.
            fs::File::create(log.join("access.log")).expect("a log");
        }
        // With these the file would become too large.
        let asked = ask(60);
        assert!(eventually(|| server.logged("written again")), "{}", server.log());
        let old = if rotation.is_empty() { cut } else { text("access.log.1") };
        let whole = |text: &str| text.lines().filter(|line| line.ends_with(" 200 5")).count();
        assert!(eventually(|| whole(&old) + whole(&text("access.log")) + 1 == asked), "{}", text("access.log"));
        let text = text("access.log");
        assert_eq!(told_lost(&text), 1, "{text}");
        let is_line = |line: &str| line.starts_with("127.0.0.1 - [") || line.starts_with("- - [");
        assert!(text.ends_with('\n') && text.lines().all(is_line), "{text}");
    }
}

/// How many lines were lost, as metrics have it.
#[cfg(feature = "plugin-metrics")]
fn lost(server: &Server) -> u64 {
    let answer = server.get("/metrics").is(200);
    let lines = answer.text().lines().filter(|line| line.starts_with("monkey_log_lines_lost_total{"));
    lines.map(|line| line.rsplit_once(' ').and_then(|(_, count)| count.parse::<u64>().ok()).expect(line)).sum()
}

fn told_lost(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.strip_suffix(" lines lost"));
    lines.map(|line| line.rsplit_once("] ").and_then(|(_, count)| count.parse::<u64>().ok()).expect(line)).sum()
}

#[cfg(feature = "plugin-metrics")]
#[test]
fn a_log_that_is_stuck_holds_nobody_up() {
    // A fifo nobody reads, and a file somebody else has locked.
    for fifo in [true, false] {
        let setup =
            setup(&BOTH[..1]).section("HANDLERS", &["Location /metrics metrics"]).server("MaxKeepAliveRequest 100000");
        let path = setup.dir.path("log/access.log");
        let mut holder = None;
        let mut reader = None;
        if fifo {
            assert!(run("mkfifo", &[&path.display().to_string()]), "mkfifo");
            reader = Some(fs::File::options().read(true).write(true).open(&path).expect("a fifo"));
        } else {
            let file = fs::File::create(&path).expect("a file");
            file.lock().expect("a lock");
            holder = Some(file);
        }
        let server = setup.start();
        let mut client = server.client();
        const REQUESTS: usize = 4000;
        let begun = Instant::now();
        for _ in 0..REQUESTS / 100 {
            client.send(request("GET /a.txt", "").repeat(100));
            (0..100).for_each(|_| _ = client.answer(false).is(200));
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(eventually(|| lost(&server) > 0), "the pipes hold 128 KB, and there were more");
        thread::sleep(Duration::from_millis(1500));
        // It goes on, and says what is missing.
        drop(holder);
        let text = match reader {
            Some(mut file) => {
                let (sender, receiver) = std::sync::mpsc::channel();
                thread::spawn(move || {
                    let mut bytes = [0; 65536];
                    while let Ok(count @ 1..) = file.read(&mut bytes) {
                        let _ = sender.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
                    }
                });
                let mut all = String::new();
                while let Ok(more) = receiver.recv_timeout(Duration::from_secs(3)) {
                    all.push_str(&more);
                }
                all
            }
            None => {
                assert!(eventually(|| told_lost(&fs::read_to_string(&path).unwrap_or_default()) > 0));
                thread::sleep(Duration::from_millis(1800));
                fs::read_to_string(&path).expect("a log")
            }
        };
        let lost = lost(&server);
        assert_eq!(told_lost(&text), lost, "told and counted");
        let told = text.lines().filter(|line| line.ends_with(" lines lost")).count();
        let written = text.lines().count() - told;
        let asked = text.lines().filter(|line| line.contains("/metrics")).count();
        // Of the requests for metrics some may be lost too, and the last may be on its way.
        let whole = written as u64 + lost;
        assert!((REQUESTS as u64..=REQUESTS as u64 + asked as u64 + 10).contains(&whole), "{written} + {lost}");
    }
}

#[test]
fn the_end_does_not_wait_for_a_log_that_is_stuck() {
    let setup = setup(&BOTH[..1]);
    let file = fs::File::create(setup.dir.path("log/access.log")).expect("a file");
    file.lock().expect("a lock");
    let mut server = setup.start();
    server.get("/a.txt").is(200);
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn two_sites_share_a_file() {
    let setup = setup(&["AccessLog ../log/shared.log"]).site("second", &["ServerName second"]);
    let path = setup.dir.path("conf/sites/second");
    let site = fs::read_to_string(&path).expect("a site");
    fs::write(&path, format!("{site}[LOGGER]\n    AccessLog ../conf/../log/./shared.log\n    Format common\n"))
        .expect("a site");
    setup.dir.write("second/a.txt", "beta!");
    let server = setup.start();
    let mut client = server.client();
    client.get("/a.txt").is(200);
    client.send("GET /a.txt HTTP/1.1\r\nHost: second\r\n\r\n").answer(false).is(200);
    let lines = lines(&server, "shared.log", 2);
    assert_eq!(masked(&lines[0]), "127.0.0.1 - [] GET /a.txt HTTP/1.1 200 5");
    assert_eq!(masked(&lines[1]), "127.0.0.1 - - [] \"GET /a.txt HTTP/1.1\" 200 5");
    let open = server.open_paths().iter().filter(|path| path.ends_with("shared.log")).count();
    assert_eq!(open, 1, "one log");
}

/// Writes sites/default with other lines in [LOGGER], and has it read.
fn relog(server: &Server, lines: &str) {
    let path = server.dir.path("conf/sites/default");
    let site = fs::read_to_string(&path).expect("a site");
    let site = site.split("[LOGGER]").next().expect("the site");
    fs::write(&path, format!("{site}{lines}")).expect("a site");
    server.reload();
    // Each worker takes it up at the end of a turn.
    thread::sleep(Duration::from_millis(100));
}

#[test]
fn a_reload_opens_and_closes_logs() {
    let server = setup(&["AccessLog ../log/one.log"]).start();
    let mut clients = [server.client(), server.client(), server.client()];
    let mut ask = || clients.iter_mut().for_each(|client| _ = client.get("/a.txt").is(200));
    let holds = |name: &str| server.open_paths().iter().any(|path| path.ends_with(name));
    ask();
    let before = server.descriptors();
    relog(&server, "[LOGGER]\n    AccessLog ../log/two.log\n    Format common\n");
    ask();
    lines(&server, "one.log", 3);
    assert!(lines(&server, "two.log", 3)[0].contains("- - ["));
    assert!(eventually(|| !holds("one.log")), "{:?}", server.open_paths());
    assert_eq!(server.descriptors(), before);
    relog(&server, "[LOGGER]\n    AccessLog ../log/two.log\n    ErrorLog ../log/three.log\n");
    assert!(server.logged("8 KB more than MemoryLimit was divided for"));
    ask();
    server.get("/nothing").is(404);
    lines(&server, "two.log", 6);
    lines(&server, "three.log", 1);
    relog(&server, "");
    ask();
    assert!(eventually(|| !holds("two.log") && !holds("three.log")));
    lines(&server, "two.log", 6);
    relog(&server, "[LOGGER]\n    AccessLog ../log/one.log\n");
    ask();
    lines(&server, "one.log", 6);
    // What is wrong changes nothing.
    relog(&server, "[LOGGER]\n    AccessLog ../log/\n");
    assert!(server.logged("AccessLog cannot be a directory"));
    ask();
    lines(&server, "one.log", 9);
}

#[test]
fn reloads_lose_no_line() {
    let mut server = setup(&["AccessLog ../log/a.log"]).server("MaxKeepAliveRequest 100000").start();
    let asked: usize = thread::scope(|scope| {
        let asking: Vec<_> = (0..3)
            .map(|_| {
                let server = &server;
                scope.spawn(move || {
                    let (mut client, mut asked) = (server.client(), 0);
                    let end = Instant::now() + Duration::from_millis(2500);
                    while Instant::now() < end {
                        client.get("/a.txt").is(200);
                        asked += 1;
                        thread::sleep(Duration::from_micros(100));
                    }
                    asked
                })
            })
            .collect();
        for round in 0..10 {
            let name = ["b", "a"][round % 2];
            relog(&server, &format!("[LOGGER]\n    AccessLog ../log/{name}.log\n"));
            thread::sleep(Duration::from_millis(100));
        }
        asking.into_iter().map(|thread| thread.join().expect("a client")).sum()
    });
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    // On a busy machine the thread may come too late for a pipe; then that is told.
    let count = |name| text(&server, name).lines().filter(|line| line.ends_with(" 200 5")).count();
    let told = told_lost(&text(&server, "a.log")) + told_lost(&text(&server, "b.log"));
    assert_eq!(count("a.log") + count("b.log") + told as usize, asked);
    assert!(told as usize <= asked / 10, "{told} of {asked}");
    assert!(count("b.log") > 0);
}

#[test]
fn a_hand_over_loses_no_line() {
    let mut server = setup(&["AccessLog ../log/access.log"]).server("KeepAlive Off").argument("--supervise").start();
    let mut asked = 0;
    let path = server.dir.path("conf/monkey.conf");
    for workers in [1, 2] {
        (0..50).for_each(|_| _ = server.get("/a.txt").is(200));
        asked += 50;
        let conf = fs::read_to_string(&path).expect("a file");
        let old = if workers == 1 { 2 } else { 1 };
        fs::write(&path, conf.replace(&format!("Workers {old}"), &format!("Workers {workers}"))).expect("a file");
        let before = server.log().matches(" workers, up to ").count();
        server.signal("HUP");
        while server.log().matches(" workers, up to ").count() == before {
            server.get("/a.txt").is(200);
            asked += 1;
        }
    }
    (0..50).for_each(|_| _ = server.get("/a.txt").is(200));
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    lines(&server, "access.log", asked + 50);
}

#[test]
fn a_kill_loses_what_was_not_written_yet() {
    let mut server = setup(&BOTH[..1]).start();
    let mut client = server.client();
    (0..50).for_each(|_| _ = client.get("/a.txt").is(200));
    thread::sleep(Duration::from_millis(2500));
    client.get("/a.txt").is(200);
    signal(server.pid(), "KILL");
    assert_eq!(server.ended(), None);
    lines(&server, "access.log", 50);
}

#[test]
fn standard_error_and_memory() {
    let server = setup(&["Target stderr", "Format common"]).start();
    server.get("/a.txt").is(200);
    server.get("/nothing").is(404);
    assert!(eventually(
        || server.logged("\"GET /a.txt HTTP/1.1\" 200 5\n") && server.logged("\"GET /nothing HTTP/1.1\" 404 ")
    ));
    let mut server = setup(&["Target memory:16"]).start();
    let mut client = server.client();
    (0..500).for_each(|_| _ = client.get("/a.txt").is(200));
    thread::sleep(Duration::from_millis(1500));
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
}

#[cfg(feature = "plugin-cheetah")]
#[test]
fn the_admin_shell_shows_the_ring() {
    let setup = setup(&["Target memory:1"]).server("MemoryLimit 9000");
    setup.dir.write("conf/plugins/cheetah/cheetah.conf", "[CHEETAH]\n    Listen SERVER\n    Socket ../run.sock\n");
    let server = setup.start();
    let socket = server.dir.path("run.sock");
    let log = |count: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
        command.args(["cheetah", "-s", socket.to_str().expect("a path"), "log", count]);
        Server::run_to_end(command).out
    };
    let shown = |ends: &[&str], count: &str| {
        let there = eventually(|| {
            let out = log(count);
            out.lines().count() == ends.len() && out.lines().zip(ends).all(|(line, end)| line.ends_with(end))
        });
        assert!(there, "not {ends:?} but\n{}", log(count));
    };
    let mut client = server.client();
    client.get("/a.txt").is(200);
    client.get("/nothing").is(404);
    shown(&["] GET /a.txt HTTP/1.1 200 5", "] [error 404] Not Found /nothing"], "20");
    shown(&["] [error 404] Not Found /nothing"], "1");
    // Many times round: only whole lines, the newest last.
    (0..100).for_each(|_| _ = client.get("/nothing").is(404));
    client.get("/a.txt").is(200);
    shown(&["] [error 404] Not Found /nothing", "] GET /a.txt HTTP/1.1 200 5"], "2");
    let all = log("500");
    assert!((10..20).contains(&all.lines().count()), "{all}");
    assert!(all.lines().all(|line| line.starts_with("127.0.0.1 - [")), "{all}");
}

#[cfg(feature = "plugin-cheetah")]
#[test]
fn what_the_admin_shell_has_no_room_for_are_the_oldest_lines() {
    let setup = setup(&["Target memory:256", "Format combined"]).server("MemoryLimit 9000");
    setup.dir.write("conf/plugins/cheetah/cheetah.conf", "[CHEETAH]\n    Listen SERVER\n    Socket ../run.sock\n");
    let server = setup.start();
    let socket = server.dir.path("run.sock");
    let mut client = server.client();
    let agent = format!("User-Agent: {}\r\n", "\"\\u".repeat(100));
    for number in 0..200 {
        client.ask(&format!("GET /a.txt?{number}"), &agent).is(200);
    }
    let log = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
        command.args(["cheetah", "-s", socket.to_str().expect("a path"), "log", "999"]).args(words);
        Server::run_to_end(command)
    };
    assert!(eventually(|| log(&[]).out.contains("?199 ")), "{}", log(&[]).out);
    for words in [&[][..], &["--json"]] {
        let ended = log(words);
        assert_eq!(ended.code, Some(0), "{}", ended.out);
        assert!(
            ended.out.contains("?199 ") && ended.out.contains("?180 ") && !ended.out.contains("?0 "),
            "{}",
            ended.out
        );
    }
}

/// A server that logs in a form to the system log, and where the socket of that is to be. None = it can not be had here.
fn to_the_system_log(format: &str) -> Option<(Setup, PathBuf, String)> {
    if !run("unshare", &["--mount", "true"]) {
        skipped("this user may not mount anything");
        return None;
    }
    if cfg!(not(feature = "syslog")) {
        skipped("built without the system log");
        return None;
    }
    let setup = setup(&["Target syslog", format]);
    let socket = setup.dir.path("socket");
    let script = format!("mount -t tmpfs none /dev; ln -s {} /dev/log; exec \"$@\"", socket.display());
    Some((setup, socket, script))
}

/// Whoever reads the system log.
fn daemon(socket: &Path) -> UnixDatagram {
    let daemon = UnixDatagram::bind(socket).expect("a socket");
    daemon.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    daemon
}

#[test]
fn the_system_log() {
    let Some((setup, socket, script)) = to_the_system_log("Format combined") else { return };
    let daemon = daemon(&socket);
    let server = setup.start_among_mounts(&script);
    for path in ["/a.txt", "/nothing"] {
        server.get(path);
        let mut bytes = [0; 4096];
        let size = received(&daemon, &mut bytes).expect("a line");
        let text = String::from_utf8_lossy(&bytes[..size]).into_owned();
        // Facility daemon, severity informational.
        assert!(text.starts_with(&format!("<30>monkey[{}]: 127.0.0.1 - - [", server.pid())), "{text}");
        assert!(text.contains(&format!("\"GET {path} HTTP/1.1\" ")) && text.ends_with(" \"-\" \"-\""), "{text}");
    }
}

#[test]
fn a_system_log_that_is_not_there() {
    let Some((setup, socket, script)) = to_the_system_log("Format common") else { return };
    let server = setup.workers(1).start_among_mounts(&script);
    let mut client = server.client();
    (0..5).for_each(|_| _ = client.get("/a.txt").is(200));
    assert!(eventually(|| server.logged("log syslog: cannot write it: nobody reads it; trying again")));
    let daemon = daemon(&socket);
    let mut bytes = [0; 4096];
    let size = received(&daemon, &mut bytes).expect("a line");
    let text = String::from_utf8_lossy(&bytes[..size]);
    assert!(text.ends_with("] 5 lines lost"), "{text}");
    assert!(eventually(|| server.logged("log syslog: written again")));
}

#[test]
fn standard_error_that_nobody_reads() {
    let setup = setup(&["Target stderr"]).server("MaxKeepAliveRequest 100000").listen("127.0.0.1:0");
    let mut child =
        setup.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut pipe = child.stderr.take().expect("a pipe");
    // Up to where it says that it is up, and no further.
    let (mut log, mut byte) = (String::new(), [0]);
    while !(log.contains(" workers, up to ") && log.ends_with('\n')) {
        assert_eq!(pipe.read(&mut byte).expect("a byte"), 1, "{log}");
        log.push(char::from(byte[0]));
    }
    let address = *crate::util::listening(&log).first().expect("a listener");
    let mut client = crate::util::Client::new(address, crate::util::Record::default());
    for _ in 0..40 {
        client.send(request("GET /a.txt", "").repeat(100));
        (0..100).for_each(|_| _ = client.answer(false).is(200));
    }
    let begun = Instant::now();
    signal(child.id(), "TERM");
    let ended = eventually(|| child.try_wait().expect("a child").is_some());
    let _ = child.kill();
    let _ = child.wait();
    assert!(ended && begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn the_servers_own_messages() {
    let setup = with(&["Format common"], "    FlushTimeout 1\n    MasterLog ../log/master.log\n");
    let mut child =
        setup.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let path = setup.dir.path("log/master.log");
    let has = |what: &str| eventually(|| fs::read_to_string(&path).unwrap_or_default().contains(what));
    let up = has(" workers, up to ");
    signal(child.id(), "USR2");
    let told = has("INFO: state: ");
    signal(child.id(), "TERM");
    let ended = eventually(|| child.try_wait().expect("a child").is_some());
    let _ = child.kill();
    let output = child.wait_with_output().expect("its output");
    let (text, log) =
        (fs::read_to_string(&path).unwrap_or_default(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(up && told && ended, "{text}\n{log}");
    assert!(text.ends_with("INFO: stopped\n"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("20") && line.contains("Z monkey[")), "{text}");
    assert!(log.contains("Server listening on ") && !log.contains("state: "), "{log}");
}

#[test]
fn trouble_of_the_log_of_messages_is_not_told_there_alone() {
    let setup = with(&[], "    FlushTimeout 1\n    MasterLog ../log/master.log\n").server("Sandbox Off");
    let log = setup.dir.path("log");
    let mut child =
        setup.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let up =
        eventually(|| fs::read_to_string(log.join("master.log")).is_ok_and(|text| text.contains(" workers, up to ")));
    fs::remove_dir_all(&log).expect("a folder");
    signal(child.id(), "USR2");
    thread::sleep(Duration::from_millis(2500));
    fs::create_dir(&log).expect("a folder");
    let again = eventually(|| fs::read_to_string(log.join("master.log")).is_ok_and(|text| text.contains("state: ")));
    signal(child.id(), "TERM");
    let ended = eventually(|| child.try_wait().expect("a child").is_some());
    let _ = child.kill();
    let text = String::from_utf8_lossy(&child.wait_with_output().expect("its output").stderr).into_owned();
    assert!(up && again && ended, "{text}");
    assert!(text.contains("master.log: cannot open it: its directory is not there; trying again\n"), "{text}");
}

#[test]
fn a_log_outside_of_the_chroot() {
    if !is_root() {
        return skipped("only root may change the root directory");
    }
    let setup = setup(&["AccessLog ../log/access.log"])
        .server("Chroot ../")
        .server("User nobody")
        .server("Sandbox Off")
        .host("DocumentRoot ../root");
    let outside = crate::util::Dir::new();
    for dir in [setup.dir.path("log"), outside.path("")] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).expect("its mode");
    }
    let path = outside.path("error.log");
    let setup = setup.text(&format!("    ErrorLog {}\n", path.display()));
    let server = setup.start();
    server.get("/a.txt").is(200);
    server.get("/nothing").is(404);
    lines(&server, "access.log", 1);
    let count = || fs::read_to_string(&path).unwrap_or_default().lines().count();
    assert!(eventually(|| count() == 1));
    // Out of the server's reach by its path, but not by its folder, which is open.
    fs::rename(&path, outside.path("old")).expect("a rename");
    server.get("/nothing").is(404);
    assert!(eventually(|| count() == 1));
}

#[test]
fn rights_that_were_given_up() {
    if !is_root() {
        return skipped("only root can give rights up");
    }
    let server = setup(&BOTH[..1]).server("User nobody").workers(1).start();
    server.get("/a.txt").is(200);
    lines(&server, "access.log", 1);
    // The file it has is root's: there is nothing to open.
    server.signal("USR1");
    assert!(eventually(|| server.logged("signal USR1")));
    server.get("/a.txt").is(200);
    lines(&server, "access.log", 2);
    assert!(!server.logged("cannot open"), "{}", server.log());
    fs::rename(server.dir.path("log/access.log"), server.dir.path("log/old")).expect("a rename");
    for count in 3..5 {
        server.get("/a.txt").is(200);
        lines(&server, "old", count);
    }
    let warning = "cannot open it: permission denied: its directory must be writable by User";
    assert_eq!(server.log().matches(warning).count(), 1);
    // One that is removed is not written on: that would lose lines, and say nothing.
    fs::remove_file(server.dir.path("log/old")).expect("a file");
    server.get("/a.txt").is(200);
    thread::sleep(Duration::from_millis(1500));
    fs::set_permissions(server.dir.path("log"), fs::Permissions::from_mode(0o777)).expect("its mode");
    lines(&server, "access.log", 1);
}

#[test]
fn nothing_wakes_the_thread_while_nothing_is_logged() {
    let server = setup(&BOTH).start();
    server.get("/a.txt").is(200);
    lines(&server, "access.log", 1);
    thread::sleep(Duration::from_millis(1500));
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process").flatten();
    let name = |path: &Path| fs::read_to_string(path.join("comm")).unwrap_or_default();
    let task =
        tasks.map(|task| task.path()).find(|path| name(path).trim_end() == "monkey: logger").expect("the thread");
    let switches = || {
        let status = fs::read_to_string(task.join("status")).expect("its state");
        let line =
            status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:")).expect("a line").to_string();
        line.rsplit('\t').next().and_then(|count| count.trim().parse::<u64>().ok()).expect("a number")
    };
    let before = switches();
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(switches(), before);
}

#[test]
fn without_a_log_there_is_no_thread() {
    let server = Setup::new().file("a.txt", "alpha").start();
    server.get("/a.txt").is(200);
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process").flatten();
    let names: Vec<String> =
        tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default()).collect();
    assert!(!names.iter().any(|name| name.contains("logger")), "{names:?}");
}

#[test]
fn configuration_that_is_wrong() {
    for (line, at, what) in [
        ("AccessLog ../log/", ":6:15: ", "AccessLog cannot be a directory: name a file in it"),
        ("Format xml", ":6:12: ", "Format cannot be \"xml\": write one of monkey, common, combined, json"),
        (
            "Target disk",
            ":6:12: ",
            "Target cannot be \"disk\": write file, syslog, stderr or memory:KB, KB from 1 to 4096",
        ),
        ("Target memory:0", ":6:12: ", "Target cannot be \"memory:0\""),
        ("Target memory:9999", ":6:12: ", "Target cannot be \"memory:9999\""),
        ("Accesslogs x", ":6:5: ", "unknown key Accesslogs in [LOGGER]: did you mean AccessLog?"),
    ] {
        let ended = setup(&["# a comment", line]).run();
        assert_eq!(ended.code, Some(1), "{line}");
        let wanted = format!("conf/sites/default{at}{what}");
        assert!(ended.log.contains(&wanted), "{wanted} is not in\n{}", ended.log);
    }
    for (line, what) in [
        ("FlushTimeout 0", ":2:18: FlushTimeout cannot be \"0\": write a whole number of seconds from 1 to 3600"),
        ("FlushTimeout -1", ":2:18: FlushTimeout cannot be \"-1\""),
        ("Keep 0", ":2:10: Keep cannot be \"0\""),
        ("MasterLog /tmp/", ":2:15: MasterLog cannot be a directory"),
    ] {
        let ended = with(&[], &format!("    {line}\n")).run();
        assert_eq!(ended.code, Some(1), "{line}");
        let wanted = format!("conf/plugins/logger/logger.conf{what}");
        assert!(ended.log.contains(&wanted), "{wanted} is not in\n{}", ended.log);
    }
    let server = setup(&["AccessLog x", "Target stderr"]).start();
    assert!(server.logged("AccessLog has no effect with Target stderr"));
}

#[test]
fn the_shipped_file_logs_nothing() {
    let setup = Setup::new().file("a.txt", "alpha");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/plugins/logger/logger.conf");
    setup.dir.write("conf/plugins/logger/logger.conf", fs::read(shipped).expect("the shipped file"));
    let server = setup.start();
    server.get("/a.txt").is(200);
    assert!(!server.log().contains("logger.conf"), "{}", server.log());
    assert!(server.open_paths().iter().all(|path| path.extension().is_none_or(|extension| extension != "log")));
}
