//! The request target: its form, its path decoded and normalised once, its query.

use core::fmt;

use super::chars::{find, is_path, visible_len};
use super::host::{Authority, parse_host_at};
use super::span::Span;

/// RFC 9112 section 3.2: the four forms of a request target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`; its authority replaces the `Host` field.
    Absolute,
    /// `host:port`. Right for CONNECT only: the caller checks the method.
    Authority,
    /// `*`. Right for OPTIONS only: the caller checks the method.
    Asterisk,
}

/// A decoded, normalised path: it starts with one `/`, holds no empty, `.` or `..` segment, and no NUL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// The path stands in the request just as it is meant; nothing was copied. Empty for the forms that have no path.
    AsIs(Span),
    /// The path is the first so many bytes of the caller's buffer.
    Decoded(usize),
}

impl Path {
    /// The bytes of the path, from the buffer the head was parsed from or the one it was decoded to.
    #[inline]
    pub fn of<'a>(&self, buf: &'a [u8], out: &'a [u8]) -> &'a [u8] {
        match self {
            Path::AsIs(span) => span.of(buf),
            Path::Decoded(len) => out.get(..*len).unwrap_or(&[]),
        }
    }
}

/// A parsed request target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Which form it has.
    pub form: Form,
    /// Host and port, in the absolute and the authority form. Spans count from the start of the buffer.
    pub authority: Option<Authority>,
    /// The path.
    pub path: Path,
    /// What follows the first `?`, undecoded; `Some` of an empty span when nothing does.
    pub query: Option<Span>,
}

/// Why a request target was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetError {
    /// 400: none of the four forms, a fragment, or a byte that is not visible ASCII.
    Malformed,
    /// 400: a `%` that two hexadecimal digits do not follow.
    BadEscape,
    /// 400: `%00`.
    Nul,
    /// 403: a `..` segment, however written, that leads above the root.
    ClimbsAboveRoot,
    /// 414: the decoded path does not fit the caller's buffer.
    TooLong,
}

impl TargetError {
    /// The status code to answer with.
    pub const fn status(&self) -> u16 {
        match self {
            TargetError::Malformed | TargetError::BadEscape | TargetError::Nul => 400,
            TargetError::ClimbsAboveRoot => 403,
            TargetError::TooLong => 414,
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TargetError::Malformed => "malformed request target",
            TargetError::BadEscape => "'%' without two hexadecimal digits in a path",
            TargetError::Nul => "NUL byte in a path",
            TargetError::ClimbsAboveRoot => "path leads above the root",
            TargetError::TooLong => "path too long",
        })
    }
}

/// RFC 9112 section 3.2: parses the target that `target` names in `buf`, percent-decodes its path once, then removes dot
/// segments (RFC 3986 section 5.2.4) and merges empty ones.
///
/// A path that this leaves as it is stays where it stands; any other is written to `out`, for which as many bytes as the
/// target has are always enough. A slash at the end stays, and `/.` or `/..` at the end leave one. `%2F` separates
/// segments as `/` does. In path and query any visible ASCII but `#` is let pass, as browsers send it.
///
/// # Errors
/// A [`TargetError`] with the status to answer.
#[inline(always)]
pub fn parse_target(buf: &[u8], target: Span, out: &mut [u8]) -> Result<Target, TargetError> {
    let text = target.of(buf);
    match text {
        [b'/', ..] => parse_origin_form(text, usize::from(target.start), out),
        b"*" => Ok(Target { form: Form::Asterisk, authority: None, path: Path::AsIs(Span::default()), query: None }),
        _ => parse_absolute_form(text, usize::from(target.start), out),
    }
}

/// RFC 9112 section 3.2.1: origin-form = absolute-path \[ "?" query \]. `text` starts with a slash and stands at offset
/// `start` of the buffer.
#[inline(always)]
#[cfg_attr(tuned, optimize(speed))]
fn parse_origin_form(text: &[u8], start: usize, out: &mut [u8]) -> Result<Target, TargetError> {
    let (path_len, clean) = parse_path(text)?;
    if !clean || path_len < text.len() {
        return finish_origin_form(text, start, path_len, clean, out);
    }
    let path = Path::AsIs(Span::within(start, start + path_len));
    Ok(Target { form: Form::Origin, authority: None, path, query: None })
}

/// The rest for a path of `path_len` bytes that is not clean, or that a query follows. Apart, so that the common case
/// needs few registers.
#[inline(never)]
fn finish_origin_form(
    text: &[u8],
    start: usize,
    path_len: usize,
    clean: bool,
    out: &mut [u8],
) -> Result<Target, TargetError> {
    let query = match text.get(path_len..) {
        Some([b'?', query @ ..]) => Some(parse_query(query, start + path_len + 1)?),
        _ => None,
    };
    let as_is = Path::AsIs(Span::within(start, start + path_len));
    let path = if clean {
        as_is
    } else {
        let sent = text.get(..path_len).unwrap_or(&[]);
        let len = normalize(sent, out)?;
        if out.get(..len) == Some(sent) { as_is } else { Path::Decoded(len) }
    };
    Ok(Target { form: Form::Origin, authority: None, path, query })
}

/// RFC 3986 section 3.4: query, at offset `start` of the buffer.
fn parse_query(query: &[u8], start: usize) -> Result<Span, TargetError> {
    if visible_len(query) < query.len() || find(query, b'#').is_some() {
        return Err(TargetError::Malformed);
    }
    Ok(Span::within(start, start + query.len()))
}

/// What a byte of a path asks for.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Nothing.
    Plain,
    /// Normalising, perhaps, when another or a dot follows.
    Slash,
    /// Decoding.
    Escape,
    /// The end of the path.
    Query,
    /// Refusal.
    Bad,
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Bad; 256];
    let mut byte = 0x21;
    while byte < 0x7F {
        table[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b'%' => Class::Escape,
            b'?' => Class::Query,
            b'#' => Class::Bad,
            _ => Class::Plain,
        };
        byte += 1;
    }
    table
};

/// RFC 3986 section 3.3: the length of the path `text` starts with, up to `?` or the end, and whether it is certain that
/// it needs neither decoding nor normalising.
#[inline]
fn parse_path(text: &[u8]) -> Result<(usize, bool), TargetError> {
    let mut clean = true;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let class = CLASSES[usize::from(byte)];
        if class != Class::Plain {
            match class {
                Class::Query => break,
                Class::Bad => return Err(TargetError::Malformed),
                Class::Slash => clean &= !matches!(text.get(at + 1), Some(b'/' | b'.')),
                _ => clean = false,
            }
        }
        at += 1;
    }
    Ok((at, clean))
}

/// RFC 9112 sections 3.2.2 and 3.2.3: absolute-form with the scheme `http` or `https`, or else authority-form.
#[cold]
fn parse_absolute_form(text: &[u8], start: usize, out: &mut [u8]) -> Result<Target, TargetError> {
    let Some(scheme) = parse_scheme(text) else {
        return parse_authority_form(text, start);
    };
    let rest = text.get(scheme..).unwrap_or(&[]);
    let len = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(len).unwrap_or((rest, &[]));
    let authority = parse_host_at(authority, start + scheme).map_err(|_| TargetError::Malformed)?;
    let path_start = start + scheme + len;
    let mut target = match rest {
        [b'/', ..] => parse_origin_form(rest, path_start, out)?,
        // An empty path means the root (RFC 9110 section 4.2.3); the slash is nowhere in the request.
        [] | [b'?', ..] => {
            let query = parse_origin_form(rest, path_start, out)?.query;
            *out.first_mut().ok_or(TargetError::TooLong)? = b'/';
            Target { form: Form::Origin, authority: None, path: Path::Decoded(1), query }
        }
        _ => return Err(TargetError::Malformed),
    };
    target.form = Form::Absolute;
    target.authority = Some(authority);
    Ok(target)
}

/// RFC 9110 section 4.2: the length of `http://` or `https://`, in any case, at the start of `text`.
fn parse_scheme(text: &[u8]) -> Option<usize> {
    let len = find(text, b':')? + 3;
    let scheme = text.get(..len)?;
    (scheme.eq_ignore_ascii_case(b"http://") || scheme.eq_ignore_ascii_case(b"https://")).then_some(len)
}

/// RFC 9112 section 3.2.3: authority-form = uri-host ":" port.
fn parse_authority_form(text: &[u8], start: usize) -> Result<Target, TargetError> {
    match parse_host_at(text, start) {
        Ok(authority) if authority.port.is_some() => Ok(Target {
            form: Form::Authority,
            authority: Some(authority),
            path: Path::AsIs(Span::default()),
            query: None,
        }),
        _ => Err(TargetError::Malformed),
    }
}

/// Decodes `path`, which starts with a slash, to `out` and removes empty and dot segments on the way. Gives the length.
#[cold]
fn normalize(path: &[u8], out: &mut [u8]) -> Result<usize, TargetError> {
    let mut segments = Segments { out, len: 0, segment: 0 };
    segments.push(b'/')?;
    segments.segment = 1;
    let mut rest = path.get(1..).unwrap_or(&[]);
    loop {
        let byte = match rest {
            [] => break,
            [b'%', after @ ..] => {
                let (decoded, after) = parse_pct_encoded(after)?;
                rest = after;
                decoded
            }
            [byte, after @ ..] => {
                rest = after;
                *byte
            }
        };
        match byte {
            0 => return Err(TargetError::Nul),
            b'/' => segments.end(true)?,
            _ => segments.push(byte)?,
        }
    }
    segments.end(false)?;
    Ok(segments.len)
}

/// RFC 3986 section 2.1: pct-encoded after its `%`.
fn parse_pct_encoded(i: &[u8]) -> Result<(u8, &[u8]), TargetError> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let [high, low, rest @ ..] = i else {
        return Err(TargetError::BadEscape);
    };
    let high = digit(high).ok_or(TargetError::BadEscape)?;
    let low = digit(low).ok_or(TargetError::BadEscape)?;
    Ok((high << 4 | low, rest))
}

/// A path being put together: all segments before the last are final, each with its slash.
struct Segments<'a> {
    out: &'a mut [u8],
    /// Bytes written.
    len: usize,
    /// Where the last segment starts, just after a slash.
    segment: usize,
}

impl Segments<'_> {
    fn push(&mut self, byte: u8) -> Result<(), TargetError> {
        *self.out.get_mut(self.len).ok_or(TargetError::TooLong)? = byte;
        self.len += 1;
        Ok(())
    }

    /// Ends the last segment, by a slash or by the end of the path.
    fn end(&mut self, slash: bool) -> Result<(), TargetError> {
        match self.out.get(self.segment..self.len) {
            Some(b"") => {}
            Some(b".") => self.len = self.segment,
            Some(b"..") => {
                // The byte before the segment is the slash that ends its parent.
                let parent = self.out.get(..self.segment - 1).unwrap_or(&[]);
                let slash = parent.iter().rposition(|&byte| byte == b'/').ok_or(TargetError::ClimbsAboveRoot)?;
                self.segment = slash + 1;
                self.len = self.segment;
            }
            _ if slash => {
                self.push(b'/')?;
                self.segment = self.len;
            }
            _ => {}
        }
        Ok(())
    }
}

/// RFC 3986 section 2.1: percent-encodes a decoded path, for a `Location` field. What a path may hold unescaped
/// ([`is_path`]) stays. `out` gets the pieces in order.
pub fn write_encoded(path: &[u8], out: &mut dyn FnMut(&[u8])) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let mut rest = path;
    while !rest.is_empty() {
        let plain = rest.iter().position(|&byte| !is_path(byte)).unwrap_or(rest.len());
        let (before, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        if !before.is_empty() {
            out(before);
        }
        rest = after;
        if let [byte, after @ ..] = rest {
            out(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            rest = after;
        }
    }
}
