//! Heads of answers, read slowly and plainly from the whole input: what the parsers of `cgi` and `response` are compared with. It uses
//! nothing of the server.

use std::collections::BTreeSet;

/// What becomes of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There is no empty line yet.
    Unfinished,
    Refused,
    Head(Answer),
}

/// A head that was accepted, its bytes as Latin-1.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Answer {
    pub end: usize,
    pub status: u16,
    pub reason: String,
    pub location: String,
    pub content_type: String,
    pub upgrade: String,
    pub length: Option<u64>,
    /// `document`, `local` or `client` of a program; `none`, `length`, `chunked` or `close` of a server.
    pub kind: &'static str,
    pub persistent: bool,
    /// What is passed on.
    pub fields: Vec<(String, String)>,
}

const LONGEST: usize = 16 * 1024;
const MOST_FIELDS: usize = 128;

type Field = (String, String);

/// The head of a program's answer.
pub fn cgi(input: &[u8]) -> Outcome {
    match split(input, false) {
        None => unfinished(input),
        Some(None) => Outcome::Refused,
        Some(Some((lines, end))) => program(lines, end).map_or(Outcome::Refused, Outcome::Head),
    }
}

/// The head of a server's answer, to a request for its head only or not.
pub fn response(input: &[u8], to_head: bool) -> Outcome {
    match split(input, true) {
        None => unfinished(input),
        Some(None) => Outcome::Refused,
        Some(Some((lines, end))) => server(lines, end, to_head).map_or(Outcome::Refused, Outcome::Head),
    }
}

fn unfinished(input: &[u8]) -> Outcome {
    if input.len() >= LONGEST { Outcome::Refused } else { Outcome::Unfinished }
}

/// The lines before the empty one, and where that ends. `Some(None)`: a line end is wrong, or there is too much.
#[allow(clippy::type_complexity)]
fn split(input: &[u8], strict: bool) -> Option<Option<(Vec<String>, usize)>> {
    let mut lines = Vec::new();
    let mut bare = false;
    let mut at = 0;
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        let line_end = at + line.len();
        at = line_end;
        let line = line.strip_suffix(b"\n")?;
        bare |= !line.ends_with(b"\r");
        let line: String = line.strip_suffix(b"\r").unwrap_or(line).iter().map(|&byte| char::from(byte)).collect();
        if line.is_empty() {
            return Some((line_end <= LONGEST && !(strict && bare)).then_some((lines, line_end)));
        }
        lines.push(line);
    }
    None
}

fn field(line: &str) -> Option<Field> {
    let (name, value) = line.split_once(':')?;
    let token = |c: char| c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c);
    if name.is_empty() || !name.chars().all(token) || !text(value) {
        return None;
    }
    Some((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn text(value: &str) -> bool {
    value.chars().all(|c| c == '\t' || !c.is_ascii_control())
}

fn status(text_of: &str) -> Option<(u16, String)> {
    let (code, reason) = text_of.split_once(' ').unwrap_or((text_of, ""));
    let digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let code = code.parse().ok().filter(|code| digits && *code >= 100 && text(reason))?;
    Some((code, reason.to_owned()))
}

fn status_line(line: &str) -> Option<(bool, u16, String)> {
    let (version, rest) = line.split_once(' ')?;
    let newer = match version {
        "HTTP/1.0" => false,
        "HTTP/1.1" => true,
        _ => return None,
    };
    let (code, reason) = status(rest)?;
    Some((newer, code, reason))
}

fn all<'a>(fields: &'a [Field], name: &str) -> Vec<&'a str> {
    fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

/// The one value of a field that all its lines agree on. `Err`: they do not.
fn only<'a>(fields: &'a [Field], name: &str) -> Result<Option<&'a str>, ()> {
    let values: BTreeSet<&str> = all(fields, name).into_iter().collect();
    if values.len() > 1 { Err(()) } else { Ok(values.into_iter().next()) }
}

fn length(fields: &[Field]) -> Result<Option<u64>, ()> {
    let mut found = None;
    for value in all(fields, "content-length") {
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let number = value.parse::<i64>().map_err(|_| ())?.unsigned_abs();
        if found.is_some_and(|found| found != number) {
            return Err(());
        }
        found = Some(number);
    }
    Ok(found)
}

/// The members of lists, in small letters, commas in quotes left alone.
fn members(values: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for value in values {
        let (mut member, mut quoted, mut escaped) = (String::new(), false, false);
        for c in value.chars().chain([',']) {
            let comma = c == ',' && !quoted && !escaped;
            if comma {
                found.push(core::mem::take(&mut member));
                continue;
            }
            (quoted, escaped) = match c {
                _ if escaped => (quoted, false),
                '\\' if quoted => (quoted, true),
                '"' => (!quoted, false),
                _ => (quoted, false),
            };
            member.push(c);
        }
        // A string that is never closed ends with the value.
        if !member.is_empty() {
            member.pop();
            found.push(member);
        }
    }
    let trimmed = found.iter().map(|member| member.trim_matches([' ', '\t']).to_ascii_lowercase());
    trimmed.filter(|member| !member.is_empty()).collect()
}

fn passed_on(fields: &[Field], more: &[&str]) -> Vec<Field> {
    let named = members(&all(fields, "connection"));
    let hop = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"];
    let keep = |name: String| {
        !hop.contains(&name.as_str())
            && !name.starts_with("proxy-")
            && !more.contains(&name.as_str())
            && !named.contains(&name)
    };
    fields.iter().filter(|(name, _)| keep(name.to_ascii_lowercase())).cloned().collect()
}

fn parse_fields(lines: &[String]) -> Option<Vec<Field>> {
    let fields: Vec<Field> = lines.iter().map(|line| field(line)).collect::<Option<_>>()?;
    (fields.len() <= MOST_FIELDS).then_some(fields)
}

fn program(mut lines: Vec<String>, end: usize) -> Option<Answer> {
    let mut said = None;
    if lines.first()?.starts_with("HTTP/") {
        let (_, code, reason) = status_line(&lines.remove(0))?;
        said = Some((code, reason));
    }
    let fields = parse_fields(&lines)?;
    let own = |name| only(&fields, name).ok();
    if let Some(value) = own("status")? {
        said = Some(status(value)?);
    }
    let location = own("location")?;
    if location == Some("") || said.as_ref().is_some_and(|(code, _)| *code < 200) {
        return None;
    }
    let location = location.unwrap_or("").to_owned();
    let content_type = own("content-type")?.unwrap_or("").to_owned();
    let lonely = fields.iter().all(|(name, _)| ["location", "status"].iter().any(|own| name.eq_ignore_ascii_case(own)));
    let path = location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\");
    let path = path && location.chars().all(|c| c.is_ascii_graphic() && c != '#');
    let (kind, code) = match said.as_ref().map(|(code, _)| *code) {
        code if location.is_empty() => ("document", code.unwrap_or(200)),
        None if lonely && path => ("local", 200),
        None => ("client", 302),
        Some(code) => (if code / 100 == 3 { "client" } else { "document" }, code),
    };
    let reason = said.map(|(_, reason)| reason).unwrap_or_default();
    let length = length(&fields).ok()?;
    let fields = passed_on(&fields, &["status", "location", "content-type"]);
    Some(Answer { end, status: code, reason, location, content_type, length, kind, fields, ..Answer::default() })
}

fn server(lines: Vec<String>, end: usize, to_head: bool) -> Option<Answer> {
    let (first, lines) = lines.split_first()?;
    let (newer, code, reason) = status_line(first)?;
    let fields = parse_fields(lines)?;
    let length = length(&fields).ok()?;
    let codings = all(&fields, "transfer-encoding");
    let options = members(&all(&fields, "connection"));
    let option = |name: &str| options.iter().any(|option| option == name);
    let kind = match (codings.as_slice(), length) {
        ([], None) => "close",
        ([], Some(_)) => "length",
        ([coding], None) if newer && coding.eq_ignore_ascii_case("chunked") => "chunked",
        _ => return None,
    };
    let kind = if to_head || code < 200 || code == 204 || code == 304 { "none" } else { kind };
    let mut upgrade = String::new();
    if code == 101 {
        upgrade = all(&fields, "upgrade").pop()?.to_owned();
        if upgrade.is_empty() || !option("upgrade") {
            return None;
        }
    }
    let persistent = code != 101 && kind != "close" && !option("close") && (newer || option("keep-alive"));
    let fields = passed_on(&fields, &[]);
    Some(Answer { end, status: code, reason, upgrade, length, kind, persistent, fields, ..Answer::default() })
}
