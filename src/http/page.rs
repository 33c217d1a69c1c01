//! The built-in page of an answer that has no file of its own: small, legible on a phone, and escaping what it echoes.

use crate::http::output::Sink;
use crate::http::status::reason;

/// The media type of the page.
pub const PAGE_TYPE: &[u8] = b"text/html; charset=utf-8";

/// Longest piece of a request that a page repeats, bytes; the rest is left out.
const ECHO_MAX: usize = 200;

const HEAD: &str =
    "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>";
const MIDDLE: &str = "</title>\n<style>body{font-family:sans-serif;margin:3em auto;max-width:36em;padding:0 1em}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}}</style>\n<h1>";

/// What a status means to the person who reads the page.
fn explanation(status: u16) -> &'static str {
    match status {
        301 => "The page has moved.",
        400 => "The request could not be understood.",
        403 => "This page may not be read.",
        404 => "There is no such page on this server.",
        405 => "This page does not take that kind of request.",
        408 => "The request took too long to arrive.",
        412 => "The page is not in the state the request asked for.",
        413 => "The request is larger than this server accepts.",
        416 => "The file does not have the part that was asked for.",
        421 => "This server does not serve that name.",
        503 => "The server can not answer right now. Please try again.",
        _ => "The server could not answer this request.",
    }
}

/// Writes `text` so that HTML shows it as it is: the five special characters as entities, anything that is not
/// printable ASCII as `?`.
pub fn push_escaped(sink: &mut impl Sink, text: &[u8]) {
    for byte in text {
        match byte {
            b'<' => sink.push(b"&lt;"),
            b'>' => sink.push(b"&gt;"),
            b'&' => sink.push(b"&amp;"),
            b'"' => sink.push(b"&quot;"),
            b'\'' => sink.push(b"&#39;"),
            b' '..=b'~' => sink.push(std::slice::from_ref(byte)),
            _ => sink.push(b"?"),
        }
    }
}

/// Writes the page of a status, repeating `echo` (a path or a method; may be empty) in escaped form.
pub fn push_page(sink: &mut impl Sink, status: u16, echo: &[u8]) {
    sink.push(HEAD.as_bytes());
    sink.push_decimal(u64::from(status));
    sink.push(b" ");
    sink.push(reason(status).as_bytes());
    sink.push(MIDDLE.as_bytes());
    sink.push_decimal(u64::from(status));
    sink.push(b" ");
    sink.push(reason(status).as_bytes());
    sink.push(b"</h1>\n<p>");
    sink.push(explanation(status).as_bytes());
    sink.push(b"</p>\n");
    if !echo.is_empty() {
        sink.push(b"<p><code>");
        push_escaped(sink, echo.get(..ECHO_MAX).unwrap_or(echo));
        sink.push(b"</code></p>\n");
    }
}

/// Counts what is pushed: the length of a page before it is written.
#[derive(Default)]
pub struct Count(pub usize);

impl Sink for Count {
    fn push(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Bytes of the page that [`push_page`] writes.
pub fn page_len(status: u16, echo: &[u8]) -> usize {
    let mut count = Count::default();
    push_page(&mut count, status, echo);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::output::Output;

    #[test]
    fn what_is_echoed_is_escaped_and_cut() {
        let mut output = Output::new(4096).unwrap();
        push_page(&mut output, 404, b"/<script>alert('x')</script>\"&\r\n\xff");
        let text = String::from_utf8(output.bytes().to_vec()).unwrap();
        assert!(text.contains("/&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;???"), "{text}");
        assert_eq!(text.len(), page_len(404, b"/<script>alert('x')</script>\"&\r\n\xff"));
        assert!(page_len(404, &[b'a'; 5000]) < 1000);
    }
}
