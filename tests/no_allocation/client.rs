//! A client that reads whole answers and counts them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether the server said that it closes.
    pub closes: bool,
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// Makes a request of text: line ends of one byte become two.
pub fn wire(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A plain GET on the first site.
pub fn get(target: &str) -> Vec<u8> {
    wire(&format!("GET {target} HTTP/1.1\nHost: localhost\n\n"))
}

/// Stands for the length of a body that is sent in chunks.
const CHUNKED: usize = usize::MAX;
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, read: Vec::new() })
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut room = [0; 65536];
        match self.stream.read(&mut room)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.read.extend_from_slice(&room[..count]);
                Ok(())
            }
        }
    }

    /// Reads the head of an answer; also how many bytes the head and the body take.
    fn head(&mut self) -> io::Result<(Answer, usize, usize)> {
        let end = loop {
            match self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.more()?,
            }
        };
        let text = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {text}"));
        let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length = match field("content-length:").map(str::parse) {
            _ if matches!(status, 101 | 204 | 304) => 0,
            Some(Ok(length)) => length,
            None if field("transfer-encoding:") == Some("chunked") => CHUNKED,
            _ => return Err(invalid()),
        };
        Ok((Answer { status, closes: field("connection:") == Some("close") }, end, length))
    }

    /// Reads no more than the status of an answer.
    pub fn status(&mut self) -> io::Result<u16> {
        self.head().map(|(answer, _, _)| answer.status)
    }

    /// Reads one whole answer; `head` = to a HEAD, so without the body its length announces.
    pub fn answer(&mut self, head: bool) -> io::Result<Answer> {
        let (answer, end, length) = self.head()?;
        let end = match length {
            _ if head => end,
            // What is sent in chunks here has no such line of its own.
            CHUNKED => loop {
                // With the line end before it, which is that of the head where there is no other chunk.
                match self.read[end - 2..].windows(LAST_CHUNK.len()).position(|window| window == LAST_CHUNK) {
                    Some(at) => break end - 2 + at + LAST_CHUNK.len(),
                    None => self.more()?,
                }
            },
            _ => end + length,
        };
        while self.read.len() < end {
            self.more()?;
        }
        self.read.drain(..end);
        Ok(answer)
    }

    /// Reads an answer's head, and so many bytes behind it.
    #[cfg(feature = "plugin-proxy")]
    pub fn skip(&mut self, count: usize) -> io::Result<()> {
        let (_, end, _) = self.head()?;
        while self.read.len() < end + count {
            self.more()?;
        }
        self.read.drain(..end + count);
        Ok(())
    }

    /// Reads until the server closes. True = it did, in order or by a reset; false = it did not in time.
    pub fn closed(&mut self) -> bool {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }
}
