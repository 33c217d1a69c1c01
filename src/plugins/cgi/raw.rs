//! Programs whose names begin with `nph-`: their output is the whole answer, head and all (RFC 3875 section 5). It is passed on as it
//! is, after a look whether it begins as an answer does, and the connection ends after it: nothing else says where it is over.

use crate::http::output::Sink;
use crate::plugin::backend::relay::Fed;
use crate::plugin::hooks::Answer;
use crate::plugin::scene::Scene;

/// `HTTP/1.1 200` and the byte behind it.
const START: usize = 13;

/// An answer that is passed on as it is.
#[derive(Debug, Default)]
pub struct Raw {
    start: [u8; START],
    len: u8,
    status: u16,
    /// Bytes of all of it, the head included: where that ends is not looked for.
    passed: u64,
}

/// Whether a file's name is that of such a program.
pub fn is_raw(file: &[u8]) -> bool {
    let name = file.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b"nph-")
}

/// RFC 9112 section 4: the status of a status line that begins so. 1xx is no answer, but what comes before one.
fn status(start: &[u8; START]) -> Option<u16> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', a, b, c, b' ' | b'\r' | b'\n'] = start else {
        return None;
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let status = digit(a)? * 100 + digit(b)? * 10 + digit(c)?;
    (status >= 200).then_some(status)
}

impl Raw {
    /// Whether nothing was written yet.
    pub fn is_head(&self) -> bool {
        self.status == 0
    }

    /// Whether nothing has come.
    pub fn is_untouched(&self) -> bool {
        self.len == 0
    }

    /// What was answered, for stage 40.
    pub fn answer(&self) -> Answer {
        Answer { status: self.status, length: Some(self.passed) }
    }

    /// Takes the next piece.
    pub fn feed(&mut self, data: &[u8], scene: &mut Scene<'_>) -> Fed {
        let mut data = data;
        if self.is_head() {
            let have = usize::from(self.len);
            let (more, rest) = data.split_at_checked(START - have).unwrap_or((data, b""));
            if let Some(to) = self.start.get_mut(have..have + more.len()) {
                to.copy_from_slice(more);
            }
            self.len += more.len() as u8;
            if usize::from(self.len) < START {
                return Fed::More;
            }
            let Some(status) = status(&self.start) else { return Fed::Refuse(502) };
            self.status = status;
            scene.last = true;
            self.pass(&self.start.clone(), scene);
            data = rest;
        }
        self.pass(data, scene);
        Fed::More
    }

    fn pass(&mut self, data: &[u8], scene: &mut Scene<'_>) {
        scene.out.push(data);
        self.passed = self.passed.saturating_add(data.len() as u64);
    }

    /// No more comes.
    pub fn end(&self) -> Fed {
        if self.is_head() { Fed::Refuse(502) } else { Fed::Whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["/a/nph-x.cgi", "/nph-", "nph-a"] {
            assert!(is_raw(name.as_bytes()), "{name}");
        }
        for name in ["/nph-a/x.cgi", "/a/xnph-a", "/a/nph", ""] {
            assert!(!is_raw(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn status_lines() {
        let of = |line: &str| status(line.as_bytes().try_into().unwrap());
        assert_eq!(of("HTTP/1.1 200 "), Some(200));
        assert_eq!(of("HTTP/1.0 404\r"), Some(404));
        assert_eq!(of("HTTP/1.1 999\n"), Some(999));
        for line in [
            "HTTP/1.1 100 ",
            "HTTP/1.1 099 ",
            "HTTP/2.0 200 ",
            "HTTP/1.2 200 ",
            "http/1.1 200 ",
            "HTTP/1.1  200",
            "HTTP/1.1 2000",
            "HTTP/1.1 20x ",
            "Content-Type:",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
