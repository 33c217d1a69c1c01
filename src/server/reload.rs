//! SIGHUP: another configuration without a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::{Level, error, info, warn};

use crate::config::{Config, Diagnostic, LogTarget, Options, Scheduler as Mode, Server, Severity};
use crate::log;
use crate::plugins::handlers_need;
use crate::server::budget::heap_bytes;
use crate::server::confine;
use crate::server::link::Word;
use crate::server::listeners::{addresses_of, adjust_all, reopen};
use crate::server::scheduler::Scheduler;
use crate::server::spawner::Spawner;
use crate::sys::clock::monotonic_us;
use crate::sys::heap;
use crate::vhost::live::Live;

/// Sends messages where the configuration says.
pub(super) fn open_log(server: &Server) -> Result<(), log::LogError> {
    let target = match server.log_target {
        LogTarget::Stderr => log::Target::Stderr,
        LogTarget::Syslog => log::Target::Syslog,
    };
    log::init(target, log::DEFAULT_LEVEL)
}

/// Reads the configuration again, and says what is wrong with it; `None` when anything is.
pub(super) fn read_anew(options: &Options) -> Option<Config> {
    match crate::config::load(options) {
        Ok((config, findings)) => {
            tell(&findings);
            Some(config)
        }
        Err(report) => {
            tell(&report.diagnostics);
            error!("reload refused: {}; the server goes on as it was", report.errors());
            None
        }
    }
}

fn tell(findings: &[Diagnostic]) {
    for finding in findings {
        let level = match finding.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warn,
            Severity::Note => Level::Info,
        };
        log::say(level, format_args!("{finding}"));
    }
}

/// Whether a key is about what the keeper holds for all of its servers: that takes a restart of the keeper.
pub(super) fn is_keepers(key: &str) -> bool {
    ["PidFile", "Watchdog", "WatchdogTimeout"].contains(&key)
}

/// Whether two configurations listen at the same places, in the same order.
pub(super) fn listens_as(one: &Server, other: &Server) -> bool {
    let (one, other) = (&one.listen, &other.listen);
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.is_same_place(b))
}

impl Scheduler {
    /// SIGHUP: reads everything first; what is wrong, or can not change while the server runs, changes nothing. A keeper is told
    /// what it came to, and has another server started where that can do what this one can not.
    pub(super) fn reload(&mut self) {
        if let Some(notifier) = &self.notifier {
            let _ = notifier.reloading(monotonic_us());
        }
        let word = self.try_reload();
        self.shared.faults.reload.store(word != Word::Reloaded, Ordering::Relaxed);
        if let Some(notifier) = &self.notifier {
            let _ = notifier.ready(word == Word::Refused);
        }
        if let Some(keeper) = &self.keeper {
            keeper.say(word);
        }
    }

    fn try_reload(&mut self) -> Word {
        if let Some(why) = confine::out_of_reach(&self.options) {
            if self.keeper.is_some() {
                info!("another server is to take over: {why}");
                return Word::HandOver;
            }
            error!("reload refused: needs restart: {why}");
            return Word::Refused;
        }
        let before = heap::held();
        let Some(config) = read_anew(&self.options) else { return Word::Refused };
        let grown = heap::held().saturating_sub(before);
        let old = self.shared.live();
        let mut keys: Vec<&'static str> = old.config().server.needs_restart(&config.server).collect();
        let kept = self.keeper.is_some() && !keys.iter().any(|key| is_keepers(key));
        let same = listens_as(&old.config().server, &config.server);
        // A keeper holds every socket.
        if !same && (self.keeper.is_some() || config.server.scheduler == Mode::ReusePort) {
            keys.push("Listen");
        }
        self.confinement.needs_restart(&config, &mut keys);
        self.plugins.needs_restart(&config, &mut keys);
        // They can not refuse it themselves, as a plugin with hooks can.
        if !self.handlers.covers(handlers_need(&config, self.host.workers())) {
            keys.push("memory of a handler");
        }
        if !Spawner::suffices(self.spawner.as_ref(), old.config(), &config, self.host.workers()) {
            keys.push("programs to be started");
        }
        if heap_bytes(grown) > self.heap {
            if !kept {
                error!("reload refused: needs restart: MemoryLimit: {} KB of configuration", grown / 1024);
                return Word::Refused;
            }
            keys.push("MemoryLimit");
        }
        if !keys.is_empty() {
            let keys = keys.join(", ");
            if kept {
                info!("another server is to take over: {keys}");
                return Word::HandOver;
            }
            error!("reload refused: needs restart: {keys}");
            return Word::Refused;
        }
        if config.server.scheduler == Mode::Fair && self.keeper.is_none() {
            if let Err(error) = reopen(&config.server, &mut self.listeners) {
                let restart = if error.needs_rights() { "needs restart: Listen: " } else { "" };
                error!("reload refused: {restart}{error}");
                return Word::Refused;
            }
            self.shared.set_listening(addresses_of(&self.listeners));
        } else {
            adjust_all(&config.server, &self.listeners);
        }
        if let Err(error) = open_log(&config.server) {
            warn!("{error}");
        }
        let live = Arc::new(Live::new(config));
        self.acceptor.configure(Arc::clone(&live));
        self.plugins.reconfigure(&live);
        self.shared.set_live(live);
        info!("configuration reloaded");
        Word::Reloaded
    }
}
