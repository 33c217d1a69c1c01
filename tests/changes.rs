use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{Client, Server, Setup, eventually, pattern, set_mtime};

/// How soon a change must be seen, with much to spare for a busy machine; decisions are a second, and two.
const SOON: Duration = Duration::from_secs(5);

/// Asks on one connection, so that always the same worker answers, until the answer is as wanted.
fn becomes(client: &mut Client, path: &str, wanted: (u16, &str)) {
    let begun = Instant::now();
    loop {
        let answer = client.get(path);
        if (answer.status, if answer.status == 200 { answer.text() } else { "" }) == wanted {
            return;
        }
        assert!(begun.elapsed() < SOON, "{path} is still {} {:?}", answer.status, answer.text());
        thread::sleep(Duration::from_millis(20));
    }
}

fn serve(setup: Setup) -> Server {
    setup.server("MaxKeepAliveRequest 1000000").start()
}

#[test]
fn files_that_change_are_seen() {
    let names = ["edited", "replaced", "same-size", "cut", "grown", "deleted", "turned"];
    let setup = names.iter().fold(Setup::new(), |setup, name| setup.file(name, "the content before"));
    let server = serve(setup.file("dir/index.html", "index").file("mode", "x"));
    let mut client = server.client();
    for name in names {
        assert_eq!(client.get(&format!("/{name}")).is(200).text(), "the content before");
    }
    client.get("/new").is(404);
    client.get("/dir/").is(200);
    let tags: Vec<String> = names.iter().map(|name| client.get(&format!("/{name}")).etag().to_string()).collect();

    fs::write(server.root("edited"), "edited").expect("a file");
    server.dir.write("aside", "replaced");
    fs::rename(server.dir.path("aside"), server.root("replaced")).expect("a rename");
    // Same size and same time: only the inode differs, as in an image built reproducibly.
    let time = fs::metadata(server.root("same-size")).and_then(|about| about.modified()).expect("a time");
    let aside = server.dir.write("aside", "the content AFTER.");
    fs::File::open(&aside).and_then(|file| file.set_modified(time)).expect("a time");
    fs::rename(aside, server.root("same-size")).expect("a rename");
    fs::File::options().write(true).open(server.root("cut")).and_then(|file| file.set_len(3)).expect("a cut");
    fs::write(server.root("grown"), pattern(100_000)).expect("a file");
    fs::remove_file(server.root("deleted")).expect("a file");
    fs::write(server.root("new"), "new").expect("a file");
    fs::remove_file(server.root("turned")).expect("a file");
    fs::create_dir(server.root("turned")).expect("a directory");
    fs::remove_dir_all(server.root("dir")).expect("a directory");
    fs::write(server.root("dir"), "a file now").expect("a file");

    becomes(&mut client, "/edited", (200, "edited"));
    becomes(&mut client, "/replaced", (200, "replaced"));
    becomes(&mut client, "/same-size", (200, "the content AFTER."));
    becomes(&mut client, "/cut", (200, "the"));
    becomes(&mut client, "/deleted", (404, ""));
    becomes(&mut client, "/new", (200, "new"));
    becomes(&mut client, "/turned", (301, ""));
    becomes(&mut client, "/dir", (200, "a file now"));
    becomes(&mut client, "/dir/", (404, ""));
    assert!(client.get("/grown").is(200).body == pattern(100_000));
    for (name, before) in names.iter().zip(&tags).take(5) {
        assert_ne!(client.get(&format!("/{name}")).etag(), before, "{name}");
    }
}

#[test]
fn a_file_that_only_got_another_time_has_another_tag() {
    let setup = Setup::new().file("a.txt", "alpha");
    set_mtime(&setup.root("a.txt"), 1_000_000_000);
    let server = serve(setup);
    let mut client = server.client();
    let first = client.get("/a.txt").etag().to_string();
    set_mtime(&server.root("a.txt"), 1_000_000_001);
    assert!(eventually(|| client.get("/a.txt").etag() != first));
    assert_eq!(client.get("/a.txt").date("Last-Modified"), 1_000_000_001);
}

#[test]
fn a_root_that_is_switched_is_seen() {
    // As an update does it: a new folder, a new link beside the old one, and a rename over it.
    let setup = Setup::new().host("DocumentRoot ../current");
    setup.dir.write("v1/a.txt", "version 1");
    setup.dir.write("v1/only-1", "1");
    setup.dir.write("v2/a.txt", "version 2");
    symlink("v1", setup.dir.path("current")).expect("a link");
    let server = serve(setup);
    let mut client = server.client();
    assert_eq!(client.get("/a.txt").is(200).text(), "version 1");
    client.get("/only-1").is(200);
    symlink("v2", server.dir.path("next")).expect("a link");
    fs::rename(server.dir.path("next"), server.dir.path("current")).expect("a rename");
    becomes(&mut client, "/a.txt", (200, "version 2"));
    becomes(&mut client, "/only-1", (404, ""));
    // And when the folder itself is another one.
    fs::rename(server.dir.path("v2"), server.dir.path("v2-old")).expect("a rename");
    becomes(&mut client, "/a.txt", (503, ""));
    server.dir.write("v2/a.txt", "version 3");
    becomes(&mut client, "/a.txt", (200, "version 3"));
}

/// Asks for what was first asked for late in the second for which its root, or an error page, is trusted: an answer that is
/// remembered on top of that may not be trusted for another second.
fn old_no_longer_than_a_second(client: &mut Client, path: &str, old: &str, change: impl FnOnce()) {
    change();
    let changed = Instant::now();
    thread::sleep(Duration::from_millis(900));
    while changed.elapsed() < Duration::from_millis(2000) {
        let asked = changed.elapsed();
        let answer = client.get(path);
        assert!(asked < Duration::from_millis(1050) || answer.text() != old, "{path} is old after {asked:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn seconds_of_trust_do_not_add_up() {
    let setup = Setup::new().workers(1).host("DocumentRoot ../current").section("ERROR_PAGES", &["404 404.txt"]);
    setup.dir.write("v1/a.txt", "version 1");
    setup.dir.write("v1/b.txt", "version 1");
    setup.dir.write("v1/404.txt", "miss 1");
    setup.dir.write("v2/b.txt", "version 2");
    setup.dir.write("v2/404.txt", "miss 2");
    symlink("v1", setup.dir.path("current")).expect("a link");
    let server = serve(setup);
    let mut client = server.client();
    client.get("/a.txt").is(200);
    old_no_longer_than_a_second(&mut client, "/b.txt", "version 1", || {
        symlink("v2", server.dir.path("next")).expect("a link");
        fs::rename(server.dir.path("next"), server.dir.path("current")).expect("a rename");
    });
    // So that the page is looked at now.
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(client.get("/nothing").is(404).text(), "miss 2");
    old_no_longer_than_a_second(&mut client, "/nothing-else", "miss 2", || {
        server.dir.write("v2/404.txt", "miss 3");
    });
}

#[test]
fn a_root_that_is_missing_at_start_may_come_later() {
    let setup = Setup::new().host("DocumentRoot ../later").host("Alias /also ../also-later").server("RetryAfter 7");
    let server = serve(setup);
    for name in ["later", "also-later"] {
        let line = format!("{name} is no directory now; answering 503 until it is");
        assert!(server.logged(&line), "no line: {line}");
    }
    let mut client = server.client();
    for path in ["/", "/a.txt", "/also/a.txt"] {
        let answer = client.get(path).is(503);
        assert!(answer.head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{}", answer.head);
        assert!(!answer.closes(), "the connection is in order");
        assert_eq!(answer.field("Retry-After"), Some("7"));
    }
    server.dir.write("later/a.txt", "here");
    server.dir.write("also-later/a.txt", "here too");
    becomes(&mut client, "/a.txt", (200, "here"));
    becomes(&mut client, "/also/a.txt", (200, "here too"));
    fs::remove_dir_all(server.dir.path("later")).expect("a directory");
    becomes(&mut client, "/a.txt", (503, ""));
}

/// Whether any descriptor of the server is at or below a folder.
fn holds(server: &Server, folder: &Path) -> bool {
    server.open_paths().iter().any(|path| path.starts_with(folder))
}

#[test]
fn an_idle_server_holds_nothing_below_its_roots() {
    for keys in [&[][..], &["FDT Off"], &["Scheduler ReusePort"]] {
        let setup = keys.iter().fold(Setup::new(), |setup, key| setup.server(key)).file("a.txt", "alpha");
        let server = serve(setup.file("big.bin", pattern(300_000)).file("sub/index.html", "x"));
        let mut client = server.client();
        for path in ["/a.txt", "/big.bin", "/sub/", "/nothing", "/sub"] {
            client.get(path);
        }
        client.ask("GET /big.bin", "Range: bytes=5-9\r\n").is(206);
        // The connection stays; the file system could be unmounted all the same.
        let begun = Instant::now();
        while holds(&server, &server.root("")) {
            assert!(begun.elapsed() < SOON, "{keys:?}: {:?}", server.open_paths());
            thread::sleep(Duration::from_millis(20));
        }
        client.get("/a.txt").is(200);
    }
}

#[test]
fn a_file_that_is_changed_all_the_time_is_never_half_of_two() {
    let setup = Setup::new().file("a.txt", "0".repeat(5000)).file("big.bin", "0".repeat(50_000));
    let server = serve(setup);
    let end = Instant::now() + Duration::from_millis(1500);
    thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            for digit in (1..10).cycle().take_while(|_| Instant::now() < end) {
                for (name, size) in [("a.txt", 5000), ("big.bin", 50_000)] {
                    let aside = server.dir.write("aside", digit.to_string().repeat(size));
                    fs::rename(aside, server.root(name)).expect("a rename");
                }
            }
        });
        for name in ["a.txt", "big.bin"] {
            scope.spawn(move || {
                let mut client = server.client();
                while Instant::now() < end {
                    let answer = client.get(&format!("/{name}")).is(200);
                    let first = answer.body[0];
                    assert!(answer.body.iter().all(|&byte| byte == first), "two versions in one answer");
                }
            });
        }
    });
}

/// Runs a command among the mounts of the server.
fn among_mounts(server: &Server, words: &[&str]) -> bool {
    let target = format!("--target={}", server.pid());
    let run = Command::new("nsenter").args([&target, "--mount", "--"]).args(words).output().expect("nsenter runs");
    run.status.success()
}

#[test]
fn a_file_system_that_goes_away_while_it_is_served() {
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        return println!("SKIPPED: this user may not mount anything");
    }
    let big = pattern(8_000_000);
    let script = "mount -t tmpfs none root; cp -r stock/. root/; exec \"$@\"";
    let setup = Setup::new().server("SendBuffer 131072").file("a.txt", "below");
    for (name, content) in [("a.txt", b"mounted".to_vec()), ("big.bin", big.clone())] {
        setup.dir.write(&format!("stock/{name}"), content);
    }
    let server = setup.start_among_mounts(script);
    let root = server.root("").display().to_string();
    let mut client = server.client();
    assert_eq!(client.get("/a.txt").is(200).text(), "mounted");
    // What is under way goes on from the file that is open.
    let mut slow = server.client();
    slow.send("GET /big.bin HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let mut all = slow.take(10_000);
    assert!(among_mounts(&server, &["umount", "-l", &root]), "unmounted");
    becomes(&mut client, "/a.txt", (200, "below"));
    all.extend(slow.rest());
    assert!(all.ends_with(&big[10_000..]), "the file as it was");
    // Mounted again, it is served again; and with nothing under way it can be unmounted without force.
    assert!(among_mounts(&server, &["mount", "-t", "tmpfs", "none", &root]));
    becomes(&mut client, "/a.txt", (404, ""));
    client.get("/nothing").is(404);
    assert!(eventually(|| among_mounts(&server, &["umount", &root])), "still in use");
    becomes(&mut client, "/a.txt", (200, "below"));
    assert!(eventually(|| !holds(&server, &server.root(""))));
}
