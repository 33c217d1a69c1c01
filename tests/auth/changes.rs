use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use super::{AL, USERS, basic, setup, status};
use crate::util::{Dir, Server, Setup, eventually, is_root, skipped};

/// al's line with another password: `changed`.
const CHANGED: &str = "al:{SHA}N8bFe+30MF70EknBeUdgtcuPrRc=\n";
const CHANGED_AL: &str = "YWw6Y2hhbmdlZA==";

fn users(server: &Server) -> PathBuf {
    server.dir.path("conf/users")
}

/// Waits until every worker answers so: as many times in a row as there may be workers to ask.
#[track_caller]
fn becomes(server: &Server, token: &str, wanted: u16) {
    assert!(
        eventually(|| {
            // A wrong password is answered late: several at once.
            let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
            clients.iter_mut().for_each(|client| {
                client.send(crate::util::request("GET /in/b.txt", &basic(token)));
            });
            clients.iter_mut().all(|client| client.answer(false).status == wanted)
        }),
        "never {wanted}"
    );
}

#[test]
fn a_file_that_changes_is_read_again() {
    let server = setup().start();
    becomes(&server, AL, 200);
    // In place.
    fs::write(users(&server), CHANGED).expect("a file");
    becomes(&server, CHANGED_AL, 200);
    becomes(&server, AL, 401);
    // By another file, as editors and `monkey passwd` do it.
    fs::rename(server.dir.write("conf/users.1", USERS), users(&server)).expect("a file");
    becomes(&server, AL, 200);
    becomes(&server, CHANGED_AL, 401);
    // Of the same length, twice within the same second.
    fs::write(users(&server), USERS.replace("al:", "xy:")).expect("a file");
    fs::write(users(&server), USERS.replace("bo:", "zz:")).expect("a file");
    becomes(&server, "Ym86c2U6Y3JldA==", 401);
    becomes(&server, AL, 200);
    // One connection goes on through it.
    let mut client = server.client();
    client.ask("GET /in/b.txt", &basic(AL)).is(200);
    fs::write(users(&server), CHANGED).expect("a file");
    assert!(eventually(|| client.ask("GET /in/b.txt", &basic(AL)).status == 401));
}

#[test]
fn while_it_can_not_be_read_nobody_gets_in() {
    let server = setup().start();
    let count = |what: &str| server.log().matches(what).count();
    becomes(&server, AL, 200);
    fs::remove_file(users(&server)).expect("it was there");
    becomes(&server, AL, 401);
    sleep(Duration::from_millis(2200));
    becomes(&server, AL, 401);
    assert_eq!(count("conf/users: No such file or directory (os error 2): nobody gets in"), 1, "{}", server.log());
    fs::write(users(&server), USERS).expect("a file");
    becomes(&server, AL, 200);
    fs::set_permissions(users(&server), Permissions::from_mode(0o666)).expect("a mode");
    becomes(&server, AL, 401);
    assert_eq!(count("conf/users: every user may write to it: chmod o-w: nobody gets in"), 1, "{}", server.log());
    fs::set_permissions(users(&server), Permissions::from_mode(0o640)).expect("a mode");
    becomes(&server, AL, 200);
    // Neither a directory nor what nobody writes to makes it wait.
    fs::remove_file(users(&server)).expect("it was there");
    fs::create_dir(users(&server)).expect("a directory");
    becomes(&server, AL, 401);
    fs::remove_dir(users(&server)).expect("it was there");
    if crate::util::run("mkfifo", &[users(&server).to_str().expect("a path")]) {
        becomes(&server, AL, 401);
        fs::remove_file(users(&server)).expect("it was there");
    }
    symlink("../elsewhere", users(&server)).expect("a link");
    server.dir.write("elsewhere", USERS);
    becomes(&server, AL, 200);
    assert_eq!(server.get("/a.txt").is(200).text(), "alpha");
}

#[test]
fn broken_lines_are_told_of_and_let_nobody_in() {
    let server = setup().start();
    let text = format!("{CHANGED}bo:plain\n# fine\nnothing\nempty:{{SHA}}x\ncy:$2b$10$short\n");
    fs::write(users(&server), text).expect("a file");
    becomes(&server, CHANGED_AL, 200);
    for (number, is_broken) in [(1, false), (2, true), (3, false), (4, true), (5, true), (6, true)] {
        assert_eq!(
            server.logged(&format!("WARN: auth: {}:{number}: ", users(&server).display())),
            is_broken,
            "{number}"
        );
    }
    assert!(server.logged("conf/users: 1 users, 4 broken lines"));
    for token in ["Ym86cGxhaW4=", "ZW1wdHk6", "ZW1wdHk6eA==", "bm90aGluZzo="] {
        assert_eq!(status(&server, token), 401, "{token}");
    }
    // A hundred of them are counted, and few are told of.
    fs::write(users(&server), "x\n".repeat(100)).expect("a file");
    becomes(&server, CHANGED_AL, 401);
    assert!(server.logged("conf/users: 0 users, 100 broken lines"));
    assert!(server.log().matches("no user name and colon").count() < 12);
}

#[test]
fn a_file_that_outgrows_its_room_waits_for_a_reload() {
    let server = setup().start();
    becomes(&server, AL, 200);
    let more: String = (0..1000).map(|n| format!("u{n}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")).collect();
    fs::write(users(&server), more + CHANGED).expect("a file");
    assert!(eventually(|| {
        status(&server, AL);
        server.logged("conf/users: grown to ")
    }));
    becomes(&server, AL, 200);
    server.reload();
    becomes(&server, CHANGED_AL, 200);
    // `u999:password`.
    becomes(&server, "dTk5OTpwYXNzd29yZA==", 200);
    becomes(&server, AL, 401);
}

#[test]
fn a_reload_changes_what_is_asked_for() {
    let server = setup().file("other/d.txt", "delta").start();
    becomes(&server, AL, 200);
    let site = |section: &str| format!("[HOST]\n    ServerName test\n    DocumentRoot ../root\n{section}");
    server.dir.write("conf/sites/default", site("[AUTH]\n    Location /other\n    Users second\n"));
    server.dir.write("conf/second", CHANGED);
    server.reload();
    assert!(eventually(|| server.get("/in/b.txt").status == 200));
    assert!(eventually(|| (0..8).all(|_| server.get("/other/d.txt").status == 401)));
    for _ in 0..8 {
        server.ask("GET /other/d.txt", &basic(CHANGED_AL)).is(200);
    }
    // A file that anyone may write to is refused, and what was asked for before still is.
    fs::set_permissions(server.dir.path("conf/second"), Permissions::from_mode(0o606)).expect("a mode");
    server.reload();
    assert!(server.logged("reload refused"));
    server.get("/other/d.txt").is(401);
    server.dir.write("conf/sites/default", site(""));
    server.reload();
    assert!(eventually(|| (0..8).all(|_| server.get("/other/d.txt").status == 200)));
}

/// Rights are given up between the start and the first request.
#[test]
fn a_user_and_a_chroot() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let chroot = |setup: Setup| {
        // Outside of the root directory are the binary's files and the configuration with the users.
        let dir = setup.dir.path("root").display().to_string();
        let setup = setup.server(&format!("Chroot {dir}")).host("DocumentRoot ../root/in");
        // The sandbox allows nothing outside.
        if cfg!(feature = "sandbox") { setup.server("Sandbox Off") } else { setup }
    };
    let setup = chroot(setup().section("AUTH", &["Location /b.txt", "Users users"])).server("User 65534");
    fs::set_permissions(setup.dir.path("conf/users"), Permissions::from_mode(0o640)).expect("a mode");
    std::os::unix::fs::chown(setup.dir.path("conf/users"), Some(0), Some(65534)).expect("a group");
    let server = setup.start();
    let status = |token: &str| server.ask("GET /b.txt", &basic(token)).status;
    assert_eq!((status(AL), server.get("/b.txt").status), (200, 401));
    // Replaced from outside.
    let new = server.dir.write("conf/users.1", CHANGED);
    fs::rename(new, users(&server)).expect("a file");
    assert!(eventually(|| status(CHANGED_AL) == 200));
    // Readable for root alone.
    fs::set_permissions(users(&server), Permissions::from_mode(0o600)).expect("a mode");
    assert!(eventually(|| status(CHANGED_AL) == 401));
    assert!(server.logged("conf/users: the user that the server runs as may not read it: nobody gets in"));
}

/// What a link leads to lies in another directory, where it is replaced.
#[test]
fn a_file_behind_a_link_is_replaced() {
    let setup = setup();
    fs::remove_file(setup.dir.path("conf/users")).expect("it was there");
    let data = Dir::new();
    symlink(data.write("users", USERS), setup.dir.path("conf/users")).expect("a link");
    let server = setup.start();
    becomes(&server, AL, 200);
    fs::rename(data.write("users.1", CHANGED), data.path("users")).expect("a file");
    becomes(&server, CHANGED_AL, 200);
}

/// The memory of a file that a reload brings was not set aside.
#[test]
fn a_reload_that_takes_more_memory_says_so() {
    let server = Setup::new().file("in/b.txt", "beta").start();
    server.dir.write("conf/users", USERS);
    let path = server.dir.path("conf/sites/default");
    let text = fs::read_to_string(&path).expect("a site");
    fs::write(path, text + "[AUTH]\n    Location /in\n    Users users\n").expect("a site");
    server.reload();
    assert!(eventually(|| server.get("/in/b.txt").status == 401));
    assert!(server.logged(" KB more than MemoryLimit was divided for"), "{}", server.log());
}
