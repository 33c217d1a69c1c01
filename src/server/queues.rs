//! Who waits for what, and until when: one queue a kind of wait, all with constant limits, so that the first of each is
//! the first to run out.

use crate::server::connection::{Connection, Waiting};
use crate::storage::queue::Queue;
use crate::sys::slots::View;

/// How far a connection's place in its queue may lag behind its last activity, milliseconds. It saves moving the
/// connection at every request, and a limit runs out at most this much late.
const LAG_MS: u32 = 250;

/// Milliseconds without a byte for which a client is heard out after our last word.
const FAREWELL_MS: u32 = 2000;

/// Milliseconds that a new client has to say something before it counts as silent when room is needed, or the end has begun.
const GRACE_MS: u32 = 500;

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
    head: Queue,
    idle: Queue,
    body: Queue,
    send: Queue,
    farewell: Queue,
    turn: Queue,
    /// No limit runs out before this moment; None = nobody waits.
    next: Option<u32>,
}

/// Whether moment `a` comes before `b`, across the wrap of the count.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether a connection has been where it waits for so long that its silence means something.
pub fn is_settled(connection: &Connection, now: u32) -> bool {
    now.wrapping_sub(connection.since) >= GRACE_MS
}

impl Queues {
    /// Empty queues.
    pub fn new(limits: Limits) -> Queues {
        Queues {
            limits,
            head: Queue::default(),
            idle: Queue::default(),
            body: Queue::default(),
            send: Queue::default(),
            farewell: Queue::default(),
            turn: Queue::default(),
            next: None,
        }
    }

    /// Changes the limits, for those who wait already too.
    pub fn set_limits(&mut self, limits: Limits, now: u32) {
        self.limits = limits;
        self.next = Some(now);
    }

    fn queue(&mut self, waiting: Waiting) -> Option<&mut Queue> {
        match waiting {
            Waiting::Adoption => None,
            Waiting::Head => Some(&mut self.head),
            Waiting::Idle => Some(&mut self.idle),
            Waiting::Body => Some(&mut self.body),
            Waiting::Send => Some(&mut self.send),
            Waiting::Farewell => Some(&mut self.farewell),
            Waiting::Turn => Some(&mut self.turn),
        }
    }

    fn limit(&self, waiting: Waiting) -> u32 {
        match waiting {
            Waiting::Idle => self.limits.keep_alive,
            Waiting::Farewell => FAREWELL_MS,
            Waiting::Body | Waiting::Send => self.limits.window,
            Waiting::Adoption | Waiting::Head | Waiting::Turn => self.limits.timeout,
        }
    }

    /// Puts a connection where it waits from `since` on.
    pub fn place(&mut self, view: &mut View<Connection>, index: u32, waiting: Waiting, since: u32, now: u32) {
        let Some(connection) = view.get(index as usize) else { return };
        let old = connection.waiting;
        // Whoever was active since it got its place goes to the end, or it would hide the limits of those behind it.
        let unchanged = !before(connection.queued, since) || now.wrapping_sub(connection.queued) < LAG_MS;
        connection.since = since;
        if old == waiting && unchanged {
            return;
        }
        connection.waiting = waiting;
        connection.queued = now;
        if let Some(queue) = self.queue(old) {
            queue.remove(view, index);
        }
        if let Some(queue) = self.queue(waiting) {
            queue.push_back(view, index);
        }
        let end = since.wrapping_add(self.limit(waiting));
        if self.next.is_none_or(|next| before(end, next)) {
            self.next = Some(end);
        }
    }

    /// Takes a connection out, before its slot is released.
    pub fn leave(&mut self, view: &mut View<Connection>, index: u32) {
        let Some(waiting) = view.get(index as usize).map(|connection| connection.waiting) else { return };
        if let Some(queue) = self.queue(waiting) {
            queue.remove(view, index);
        }
    }

    /// The next connection whose limit has run out. None = look again when [`Queues::wait`] says.
    pub fn expired(&mut self, view: &mut View<Connection>, now: u32) -> Option<u32> {
        if self.next.is_none_or(|next| before(now, next)) {
            return None;
        }
        let mut earliest: Option<u32> = None;
        for waiting in [Waiting::Head, Waiting::Idle, Waiting::Body, Waiting::Send, Waiting::Farewell] {
            let limit = self.limit(waiting);
            let Some(first) = self.queue(waiting).and_then(|queue| queue.front()) else { continue };
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

    /// The connection that gives way first: those that have had our last word, then silent ones, then idle ones, the oldest
    /// before younger ones. One that has only just come is no silent one yet: it may be the one that room is made for, its request on
    /// the way.
    pub fn oldest_idle(&self, view: &mut View<Connection>, now: u32) -> Option<u32> {
        let silent = self.head.front();
        let mut is_settled =
            |index: &u32| view.get(*index as usize).is_some_and(|connection| is_settled(connection, now));
        let leaving = self.farewell.front().filter(&mut is_settled);
        leaving.or_else(|| silent.filter(&mut is_settled)).or(self.idle.front())
    }

    /// The oldest that has a head under way.
    pub fn oldest_head(&self) -> Option<u32> {
        self.head.front()
    }

    /// The oldest of those that hold a buffer for what has not come yet: a head, or the body behind it.
    pub fn oldest_unfinished(&self) -> Option<u32> {
        self.head.front().or(self.body.front())
    }

    /// The one behind another that has a head under way.
    pub fn next_head(&self, view: &mut View<Connection>, index: u32) -> Option<u32> {
        self.head.after(view, index)
    }

    /// The oldest that is idle between requests.
    pub fn oldest_keep_alive(&self) -> Option<u32> {
        self.idle.front()
    }

    /// How many wait for what.
    pub fn counts(&self) -> [(Waiting, u32); 6] {
        let counts = [
            (Waiting::Head, &self.head),
            (Waiting::Idle, &self.idle),
            (Waiting::Body, &self.body),
            (Waiting::Send, &self.send),
            (Waiting::Farewell, &self.farewell),
            (Waiting::Turn, &self.turn),
        ];
        counts.map(|(waiting, queue)| (waiting, queue.len()))
    }

    /// How many could give way.
    pub fn idle(&self) -> u32 {
        self.head.len().saturating_add(self.idle.len()).saturating_add(self.farewell.len())
    }
}
