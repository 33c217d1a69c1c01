//! A request on its way: the parsed head with the site it belongs to and the path it means.

use crate::vhost::live::Live;
use crate::wire::head::{Head, Method, Name, Version};
use crate::wire::span::Span;
use crate::wire::target::{Form, Path, Target, parse_target};

/// A routed request. Everything in it refers to the bytes it arrived in.
pub struct Request<'a> {
    /// The parsed head.
    pub head: &'a Head,
    /// The bytes the head's spans refer to.
    pub input: &'a [u8],
    /// The decoded, normal path; `*` for `OPTIONS *`.
    pub path: &'a [u8],
    /// The query, without its `?`, not decoded.
    pub query: Option<&'a [u8]>,
    /// The host it is for, without port: that of an absolute target, else of the Host field. Only HTTP/1.0 may name none.
    pub host: Option<&'a [u8]>,
    /// Index of the site.
    pub site: u16,
    /// Whether the connection goes on after the answer.
    pub persistent: bool,
}

/// A request that no site may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The status to answer.
    pub status: u16,
    /// The site whose error page and fields apply, when it is known.
    pub site: u16,
}

impl<'a> Request<'a> {
    /// Finds the site and decodes the path into `room`. The authority of an absolute target replaces Host (RFC 9112
    /// section 3.2.2).
    #[cfg_attr(tuned, optimize(speed))]
    pub fn route(
        live: &Live,
        head: &'a Head,
        input: &'a [u8],
        room: &'a mut [u8],
        persistent: bool,
    ) -> Result<Request<'a>, Refused> {
        let known = matches!(
            head.method,
            Method::Get | Method::Head | Method::Post | Method::Put | Method::Delete | Method::Options | Method::Patch
        );
        if !known {
            return Err(Refused { status: 501, site: 0 });
        }
        let target =
            parse_target(input, head.target, room).map_err(|error| Refused { status: error.status(), site: 0 })?;
        let authority = target.authority.or(head.host);
        let host = authority.map(|authority| authority.host.of(input));
        let site = live.site_of(host).ok_or(Refused { status: 421, site: 0 })?;
        let query = target.query.map(|query| query.of(input));
        let path = match (target.form, &target.path) {
            (Form::Asterisk, _) if head.method == Method::Options => b"*",
            (Form::Asterisk | Form::Authority, _) => return Err(Refused { status: 400, site }),
            (_, Path::AsIs(span)) => span.of(input),
            (_, Path::Decoded(len)) => {
                let room: &'a [u8] = room;
                room.get(..*len).unwrap_or_default()
            }
        };
        Ok(Request { head, input, path, query, host, site, persistent })
    }

    /// The same request for another path of the same site, and perhaps a query, as a target has them. None = `target` is no path, or
    /// what came is no request.
    pub fn led_to(
        live: &Live,
        head: &'a Head,
        input: &'a [u8],
        target: &'a [u8],
        room: &'a mut [u8],
        persistent: bool,
    ) -> Option<Request<'a>> {
        let asked = parse_seldom(input, head.target, room)?;
        let host = asked.authority.or(head.host).map(|authority| authority.host.of(input));
        let site = live.site_of(host)?;
        if !target.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let led = parse_seldom(target, Span::between(0, target.len()), room)?;
        let path = match (led.form, &led.path) {
            (Form::Origin, Path::AsIs(span)) => span.of(target),
            (Form::Origin, Path::Decoded(len)) => {
                let room: &'a [u8] = room;
                room.get(..*len).unwrap_or_default()
            }
            _ => return None,
        };
        Some(Request { head, input, path, query: led.query.map(|query| query.of(target)), host, site, persistent })
    }

    /// The value of a field, when it was sent.
    pub fn field(&self, name: Name) -> Option<&'a [u8]> {
        self.head.get(name).map(|span| span.of(self.input))
    }

    /// The values of all fields of a name, given in lower case. A field that is a list may be sent in several lines (RFC
    /// 9110 section 5.3).
    pub fn fields<'r>(&'r self, name: &'r [u8]) -> impl Iterator<Item = &'a [u8]> + use<'r, 'a> {
        let fields = self.head.fields().iter();
        let named = fields.filter(|field| field.name.of(self.input).eq_ignore_ascii_case(name));
        named.map(|field| field.value.of(self.input))
    }

    /// Whether the answer's body is left out.
    pub fn is_head(&self) -> bool {
        self.head.method == Method::Head
    }

    /// The `Connection` field line this request's answer needs: none for a 1.1 connection that goes on.
    pub fn connection_line(&self) -> &'static [u8] {
        connection_line(self.persistent, self.head.version)
    }

    /// Whether the whole prebuilt answer fits this request: a body is wanted and no `Connection` line is.
    pub fn is_plain(&self) -> bool {
        self.persistent && self.head.version == Version::Http11 && self.head.method != Method::Head
    }
}

/// The same function once more, so that the one that every request runs stays part of [`Request::route`].
#[inline(never)]
fn parse_seldom(input: &[u8], target: Span, room: &mut [u8]) -> Option<Target> {
    parse_target(input, target, room).ok()
}

/// The `Connection` field line of an answer.
pub fn connection_line(persistent: bool, version: Version) -> &'static [u8] {
    match (persistent, version) {
        (false, _) => b"Connection: Close\r\n",
        (true, Version::Http10) => b"Connection: Keep-Alive\r\n",
        (true, Version::Http11) => b"",
    }
}
