//! A FastCGI backend's answer, read from the whole input at once: what the decoder of pieces is compared with. It uses nothing of the
//! server.

/// What a backend's bytes amount to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// END_REQUEST has not come.
    Unfinished,
    /// A record is wrong.
    Refused,
    /// It ends after so many bytes, with an application status and a protocol status.
    Whole(usize, u32, u8),
}

/// The streams STDOUT and STDERR of the answer to request `id`, as far as they have come before the outcome.
pub fn decode(input: &[u8], id: u16) -> (Vec<u8>, Vec<u8>, Outcome) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut at = 0;
    loop {
        let Some(header) = input.get(at..at + 8) else { return (out, err, Outcome::Unfinished) };
        let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (kind, content, padding) = (header[1], usize::from(number(4)), usize::from(header[6]));
        let good = header[0] == 1
            && match kind {
                3 => number(2) == id && content == 8,
                6 | 7 => number(2) == id,
                kind => kind >= 10,
            };
        if !good {
            return (out, err, Outcome::Refused);
        }
        at += 8;
        let have = input.len().min(at + content);
        match kind {
            6 => out.extend_from_slice(&input[at..have]),
            7 => err.extend_from_slice(&input[at..have]),
            _ => {}
        }
        let end = at + content + padding;
        if end > input.len() {
            return (out, err, Outcome::Unfinished);
        }
        if kind == 3 {
            let status = u32::from_be_bytes([input[at], input[at + 1], input[at + 2], input[at + 3]]);
            let protocol = input[at + 4];
            let outcome = if protocol <= 3 { Outcome::Whole(end, status, protocol) } else { Outcome::Refused };
            return (out, err, outcome);
        }
        at = end;
    }
}
