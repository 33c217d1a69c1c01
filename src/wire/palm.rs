//! The Palm protocol: one request a connection, a line of path, lines of CGI variables, an end mark, a body.
//!
//! ```text
//! /srv/www/index.php CRLF              the script, an absolute path
//! REQUEST_METHOD=POST CRLF             variables (RFC 3875 section 4.1), as many as there are
//! CONTENT_LENGTH=5 CRLF
//! CRLF CRLF                            the end mark: two empty lines
//! hello                                the body, CONTENT_LENGTH bytes
//! ```
//!
//! What comes back is what a CGI program answers (see [`cgi`](super::cgi)), up to the end of the connection. The `push_*` functions are
//! the client's side; [`Reader`] is the server's.

mod read;

pub use read::{PalmError, PalmRequest, Reader, Variables};

use core::fmt;

use super::cgi_env::Variable;
use super::writer::Writer;

/// Why a path or a variable cannot be sent: the protocol has no escape for it. The request it belongs to is answered 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsendable;

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path or variable with a line end or NUL in it cannot be sent over Palm")
    }
}

/// Whether `byte` may stand in a line.
fn is_line_byte(byte: u8) -> bool {
    !matches!(byte, b'\r' | b'\n' | 0)
}

/// Writes the first line: the absolute path of the script.
///
/// # Errors
/// [`Unsendable`]; nothing was written.
pub fn push_path(out: &mut Writer<'_>, path: &[u8]) -> Result<(), Unsendable> {
    if path.first() != Some(&b'/') || !path.iter().all(|&byte| is_line_byte(byte)) {
        return Err(Unsendable);
    }
    out.push(path);
    out.push(b"\r\n");
    Ok(())
}

/// Writes a variable: `NAME=value`, without blanks around the sign.
///
/// # Errors
/// [`Unsendable`] when the name is empty or holds `=`, or one of the two holds a line end or NUL; nothing was written.
pub fn push_variable(out: &mut Writer<'_>, name: &[u8], value: &[u8]) -> Result<(), Unsendable> {
    let sendable = !name.is_empty()
        && name.iter().all(|&byte| is_line_byte(byte) && byte != b'=')
        && value.iter().all(|&byte| is_line_byte(byte));
    if !sendable {
        return Err(Unsendable);
    }
    out.push(name);
    out.push(b"=");
    out.push(value);
    out.push(b"\r\n");
    Ok(())
}

/// Writes the variable for a request field, which can always be sent.
pub fn push_field(out: &mut Writer<'_>, variable: &Variable<'_>) {
    variable.push_name(out);
    out.push(b"=");
    variable.push_value(out);
    out.push(b"\r\n");
}

/// Writes the end mark. The body follows, if a variable `CONTENT_LENGTH` above 0 was written.
pub fn push_end(out: &mut Writer<'_>) {
    out.push(b"\r\n\r\n");
}
