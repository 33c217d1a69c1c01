//! What a worker is about to send: heads and small bodies of one or several answers, gathered for one write.

use std::io;

use crate::http::clock::Clock;
use crate::http::status::reason;
use crate::sys::memory::Region;
use crate::wire::writer::Writer;

/// The bytes of a `Server` field line, with or without the version.
pub fn server_field(hide_version: bool) -> &'static [u8] {
    if hide_version {
        b"Server: Monkey\r\n"
    } else {
        concat!("Server: Monkey/", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes()
    }
}

/// A bounded text under construction. A push that does not fit leaves it unchanged and is remembered, so that a whole
/// head is built first and judged once.
pub trait Sink {
    /// Appends bytes.
    fn push(&mut self, bytes: &[u8]);

    /// Appends a number in decimal.
    fn push_decimal(&mut self, mut number: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 || at == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    /// Appends a number as sixteen hexadecimal digits.
    fn push_hex(&mut self, number: u64) {
        let mut digits = [0u8; 16];
        for (place, digit) in digits.iter_mut().enumerate() {
            let nibble = (number >> (60 - 4 * place)) & 15;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        self.push(&digits);
    }

    /// Appends a status line (RFC 9112 section 4).
    fn push_status(&mut self, status: u16) {
        push_status_line(self, status);
    }

    /// Appends a field line.
    fn push_field(&mut self, name: &str, value: &[u8]) {
        self.push(name.as_bytes());
        self.push(b": ");
        self.push(value);
        self.push(b"\r\n");
    }

    /// Appends a `Content-Length` field line.
    fn push_length(&mut self, length: u64) {
        push_length_line(self, length);
    }

    /// Appends a `Date` field line, when the time is known.
    fn push_date(&mut self, clock: &Clock) {
        if let Some(date) = clock.date() {
            self.push_field("Date", date);
        }
    }
}

fn push_status_line(sink: &mut (impl Sink + ?Sized), status: u16) {
    if status == 200 {
        return sink.push(b"HTTP/1.1 200 OK\r\n");
    }
    sink.push(b"HTTP/1.1 ");
    sink.push_decimal(u64::from(status));
    sink.push(b" ");
    sink.push(reason(status).as_bytes());
    sink.push(b"\r\n");
}

fn push_length_line(sink: &mut (impl Sink + ?Sized), length: u64) {
    sink.push(b"Content-Length: ");
    sink.push_decimal(length);
    sink.push(b"\r\n");
}

/// A worker's output: taken once, used for every answer.
pub struct Output {
    buffer: Region,
    len: usize,
    overflow: bool,
    status: u16,
    length: Option<u64>,
}

impl Output {
    /// Room for `capacity` bytes.
    pub fn new(capacity: usize) -> io::Result<Output> {
        Ok(Output { buffer: Region::new(capacity)?, len: 0, overflow: false, status: 0, length: None })
    }

    /// What is gathered so far.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// How many bytes are gathered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more bytes fit.
    pub fn room(&self) -> usize {
        self.buffer.len() - self.len
    }

    /// Cuts back to `len` bytes and forgets an overflow after it.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.overflow = false;
    }

    /// Writes over bytes that are gathered already.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.buffer.get_mut(at..at + bytes.len()).filter(|_| at + bytes.len() <= self.len) {
            room.copy_from_slice(bytes);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Takes note of an answer whose head is copied and not written.
    pub fn begin_answer(&mut self, status: u16, length: Option<u64>) {
        (self.status, self.length) = (status, length);
    }

    /// The status of the answer that was begun last, and the length it announced, if it did.
    pub fn answer(&self) -> (u16, Option<u64>) {
        (self.status, self.length)
    }

    /// Whether a push since the last truncation did not fit.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }
}

impl Sink for Output {
    fn push(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if !self.overflow => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.overflow = true,
        }
    }

    fn push_status(&mut self, status: u16) {
        (self.status, self.length) = (status, None);
        push_status_line(self, status);
    }

    fn push_length(&mut self, length: u64) {
        self.length = Some(length);
        push_length_line(self, length);
    }
}

/// A short text on the stack. Callers choose N for the longest text they write.
#[derive(Default)]
pub struct Text<const N: usize>(heapless::Vec<u8, N>);

impl<const N: usize> Text<N> {
    /// Forgets the text.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The text so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> Sink for Text<N> {
    fn push(&mut self, bytes: &[u8]) {
        let _ = self.0.extend_from_slice(bytes);
    }
}

/// For requests to programs and servers behind this one, in room the caller has.
impl Sink for Writer<'_> {
    fn push(&mut self, bytes: &[u8]) {
        Writer::push(self, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_others_are_written_the_same_way() {
        let mut room = [0; 32];
        let mut out = Writer::new(&mut room);
        out.push_field("Content-Length", b"5");
        out.push_decimal(120);
        assert_eq!(out.bytes(), b"Content-Length: 5\r\n120");
        out.push_decimal(1_234_567_890);
        out.push_decimal(1);
        assert!(out.overflowed());
        assert_eq!(out.len(), 32);
    }

    #[test]
    fn numbers_and_lines_are_written_as_text() {
        let mut output = Output::new(4096).unwrap();
        output.push_status(404);
        output.push_length(u64::MAX);
        output.push_hex(0x1f);
        assert_eq!(
            output.bytes(),
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 18446744073709551615\r\n000000000000001f"
        );
    }

    #[test]
    fn an_overflow_is_remembered_and_leaves_no_half_line() {
        let mut output = Output::new(8).unwrap();
        output.push(b"12345");
        output.push(b"6789");
        output.push(b"6");
        assert!(output.overflowed());
        assert_eq!(output.bytes(), b"12345");
        output.clear();
        output.push(b"12345678");
        assert!(!output.overflowed());
        assert_eq!(output.room(), 0);
    }
}
