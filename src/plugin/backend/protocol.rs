//! What is special to a kind of backend: how requests are written for it and its answers read, and where the channel to it comes from.

use std::io;

use crate::config::Config;
use crate::config::plugins::backend::Limits;
use crate::plugin::backend::channel::Channel;
use crate::plugin::backend::relay::Fed;
use crate::plugin::events::Happened;
use crate::plugin::handler::{Asked, Call};
use crate::plugin::hooks::{Answer, Needs};
use crate::plugin::scene::Scene;
use crate::storage::pool::Pool;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::writer::Writer;

/// Most bytes that a protocol puts before a piece of a body, or behind the last.
pub const FRAME_MAX: usize = 24;

/// Most bytes that a protocol adds to a request whose body was held.
pub const HELD_MORE: usize = 64;

/// What a protocol makes of a request.
pub enum Begun<S> {
    /// Not its business.
    NotMe,
    /// The server answers with this status.
    Refuse(u16),
    /// It is written.
    Written(S),
    /// It is written as far as it can be before its body is complete, which is held until then, behind it: [`Protocol::complete`]. A
    /// body that is too long for that is answered 411.
    Held(S),
}

/// Whether there is a way to a backend.
pub enum Opened {
    /// There is. What is written of the request by [`Protocol::begin`] goes there next.
    Channel(Channel),
    /// None is free: the request waits for its turn.
    Later,
    /// None can be had: the server answers with this status.
    Refuse(u16),
}

/// An answer on its way to the client.
pub trait Answering: Default {
    /// Whether nothing of a final answer was written.
    fn is_head(&self) -> bool;
    /// Whether nothing has come.
    fn is_untouched(&self) -> bool;
    /// What was answered, for stage 40.
    fn answer(&self) -> Answer;
    /// The path and query of [`Fed::Local`].
    fn local<'p>(&self, pool: &'p Pool) -> &'p [u8] {
        let _ = pool;
        b""
    }
    /// Whether what was answered makes the connection one of another protocol ([`Produced::Tunnel`](crate::plugin::handler::Produced::Tunnel)).
    fn is_tunnel(&self) -> bool {
        false
    }
    /// Gives back what it has borrowed.
    fn release(self, pool: &mut Pool);
}

/// How a kind of backend is spoken to.
pub trait Protocol: Sized + Send + 'static {
    /// The short name of the plugin, as in the configuration.
    const NAME: &'static str;
    /// Which requests it is asked about.
    const ASKED: Asked;
    /// Descriptors of a request under way that are watched.
    const FILES: usize = 1;
    /// Whether what [`Protocol::begin`] has written goes to the channel. If not, [`Protocol::open`] has made use of it.
    const WRITES: bool = true;
    /// What it remembers of a request under way.
    type State: Send;
    /// What brings the answer to the client.
    type Relay: Answering + Send;

    /// The limits under a configuration; None = nothing is configured, so that nothing is taken.
    fn limits(config: &Config) -> Option<&Limits>;

    /// What it takes besides what every gateway does.
    fn needs(config: &Config, workers: usize) -> Needs {
        let _ = (config, workers);
        Needs::default()
    }

    /// As [`Handler::children`](crate::plugin::handler::Handler::children).
    fn children(config: &Config, workers: usize) -> usize {
        let _ = (config, workers);
        0
    }

    /// Takes the memory of one worker. May allocate.
    fn new(live: &Live) -> io::Result<Self>;

    /// Another configuration is in force. May allocate. Requests under way go on as they began.
    fn reconfigure(&mut self, live: &Live) {
        let _ = live;
    }

    /// Writes a request, without its body, in the form in which it goes to the backend. What does not fit is answered 431.
    fn begin(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        call: &Call<'_>,
        out: &mut Writer<'_>,
    ) -> Begun<Self::State>;

    /// For [`Begun::Held`]: makes a whole request of the `head` bytes written by [`Protocol::begin`] and the body behind them up to `len`. There
    /// is room for [`HELD_MORE`] bytes more. Returns how many bytes it is.
    fn complete(bytes: &mut [u8], head: usize, len: usize) -> usize {
        let _ = (bytes, head);
        len
    }

    /// Looks for a way to a backend. `bytes` is what was written. Asked again after [`Protocol::lost`] has said so, and while the
    /// request waits at the end of each turn.
    fn open(&mut self, number: u16, state: &mut Self::State, bytes: &[u8], scene: &mut Scene<'_>) -> Opened;

    /// The channel was closed, for the backend could not be reached or has said nothing: whether to try again.
    fn lost(&mut self, state: &mut Self::State, scene: &mut Scene<'_>) -> bool {
        let _ = (state, scene);
        false
    }

    /// The channel has ended, `begun` = after at least a byte. If why will be told by [`Protocol::event`], the request waits for that, so
    /// many milliseconds at most, or 0 = as long as for an answer. None = it has [`ended`](Protocol::ended), or is [`lost`](Protocol::lost).
    fn is_to_be_told(&mut self, state: &mut Self::State, begun: bool, scene: &Scene<'_>) -> Option<u32> {
        let _ = (state, begun, scene);
        None
    }

    /// Whether a request whose method allows it is to be put by, so that it can go to another backend if a new connection is lost.
    fn has_others(&self, state: &Self::State, scene: &Scene<'_>) -> bool {
        let _ = (state, scene);
        false
    }

    /// The time limit is over while the backend was waited for.
    fn late(&mut self, state: &Self::State, scene: &Scene<'_>) {
        let _ = (state, scene);
    }

    /// Writes what stands before the next piece of the body, at most [`FRAME_MAX`] bytes, and says how long the piece is: no longer than
    /// `len`, which is not 0.
    fn frame(&mut self, state: &mut Self::State, len: usize, out: &mut Writer<'_>) -> usize {
        let _ = (state, out);
        len
    }

    /// Writes what stands behind the last piece of a body, or is needed without one, at most [`FRAME_MAX`] bytes.
    fn end(&mut self, state: &mut Self::State, out: &mut Writer<'_>) {
        let _ = (state, out);
    }

    /// Takes the next bytes of the answer, at most [`PIECE`](crate::plugin::backend::PIECE). While [`Answering::is_head`] the request is there. No more may be written
    /// than came, besides the head of an answer and what the framing of pieces needs. Trouble is told by the protocol in the log.
    fn receive(
        &mut self,
        state: &mut Self::State,
        relay: &mut Self::Relay,
        data: &[u8],
        scene: &mut Scene<'_>,
        request: Option<&Request<'_>>,
    ) -> Fed;

    /// The channel has ended, after at least a byte.
    fn ended(&mut self, state: &mut Self::State, relay: &mut Self::Relay, scene: &mut Scene<'_>) -> Fed;

    /// The request is over, answered or not, or is about to be tried again: what becomes of its channel. `whole` = the answer is.
    fn close(
        &mut self,
        number: u16,
        state: &mut Self::State,
        channel: Option<Channel>,
        whole: bool,
        scene: &mut Scene<'_>,
    );

    /// Something happened to a descriptor whose key has a role of the protocol's own. The connection of a request that goes on by it is
    /// returned, with the status it fails with, if it does.
    fn event(&mut self, key: u32, happened: Happened, scene: &mut Scene<'_>) -> Option<(u16, u16)> {
        let _ = (key, happened, scene);
        None
    }

    /// The end of a turn: as [`Handler::turn`](crate::plugin::handler::Handler::turn).
    fn turn(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
        let _ = scene;
        None
    }
}
