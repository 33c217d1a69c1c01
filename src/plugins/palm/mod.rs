//! Scripts that an application server runs: the client of the Palm protocol. A request is a connection of its own, with the answer up to
//! its end.

mod request;

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::config::Config;
use crate::config::plugins::backend::Limits;
use crate::config::plugins::palm::Line;
use crate::plugin::backend::channel::Channel;
use crate::plugin::backend::complaints::Complaints;
use crate::plugin::backend::environment::About;
use crate::plugin::backend::protocol::{Begun, Opened, Protocol};
use crate::plugin::backend::relay::{Fed, Relay};
use crate::plugin::backend::servers::Show;
use crate::plugin::backend::upstream::connect;
use crate::plugin::handler::{Asked, Call};
use crate::plugin::scene::Scene;
use crate::sys::socket::reset_on_close;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::head::Framing;
use crate::wire::writer::Writer;

/// The protocol in one worker.
pub struct Palm {
    /// Those of the configuration, in the same order. A request keeps its own, whatever configuration comes while it waits.
    lines: Vec<Arc<Line>>,
    complaints: Complaints,
}

impl Palm {
    /// Says what is wrong with an application server.
    fn complain(&mut self, line: &Line, what: &dyn Display, scene: &Scene<'_>) {
        self.complaints.say(scene.clock.now(), format_args!("palm: {}: {what}", Show(&line.address)));
    }

    /// The same of its answer, if that is none.
    fn judge(&mut self, line: &Line, fed: Fed, scene: &Scene<'_>) -> Fed {
        match fed {
            Fed::Refuse(502) => self.complain(line, &"its answer has no proper head", scene),
            Fed::Broken => self.complain(line, &"it has closed before its answer was whole", scene),
            _ => {}
        }
        fed
    }
}

fn lines(live: &Live) -> Vec<Arc<Line>> {
    live.config().plugins.palm.lines.iter().cloned().map(Arc::new).collect()
}

impl Protocol for Palm {
    const NAME: &'static str = "palm";
    const ASKED: Asked = Asked::ForScripts;
    type State = Arc<Line>;
    type Relay = Relay;

    fn limits(config: &Config) -> Option<&Limits> {
        let palm = &config.plugins.palm;
        (!palm.lines.is_empty()).then_some(&palm.limits)
    }

    fn new(live: &Live) -> io::Result<Palm> {
        Ok(Palm { lines: lines(live), complaints: Complaints::default() })
    }

    fn reconfigure(&mut self, live: &Live) {
        self.lines = lines(live);
    }

    fn begin(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        call: &Call<'_>,
        out: &mut Writer<'_>,
    ) -> Begun<Arc<Line>> {
        let Some(line) = self.lines.get(usize::from(call.line)) else { return Begun::NotMe };
        // The length of a body has to be said before it.
        if request.head.framing == Framing::Chunked {
            return Begun::Refuse(411);
        }
        let about = About {
            live: scene.live,
            request,
            client: call.client,
            script: call.script,
            prefix: call.prefix,
            secret: scene.live.config().plugins.palm.authorization,
        };
        match request::push_request(out, &about) {
            Ok(()) => Begun::Written(Arc::clone(line)),
            Err(_) => Begun::Refuse(400),
        }
    }

    fn open(&mut self, number: u16, line: &mut Arc<Line>, _: &[u8], scene: &mut Scene<'_>) -> Opened {
        let socket = match connect(&line.address, true) {
            Ok(socket) => socket,
            Err(errno) => {
                self.complain(line, &errno, scene);
                return Opened::Refuse(502);
            }
        };
        match Channel::socket(socket, number, scene.watches) {
            Ok(channel) => Opened::Channel(channel),
            Err(_) => Opened::Refuse(503),
        }
    }

    fn lost(&mut self, line: &mut Arc<Line>, scene: &mut Scene<'_>) -> bool {
        self.complain(line, &"it can not be reached, or has closed without an answer", scene);
        false
    }

    fn late(&mut self, line: &Arc<Line>, scene: &Scene<'_>) {
        self.complain(line, &"it takes longer than Timeout", scene);
    }

    fn receive(
        &mut self,
        line: &mut Arc<Line>,
        relay: &mut Relay,
        data: &[u8],
        scene: &mut Scene<'_>,
        request: Option<&Request<'_>>,
    ) -> Fed {
        let fed = relay.feed_as(data, scene, request, line.media_type.as_bytes());
        self.judge(line, fed, scene)
    }

    fn ended(&mut self, line: &mut Arc<Line>, relay: &mut Relay, scene: &mut Scene<'_>) -> Fed {
        let fed = relay.end(scene);
        self.judge(line, fed, scene)
    }

    fn close(&mut self, _: u16, _: &mut Arc<Line>, channel: Option<Channel>, whole: bool, scene: &mut Scene<'_>) {
        if let Some(channel) = channel {
            // A server that has a request may take a mere end for that of the request, and have the script go on for nobody.
            if !whole {
                reset_on_close(channel.reader().as_fd());
            }
            channel.close(scene.watches);
        }
    }
}
