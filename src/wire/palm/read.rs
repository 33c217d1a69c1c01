//! The server's side of the Palm protocol: requests of any client there has been.

use core::fmt;

use super::is_line_byte;
use crate::limits::PALM_HEAD_MAX;
use crate::wire::chars::find;
use crate::wire::head::parse_content_length;
use crate::wire::span::Span;

/// Why a request was refused. Palm has no error codes: the client is answered with a text, and the connection closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PalmError {
    /// The request breaks the protocol. The text says where.
    Malformed(&'static str),
    /// Path and variables are longer than [`PALM_HEAD_MAX`].
    TooLarge,
}

impl fmt::Display for PalmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PalmError::Malformed(why) => why,
            PalmError::TooLarge => "Palm request over 64 KB: send fewer or smaller variables",
        })
    }
}

/// A request. Its spans are in the buffer it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PalmRequest {
    /// The absolute path of the script: the first line, or `SCRIPT_FILENAME` where the client sends no path line. It begins with `/`
    /// and holds no line end and no NUL; otherwise it is as it was sent, `..` included.
    pub path: Span,
    /// Bytes of the body, at most `i64::MAX`; 0 when there is none.
    pub length: u64,
    /// Offset where the body begins. Behind it, or here when there is none, empty lines may follow that mean nothing.
    pub end: usize,
    /// The lines of variables.
    lines: Span,
}

impl PalmRequest {
    /// The variables, name and value, in the order they were sent. `buf` is what was read.
    pub fn variables<'a>(&self, buf: &'a [u8]) -> Variables<'a> {
        Variables { rest: self.lines.of(buf) }
    }
}

/// The variables of a request: every line with `=` in it is one, split at the first, nothing trimmed. Left out are lines without a name,
/// and `POST_VARS`. A name may come more than once, and may be no name RFC 3875 knows.
#[derive(Clone, Debug)]
pub struct Variables<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Variables<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        loop {
            let end = find(self.rest, b'\r')?;
            let (line, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.get(2..)?;
            match split(line) {
                Some((name, value)) if !name.is_empty() && name != POST_VARS => return Some((name, value)),
                _ => {}
            }
        }
    }
}

/// The pseudo variable older clients send a body in, as their last line: it holds as many bytes as `CONTENT_LENGTH` says, line ends among
/// them.
const POST_VARS: &[u8] = b"POST_VARS";

/// A line split at its first `=`.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(find(line, b'=')?)?;
    Some((name, value.get(1..)?))
}

/// Reads a request as its bytes come. Each byte is looked at once, however they are split.
///
/// Clients differ, and all are understood: the first line may be a variable instead of the path (it is a path if it begins with `/`);
/// without a body one to three empty lines end the request, of which the first counts; with one, two empty lines do, and the body
/// begins right behind them, whatever it begins with; or the body is in `POST_VARS`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Reader {
    /// What `CONTENT_LENGTH` says.
    length: Option<u64>,
    /// Offset of the line that is not whole yet.
    line: u16,
    /// Offset up to which that line was searched for its end.
    seen: u16,
    /// Offset of the first line that is no path.
    first: u16,
    path: Span,
    /// The value of the first `SCRIPT_FILENAME`.
    script: Span,
}

impl Reader {
    /// Before the first byte of a request.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Goes on with `buf`, all bytes that have come since the first one of the request. `None`: more is needed.
    ///
    /// # Errors
    /// A [`PalmError`]; the reader is then of no more use.
    pub fn next(&mut self, buf: &[u8]) -> Result<Option<PalmRequest>, PalmError> {
        let request = self.read(buf)?;
        if request.map_or(buf.len().saturating_add(1), |request| request.end) > PALM_HEAD_MAX {
            return Err(PalmError::TooLarge);
        }
        Ok(request)
    }

    fn read(&mut self, buf: &[u8]) -> Result<Option<PalmRequest>, PalmError> {
        let head = buf.get(..PALM_HEAD_MAX).unwrap_or(buf);
        loop {
            let start = usize::from(self.line);
            let rest = head.get(start..).unwrap_or(&[]);
            let length = self.length.unwrap_or(0);
            if length > 0
                && let Some(body) = rest.strip_prefix(POST_VARS).and_then(|rest| rest.strip_prefix(b"="))
            {
                return self.done(head, start, head.len().saturating_sub(body.len())).map(Some);
            }
            let searched = usize::from(self.seen).saturating_sub(start);
            let news = rest.get(searched..).unwrap_or(&[]);
            let line_len = searched + news.iter().position(|&byte| !is_line_byte(byte)).unwrap_or(news.len());
            let (line, after) = rest.split_at_checked(line_len).unwrap_or((rest, &[]));
            self.seen = u16::try_from(start.saturating_add(line_len)).unwrap_or(u16::MAX);
            let end = start.saturating_add(line_len).saturating_add(2);
            match after {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => {}
                _ => return Err(PalmError::Malformed("line of a Palm request with a NUL or a lone line end in it")),
            }
            if !line.is_empty() {
                self.take_line(line, start, end)?;
                self.line = u16::try_from(end).unwrap_or(u16::MAX);
                continue;
            }
            if length == 0 {
                return self.done(head, start, end).map(Some);
            }
            return match head.get(end..).unwrap_or(&[]) {
                [] | [b'\r'] => Ok(None),
                [b'\r', b'\n', ..] => self.done(head, start, end.saturating_add(2)).map(Some),
                _ => Err(PalmError::Malformed("one empty line before the body of a Palm request: send two")),
            };
        }
    }

    /// Takes the line from offset `start` to `end`, its CRLF included.
    fn take_line(&mut self, line: &[u8], start: usize, end: usize) -> Result<(), PalmError> {
        if start == 0 && line.first() == Some(&b'/') {
            self.path = Span::between(start, start.saturating_add(line.len()));
            self.first = u16::try_from(end).unwrap_or(u16::MAX);
            return Ok(());
        }
        let Some((name, value)) = split(line) else {
            return match start {
                0 => {
                    Err(PalmError::Malformed("first line of a Palm request is neither an absolute path nor a variable"))
                }
                _ => Ok(()),
            };
        };
        let line_end = start.saturating_add(line.len());
        match name {
            b"CONTENT_LENGTH" if !value.is_empty() => {
                let length =
                    parse_content_length(value).map_err(|_| PalmError::Malformed("malformed CONTENT_LENGTH"))?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(PalmError::Malformed("CONTENT_LENGTH twice, with other values"));
                }
                self.length = Some(length);
            }
            b"SCRIPT_FILENAME" if self.script.is_empty() => {
                self.script = Span::between(line_end.saturating_sub(value.len()), line_end);
            }
            POST_VARS if !value.is_empty() => {
                return Err(PalmError::Malformed("POST_VARS without a CONTENT_LENGTH before it"));
            }
            _ => {}
        }
        Ok(())
    }

    /// The request whose variables end at offset `lines_end` and whose body begins at `end`.
    fn done(&self, buf: &[u8], lines_end: usize, end: usize) -> Result<PalmRequest, PalmError> {
        let path = if self.path.is_empty() { self.script } else { self.path };
        if path.of(buf).first() != Some(&b'/') {
            return Err(PalmError::Malformed("Palm request without the absolute path of a script"));
        }
        Ok(PalmRequest {
            path,
            length: self.length.unwrap_or(0),
            end,
            lines: Span::between(usize::from(self.first), lines_end),
        })
    }
}
