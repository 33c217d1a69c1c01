//! Who waits for what, and until when: one queue a kind of wait, all with constant limits, so that the first of each is
//! the first to run out. Those that hold a buffer of the pool stand in a queue of their own: when none is left, one of them has to
//! give way, and there are never more of them than buffers.

use crate::limits::{LATE_MS, VERDICT_MS};
use crate::server::connection::{Connection, Flag, Waiting};
use crate::storage::queue::Queue;
use crate::sys::slots::View;

/// How far a connection's place in its queue may lag behind its last activity, milliseconds. It saves moving the
/// connection at every request, and a limit runs out at most this much late.
const LAG_MS: u32 = 250;

/// Milliseconds without a byte for which a client is heard out after our last word.
const FAREWELL_MS: u32 = 2000;

/// Milliseconds that a new client has to say something before it counts as silent when room is needed, or the end has begun.
const GRACE_MS: u32 = 500;

/// How many of those who wait for the same are looked at to find some that give way.
const SEARCH_MAX: u32 = 64;

/// The limits, from the configuration in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Milliseconds for a request head.
    pub timeout: u32,
    /// Milliseconds after which the progress of a body or an answer is judged.
    pub window: u32,
    /// Milliseconds between requests.
    pub keep_alive: u32,
}

/// The queues of one worker.
pub struct Queues {
    limits: Limits,
    silent: Queue,
    head: Queue,
    idle: Queue,
    body: Queue,
    send: Queue,
    late: Queue,
    verdict: Queue,
    backend: Queue,
    farewell: Queue,
    turn: Queue,
    body_holding: Queue,
    send_holding: Queue,
    /// No limit runs out before this moment; None = nobody waits.
    next: Option<u32>,
}

/// Whether moment `a` comes before `b`, across the wrap of the count.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether a connection has been where it waits for so long that its silence means something.
fn is_settled(connection: &Connection, now: u32) -> bool {
    now.wrapping_sub(connection.since) >= GRACE_MS
}

impl Queues {
    /// Empty queues.
    pub fn new(limits: Limits) -> Queues {
        Queues {
            limits,
            silent: Queue::default(),
            head: Queue::default(),
            idle: Queue::default(),
            body: Queue::default(),
            send: Queue::default(),
            late: Queue::default(),
            verdict: Queue::default(),
            backend: Queue::default(),
            farewell: Queue::default(),
            turn: Queue::default(),
            body_holding: Queue::default(),
            send_holding: Queue::default(),
            next: None,
        }
    }

    /// Changes the limits, for those who wait already too.
    pub fn set_limits(&mut self, limits: Limits, now: u32) {
        self.limits = limits;
        self.next = Some(now);
    }

    fn queue(&mut self, waiting: Waiting, holds: bool) -> Option<&mut Queue> {
        match (waiting, holds) {
            (Waiting::Adoption, _) => None,
            (Waiting::Silent, _) => Some(&mut self.silent),
            (Waiting::Head, _) => Some(&mut self.head),
            (Waiting::Idle, _) => Some(&mut self.idle),
            (Waiting::Body, false) => Some(&mut self.body),
            (Waiting::Body, true) => Some(&mut self.body_holding),
            (Waiting::Send, false) => Some(&mut self.send),
            (Waiting::Send, true) => Some(&mut self.send_holding),
            (Waiting::Late, _) => Some(&mut self.late),
            (Waiting::Verdict, _) => Some(&mut self.verdict),
            (Waiting::Backend, _) => Some(&mut self.backend),
            (Waiting::Farewell, _) => Some(&mut self.farewell),
            (Waiting::Turn, _) => Some(&mut self.turn),
        }
    }

    fn limit(&self, waiting: Waiting) -> u32 {
        match waiting {
            Waiting::Idle => self.limits.keep_alive,
            Waiting::Farewell => FAREWELL_MS,
            Waiting::Late => LATE_MS,
            Waiting::Verdict => VERDICT_MS,
            Waiting::Body | Waiting::Send => self.limits.window,
            Waiting::Backend => u32::MAX / 2,
            Waiting::Adoption | Waiting::Silent | Waiting::Head | Waiting::Turn => self.limits.timeout,
        }
    }

    /// Puts a connection where it waits from `since` on.
    #[cfg_attr(tuned, optimize(speed))]
    pub fn place(&mut self, view: &mut View<Connection>, index: u32, waiting: Waiting, since: u32, now: u32) {
        let Some(connection) = view.get(index as usize) else { return };
        let old = (connection.waiting, connection.is(Flag::Holds));
        let holds = connection.holds_buffer();
        // Whoever was active since it got its place goes to the end, or it would hide the limits of those behind it.
        let unchanged = !before(connection.queued, since) || now.wrapping_sub(connection.queued) < LAG_MS;
        connection.since = since;
        if old == (waiting, holds) && unchanged {
            return;
        }
        connection.waiting = waiting;
        connection.set(Flag::Holds, holds);
        connection.queued = now;
        if let Some(queue) = self.queue(old.0, old.1) {
            queue.remove(view, index);
        }
        if let Some(queue) = self.queue(waiting, holds) {
            queue.push_back(view, index);
        }
        let end = since.wrapping_add(self.limit(waiting));
        if waiting != Waiting::Backend && self.next.is_none_or(|next| before(end, next)) {
            self.next = Some(end);
        }
    }

    /// Takes a connection out, before its slot is released.
    pub fn leave(&mut self, view: &mut View<Connection>, index: u32) {
        let Some(connection) = view.get(index as usize) else { return };
        let (waiting, holds) = (connection.waiting, connection.is(Flag::Holds));
        if let Some(queue) = self.queue(waiting, holds) {
            queue.remove(view, index);
        }
    }

    /// The next connection whose limit has run out. None = look again when [`Queues::wait`] says.
    pub fn expired(&mut self, view: &mut View<Connection>, now: u32) -> Option<u32> {
        if self.next.is_none_or(|next| before(now, next)) {
            return None;
        }
        let mut earliest: Option<u32> = None;
        for (waiting, holds) in [
            (Waiting::Silent, false),
            (Waiting::Head, true),
            (Waiting::Idle, false),
            (Waiting::Body, false),
            (Waiting::Body, true),
            (Waiting::Send, false),
            (Waiting::Send, true),
            (Waiting::Late, false),
            (Waiting::Verdict, false),
            (Waiting::Farewell, false),
        ] {
            let limit = self.limit(waiting);
            let Some(first) = self.queue(waiting, holds).and_then(|queue| queue.front()) else { continue };
            let Some(since) = view.get(first as usize).map(|connection| connection.since) else { continue };
            if now.wrapping_sub(since) >= limit {
                return Some(first);
            }
            let end = since.wrapping_add(limit);
            if earliest.is_none_or(|earliest| before(end, earliest)) {
                earliest = Some(end);
            }
        }
        self.next = earliest;
        None
    }

    /// Milliseconds until the next limit may run out; 0 = somebody waits for a turn.
    pub fn wait(&self, now: u32) -> Option<u32> {
        if !self.turn.is_empty() {
            return Some(0);
        }
        self.next.map(|next| if before(next, now) { 0 } else { next.wrapping_sub(now).saturating_add(1) })
    }

    /// The first of those who wait for a turn, and how many there are.
    pub fn turn(&self) -> (Option<u32>, u32) {
        (self.turn.front(), self.turn.len())
    }

    /// The connection that gives way first: those that have had our last word, then silent ones and those that do not end their
    /// head, then idle ones, the oldest before younger ones. One that has only just come is no silent one yet: it may be the one
    /// that room is made for, its request on the way.
    pub fn oldest_idle(&self, view: &mut View<Connection>, now: u32) -> Option<u32> {
        let mut is_settled =
            |index: &u32| view.get(*index as usize).is_some_and(|connection| is_settled(connection, now));
        let fronts = [&self.farewell, &self.late, &self.silent, &self.head].map(Queue::front);
        fronts.into_iter().flatten().find(&mut is_settled).or(self.idle.front())
    }

    /// The first of those who wait for a plugin's verdict, and how many they are.
    pub fn verdict(&self) -> (Option<u32>, u32) {
        (self.verdict.front(), self.verdict.len())
    }

    /// The first of those who wait for what a handler waits for, and how many they are.
    pub fn backend(&self) -> (Option<u32>, u32) {
        (self.backend.front(), self.backend.len())
    }

    /// The first that stalls of those in a body or an answer, and how many more there are at least. They give way when nobody is
    /// idle.
    pub fn stalled(&self, view: &mut View<Connection>, stalls: impl Fn(&Connection) -> bool) -> (Option<u32>, u32) {
        let (mut first, mut count) = (None, 0);
        for queue in [&self.body, &self.body_holding, &self.send, &self.send_holding] {
            let mut next = queue.front();
            for _ in 0..SEARCH_MAX {
                let Some(index) = next else { break };
                if view.get(index as usize).is_some_and(|connection| stalls(connection)) {
                    first = first.or(next);
                    count += 1;
                }
                next = queue.after(view, index);
            }
        }
        (first, count)
    }

    /// The oldest that never said a word, unless it has only just come.
    pub fn oldest_silent(&self, view: &mut View<Connection>, now: u32) -> Option<u32> {
        let oldest = self.silent.front()?;
        view.get(oldest as usize).is_some_and(|connection| is_settled(connection, now)).then_some(oldest)
    }

    /// The connection that gives way when a buffer is needed: the oldest whose buffer will do, of those whose refusal is held
    /// back, then of the kind that holds most. Whoever
    /// wants to have all of them is of that kind.
    pub fn oldest_holder(
        &self,
        view: &mut View<Connection>,
        mut will_do: impl FnMut(&Connection) -> bool,
    ) -> Option<u32> {
        let mut kinds = [&self.head, &self.body_holding, &self.send_holding, &self.verdict];
        for (more, less) in [(0, 1), (2, 3), (0, 2), (1, 3), (1, 2)] {
            if kinds[more].len() < kinds[less].len() {
                kinds.swap(more, less);
            }
        }
        for queue in [&self.late].into_iter().chain(kinds) {
            let mut next = queue.front();
            while let Some(index) = next {
                if view.get(index as usize).is_some_and(|connection| will_do(connection)) {
                    return Some(index);
                }
                next = queue.after(view, index);
            }
        }
        None
    }

    /// The oldest that is idle between requests.
    pub fn oldest_keep_alive(&self) -> Option<u32> {
        self.idle.front()
    }

    /// How many wait for what.
    pub fn counts(&self) -> [(Waiting, u32); 12] {
        let counts = [
            (Waiting::Silent, &self.silent),
            (Waiting::Head, &self.head),
            (Waiting::Idle, &self.idle),
            (Waiting::Body, &self.body),
            (Waiting::Body, &self.body_holding),
            (Waiting::Send, &self.send),
            (Waiting::Send, &self.send_holding),
            (Waiting::Late, &self.late),
            (Waiting::Verdict, &self.verdict),
            (Waiting::Backend, &self.backend),
            (Waiting::Farewell, &self.farewell),
            (Waiting::Turn, &self.turn),
        ];
        counts.map(|(waiting, queue)| (waiting, queue.len()))
    }

    /// How many could give way.
    #[inline(always)]
    pub fn idle(&self) -> u32 {
        self.silent.len() + self.head.len() + self.idle.len() + self.late.len() + self.farewell.len()
    }
}
