//! proxy: requests go on to web servers behind this one (HTTP/1.1), and their answers come back.
//!
//! Nothing is copied raw in either direction: [`request`] and [`relay`] write anew what was understood, so that nobody can make one
//! request look like two. How servers are chosen and connections are kept is in [`servers`](crate::plugin::backend::servers). A request
//! that must not be done twice, or has a body, never goes over a kept connection: its server may be closing it at that moment.

#[cfg(feature = "test-switches")]
pub mod fuzz;
pub mod relay;
pub mod request;

use std::fmt::{Arguments, Write};
use std::io;

use crate::config::Config;
use crate::config::plugins::backend::Limits;
use crate::config::plugins::proxy::Line;
use crate::limits::KEPT_MAX;
use crate::plugin::backend::channel::Channel;
use crate::plugin::backend::complaints::Complaints;
use crate::plugin::backend::gateway::Gateway;
use crate::plugin::backend::protocol::{Answering, Begun, Opened, Protocol};
use crate::plugin::backend::relay::Fed;
use crate::plugin::backend::servers::{Choice, Choose, Known, Servers, Show};
use crate::plugin::events::Happened;
use crate::plugin::handler::{Asked, Call};
use crate::plugin::hooks::Needs;
use crate::plugin::scene::Scene;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::head::Framing;
use crate::wire::writer::Writer;
use relay::Relay;
use request::{About, is_idempotent, write_request};

/// The handler.
pub type Proxy = Gateway<Upstreams>;

/// The servers behind this one, as one worker has them.
pub struct Upstreams {
    servers: Servers,
    complaints: Complaints,
}

/// What is remembered of a request under way.
pub struct State {
    line: u16,
    choice: Choice,
    /// The body goes on in chunks.
    chunked: bool,
    /// One of them was begun.
    begun: bool,
    /// The connection can take another request.
    reusable: bool,
}

fn line(live: &Live, number: u16) -> Option<&Line> {
    live.config().plugins.proxy.lines.get(usize::from(number))
}

fn servers(live: &Live, number: u16) -> &[u16] {
    line(live, number).map_or(&[], |line| &line.servers)
}

impl Upstreams {
    fn configure(&mut self, live: &Live) {
        let proxy = &live.config().plugins.proxy;
        let mut known = proxy.servers.iter().map(|server| Known { address: &server.address, connections: u32::MAX });
        self.servers.configure(&mut known, proxy.lines.len());
    }

    /// Says what is wrong with an answer.
    fn complain(&mut self, state: &State, what: Arguments<'_>, scene: &Scene<'_>) {
        if let Some(address) = self.servers.address(&state.choice) {
            self.complaints.say(scene.clock.now(), format_args!("proxy: {}: {what}", Show(address)));
        }
    }
}

impl Protocol for Upstreams {
    const NAME: &'static str = "proxy";
    const ASKED: Asked = Asked::First;
    type State = State;
    type Relay = Relay;

    fn limits(config: &Config) -> Option<&Limits> {
        let proxy = &config.plugins.proxy;
        (!proxy.lines.is_empty()).then_some(&proxy.limits)
    }

    fn needs(config: &Config, _: usize) -> Needs {
        let kept = config.plugins.proxy.lines.iter().any(|line| line.keep > 0);
        let files = if kept { usize::from(KEPT_MAX) } else { 0 };
        Needs { worker: Servers::BYTES, worker_files: files, ..Needs::default() }
    }

    fn new(live: &Live) -> io::Result<Upstreams> {
        let mut upstreams = Upstreams { servers: Servers::default(), complaints: Complaints::default() };
        upstreams.configure(live);
        Ok(upstreams)
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
        let proxy = &scene.live.config().plugins.proxy;
        let first = line.servers.first().and_then(|server| proxy.servers.get(usize::from(*server)));
        let own = first.map_or(&b"localhost"[..], |server| server.host.as_bytes());
        let host = (!line.pass_host).then_some(own);
        write_request(request, &About { client: call.client.peer.ip(), host, fallback: own, keep: line.keep > 0 }, out);
        let framing = request.head.framing;
        let bodyless = matches!(framing, Framing::None | Framing::Length(0));
        let harmless = bodyless && is_idempotent(request.head.method);
        let choice = self.servers.begin(servers(scene.live, call.line));
        let choice = if harmless { choice } else { choice.only_new() };
        let chunked = framing == Framing::Chunked;
        Begun::Written(State { line: call.line, choice, chunked, begun: false, reusable: false })
    }

    fn open(&mut self, number: u16, state: &mut State, _: &[u8], scene: &mut Scene<'_>) -> Opened {
        let live = scene.live;
        let Some(Line { servers, balance, .. }) = line(live, state.line) else { return Opened::Refuse(503) };
        let proxy = &live.config().plugins.proxy;
        let (attempts, offline) = (proxy.attempts, proxy.offline);
        let how = Choose { line: state.line, servers, balance: *balance, attempts, offline, fast_open: false };
        self.servers.open(number, &mut state.choice, &how, &mut self.complaints, scene)
    }

    fn lost(&mut self, state: &mut State, scene: &mut Scene<'_>) -> bool {
        self.servers.lost(&mut state.choice, servers(scene.live, state.line), &mut self.complaints, scene)
    }

    fn has_others(&self, state: &State, scene: &Scene<'_>) -> bool {
        self.servers.has_others(&state.choice, servers(scene.live, state.line))
    }

    fn late(&mut self, state: &State, scene: &Scene<'_>) {
        self.servers.failed(&state.choice, "it takes too long", &mut self.complaints, scene);
    }

    fn frame(&mut self, state: &mut State, len: usize, out: &mut Writer<'_>) -> usize {
        if state.chunked {
            if std::mem::replace(&mut state.begun, true) {
                out.push(b"\r\n");
            }
            let _ = write!(out, "{len:x}\r\n");
        }
        len
    }

    fn end(&mut self, state: &mut State, out: &mut Writer<'_>) {
        if state.chunked {
            out.push(if state.begun { b"\r\n0\r\n\r\n" } else { b"0\r\n\r\n" });
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
        if relay.is_untouched() {
            state.choice.works();
        }
        let (before, was_head) = (scene.out.len(), relay.is_head());
        let fed = relay.feed(data, scene, request);
        state.reusable = relay.is_reusable();
        match fed {
            Fed::Refuse(502) => self.complain(state, format_args!("its answer has no proper head"), scene),
            Fed::Broken => {
                self.complain(state, format_args!("its answer has malformed chunks"), scene);
                if was_head {
                    // Nothing of it was sent.
                    scene.out.truncate(before);
                    return Fed::Refuse(502);
                }
            }
            _ => {}
        }
        fed
    }

    fn ended(&mut self, state: &mut State, relay: &mut Relay, scene: &mut Scene<'_>) -> Fed {
        state.reusable = false;
        let fed = relay.end(scene);
        if fed != Fed::Whole {
            self.complain(state, format_args!("it has closed before its answer was whole"), scene);
        }
        fed
    }

    fn close(&mut self, _: u16, state: &mut State, channel: Option<Channel>, whole: bool, scene: &mut Scene<'_>) {
        let line = line(scene.live, state.line);
        let keep = line.filter(|_| whole && state.reusable).map_or(0, |line| line.keep);
        let servers = line.map_or(&[][..], |line| &line.servers);
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
