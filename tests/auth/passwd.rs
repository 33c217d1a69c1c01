use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::{Command, Stdio};

use super::{basic, setup};
use crate::util::{Dir, eventually, is_root, run, skipped};

/// `monkey passwd` with these words and this input: exit code, stdout, stderr.
fn passwd(dir: &Dir, words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
    command.arg("passwd").args(words).current_dir(dir.path("")).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the binary runs");
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn done(dir: &Dir, words: &[&str], input: &str, says: &str) {
    assert_eq!(passwd(dir, words, input), (Some(0), format!("{says}\n"), String::new()));
}

#[track_caller]
fn fails(dir: &Dir, words: &[&str], input: &str, code: i32, says: &str) {
    let (ended, out, error) = passwd(dir, words, input);
    assert_eq!((ended, out.as_str()), (Some(code), ""), "{error}");
    assert_eq!((error.lines().count(), error.starts_with(&format!("monkey passwd: {says}"))), (1, true), "{error}");
}

#[test]
fn who_is_made_gets_in_and_who_is_deleted_does_not() {
    let server = setup().start();
    let answers = |name_and_password: &str, status: u16| {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", name_and_password])
            .arg(format!("http://{}/in/b.txt", server.address()))
            .output();
        String::from_utf8(output.expect("curl").stdout).expect("text") == status.to_string()
    };
    let file = "conf/users";
    done(&server.dir, &[file, "dora"], "pass word\n", "conf/users: dora added");
    assert!(eventually(|| answers("dora:pass word", 200)));
    done(&server.dir, &[file, "dora", "n\u{e9}w:one"], "", "conf/users: dora changed");
    assert!(eventually(|| answers("dora:n\u{e9}w:one", 200)));
    assert!(answers("dora:pass word", 401) && answers("al:password", 200));
    done(&server.dir, &["-D", file, "dora"], "", "conf/users: dora deleted");
    assert!(eventually(|| answers("dora:n\u{e9}w:one", 401)));
    fails(&server.dir, &["-D", file, "dora"], "", 1, "conf/users: there is no user dora");
    done(&server.dir, &["-D", file, "al"], "", "conf/users: al deleted");
    done(&server.dir, &["-D", file, "bo"], "", "conf/users: bo deleted");
    let left = fs::read_to_string(server.dir.path(file)).expect("a file");
    assert_eq!(left, "# users\n\nempty:{SHA1}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n");
    server.ask("GET /in/b.txt", &basic("ZW1wdHk6")).is(200);
}

#[test]
fn a_file_is_made() {
    let dir = Dir::new();
    done(&dir, &["-c", "users", "al"], "password\r\nmore\n", "users: al added");
    let path = dir.path("users");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "al:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o7777, 0o640);
    fails(&dir, &["-c", "users", "al", "x"], "", 1, "users is there already: leave -c out to change it");
    fails(&dir, &["other", "al", "x"], "", 1, "other is not there: -c makes it");
    fails(&dir, &["-c", "nowhere/users", "al", "x"], "", 1, "nowhere/users: ");
    fails(&dir, &[".", "al", "x"], "", 1, ".: not a regular file");
    assert_eq!(fs::read_dir(dir.path("")).expect("a directory").count(), 1, "nothing is left behind");
}

#[test]
fn a_file_keeps_its_mode_its_owner_and_its_links() {
    let dir = Dir::new();
    let path = dir.write("real/users", "# kept\nal:{SHA}x\nal:old\n");
    fs::set_permissions(&path, Permissions::from_mode(0o604)).expect("a mode");
    if is_root() {
        chown(&path, Some(12), Some(34)).expect("an owner");
    }
    symlink("real/users", dir.path("users")).expect("a link");
    let before = fs::metadata(&path).expect("a file");
    done(&dir, &["users", "al", "password"], "", "users: al changed");
    let after = fs::metadata(&path).expect("a file");
    assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
    assert_ne!(before.ino(), after.ino(), "it is another file");
    assert!(fs::symlink_metadata(dir.path("users")).expect("a link").is_symlink());
    assert_eq!(fs::read_to_string(&path).expect("a file"), "# kept\nal:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    dir.write("real/users.new", "");
    fails(
        &dir,
        &["users", "al", "x"],
        "",
        1,
        &format!("{}.new is there", fs::canonicalize(&path).expect("it").display()),
    );
}

#[test]
fn who_edits_it_at_the_same_time_loses_nothing() {
    let dir = Dir::new();
    let path = dir.write("real/users", "");
    symlink("real/users", dir.path("users")).expect("a link");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let dir = &dir;
            scope.spawn(move || {
                for number in 0..10 {
                    let user = format!("u{thread}-{number}");
                    // One at a time: who comes second is told so, and comes again.
                    while let (Some(1), _, said) = passwd(dir, &["users", &user, "x"], "") {
                        assert!(said.contains(".new is there") || said.contains(" is not there"), "{said}");
                    }
                }
            });
        }
    });
    let text = fs::read_to_string(&path).expect("a file");
    assert_eq!(text.lines().count(), 80, "{text}");
    assert_eq!(fs::read_dir(dir.path("real")).expect("a directory").count(), 1, "nothing is left behind");
}

#[test]
fn what_is_refused() {
    let dir = Dir::new();
    dir.write("users", "al:old\n");
    for (words, input, code, says) in [
        (&["users", "a:l", "x"][..], "", 2, "a user name can not be empty, hold a colon"),
        (&["users", "a\tl", "x"], "", 2, "a user name can not "),
        (&["users", "", "x"], "", 2, "a user name can not be empty"),
        (&["users"], "", 2, "write FILE USER [PASSWORD]"),
        (&["-q", "users", "al"], "", 2, "invalid option \"-q\""),
        (&["-Dc", "users", "al"], "", 2, "-D goes with no other option"),
        (&["users", "al"], "", 1, "an empty password would let everyone in"),
        (&["users", "al"], "\nsecond\n", 1, "an empty password would let everyone in"),
        (&["users", "al", ""], "", 1, "an empty password would let everyone in"),
        (&["users", "al"], "a\u{7}b\n", 1, "a password can not hold control characters"),
        (&["users", "al"], &"x".repeat(900), 1, "the password is too long"),
        (&["users", "al", &"x".repeat(766)], "", 1, "name and password are too long together"),
    ] {
        fails(&dir, words, input, code, says);
    }
    assert_eq!(fs::read_to_string(dir.path("users")).expect("a file"), "al:old\n");
    // A password or a name may look like an option.
    done(&dir, &["--", "users", "-al", "-B"], "", "users: -al added");
    done(&dir, &["users", "-al", "-c"], "", "users: -al changed");
    let (code, out, error) = passwd(&dir, &["--help"], "");
    assert!(code == Some(0) && error.is_empty() && out.starts_with("Usage: monkey passwd "), "{out}{error}");
    if cfg!(not(feature = "auth-bcrypt")) {
        fails(&dir, &["-B", "users", "al", "x"], "", 2, "bcrypt is not in this build");
    }
}

/// script(1) gives the program a terminal; what is typed comes from a shell that waits for each question.
#[test]
fn on_a_terminal_nothing_typed_is_shown() {
    if !run("sh", &["-c", "command -v script > /dev/null"]) {
        return skipped("no script(1)");
    }
    let dir = Dir::new();
    dir.write("users", "");
    let typed = |keys: &str| {
        let program = format!("{} passwd users al; echo code $?; stty -a", env!("CARGO_BIN_EXE_monkey"));
        let mut command = Command::new("script");
        command.args(["-q", "-c", &program, "/dev/null"]).current_dir(dir.path(""));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("script runs");
        let mut input = child.stdin.take().expect("a pipe");
        for part in keys.split('|') {
            std::thread::sleep(std::time::Duration::from_millis(700));
            let _ = input.write_all(part.as_bytes());
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        drop(input);
        String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).into_owned()
    };
    let out = typed("pasX\u{7f}sword\r|password\r");
    assert!(out.contains("New password: \r\nThe same again: \r\nusers: al added\r\ncode 0"), "{out}");
    assert!(!out.contains("sword\r"), "{out}");
    assert!(out.contains("isig icanon ") && out.contains(" echo "), "as it was: {out}");
    assert_eq!(fs::read_to_string(dir.path("users")).expect("a file"), "al:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let out = typed("one\r|two\r");
    assert!(out.contains("these were two passwords: nothing changed\r\ncode 1"), "{out}");
    let out = typed("one\u{3}");
    assert!(out.contains("interrupted: nothing changed\r\ncode 1") && out.contains(" echo "), "{out}");
}
