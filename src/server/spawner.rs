//! The spawner: a process that starts programs on behalf of the workers. It is a copy of the server, made before that has given
//! anything up and before there is a second thread, and only where a plugin wants to start programs.
//!
//! This is the server's end; [`process`] is the other.

mod children;
mod process;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::config::Config;
use crate::config::plugins::child_users;
use crate::limits::CHILDREN_MAX;
use crate::log::error;
use crate::plugin::spawner::set_door;
use crate::plugins;
use crate::server::boot::identity;
use crate::server::confine;
use crate::server::start::{StartError, system};
use crate::sys::Errno;
use crate::sys::child::{End, kill, report_ends, wait_for};
use crate::sys::credentials::Identity;
use crate::sys::epoll::Epoll;
use crate::sys::packet::{receive, send};
use crate::sys::process::set_thread_name;
use crate::sys::spawn::{OomScore, apart, settle};
use crate::sys::unix::wait_readable;

/// How long it may take to begin, and to end once the server has, milliseconds.
const PATIENCE_MS: u32 = 10_000;

/// The spawner of this server.
pub(super) struct Spawner {
    pid: u32,
    /// It ends when this is closed, and says so by closing its own end.
    control: Arc<OwnedFd>,
    /// Programs it has room for.
    children: usize,
}

/// How many programs there is room for under a configuration.
#[inline(always)]
fn children(config: &Config, workers: usize) -> usize {
    plugins::children(config, workers).min(CHILDREN_MAX)
}

impl Spawner {
    /// Starts it, if the configuration needs one. `own` is whom the server becomes; `background` = it holds on to nothing that the
    /// process was started with. Returns in the server alone.
    pub(super) fn start(
        config: &Config,
        own: Option<&Identity>,
        workers: usize,
        background: bool,
    ) -> Result<Option<Spawner>, StartError> {
        let mut users = Spawner::users(config, workers)?;
        if users.is_empty() {
            return Ok(None);
        }
        let children = children(config, workers);
        let failed = || system("cannot start the spawner");
        report_ends().map_err(failed())?;
        let several = users.len() > 1;
        if several {
            users = std::iter::once(own.cloned()).chain(users.into_iter().skip(1)).collect();
        }
        let body = |control: OwnedFd| {
            set_thread_name("monkey: spawner");
            let score = OomScore::open();
            let ready = settle(background)
                .and_then(|()| confine::apply_to_spawner(config, own.filter(|_| !several)))
                .and_then(|()| process::Process::new(control.as_fd(), children, users, score));
            let errno = ready.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(Errno::IO.0));
            let told = send(control.as_fd(), &errno.to_ne_bytes(), &[]);
            if let (Ok(mut process), Ok(())) = (ready, told) {
                let _ = process.run(control.as_fd());
            }
        };
        let (pid, control) = apart(body).map_err(failed())?;
        let spawner = Spawner { pid, control: Arc::new(control), children };
        let mut errno = [0; 4];
        wait_readable(None, spawner.fd(), Some(PATIENCE_MS));
        let why = match receive(spawner.fd(), &mut errno, &mut [None, None, None]) {
            Ok(4) if errno == [0; 4] => {
                set_door(Some(Arc::clone(&spawner.control)));
                return Ok(Some(spawner));
            }
            Ok(4) => Errno(i32::from_ne_bytes(errno)),
            Ok(_) => Errno::IO,
            Err(errno) => errno,
        };
        spawner.kill();
        Err(failed()(why.into()))
    }

    /// Whom it starts programs as, the server's own user (`None`) first. Nobody if there is nothing to start.
    pub(super) fn users(config: &Config, workers: usize) -> Result<Vec<Option<Identity>>, StartError> {
        let mut users = Vec::new();
        if children(config, workers) > 0 {
            users.push(None);
            for user in child_users(config) {
                users.push(identity(Some(user))?);
            }
        }
        Ok(users)
    }

    /// Readable when it has died.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Whether another configuration can do with it, where a server that has none gives `None`.
    pub(super) fn suffices(spawner: Option<&Spawner>, old: &Config, new: &Config, workers: usize) -> bool {
        children(new, workers) <= spawner.map_or(0, |spawner| spawner.children) && child_users(old) == child_users(new)
    }

    /// It has died: it is watched no longer.
    pub(super) fn died(self, epoll: &Epoll) {
        let _ = epoll.remove(self.fd());
        set_door(None);
        let how = self.kill().map_or_else(String::new, |end| format!(": {end}"));
        error!("the spawner {} died{how}; no programs are started until the server is started again", self.pid);
    }

    /// The server stops: has it end, and what it has started, and waits for that.
    pub(super) fn stop(self) {
        set_door(None);
        let Spawner { pid, control, .. } = self;
        drop(control);
        wait_for(pid, PATIENCE_MS);
    }

    /// Has it end at once, if it has not ended; how it did, if that can be known.
    fn kill(&self) -> Option<End> {
        kill(self.pid);
        wait_for(self.pid, PATIENCE_MS)
    }
}
