//! A request as the Palm protocol has it: the path of the script, what it is to know, the end mark. The body follows as it came.

use crate::plugin::backend::environment::{About, Told};
use crate::wire::cgi_env::Variable;
use crate::wire::palm::{Unsendable, push_end, push_field, push_path, push_variable};
use crate::wire::writer::Writer;

/// Variables on their way into a request.
struct Lines<'w, 'r> {
    out: &'w mut Writer<'r>,
    said: Result<(), Unsendable>,
}

impl Told for Lines<'_, '_> {
    fn variable(&mut self, name: &[u8], value: &[u8]) {
        self.said = self.said.and(push_variable(self.out, name, value));
    }

    fn field(&mut self, variable: &Variable<'_>) {
        push_field(self.out, variable);
    }
}

/// Writes all but the body. What does not fit is seen by [`Writer::overflowed`].
///
/// # Errors
/// [`Unsendable`]: there is no script, or a line end in a path. A client may write one (`%0a`), and what follows it would be a variable
/// of its choice.
pub(super) fn push_request(out: &mut Writer<'_>, about: &About<'_>) -> Result<(), Unsendable> {
    push_path(out, about.script.map_or(b"", |script| script.file))?;
    let mut lines = Lines { out, said: Ok(()) };
    about.tell(&mut lines);
    lines.said?;
    push_end(out);
    Ok(())
}

#[cfg(all(test, feature = "test-switches"))]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;
    use crate::limits::{FIELDS_MAX, HEAD_MAX, PALM_HEAD_MAX, REQUEST_LINE_MAX};
    use crate::plugin::handler::{Client, Script};
    use crate::plugin::host::Host;
    use crate::plugin::nobody::Nobody;
    use crate::sys::socket::accept;
    use crate::vhost::request::Request;
    use crate::wire::head::{Head, parse_head};
    use crate::wire::palm::Reader;

    /// What is sent for a request, whose path begins with so many bytes of a script's name.
    fn sent(input: &str, file: &str, name: usize) -> Result<Vec<u8>, Unsendable> {
        let nobody = Nobody::with_defaults();
        let live = nobody.live();
        let mut head = Head::new();
        parse_head(input.as_bytes(), &mut head).expect("a head");
        let mut room = [0; REQUEST_LINE_MAX];
        let request = Request::route(&live, &head, input.as_bytes(), &mut room, true).expect("a route");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = accept(listener.as_fd()).unwrap();
        let about = About {
            live: &live,
            request: &request,
            client: Client { peer: &peer, socket: socket.as_fd(), led: 0 },
            script: Some(Script { file: file.as_bytes(), root: 4, name }),
            prefix: 0,
            secret: false,
        };
        let mut room = vec![0; PALM_HEAD_MAX];
        let mut out = Writer::new(&mut room);
        push_request(&mut out, &about)?;
        assert!(!out.overflowed());
        Ok(out.bytes().to_vec())
    }

    /// Path, variables but for those of addresses, length of the body.
    fn read(bytes: &[u8]) -> (String, Vec<String>, u64) {
        let request = Reader::new().next(bytes).expect("a request").expect("a whole one");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let variables = request.variables(bytes);
        let variables = variables.filter(|(name, _)| !name.starts_with(b"REMOTE_") && !name.starts_with(b"SERVER_"));
        let variables = variables.map(|(name, value)| text(name) + "=" + &text(value)).collect();
        (text(request.path.of(bytes)), variables, request.length)
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let input = "POST /a%20b.php/x=y?q=%20&r HTTP/1.1\r\nHost: h:81\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\
                     Cookie: a=b\r\nX-Y: 1\r\nx-y: 2\r\nProxy: p\r\nAuthorization: Basic c\r\n\r\n";
        let bytes = sent(input, "/srv/a b.php", 8).expect("sent");
        assert!(
            bytes.starts_with(b"/srv/a b.php\r\nGATEWAY_INTERFACE=CGI/1.1\r\n") && bytes.ends_with(b"1, 2\r\n\r\n\r\n")
        );
        let variables = [
            "GATEWAY_INTERFACE=CGI/1.1",
            "REDIRECT_STATUS=200",
            "REQUEST_METHOD=POST",
            "REQUEST_URI=/a%20b.php/x=y?q=%20&r",
            "QUERY_STRING=q=%20&r",
            "SCRIPT_NAME=/a b.php",
            "PATH_INFO=/x=y",
            "SCRIPT_FILENAME=/srv/a b.php",
            "DOCUMENT_ROOT=/srv",
            "CONTENT_LENGTH=5",
            "CONTENT_TYPE=a/b",
            "HTTP_HOST=h:81",
            "HTTP_COOKIE=a=b",
            "HTTP_X_Y=1, 2",
        ];
        let (path, read, length) = read(&bytes);
        assert_eq!((path.as_str(), length), ("/srv/a b.php", 5));
        assert_eq!(read, variables);
    }

    /// Also without a body the request ends in what every server there has been takes for its end.
    #[test]
    fn a_request_without_a_body() {
        let bytes = sent("GET /a.php HTTP/1.0\r\n\r\n", "/srv/a.php", 6).expect("sent");
        let (path, variables, length) = read(&bytes);
        assert_eq!((path.as_str(), length), ("/srv/a.php", 0));
        assert!(
            variables.contains(&"CONTENT_LENGTH=0".into()) && !variables.iter().any(|one| one.starts_with("HTTP_"))
        );
        assert!(bytes.ends_with(b"\r\n\r\n\r\n") && !bytes.ends_with(b"\r\n\r\n\r\n\r\n"));
    }

    #[test]
    fn nobody_adds_a_variable_by_a_path() {
        for end in ["%0d%0a", "%0a", "%0d"] {
            let input = format!("GET /a.php/x{end}SCRIPT_FILENAME=/etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(sent(&input, "/srv/a.php", 6), Err(Unsendable), "{end}");
        }
        assert_eq!(sent("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "/srv/a\nb.php", 2), Err(Unsendable));
        assert_eq!(sent("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "", 2), Err(Unsendable));
    }

    #[test]
    fn the_longest_request_can_be_sent() {
        let line = |left: usize| format!("GET /a.php/{}", "p".repeat(left));
        let input = format!("{} HTTP/1.1\r\nHost: h\r\n", line(REQUEST_LINE_MAX - 11 - 11));
        // As many fields as there may be, as long as they may be.
        let each = (HEAD_MAX - input.len() - 2) / (FIELDS_MAX - 1);
        let field = |n: usize| format!("X-{n}: {}\r\n", "v".repeat(each - 6 - n.to_string().len()));
        let input = input + &(1..FIELDS_MAX).map(field).collect::<String>() + "\r\n";
        assert!(input.len() > HEAD_MAX - FIELDS_MAX && input.len() <= HEAD_MAX);
        let file = format!("/srv/{}/a.php", "d".repeat(4000));
        let bytes = sent(&input, &file, 6).expect("sent");
        let (path, variables, _) = read(&bytes);
        assert_eq!(path, file);
        assert_eq!(variables.len(), 10 + FIELDS_MAX);
        assert!(bytes.len() > HEAD_MAX * 3 / 2 && bytes.len() < PALM_HEAD_MAX * 3 / 4, "{}", bytes.len());
    }
}
