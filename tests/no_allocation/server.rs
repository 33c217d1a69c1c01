//! The server under proof, as a process of its own, and what it is watched by.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use monkey::config::{self, Options};
use monkey::server::start;
use monkey::sys::signal::{Signal, block, send};

use crate::counter;

/// Where the count comes from.
enum Watch {
    /// The server runs in a process of this test binary, whose allocator counts and is asked over pipes.
    Allocator(ChildStdin, BufReader<ChildStdout>),
    /// The server is another program, and strace writes its calls to this file.
    Trace(PathBuf),
}

/// A running server.
pub struct Server {
    child: Child,
    watch: Watch,
    said: Arc<Mutex<String>>,
    /// The process that serves: the child, or strace's child.
    pid: u32,
    /// Where it listens.
    pub address: SocketAddr,
    /// How many connections it takes.
    pub capacity: usize,
}

/// What the process that [`Server::counted`] starts does: it serves, while a thread answers the questions on stdin.
pub fn serve(configuration: &str) -> ExitCode {
    // Before there is a thread: signals must find none but the server's own.
    block(&[Signal::Hup, Signal::Term]).unwrap();
    thread::spawn(|| {
        let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
        let mut question = [0];
        while let Ok(1) = input.read(&mut question) {
            match question {
                [b'a'] => counter::arm(true),
                [b'd'] => counter::arm(false),
                _ => writeln!(output, "{}", counter::count()).unwrap(),
            }
        }
        // Whoever asks is gone.
        std::process::exit(1);
    });
    let options = Options { config_dir: Some(configuration.into()), ..Options::default() };
    let (config, _) = config::load(&options).unwrap_or_else(|report| panic!("{:?}", report.diagnostics));
    match start::run(config, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Server {
    /// The server as a library in a process of this binary, under its counting allocator.
    pub fn counted(configuration: &Path) -> Server {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--serve").arg(configuration).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(dir) = configuration.parent() {
            command.env("MONKEY_TEST_GPIO", dir.join("board"));
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let watch = Watch::Allocator(child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Server::started(child, watch)
    }

    /// A built program under strace.
    pub fn traced(program: &str, configuration: &Path) -> Server {
        let trace = configuration.join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "--seccomp-bpf", "-e", "trace=brk,mmap,mremap,munmap", "-o"]).arg(&trace);
        command.args([program, "-c"]).arg(configuration).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::piped()).spawn().expect("strace starts");
        Server::started(child, Watch::Trace(trace))
    }

    fn started(mut child: Child, watch: Watch) -> Server {
        let said = Arc::new(Mutex::new(String::new()));
        let (stderr, heard) = (child.stderr.take().unwrap(), Arc::clone(&said));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *heard.lock().unwrap() += &(line + "\n");
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { child, watch, said, pid: 0, address, capacity: 0 };
        server.address = server.hear("listening on ").parse().unwrap();
        server.capacity = server.hear("up to ").parse().unwrap();
        server.pid = server.hear("process ").parse().unwrap();
        server
    }

    /// All it wrote to stderr.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it says something; the word behind it.
    fn hear(&mut self, what: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = self.said();
            if let Some((_, rest)) = said.split_once(what)
                && let Some((line, _)) = rest.split_once('\n')
            {
                let word = line.split([' ', ';']).next().unwrap_or_default();
                return word.trim_end_matches(':').to_string();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(20), "never said {what:?}:\n{said}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(&mut self, question: &[u8]) {
        if let Watch::Allocator(input, _) = &mut self.watch {
            input.write_all(question).unwrap();
        }
    }

    /// Whether the next allocation is to be told on its stderr.
    pub fn arm(&mut self, armed: bool) {
        self.ask(if armed { b"a" } else { b"d" });
    }

    /// How often it took memory since it was started: allocations, or system calls.
    pub fn count(&mut self) -> u64 {
        self.ask(b"c");
        match &mut self.watch {
            Watch::Allocator(_, output) => {
                let mut line = String::new();
                output.read_line(&mut line).unwrap();
                line.trim().parse().unwrap_or_else(|_| panic!("it is gone:\n{}", self.said.lock().unwrap()))
            }
            Watch::Trace(file) => {
                let trace = fs::read_to_string(file).unwrap();
                let calls = ["brk(", "mmap(", "mremap(", "munmap("];
                trace.lines().filter(|line| calls.iter().any(|call| line.contains(call))).count() as u64
            }
        }
    }

    /// What is known of the calls or allocations after the first `count`.
    pub fn culprits(&self, count: u64) -> String {
        match &self.watch {
            Watch::Allocator(..) => self.said(),
            Watch::Trace(file) => {
                let trace = fs::read_to_string(file).unwrap();
                trace.lines().skip(count as usize).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// Has it read its configuration anew.
    pub fn reload(&mut self) {
        send(self.pid, Signal::Hup).unwrap();
        self.hear("configuration reloaded");
    }

    /// Ends it as an operator would, and demands that it ends well.
    pub fn stop(mut self) {
        send(self.pid, Signal::Term).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "ended with {status}:\n{}", self.said());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.pid != 0 && matches!(self.child.try_wait(), Ok(None)) {
            let _ = send(self.pid, Signal::Term);
        }
        thread::sleep(Duration::from_millis(100));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
