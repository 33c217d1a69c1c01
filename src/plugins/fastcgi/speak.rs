//! A request as a responder gets it: BEGIN_REQUEST, its variables in one PARAMS record, and an empty STDIN record where there is no body.

use crate::http::output::{Sink, Text};
use crate::plugin::backend::environment::{About, Told};
use crate::plugin::backend::protocol::HELD_MORE;
use crate::wire::cgi_env::Variable;
use crate::wire::fastcgi::{Params, push_begin, push_pair, push_variable, stdin_header};
use crate::wire::writer::Writer;

/// Every connection carries one request at a time.
pub const ID: u16 = 1;

struct Pairs<'a, 'w>(&'a mut Writer<'w>);

impl Told for Pairs<'_, '_> {
    fn variable(&mut self, name: &[u8], value: &[u8]) {
        push_pair(self.0, name, value);
    }

    fn field(&mut self, variable: &Variable<'_>) {
        push_variable(self.0, variable);
    }
}

/// What follows a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follows {
    /// Nothing: its end is written with it.
    Nothing,
    /// A body, which streams.
    Body,
    /// A body that is held until its length is known: [`complete`].
    Held,
}

/// Writes a request without its body.
pub fn write_request(about: &About<'_>, keep: bool, follows: Follows, out: &mut Writer<'_>) {
    push_begin(out, ID, keep);
    let params = Params::begin(out, ID);
    about.tell(&mut Pairs(out));
    match follows {
        Follows::Held => return params.end_record(out),
        Follows::Body | Follows::Nothing => params.end(out),
    }
    if follows == Follows::Nothing {
        out.push(&stdin_header(ID, 0));
    }
}

/// Ends a request of `head` bytes behind which its body stands, up to `len`: its length is the last of the variables. Returns how long it is.
pub fn complete(bytes: &mut [u8], head: usize, len: usize) -> usize {
    let body = len.saturating_sub(head);
    let mut digits = Text::<20>::default();
    digits.push_decimal(body as u64);
    let mut room = [0; HELD_MORE];
    let mut out = Writer::new(&mut room);
    let params = Params::begin(&mut out, ID);
    push_pair(&mut out, b"CONTENT_LENGTH", digits.bytes());
    params.end(&mut out);
    if body > 0 {
        out.push(&stdin_header(ID, body as u16));
    }
    let start = head + out.len();
    bytes.copy_within(head..len, start);
    let mut rest = Writer::new(bytes.get_mut(head..).unwrap_or_default());
    rest.push(out.bytes());
    let mut end = Writer::new(bytes.get_mut(start + body..).unwrap_or_default());
    end.push(&stdin_header(ID, 0));
    start + body + end.len()
}
