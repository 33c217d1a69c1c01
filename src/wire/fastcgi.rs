//! FastCGI 1.0 as a web server speaks it: requests in the role of a responder, and what a backend answers (FastCGI Specification, 1996,
//! <https://fastcgi-archives.github.io/FastCGI_Specification.html>).
//!
//! One connection carries one request at a time. Sent are, in this order: [`push_begin`], a [`Params`] record, body in STDIN records
//! ([`stdin_header`] before each piece), an empty STDIN record. What comes back goes through [`Decoder::next`]. The content of the stream
//! STDOUT begins with a head as [`cgi`](super::cgi) parses it.

mod decode;
mod values;

pub use decode::{Decoder, Piece, ProtocolStatus};
pub use values::{Values, parse_values, push_get_values};

use core::fmt;

use super::cgi_env::Variable;
use super::writer::Writer;

/// Section 3.3: bytes of a record's header.
pub const HEADER_LEN: usize = 8;

/// Section 3.3: the only version there is.
const VERSION: u8 = 1;

/// Section 8: the kinds of records, as far as either side sends them.
mod kind {
    pub const BEGIN_REQUEST: u8 = 1;
    pub const ABORT_REQUEST: u8 = 2;
    pub const END_REQUEST: u8 = 3;
    pub const PARAMS: u8 = 4;
    pub const STDIN: u8 = 5;
    pub const STDOUT: u8 = 6;
    pub const STDERR: u8 = 7;
    pub const GET_VALUES: u8 = 9;
    pub const GET_VALUES_RESULT: u8 = 10;
    pub const UNKNOWN_TYPE: u8 = 11;
}

/// Why what a backend sent is refused. The request is answered 502 and the connection closed: where the next record would begin is not
/// known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// A record of another version than 1: whoever answers does not speak FastCGI.
    Version,
    /// A record of another request than the one under way.
    Request,
    /// A record that only a web server sends.
    Kind,
    /// An END_REQUEST that is not 8 bytes long, or whose protocol status there is not.
    End,
    /// An answer to GET_VALUES that is malformed, or longer than [`FASTCGI_VALUES_MAX`](crate::limits::FASTCGI_VALUES_MAX).
    Values,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordError::Version => "no FastCGI record: check that the address is that of a FastCGI backend",
            RecordError::Request => "FastCGI record of another request than the one under way",
            RecordError::Kind => "FastCGI record that a backend never sends",
            RecordError::End => "malformed FastCGI END_REQUEST",
            RecordError::Values => "malformed or overlong FastCGI GET_VALUES_RESULT",
        })
    }
}

/// Section 3.3: a record's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Header {
    kind: u8,
    /// 0 for records about the connection.
    id: u16,
    /// Bytes of content.
    content: u16,
    /// Bytes to be skipped after the content.
    padding: u8,
}

impl Header {
    const fn encode(self) -> [u8; HEADER_LEN] {
        let ([id1, id0], [content1, content0]) = (self.id.to_be_bytes(), self.content.to_be_bytes());
        [VERSION, self.kind, id1, id0, content1, content0, self.padding, 0]
    }

    fn decode(bytes: [u8; HEADER_LEN]) -> Result<Header, RecordError> {
        let [version, kind, id1, id0, content1, content0, padding, _] = bytes;
        if version != VERSION {
            return Err(RecordError::Version);
        }
        Ok(Header {
            kind,
            id: u16::from_be_bytes([id1, id0]),
            content: u16::from_be_bytes([content1, content0]),
            padding,
        })
    }
}

/// A header of a record without padding.
const fn header(kind: u8, id: u16, content: u16) -> [u8; HEADER_LEN] {
    Header { kind, id, content, padding: 0 }.encode()
}

/// Section 5.1: writes BEGIN_REQUEST for request `id` (not 0) in the role of a responder, 16 bytes. If `keep`, the backend is asked to
/// leave the connection open after the request.
pub fn push_begin(out: &mut Writer<'_>, id: u16, keep: bool) {
    const RESPONDER: u8 = 1;
    out.push(&header(kind::BEGIN_REQUEST, id, 8));
    out.push(&[0, RESPONDER, u8::from(keep), 0, 0, 0, 0, 0]);
}

/// Section 5.4: the ABORT_REQUEST record of request `id`. The backend may answer it with END_REQUEST, or not at all.
pub const fn abort(id: u16) -> [u8; HEADER_LEN] {
    header(kind::ABORT_REQUEST, id, 0)
}

/// Section 5.3: what stands before `len` bytes of the body of request `id`. With `len` 0 it ends the body.
pub const fn stdin_header(id: u16, len: u16) -> [u8; HEADER_LEN] {
    header(kind::STDIN, id, len)
}

/// Section 5.2: the PARAMS record under construction: the variables of a request.
#[derive(Debug)]
pub struct Params {
    /// Offset of the record's header.
    at: usize,
    id: u16,
}

impl Params {
    /// Begins the record of request `id`. Between this and [`end`](Params::end) only [`push_pair`], [`push_variable`] and
    /// [`push_pair_lengths`] with what belongs to it may write.
    pub fn begin(out: &mut Writer<'_>, id: u16) -> Params {
        let at = out.len();
        out.push(&header(kind::PARAMS, id, 0));
        Params { at, id }
    }

    /// Ends the record and the stream of parameters. Variables of more than 65,535 bytes together count as not fitting.
    pub fn end(self, out: &mut Writer<'_>) {
        let end = header(kind::PARAMS, self.id, 0);
        // An empty record ends the stream by itself.
        let is_empty = out.len() <= self.at.saturating_add(HEADER_LEN);
        self.end_record(out);
        if !is_empty {
            out.push(&end);
        }
    }

    /// Ends the record alone: another one follows.
    pub fn end_record(self, out: &mut Writer<'_>) {
        let content = out.len().saturating_sub(self.at).saturating_sub(HEADER_LEN);
        match u16::try_from(content) {
            Ok(content) => out.patch(self.at, &header(kind::PARAMS, self.id, content)),
            Err(_) => out.give_up(),
        }
    }
}

/// Section 3.4: writes a name-value pair.
#[cfg_attr(tuned, optimize(speed))]
pub fn push_pair(out: &mut Writer<'_>, name: &[u8], value: &[u8]) {
    if let (0..0x80, 0..0x80) = (name.len(), value.len()) {
        // Nearly all: in one go.
        return out.fill(|rest| {
            let (lengths, rest) = rest.split_first_chunk_mut()?;
            let (to_name, rest) = rest.split_at_mut_checked(name.len())?;
            let to_value = rest.get_mut(..value.len())?;
            *lengths = [name.len() as u8, value.len() as u8];
            to_name.copy_from_slice(name);
            to_value.copy_from_slice(value);
            Some(2 + name.len() + value.len())
        });
    }
    push_pair_lengths(out, name.len(), value.len());
    out.push(name);
    out.push(value);
}

/// The same for a request field.
pub fn push_variable(out: &mut Writer<'_>, variable: &Variable<'_>) {
    push_pair_lengths(out, variable.name_len(), variable.value_len());
    variable.push_name(out);
    variable.push_value(out);
}

/// Section 3.4: writes the lengths of a pair whose name and value follow: a byte each, or four from 128 on. A length beyond 31 bits does
/// not fit.
pub fn push_pair_lengths(out: &mut Writer<'_>, name: usize, value: usize) {
    push_length(out, name);
    push_length(out, value);
}

fn push_length(out: &mut Writer<'_>, length: usize) {
    match u32::try_from(length) {
        Ok(length @ 0..0x80) => out.push(&[length as u8]),
        Ok(length @ 0x80..0x8000_0000) => out.push(&(length | 0x8000_0000).to_be_bytes()),
        _ => out.give_up(),
    }
}
