//! Servers behind the one that is tested, with answers by script.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::util::{PATIENCE, eventually};

/// A request as a backend got it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Request line and fields, the empty line too.
    pub head: String,
    /// Its body, chunks put together.
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

#[derive(Default)]
struct Log {
    accepted: AtomicUsize,
    open: AtomicUsize,
    stop: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    /// All bytes of each connection.
    raw: Mutex<Vec<Vec<u8>>>,
}

/// A server. It is gone when this is dropped.
pub struct Backend {
    pub address: SocketAddr,
    log: Arc<Log>,
}

/// One of its connections.
pub struct Peer {
    pub stream: TcpStream,
    read: Vec<u8>,
    number: usize,
    log: Arc<Log>,
}

impl Backend {
    /// Serves each connection by a function, in a thread of its own.
    pub fn new(serve: impl Fn(&mut Peer) + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Log::default());
        let (shared, serve) = (Arc::clone(&log), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Acquire) {
                    return;
                }
                let number = {
                    let mut raw = shared.raw.lock().unwrap_or_else(PoisonError::into_inner);
                    raw.push(Vec::new());
                    raw.len() - 1
                };
                shared.accepted.fetch_add(1, Ordering::AcqRel);
                shared.open.fetch_add(1, Ordering::AcqRel);
                stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
                stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
                stream.set_nodelay(true).expect("no delay");
                let mut peer = Peer { stream, read: Vec::new(), number, log: Arc::clone(&shared) };
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || {
                    serve(&mut peer);
                    let log = Arc::clone(&peer.log);
                    drop(peer);
                    log.open.fetch_sub(1, Ordering::AcqRel);
                });
            }
        });
        Backend { address, log }
    }

    /// Answers each request by a function. The connection goes on until an answer says `Connection: close`, or has no length.
    pub fn answering(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Backend {
        Backend::new(move |peer| {
            while let Some(seen) = peer.request() {
                let answer = answer(&seen);
                let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
                let framed = head.contains("content-length:") || head.contains("chunked") || head.contains(" 304 ");
                if !peer.send(answer)
                    || !framed
                    || head.contains("connection: close")
                    || seen.head.contains("Connection: close")
                {
                    return;
                }
            }
        })
    }

    /// A backend whose answers are all the same.
    pub fn saying(answer: &'static str) -> Backend {
        Backend::answering(move |_| answer.replace('\n', "\r\n").into_bytes())
    }

    /// An address at which nobody listens.
    pub fn nobody() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    }

    /// How many connections it was asked for.
    pub fn accepted(&self) -> usize {
        self.log.accepted.load(Ordering::Acquire)
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.log.open.load(Ordering::Acquire)
    }

    /// The requests that came, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that came, by connections.
    pub fn raw(&self) -> Vec<Vec<u8>> {
        self.log.raw.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until all connections are closed.
    #[track_caller]
    pub fn is_left(&self) {
        assert!(eventually(|| self.open() == 0), "{} connections to the backend are open", self.open());
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.log.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

impl Peer {
    /// Reads what there is. False = the end.
    pub fn fill(&mut self) -> bool {
        let mut bytes = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    self.read.extend_from_slice(&bytes[..count]);
                    let mut raw = self.log.raw.lock().unwrap_or_else(PoisonError::into_inner);
                    // Enough to see how requests follow each other.
                    if raw[self.number].len() < 64 * 1024 {
                        raw[self.number].extend_from_slice(&bytes[..count]);
                    }
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            if !self.fill() {
                return None;
            }
        }
        Some(self.read.drain(..length).collect())
    }

    /// All that has been read and not taken.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.read)
    }

    /// Reads a head; None = the connection has ended.
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                return String::from_utf8(self.read.drain(..at + 4).collect()).ok();
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads a request with its body, and notes it.
    pub fn request(&mut self) -> Option<Seen> {
        let head = self.head()?;
        let mut seen = Seen { head, body: Vec::new() };
        if let Some(length) = seen.field("Content-Length") {
            seen.body = self.take(length.parse().expect("a length"))?;
        } else if seen.field("Transfer-Encoding").is_some() {
            loop {
                while !self.read.contains(&b'\n') {
                    if !self.fill() {
                        return None;
                    }
                }
                let end = self.read.iter().position(|&byte| byte == b'\n')?;
                let line = String::from_utf8(self.take(end + 1)?).ok()?;
                let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
                let chunk = self.take(size + 2)?;
                assert!(chunk.ends_with(b"\r\n"), "a chunk without an end");
                seen.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        }
        self.note(&seen);
        Some(seen)
    }

    /// Notes a request.
    pub fn note(&self, seen: &Seen) {
        self.log.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    }

    /// Sends bytes. False = nobody takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Ends the sending side.
    pub fn half_close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
