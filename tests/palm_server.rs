use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::util::{Dir, Ended, PATIENCE, Server, eventually, example, is_root, pattern, signal, skipped};

/// `monkey palm` in a directory of its own, with scripts in `www`.
pub struct Palm {
    pub dir: Dir,
    child: Child,
}

/// A handler for shell scripts, and one for whatever is executed itself.
pub const SH: &str = "[SH]\nPort = 0\nExec = /bin/sh\nChilds = 2\nRoot = www\n";
const BIN: &str = "[BIN]\nPort = 0\nArguments = first second\nChilds = 1\nRoot = www\n";
pub const PYTHON: &str =
    "[PY]\n    Port 0\n    Exec /usr/bin/env\n    Arguments python3 -S\n    Childs 2\n    Root www\n";

/// The palm.conf of a test.
fn configure(dir: &Dir, handlers: &str) {
    dir.write("palm.conf", format!("[SERVER]\n    Status palm.sock\n{handlers}"));
}

fn command(dir: &Dir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
    command.arg("palm").args(words).current_dir(dir.path(""));
    command
}

impl Palm {
    /// Starts it with these handlers and scripts.
    #[track_caller]
    pub fn start(handlers: &str, scripts: &[(&str, &str)]) -> Palm {
        let dir = Dir::new();
        fs::create_dir(dir.path("www")).expect("a directory");
        configure(&dir, handlers);
        for (name, text) in scripts {
            let path = dir.write(&format!("www/{name}"), text);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let command = command(&dir, &["-c", "palm.conf"]);
        Palm::run(dir, command)
    }

    #[track_caller]
    fn run(dir: Dir, mut command: Command) -> Palm {
        let log = File::create(dir.path("log")).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the binary runs");
        let palm = Palm { dir, child };
        assert!(eventually(|| palm.logged("palm: process ")), "it did not start:\n{}", palm.log());
        palm
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path("log")).unwrap_or_default()
    }

    fn logged(&self, what: &str) -> bool {
        self.log().contains(what)
    }

    /// Where a handler listens.
    #[track_caller]
    pub fn address(&self, name: &str) -> SocketAddr {
        let (log, before) = (self.log(), format!("palm {name} listening on "));
        let (_, rest) = log.rsplit_once(&before).unwrap_or_else(|| panic!("no {before}in\n{log}"));
        rest.split(": ").next().and_then(|address| address.parse().ok()).expect("an address")
    }

    pub fn script(&self, name: &str) -> String {
        fs::canonicalize(self.dir.path("www")).expect("a path").join(name).display().to_string()
    }

    #[track_caller]
    fn connect(&self, handler: &str) -> TcpStream {
        let stream = TcpStream::connect(self.address(handler)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream
    }

    /// Sends bytes and reads all that comes.
    #[track_caller]
    fn exchange(&self, handler: &str, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect(handler);
        stream.write_all(bytes.as_ref()).expect("sent");
        rest(stream)
    }

    /// Runs a script without a body.
    #[track_caller]
    fn ask(&self, handler: &str, script: &str) -> String {
        self.exchange(handler, format!("{}\r\nREQUEST_METHOD=GET\r\n\r\n\r\n\r\n", self.script(script)))
    }

    /// Runs a script that is not done with its answer when it ends: the connection is reset, so that what there is of it is not taken for
    /// the whole.
    #[track_caller]
    fn is_cut(&self, script: &str, part: &str) {
        let mut stream = self.connect("SH");
        stream.write_all(format!("{}\r\n\r\n\r\n", self.script(script)).as_bytes()).expect("sent");
        let mut text = Vec::new();
        let end = stream.read_to_end(&mut text).expect_err("a connection that is reset");
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(part.as_bytes().starts_with(&text), "{text:?}");
    }

    /// What `--status` prints.
    fn status(&self) -> String {
        let ended = Server::run_to_end(command(&self.dir, &["-c", ".", "--status"]));
        assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
        ended.out
    }

    /// How many lines of the status have these words in a row.
    fn count(&self, words: &str) -> usize {
        self.status().matches(words).count()
    }

    /// The children that wait for requests of a handler.
    fn idle(&self, handler: &str) -> Vec<u32> {
        let is = format!(" {handler} idle ");
        self.status().lines().filter(|line| line.contains(&is)).filter_map(second_word).collect()
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, |entries| entries.count())
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Makes it read its configuration anew.
    #[track_caller]
    pub fn reload(&self, handlers: &str) {
        configure(&self.dir, handlers);
        self.hang_up();
    }

    /// The same without another configuration.
    #[track_caller]
    fn hang_up(&self) {
        let count = |log: String| log.matches("configuration reloaded").count() + log.matches("reload refused").count();
        let before = count(self.log());
        self.signal("HUP");
        assert!(eventually(|| count(self.log()) > before), "no reload");
    }

    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        eventually(|| {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it runs on").code()
    }
}

impl Drop for Palm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("== log\n{}", self.log());
        }
    }
}

fn second_word(line: &str) -> Option<u32> {
    line.split(' ').nth(1)?.parse().ok()
}

/// Everything until the end.
#[track_caller]
fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("an answer and its end");
    String::from_utf8(text).expect("text")
}

/// Whether a process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim().chars().next().is_some_and(|state| state != 'Z'))
}

/// The number in a file that a script writes.
#[track_caller]
pub fn pid_in(path: &Path) -> u32 {
    let mut pid = None;
    assert!(
        eventually(|| {
            pid = fs::read_to_string(path)
                .ok()
                .filter(|text| text.ends_with('\n'))
                .and_then(|text| text.trim().parse().ok());
            pid.is_some()
        }),
        "nothing in {}",
        path.display()
    );
    pid.expect("a number")
}

#[track_caller]
fn is_page(answer: &str, status: &str) {
    assert!(answer.starts_with(&format!("Status: {status}\r\nContent-Type: text/html")), "{status}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(body.contains(&format!("<h1>{status}</h1>")), "{answer}");
}

#[test]
fn what_a_script_is_given() {
    let show = "printf 'Content-Type: text/plain\\r\\n\\r\\n'; tr '\\0' ' ' < /proc/$$/cmdline; echo; pwd; \
                tr '\\0' '\\n' < /proc/$$/environ | sort; ls /proc/self/fd; readlink /proc/$$/fd/2";
    let executed = format!("#!/bin/sh\n{show}\n");
    let palm = Palm::start(&format!("{SH}Arguments = -e -u\n{BIN}"), &[("sub/show.sh", show), ("show", &executed)]);
    let script = palm.script("sub/show.sh");
    let request = format!(
        "{script}\r\nREQUEST_METHOD=GET\r\nQUERY_STRING=a=b&c= d\r\nno variable\r\nLD_PRELOAD=/x\r\nPATH=/evil\r\n\
         HTTP_X=\r\nSCRIPT_FILENAME=/etc/passwd\r\n9=9\r\n\r\n"
    );
    let answer = palm.exchange("SH", request);
    let path = std::env::var("PATH").expect("a PATH");
    let log = palm.dir.path("log");
    let (directory, log) = (palm.script("sub"), fs::canonicalize(log).expect("a log"));
    let wanted = format!(
        "Content-Type: text/plain\r\n\r\n/bin/sh -e -u {script} \n{directory}\nHTTP_X=\nPATH={path}\nQUERY_STRING=a=b&c= d\n\
         REDIRECT_STATUS=200\nREQUEST_METHOD=GET\nSCRIPT_FILENAME={script}\n0\n1\n2\n3\n{}\n",
        log.display()
    );
    // ls has one for the directory.
    assert_eq!(answer, wanted);
    let script = palm.script("show");
    let answer = palm.exchange("BIN", format!("{script}\r\nREDIRECT_STATUS=404\r\n\r\n"));
    let begin = format!("Content-Type: text/plain\r\n\r\n/bin/sh {script} first second \n");
    assert!(answer.starts_with(&begin) && answer.contains("\nREDIRECT_STATUS=404\n"), "{answer}");
}

#[test]
fn the_ends_of_requests_and_the_older_client() {
    let palm = Palm::start(SH, &[("a.sh", "echo ran $A; cat")]);
    let script = palm.script("a.sh");
    for end in ["\r\n", "\r\n\r\n", "\r\n\r\n\r\n"] {
        assert_eq!(palm.exchange("SH", format!("{script}\r\nA=1\r\n{end}")), "ran 1\n");
    }
    // No path line, and the body as a variable with the ends of its own.
    let body = "x=1\r\n\r\n\r\ny=2";
    let request =
        format!("CONTENT_LENGTH={}\r\nA=2\r\nSCRIPT_FILENAME={script}\r\nPOST_VARS={body}\r\n\r\n\r\n\r\n", body.len());
    assert_eq!(palm.exchange("SH", request), format!("ran 2\n{body}"));
    let request = format!("A=3\r\nSCRIPT_FILENAME={script}\r\nPOST_VARS=\r\n\r\n\r\n\r\n");
    assert_eq!(palm.exchange("SH", request), "ran 3\n");
    // Byte by byte.
    let mut stream = palm.connect("SH");
    stream.set_nodelay(true).expect("an option");
    for byte in format!("{script}\r\nA=4\r\nCONTENT_LENGTH=2\r\n\r\n\r\n\r\n").bytes() {
        stream.write_all(&[byte]).expect("sent");
        std::thread::sleep(Duration::from_micros(500));
    }
    assert_eq!(rest(stream), "ran 4\n\r\n");
    // A client that ends its side at once still gets its answer, and one that says nothing gets none.
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{script}\r\n\r\n").as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("an end");
    assert_eq!(rest(stream), "ran\n");
    let stream = palm.connect("SH");
    stream.shutdown(Shutdown::Write).expect("an end");
    assert_eq!(rest(stream), "");
    assert!(!palm.logged("ERROR"));
}

#[test]
fn bodies_of_any_size() {
    let script =
        "import sys, hashlib\nbody = sys.stdin.buffer.read()\nprint(len(body), hashlib.sha256(body).hexdigest())\n";
    let palm = Palm::start(PYTHON, &[("hash.py", script), ("early.py", "print('enough')\n")]);
    let mut large = pattern(20 << 20);
    // Pieces that look like an end.
    for at in (1 << 20..20 << 20).step_by(1 << 20) {
        large[at - 4..at].copy_from_slice(b"\r\n\r\n");
    }
    for body in [&b""[..], b"x", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n\r\n", &large] {
        let head = format!("{}\r\nCONTENT_LENGTH={}\r\n\r\n\r\n", palm.script("hash.py"), body.len());
        let mut stream = palm.connect("PY");
        stream.write_all(head.as_bytes()).expect("sent");
        for piece in body.chunks(1 << 20) {
            stream.write_all(piece).expect("sent");
        }
        let file = palm.dir.write("body", body);
        let sum = Command::new("sha256sum").arg(file).output().expect("sha256sum").stdout;
        let sum = String::from_utf8(sum).expect("text");
        let sum = sum.split(' ').next().expect("a sum");
        assert_eq!(rest(stream), format!("{} {sum}\n", body.len()));
    }
    // One that reads nothing of it: its answer is whole all the same.
    let mut stream = palm.connect("PY");
    let head = format!("{}\r\nCONTENT_LENGTH={}\r\n\r\n\r\n", palm.script("early.py"), large.len());
    stream.write_all(head.as_bytes()).expect("sent");
    let mut sender = stream.try_clone().expect("a descriptor");
    std::thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&large));
        assert_eq!(rest(stream), "enough\n");
    });
    assert_eq!(palm.exchange("PY", format!("{}\r\nCONTENT_LENGTH=0\r\n\r\n", palm.script("hash.py"))).len(), 67);
}

#[test]
fn large_answers_to_slow_readers_are_whole() {
    let script = "head -c 20971520 /dev/zero | tr '\\0' 'x'";
    let palm = Palm::start(&format!("{SH}Timeout = 2\n"), &[("large.sh", script)]);
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\n\r\n", palm.script("large.sh")).as_bytes()).expect("sent");
    let (mut buffer, mut count, begun) = (vec![0; 1 << 20], 0, Instant::now());
    loop {
        match stream.read(&mut buffer).expect("an answer") {
            0 => break,
            got => {
                assert!(buffer[..got].iter().all(|byte| *byte == b'x'));
                count += got;
            }
        }
        // Longer than Timeout in all, never so long without a move.
        if begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    assert_eq!(count, 20 << 20);
}

#[test]
fn nothing_runs_outside_of_root() {
    let palm =
        Palm::start(&format!("{SH}{BIN}"), &[("in.sh", "echo in"), ("plain", "no program"), ("bad", "#!/no/such\n")]);
    palm.dir.write("out.sh", "echo out");
    palm.dir.write("www2/near.sh", "echo out");
    let www = palm.dir.path("www");
    symlink(palm.dir.path("out.sh"), www.join("out.sh")).expect("a link");
    symlink("in.sh", www.join("link.sh")).expect("a link");
    symlink(palm.dir.path(""), www.join("up")).expect("a link");
    symlink("loop", www.join("loop")).expect("a link");
    fs::create_dir(www.join("sub")).expect("a directory");
    let at = |path: &str| palm.exchange("SH", format!("{}\r\n\r\n", palm.script(path)));
    for path in ["in.sh", "link.sh", "sub/../in.sh", "./in.sh", "../www/in.sh"] {
        assert_eq!(at(path), "in\n", "{path}");
    }
    for path in
        ["out.sh", "up/out.sh", "../out.sh", "sub/../../out.sh", "../www2/near.sh", "../../../etc/passwd", "", "sub"]
    {
        is_page(&at(path), "403 Forbidden");
    }
    for path in ["no.sh", "in.sh/", "loop", "up/no.sh"] {
        is_page(&at(path), "404 Not Found");
    }
    // As a path line and as what the older client sends.
    is_page(&palm.exchange("SH", "/etc/passwd\r\n\r\n"), "403 Forbidden");
    is_page(&palm.exchange("SH", "SCRIPT_FILENAME=/etc/passwd\r\n\r\n"), "403 Forbidden");
    is_page(&palm.exchange("SH", "SCRIPT_FILENAME=in.sh\r\n\r\n"), "400 Bad Request");
    // Executed itself.
    fs::set_permissions(www.join("plain"), fs::Permissions::from_mode(0o644)).expect("a mode");
    is_page(&palm.ask("BIN", "plain"), "403 Forbidden");
    fs::set_permissions(www.join("plain"), fs::Permissions::from_mode(0o755)).expect("a mode");
    is_page(&palm.ask("BIN", "plain"), "500 Internal Server Error");
    is_page(&palm.ask("BIN", "bad"), "500 Internal Server Error");
    assert!(palm.logged(": 403 Forbidden: The script is not where scripts are run.: "));
}

#[test]
fn requests_that_are_none() {
    let palm = Palm::start(&format!("{SH}MaxBodySize = 1\n"), &[("a.sh", "cat; echo ran")]);
    let script = palm.script("a.sh");
    for request in [
        "\r\n\r\n".to_string(),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_string(),
        "a.sh\r\n\r\n".to_string(),
        format!("{script}\0\r\n\r\n"),
        format!("{script}\r\nCONTENT_LENGTH=many\r\n\r\n"),
        format!("{script}\r\nCONTENT_LENGTH=3\r\n\r\nabc"),
        format!("{script}\r\nPOST_VARS=abc\r\n\r\n"),
        "A=1\r\n\r\n".to_string(),
    ] {
        is_page(&palm.exchange("SH", &request), "400 Bad Request");
    }
    let mut stream = palm.connect("SH");
    stream.write_all(script.as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("an end");
    is_page(&rest(stream), "400 Bad Request");
    let long = format!("{script}\r\nA={}\r\n\r\n", "a".repeat(70_000));
    is_page(&palm.exchange("SH", long), "431 Request Header Fields Too Large");
    let fits = format!("{script}\r\nA={}\r\n\r\n", "a".repeat(60_000));
    assert_eq!(palm.exchange("SH", fits), "ran\n");
    let body = |len: usize| format!("{script}\r\nCONTENT_LENGTH={len}\r\n\r\n\r\n{}", "b".repeat(len));
    assert_eq!(palm.exchange("SH", body(1024)).len(), 1028);
    is_page(&palm.exchange("SH", body(1025)), "413 Request Entity Too Large");
    // A part of a body is not taken for the whole.
    let marked = palm.dir.path("www/mark");
    palm.dir.write("www/mark.sh", "cat > /dev/null && echo done > mark");
    let mut stream = palm.connect("SH");
    let head = format!("{}\r\nCONTENT_LENGTH=100\r\n\r\n\r\nonly this", palm.script("mark.sh"));
    stream.write_all(head.as_bytes()).expect("sent");
    assert!(eventually(|| palm.count(" script ") == 1));
    stream.shutdown(Shutdown::Write).expect("an end");
    assert_eq!(rest(stream), "");
    assert!(!marked.exists());
}

#[test]
fn scripts_that_say_nothing_or_die() {
    let palm = Palm::start(
        SH,
        &[
            ("silent.sh", "exit 0"),
            ("fails.sh", "exit 7"),
            ("killed.sh", "kill -SEGV $$"),
            ("half.sh", "printf 'Content-Type: text/plain\\r\\n\\r\\nhalf'; kill -KILL $$"),
            ("leaves.sh", "sleep 60 & echo $! > pid; echo answered"),
        ],
    );
    for script in ["silent.sh", "fails.sh", "killed.sh"] {
        is_page(&palm.ask("SH", script), "500 Internal Server Error");
    }
    palm.is_cut("half.sh", "Content-Type: text/plain\r\n\r\nhalf");
    assert!(
        palm.logged("fails.sh ended with exit status 7: ") && palm.logged("half.sh ended with signal 9 (SIGKILL): ")
    );
    // What a script leaves running does not hold its answer up, and is not ended.
    let begun = Instant::now();
    assert_eq!(palm.ask("SH", "leaves.sh"), "answered\n");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let pid = pid_in(&palm.dir.path("www/pid"));
    assert!(lives(pid));
    signal(pid, "KILL");
}

#[test]
fn the_time_limit_ends_the_whole_group() {
    let stubborn = "(trap '' TERM; echo $$ > first; exec sleep 60) & trap '' TERM; sh -c 'echo $$ > second; exec sleep 60' & wait; wait";
    let palm = Palm::start(
        &format!("{SH}Timeout = 2\n"),
        &[
            ("stubborn.sh", stubborn),
            ("sleeps.sh", "sleep 60"),
            ("part.sh", "echo part; sleep 60"),
            ("steady.sh", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done"),
            ("reads.sh", "cat; echo"),
        ],
    );
    let begun = Instant::now();
    is_page(&palm.ask("SH", "sleeps.sh"), "504 Gateway Timeout");
    assert!(begun.elapsed() >= Duration::from_secs(2) && begun.elapsed() < Duration::from_secs(10));
    is_page(&palm.ask("SH", "stubborn.sh"), "504 Gateway Timeout");
    for file in ["first", "second"] {
        let pid = pid_in(&palm.dir.path("www").join(file));
        assert!(eventually(|| !lives(pid)), "{file}");
    }
    palm.is_cut("part.sh", "part\n");
    // At work for longer than the limit.
    assert_eq!(palm.ask("SH", "steady.sh"), "1\n2\n3\n4\n5\n6\n");
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\nCONTENT_LENGTH=6\r\n\r\n\r\n", palm.script("reads.sh")).as_bytes()).expect("sent");
    for byte in b"slowly" {
        std::thread::sleep(Duration::from_millis(400));
        stream.write_all(&[*byte]).expect("sent");
    }
    assert_eq!(rest(stream), "slowly\n");
    assert!(palm.logged("sleeps.sh took too long and was ended: process "));
    assert!(eventually(|| palm.count(" running requests 1") == 0));
}

#[test]
fn a_client_that_leaves_takes_its_script_along() {
    let palm = Palm::start(SH, &[("a.sh", "echo $$ > pid; echo begun; trap 'exit' TERM; while :; do sleep 0.1; done")]);
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\n\r\n", palm.script("a.sh")).as_bytes()).expect("sent");
    let pid = pid_in(&palm.dir.path("www/pid"));
    stream.peek(&mut [0]).expect("an answer");
    // Closed over what was not read: the kernel sends a reset.
    drop(stream);
    assert!(eventually(|| !lives(pid)));
    assert!(eventually(|| palm.count(" running requests 1") == 0));
}

#[test]
fn children_that_are_killed_are_replaced() {
    let palm = Palm::start(SH, &[("a.sh", "echo ran"), ("b.sh", "echo $$ > pid; sleep 60")]);
    let first = palm.idle("SH");
    assert_eq!(first.len(), 2);
    for pid in &first {
        signal(*pid, "KILL");
    }
    assert!(eventually(|| palm.idle("SH").len() == 2 && first.iter().all(|pid| !palm.idle("SH").contains(pid))));
    assert!(palm.logged(&format!("child {} died: signal 9 (SIGKILL); another one starts in ", first[0])));
    assert_eq!(palm.ask("SH", "a.sh"), "ran\n");
    // One with a request: its script goes with it.
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\n\r\n", palm.script("b.sh")).as_bytes()).expect("sent");
    let script = pid_in(&palm.dir.path("www/pid"));
    // The script may run before its child has noted which one it is.
    let is = format!(" script {script} ");
    let child = || palm.status().lines().find(|line| line.contains(&is)).and_then(second_word);
    assert!(eventually(|| child().is_some()));
    signal(child().expect("a number"), "KILL");
    assert_eq!(rest(stream), "");
    assert!(eventually(|| !lives(script)));
    assert!(eventually(|| palm.idle("SH").len() == 2 && palm.count(" running requests 1") == 0));
    assert_eq!(palm.count(" failed 1\n"), 1);
    assert_eq!(palm.ask("SH", "a.sh"), "ran\n");
}

#[test]
fn children_that_can_not_even_begin_are_not_started_over_and_over() {
    if !is_root() {
        return skipped("only root can become a User who is not allowed");
    }
    // Root is nobody to give rights up to.
    let palm = Palm::start(&format!("{SH}User = root\n"), &[]);
    assert!(eventually(|| palm.logged("another one starts in 800 ms")));
    std::thread::sleep(Duration::from_millis(500));
    let deaths = palm.log().matches(" died: exit status 1").count();
    assert!(deaths < 30, "{deaths}");
    // The master hears what is right as soon as it is written.
    palm.reload(SH);
    assert!(eventually(|| palm.idle("SH").len() == 2));
}

#[test]
fn more_clients_than_may_run_wait() {
    let palm =
        Palm::start(&format!("{SH}MaxRunning = 3\n"), &[("a.sh", "sleep 0.3; echo ran"), ("b.sh", "cat; echo ran")]);
    let (descriptors, address) = (palm.descriptors(), palm.address("SH"));
    let most = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..12).map(|_| scope.spawn(|| palm.ask("SH", "a.sh"))).collect();
        let mut most = 0;
        while clients.iter().any(|client| !client.is_finished()) {
            most = most.max(palm.count(" running requests 1"));
        }
        for client in clients {
            assert_eq!(client.join().expect("a client"), "ran\n");
        }
        most
    });
    assert_eq!(most, 3);
    // Fifty at once, again and again.
    let request = format!("{}\r\nCONTENT_LENGTH=5\r\n\r\n\r\nbody\n", palm.script("b.sh"));
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let mut stream = TcpStream::connect(address).expect("a connection");
                    stream.write_all(request.as_bytes()).expect("sent");
                    assert_eq!(rest(stream), "body\nran\n");
                }
            });
        }
    });
    assert!(eventually(|| palm.count(" running requests 1") == 0 && palm.idle("SH").len() == 2));
    assert_eq!(palm.count("requests 212 failed 0"), 1);
    assert_eq!(palm.descriptors(), descriptors);
    assert_eq!(children_of(palm.child.id()).len(), 2);
    assert!(!palm.logged("ERROR"));
}

fn children_of(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn idle_clients_do_not_keep_others_out_for_long() {
    let palm = Palm::start(&format!("{SH}MaxRunning = 2\n"), &[("a.sh", "echo ran")]);
    let silent: Vec<_> = (0..2).map(|_| palm.connect("SH")).collect();
    assert!(eventually(|| palm.count(" running requests 1") == 2));
    // They are given up after ten seconds.
    let begun = Instant::now();
    assert_eq!(palm.ask("SH", "a.sh"), "ran\n");
    assert!(begun.elapsed() > Duration::from_secs(5));
    for stream in silent {
        assert_eq!(rest(stream), "");
    }
}

#[test]
fn reloading() {
    let palm =
        Palm::start(&format!("{SH}{BIN}"), &[("a.sh", "echo ran $1; sleep $S"), ("b", "#!/bin/sh\necho b $1\n")]);
    let (sh, bin) = (palm.address("SH"), palm.address("BIN"));
    let idle = palm.idle("BIN");
    let slow = palm.script("a.sh");
    let mut running = palm.connect("SH");
    running.write_all(format!("{slow}\r\nS=2\r\n\r\n").as_bytes()).expect("sent");
    assert!(eventually(|| palm.count(" script ") == 1));
    // What is wrong changes nothing.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let path = palm.dir.path("palm.conf");
    for (wrong, what) in [
        ("[SERVER]\n    Status palm.sock\n[SH]\nPort = 1\n".to_string(), ":3:1: [SH] needs Childs"),
        ("[SERVER]\n    Status palm.sock\n".to_string(), "reload refused: no handler"),
        (SH.to_string(), "reload refused: needs restart: Status"),
        (
            format!("[SERVER]\n    Status palm.sock\n[A]\nPort = {port}\nChilds = 1\nRoot = /\n"),
            "reload refused: cannot listen on 127.0.0.1:",
        ),
    ] {
        fs::write(&path, wrong).expect("a file");
        palm.hang_up();
        assert!(palm.logged(what), "no {what}");
        assert!(palm.log().lines().last().is_some_and(|line| line.contains("reload refused")));
        configure(&palm.dir, SH);
        assert_eq!(palm.idle("BIN"), idle);
        assert_eq!((palm.address("SH"), palm.address("BIN")), (sh, bin));
    }
    assert_eq!(palm.ask("BIN", "b"), "b first\n");
    let before = palm.log().matches(" listening on ").count();
    palm.reload(&format!(
        "{}[NEW]\nPort = 0\nExec = /bin/echo\nArguments = new\nChilds = 1\nRoot = www\n",
        SH.replace("/bin/sh", "/bin/echo")
    ));
    assert!(palm.log().matches(" listening on ").count() > before);
    // A port that stays is the same one, what comes is served by the new configuration, what runs goes on by the old.
    assert!(eventually(|| palm.ask("SH", "a.sh") == format!("{slow}\n")));
    assert_eq!(palm.ask("NEW", "a.sh"), format!("new {slow}\n"));
    assert_eq!(rest(running), "ran\n");
    assert_eq!(palm.address("SH"), sh);
    assert!(eventually(|| TcpStream::connect(bin).is_err()), "the port is given up");
    assert!(eventually(|| palm.count(" leaving ") == 0 && palm.idle("SH").len() == 2));
}

/// Who has taken a request when the master, which has yet to hear of it, reloads: not told to end soon, as at the end of the server.
#[test]
fn a_reload_does_not_hurry_who_has_just_begun() {
    let palm = Palm::start(SH, &[("a.sh", "echo $$ >pid; sleep 11; echo ran")]);
    palm.signal("STOP");
    // In this order it hears of them.
    palm.signal("HUP");
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\n\r\n", palm.script("a.sh")).as_bytes()).expect("sent");
    pid_in(&palm.dir.path("www/pid"));
    palm.signal("CONT");
    assert_eq!(rest(stream), "ran\n");
    assert!(palm.logged("configuration reloaded"));
}

#[test]
fn the_end() {
    for name in ["TERM", "INT", "QUIT"] {
        let mut palm = Palm::start(SH, &[("a.sh", "sleep 1; echo ran")]);
        let address = palm.address("SH");
        let mut stream = palm.connect("SH");
        stream.write_all(format!("{}\r\n\r\n", palm.script("a.sh")).as_bytes()).expect("sent");
        assert!(eventually(|| palm.count(" script ") == 1));
        palm.signal(name);
        assert!(eventually(
            || TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        ));
        assert_eq!(rest(stream), "ran\n", "{name}");
        assert_eq!(palm.ended(), Some(0), "{name}");
        assert!(!palm.dir.path("palm.sock").exists(), "{name}");
    }
}

#[test]
fn an_end_that_is_not_waited_for() {
    let scripts = &[("a.sh", "echo $$ > pid; trap '' TERM; sleep 60")];
    // The second signal.
    let mut palm = Palm::start(SH, scripts);
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\n\r\n", palm.script("a.sh")).as_bytes()).expect("sent");
    let pid = pid_in(&palm.dir.path("www/pid"));
    assert!(eventually(|| palm.count(" script ") == 1));
    palm.signal("TERM");
    assert!(eventually(|| palm.logged("1 requests under way")));
    palm.signal("TERM");
    assert_eq!(palm.ended(), Some(0));
    assert!(eventually(|| !lives(pid)));
    // A script that takes longer than it is given.
    let mut palm = Palm::start(SH, scripts);
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\n\r\n", palm.script("a.sh")).as_bytes()).expect("sent");
    let pid = pid_in(&palm.dir.path("www/pid"));
    palm.signal("TERM");
    is_page(&rest(stream), "503 Service Unavailable");
    assert!(!lives(pid));
    assert_eq!(palm.ended(), Some(0));
    // A master that is killed: nobody stays at its port.
    let mut palm = Palm::start(SH, scripts);
    let address = palm.address("SH");
    palm.signal("KILL");
    assert_eq!(palm.ended(), None);
    assert!(eventually(|| TcpStream::connect(address).is_err()));
}

#[test]
fn the_table_of_children() {
    let palm = Palm::start(SH, &[("a.sh", "sleep 60")]);
    let mut stream = palm.connect("SH");
    stream.write_all(format!("{}\r\n\r\n", palm.script("a.sh")).as_bytes()).expect("sent");
    assert!(eventually(|| palm.count(" script ") == 1));
    let status = palm.status();
    let lines: Vec<&str> = status.lines().collect();
    assert_eq!(lines[0], format!("handler SH {} idle 2 running 1 requests 1 failed 0", palm.address("SH")));
    assert_eq!(lines.len(), 4, "{status}");
    let running: Vec<&&str> = lines.iter().filter(|line| line.contains(" SH running requests 1 script ")).collect();
    assert!(running.len() == 1 && running[0].starts_with("child ") && running[0].contains(" since "));
    palm.signal("USR1");
    assert!(eventually(|| palm.logged("palm: handler SH ") && palm.log().matches("palm: child ").count() == 3));
    palm.signal("USR2");
    // Whoever runs second does not take the socket away.
    let dir = Dir::new();
    let text = format!("[SERVER]\n    Status {}\n{SH}", palm.dir.path("palm.sock").display());
    dir.write("palm.conf", text);
    fs::create_dir(dir.path("www")).expect("a directory");
    let command = command(&dir, &["-c", "."]);
    let second = Palm::run(dir, command);
    assert!(second.logged("--status will not answer"));
    assert_eq!(palm.status().lines().count(), 4);
    drop(second);
    let dir = Dir::new();
    configure(&dir, SH);
    let ended = Server::run_to_end(self::command(&dir, &["-c", ".", "--status"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("no server answers at "), "{}", ended.log);
}

#[test]
fn scripts_run_as_their_user() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let scripts = &[("a.sh", "id -u; id -g; grep NoNewPrivs /proc/self/status; kill -KILL $PPID; touch x")];
    let palm = Palm::start(&format!("{SH}User = 4321\n"), scripts);
    fs::set_permissions(palm.dir.path(""), fs::Permissions::from_mode(0o755)).expect("a mode");
    let answer = palm.ask("SH", "a.sh");
    assert!(answer.starts_with("4321\n4321\nNoNewPrivs:\t1\n"), "{answer}");
    assert!(!palm.dir.path("www/x").exists());
    fs::set_permissions(palm.dir.path("www"), fs::Permissions::from_mode(0o700)).expect("a mode");
    is_page(&palm.ask("SH", "a.sh"), "403 Forbidden");
    let dir = Dir::new();
    configure(&dir, &format!("{SH}User = no-such-user\n"));
    for words in [&["-c", "."][..], &["-c", ".", "--check"]] {
        let ended = Server::run_to_end(command(&dir, words));
        assert_eq!(ended.code, Some(1));
        assert!(ended.log.contains("User no-such-user: no such user in /etc/passwd"), "{}", ended.log);
    }
}

fn run(words: &[&str]) -> Ended {
    Server::run_to_end(command(&Dir::new(), words))
}

#[test]
fn the_command_line() {
    for word in ["-h", "--help"] {
        let ended = run(&[word]);
        assert!(ended.code == Some(0) && ended.out.starts_with("Usage: monkey palm ") && ended.log.is_empty());
        assert!(ended.out.lines().all(|line| line.len() < 80 && line.is_ascii()));
    }
    let version = concat!("Monkey Palm Server v", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["--version"]).out, version);
    for (words, what) in [
        (&["-x"][..], "invalid option '-x'"),
        (&["now"], "unexpected argument 'now'"),
        (&["-c"], "missing argument for option '-c'"),
    ] {
        let ended = run(words);
        let line = format!("monkey palm: {what}; `monkey palm --help` lists the options\n");
        assert_eq!((ended.code, ended.log), (Some(1), line));
    }
    let ended = run(&["-c", "nowhere"]);
    assert!(ended.code == Some(1) && ended.log.contains("/nowhere: no such file or directory: name another"));
    // By the name of the program.
    let dir = Dir::new();
    symlink(env!("CARGO_BIN_EXE_monkey"), dir.path("palm")).expect("a link");
    assert_eq!(
        Server::run_to_end({
            let mut command = Command::new(dir.path("palm"));
            command.arg("-v");
            command
        })
        .out,
        version
    );
}

#[test]
fn the_configuration_is_checked() {
    let dir = Dir::new();
    configure(&dir, "[A]\nPort = x\nChilds = 1\n[B]\nPort = 1\nAddress = 0.0.0.0\nChilds = 1\n");
    let path = dir.path("palm.conf").display().to_string();
    for words in [&["-c", "palm.conf", "--check"][..], &["-c", "."]] {
        let ended = Server::run_to_end(command(&dir, words));
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
        for line in [":4:8: Port cannot be \"x\"", ":8:11: not a loopback address"] {
            assert!(ended.log.contains(&format!("{path}{line}")), "{}", ended.log);
        }
        assert_eq!(ended.log.lines().last(), Some("monkey palm: 2 errors in the configuration, nothing started"));
    }
    configure(&dir, "");
    let ended = Server::run_to_end(command(&dir, &["-c", ".", "--check"]));
    assert_eq!((ended.code, ended.out), (Some(0), format!("{path}: 0 handlers, no errors\n")));
    let ended = Server::run_to_end(command(&dir, &["-c", "."]));
    assert!(ended.code == Some(1) && ended.log.contains("no handler: write a section [NAME]"), "{}", ended.log);
    configure(&dir, SH);
    fs::set_permissions(dir.path("palm.conf"), fs::Permissions::from_mode(0o666)).expect("a mode");
    let ended = Server::run_to_end(command(&dir, &["-c", "."]));
    assert!(ended.code == Some(1) && ended.log.contains("every user may write here"), "{}", ended.log);
}

/// The shipped file and the one of the page.
#[test]
fn the_files_that_are_shown() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/palm.conf");
    let words = ["-c".into(), shipped.display().to_string(), "--check".into()];
    let ended = Server::run_to_end(command(&Dir::new(), &words.each_ref().map(String::as_str)));
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.out.ends_with(": 0 handlers, no errors\n"), "it is inert: {}", ended.out);
    let text = example("PALM.md", "palm");
    let palm =
        Palm::start(SH, &[("hello.sh", "printf 'Content-Type: text/plain\\r\\n\\r\\n'; echo hello from $REMOTE_ADDR")]);
    let www: PathBuf = palm.dir.path("www");
    let text = text.replace("/srv/www", &www.display().to_string()).replace("Port 2013", "Port 0");
    assert!(text.contains("Port 0\n") && !text.contains("User "), "{text}");
    palm.reload(&text);
    let request = format!("{}\r\nREQUEST_METHOD=GET\r\nREMOTE_ADDR=192.0.2.7\r\n\r\n\r\n", palm.script("hello.sh"));
    let answer = palm.exchange("SHELL", request);
    assert_eq!(answer, "Content-Type: text/plain\r\n\r\nhello from 192.0.2.7\n");
}
