//! A request of the Palm protocol, read slowly from the whole input: what the server's reader is compared with. It uses nothing of the
//! server.

/// What becomes of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// More is needed.
    Unfinished,
    Refused,
    Request(Request),
}

/// A request that was accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub path: Vec<u8>,
    pub variables: Vec<(Vec<u8>, Vec<u8>)>,
    pub length: u64,
    /// Where the body begins.
    pub end: usize,
}

const LONGEST: usize = 65535;

/// Reads the request that `input` begins with.
pub fn read(input: &[u8]) -> Outcome {
    match walk(input) {
        Outcome::Request(request) if request.end > LONGEST => Outcome::Refused,
        Outcome::Unfinished if input.len() >= LONGEST => Outcome::Refused,
        outcome => outcome,
    }
}

fn walk(input: &[u8]) -> Outcome {
    let mut path = None;
    let mut script: Option<Vec<u8>> = None;
    let mut variables = Vec::new();
    let mut length: Option<u64> = None;
    let mut at = 0;
    loop {
        let rest = &input[at..];
        let body = length.unwrap_or(0) > 0;
        let mut end = None;
        if body && rest.starts_with(b"POST_VARS=") {
            end = Some(at + 10);
        }
        if end.is_none() {
            let stop = rest.iter().position(|byte| b"\r\n\0".contains(byte));
            let Some(len) = stop else { return Outcome::Unfinished };
            match (rest[len], rest.get(len + 1)) {
                (b'\r', None) => return Outcome::Unfinished,
                (b'\r', Some(b'\n')) => {}
                _ => return Outcome::Refused,
            }
            let line = &rest[..len];
            if line.is_empty() {
                let after = &rest[2..];
                if body && after.len() < 2 && b"\r\n".starts_with(after) {
                    return Outcome::Unfinished;
                }
                if body && !after.starts_with(b"\r\n") {
                    return Outcome::Refused;
                }
                end = Some(at + if body { 4 } else { 2 });
            } else if at == 0 && line[0] == b'/' {
                path = Some(line.to_vec());
            } else if let Some(sign) = line.iter().position(|&byte| byte == b'=') {
                let (name, value) = (line[..sign].to_vec(), line[sign + 1..].to_vec());
                match name.as_slice() {
                    b"CONTENT_LENGTH" if !value.is_empty() => {
                        let text = String::from_utf8(value.clone()).unwrap_or_default();
                        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                        let Some(number) = text.parse::<i64>().ok().filter(|_| digits) else { return Outcome::Refused };
                        if length.is_some_and(|length| length != number.unsigned_abs()) {
                            return Outcome::Refused;
                        }
                        length = Some(number.unsigned_abs());
                    }
                    b"SCRIPT_FILENAME" if script.as_ref().is_none_or(Vec::is_empty) => script = Some(value.clone()),
                    b"POST_VARS" if !value.is_empty() => return Outcome::Refused,
                    _ => {}
                }
                if !name.is_empty() && name != b"POST_VARS" {
                    variables.push((name, value));
                }
            } else if at == 0 {
                return Outcome::Refused;
            }
            at += len + 2;
        }
        if let Some(end) = end {
            let path = path.or(script).unwrap_or_default();
            if path.first() != Some(&b'/') {
                return Outcome::Refused;
            }
            return Outcome::Request(Request { path, variables, length: length.unwrap_or(0), end });
        }
    }
}
