//! cgi: programs that answer requests (RFC 3875). docs/plugins/CGI.md says it for operators.
//!
//! A request is an order to the [spawner](crate::plugin::spawner), and two pipes that take its body there and the answer back: the
//! [gateway](crate::plugin::backend::gateway) does the rest. In the worker nothing is allocated for it, neither is in the spawner; the
//! system makes three pipes and a process.

mod children;
mod errors;
mod job;
mod raw;
mod reply;

use std::io;

use crate::config::plugins::backend::Limits;
use crate::config::plugins::cgi::Cgi as Configured;
use crate::config::{Config, MEDIA_TYPE_MAX};
use crate::http::output::{Sink, Text};
use crate::log::warn;
use crate::plugin::backend::channel::Channel;
use crate::plugin::backend::environment::About;
use crate::plugin::backend::gateway::Gateway;
use crate::plugin::backend::protocol::{Answering, Begun, Opened, Protocol};
use crate::plugin::backend::relay::Fed;
use crate::plugin::events::Happened;
use crate::plugin::handler::{Asked, Call};
use crate::plugin::hooks::Needs;
use crate::plugin::order::Became;
use crate::plugin::scene::Scene;
use crate::sys::Errno;
use crate::sys::child::End;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::head::Framing;
use crate::wire::writer::Writer;
use children::{Children, ERRORS, Ordered, SPAWNER};
use job::Job;
use raw::{Raw, is_raw};
use reply::Reply;

/// The plugin.
pub type Cgi = Gateway<Programs>;

/// Descriptors of a worker besides those of requests: the way to the spawner, and the other ends of three pipes in passing.
const OTHER_FILES: usize = 4;

/// A request that a program answers, or is going to.
pub struct Run {
    /// What the order calls the program.
    id: u32,
    /// Its place, once it was ordered.
    place: Option<u16>,
    /// There is a body for it.
    input: bool,
    /// It is the file that was asked for itself.
    own: bool,
    /// Its output is the answer as it stands.
    raw: bool,
    /// It has said what it had to say.
    over: bool,
    /// The media type of an answer that names none.
    media_type: Text<MEDIA_TYPE_MAX>,
}

/// How long the end of a program is waited for that has closed its output, milliseconds.
const WORD_MS: u32 = 250;

/// How programs are spoken to, in one worker.
pub struct Programs {
    children: Children,
    next: u32,
}

fn configured(config: &Config) -> Option<&Configured> {
    let cgi = &config.plugins.cgi;
    (!cgi.lines.is_empty()).then_some(cgi)
}

/// Whether an interpreter is PHP, which reads nothing of a body whose length it is not told. Others read up to the end.
fn is_php(interpreter: &str) -> bool {
    interpreter.rsplit('/').next().is_some_and(|name| name.starts_with("php"))
}

impl Programs {
    /// What a piece of an answer, or its end, has come to. The log is told what the client can not be.
    fn judge(&mut self, run: &mut Run, fed: Fed, scene: &Scene<'_>) -> Fed {
        run.over = matches!(fed, Fed::Whole | Fed::Local);
        let what = match fed {
            Fed::Refuse(502) => "its output is no answer",
            Fed::Broken => "its output is shorter than it said",
            _ => return fed,
        };
        if let Some(place) = run.place {
            self.children.say(place, what, scene.clock.now());
        }
        fed
    }
}

impl Protocol for Programs {
    const NAME: &'static str = "cgi";
    const ASKED: Asked = Asked::ForScripts;
    /// Standard input, output and error.
    const FILES: usize = 3;
    const WRITES: bool = false;
    type State = Run;
    type Relay = Reply;

    fn limits(config: &Config) -> Option<&Limits> {
        configured(config).map(|cgi| &cgi.limits)
    }

    fn needs(config: &Config, _: usize) -> Needs {
        let places = configured(config).map_or(0, |cgi| cgi.children.into());
        Needs { worker: Children::bytes(places), worker_files: OTHER_FILES, ..Needs::default() }
    }

    fn children(config: &Config, _: usize) -> usize {
        configured(config).map_or(0, |cgi| cgi.children.into())
    }

    fn new(live: &Live) -> io::Result<Programs> {
        let places = configured(live.config()).map_or(0, |cgi| cgi.children);
        Ok(Programs { children: Children::new(places)?, next: 0 })
    }

    fn begin(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        call: &Call<'_>,
        out: &mut Writer<'_>,
    ) -> Begun<Run> {
        let config = scene.live.config();
        let cgi = &config.plugins.cgi;
        let Some(line) = cgi.lines.get(usize::from(call.line)) else { return Begun::NotMe };
        let Some(site) = scene.live.site(request.site) else { return Begun::NotMe };
        let Some(job) = Job::of(line, call.script, config.server.chroot.as_ref()) else { return Begun::NotMe };
        if request.head.framing == Framing::Chunked && line.interpreter.as_deref().is_some_and(is_php) {
            return Begun::Refuse(411);
        }
        let about = About {
            live: scene.live,
            request,
            client: call.client,
            script: call.script,
            prefix: call.prefix,
            secret: site.plugins.cgi.authorization,
        };
        self.next = self.next.wrapping_add(1);
        let id = self.next;
        out.fill(|room| job.order(room, id, cgi, &site.plugins.cgi, &about).map(<[u8]>::len));
        let mut media_type = Text::default();
        media_type.push(line.media_type.as_deref().unwrap_or_default().as_bytes());
        Begun::Written(Run {
            id,
            place: None,
            input: !matches!(request.head.framing, Framing::None | Framing::Length(0)),
            own: line.program.is_none() && line.interpreter.is_none(),
            raw: is_raw(job.name()),
            over: false,
            media_type,
        })
    }

    fn open(&mut self, number: u16, run: &mut Run, order: &[u8], scene: &mut Scene<'_>) -> Opened {
        let most = scene.live.config().plugins.cgi.children;
        let ordered = Ordered { id: run.id, request: number, own: run.own, order, input: run.input };
        let (place, pipes) = match self.children.start(ordered, most, scene) {
            Ok(started) => started,
            Err(Errno::AGAIN) => return Opened::Later,
            Err(_) => return Opened::Refuse(502),
        };
        run.place = Some(place);
        match Channel::pipes(pipes.output, pipes.input, number, scene.watches) {
            Ok(channel) => Opened::Channel(channel),
            Err(errno) => {
                warn!("cgi: no room to wait for a program: {errno}");
                self.children.leave(place, Some(0), scene);
                run.place = None;
                Opened::Refuse(503)
            }
        }
    }

    fn is_to_be_told(&mut self, run: &mut Run, begun: bool, scene: &Scene<'_>) -> Option<u32> {
        let place = run.place?;
        match begun {
            // What has no length is whole if the program has ended by itself. One that lives on without its output has said all.
            true => self.children.end_of(place).is_none().then_some(WORD_MS),
            false => self.children.fell_silent(place, scene.clock.now()).then_some(0),
        }
    }

    fn receive(
        &mut self,
        run: &mut Run,
        reply: &mut Reply,
        data: &[u8],
        scene: &mut Scene<'_>,
        request: Option<&Request<'_>>,
    ) -> Fed {
        if run.raw && reply.is_untouched() {
            *reply = Reply::Raw(Raw::default());
        }
        let fed = match reply {
            Reply::Parsed(relay) => relay.feed_as(data, scene, request, run.media_type.bytes()),
            Reply::Raw(raw) => raw.feed(data, scene),
        };
        self.judge(run, fed, scene)
    }

    fn ended(&mut self, run: &mut Run, reply: &mut Reply, scene: &mut Scene<'_>) -> Fed {
        let end = run.place.and_then(|place| self.children.end_of(place));
        let fed = match reply {
            _ if matches!(end, Some(Became::Ended(End::Killed(_)))) && !reply.is_head() => Fed::Broken,
            Reply::Parsed(relay) => relay.end(scene),
            Reply::Raw(raw) => raw.end(),
        };
        self.judge(run, fed, scene)
    }

    fn close(&mut self, _: u16, run: &mut Run, channel: Option<Channel>, _: bool, scene: &mut Scene<'_>) {
        if let Some(channel) = channel {
            channel.close(scene.watches);
        }
        if let Some(place) = run.place.take() {
            // One that has answered may have more to do. It has as much time for that as for an answer.
            let after = match (run.over, scene.live.config().plugins.cgi.limits.timeout) {
                (false, _) => Some(0),
                (true, 0) => None,
                (true, limit) => Some(limit),
            };
            self.children.leave(place, after, scene);
        }
    }

    fn event(&mut self, key: u32, _: Happened, scene: &mut Scene<'_>) -> Option<(u16, u16)> {
        if key >> 16 != SPAWNER >> 16 {
            self.children.read_errors((key - ERRORS) as u16, scene);
            return None;
        }
        while let Some(told) = self.children.hear(scene) {
            let status = match told.became {
                Became::Started(_) => continue,
                Became::Failed(Errno::AGAIN | Errno::NOMEM) => 503,
                // Of a file that is to be run itself: it is not executable, or not by this user.
                Became::Failed(Errno::ACCES) if told.own => 403,
                Became::Failed(_) => 502,
                Became::Ended(_) if told.silent => 502,
                Became::Ended(_) => 0,
            };
            if let Some(number) = told.request {
                // What else there is to hear is told again.
                return Some((number, status));
            }
        }
        None
    }

    fn turn(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
        self.children.turn(scene.live.config().plugins.cgi.grace, scene.clock.now())
    }
}
