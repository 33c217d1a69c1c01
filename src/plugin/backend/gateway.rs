//! Requests that are answered elsewhere: by a program, or by a server behind this one. All of them go the same way: the request is written
//! as a whole, its body follows as it comes, the answer comes back and goes to the client as fast as that takes it. What is special
//! to a [`Protocol`] is how these are written and read, and where the [`Channel`] comes from.
//!
//! Nothing is kept as a whole. Of a request that has to wait, or that the backend has not taken yet, the head stands in a buffer of the
//! pool; without a free one the answer is 503. A body that the backend does not take is not read from the client, an answer that
//! the client does not take is not read from the backend.

use std::io;
use std::os::fd::AsFd;

use crate::config::Config;
use crate::config::plugins::backend::Limits;
use crate::limits::{GATEWAY_REQUEST_MAX, HEAD_BUFFER, OUTPUT_ROOM, TUNNEL_MS};
use crate::plugin::backend::PIECE;
use crate::plugin::backend::channel::{Channel, role};
use crate::plugin::backend::exchange::{Exchange, Owed};
use crate::plugin::backend::protocol::{Answering, Begun, Opened, Protocol};
use crate::plugin::backend::relay::Fed;
use crate::plugin::backend::table::Table;
use crate::plugin::events::Happened;
use crate::plugin::handler::{Asked, Call, Handler, Handling, Produced, Taken};
use crate::plugin::hooks::{Answer, Needs};
use crate::plugin::scene::Scene;
use crate::storage::pool::Pool;
use crate::sys::Errno;
use crate::sys::memory::Region;
use crate::sys::pipe::{read, write};
use crate::sys::socket::shutdown_write;
use crate::sys::socket::unacknowledged;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::writer::Writer;

/// How long a request waits for a channel before it is looked for again, milliseconds, when nothing happens: a socket with a name whose
/// queue was full tells nobody that there is room.
const RETRY_MS: u32 = 100;

/// How long an answer waits for a buffer before it is looked for again, milliseconds.
const STARVING_MS: u32 = 20;

/// Requests to backends of one kind, in one worker.
pub struct Gateway<P: Protocol> {
    protocol: P,
    table: Table<Exchange<P>>,
    /// Those that wait for a channel, oldest first.
    queue: Vec<u16>,
    /// How many are held until their bodies are complete.
    held: u16,
    /// Since when there are some whose answers wait for a buffer, milliseconds.
    starving: Option<u32>,
    /// The worker's own, while one of the handler's methods runs.
    scratch: Region,
    limits: Limits,
}

/// Places for requests under way and waiting.
fn places(limits: &Limits) -> u16 {
    limits.requests.saturating_add(limits.queue)
}

impl<P: Protocol> Gateway<P> {
    /// Finds a way for a request that is written in the scratch area, and writes it there.
    fn start(&mut self, number: u16, len: usize, scene: &mut Scene<'_>) {
        let Gateway { protocol, table, scratch, .. } = self;
        let Some(exchange) = table.get(number) else { return };
        let bytes = scratch.get(..len).unwrap_or_default();
        loop {
            exchange.waits = false;
            let channel = match protocol.open(number, &mut exchange.state, bytes, scene) {
                Opened::Channel(channel) => channel,
                Opened::Later => return exchange.waits = true,
                Opened::Refuse(status) => return exchange.came_to = Some(Fed::Refuse(status)),
            };
            let sent = match channel.writer() {
                Some(writer) if P::WRITES => write(writer, bytes),
                _ => Ok(len),
            };
            (exchange.readable, exchange.ended, exchange.written) = (false, false, false);
            exchange.timed = false;
            exchange.owed = Owed::default();
            let reused = channel.reused;
            exchange.channel = Some(channel);
            let sent = match sent {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR | Errno::INPROGRESS) => 0,
                Err(_) => {
                    protocol.close(number, &mut exchange.state, exchange.channel.take(), false, scene);
                    if protocol.lost(&mut exchange.state, scene) {
                        continue;
                    }
                    return exchange.came_to = Some(Fed::Refuse(502));
                }
            };
            exchange.writable = sent == len;
            exchange.ask_for_room(scene);
            exchange.repeatable &= reused || sent < len || protocol.has_others(&exchange.state, scene);
            if let Some(saved) = &mut exchange.saved {
                saved.sent = sent as u16;
            } else if sent < len || exchange.repeatable {
                let saved = exchange.save(bytes, sent, scene.pool);
                if !saved && sent < len {
                    exchange.came_to = Some(Fed::Refuse(503));
                }
            }
            return exchange.forget(scene.pool);
        }
    }

    /// Brings a request that was put by back into the scratch area, as a whole.
    fn restore(&mut self, number: u16, pool: &Pool) -> Option<usize> {
        let saved = self.table.get(number)?.saved.as_ref()?;
        let bytes = saved.bytes.bytes(saved.len.into(), pool);
        self.scratch.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(bytes.len())
    }

    /// Nothing of an answer has come, and nothing will on this channel: another is looked for where that does no harm.
    fn lose(&mut self, number: u16, scene: &mut Scene<'_>) -> Fed {
        let Some(exchange) = self.table.get(number) else { return Fed::Broken };
        self.protocol.close(number, &mut exchange.state, exchange.channel.take(), false, scene);
        let again = self.protocol.lost(&mut exchange.state, scene);
        let sent_nothing = exchange.saved.as_ref().is_some_and(|saved| saved.sent == 0);
        if again
            && (exchange.repeatable || sent_nothing)
            && let Some(len) = self.restore(number, scene.pool)
        {
            self.start(number, len, scene);
            self.put_in_queue(number, scene);
            let came_to = self.table.get(number).and_then(|exchange| exchange.came_to);
            return came_to.unwrap_or(Fed::More);
        }
        Fed::Refuse(502)
    }

    /// Has a request that found no way wait for one, if there is room to.
    fn put_in_queue(&mut self, number: u16, scene: &mut Scene<'_>) {
        let Some(exchange) = self.table.get(number).filter(|exchange| exchange.waits) else { return };
        exchange.since = scene.clock.now();
        if self.queue.len() >= usize::from(self.limits.queue) || exchange.saved.is_none() {
            exchange.came_to = Some(Fed::Refuse(503));
            exchange.waits = false;
        } else {
            self.queue.push(number);
        }
    }

    /// Reads the next piece of the answer and hands it on. More = nothing else is known yet.
    fn pull(&mut self, number: u16, scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Fed {
        let Gateway { protocol, table, scratch, starving, .. } = self;
        let Some(exchange) = table.get(number) else { return Fed::Broken };
        // What a client does not take has to be put by. One that has taken all there was may well take more.
        let free = scene.pool.largest_free(OUTPUT_ROOM);
        // The smallest are for the heads of requests.
        exchange.starved = free <= HEAD_BUFFER && scene.client.is_some_and(|client| unacknowledged(client) > 0);
        if exchange.starved {
            starving.get_or_insert(scene.clock.now());
            return Fed::More;
        }
        let Exchange { state, relay, channel: Some(channel), .. } = exchange else { return Fed::More };
        let most = match free {
            OUTPUT_ROOM => PIECE,
            size => (size / 2).clamp(512, PIECE),
        };
        let Some(room) = scratch.get_mut(..most) else { return Fed::Broken };
        let fed = match read(channel.reader().as_fd(), room) {
            Ok(0) => {
                let more = protocol.is_to_be_told(state, !relay.is_untouched(), scene);
                if let Some(limit) = more.filter(|_| !exchange.told) {
                    (exchange.readable, exchange.ended, exchange.awaits) = (false, false, limit > 0);
                    if limit > 0 {
                        exchange.limit(0, scene);
                        exchange.limit(limit, scene);
                    }
                    return Fed::More;
                }
                if relay.is_untouched() {
                    return self.lose(number, scene);
                }
                protocol.ended(state, relay, scene)
            }
            Ok(count) => {
                exchange.readable = count == most || exchange.ended;
                let fed = protocol.receive(state, relay, room.get(..count).unwrap_or_default(), scene, request);
                exchange.repeatable = false;
                exchange.forget(scene.pool);
                fed
            }
            Err(Errno::AGAIN) => {
                exchange.readable = false;
                return Fed::More;
            }
            Err(Errno::INTR) => return Fed::More,
            Err(_) if relay.is_untouched() => return self.lose(number, scene),
            // An end, but not that of an answer.
            Err(_) if relay.is_head() => Fed::Refuse(502),
            Err(_) => Fed::Broken,
        };
        exchange.whole |= fed == Fed::Whole;
        fed
    }

    /// What has become of a request by now. More = it goes on.
    fn look(&mut self, number: u16, scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Fed {
        match self.table.get(number) {
            None => return Fed::Broken,
            Some(Exchange { came_to: Some(fed), .. }) => return *fed,
            Some(exchange) if !exchange.readable => return Fed::More,
            Some(_) => {}
        }
        let fed = self.pull(number, scene, request);
        if fed != Fed::More
            && let Some(exchange) = self.table.get(number)
        {
            exchange.came_to = Some(fed);
        }
        fed
    }
}

impl<P: Protocol> Gateway<P> {
    /// Has the worker's scratch area for as long as something is done.
    fn lend<R>(&mut self, scene: &mut Scene<'_>, work: impl FnOnce(&mut Self, &mut Scene<'_>) -> R) -> R {
        std::mem::swap(&mut self.scratch, scene.scratch);
        let result = work(self, scene);
        std::mem::swap(&mut self.scratch, scene.scratch);
        result
    }

    /// Requests that are neither waiting for a channel nor held.
    fn under_way(&self) -> usize {
        self.table.len() - self.queue.len() - usize::from(self.held)
    }

    fn begin(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, call: Call<'_>) -> Handling<u16> {
        // Its head is kept for as long as it is under way.
        if !scene.pool.is_free(request.input.len()) {
            return Handling::Refuse(503);
        }
        let mut out = Writer::new(&mut self.scratch);
        let (state, held) = match self.protocol.begin(scene, request, &call, &mut out) {
            Begun::NotMe => return Handling::NotMe,
            Begun::Refuse(status) => return Handling::Refuse(status),
            _ if out.overflowed() => return Handling::Refuse(431),
            Begun::Written(state) => (state, None),
            Begun::Held(state) => (state, Some(out.len() as u16)),
        };
        let len = out.len();
        let exchange = Exchange::new(scene.connection, state, held, request.head.method, call.client.led);
        let number = match self.table.insert(exchange) {
            Ok(number) => number,
            Err(mut exchange) => {
                self.protocol.close(u16::MAX, &mut exchange.state, None, false, scene);
                return Handling::Refuse(503);
            }
        };
        match held {
            None => self.launch(number, len, scene),
            Some(_) => {
                self.held += 1;
                let Gateway { table, scratch, .. } = self;
                let bytes = scratch.get(..len).unwrap_or_default();
                let Some(exchange) = table.get(number) else { return Handling::Refuse(503) };
                if !exchange.save(bytes, 0, scene.pool) {
                    exchange.came_to = Some(Fed::Refuse(503));
                }
            }
        }
        let came_to = self.table.get(number).and_then(|exchange| exchange.came_to);
        if let Some(Fed::Refuse(status)) = came_to {
            self.release(number, scene);
            return Handling::Refuse(status);
        }
        Handling::Begun(number)
    }

    /// Finds a way for a new request that is written in the scratch area, or has it wait.
    fn launch(&mut self, number: u16, len: usize, scene: &mut Scene<'_>) {
        // Who waits already comes first.
        match self.under_way() > usize::from(self.limits.requests) || !self.queue.is_empty() {
            true => self.table.get(number).into_iter().for_each(|exchange| exchange.waits = true),
            false => self.start(number, len, scene),
        }
        let bytes = self.scratch.get(..len).unwrap_or_default();
        if let Some(exchange) = self.table.get(number).filter(|exchange| exchange.waits) {
            exchange.save(bytes, 0, scene.pool);
        }
        self.put_in_queue(number, scene);
    }

    /// The body is complete of a request that was held for it.
    fn complete(&mut self, number: u16, scene: &mut Scene<'_>) {
        let Some(len) = self.restore(number, scene.pool) else { return };
        let Some(exchange) = self.table.get(number) else { return };
        let (Some(head), Some(saved)) = (exchange.held.take(), exchange.saved.take()) else { return };
        saved.bytes.release(scene.pool);
        self.held -= 1;
        let len = P::complete(&mut self.scratch, head.into(), len);
        self.launch(number, len, scene);
    }

    fn take_piece(&mut self, number: u16, data: &[u8], scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Taken {
        if let Some(exchange) = self.table.get(number).filter(|exchange| exchange.tunnel) {
            let used = exchange.push(data, &mut self.protocol, scene.pool);
            exchange.ask_for_room(scene);
            exchange.limit(0, scene);
            exchange.limit(TUNNEL_MS, scene);
            return if used == data.len() { Taken::Bytes(used) } else { Taken::Wait(used) };
        }
        if let Some(exchange) = self.table.get(number).filter(|exchange| exchange.held.is_some()) {
            return exchange.hold(data, scene.pool);
        }
        let before = scene.out.len();
        // An answer may begin before the body is complete. Where there is no room for it now there will be.
        if before == 0 || scene.out.room() >= OUTPUT_ROOM / 2 + PIECE {
            match self.look(number, scene, request) {
                Fed::More => {}
                Fed::Whole | Fed::Broken => return Taken::Enough,
                Fed::Refuse(status) => return Taken::Refuse(status),
                // What is left of the body is of no use to whom it leads to.
                Fed::Local => return Taken::Bytes(data.len()),
            }
        }
        let milliseconds = self.limits.timeout;
        let Gateway { protocol, table, .. } = self;
        let Some(exchange) = table.get(number) else { return Taken::Refuse(503) };
        let used = match exchange.channel {
            Some(_) => exchange.push(data, protocol, scene.pool),
            None => 0,
        };
        exchange.ask_for_room(scene);
        if exchange.readable {
            // There is more to be read than one piece.
            scene.wakes.wake(exchange.connection);
        }
        if used > 0 {
            exchange.limit(0, scene);
        }
        exchange.limit(if used == data.len() { 0 } else { milliseconds }, scene);
        if used == data.len() { Taken::Bytes(used) } else { Taken::Wait(used) }
    }

    fn go_on(&mut self, number: u16, scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Produced {
        let mut milliseconds = self.limits.timeout;
        if self.table.get(number).is_some_and(|exchange| exchange.held.is_some()) {
            self.complete(number, scene);
        }
        let Gateway { protocol, table, .. } = self;
        let Some(exchange) = table.get(number) else { return Produced::Broken };
        if !exchange.written && exchange.flush(scene.pool) {
            let Exchange { owed, state, .. } = exchange;
            owed.fill(|out| protocol.end(state, out));
            exchange.written = true;
        }
        if exchange.written
            && exchange.flush(scene.pool)
            && let Some(channel) = &mut exchange.channel
        {
            channel.end_writing(scene.watches);
        }
        match self.look(number, scene, request) {
            Fed::Whole => return Produced::Done,
            Fed::Refuse(status) => return Produced::Refuse(status),
            Fed::Local => return Produced::Local,
            Fed::Broken => return Produced::Broken,
            Fed::More => {}
        }
        let Some(exchange) = self.table.get(number) else { return Produced::Broken };
        if exchange.relay.is_tunnel() {
            if !std::mem::replace(&mut exchange.tunnel, true) {
                exchange.limit(0, scene);
                return Produced::Tunnel;
            }
            milliseconds = TUNNEL_MS;
        }
        exchange.ask_for_room(scene);
        // What is written is sent now, not held back for more: that may take its time.
        let waits = !exchange.readable || exchange.starved;
        exchange.limit(if waits { milliseconds } else { 0 }, scene);
        if waits { Produced::Wait } else { Produced::More }
    }

    /// Has those go on, now and then, whose answers wait for a buffer.
    fn feed_starving(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
        let waited = scene.clock.now().wrapping_sub(self.starving?);
        if waited < STARVING_MS {
            return Some(STARVING_MS - waited);
        }
        self.starving = None;
        for (_, exchange) in self.table.iter_mut().filter(|(_, exchange)| exchange.starved) {
            scene.wakes.wake(exchange.connection);
        }
        None
    }

    fn look_after(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
        let mut at = 0;
        while let Some(number) = self.queue.get(at).copied() {
            let busy = self.under_way() >= usize::from(self.limits.requests);
            if !busy && let Some(len) = self.restore(number, scene.pool) {
                self.start(number, len, scene);
            }
            let (now, limit) = (scene.clock.now(), self.limits.timeout);
            let Some(exchange) = self.table.get(number) else { break };
            let waited = now.wrapping_sub(exchange.since);
            if exchange.waits && limit > 0 && waited >= limit {
                exchange.waits = false;
                exchange.came_to = Some(Fed::Refuse(503));
            }
            if exchange.waits {
                at += 1;
            } else {
                // Its body, or nothing, comes next.
                scene.wakes.wake(exchange.connection);
                self.queue.remove(at);
            }
        }
        (!self.queue.is_empty()).then_some(RETRY_MS)
    }
}

impl<P: Protocol> Handler for Gateway<P> {
    const NAME: &'static str = P::NAME;
    /// The place of its exchange.
    type Task = u16;
    const ASKED: Asked = P::ASKED;
    const TAKES_BODY: bool = true;

    fn needs(config: &Config, workers: usize) -> Needs {
        let Some(limits) = P::limits(config) else { return Needs::default() };
        let places = usize::from(places(limits));
        let own = Needs {
            worker: places * Table::<Exchange<P>>::place_bytes() + usize::from(limits.queue) * 2,
            worker_scratch: GATEWAY_REQUEST_MAX,
            worker_files: usize::from(limits.requests) * P::FILES,
            // The head of each request, and what is written of some.
            worker_buffers: places * HEAD_BUFFER / 2 * 3,
            ..Needs::default()
        };
        own.and(P::needs(config, workers))
    }

    fn children(config: &Config, workers: usize) -> usize {
        P::children(config, workers)
    }

    fn wants_turns(config: &Config) -> bool {
        P::limits(config).is_some()
    }

    fn new(live: &Live) -> io::Result<Gateway<P>> {
        let limits = P::limits(live.config());
        Ok(Gateway {
            protocol: P::new(live)?,
            table: Table::new(limits.map_or(0, places)),
            queue: Vec::with_capacity(limits.map_or(0, |limits| limits.queue.into())),
            held: 0,
            starving: None,
            scratch: Region::new(1)?,
            limits: limits.cloned().unwrap_or_default(),
        })
    }

    fn reconfigure(&mut self, live: &Live) {
        let before = self.limits;
        // Without any, what is under way goes on by those it began with.
        self.limits = P::limits(live.config()).copied().unwrap_or(before);
        if places(&self.limits) > places(&before) {
            self.table.enlarge(places(&self.limits));
        }
        self.queue.reserve(usize::from(self.limits.queue).saturating_sub(self.queue.len()));
        self.protocol.reconfigure(live);
    }

    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, call: Call<'_>) -> Handling<u16> {
        self.lend(scene, |gateway, scene| gateway.begin(scene, request, call))
    }

    fn event(&mut self, key: u32, happened: Happened, scene: &mut Scene<'_>) {
        let (mut number, role) = (key as u16, key >> 16);
        let mut fails = None;
        if role >= role::OWN {
            match self.protocol.event(key, happened, scene) {
                None => return,
                Some((which, 0)) => number = which,
                Some((which, status)) => (number, fails) = (which, Some(status)),
            }
        }
        let Some(exchange) = self.table.get(number) else { return };
        let before = (exchange.readable, exchange.writable);
        match happened {
            _ if role >= role::OWN => (exchange.readable, exchange.told) = (true, true),
            Happened::TimedOut if exchange.awaits => {
                (exchange.readable, exchange.told, exchange.awaits, exchange.timed) = (true, true, false, false);
            }
            // It has something to say, but the client does not take it.
            Happened::TimedOut if exchange.readable && !exchange.starved => exchange.timed = false,
            Happened::TimedOut => {
                // Nobody owes a word in a tunnel.
                if !exchange.tunnel {
                    self.protocol.late(&exchange.state, scene);
                }
                fails = Some(504);
            }
            Happened::Writable => exchange.writable = true,
            Happened::Failed | Happened::Closed if role == role::WRITER => exchange.writable = true,
            Happened::Readable => exchange.readable = true,
            Happened::Failed | Happened::Closed => (exchange.readable, exchange.ended) = (true, true),
        }
        if let Some(status) = fails
            && exchange.came_to.is_none()
        {
            exchange.timed = false;
            exchange.came_to = Some(if exchange.relay.is_head() { Fed::Refuse(status) } else { Fed::Broken });
        }
        if fails.is_some() || before != (exchange.readable, exchange.writable) {
            scene.wakes.wake(exchange.connection);
        }
    }

    fn take(&mut self, number: &mut u16, data: &[u8], scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Taken {
        self.lend(scene, |gateway, scene| gateway.take_piece(*number, data, scene, request))
    }

    fn finish(&mut self, number: &mut u16, _: &mut Scene<'_>) {
        // Elsewhere the end of a body is said in the protocol.
        if let Some(exchange) = self.table.get(*number).filter(|exchange| exchange.tunnel)
            && let Some(writer) = exchange.channel.as_ref().and_then(Channel::writer)
        {
            let _ = shutdown_write(writer);
        }
    }

    fn wants_request(&self, number: &u16) -> bool {
        self.table.peek(*number).is_some_and(|exchange| exchange.readable && exchange.relay.is_head())
    }

    fn produce(&mut self, number: &mut u16, scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Produced {
        self.lend(scene, |gateway, scene| gateway.go_on(*number, scene, request))
    }

    fn has_answered(&self, number: &u16) -> bool {
        self.table.peek(*number).is_some_and(|exchange| !exchange.relay.is_head())
    }

    fn answer(&self, number: &u16) -> Answer {
        let exchange = self.table.peek(*number);
        exchange.map_or(Answer { status: 502, length: None }, |exchange| exchange.relay.answer())
    }

    fn local<'p>(&'p self, number: &u16, pool: &'p Pool) -> (u8, &'p [u8]) {
        self.table.peek(*number).map_or((0, b""), |exchange| (exchange.led, exchange.relay.local(pool)))
    }

    fn release(&mut self, number: u16, scene: &mut Scene<'_>) {
        if let Some(place) = self.queue.iter().position(|waiting| *waiting == number) {
            self.queue.remove(place);
        }
        let Some(mut exchange) = self.table.remove(number) else { return };
        self.held -= u16::from(exchange.held.is_some());
        exchange.limit(0, scene);
        let whole = exchange.whole
            && exchange.written
            && !exchange.deaf
            // Nobody would be told of its end again.
            && !exchange.ended
            && exchange.owed.rest().is_empty()
            && exchange.left == 0;
        self.protocol.close(number, &mut exchange.state, exchange.channel.take(), whole, scene);
        if let Some(saved) = exchange.saved.take() {
            saved.bytes.release(scene.pool);
        }
        exchange.relay.release(scene.pool);
    }

    fn turn(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
        let own = self.protocol.turn(scene);
        let fed = self.feed_starving(scene);
        let wait = if self.queue.is_empty() { None } else { self.lend(scene, Gateway::look_after) };
        own.into_iter().chain(fed).chain(wait).min()
    }
}
