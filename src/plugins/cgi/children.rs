//! The programs of one worker, from the order to start one until its end was told. A request that is over does not wait for its program,
//! but the program counts until it is gone: what was killed as well, so that there are never more than there may be.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::errors::{Errors, PLACE, Voice};
use crate::log::error;
use crate::plugin::backend::channel::role;
use crate::plugin::backend::table::Table;
use crate::plugin::events::{Watch, WatchId};
use crate::plugin::order::{Answer, Became, Read, read as read_order};
use crate::plugin::scene::Scene;
use crate::plugin::spawner::{Spawner, Streams};
use crate::sys::Errno;
use crate::sys::child::End;
use crate::sys::pipe::{pipe, read};

/// Programs over all workers. One a process, as the spawner is.
static RUNNING: AtomicU32 = AtomicU32::new(0);
/// A worker waits for one of them to end.
static AWAITED: AtomicBool = AtomicBool::new(false);

/// What the spawner's answers are watched by.
pub const SPAWNER: u32 = role::key(role::OWN, 0);
/// What the standard error of the program in the first place is watched by; those of the others follow.
pub const ERRORS: u32 = role::key(role::OWN + 1, 0);

/// SIGTERM, which asks a program to end.
const TERM: u8 = 15;
/// SIGKILL, which ends it.
const KILL: u8 = 9;
/// Milliseconds after which is tried again what there was no room for.
const RETRY_MS: u32 = 20;
/// Bytes of standard error that are read at once.
const PIECE: usize = 1024;
/// How many times that at most: as much as a pipe holds.
const PIECES: usize = 64;

/// A program that was ordered, until its end was told and its request is over.
struct Child {
    /// What the spawner knows it by. No other has it before four billion others had one.
    id: u32,
    /// Which request it answers; None = that is over.
    request: Option<u16>,
    /// See [`Ordered::own`].
    own: bool,
    /// What it is asked to end with next, and when.
    next: Option<(u8, u32)>,
    /// Its answer has ended before it began.
    silent: bool,
    /// It was asked or made to end.
    signalled: bool,
    /// Its end was told: that it ended, or that it could not be started.
    ended: Option<Became>,
    voice: Voice,
    errors: Option<(OwnedFd, WatchId)>,
}

/// A program that is to be started.
pub struct Ordered<'a> {
    /// What the order calls it.
    pub id: u32,
    /// Which request it answers.
    pub request: u16,
    /// It is the file that was asked for itself.
    pub own: bool,
    /// The order.
    pub order: &'a [u8],
    /// It is to read something.
    pub input: bool,
}

/// Our ends of the pipes to a program that was ordered.
pub struct Pipes {
    /// Its standard input, if it is to read anything.
    pub input: Option<OwnedFd>,
    /// Its standard output.
    pub output: OwnedFd,
}

/// What is told of a program, and nothing more after [`Became::Failed`] and [`Became::Ended`].
pub struct Told {
    /// Its request; None = that is over.
    pub request: Option<u16>,
    /// See [`Ordered::own`].
    pub own: bool,
    /// Whether nothing was to be read of its answer.
    pub silent: bool,
    /// What became of it.
    pub became: Became,
}

/// The programs of one worker.
pub struct Children {
    spawner: Option<Spawner>,
    watched: Option<WatchId>,
    all: Table<Child>,
    errors: Errors,
    /// An order is to be tried again.
    again: bool,
}

impl Children {
    /// Bytes of so many.
    pub const fn bytes(places: usize) -> usize {
        places * (Table::<Child>::place_bytes() + PLACE)
    }

    /// Takes the memory for so many, and connects to the spawner if there are any.
    pub fn new(places: u16) -> io::Result<Children> {
        Ok(Children {
            spawner: if places > 0 { Spawner::connect()? } else { None },
            watched: None,
            all: Table::new(places),
            errors: Errors::new(places.into())?,
            again: false,
        })
    }

    /// Has a program started by an order, and says which place it has, where no more than `most` run over all workers. Fails with EAGAIN
    /// when there is going to be a turn in which it may be tried again. What else it fails with is told.
    pub fn start(&mut self, ordered: Ordered<'_>, most: u16, scene: &mut Scene<'_>) -> Result<(u16, Pipes), Errno> {
        if !self.all.has_room() || !one_more(most) {
            return Err(Errno::AGAIN);
        }
        let Ordered { id, request, own, order, input } = ordered;
        let child = Child {
            id,
            request: Some(request),
            own,
            next: None,
            silent: false,
            signalled: false,
            ended: None,
            voice: Voice::default(),
            errors: None,
        };
        let place = self.all.insert(child).map_err(|_| Errno::AGAIN)?;
        // What is run by an interpreter is the last argument.
        let name = match read_order(order) {
            Ok(Read::Start { arguments, .. }) => arguments.last().unwrap_or_default().to_bytes(),
            _ => b"",
        };
        let voice = self.errors.begin(place, name);
        if let Some(child) = self.all.get(place) {
            child.voice = voice;
        }
        let now = scene.clock.now();
        let started = self.order(place, order, input, scene);
        if let Err(errno) = started {
            if errno == Errno::AGAIN {
                self.again = true;
            } else {
                self.errors.say(place, voice, format_args!("can not be started: {errno}"), now);
            }
            self.ended(place, Became::Failed(errno), scene);
            self.forget(place, scene);
        }
        started.map(|pipes| (place, pipes))
    }

    fn order(&mut self, place: u16, order: &[u8], input: bool, scene: &mut Scene<'_>) -> Result<Pipes, Errno> {
        let spawner = self.spawner.as_ref().ok_or(Errno::PIPE)?;
        if self.watched.is_none() {
            self.watched = Some(scene.watches.add(spawner.as_fd(), Watch::Read, SPAWNER, 0)?);
        }
        let made = |error: io::Error| error.raw_os_error().map_or(Errno::IO, Errno);
        let (output, into_output) = pipe().map_err(made)?;
        let (errors, into_errors) = pipe().map_err(made)?;
        let (from_input, input) = match input {
            true => pipe().map(|(from, to)| (Some(from), Some(to))).map_err(made)?,
            false => (None, None),
        };
        let watched = scene.watches.add(errors.as_fd(), Watch::Read, ERRORS + u32::from(place), 0)?;
        let streams = Streams {
            input: from_input.as_ref().map(AsFd::as_fd),
            output: into_output.as_fd(),
            error: into_errors.as_fd(),
        };
        if let Err(errno) = spawner.start(order, streams) {
            scene.watches.remove(watched, errors.as_fd());
            return Err(errno);
        }
        if let Some(child) = self.all.get(place) {
            child.errors = Some((errors, watched));
        }
        Ok(Pipes { input, output })
    }

    /// A program's output has ended before there was any. True = it is going to be told why.
    pub fn fell_silent(&mut self, place: u16, now: u32) -> bool {
        let Some(child) = self.all.get(place) else { return false };
        if !std::mem::replace(&mut child.silent, true)
            && let Some(Became::Ended(end)) = child.ended
        {
            self.errors.say(place, child.voice, format_args!("ended without an answer: {end}"), now);
        }
        child.ended.is_none()
    }

    /// How a program has ended, if it has.
    pub fn end_of(&mut self, place: u16) -> Option<Became> {
        self.all.get(place)?.ended
    }

    /// Tells something of a program whose request is not over.
    pub fn say(&mut self, place: u16, what: &str, now: u32) {
        if let Some(child) = self.all.get(place) {
            self.errors.say(place, child.voice, format_args!("{what}"), now);
        }
    }

    /// The request of a program is over: nothing else is done with that place for it. If the program has not ended in so many milliseconds
    /// it is asked to, where there is a limit.
    pub fn leave(&mut self, place: u16, after: Option<u32>, scene: &mut Scene<'_>) {
        let Some(child) = self.all.get(place) else { return };
        if child.ended.is_some() {
            return self.forget(place, scene);
        }
        child.request = None;
        child.next = after.map(|after| (TERM, scene.clock.now().wrapping_add(after)));
    }

    /// Sends the signals whose time has come: those that ask to end, and `grace` milliseconds later those that do not. Says after how many
    /// milliseconds there are more.
    pub fn turn(&mut self, grace: u32, now: u32) -> Option<u32> {
        let mut wait = std::mem::take(&mut self.again).then_some(RETRY_MS);
        let Some(spawner) = &self.spawner else { return wait };
        for (_, child) in self.all.iter_mut() {
            let Some((signal, at)) = child.next else { continue };
            let mut left = at.wrapping_sub(now).cast_signed();
            if left <= 0 {
                child.signalled = true;
                let (next, after) = match spawner.signal(child.id, signal) {
                    Ok(()) if signal == TERM => (KILL, grace),
                    Ok(()) => {
                        child.next = None;
                        continue;
                    }
                    Err(_) => (signal, RETRY_MS),
                };
                child.next = Some((next, now.wrapping_add(after)));
                left = after.cast_signed();
            }
            let left = left.unsigned_abs();
            wait = Some(wait.map_or(left, |wait| wait.min(left)));
        }
        wait
    }

    /// Hears the next thing that is told of a program. None = nothing more now.
    pub fn hear(&mut self, scene: &mut Scene<'_>) -> Option<Told> {
        let (place, became) = match self.spawner.as_ref()?.answer() {
            Ok(None) => return None,
            Ok(Some(Answer { id, became })) => {
                let is = |child: &Child| child.id == id && child.ended.is_none();
                let place = self.all.iter_mut().find(|(_, child)| is(child)).map(|(place, _)| place);
                // Of one that is not known there is nothing to be told.
                let Some(place) = place else { return Some(Told { request: None, own: false, silent: false, became }) };
                (place, became)
            }
            Err(_) => {
                // With the spawner ends what it has started.
                let left = self.all.iter_mut().find(|(_, child)| child.ended.is_none());
                let Some(place) = left.map(|(place, _)| place) else {
                    self.part(scene);
                    return None;
                };
                (place, Became::Ended(End::Killed(KILL.into())))
            }
        };
        let child = self.all.get(place)?;
        let now = scene.clock.now();
        let Child { request, own, silent, signalled, voice, .. } = *child;
        match became {
            Became::Started(_) => {}
            Became::Failed(errno) => {
                self.errors.say(place, voice, format_args!("can not be started: {errno}"), now);
                self.ended(place, became, scene);
            }
            Became::Ended(end) => {
                self.read_errors(place, scene);
                if silent && request.is_some() {
                    self.errors.say(place, voice, format_args!("ended without an answer: {end}"), now);
                } else if !signalled && matches!(end, End::Killed(_)) {
                    self.errors.say(place, voice, format_args!("ended by {end}"), now);
                }
                self.ended(place, became, scene);
            }
        }
        Some(Told { request, own, silent, became })
    }

    fn part(&mut self, scene: &mut Scene<'_>) {
        if let (Some(spawner), Some(watched)) = (self.spawner.take(), self.watched.take()) {
            scene.watches.remove(watched, spawner.as_fd());
            error!("cgi: no program is started any more: restart the server");
        }
    }

    /// Reads what a program wrote to its standard error.
    pub fn read_errors(&mut self, place: u16, scene: &mut Scene<'_>) {
        let Some(child) = self.all.get(place) else { return };
        let Some((errors, _)) = &child.errors else { return };
        let now = scene.clock.now();
        let mut piece = [0; PIECE];
        for _ in 0..PIECES {
            match read(errors.as_fd(), &mut piece) {
                Ok(len @ 1..) => {
                    let said = piece.get(..len).unwrap_or_default();
                    self.errors.feed(place, &mut child.voice, said, now);
                    if len < PIECE {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => return close_errors(&mut self.errors, place, child, scene),
            }
        }
    }

    /// A program is gone.
    fn ended(&mut self, place: u16, became: Became, scene: &mut Scene<'_>) {
        let Some(child) = self.all.get(place) else { return };
        (child.ended, child.next) = (Some(became), None);
        let is_over = child.request.is_none();
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        if AWAITED.swap(false, Ordering::SeqCst) {
            for worker in 0..scene.host.workers() {
                scene.host.wake(worker);
            }
        }
        if is_over {
            self.forget(place, scene);
        }
    }

    /// A place is free again.
    fn forget(&mut self, place: u16, scene: &mut Scene<'_>) {
        if let Some(mut child) = self.all.remove(place) {
            close_errors(&mut self.errors, place, &mut child, scene);
        }
    }
}

/// Counts one more program, if there may be. If not, whoever ends one wakes all workers.
fn one_more(most: u16) -> bool {
    let take = || {
        let more = |running: u32| (running < most.into()).then_some(running + 1);
        RUNNING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    };
    take() || {
        AWAITED.store(true, Ordering::SeqCst);
        // The last of them may have ended before it could see that it is awaited.
        take()
    }
}

fn close_errors(errors: &mut Errors, place: u16, child: &mut Child, scene: &mut Scene<'_>) {
    if let Some((pipe, watched)) = child.errors.take() {
        scene.watches.remove(watched, pipe.as_fd());
        errors.end(place, &mut child.voice, scene.clock.now());
    }
}
