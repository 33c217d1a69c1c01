//! One HTTP answer, and what every one of them must be.

use std::time::{Duration, SystemTime};

use httpdate::{HttpDate, parse_http_date};

/// The `Server` line.
pub const SERVER: &str = concat!("Server: Monkey/", env!("CARGO_PKG_VERSION"));
/// The `Date` line of a masked head: it was checked to be the time, in the one form RFC 9110 section 5.6.7 allows.
pub const DATE: &str = "Date: <date>";
/// The `Last-Modified` line of a masked head: it was checked to be a date, not later than `Date`.
pub const MODIFIED: &str = "Last-Modified: <date>";
/// The `ETag` line of a masked head: it was checked to be a strong tag.
pub const ETAG: &str = "ETag: <etag>";
/// The `Accept-Ranges` line.
pub const RANGES: &str = "Accept-Ranges: bytes";
/// The `Allow` line of files.
pub const ALLOW: &str = "Allow: GET, HEAD, POST, OPTIONS";

/// One answer as it came over the connection.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Status line, fields and the empty line.
    pub head: String,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads the head, which ends with its empty line. Panics unless it has the form of RFC 9112 sections 4 and 5.
    pub fn of_head(head: Vec<u8>) -> Answer {
        let head = String::from_utf8(head).expect("a head in ASCII");
        let (line, fields) = head.split_once("\r\n").expect("a status line");
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        assert!(line.as_bytes().get(12) == Some(&b' '), "no reason phrase: {line:?}");
        for field in fields.strip_suffix("\r\n").expect("an empty line").split_terminator("\r\n") {
            let (name, value) = field.split_once(": ").unwrap_or_else(|| panic!("no field line: {field:?}"));
            let is_token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            assert!(is_token && value == value.trim() && !value.contains(['\r', '\n']), "no field line: {field:?}");
        }
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        Answer { status, head, body: Vec::new() }
    }

    /// Asserts that the head has these lines, among others.
    #[track_caller]
    pub fn has_fields(&self, lines: &[&str]) {
        for wanted in lines {
            assert!(self.head.split("\r\n").any(|line| line == *wanted), "no {wanted:?} in:\n{}", self.head);
        }
    }

    /// The value of the only field of this name; None when there is none.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields(name);
        let first = values.next();
        assert!(values.next().is_none(), "more than one {name}:\n{}", self.head);
        first
    }

    fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// `Content-Length`, when there is one.
    pub fn length(&self) -> Option<u64> {
        self.field("Content-Length").map(|value| {
            assert!(value.bytes().all(|byte| byte.is_ascii_digit()), "Content-Length: {value}");
            value.parse().expect("a length")
        })
    }

    /// The entity tag.
    pub fn etag(&self) -> &str {
        self.field("ETag").unwrap_or_else(|| panic!("no ETag:\n{}", self.head))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// Whether the connection ends after it.
    pub fn closes(&self) -> bool {
        self.field("Connection") == Some("Close")
    }

    /// A date field in seconds since 1970, in the form of RFC 9110 section 5.6.7.
    pub fn date(&self, name: &str) -> u64 {
        let value = self.field(name).unwrap_or_else(|| panic!("no {name}:\n{}", self.head));
        let time = parse_http_date(value).unwrap_or_else(|_| panic!("{name}: {value}"));
        assert_eq!(HttpDate::from(time).to_string(), value, "{name} is not in the preferred form");
        time.duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_secs()
    }

    /// The lines of the head with what no test can know masked, after it was checked.
    pub fn masked(&self) -> Vec<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
        let mask = |line: &str| match line.split_once(": ") {
            Some(("Date", _)) => {
                let off = self.date("Date").abs_diff(now);
                assert!(off <= Duration::from_secs(25).as_secs(), "Date is {off} s off:\n{}", self.head);
                DATE.to_string()
            }
            Some(("Last-Modified", _)) => {
                assert!(self.date("Last-Modified") <= self.date("Date"), "modified after Date:\n{}", self.head);
                MODIFIED.to_string()
            }
            Some(("ETag", tag)) => {
                let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                let strong = inner.is_some_and(|inner| !inner.is_empty() && !inner.contains('"'));
                assert!(strong, "ETag: {tag}");
                ETAG.to_string()
            }
            _ => line.to_string(),
        };
        let lines = self.head.strip_suffix("\r\n\r\n").expect("a whole head");
        lines.split("\r\n").map(mask).collect()
    }

    /// Compares the whole head, line by line, with nothing more and nothing less.
    #[track_caller]
    pub fn has_head(&self, lines: &[&str]) {
        assert_eq!(self.masked(), lines, "the head differs");
    }

    /// Compares the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "\n{}", self.head);
        self
    }
}
