//! What a backend answers to a request, told apart as its bytes come.

use super::{HEADER_LEN, Header, RecordError, kind};

/// Section 5.5: what a backend says about a request at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolStatus {
    /// It was answered.
    Complete,
    /// Refused: another request is under way on this connection.
    CantMultiplex,
    /// Refused: the backend has no resources for it. Another backend may be asked.
    Overloaded,
    /// Refused: the backend is no responder.
    UnknownRole,
}

/// What the bytes at hand amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// No content: more input is needed.
    More {
        /// Bytes of framing, all of the input; they are done with.
        framing: usize,
    },
    /// Content of the stream STDOUT: head and body of the answer. Not used up until [`Decoder::took`] says so.
    Stdout {
        /// Bytes of framing before the content; they are done with.
        framing: usize,
        /// Bytes of content in the input, at least 1.
        len: usize,
    },
    /// Content of the stream STDERR: text for the error log. Not used up until [`Decoder::took`] says so.
    Stderr {
        /// Bytes of framing before the content; they are done with.
        framing: usize,
        /// Bytes of content in the input, at least 1.
        len: usize,
    },
    /// The request is over, the padding of the last record included. On a kept connection nothing may follow: input that is left over
    /// is a reason to close it.
    End {
        /// Bytes of framing up to the end; they are done with.
        framing: usize,
        /// The exit status of the program; 0 is well.
        app_status: u32,
        /// Whether the request was served at all.
        protocol_status: ProtocolStatus,
    },
}

/// Where the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Part {
    Header,
    Content,
    Padding,
    Done,
}

/// Where the answer to one request is. It holds no content, so it is small.
///
/// Records about the connection, and kinds of records that the specification does not have, are skipped. Empty STDOUT and STDERR
/// records, which end those streams, are skipped too: the end is END_REQUEST, for not every backend sends them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoder {
    /// A header that is not whole yet, then the content of END_REQUEST.
    held: [u8; 8],
    /// The request that is under way.
    id: u16,
    /// Bytes of content that are still to come.
    left: u16,
    /// Bytes of padding that are still to come.
    padding: u8,
    kind: u8,
    /// Bytes in `held`.
    have: u8,
    part: Part,
}

const _: () = assert!(size_of::<Decoder>() <= 16);
const _: () = assert!(HEADER_LEN == 8);

impl Decoder {
    /// Before the first record of the answer to request `id`.
    pub const fn new(id: u16) -> Decoder {
        Decoder { held: [0; 8], id, left: 0, padding: 0, kind: 0, have: 0, part: Part::Header }
    }

    /// Looks at `input`, the bytes that follow those already done with: first comes framing, which is done with when this returns,
    /// then perhaps content, which stays the caller's until [`took`](Decoder::took). After [`Piece::End`] it answers the same again, with
    /// no framing.
    ///
    /// # Errors
    /// A [`RecordError`]; the connection must then be closed. The state is as it was before.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, RecordError> {
        let mut to = *self;
        let mut rest = input;
        let piece = loop {
            let framing = input.len().saturating_sub(rest.len());
            match to.part {
                Part::Header => {
                    if !to.hold(&mut rest) {
                        break Piece::More { framing: input.len() };
                    }
                    to.begin_record()?;
                }
                Part::Content if to.left == 0 => to.part = Part::Padding,
                Part::Content if rest.is_empty() => break Piece::More { framing },
                Part::Content => match to.kind {
                    kind::STDOUT => break Piece::Stdout { framing, len: rest.len().min(to.left.into()) },
                    kind::STDERR => break Piece::Stderr { framing, len: rest.len().min(to.left.into()) },
                    kind::END_REQUEST => {
                        let before = rest.len();
                        to.hold(&mut rest);
                        to.drop_content(before.saturating_sub(rest.len()));
                    }
                    _ => {
                        let skipped = rest.len().min(to.left.into());
                        rest = rest.get(skipped..).unwrap_or(&[]);
                        to.drop_content(skipped);
                    }
                },
                Part::Padding => {
                    let skipped = rest.len().min(to.padding.into());
                    rest = rest.get(skipped..).unwrap_or(&[]);
                    to.padding = to.padding.saturating_sub(u8::try_from(skipped).unwrap_or(u8::MAX));
                    if to.padding > 0 {
                        break Piece::More { framing: input.len() };
                    }
                    to.end_record();
                }
                Part::Done => break to.end(framing)?,
            }
        };
        *self = to;
        Ok(piece)
    }

    /// Says that `n` bytes of the content that [`next`](Decoder::next) found were used. No more than are still to come are counted.
    pub fn took(&mut self, n: usize) {
        if self.part == Part::Content && matches!(self.kind, kind::STDOUT | kind::STDERR) {
            self.drop_content(n);
        }
    }

    /// Whether END_REQUEST has come.
    pub fn is_over(&self) -> bool {
        self.part == Part::Done
    }

    /// Whether not a byte of an answer has come: such a request may be sent again over another connection, if its method allows it.
    pub fn is_untouched(&self) -> bool {
        *self == Decoder::new(self.id)
    }

    fn drop_content(&mut self, n: usize) {
        self.left = self.left.saturating_sub(u16::try_from(n).unwrap_or(u16::MAX));
    }

    /// Moves from `rest` what is missing of eight bytes; whether they are all there.
    fn hold(&mut self, rest: &mut &[u8]) -> bool {
        let room = self.held.get_mut(usize::from(self.have)..).unwrap_or_default();
        let taken = room.len().min(rest.len());
        for (place, byte) in room.iter_mut().zip(rest.iter()) {
            *place = *byte;
        }
        self.have = self.have.saturating_add(taken as u8);
        *rest = rest.get(taken..).unwrap_or(&[]);
        usize::from(self.have) == HEADER_LEN
    }

    /// Section 3.3: takes the header that is held.
    fn begin_record(&mut self) -> Result<(), RecordError> {
        let header = Header::decode(self.held)?;
        let own = matches!(header.kind, kind::END_REQUEST | kind::STDOUT | kind::STDERR);
        if own && header.id != self.id {
            return Err(RecordError::Request);
        }
        // Sections 4.2 and 8: what is not known is no error; what only a web server sends is.
        if !own && header.kind < kind::GET_VALUES_RESULT {
            return Err(RecordError::Kind);
        }
        if header.kind == kind::END_REQUEST && header.content != 8 {
            return Err(RecordError::End);
        }
        self.left = header.content;
        self.padding = header.padding;
        self.kind = header.kind;
        self.have = 0;
        self.part = Part::Content;
        Ok(())
    }

    fn end_record(&mut self) {
        if self.kind == kind::END_REQUEST {
            self.part = Part::Done;
        } else {
            *self = Decoder::new(self.id);
            // An answer has begun.
            self.kind = kind::UNKNOWN_TYPE;
        }
    }

    /// Section 5.5: what the content of END_REQUEST says.
    fn end(&self, framing: usize) -> Result<Piece, RecordError> {
        let [a, b, c, d, protocol, ..] = self.held;
        let protocol_status = match protocol {
            0 => ProtocolStatus::Complete,
            1 => ProtocolStatus::CantMultiplex,
            2 => ProtocolStatus::Overloaded,
            3 => ProtocolStatus::UnknownRole,
            _ => return Err(RecordError::End),
        };
        Ok(Piece::End { framing, app_status: u32::from_be_bytes([a, b, c, d]), protocol_status })
    }
}
