//! The chunked transfer coding (RFC 9112 section 7.1), decoded as its bytes come.
//!
//! Nothing is held back and nothing is copied: [`Chunked::next`] tells framing from data in the caller's own buffer, at any
//! split. Reading is strict: sizes are hexadecimal digits and nothing else, lines end in CRLF, extensions and trailers keep
//! to their grammar although nobody reads them. Where two readers could see the body's end in two places it is an error.

use core::fmt;

use super::chars::{is_field_vchar, is_ows, is_tchar};
use crate::limits::{CHUNK_LINE_MAX, TRAILERS_MAX};

/// What the next byte of framing may be. Up to `SizeEnd` it stands on a chunk-size line, from `Trailer` on among trailers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
#[repr(u8)]
enum State {
    /// The first digit of a size.
    Start,
    /// A further digit, or what follows a size.
    Size,
    /// After a blank that only another blank or `;` may follow.
    Blank,
    /// After `;`: the name of an extension.
    Extension,
    /// Inside an extension's name.
    Name,
    /// After a blank behind an extension's name.
    NameBlank,
    /// After `=`: the value.
    Equals,
    /// Inside a value that is a token.
    Token,
    /// Inside a quoted value.
    Quoted,
    /// After a backslash in a quoted value.
    Escape,
    /// After a quoted value.
    QuotedEnd,
    /// The LF of a chunk-size line.
    SizeEnd,
    /// Data; its bytes are no framing.
    Data,
    /// The CR after data.
    DataCr,
    /// The LF after data.
    DataLf,
    /// The first byte of a trailer, or the CR of the last line.
    Trailer,
    /// Inside a trailer's name.
    TrailerName,
    /// Inside a trailer's value.
    TrailerValue,
    /// The LF of a trailer.
    TrailerEnd,
    /// The LF of the last line.
    LastLf,
    /// Nothing: the body is over.
    Done,
}

/// Where a chunked body is. It lives in the connection's slot, so it is small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunked {
    /// The size read so far; then how much of the chunk's data is left.
    remaining: u64,
    /// How many bytes of the chunk-size line, or of the trailers, have come.
    line: u16,
    state: State,
}

const _: () = assert!(size_of::<Chunked>() <= 16);

/// What the bytes at hand amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// No data: more input is needed.
    More {
        /// Bytes of framing, all of the input; they are done with.
        framing: usize,
    },
    /// Data. It is not used up until [`Chunked::took`] says so.
    Data {
        /// Bytes of framing before the data; they are done with.
        framing: usize,
        /// Bytes of data in the input, at least 1.
        len: usize,
    },
    /// The body is over; what follows belongs to the next request.
    End {
        /// Bytes of framing up to the end; they are done with.
        framing: usize,
    },
}

/// Why a chunked body was refused. The connection must then be closed: where the next request starts is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkError {
    /// 400: the body breaks the grammar. The text says where.
    Malformed(&'static str),
    /// 400: a chunk-size line longer than [`CHUNK_LINE_MAX`].
    LineTooLong,
    /// 431: trailers longer than [`TRAILERS_MAX`].
    TrailersTooLarge,
    /// 413: a chunk whose size is beyond 63 bits.
    SizeTooLarge,
}

impl ChunkError {
    /// The status code to answer with.
    pub const fn status(&self) -> u16 {
        match self {
            ChunkError::Malformed(_) | ChunkError::LineTooLong => 400,
            ChunkError::TrailersTooLarge => 431,
            ChunkError::SizeTooLarge => 413,
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChunkError::Malformed(why) => why,
            ChunkError::LineTooLong => "chunk-size line over 256 bytes: send shorter extensions",
            ChunkError::TrailersTooLarge => "trailers over 8 KB: send fewer or smaller ones",
            ChunkError::SizeTooLarge => "chunk size beyond 63 bits",
        })
    }
}

impl Default for Chunked {
    /// Before the first chunk-size line.
    fn default() -> Chunked {
        Chunked { remaining: 0, line: 0, state: State::Start }
    }
}

impl Chunked {
    /// Looks at `input`, the bytes that follow those already done with: first comes framing, which is done with when this
    /// returns, then perhaps data, which stays the caller's until [`took`](Chunked::took). After [`Piece::End`] it answers
    /// the same again, with no framing.
    ///
    /// # Errors
    /// A [`ChunkError`] with the status to answer; the connection must then be closed. The state is as it was before.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, ChunkError> {
        let mut to = *self;
        let mut framing = 0;
        for &byte in input {
            if matches!(to.state, State::Data | State::Done) {
                break;
            }
            to.step(byte)?;
            framing += 1;
        }
        *self = to;
        let left = input.len().saturating_sub(framing);
        Ok(match to.state {
            State::Done => Piece::End { framing },
            State::Data if left > 0 => {
                Piece::Data { framing, len: usize::try_from(to.remaining).unwrap_or(usize::MAX).min(left) }
            }
            _ => Piece::More { framing },
        })
    }

    /// Says that `n` bytes of the data that [`next`](Chunked::next) found were used. No more than it found are counted.
    pub fn took(&mut self, n: usize) {
        if self.state == State::Data {
            self.remaining = self.remaining.saturating_sub(n as u64);
            if self.remaining == 0 {
                self.state = State::DataCr;
            }
        }
    }

    /// Whether the whole body has been seen.
    pub fn is_over(&self) -> bool {
        self.state == State::Done
    }

    /// Takes one byte of framing.
    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.line = self.line.saturating_add(1);
        if self.state <= State::SizeEnd {
            if self.line > CHUNK_LINE_MAX {
                return Err(ChunkError::LineTooLong);
            }
        } else if self.state >= State::Trailer && self.line > TRAILERS_MAX {
            return Err(ChunkError::TrailersTooLarge);
        }
        self.state = match self.state {
            State::Start | State::Size if byte.is_ascii_hexdigit() => {
                self.add_digit(byte)?;
                State::Size
            }
            state if state <= State::SizeEnd => self.step_line(byte)?,
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => {
                *self = Chunked::default();
                State::Start
            }
            State::DataCr | State::DataLf => return Err(ChunkError::Malformed("no CRLF after a chunk's data")),
            state => step_trailer(state, byte)?,
        };
        Ok(())
    }

    /// RFC 9112 section 7.1: chunk-size = 1*HEXDIG.
    fn add_digit(&mut self, digit: u8) -> Result<(), ChunkError> {
        if self.remaining > i64::MAX.unsigned_abs() >> 4 {
            return Err(ChunkError::SizeTooLarge);
        }
        let value = char::from(digit).to_digit(16).unwrap_or(0);
        self.remaining = self.remaining << 4 | u64::from(value);
        Ok(())
    }

    /// RFC 9112 sections 7.1 and 7.1.1: what follows the digits of a size:
    /// chunk-ext = *( BWS ";" BWS chunk-ext-name \[ BWS "=" BWS chunk-ext-val \] ), CRLF.
    fn step_line(&mut self, byte: u8) -> Result<State, ChunkError> {
        use State::*;
        Ok(match (self.state, byte) {
            (SizeEnd, b'\n') if self.remaining == 0 => {
                self.line = 0;
                Trailer
            }
            (SizeEnd, b'\n') => Data,
            (Size | Name | Token | QuotedEnd, b'\r') => SizeEnd,
            (Size | Blank | Name | NameBlank | Token | QuotedEnd, b';') => Extension,
            (Size | Blank | Token | QuotedEnd, b' ' | b'\t') => Blank,
            (Extension | Equals, b' ' | b'\t') => self.state,
            (Extension | Name, _) if is_tchar(byte) => Name,
            (Name | NameBlank, b' ' | b'\t') => NameBlank,
            (Name | NameBlank, b'=') => Equals,
            (Equals | Token, _) if is_tchar(byte) => Token,
            (Equals, b'"') => Quoted,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => Escape,
            // RFC 9110 section 5.6.4: what a quoted string may hold is what a field value may hold.
            (Quoted | Escape, _) if is_field_vchar(byte) => Quoted,
            (Start | Size, _) => return Err(ChunkError::Malformed("malformed chunk size")),
            (SizeEnd, _) => {
                return Err(ChunkError::Malformed("carriage return without line feed in a chunk-size line"));
            }
            _ => return Err(ChunkError::Malformed("malformed chunk extension")),
        })
    }
}

/// RFC 9112 section 7.1.2: trailer-section = *( field-line CRLF ), then the last CRLF.
fn step_trailer(state: State, byte: u8) -> Result<State, ChunkError> {
    use State::*;
    Ok(match (state, byte) {
        (Trailer, b'\r') => LastLf,
        (Trailer | TrailerName, _) if is_tchar(byte) => TrailerName,
        (TrailerName, b':') => TrailerValue,
        (TrailerValue, b'\r') => TrailerEnd,
        (TrailerValue, _) if is_field_vchar(byte) => TrailerValue,
        (TrailerEnd, b'\n') => Trailer,
        (LastLf, b'\n') => Done,
        (Trailer, _) if is_ows(byte) => return Err(ChunkError::Malformed("blank at the start of a trailer")),
        (TrailerValue, _) => return Err(ChunkError::Malformed("control byte in a trailer")),
        (TrailerEnd | LastLf, _) => {
            return Err(ChunkError::Malformed("carriage return without line feed in a trailer"));
        }
        _ => return Err(ChunkError::Malformed("malformed trailer name")),
    })
}
