//! fastcgi: requests answered by servers that speak FastCGI, such as php-fpm (FastCGI Specification, 1996).
//!
//! A request has a connection to itself; where connections are kept it goes to the next request when the server has said that this one is
//! over (END_REQUEST). How servers are chosen is in [`servers`](crate::plugin::backend::servers).

mod speak;

use std::io;

use crate::config::Config;
use crate::config::plugins::backend::Limits;
use crate::config::plugins::fastcgi::Line;
use crate::plugin::backend::channel::Channel;
use crate::plugin::backend::complaints::Complaints;
use crate::plugin::backend::environment::About;
use crate::plugin::backend::gateway::Gateway;
use crate::plugin::backend::protocol::{Answering, Begun, Opened, Protocol};
use crate::plugin::backend::relay::{Fed, Relay};
use crate::plugin::backend::servers::{Choice, Choose, Known, Servers, Show};
use crate::plugin::events::Happened;
use crate::plugin::handler::{Asked, Call};
use crate::plugin::hooks::Needs;
use crate::plugin::scene::Scene;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::fastcgi::{Decoder, Piece, ProtocolStatus, stdin_header};
use crate::wire::head::{Framing, Method};
use crate::wire::writer::Writer;
use speak::{Follows, ID, complete, write_request};

/// Most bytes of a record of a body: a whole number of eights, as the specification recommends.
const RECORD_MAX: usize = 32 * 1024;

/// The handler.
pub type FastCgi = Gateway<Responders>;

/// The servers that answer, as one worker has them.
pub struct Responders {
    servers: Servers,
    complaints: Complaints,
}

/// What is remembered of a request under way.
pub struct State {
    line: u16,
    choice: Choice,
    decoder: Decoder,
    /// The client has all of its answer.
    answered: bool,
    /// The end of the body was written with the request, for there is none, or it was held.
    bodyless: bool,
    /// What came last was the end of the request.
    over: bool,
}

fn line(live: &Live, number: u16) -> Option<&Line> {
    live.config().plugins.fastcgi.lines.get(usize::from(number))
}

fn choose(live: &Live, number: u16) -> Option<Choose<'_>> {
    let fastcgi = &live.config().plugins.fastcgi;
    let Line { servers, balance, .. } = line(live, number)?;
    let (attempts, offline) = (fastcgi.attempts, fastcgi.offline);
    Some(Choose { line: number, servers, balance: *balance, attempts, offline, fast_open: false })
}

fn servers(live: &Live, number: u16) -> &[u16] {
    line(live, number).map_or(&[], |line| &line.servers)
}

impl Responders {
    fn configure(&mut self, live: &Live) {
        let fastcgi = &live.config().plugins.fastcgi;
        let mut known =
            fastcgi.servers.iter().map(|server| Known { address: &server.address, connections: server.connections });
        self.servers.configure(&mut known, fastcgi.lines.len());
    }

    /// Says what is wrong with a server.
    fn complain(&mut self, state: &State, what: std::fmt::Arguments<'_>, scene: &Scene<'_>) {
        match self.servers.address(&state.choice) {
            Some(address) => self.complaints.say(scene.clock.now(), format_args!("fastcgi: {}: {what}", Show(address))),
            None => self.complaints.say(scene.clock.now(), format_args!("fastcgi: {what}")),
        }
    }
}

impl Protocol for Responders {
    const NAME: &'static str = "fastcgi";
    const ASKED: Asked = Asked::ForScripts;
    type State = State;
    type Relay = Relay;

    fn limits(config: &Config) -> Option<&Limits> {
        let fastcgi = &config.plugins.fastcgi;
        (!fastcgi.lines.is_empty()).then_some(&fastcgi.limits)
    }

    fn needs(config: &Config, _: usize) -> Needs {
        let kept = config.plugins.fastcgi.lines.iter().any(|line| line.keep_alive);
        let files = if kept { usize::from(crate::limits::KEPT_MAX) } else { 0 };
        Needs { worker: Servers::BYTES, worker_files: files, ..Needs::default() }
    }

    fn new(live: &Live) -> io::Result<Responders> {
        let mut responders = Responders { servers: Servers::default(), complaints: Complaints::default() };
        responders.configure(live);
        Ok(responders)
    }

    fn reconfigure(&mut self, live: &Live) {
        self.configure(live);
    }

    fn begin(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        call: &Call<'_>,
        out: &mut Writer<'_>,
    ) -> Begun<State> {
        let Some(line) = line(scene.live, call.line) else { return Begun::NotMe };
        let about = About {
            live: scene.live,
            request,
            client: call.client,
            script: call.script,
            prefix: call.prefix,
            secret: scene.live.config().plugins.fastcgi.authorization,
        };
        let follows = match request.head.framing {
            Framing::None | Framing::Length(0) => Follows::Nothing,
            Framing::Chunked if !scene.live.config().plugins.fastcgi.stream_chunked => Follows::Held,
            Framing::Length(_) | Framing::Chunked => Follows::Body,
        };
        write_request(&about, line.keep_alive, follows, out);
        // RFC 9110 section 9.2.2. What has begun to stream can not be said again either.
        let bodyless = follows != Follows::Body;
        let again = bodyless && !matches!(request.head.method, Method::Post | Method::Patch);
        let choice = self.servers.begin(&line.servers);
        let (choice, decoder) = (if again { choice } else { choice.looking() }, Decoder::new(ID));
        let state = State { line: call.line, choice, decoder, answered: false, bodyless, over: false };
        if follows == Follows::Held { Begun::Held(state) } else { Begun::Written(state) }
    }

    fn complete(bytes: &mut [u8], head: usize, len: usize) -> usize {
        complete(bytes, head, len)
    }

    fn open(&mut self, number: u16, state: &mut State, _: &[u8], scene: &mut Scene<'_>) -> Opened {
        let live = scene.live;
        let Some(how) = choose(live, state.line) else { return Opened::Refuse(503) };
        state.decoder = Decoder::new(ID);
        self.servers.open(number, &mut state.choice, &how, &mut self.complaints, scene)
    }

    fn lost(&mut self, state: &mut State, scene: &mut Scene<'_>) -> bool {
        self.servers.lost(&mut state.choice, servers(scene.live, state.line), &mut self.complaints, scene)
    }

    fn has_others(&self, state: &State, scene: &Scene<'_>) -> bool {
        self.servers.has_others(&state.choice, servers(scene.live, state.line))
    }

    fn late(&mut self, state: &State, scene: &Scene<'_>) {
        self.complain(state, format_args!("it takes longer than Timeout"), scene);
    }

    fn frame(&mut self, _: &mut State, len: usize, out: &mut Writer<'_>) -> usize {
        let len = len.min(RECORD_MAX);
        out.push(&stdin_header(ID, len as u16));
        len
    }

    fn end(&mut self, state: &mut State, out: &mut Writer<'_>) {
        if !state.bodyless {
            out.push(&stdin_header(ID, 0));
        }
    }

    fn receive(
        &mut self,
        state: &mut State,
        relay: &mut Relay,
        data: &[u8],
        scene: &mut Scene<'_>,
        request: Option<&Request<'_>>,
    ) -> Fed {
        let mut rest = data;
        loop {
            let piece = match state.decoder.next(rest) {
                Ok(piece) => piece,
                Err(error) => {
                    self.complain(state, format_args!("{error}"), scene);
                    return if relay.is_head() { Fed::Refuse(502) } else { Fed::Broken };
                }
            };
            match piece {
                Piece::More { .. } => return Fed::More,
                Piece::Stdout { framing, len } => {
                    let content = rest.get(framing..framing + len).unwrap_or_default();
                    rest = rest.get(framing + len..).unwrap_or_default();
                    state.decoder.took(len);
                    if state.answered {
                        continue;
                    }
                    match relay.feed(content, scene, request) {
                        Fed::More => {}
                        // It is over when the server says so.
                        Fed::Whole => state.answered = true,
                        Fed::Refuse(status) => {
                            self.complain(state, format_args!("its answer has no proper head"), scene);
                            return Fed::Refuse(status);
                        }
                        fed => return fed,
                    }
                }
                Piece::Stderr { framing, len } => {
                    let text = rest.get(framing..framing + len).unwrap_or_default();
                    rest = rest.get(framing + len..).unwrap_or_default();
                    state.decoder.took(len);
                    self.complaints.pass_on(scene.clock.now(), format_args!("fastcgi"), text);
                }
                Piece::End { framing, protocol_status, .. } => {
                    state.choice.works();
                    // What comes behind the end belongs to no request.
                    state.over = rest.len() == framing;
                    return match protocol_status {
                        ProtocolStatus::Complete if state.answered => Fed::Whole,
                        ProtocolStatus::Complete => {
                            if relay.is_head() {
                                self.complain(state, format_args!("its answer has no proper head"), scene);
                            }
                            relay.end(scene)
                        }
                        _ if !relay.is_head() => Fed::Broken,
                        ProtocolStatus::Overloaded => Fed::Refuse(503),
                        ProtocolStatus::CantMultiplex | ProtocolStatus::UnknownRole => {
                            self.complain(
                                state,
                                format_args!("it is no responder, or busy with another request"),
                                scene,
                            );
                            Fed::Refuse(502)
                        }
                    };
                }
            }
        }
    }

    fn ended(&mut self, state: &mut State, relay: &mut Relay, scene: &mut Scene<'_>) -> Fed {
        if state.answered {
            return Fed::Whole;
        }
        self.complain(state, format_args!("it has closed before its answer was whole"), scene);
        if relay.is_head() { Fed::Refuse(502) } else { Fed::Broken }
    }

    fn close(&mut self, _: u16, state: &mut State, channel: Option<Channel>, whole: bool, scene: &mut Scene<'_>) {
        let line = line(scene.live, state.line);
        let keep = whole && state.over && line.is_some_and(|line| line.keep_alive);
        let servers = line.map_or(&[][..], |line| &line.servers);
        let keep = if keep { u16::MAX } else { 0 };
        self.servers.give_back(&mut state.choice, channel, keep, servers, scene);
    }

    fn event(&mut self, key: u32, happened: Happened, scene: &mut Scene<'_>) -> Option<(u16, u16)> {
        self.servers.event(key, happened, scene);
        None
    }

    fn turn(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
        self.servers.turn(scene);
        None
    }
}
