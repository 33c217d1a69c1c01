//! A decoder of the chunked coding that is slow and easy to see through: it has the whole input and goes by lines.

/// Longest chunk-size line with its line end.
const LINE_MAX: usize = 256;
/// Longest trailers with their line ends.
const TRAILERS_MAX: usize = 8 * 1024;

/// What an input holds.
#[derive(PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A whole body that takes the first so many bytes.
    Whole(usize),
    /// The start of a body; whether its last, unfinished line can become valid was not looked at.
    Unfinished,
    /// No body.
    Refused,
}

/// Decodes the chunked body at the start of `input`: its data as far as it goes, how many lines of framing are complete, and
/// what became of it.
pub fn decode(input: &[u8]) -> (Vec<u8>, usize, Outcome) {
    let (mut data, mut lines) = (Vec::new(), 0);
    let outcome = chunks(input, &mut data, &mut lines);
    (data, lines, outcome)
}

fn chunks(input: &[u8], data: &mut Vec<u8>, lines: &mut usize) -> Outcome {
    let mut rest = input;
    loop {
        let Some((line, after)) = cut_line(rest) else {
            return if rest.len() > LINE_MAX { Outcome::Refused } else { Outcome::Unfinished };
        };
        let size = match line.and_then(parse_size_line) {
            Some(size) if rest.len() - after.len() <= LINE_MAX => size,
            _ => return Outcome::Refused,
        };
        *lines += 1;
        rest = after;
        if size == 0 {
            break;
        }
        let have = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        data.extend_from_slice(&rest[..have]);
        if (have as u64) < size {
            return Outcome::Unfinished;
        }
        rest = &rest[have..];
        match rest {
            [b'\r', b'\n', after @ ..] => rest = after,
            [] | [b'\r'] => return Outcome::Unfinished,
            _ => return Outcome::Refused,
        }
        *lines += 1;
    }
    let trailers = rest.len();
    loop {
        let Some((line, after)) = cut_line(rest) else {
            return if trailers > TRAILERS_MAX { Outcome::Refused } else { Outcome::Unfinished };
        };
        rest = after;
        if trailers - rest.len() > TRAILERS_MAX {
            return Outcome::Refused;
        }
        match line {
            Some(b"") => return Outcome::Whole(input.len() - rest.len()),
            Some(field) if is_field(field) => *lines += 1,
            _ => return Outcome::Refused,
        }
    }
}

/// The line up to the first LF, without its CRLF (`None` when there is no CR before the LF), and what follows.
fn cut_line(input: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    Some((input[..end].strip_suffix(b"\r"), &input[end + 1..]))
}

fn parse_size_line(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let mut rest = &line[digits..];
    while !rest.is_empty() {
        rest = after_extension(rest)?;
    }
    let number = u128::from_str_radix(core::str::from_utf8(&line[..digits]).ok()?.trim_start_matches('0'), 16);
    match number {
        Ok(size) => u64::try_from(size).ok().filter(|&size| size < 1 << 63),
        Err(_) if digits > 0 && line[..digits].iter().all(|&byte| byte == b'0') => Some(0),
        Err(_) => None,
    }
}

/// What follows one extension with the blanks before it.
fn after_extension(text: &[u8]) -> Option<&[u8]> {
    let rest = skip_blanks(skip_blanks(text).strip_prefix(b";")?);
    let name = token_len(rest);
    if name == 0 {
        return None;
    }
    let rest = &rest[name..];
    let Some(value) = skip_blanks(rest).strip_prefix(b"=") else {
        return Some(rest);
    };
    let value = skip_blanks(value);
    let Some(mut quoted) = value.strip_prefix(b"\"") else {
        let len = token_len(value);
        return (len > 0).then_some(&value[len..]);
    };
    loop {
        quoted = match quoted {
            [b'"', after @ ..] => return Some(after),
            [b'\\', byte, after @ ..] if is_text(*byte) => after,
            [byte, after @ ..] if is_text(*byte) && *byte != b'\\' => after,
            _ => return None,
        }
    }
}

fn is_field(line: &[u8]) -> bool {
    let name = token_len(line);
    name > 0 && line.get(name) == Some(&b':') && line[name..].iter().all(|&byte| is_text(byte))
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count()..]
}

fn token_len(text: &[u8]) -> usize {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    text.iter().take_while(|byte| is_token(byte)).count()
}
