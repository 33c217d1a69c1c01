//! What the server owes a client that sent a text, worked out from the whole text at once.

use monkey::limits::{DISCARD_MAX, HEAD_MAX};
use monkey::wire::chunked::{Chunked, Piece};
use monkey::wire::head::{Framing, Head, Method, Name, Version, check_partial, find_end, parse_head, skip_empty_lines};
use monkey::wire::target::{Form, parse_target};

use super::super::site::{BODY_MAX, FILES};

/// What an answer must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A file, or a part of it.
    File {
        /// Its number.
        index: usize,
        /// The value of `Range`, when it applies.
        range: Option<Vec<u8>>,
        /// The request has conditions.
        conditional: bool,
    },
    /// This status.
    Status(u16),
    /// What a path leads to that is none of the known files.
    Other,
    /// The number of bytes of the body and their hash.
    Count { len: usize, hash: u64 },
    /// The body.
    Echo(Vec<u8>),
}

/// One answer that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// What it is.
    pub kind: Kind,
    /// It has no body whatever it announces.
    pub to_head: bool,
    /// `100 Continue` may come first.
    pub may_continue: bool,
    /// Whether it says `Connection: Close`; `None` = it need not say so.
    pub closes: Option<bool>,
    /// The request had a body of at least a byte.
    pub has_body: bool,
}

/// What comes after the answers that are due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Nothing: the server waits for more.
    Waits,
    /// Nothing, the connection was closed.
    Closed,
    /// An error, of this status or, if that is 400, of any, and a close.
    Refused(u16),
    /// The beginning of an answer, perhaps: its request is not whole.
    Partial,
    /// The beginning of an answer and a close.
    BrokenOff,
}

/// What the server owes.
#[derive(Debug)]
pub struct Model {
    /// The answers, in order.
    pub answers: Vec<Expected>,
    /// What comes after them.
    pub end: End,
    /// `100 Continue` may come before that.
    pub may_continue: bool,
}

/// The handlers of test builds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Count,
    Echo,
    Refuse,
}

/// A body, as far as it has come.
enum Body {
    /// So many bytes of input, and its data.
    Whole(usize, Vec<u8>),
    /// More is to come; the data so far.
    Unfinished(Vec<u8>),
    /// Not valid, or too long: the status, and the data before that.
    Bad(u16, Vec<u8>),
}

impl Model {
    /// Works out what is due for `text`.
    pub fn of(text: &[u8]) -> Model {
        let mut model = Model { answers: Vec::new(), end: End::Waits, may_continue: false };
        let mut head = Head::new();
        let mut rest = text;
        while let Some(after) = model.request(rest, &mut head) {
            rest = after;
        }
        model
    }

    /// Looks at the first request of `text`; gives what follows it, or sets how the connection ends and gives `None`.
    fn request<'a>(&mut self, text: &'a [u8], head: &mut Head) -> Option<&'a [u8]> {
        let text = &text[skip_empty_lines(text)..];
        let Some(end) = find_end(text, 0) else {
            self.end = match check_partial(text) {
                Ok(()) => End::Waits,
                Err(_) => End::Refused(400),
            };
            return None;
        };
        let (bytes, rest) = text.split_at(end);
        if bytes.len() > HEAD_MAX || parse_head(bytes, head).is_err() {
            return self.ends(End::Refused(400));
        }
        let mut answer = Expected {
            kind: Kind::Other,
            to_head: head.method == Method::Head,
            may_continue: false,
            closes: Some(!head.persistent()),
            has_body: false,
        };
        let (path, limit) = match route(head, bytes) {
            Ok(path) => (path, BODY_MAX),
            Err(status) => {
                answer.kind = Kind::Status(status);
                (Vec::new(), u64::MAX)
            }
        };
        let length = match head.framing {
            Framing::None | Framing::Length(0) => 0,
            Framing::Length(length) => length,
            Framing::Chunked => 0,
        };
        if length > limit {
            answer.kind = Kind::Status(413);
        } else if head.expect_other && limit == BODY_MAX {
            answer.kind = Kind::Status(417);
        } else if limit == BODY_MAX {
            answer.kind = file(head, bytes, &path);
        }
        if length == 0 && head.framing != Framing::Chunked {
            return self.answered(answer, rest);
        }
        let waits = head.expect_continue && head.version == Version::Http11;
        let probe = match path.as_slice() {
            _ if length > limit || head.expect_other => None,
            b"/.probe/count" | b"/.probe/slow" => Some(Probe::Count),
            b"/.probe/echo" => Some(Probe::Echo),
            b"/.probe/refuse" => Some(Probe::Refuse),
            _ => None,
        };
        if probe.is_none() && (waits || length > limit.min(DISCARD_MAX)) {
            answer.closes = Some(true);
            return self.answered(answer, rest);
        }
        let allowed = if probe.is_some() { limit } else { limit.min(DISCARD_MAX) };
        let body = match head.framing {
            Framing::Chunked => chunked_body(rest, allowed),
            _ => match rest.get(..length as usize) {
                Some(data) => Body::Whole(data.len(), data.to_vec()),
                None => Body::Unfinished(rest.to_vec()),
            },
        };
        answer.may_continue = waits;
        match probe {
            None => match body {
                Body::Whole(len, data) => {
                    answer.has_body = !data.is_empty();
                    self.answered(answer, &rest[len..])
                }
                Body::Unfinished(_) => self.ends(End::Waits),
                Body::Bad(status, _) => self.ends(End::Refused(status)),
            },
            Some(probe) => {
                answer.to_head = false;
                self.may_continue = waits && !matches!(body, Body::Whole(..));
                self.probe(probe, answer, body, rest, !head.persistent())
            }
        }
    }

    fn probe<'a>(
        &mut self,
        probe: Probe,
        mut answer: Expected,
        body: Body,
        rest: &'a [u8],
        last: bool,
    ) -> Option<&'a [u8]> {
        let has_data = match &body {
            Body::Whole(_, data) | Body::Unfinished(data) | Body::Bad(_, data) => !data.is_empty(),
        };
        answer.has_body = has_data;
        if probe == Probe::Refuse && has_data {
            answer.kind = Kind::Status(403);
            answer.closes = Some(true);
            return self.answered(answer, rest);
        }
        match (probe, body) {
            (_, Body::Bad(status, _)) if probe != Probe::Echo || !has_data => self.ends(End::Refused(status)),
            (_, Body::Bad(..)) => self.ends(End::BrokenOff),
            (Probe::Echo, Body::Unfinished(_)) if has_data => self.ends(End::Partial),
            (_, Body::Unfinished(_)) => self.ends(End::Waits),
            (probe, Body::Whole(len, data)) => {
                if probe == Probe::Echo {
                    answer.kind = Kind::Echo(data);
                    answer.closes = None;
                } else {
                    answer.kind = Kind::Count { len: data.len(), hash: hash(&data) };
                }
                self.answers.push(answer);
                if last { self.ends(End::Closed) } else { Some(&rest[len..]) }
            }
        }
    }

    fn answered<'a>(&mut self, answer: Expected, rest: &'a [u8]) -> Option<&'a [u8]> {
        let closes = answer.closes == Some(true);
        self.answers.push(answer);
        if closes { self.ends(End::Closed) } else { Some(rest) }
    }

    fn ends<'a>(&mut self, end: End) -> Option<&'a [u8]> {
        self.end = end;
        None
    }
}

/// The decoded path, or the status of a request that no site may see.
fn route(head: &Head, bytes: &[u8]) -> Result<Vec<u8>, u16> {
    use Method::{Delete, Get, Head, Options, Patch, Post, Put};
    if ![Get, Head, Post, Put, Delete, Options, Patch].contains(&head.method) {
        return Err(501);
    }
    let mut room = vec![0; bytes.len()];
    let target = parse_target(bytes, head.target, &mut room).map_err(|error| error.status())?;
    match target.form {
        Form::Asterisk if head.method == Method::Options => Ok(b"*".to_vec()),
        Form::Asterisk | Form::Authority => Err(400),
        _ => Ok(target.path.of(bytes, &room).to_vec()),
    }
}

/// What the handler of files answers.
fn file(head: &Head, bytes: &[u8], path: &[u8]) -> Kind {
    match head.method {
        Method::Get | Method::Head | Method::Post => {}
        Method::Options => return Kind::Status(200),
        Method::Patch => return Kind::Status(501),
        _ => return Kind::Status(405),
    }
    let Some(index) = FILES.iter().position(|(name, _)| name.as_bytes() == path) else {
        return Kind::Other;
    };
    let conditions = [Name::IfMatch, Name::IfNoneMatch, Name::IfModifiedSince, Name::IfUnmodifiedSince, Name::IfRange];
    let range = head.get(Name::Range).filter(|_| head.method == Method::Get);
    Kind::File {
        index,
        range: range.map(|value| value.of(bytes).to_vec()),
        conditional: conditions.iter().any(|&name| head.get(name).is_some()),
    }
}

fn chunked_body(text: &[u8], allowed: u64) -> Body {
    let mut body = Chunked::default();
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        match body.next(&text[at..]) {
            Err(error) => return Body::Bad(error.status(), data),
            Ok(Piece::More { .. }) => return Body::Unfinished(data),
            Ok(Piece::End { framing }) => return Body::Whole(at + framing, data),
            Ok(Piece::Data { framing, len }) => {
                at += framing;
                let len = len.min((allowed as usize).saturating_sub(data.len()));
                if len == 0 {
                    return Body::Bad(413, data);
                }
                data.extend_from_slice(&text[at..at + len]);
                body.took(len);
                at += len;
            }
        }
    }
}

/// FNV-1a, 64 bits.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
