//! A client that sends just the bytes it is told to, and reads just one answer at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{Answer, PATIENCE, Record};

/// The text of a request: the line, Host, then `fields`, each with its line end.
pub fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

/// A body as chunks of so many bytes, the last chunk included.
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let chunks = body.chunks(size);
    let chunks = chunks.flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    chunks.chain(*b"0\r\n\r\n").collect()
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    /// Read and not yet part of an answer.
    read: Vec<u8>,
    record: Record,
}

impl Client {
    /// Connects.
    pub fn new(address: SocketAddr, record: Record) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, read: Vec::new(), record }
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.record.note("sent", bytes.as_ref());
        self.stream.write_all(bytes.as_ref()).expect("the server takes what is sent");
        self
    }

    /// Sends what the server may refuse to take: a connection that breaks is no failure.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.record.note("sent", bytes);
        self.stream.write_all(bytes).is_ok()
    }

    /// The same, a byte at a time, slowly enough that the server mostly reads single ones.
    pub fn try_send_slowly(&mut self, bytes: &[u8]) -> bool {
        self.record.note("sent byte by byte", bytes);
        bytes.iter().all(|&byte| {
            std::thread::sleep(Duration::from_micros(50));
            self.stream.write_all(&[byte]).is_ok()
        })
    }

    /// Sends until the server has taken nothing for a while; returns how many bytes it took.
    #[cfg(feature = "test-switches")]
    pub fn send_until_full(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).expect("a limit");
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => sent += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("after {sent} bytes: {error}"),
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
        sent
    }

    /// Leaves the kernel hardly any room for what comes: who does not read takes nothing.
    #[cfg(feature = "plugin-fastcgi")]
    pub fn takes_little(&self) {
        use monkey::sys::socket::{Buffers, configure};
        let little = Buffers { defer_accept: 0, send_buffer: 0, receive_buffer: 4608, not_sent_lowat: 0 };
        configure(std::os::fd::AsFd::as_fd(&self.stream), &little).expect("a small buffer");
    }

    /// The same connection once more, to send while it is read.
    #[allow(dead_code)] // Where nothing is built in that reads while it is sent to.
    pub fn another(&self) -> Client {
        let stream = self.stream.try_clone().expect("a descriptor");
        Client { stream, read: Vec::new(), record: self.record.clone() }
    }

    /// Reads the head of an answer whose content the caller reads.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                return String::from_utf8(self.read.drain(..at + 4).collect()).expect("a head in ASCII");
            }
            assert!(self.fill(), "the connection ended in a head");
        }
    }

    /// Sends a request made by [`request`] and reads its answer.
    #[track_caller]
    pub fn ask(&mut self, line: &str, fields: &str) -> Answer {
        self.send(request(line, fields));
        self.answer(line.starts_with("HEAD "))
    }

    /// A GET.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "")
    }

    /// Reads one answer. That to HEAD, and a 304, have no content whatever they announce (RFC 9112 section 6.3).
    #[track_caller]
    pub fn answer(&mut self, to_head: bool) -> Answer {
        let mut searched = 0;
        let end = loop {
            if let Some(at) = self.read[searched..].windows(4).position(|window| window == b"\r\n\r\n") {
                break searched + at + 4;
            }
            searched = self.read.len().saturating_sub(3);
            assert!(self.fill(), "the connection ended in a head: {:?}", self.read.escape_ascii().to_string());
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        self.record.note("answer", &head);
        let mut answer = Answer::of_head(head);
        if answer.status == 304 {
            assert_eq!(answer.length(), None, "a 304 with a length");
        } else if answer.field("Transfer-Encoding").is_some() {
            answer.has_fields(&["Transfer-Encoding: chunked"]);
            assert_eq!(answer.length(), None, "chunks and a length");
            if !to_head {
                answer.body = self.take_chunks();
            }
        } else if answer.length().is_none() && answer.closes() {
            while !to_head && self.fill() {}
            answer.body = std::mem::take(&mut self.read);
        } else {
            let length = answer.length().unwrap_or_else(|| panic!("an answer without a length:\n{}", answer.head));
            if !to_head {
                answer.body = self.take(length as usize);
            }
        }
        answer
    }

    /// Reads the body of an answer whose head was read, in chunks.
    #[cfg(feature = "plugin-dirlisting")]
    #[track_caller]
    pub fn chunks(&mut self) -> Vec<u8> {
        self.take_chunks()
    }

    /// Reads a body in chunks, without extensions and trailers.
    #[track_caller]
    fn take_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.read.iter().position(|&byte| byte == b'\n') {
                    Some(at) => break at + 1,
                    None => assert!(self.fill(), "the connection ended in a body of chunks"),
                }
            };
            let line = String::from_utf8(self.take(end)).expect("a size in ASCII");
            let size = line.strip_suffix("\r\n").and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.unwrap_or_else(|| panic!("no size of a chunk: {line:?}"));
            let chunk = self.take(size + 2);
            assert!(chunk.ends_with(b"\r\n"), "a chunk of {size} bytes has no end");
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body;
            }
        }
    }

    /// Reads so many bytes.
    #[track_caller]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.fill(), "the connection ended after {} of {length} bytes", self.read.len());
        }
        let bytes: Vec<u8> = self.read.drain(..length).collect();
        self.record.note("body", &bytes);
        bytes
    }

    /// Reads what there is, at least one byte. False = the connection has ended.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    self.read.extend_from_slice(&bytes[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    self.record.note("reset", b"");
                    return false;
                }
                Err(error) => panic!("nothing to read, and the connection is open: {error}"),
            }
        }
    }

    /// Asserts that the server ends the connection without another byte.
    #[track_caller]
    pub fn is_closed(&mut self) {
        let more = self.fill();
        assert!(!more && self.read.is_empty(), "more came: {:?}", self.read.escape_ascii().to_string());
    }

    /// Asserts that nothing comes and the connection stays open for a while.
    #[track_caller]
    pub fn is_silent(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut byte = [0];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream.set_read_timeout(Some(left)).expect("a limit");
            match self.stream.read(&mut byte) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                other => panic!("something came: {other:?} {byte:?}"),
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    }

    /// Everything until the server ends the connection, however it ends.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        self.record.note("rest", &self.read);
        std::mem::take(&mut self.read)
    }

    /// Ends the sending side.
    pub fn half_close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
