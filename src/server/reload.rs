//! SIGHUP: another configuration without a restart.

use std::sync::Arc;

use ::log::{error, info, warn};

use crate::config::{LogTarget, Scheduler as Mode};
use crate::log;
use crate::server::budget::heap_bytes;
use crate::server::confine;
use crate::server::listeners::reopen;
use crate::server::scheduler::Scheduler;
use crate::sys::clock::monotonic_us;
use crate::sys::heap;
use crate::vhost::live::Live;

/// Sends messages where the configuration says.
pub(super) fn open_log(live: &Live) -> Result<(), log::LogError> {
    let target = match live.config().server.log_target {
        LogTarget::Stderr => log::Target::Stderr,
        LogTarget::Syslog => log::Target::Syslog,
    };
    log::init(target, log::DEFAULT_LEVEL)
}

impl Scheduler {
    /// SIGHUP: reads everything first; what is wrong, or can not change while the server runs, changes nothing.
    pub(super) fn reload(&mut self) {
        if let Some(notifier) = &self.notifier {
            let _ = notifier.reloading(monotonic_us());
        }
        self.try_reload();
        if let Some(notifier) = &self.notifier {
            let _ = notifier.ready();
        }
    }

    fn try_reload(&mut self) {
        if let Some(why) = confine::out_of_reach(&self.options) {
            return error!("reload refused: needs restart: {why}");
        }
        let before = heap::held();
        let (config, warnings) = match crate::config::load(&self.options) {
            Ok(loaded) => loaded,
            Err(report) => {
                for diagnostic in &report.diagnostics {
                    error!("{diagnostic}");
                }
                return error!("reload refused: {}; the server goes on as it was", report.errors());
            }
        };
        for warning in &warnings {
            warn!("{warning}");
        }
        let grown = heap::held().saturating_sub(before);
        if heap_bytes(grown) > self.heap {
            return error!("reload refused: needs restart: MemoryLimit: {} KB of configuration", grown / 1024);
        }
        let old = self.shared.live();
        let mut refused: Vec<&'static str> = old.config().server.needs_restart(&config.server).collect();
        let (listen, now) = (&config.server.listen, &old.config().server.listen);
        let same = listen.len() == now.len() && listen.iter().zip(now).all(|(a, b)| a.is_same_place(b));
        if config.server.scheduler == Mode::ReusePort && !same {
            refused.push("Listen");
        }
        self.confinement.needs_restart(&config, &mut refused);
        if !refused.is_empty() {
            return error!("reload refused: needs restart: {}", refused.join(", "));
        }
        if config.server.scheduler == Mode::Fair
            && let Err(error) = reopen(&config.server, &mut self.listeners)
        {
            let restart = if error.needs_rights() { "needs restart: Listen: " } else { "" };
            return error!("reload refused: {restart}{error}");
        }
        self.acceptor.configure(&config.server);
        let live = Arc::new(Live::new(config));
        if let Err(error) = open_log(&live) {
            warn!("{error}");
        }
        self.shared.set_live(live);
        info!("configuration reloaded");
    }
}
