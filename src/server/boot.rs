//! What comes before anything of a server exists: going into the background, the log, signals, and everything that takes the
//! rights of whoever started the process. A keeper goes on holding it; without one it all passes to the server.

use crate::log::warn;

use crate::config::{Config, LogTarget, Options};
use crate::server::budget::Budget;
use crate::server::guards::Guards;
use crate::server::listeners::{Listener, passed, renew, tell_passed};
use crate::server::reload::open_log;
use crate::server::start::{SIGNALS, StartError, system};
use crate::sys::credentials::{Identity, lookup_user};
use crate::sys::lockfile::PidFile;
use crate::sys::process::{Daemon, cpu_count, is_root, raise_nofile};
use crate::sys::signal::{block, ignore_pipe};
use crate::sys::{fault, heap};

/// A configuration that a server can be started with, and its sockets.
pub(super) struct Plan {
    pub(super) config: Config,
    /// Whom to become.
    pub(super) identity: Option<Identity>,
    pub(super) listeners: Vec<Listener>,
    /// Those of the configuration before that it does not have.
    pub(super) closed: Vec<Listener>,
}

impl Plan {
    /// Checks that a server could run by a configuration, which takes `held` bytes of heap, and has its listeners: those of
    /// `old` that it has too, the others are opened.
    pub(super) fn new(config: Config, held: usize, old: &[Listener]) -> Result<Box<Plan>, StartError> {
        let budget = divide(&config, held)?;
        let identity = identity(config.server.user.as_deref())?;
        let (listeners, closed) = renew(&config.server, budget.workers, old).map_err(StartError::Listen)?;
        Ok(Box::new(Plan { config, identity, listeners, closed }))
    }
}

/// Everything a server is started with.
pub(super) struct Boot {
    pub(super) plan: Box<Plan>,
    /// What a reload reads the configuration by.
    pub(super) options: Options,
    /// Whoever waits for the server to be up.
    pub(super) daemon: Option<Daemon>,
    pub(super) pid_file: Option<PidFile>,
    /// Who waits for signs of life.
    pub(super) guards: Guards,
}

impl Boot {
    /// Takes the steps in the order they need. The sockets of a service manager are looked for first: they are meant for the
    /// process that was started.
    pub(super) fn new(mut config: Config, mut options: Options) -> Result<Boot, StartError> {
        options.anchor(&config);
        let passed = passed().map_err(StartError::Passed)?;
        if !passed.is_empty() {
            config.server.listen = passed.iter().map(|listener| listener.listen.clone()).collect();
            options.passed = Some(config.server.listen.clone());
        }
        let daemon = match config.server.daemon {
            true => Some(Daemon::start().map_err(system("cannot go into the background"))?),
            false => None,
        };
        open_log(&config.server).map_err(StartError::Log)?;
        #[cfg(feature = "test-switches")]
        obey_test_switches();
        fault::install().map_err(system("cannot install the fault report"))?;
        ignore_pipe().map_err(system("cannot ignore SIGPIPE"))?;
        block(&SIGNALS).map_err(system("cannot block signals"))?;
        tell_passed(&config.server, &passed);
        let plan = Plan::new(config, heap::held(), &passed)?;
        let server = &plan.config.server;
        let pid_file = match &server.pid_file {
            Some(path) => Some(PidFile::create(path).map_err(StartError::PidFile)?),
            None => None,
        };
        if server.daemon && server.log_target == LogTarget::Stderr {
            warn!(
                "in the background messages to stderr are lost once the server is up: write LogTarget syslog in [SERVER]"
            );
        }
        let guards = Guards::new(server);
        Ok(Boot { plan, options, daemon, pid_file, guards })
    }
}

/// Divides the memory ceiling of a configuration that takes `held` bytes of heap. Raises the limit of open files.
pub(super) fn divide(config: &Config, held: usize) -> Result<Budget, StartError> {
    let (server, cpus) = (&config.server, cpu_count());
    let cap = server.fd_limit.map(u64::from);
    let descriptors =
        raise_nofile(Budget::descriptors_wanted(config, cpus), cap).map_err(system("cannot raise the file limit"))?;
    Budget::new(config, cpus, descriptors, held).map_err(StartError::Budget)
}

/// Whom to become: nobody else unless started as root.
pub(super) fn identity(user: Option<&str>) -> Result<Option<Identity>, StartError> {
    let Some(name) = user.filter(|_| is_root()) else { return Ok(None) };
    let found = lookup_user(name).map_err(system("cannot read /etc/passwd"))?;
    found.map(Some).ok_or_else(|| StartError::NoUser(name.to_string()))
}

/// Test builds: does without what the kernel of an emulator or of an old device lacks.
#[cfg(feature = "test-switches")]
fn obey_test_switches() {
    if std::env::var_os("MONKEY_TEST_WALK").is_some_and(|value| value == "1") {
        crate::sys::file::force_walk();
        crate::log::info!("MONKEY_TEST_WALK: paths are opened one component at a time");
    }
    if std::env::var_os("MONKEY_TEST_WATCHDOG").is_some() {
        crate::sys::watchdog::accept_any();
        crate::log::info!("MONKEY_TEST_WATCHDOG: any file is a watchdog");
    }
    if let Some(name) = std::env::var_os("MONKEY_TEST_TRANSPORT") {
        let known = crate::plugins::trial::transport::choose(name.as_encoded_bytes());
        let what = if known { "moves the bytes" } else { "is not known" };
        crate::log::info!("MONKEY_TEST_TRANSPORT: {} {what}", name.display());
    }
}
