//! A FastCGI server that answers as a test wants it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub const END: u8 = 3;
pub const STDOUT: u8 = 6;
pub const STDERR: u8 = 7;

/// A record of request 1, as the specification draws it.
pub fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, 1, high, low, padding, 0], content, &vec![0xAA; padding.into()]].concat()
}

/// What says that a request is over.
pub fn end() -> Vec<u8> {
    record(END, &[0; 8], 0)
}

/// A whole answer.
pub fn answer(text: &str) -> Vec<u8> {
    [record(STDOUT, text.as_bytes(), 3), record(STDOUT, b"", 0), end()].concat()
}

pub trait Wire: Read + Write + Send {
    fn part(&self);
}

impl Wire for TcpStream {
    fn part(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Wire for UnixStream {
    fn part(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// A request whose body has not been read.
pub struct Call<'a> {
    pub wire: &'a mut dyn Wire,
    pub variables: HashMap<String, String>,
    pub keep: bool,
    /// Content of STDIN that was read ahead.
    ended: bool,
}

impl Call<'_> {
    pub fn get(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// The next piece of the body; None = it is complete.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let (kind, content) = read_record(self.wire)?;
        assert_eq!(kind, 5, "nothing but STDIN follows the variables");
        self.ended = content.is_empty();
        (!self.ended).then_some(content)
    }

    pub fn body(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.piece()).flatten().collect()
    }

    /// Whether it was all taken.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.wire.write_all(bytes).is_ok()
    }

    pub fn answer(&mut self, text: &str) {
        self.body();
        self.write(&answer(text));
    }
}

fn read_record(wire: &mut dyn Wire) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 8];
    wire.read_exact(&mut header).ok()?;
    assert_eq!((header[0], header[2], header[3]), (1, 0, 1), "version and request");
    let mut content = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]])) + usize::from(header[6])];
    wire.read_exact(&mut content).ok()?;
    content.truncate(content.len() - usize::from(header[6]));
    Some((header[1], content))
}

fn pairs(mut bytes: &[u8]) -> HashMap<String, String> {
    fn length(bytes: &mut &[u8]) -> usize {
        let first = bytes[0];
        let long = first >= 0x80;
        let taken = if long { 4 } else { 1 };
        let value = match long {
            true => u32::from_be_bytes([first & 0x7f, bytes[1], bytes[2], bytes[3]]) as usize,
            false => first.into(),
        };
        *bytes = &bytes[taken..];
        value
    }
    let mut all = HashMap::new();
    while !bytes.is_empty() {
        let (name, value) = (length(&mut bytes), length(&mut bytes));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let before = all.insert(text(&bytes[..name]), text(&bytes[name..name + value]));
        assert_eq!(before, None, "each variable comes once");
        bytes = &bytes[name + value..];
    }
    all
}

/// What has come.
#[derive(Default)]
pub struct Counts {
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    pub requests: AtomicUsize,
    /// The last request's variables.
    pub last: Mutex<HashMap<String, String>>,
}

/// How many requests were worked on at once. A connection cannot tell: the next one may be here before this one's end is seen.
#[derive(Default)]
pub struct Together {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Together {
    /// Does what is to be done of a request before its answer.
    pub fn count(&self, work: impl FnOnce()) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        work();
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

pub type Script = dyn Fn(&mut Call<'_>) + Send + Sync;

fn serve(mut wire: impl Wire, counts: &Counts, script: &Script) {
    counts.connections.fetch_add(1, Ordering::SeqCst);
    counts.open.fetch_add(1, Ordering::SeqCst);
    while let Some((kind, content)) = read_record(&mut wire) {
        assert_eq!((kind, &content[..2]), (1, &[0, 1][..]), "a request for a responder");
        let keep = content[2] == 1;
        let mut variables = Vec::new();
        loop {
            match read_record(&mut wire) {
                Some((4, more)) if more.is_empty() => break,
                Some((4, more)) => variables.extend(more),
                other => panic!("no variables: {other:?}"),
            }
        }
        let variables = pairs(&variables);
        counts.requests.fetch_add(1, Ordering::SeqCst);
        *counts.last.lock().expect("the last") = variables.clone();
        script(&mut Call { wire: &mut wire, variables, keep, ended: false });
        if !keep {
            break;
        }
    }
    wire.part();
    counts.open.fetch_sub(1, Ordering::SeqCst);
}

/// One at a port. Its address.
pub fn at_port(script: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> (String, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let (counts, script): (Arc<Counts>, Arc<Script>) = (Arc::default(), Arc::new(script));
    let shared = Arc::clone(&counts);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (counts, script) = (Arc::clone(&shared), Arc::clone(&script));
            thread::spawn(move || serve(stream, &counts, &*script));
        }
    });
    (address, counts)
}

/// One at a port that has so many processes, each of which serves a connection to its end, as PHP does. Its address.
pub fn children(count: usize, script: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> (String, Arc<Counts>) {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = listener.local_addr().expect("its address").to_string();
    let (counts, script): (Arc<Counts>, Arc<Script>) = (Arc::default(), Arc::new(script));
    for _ in 0..count {
        let (listener, counts, script) = (Arc::clone(&listener), Arc::clone(&counts), Arc::clone(&script));
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &counts, &*script)));
    }
    (address, counts)
}

/// One at a socket with a name.
pub fn at_path(path: &Path, script: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> Arc<Counts> {
    let listener = UnixListener::bind(path).expect("a socket");
    let (counts, script): (Arc<Counts>, Arc<Script>) = (Arc::default(), Arc::new(script));
    let shared = Arc::clone(&counts);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (counts, script) = (Arc::clone(&shared), Arc::clone(&script));
            thread::spawn(move || serve(stream, &counts, &*script));
        }
    });
    counts
}
