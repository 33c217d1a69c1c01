//! What a backend can do (FastCGI section 4.1).

use nom::bytes::complete::take;
use nom::combinator::all_consuming;
use nom::number::complete::u8 as byte;
use nom::{IResult, Parser};

use super::{HEADER_LEN, Header, RecordError, header, kind, push_pair};
use crate::limits::FASTCGI_VALUES_MAX;
use crate::wire::writer::Writer;

/// What a backend says of itself. `None`: it does not say.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Values {
    /// `FCGI_MAX_CONNS`: connections it takes at once.
    pub max_connections: Option<u32>,
    /// `FCGI_MAX_REQS`: requests it takes at once.
    pub max_requests: Option<u32>,
    /// `FCGI_MPXS_CONNS`: whether it takes several requests over one connection at once.
    pub multiplexes: Option<bool>,
}

const MAX_CONNS: &[u8] = b"FCGI_MAX_CONNS";
const MAX_REQS: &[u8] = b"FCGI_MAX_REQS";
const MPXS_CONNS: &[u8] = b"FCGI_MPXS_CONNS";

/// Section 4.1: writes GET_VALUES, which asks for all of [`Values`]: 56 bytes. Best sent over a connection of its own, before a request:
/// some backends close it behind their answer.
pub fn push_get_values(out: &mut Writer<'_>) {
    let names = [MAX_CONNS, MAX_REQS, MPXS_CONNS];
    let content = names.iter().fold(0, |sum, name| sum + name.len() + 2);
    out.push(&header(kind::GET_VALUES, 0, content as u16));
    for name in names {
        push_pair(out, name, &[]);
    }
}

/// Section 4.1: parses the answer to GET_VALUES that `buf`, all that has come, begins with. Gives how many bytes it took. `None`: more is
/// needed, up to [`FASTCGI_VALUES_MAX`] bytes. A backend that does not know the question (UNKNOWN_TYPE) says nothing of itself.
///
/// # Errors
/// A [`RecordError`] when this is no such answer.
pub fn parse_values(buf: &[u8]) -> Result<Option<(usize, Values)>, RecordError> {
    let Some((first, rest)) = buf.split_first_chunk::<HEADER_LEN>() else {
        return if matches!(buf, [] | [1, ..]) { Ok(None) } else { Err(RecordError::Version) };
    };
    let header = Header::decode(*first)?;
    if header.id != 0 {
        return Err(RecordError::Request);
    }
    if !matches!(header.kind, kind::GET_VALUES_RESULT | kind::UNKNOWN_TYPE) {
        return Err(RecordError::Kind);
    }
    let content = usize::from(header.content);
    let end = HEADER_LEN + content + usize::from(header.padding);
    if end > FASTCGI_VALUES_MAX {
        return Err(RecordError::Values);
    }
    if buf.len() < end {
        return Ok(None);
    }
    let mut values = Values::default();
    if header.kind == kind::GET_VALUES_RESULT {
        let mut pairs = rest.get(..content).unwrap_or(&[]);
        while !pairs.is_empty() {
            let (after, (name, value)) = parse_pair(pairs).map_err(|_| RecordError::Values)?;
            pairs = after;
            match name {
                MAX_CONNS => values.max_connections = parse_number(value),
                MAX_REQS => values.max_requests = parse_number(value),
                MPXS_CONNS => values.multiplexes = parse_flag(value),
                _ => {}
            }
        }
    }
    Ok(Some((end, values)))
}

type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// Section 3.4: a name-value pair.
fn parse_pair(i: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    let (i, (name, value)) = (parse_length, parse_length).parse(i)?;
    (take(name), take(value)).parse(i)
}

/// Section 3.4: a length in one byte, or in four, of which the first has its highest bit set.
fn parse_length(i: &[u8]) -> Parsed<'_, u32> {
    let (i, first) = byte.parse(i)?;
    if first < 0x80 {
        return Ok((i, u32::from(first)));
    }
    let (i, (b, c, d)) = (byte, byte, byte).parse(i)?;
    Ok((i, u32::from_be_bytes([first & 0x7F, b, c, d])))
}

/// A number in decimal. What is none says nothing.
fn parse_number(value: &[u8]) -> Option<u32> {
    let parsed: Parsed<'_, u32> = all_consuming(nom::character::complete::u32).parse(value);
    parsed.ok().map(|(_, number)| number)
}

/// `0` or `1`. What is neither says nothing.
fn parse_flag(value: &[u8]) -> Option<bool> {
    match value {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}
