//! SIGHUP with a keeper: the server changes what it can in place; for the rest another one takes over the sockets.

use crate::log::{error, info};

use super::{Keeper, Next};
use crate::server::boot::Plan;
use crate::server::link::HANDED_OVER;
use crate::server::listeners::{adjust_all, tell_closed};
use crate::server::reload::{is_keepers, open_log, read_anew};
use crate::sys::child::kill;
use crate::sys::clock::monotonic_us;
use crate::sys::heap;
use crate::sys::signal::{Signal, send};

impl Keeper<'_> {
    /// SIGHUP. The server reads its configuration first, and says what that comes to.
    pub(super) fn reload(&mut self) {
        if let Some(notifier) = &self.notifier {
            let _ = notifier.reloading(monotonic_us());
        }
        self.reloading = true;
        match (&self.server, &self.next) {
            (Some(server), None) => {
                let _ = send(server.pid, Signal::Hup);
            }
            // No server to ask, or one that is not to go on: the files as they are now are what counts.
            _ => self.plan_another(),
        }
    }

    pub(super) fn reload_is_over(&mut self, refused: bool) {
        if std::mem::take(&mut self.reloading)
            && let Some(notifier) = &self.notifier
        {
            let _ = notifier.ready_as_main(refused);
        }
    }

    /// Reads the configuration and has another server started by it.
    pub(super) fn plan_another(&mut self) {
        if self.stop_at.is_some() {
            return;
        }
        if let Some(next) = self.next.take() {
            kill(next.child.pid);
        }
        self.wanted = self.read_plan();
        match self.wanted {
            Some(_) => self.start_at = None,
            None => {
                self.reload_is_over(true);
                if self.server.is_none() && self.start_at.is_none() {
                    self.start_later();
                }
            }
        }
    }

    fn read_plan(&self) -> Option<Box<Plan>> {
        let before = heap::held();
        let config = read_anew(&self.boot.options)?;
        if let Some(key) = self.boot.plan.config.server.needs_restart(&config.server).find(|key| is_keepers(key)) {
            error!("reload refused: needs restart: {key}");
            return None;
        }
        let held = heap::held().saturating_sub(before);
        let plan = Plan::new(config, held, &self.boot.plan.listeners);
        plan.inspect_err(|error| error!("reload refused: {error}; the server goes on as it was")).ok()
    }

    /// The other server serves: the first lets go.
    pub(super) fn hand_over(&mut self) {
        let Some(Next { child, plan }) = self.next.take() else { return };
        let pid = child.pid;
        self.boot.plan = plan;
        let _ = open_log(&self.boot.plan.config.server);
        tell_closed(&self.boot.plan.closed);
        self.boot.plan.closed.clear();
        adjust_all(&self.boot.plan.config.server, &self.boot.plan.listeners);
        self.start_at = None;
        match self.server.replace(child) {
            Some(old) => {
                let _ = send(old.pid, HANDED_OVER);
                info!("configuration reloaded: server {pid} takes over, server {} finishes what it has", old.pid);
            }
            None => info!("configuration reloaded: server {pid} is up"),
        }
        self.reload_is_over(false);
    }
}
