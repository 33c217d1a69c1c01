//! Names, sizes and times as HTML, as a URL and as JSON. A name can have every byte but NUL and `/`.

use crate::http::output::Sink;
use crate::wire::date::{DATE_LEN, write_date};

/// What stands for bytes that are no UTF-8: U+FFFD.
const REPLACEMENT: &[u8] = b"\xEF\xBF\xBD";

/// Writes bytes, those that are not plain as `escape` writes them.
#[inline(never)]
fn push_escaped(out: &mut dyn Sink, text: &[u8], is_plain: fn(u8) -> bool, escape: fn(&mut dyn Sink, u8)) {
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.iter().position(|&byte| !is_plain(byte)).unwrap_or(rest.len());
        let (before, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        if !before.is_empty() {
            out.push(before);
        }
        rest = after;
        if let [byte, after @ ..] = rest {
            escape(out, *byte);
            rest = after;
        }
    }
}

/// The same for what has to be UTF-8.
#[inline(never)]
fn push_text(out: &mut dyn Sink, text: &[u8], is_plain: fn(u8) -> bool, escape: fn(&mut dyn Sink, u8)) {
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes(), is_plain, escape);
        if !chunk.invalid().is_empty() {
            out.push(REPLACEMENT);
        }
    }
}

/// Writes text for HTML, inside of an element or of an attribute in quotes. Control characters, which HTML has no way to show, are
/// written as their pictures (U+2400 and on).
pub(super) fn push_html(out: &mut dyn Sink, text: &[u8]) {
    let is_plain = |byte| !matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'' | 0..b' ' | 0x7F);
    push_text(out, text, is_plain, |out, byte| match byte {
        b'<' => out.push(b"&lt;"),
        b'>' => out.push(b"&gt;"),
        b'&' => out.push(b"&amp;"),
        b'"' => out.push(b"&quot;"),
        b'\'' => out.push(b"&#39;"),
        0x7F => out.push(b"\xE2\x90\xA1"),
        control => out.push(&[0xE2, 0x90, 0x80 | control]),
    });
}

/// Writes a name as a segment of a URL (RFC 3986 section 3.3), all but the unreserved characters in percent escapes.
pub(super) fn push_url(out: &mut dyn Sink, name: &[u8]) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    push_escaped(out, name, is_plain, |out, byte| {
        out.push(&[b'%', hex(byte >> 4), hex(byte & 15)]);
    });
}

/// Writes text as a string of JSON (RFC 8259 section 7), with its quotes. It is one inside of a script in HTML too.
pub(super) fn push_json(out: &mut dyn Sink, text: &[u8]) {
    out.push(b"\"");
    push_text(
        out,
        text,
        |byte| !matches!(byte, b'"' | b'\\' | b'<' | 0..b' ' | 0x7F),
        |out, byte| match byte {
            b'"' => out.push(b"\\\""),
            b'\\' => out.push(b"\\\\"),
            other => out.push(&[b'\\', b'u', b'0', b'0', hex(other >> 4), hex(other & 15)]),
        },
    );
    out.push(b"\"");
}

fn hex(nibble: u8) -> u8 {
    nibble + if nibble < 10 { b'0' } else { b'A' - 10 }
}

/// Writes a size for people: bytes, or KB, MB, GB of 1024 with one decimal.
pub(super) fn push_size(out: &mut dyn Sink, size: u64) {
    if size < 1024 {
        out.push_decimal(size);
        return out.push(b" B");
    }
    let mut shift = 10;
    for unit in *b"KMG" {
        // Tenths of the unit, rounded; what is shifted out first is too little to count.
        let tenths = (size >> (shift - 10)).saturating_mul(10).saturating_add(512) / 1024;
        if tenths < 10_240 || shift == 30 {
            out.push_decimal(tenths / 10);
            return out.push(&[b'.', b'0' + (tenths % 10) as u8, b' ', unit, b'B']);
        }
        shift += 10;
    }
}

/// Writes a time as `dd-Mon-YYYY HH:MM`, in UTC.
pub(super) fn push_time(out: &mut dyn Sink, seconds: i64) {
    let mut date = [0; DATE_LEN];
    write_date(seconds, &mut date);
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    (date[7], date[11]) = (b'-', b'-');
    out.push(&date[5..22]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::output::Output;

    fn written(write: impl Fn(&mut dyn Sink)) -> String {
        let mut out = Output::new(8192).unwrap();
        write(&mut out);
        assert!(!out.overflowed());
        String::from_utf8(out.bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn every_byte_can_be_shown() {
        for byte in (1..=255).filter(|&byte| byte != b'/') {
            let name = [b'a', byte, b'z'];
            let html = written(|out| push_html(out, &name));
            assert!(!html.contains(['<', '>', '"', '\'']) && html.chars().all(|c| c >= ' ' && c != '\x7f'), "{byte}");
            assert!(html.starts_with('a') && html.ends_with('z') && html.len() > 2, "{byte}");
            let url = written(|out| push_url(out, &name));
            assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)), "{byte}");
            let decoded = match url.strip_prefix("a%") {
                Some(rest) => u8::from_str_radix(&rest[..2], 16).unwrap(),
                None => url.as_bytes()[1],
            };
            assert_eq!(decoded, byte);
            let json = written(|out| push_json(out, &name));
            assert!(json.len() >= 4 && json.bytes().all(|b| b >= b' '), "{byte}");
        }
    }

    #[test]
    fn text() {
        for (name, html, json) in [
            ("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;", r#""a\u003Cb>&\"'""#),
            ("\n\x01\x1f\x7f", "\u{240a}\u{2401}\u{241f}\u{2421}", "\"\\u000A\\u0001\\u001F\\u007F\""),
            ("é\u{1F412}\\", "é\u{1F412}\\", "\"é\u{1F412}\\\\\""),
            ("", "", "\"\""),
        ] {
            assert_eq!(written(|out| push_html(out, name.as_bytes())), html);
            assert_eq!(written(|out| push_json(out, name.as_bytes())), json);
        }
        assert_eq!(written(|out| push_html(out, b"\xc3\xa9\xc3")), "é\u{fffd}");
        assert_eq!(written(|out| push_json(out, b"\xff\"")), "\"\u{fffd}\\\"\"");
        assert_eq!(written(|out| push_url(out, b"a b:?#%\xff~")), "a%20b%3A%3F%23%25%FF~");
    }

    #[test]
    fn sizes() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KB"),
            (1536, "1.5 KB"),
            (1_048_524, "1023.9 KB"),
            (1_048_575, "1.0 MB"),
            (1_048_576, "1.0 MB"),
            (734_003_200, "700.0 MB"),
            (1_073_741_824, "1.0 GB"),
            (u64::MAX, "17179869184.0 GB"),
        ] {
            assert_eq!(written(|out| push_size(out, size)), text);
        }
    }

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "01-Jan-1970 00:00"),
            (784_111_777, "06-Nov-1994 08:49"),
            // A Sunday and a Friday: the year of their weeks is another.
            (1_293_839_999, "31-Dec-2010 23:59"),
            (1_293_926_400, "02-Jan-2011 00:00"),
            (1_735_603_200, "31-Dec-2024 00:00"),
        ] {
            assert_eq!(written(|out| push_time(out, seconds)), text);
        }
    }
}
