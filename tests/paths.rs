use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::Once;

use crate::util::{DATE, SERVER, Server, Setup, is_root, run, skipped};

/// Runs a test with openat2(2), and once more with the component walk of older kernels.
fn both_ways(make: impl Fn() -> Setup, test: impl Fn(&Server)) {
    test(&make().start());
    if cfg!(feature = "test-switches") {
        let server = make().environment("MONKEY_TEST_WALK", "1").start();
        assert!(server.logged("paths are opened one component at a time"), "the switch works");
        test(&server);
    } else {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| skipped("and all of paths by the component walk, which needs the feature test-switches"));
    }
}

/// What each path is answered with: the status, and the body of a 200.
fn answers(server: &Server, table: &[(&str, u16, &str)]) {
    let mut client = server.client();
    for (path, status, body) in table {
        // Twice: the second answer may come from what is remembered.
        for _ in 0..2 {
            let answer = client.get(path);
            assert_eq!(answer.status, *status, "{path}");
            if *status == 200 {
                assert_eq!(answer.text(), *body, "{path}");
            }
            assert!(!answer.text().contains("top secret"), "{path}");
        }
    }
}

#[test]
fn decoding_and_normalising() {
    let make = || {
        let setup = Setup::new().file("a.txt", "alpha").file("sub/b.txt", "bravo").file("sp ace.txt", "space");
        let setup = setup.file("a..b", "dots").file("...", "three").file("..x/y", "two and x").file("%41", "percent");
        let setup = setup.file("\u{e9}.txt", "accent").file("q?m", "question").file("sub/.hidden", "hidden");
        setup.file("plus+plus", "plus").file("a;b=c", "parameter").file("back\\slash", "back")
    };
    both_ways(make, |server| {
        let table = [
            ("/a.txt", 200, "alpha"),
            ("/%61.txt", 200, "alpha"),
            ("/a%2Etxt", 200, "alpha"),
            ("//a.txt", 200, "alpha"),
            ("/.//./a.txt", 200, "alpha"),
            ("/sub/../a.txt", 200, "alpha"),
            ("/sub/%2e%2e/a.txt", 200, "alpha"),
            ("/sub/%2E./a.txt", 200, "alpha"),
            ("/nothing/../a.txt", 200, "alpha"),
            ("/sub/b.txt", 200, "bravo"),
            ("/sub//b.txt", 200, "bravo"),
            ("/sub/./b.txt", 200, "bravo"),
            ("/sub%2Fb.txt", 200, "bravo"),
            ("/x/../sub/x/../b.txt", 200, "bravo"),
            ("/sp%20ace.txt", 200, "space"),
            ("/a..b", 200, "dots"),
            ("/...", 200, "three"),
            ("/..x/y", 200, "two and x"),
            ("/%2541", 200, "percent"),
            ("/%41", 404, ""),
            ("/%C3%A9.txt", 200, "accent"),
            ("/%c3%a9.txt", 200, "accent"),
            ("/%E9.txt", 404, ""),
            ("/q%3Fm", 200, "question"),
            ("/q?m", 404, ""),
            ("/sub/.hidden", 200, "hidden"),
            ("/plus+plus", 200, "plus"),
            ("/a;b=c", 200, "parameter"),
            ("/back\\slash", 200, "back"),
            ("/back%5cslash", 200, "back"),
            ("/A.TXT", 404, ""),
            ("/a.txt?x=/../../etc/passwd", 200, "alpha"),
            ("/a.txt?", 200, "alpha"),
            // A file has nothing below it, not even itself.
            ("/a.txt/", 404, ""),
            ("/a.txt/x", 404, ""),
            ("/a.txt/.", 404, ""),
            ("/nothing", 404, ""),
            ("/nothing/", 404, ""),
            ("/sub/nothing/x", 404, ""),
            ("/~root/x", 404, ""),
        ];
        answers(server, &table);
        let long = format!("/{}", "n".repeat(300));
        let deep = format!("/{}x", "d/".repeat(2500));
        answers(server, &[(&long, 404, ""), (&deep, 404, ""), (&long, 404, "")]);
    });
}

#[test]
fn climbing_above_the_root() {
    let make = || {
        let setup = Setup::new().file("a.txt", "alpha").file("sub/b.txt", "bravo");
        setup.dir.write("outside.txt", "top secret");
        setup.dir.write("root-two/x", "top secret");
        setup
    };
    both_ways(make, |server| {
        let absolute = server.dir.path("outside.txt").to_str().expect("a path").replace('/', "%2f");
        let mut table: Vec<(&str, u16, &str)> = Vec::new();
        for path in [
            "/..",
            "/../",
            "/../outside.txt",
            "/%2e%2e/outside.txt",
            "/%2E%2E%2Foutside.txt",
            "/.%2e/outside.txt",
            "/..%2foutside.txt",
            "/sub/../../outside.txt",
            "/sub/%2e%2e/%2e%2e/outside.txt",
            "/a.txt/../../outside.txt",
            "/./../outside.txt",
            "//../outside.txt",
            "/../root/a.txt",
            "/../../../../../../../../etc/passwd",
            "/..//etc/passwd",
            "/sub/..%2f..%2f..%2fetc%2fpasswd",
            "/../root-two/x",
        ] {
            table.push((path, 403, ""));
        }
        let doubled = ["/%252e%252e/outside.txt", "/%c0%ae%c0%ae/outside.txt", "/..%5coutside.txt", "/..\\outside.txt"];
        table.extend(doubled.map(|path| (path, 404, "")));
        let absolute = format!("/{absolute}");
        table.push((&absolute, 404, ""));
        answers(server, &table);
        // The connection is as good as before.
        let answer = server.get("/../outside.txt");
        let length = format!("Content-Length: {}", answer.body.len());
        let html = "Content-Type: text/html; charset=utf-8";
        answer.has_head(&["HTTP/1.1 403 Forbidden", SERVER, DATE, html, &length]);
    });
}

#[test]
fn directories() {
    let make = || {
        let setup =
            Setup::new().file("index.html", "root").file("sub/index.htm", "sub").file("sub/in/index.html", "in");
        let setup = setup.file("sp ace/index.html", "space").file("a;b/index.html", "x").file("\u{e9}/index.html", "x");
        setup.file("empty/x", "")
    };
    both_ways(make, |server| {
        let table = [
            ("/", 200, "root"),
            ("/?query", 200, "root"),
            ("/./", 200, "root"),
            ("/sub/..", 200, "root"),
            ("/sub/", 200, "sub"),
            ("/sub/.", 200, "sub"),
            ("/sub/in/..", 200, "sub"),
            ("/sub/in/", 200, "in"),
            ("/empty/", 403, ""),
        ];
        answers(server, &table);
        for (path, location) in [
            ("/sub", "/sub/"),
            ("/sub?a=b&c", "/sub/?a=b&c"),
            ("/sub?", "/sub/?"),
            ("/empty", "/empty/"),
            ("/sub/in", "/sub/in/"),
            ("/x/../sub", "/sub/"),
            ("//sub", "/sub/"),
            ("/sp%20ace", "/sp%20ace/"),
            ("/sp%20ace?%20", "/sp%20ace/?%20"),
            ("/%c3%a9", "/%C3%A9/"),
            ("/%73ub", "/sub/"),
        ] {
            let location = format!("Location: {location}");
            let lines = ["HTTP/1.1 301 Moved Permanently", SERVER, DATE, &location, "Content-Length: 0"];
            let mut client = server.client();
            client.get(path).has_head(&lines);
            client.ask(&format!("HEAD {path}"), "").has_head(&lines);
            client.send(format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody"));
            client.answer(false).has_head(&lines);
        }
        // Nothing that is sent back can end the line it stands in.
        let answer = server.get("/sub%0d%0aX:y/../sub%0d%0a/../sub?x").is(301);
        assert_eq!(answer.field("Location"), Some("/sub/?x"));
    });
}

#[test]
fn names_in_a_location_cannot_make_lines() {
    let server = Setup::new().file("a\r\nX: y/index.html", "odd").file("//host/index.html", "x").start();
    let answer = server.get("/a%0d%0aX:%20y").is(301);
    assert_eq!((answer.field("Location"), answer.field("X")), (Some("/a%0D%0AX:%20y/"), None));
    assert_eq!(server.get("/a%0D%0AX:%20y/").is(200).text(), "odd");
    // Nor name another host.
    assert_eq!(server.get("//host").is(301).field("Location"), Some("/host/"));
}

/// Links of every kind around a document root.
fn links(symlinks: bool) -> Setup {
    let setup = Setup::new().file("a.txt", "alpha").file("sub/b.txt", "bravo").file("sub/index.html", "index");
    setup.dir.write("outside/secret.txt", "top secret");
    let setup = setup.server(if symlinks { "SymLink On" } else { "SymLink Off" });
    let root = |name: &str| setup.root(name);
    let outside = setup.dir.path("outside");
    for (to, name) in [
        ("a.txt", "to-file"),
        ("sub", "to-dir"),
        ("sub/../a.txt", "dotted"),
        ("../a.txt", "sub/up"),
        ("to-file", "chain"),
        ("../root/a.txt", "out-and-in"),
        ("../outside/secret.txt", "relative-out"),
        ("../outside", "dir-out"),
        ("sub/../../outside", "dotted-out"),
        ("loop-b", "loop-a"),
        ("loop-a", "loop-b"),
        ("nothing", "dangling"),
        ("/etc/passwd", "passwd"),
        ("/proc/self/root", "magic"),
    ] {
        symlink(to, root(name)).expect("a link");
    }
    symlink(root("a.txt"), root("absolute")).expect("a link");
    symlink(&outside, root("absolute-dir")).expect("a link");
    fs::create_dir(root("linked-index")).expect("a directory");
    symlink("../a.txt", root("linked-index/index.html")).expect("a link");
    setup
}

#[test]
fn links_are_followed_inside_and_never_outside() {
    both_ways(
        || links(true),
        |server| {
            let table = [
                ("/to-file", 200, "alpha"),
                ("/to-dir/b.txt", 200, "bravo"),
                ("/to-dir/", 200, "index"),
                ("/to-dir/../a.txt", 200, "alpha"),
                ("/dotted", 200, "alpha"),
                ("/sub/up", 200, "alpha"),
                ("/to-dir/up", 200, "alpha"),
                ("/chain", 200, "alpha"),
                ("/linked-index/", 200, "alpha"),
                ("/out-and-in", 403, ""),
                ("/relative-out", 403, ""),
                ("/dir-out/secret.txt", 403, ""),
                ("/dir-out/", 403, ""),
                ("/dotted-out/secret.txt", 403, ""),
                ("/absolute", 403, ""),
                ("/absolute-dir/secret.txt", 403, ""),
                ("/passwd", 403, ""),
                ("/magic/etc/passwd", 403, ""),
                ("/loop-a", 403, ""),
                ("/dangling", 404, ""),
                ("/a.txt", 200, "alpha"),
            ];
            answers(server, &table);
            assert_eq!(server.get("/to-dir").is(301).field("Location"), Some("/to-dir/"));
        },
    );
}

#[test]
fn without_symlink_no_link_stands_anywhere_in_a_path() {
    both_ways(
        || links(false),
        |server| {
            let refused = [
                "/to-file",
                "/to-dir/b.txt",
                "/to-dir/",
                "/to-dir",
                "/dotted",
                "/sub/up",
                "/chain",
                "/linked-index/",
                "/out-and-in",
                "/relative-out",
                "/dir-out/secret.txt",
                "/absolute",
                "/absolute-dir/secret.txt",
                "/passwd",
                "/magic/etc/passwd",
                "/loop-a",
                "/dangling",
            ];
            let mut table: Vec<(&str, u16, &str)> = refused.map(|path| (path, 403, "")).to_vec();
            table.push(("/sub/b.txt", 200, "bravo"));
            table.push(("/to-dir/../a.txt", 200, "alpha"));
            answers(server, &table);
        },
    );
}

#[test]
fn the_root_itself_may_be_reached_by_links() {
    let make = || {
        let setup = Setup::new().file("a.txt", "alpha").host("DocumentRoot ../current");
        symlink("root", setup.dir.path("current")).expect("a link");
        setup
    };
    both_ways(make, |server| answers(server, &[("/a.txt", 200, "alpha"), ("/../a.txt", 403, "")]));
}

#[test]
fn what_is_no_regular_file_is_never_opened_to_read() {
    let make = || {
        let setup = Setup::new().file("a.txt", "alpha").file("d/x", "").server("SymLink On");
        assert!(run("mkfifo", &[setup.root("fifo").to_str().expect("a path")]), "mkfifo");
        fs::create_dir(setup.root("with-fifo")).expect("a directory");
        assert!(run("mkfifo", &[setup.root("with-fifo/index.html").to_str().expect("a path")]), "mkfifo");
        // A sibling that is no file is no sibling.
        assert!(run("mkfifo", &[setup.root("a.txt.gz").to_str().expect("a path")]), "mkfifo");
        let listener = UnixListener::bind(setup.root("socket")).expect("a socket");
        drop(listener);
        symlink("/dev/null", setup.root("null")).expect("a link");
        symlink("fifo", setup.root("to-fifo")).expect("a link");
        setup
    };
    both_ways(make, |server| {
        let table = [
            ("/fifo", 403, ""),
            ("/to-fifo", 403, ""),
            ("/socket", 403, ""),
            ("/null", 403, ""),
            ("/with-fifo/", 403, ""),
            ("/a.txt", 200, "alpha"),
        ];
        answers(server, &table);
        assert_eq!(server.ask("GET /a.txt", "Accept-Encoding: gzip\r\n").is(200).text(), "alpha");
    });
}

#[test]
fn devices() {
    let setup = Setup::new();
    let (null, tty) = (setup.root("null"), setup.root("block"));
    let made = is_root()
        && run("mknod", &[null.to_str().expect("a path"), "c", "1", "3"])
        && run("mknod", &[tty.to_str().expect("a path"), "b", "7", "200"]);
    if !made {
        return skipped("only root can make devices");
    }
    let server = setup.start();
    answers(&server, &[("/null", 403, ""), ("/block", 403, "")]);
}

#[test]
fn what_may_not_be_read() {
    let make = || {
        let setup = Setup::new().file("a.txt", "alpha").file("closed.txt", "top secret").file("closed/x", "top secret");
        let setup = setup.file("unlisted/x", "known by name");
        fs::set_permissions(setup.root("closed.txt"), Permissions::from_mode(0o000)).expect("a mode");
        fs::set_permissions(setup.root("closed"), Permissions::from_mode(0o000)).expect("a mode");
        fs::set_permissions(setup.root("unlisted"), Permissions::from_mode(0o711)).expect("a mode");
        // Root may read everything: it has to become somebody else.
        if is_root() { setup.server("User nobody") } else { setup }
    };
    both_ways(make, |server| {
        let table = [
            ("/closed.txt", 403, ""),
            ("/closed/x", 403, ""),
            ("/closed/", 403, ""),
            ("/unlisted/x", 200, "known by name"),
            ("/a.txt", 200, "alpha"),
        ];
        answers(server, &table);
        fs::set_permissions(server.root("closed"), Permissions::from_mode(0o755)).expect("a mode");
    });
}
