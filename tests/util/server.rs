//! The binary while it runs.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{Answer, Client, Dir, PATIENCE, Record, eventually, signal};

/// A run of the binary that is over.
pub struct Ended {
    /// The exit status; None when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub log: String,
}

/// Runs a command that ends by itself.
#[track_caller]
pub fn run_to_end(mut command: Command) -> Ended {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the binary runs");
    let out = collect(child.stdout.take().expect("a pipe"));
    let log = collect(child.stderr.take().expect("a pipe"));
    let Some(status) = wait(&mut child) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the binary did not end; its log:\n{}", log.text());
    };
    Ended { code: status.code(), out: out.finish(), log: log.finish() }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let mut status = None;
    eventually(|| {
        status = child.try_wait().expect("a child");
        status.is_some()
    });
    status
}

/// What comes out of a pipe, gathered by a thread.
struct Collected {
    text: Arc<Mutex<String>>,
    thread: JoinHandle<()>,
}

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    let thread = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            let more = String::from_utf8_lossy(&bytes[..count]);
            shared.lock().unwrap_or_else(PoisonError::into_inner).push_str(&more);
        }
    });
    Collected { text, thread }
}

impl Collected {
    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything, once the writer is gone.
    fn finish(self) -> String {
        let _ = self.thread.join();
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A server that was started for one test. Killed when dropped; a failing test prints all there is to know of it.
pub struct Server {
    pub dir: Dir,
    /// Where it listens, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    child: Child,
    record: Record,
}

/// Where it writes to, in its directory: what a file has got is there to be read at once, unlike what comes out of a pipe.
const STDERR: &str = "stderr";

impl Server {
    /// Starts a command and waits until it says that it serves.
    #[track_caller]
    pub fn start(dir: Dir, mut command: Command, record: Record) -> Server {
        let log = OpenOptions::new().create(true).append(true).open(dir.path(STDERR)).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let mut server = Server { dir, addresses: Vec::new(), child: child.expect("the binary runs"), record };
        let up = eventually(|| server.logged(" workers, up to ") || !server.is_running());
        assert!(up && server.is_running(), "the server did not start");
        server.addresses = listening(&server.log());
        server
    }

    /// Runs a command that ends by itself.
    #[track_caller]
    pub fn run_to_end(command: Command) -> Ended {
        run_to_end(command)
    }

    /// Where the first listener is, on an address that can be connected to.
    pub fn address(&self) -> SocketAddr {
        *self.addresses.first().expect("a listener")
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::new(self.address(), self.record.clone())
    }

    /// A new connection to another listener.
    #[track_caller]
    pub fn client_of(&self, address: SocketAddr) -> Client {
        Client::new(address, self.record.clone())
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.client().get(path)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn ask(&self, line: &str, fields: &str) -> Answer {
        self.client().ask(line, fields)
    }

    /// One request as raw bytes, and everything that comes back until the server closes.
    #[track_caller]
    pub fn exchange(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut client = self.client();
        client.try_send(bytes.as_ref());
        client.half_close();
        client.rest()
    }

    /// A path below the document root.
    pub fn root(&self, name: &str) -> PathBuf {
        self.dir.path("root").join(name)
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path(STDERR)).unwrap_or_default()).into()
    }

    /// Whether the log has this.
    pub fn logged(&self, what: &str) -> bool {
        self.log().contains(what)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process lives.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Makes it read its configuration anew and waits until it has, or has refused.
    #[track_caller]
    pub fn reload(&self) {
        let count = |log: String| log.matches("configuration reloaded").count() + log.matches("reload refused").count();
        let before = count(self.log());
        self.signal("HUP");
        assert!(eventually(|| count(self.log()) > before), "no reload");
    }

    /// The number of descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, |entries| entries.count())
    }

    /// Whether it has this descriptor open.
    pub fn has_descriptor(&self, number: usize) -> bool {
        fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.pid())).is_ok()
    }

    /// Processor time that it has used, milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a process");
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let times = tasks.flatten().map(of).map(|line| line.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()));
        times.flatten().sum::<u64>() / 1_000_000
    }

    /// What its descriptors refer to.
    pub fn open_paths(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
    }

    /// Waits for the end; gives the exit code, None when a signal ended it.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let begun = Instant::now();
        let status = wait(&mut self.child);
        status.unwrap_or_else(|| panic!("the server runs on after {:?}", begun.elapsed().min(PATIENCE))).code()
    }
}

/// The addresses in the `Server listening on` lines of a log.
pub fn listening(log: &str) -> Vec<SocketAddr> {
    let lines = log.lines().filter_map(|line| line.split_once("Server listening on "));
    lines.map(|(_, address)| address.trim().parse().expect("an address")).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let status = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("== configuration\n{}", self.dir.texts("conf"));
            eprintln!("== log (status when the test failed: {status:?})\n{}", self.log());
            eprintln!("== connections\n{}", self.record.text());
        }
    }
}
