//! The context hooks, the stages, and the events of what a plugin watches.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::config::Config;
use crate::plugin::events::{Happened, Watches};
use crate::plugin::host::Host;
use crate::plugin::scene::{RefusalFields, Scene};
use crate::sys::socket::Peer;
use crate::vhost::live::Live;
use crate::vhost::request::Request;

/// What a stage says to what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not its business, or nothing against it: the next plugin is asked.
    Continue,
    /// Answered by the server with this status, its page, and the fields that were written. Nobody else is asked.
    Refuse(u16),
    /// The same, but the answer is held back for [`limits::LATE_MS`](crate::limits::LATE_MS), without keeping others waiting.
    RefuseLate(u16),
    /// Not known yet: the request is put back, and the stage asked again once [`Host::wake`] was called for this worker.
    Later,
    /// The connection is closed without a word.
    Close,
}

/// What a plugin takes besides its code, for the division of `MemoryLimit` and of descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// Writable bytes of the process, stacks of threads included.
    pub process: usize,
    /// Writable bytes of each worker.
    pub worker: usize,
    /// Descriptors of the process.
    pub process_files: usize,
    /// Descriptors of each worker.
    pub worker_files: usize,
    /// Bytes by which each worker's pool of buffers is larger.
    pub worker_buffers: usize,
    /// Bytes of each worker's scratch area ([`Scene::scratch`]).
    pub worker_scratch: usize,
}

impl Needs {
    /// Whether this is enough where `other` is needed.
    pub fn covers(self, other: Needs) -> bool {
        self.process >= other.process
            && self.worker >= other.worker
            && self.process_files >= other.process_files
            && self.worker_files >= other.worker_files
            && self.worker_buffers >= other.worker_buffers
            && self.worker_scratch >= other.worker_scratch
    }

    /// Both together.
    pub fn and(self, other: Needs) -> Needs {
        Needs {
            process: self.process.saturating_add(other.process),
            worker: self.worker.saturating_add(other.worker),
            process_files: self.process_files.saturating_add(other.process_files),
            worker_files: self.worker_files.saturating_add(other.worker_files),
            // Who is busy takes what others do not, and what is full is answered so.
            worker_buffers: self.worker_buffers.max(other.worker_buffers),
            worker_scratch: self.worker_scratch.max(other.worker_scratch),
        }
    }
}

/// A plugin as it lives in the process: made once, used by the main thread.
pub trait Plugin: Sized + 'static {
    /// The short name, as in the configuration.
    const NAME: &'static str;

    /// What each worker has of it.
    type Worker: Worker;

    /// The stages it takes part in, as 10, 20, 40 and 50: what the admin shell tells of it.
    const STAGES: &'static [u8] = &[];

    /// What it will take under a configuration with so many workers.
    fn needs(config: &Config, workers: usize) -> Needs {
        let _ = (config, workers);
        Needs::default()
    }

    /// How many programs it may have running at once under a configuration, over all workers. Above 0 there is a
    /// [spawner](super::spawner), a process of its own; a reload that comes to need more than there may be has another server take over,
    /// or is refused.
    fn children(config: &Config, workers: usize) -> usize {
        let _ = (config, workers);
        0
    }

    /// Process context: called before rights are given up and before there is a second thread. `Err` is told to the operator with the
    /// plugin's name, and the server does not start: meant for what the configuration asks for and cannot be had. A side resource
    /// that is missing is a warning.
    fn start(config: &Config, workers: usize) -> io::Result<Self>;

    /// The directory in which it removes a file when the server stops, for a sandbox to allow that.
    fn removes_in(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Process context, once rights are given up: starts what it needs threads for.
    fn run(&mut self, host: &Arc<dyn Host>, watches: &mut Watches) -> io::Result<()> {
        let _ = (host, watches);
        Ok(())
    }

    /// Worker context: what worker `number`, from 0 on, has of it. Called in the main thread, before that worker starts and before
    /// [`Plugin::run`].
    fn worker(&self, number: usize) -> io::Result<Self::Worker>;

    /// What keeps another configuration from being in force before a restart: a key, or a few words. With a keeper another server takes
    /// over, without one the reload is refused.
    fn needs_restart(&self, config: &Config) -> Option<&'static str> {
        let _ = config;
        None
    }

    /// Another configuration is about to be in force. Allocates. What it refuses is told, and the configuration comes into force all the
    /// same.
    fn reconfigure(&mut self, live: &Live) -> io::Result<()> {
        let _ = live;
        Ok(())
    }

    /// SIGUSR1: files that are written to are opened anew.
    fn reopen(&mut self) {}

    /// What the main thread watches for it has an event.
    fn event(&mut self, key: u32, happened: Happened, host: &Arc<dyn Host>, watches: &mut Watches) {
        let _ = (key, happened, host, watches);
    }

    /// The end of a turn of the main thread's loop: once for all that happened in it. Nothing here may block. True: the code that ran is
    /// not needed for a while, and its pages are let go of before the loop waits.
    fn turn(&mut self, host: &Arc<dyn Host>) -> bool {
        let _ = host;
        false
    }

    /// SIGUSR2: says in the log what it is doing.
    fn tell(&self) {}

    /// The end of the server begins: no new connections, and the main thread's loop is over. `handed_over` = another server has taken
    /// over what this one has.
    fn stopping(&mut self, handed_over: bool) {
        let _ = handed_over;
    }

    /// The server stops: every worker is done.
    fn stop(&mut self) {}

    /// Whether [`Plugin::aftermath`] has anything to do under a configuration.
    fn has_aftermath(config: &Config) -> bool {
        let _ = config;
        false
    }

    /// No server is there any more, of those that a keeper had: called with the keeper's rights, in a process that ends right after.
    /// `died` = it did not end in order.
    fn aftermath(config: &Config, died: bool) {
        let _ = (config, died);
    }

    /// Stage 10: somebody has connected and nothing is read yet. Called by whoever accepts, and knows no site.
    fn accept(live: &Live, peer: &Peer) -> Verdict {
        let _ = (live, peer);
        Verdict::Continue
    }
}

/// What was answered, for stage 40.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Bytes of its body as they were announced or, where nothing was announced, written; None = there is no body.
    pub length: Option<u64>,
}

/// A plugin as it lives in a worker: made once, used by that worker's thread alone. Nothing of it may allocate once requests come,
/// and nothing may block.
pub trait Worker: Sized + Send + 'static {
    /// Worker context, in the worker's thread before its first turn: the place to have descriptors watched there.
    fn run(&mut self, watches: &mut Watches) {
        let _ = watches;
    }

    /// Stage 20: a request is understood and its site known, and nothing was looked up for it.
    fn request(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        peer: &Peer,
        fields: &mut RefusalFields,
    ) -> Verdict {
        let _ = (scene, request, peer, fields);
        Verdict::Continue
    }

    /// Stage 40: a request was answered. None = what came was no request.
    fn served(&mut self, scene: &Scene<'_>, request: Option<&Request<'_>>, peer: &Peer, answer: Answer) {
        let _ = (scene, request, peer, answer);
    }

    /// Stage 50: a connection is closed.
    fn closed(&mut self, peer: &Peer) {
        let _ = peer;
    }

    /// Another configuration is in force. May allocate.
    fn reconfigure(&mut self, live: &Live) {
        let _ = live;
    }

    /// The end of a turn of the event loop: once for all that happened in it. Returns after how many milliseconds at most it wants
    /// to be called again; None = not before something happens.
    fn turn(&mut self, now: u32) -> Option<u32> {
        let _ = now;
        None
    }

    /// What this worker watches for it has an event.
    fn event(&mut self, key: u32, happened: Happened, watches: &mut Watches) {
        let _ = (key, happened, watches);
    }
}
