//! Lines of access and error logs. The input is a byte that chooses the answer, then what a client sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::escape::Line;
use super::format::{Entry, Opening};
use crate::config::plugins::logger::Format;
use crate::limits::LOG_BUFFER;
use crate::plugin::hooks::Answer;
use crate::sys::socket::Peer;
use crate::vhost::request::Request;
use crate::wire::head::{Head, Name, find_end, parse_head};
use crate::wire::json::{Value, parse};

const STATUSES: [u16; 8] = [200, 206, 304, 400, 403, 404, 501, 503];

/// Checks that whatever a client sends is one line in every format, with the parts that the format has.
pub fn run(data: &[u8]) {
    let Some((&choice, sent)) = data.split_first() else { return };
    let input = sent.get(..find_end(sent, 0).unwrap_or(sent.len())).unwrap_or(sent);
    let mut head = Head::new();
    let is_request = parse_head(input, &mut head).is_ok();
    let request = Request { head: &head, input, path: b"/", query: None, host: None, site: 0, persistent: true };
    let request = is_request.then_some(&request);
    let address = match choice & 8 {
        0 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, choice)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX - u128::from(choice))),
    };
    let peer = Peer::from(SocketAddr::new(address, 1));
    let answer = Answer {
        status: STATUSES[usize::from(choice & 7)],
        length: (choice & 16 == 0).then_some(u64::MAX >> (choice >> 3)),
    };
    let mut opening = Opening::new();
    for format in [Format::Monkey, Format::Common, Format::Combined, Format::Json] {
        opening.set(1_795_321_396, &peer, format, answer);
        let mut room = [0; LOG_BUFFER];
        let mut line = Line::new(&mut room);
        Entry { opening: &opening, request, answer }.write(format, &mut line);
        let len = line.finish().expect("a line fits");
        let line = str::from_utf8(&room[..len]).expect("UTF-8").strip_suffix('\n').expect("a line");
        // Some readers know more ends of a line.
        assert!(!line.chars().any(|c| c.is_control() || "\u{2028}\u{2029}".contains(c)), "{line:?}");
        match format {
            Format::Monkey if answer.status < 400 => assert_eq!(line.split(' ').count(), 10, "{line}"),
            Format::Monkey => assert!(line.contains(&format!("[error {}]", answer.status)), "{line}"),
            Format::Common => common(line, is_request, 2),
            Format::Combined => common(line, is_request, 6),
            Format::Json => json(line, request, answer),
        }
    }
}

/// `address - user [date time zone] "request" status length`, and two more parts in quotes if there are six of them.
fn common(line: &str, is_request: bool, quotes: usize) {
    assert!(line.is_ascii(), "{line}");
    let parts: Vec<&str> = line.split('"').collect();
    assert_eq!(parts.len(), quotes + 1, "{line}");
    assert_eq!(parts[0].split(' ').count(), 6, "{line}");
    assert_eq!(parts[1].split(' ').count(), if is_request { 3 } else { 1 }, "{line}");
    assert_eq!(parts[2].trim().split(' ').count(), 2, "{line}");
}

fn json(line: &str, request: Option<&Request<'_>>, answer: Answer) {
    let value = parse(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
    let number = |number: u64| Some(Value::Number(number.to_string()));
    assert_eq!(value.member("status").cloned(), number(answer.status.into()), "{line}");
    assert_eq!(value.member("bytes").cloned(), number(answer.length.unwrap_or(0)), "{line}");
    let text = |name: &str| value.member(name).and_then(Value::text).unwrap_or_else(|| panic!("no {name}: {line}"));
    for name in ["time", "remote", "method", "path", "query", "referer", "agent", "host"] {
        text(name);
    }
    let Some(request) = request else { return };
    for (name, field) in [("referer", Name::Referer), ("agent", Name::UserAgent)] {
        let sent = shown_as(request.field(field).unwrap_or_default());
        let cut = text(name).strip_suffix("...").is_some_and(|start| sent.starts_with(start));
        assert!(text(name) == sent || cut, "{line}");
    }
}

/// Text with a character in place of each byte that is no UTF-8.
fn shown_as(text: &[u8]) -> String {
    let chunks = text.utf8_chunks();
    chunks.map(|chunk| String::from(chunk.valid()) + &"\u{fffd}".repeat(chunk.invalid().len())).collect()
}
