//! The worker's side: lines are gathered in memory and given to their log's pipe many at a time. Nothing here touches a disk, waits or
//! allocates.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::limits::{LOG_BATCH_MS, LOG_BUFFER};
use crate::plugin::hooks::{self, Answer};
use crate::plugin::scene::Scene;
use crate::plugin::stats::raise;
use crate::plugins::logger::escape::Line;
use crate::plugins::logger::format::{Entry, Opening};
use crate::plugins::logger::{Common, Inlet, Logs};
use crate::sys::memory::Region;
use crate::sys::pipe;
use crate::sys::socket::Peer;
use crate::vhost::live::Live;
use crate::vhost::request::Request;

/// What is gathered for one log.
#[derive(Clone, Copy, Default)]
struct Batch {
    len: usize,
    lines: u32,
    /// Milliseconds when its first line came.
    since: u32,
}

/// The logger as it lives in a worker.
pub struct Worker {
    common: Arc<Common>,
    number: usize,
    logs: Arc<Logs>,
    /// [`LOG_BUFFER`] bytes for each log.
    room: Region,
    batches: Vec<Batch>,
    opening: Opening,
}

impl Worker {
    pub(super) fn new(common: Arc<Common>, number: usize) -> io::Result<Worker> {
        let logs = common.logs();
        let count = logs.inlets.len();
        Ok(Worker {
            common,
            number,
            room: Region::new(count * LOG_BUFFER)?,
            batches: vec![Batch::default(); count],
            logs,
            opening: Opening::new(),
        })
    }

    /// Gives what is gathered of a log to its pipe. A pipe that is full loses it.
    fn flush(&mut self, log: usize) {
        let (Some(batch), Some(inlet)) = (self.batches.get_mut(log), self.logs.inlets.get(log)) else { return };
        let Batch { len, lines, .. } = std::mem::take(batch);
        let bytes = self.room.get(log * LOG_BUFFER..log * LOG_BUFFER + len).unwrap_or_default();
        if !bytes.is_empty() && pipe::write(inlet.pipe.as_fd(), bytes).is_err() {
            self.lose(log, lines);
        }
    }

    fn lose(&self, log: usize, lines: u32) {
        if let Some(Inlet { lost, .. }) = self.logs.inlets.get(log).map(|inlet| &**inlet) {
            lost.fetch_add(lines, Ordering::Relaxed);
        }
        if let Some(worker) = self.common.host.get().and_then(|host| host.worker(self.number)) {
            raise(&worker.stats.lost, lines);
        }
    }

    fn flush_all(&mut self) {
        for log in 0..self.batches.len() {
            self.flush(log);
        }
    }
}

impl hooks::Worker for Worker {
    fn served(&mut self, scene: &Scene<'_>, request: Option<&Request<'_>>, peer: &Peer, answer: Answer) {
        let site = request.map_or(0, |request| usize::from(request.site));
        let Some(site) = self.logs.sites.get(site) else { return };
        let Some(log) = (if answer.status < 400 { site.access } else { site.error }) else { return };
        let format = site.format;
        // A board whose clock was never set logs its first minutes in 1970.
        self.opening.set(scene.clock.wall().unwrap_or(0), peer, format, answer);
        for _ in 0..2 {
            let Some(batch) = self.batches.get_mut(log) else { return };
            let (begin, end) = (log * LOG_BUFFER + batch.len, (log + 1) * LOG_BUFFER);
            let mut line = Line::new(self.room.get_mut(begin..end).unwrap_or_default());
            Entry { opening: &self.opening, request, answer }.write(format, &mut line);
            if let Some(len) = line.finish() {
                if batch.len == 0 {
                    batch.since = scene.clock.now();
                }
                batch.len += len;
                batch.lines += 1;
                return;
            }
            self.flush(log);
        }
        // Not reached: the parts are cut so that a line fits.
        self.lose(log, 1);
    }

    fn reconfigure(&mut self, _: &Live) {
        self.flush_all();
        self.logs = self.common.logs();
        let count = self.logs.inlets.len();
        // Without memory for them the new logs have no room: their lines are lost, and counted.
        if self.room.len() < count * LOG_BUFFER
            && let Ok(room) = Region::new(count * LOG_BUFFER)
        {
            self.room = room;
        }
        self.batches.clear();
        self.batches.resize(count, Batch::default());
    }

    fn turn(&mut self, now: u32) -> Option<u32> {
        let mut wait: Option<u32> = None;
        for log in 0..self.batches.len() {
            let Some(batch) = self.batches.get(log).filter(|batch| batch.len > 0) else { continue };
            let age = now.wrapping_sub(batch.since);
            if age >= LOG_BATCH_MS {
                self.flush(log);
            } else {
                let left = LOG_BATCH_MS - age;
                wait = Some(wait.map_or(left, |wait| wait.min(left)));
            }
        }
        wait
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.flush_all();
    }
}
