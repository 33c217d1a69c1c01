//! The variables of a CGI/1.1 request (RFC 3875 section 4.1), which programs, FastCGI responders and Palm servers are told alike.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::http::output::Sink;
use crate::plugin::handler::{Client, Script};
use crate::sys::socket::local_address;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::cgi_env::{Variable, variables};
use crate::wire::head::{Framing, Method, Name, Version};
use crate::wire::writer::Writer;

/// What is told.
pub struct About<'a> {
    /// The configuration in force.
    pub live: &'a Live,
    /// The request.
    pub request: &'a Request<'a>,
    /// Who asks.
    pub client: Client<'a>,
    /// The file that is run; None = a program or a server stands for all paths below a prefix.
    pub script: Option<Script<'a>>,
    /// Without a script, how many bytes of the path are the prefix.
    pub prefix: usize,
    /// Whether the credentials of `Authorization` are told.
    pub secret: bool,
}

/// Who is told, in the form that is its own.
pub trait Told {
    /// A variable.
    fn variable(&mut self, name: &[u8], value: &[u8]);
    /// A variable that stands for a field of the request.
    fn field(&mut self, variable: &Variable<'_>);
}

/// Longest text of an address.
const ADDRESS_MAX: usize = 48;

impl About<'_> {
    /// How many bytes of the path are SCRIPT_NAME; what follows is PATH_INFO.
    fn name(&self) -> usize {
        self.script.map_or(self.prefix, |script| script.name).min(self.request.path.len())
    }

    /// PATH_INFO, which is empty where nothing is left of the path for it.
    pub fn info(&self) -> &[u8] {
        self.request.path.get(self.name()..).unwrap_or_default()
    }

    /// Where the client has connected to: that of the only listener, or what the kernel says.
    fn local(&self) -> Option<SocketAddr> {
        match &*self.live.config().server.listen {
            [one] if !one.address.is_unspecified() && one.port > 0 => Some(SocketAddr::new(one.address, one.port)),
            _ => local_address(self.client.socket).ok(),
        }
    }

    /// Tells all variables. Each name comes once.
    pub fn tell(&self, to: &mut dyn Told) {
        let About { live, request, client, script, .. } = self;
        let (input, head) = (request.input, request.head);
        let (name, info) = (request.path.get(..self.name()).unwrap_or_default(), self.info());
        to.variable(b"GATEWAY_INTERFACE", b"CGI/1.1");
        to.variable(b"REDIRECT_STATUS", b"200");
        let software: &[u8] = match live.config().server.hide_version {
            true => b"Monkey",
            false => concat!("Monkey/", env!("CARGO_PKG_VERSION")).as_bytes(),
        };
        to.variable(b"SERVER_SOFTWARE", software);
        to.variable(b"SERVER_PROTOCOL", if head.version == Version::Http11 { b"HTTP/1.1" } else { b"HTTP/1.0" });
        // Who was led here is asked by GET, whatever the client has asked by.
        let method = if head.method == Method::Get { b"GET" } else { head.method_span.of(input) };
        to.variable(b"REQUEST_METHOD", method);
        to.variable(b"REQUEST_URI", head.target.of(input));
        to.variable(b"QUERY_STRING", request.query.unwrap_or_default());
        to.variable(b"SCRIPT_NAME", name);
        // What a program takes for a path of the machine must not be one that a client has put together.
        if !info.is_empty() {
            to.variable(b"PATH_INFO", info);
        }
        if let Some(script) = script {
            to.variable(b"SCRIPT_FILENAME", script.file);
            to.variable(b"DOCUMENT_ROOT", script.file.get(..script.root).unwrap_or_default());
        }
        let address = |name: &[u8], ip: IpAddr, to: &mut dyn Told| {
            let mut room = [0; ADDRESS_MAX];
            let mut text = Writer::new(&mut room);
            match ip {
                // Nearly all; the general way takes ten times as long.
                IpAddr::V4(ip) => push_dotted(&mut text, ip),
                IpAddr::V6(ip) => _ = write!(text, "{ip}"),
            }
            to.variable(name, text.bytes());
        };
        address(b"REMOTE_ADDR", client.peer.ip(), to);
        let local = self.local();
        if let Some(local) = local {
            address(b"SERVER_ADDR", local.ip().to_canonical(), to);
        }
        // A request without a host is for the site's own name.
        let named = live.site(request.site).and_then(|site| site.names.first());
        let host = request.host.or(named.map(|name| name.as_bytes())).unwrap_or(b"localhost");
        to.variable(b"SERVER_NAME", host);
        let number = |name: &[u8], value: u64, to: &mut dyn Told| {
            let mut room = [0; 20];
            let mut text = Writer::new(&mut room);
            text.push_decimal(value);
            to.variable(name, text.bytes());
        };
        number(b"REMOTE_PORT", client.peer.port().into(), to);
        number(b"SERVER_PORT", local.map_or(80, |local| local.port()).into(), to);
        // A body in chunks has no length before it is over: programs read it up to its end.
        match head.framing {
            Framing::Length(length) => number(b"CONTENT_LENGTH", length, to),
            Framing::None => number(b"CONTENT_LENGTH", 0, to),
            Framing::Chunked => {}
        }
        if let Some(media_type) = request.field(Name::ContentType) {
            to.variable(b"CONTENT_TYPE", media_type);
        }
        #[cfg(feature = "plugin-auth")]
        self.tell_user(to);
        for variable in variables(head, input, self.secret) {
            to.field(&variable);
        }
    }

    /// RFC 3875 sections 4.1.1 and 4.1.11: who asks, where `[AUTH]` has let in nobody but those who have a password.
    #[cfg(feature = "plugin-auth")]
    fn tell_user(&self, to: &mut dyn Told) {
        use crate::config::plugins::handlers::is_below;
        use crate::wire::basic;
        let About { live, request, .. } = self;
        // Who was led here was not asked for a password here.
        if self.client.led > 0 {
            return;
        }
        // Of a directory's index file it was the directory that a password was asked for.
        let raw = request.head.target.of(request.input).split(|byte| *byte == b'?').next().unwrap_or_default();
        let end = raw.len().saturating_sub(3);
        let is_directory = raw.ends_with(b"/") || raw.get(end..).is_some_and(|end| end.eq_ignore_ascii_case(b"%2f"));
        let slash = request.path.iter().rposition(|byte| *byte == b'/').filter(|_| is_directory);
        let asked = slash.and_then(|slash| request.path.get(..=slash)).unwrap_or(request.path);
        let rules = live.site(request.site).map_or(&[][..], |site| &site.plugins.auth);
        if !rules.iter().any(|rule| is_below(asked, rule.location.as_bytes())) {
            return;
        }
        let mut room = [0; basic::ROOM];
        let given = request.fields(b"authorization").next();
        if let Some((user, _)) = given.and_then(|value| basic::parse(value, &mut room)) {
            to.variable(b"AUTH_TYPE", b"Basic");
            to.variable(b"REMOTE_USER", user);
        }
    }
}

/// An address as RFC 3986 section 3.2.2 writes it.
fn push_dotted(text: &mut Writer<'_>, ip: Ipv4Addr) {
    for (nth, number) in ip.octets().into_iter().enumerate() {
        let digits = [b'0' + number / 100, b'0' + number / 10 % 10, b'0' + number % 10];
        if nth > 0 {
            text.push(b".");
        }
        let zeros = usize::from(number < 100) + usize::from(number < 10);
        text.push(digits.get(zeros..).unwrap_or_default());
    }
}
