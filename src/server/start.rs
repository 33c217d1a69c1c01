//! Start-up, in the one order that is safe: read, divide memory, bind, drop rights, spawn, then serve.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use ::log::{info, warn};

use crate::config::{Config, LogTarget, Options, Scheduler as Mode};
use crate::limits::STACK_SIZE;
use crate::log;
use crate::plugin::transport::Transport;
use crate::plugins::DefaultTransport;
use crate::server::acceptor::Acceptor;
use crate::server::budget::{Budget, BudgetError};
use crate::server::confine::{self, ConfineError};
use crate::server::io::Io;
use crate::server::listeners::{ListenError, Listener, open, open_again};
use crate::server::reload::open_log;
use crate::server::scheduler::Scheduler;
use crate::server::shared::{Gate, SPECIAL, Shared};
use crate::server::worker::{EVENTS_A_TURN, Listeners, Worker};
use crate::sys::credentials::{Identity, lookup_user};
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::lockfile::{PidFile, PidFileError};
use crate::sys::notify::Notifier;
use crate::sys::process::{Daemon, cpu_count, is_root, raise_nofile, set_thread_name};
use crate::sys::signal::{Signal, SignalFd, block, ignore_pipe};
use crate::sys::slots::Slots;
use crate::sys::thread::{self, Thread};
use crate::sys::{fault, heap};
use crate::vhost::live::Live;

/// The signals the scheduler hears; blocked in every thread.
const SIGNALS: [Signal; 5] = [Signal::Term, Signal::Int, Signal::Quit, Signal::Hup, Signal::Usr1];

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The memory ceiling or the descriptor limit is too low.
    Budget(BudgetError),
    /// A place can not be listened on.
    Listen(ListenError),
    /// The PID file can not be had.
    PidFile(PidFileError),
    /// `User` names nobody.
    NoUser(String),
    /// What serving does not need could not be given up.
    Confine(ConfineError),
    /// The log target is not there.
    Log(log::LogError),
    /// The system refused something else.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Budget(error) => error.fmt(f),
            StartError::Listen(error) => error.fmt(f),
            StartError::PidFile(error) => error.fmt(f),
            StartError::NoUser(name) => {
                write!(f, "User {name}: no such user in /etc/passwd; create it, or name one that is there")
            }
            StartError::Confine(error) => error.fmt(f),
            StartError::Log(error) => error.fmt(f),
            StartError::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System(what, error)
}

/// Whether the server of a configuration could divide its memory and become its `User`: what is left of a check once every
/// file was read. Raises the limit of open files as a start does.
pub fn check(config: &Config) -> Result<(), StartError> {
    divide(config).and_then(|_| identity(config.server.user.as_deref())).map(|_| ())
}

/// Divides the memory ceiling of a configuration.
fn divide(config: &Config) -> Result<Budget, StartError> {
    let (server, cpus) = (&config.server, cpu_count());
    let cap = server.fd_limit.map(u64::from);
    let descriptors =
        raise_nofile(Budget::descriptors_wanted(server, cpus), cap).map_err(system("cannot raise the file limit"))?;
    Budget::new(server, cpus, descriptors, heap::held()).map_err(StartError::Budget)
}

/// Whom to become: nobody else unless started as root.
fn identity(user: Option<&str>) -> Result<Option<Identity>, StartError> {
    let Some(name) = user.filter(|_| is_root()) else { return Ok(None) };
    let found = lookup_user(name).map_err(system("cannot read /etc/passwd"))?;
    found.map(Some).ok_or_else(|| StartError::NoUser(name.to_string()))
}

/// Runs the server of a configuration until a signal ends it. `options` are what a reload reads it by again.
pub fn run(config: Config, options: Options) -> Result<(), StartError> {
    let mut options = options.anchored(&config);
    let daemon = match config.server.daemon {
        true => Some(Daemon::start().map_err(system("cannot go into the background"))?),
        false => None,
    };
    let live = Arc::new(Live::new(config));
    open_log(&live).map_err(StartError::Log)?;
    #[cfg(feature = "test-switches")]
    obey_test_switches();
    let server = &live.config().server;
    fault::install().map_err(system("cannot install the fault report"))?;
    ignore_pipe().map_err(system("cannot ignore SIGPIPE"))?;
    block(&SIGNALS).map_err(system("cannot block signals"))?;
    let signals = SignalFd::open(&SIGNALS).map_err(system("cannot watch signals"))?;

    let budget = divide(live.config())?;
    let identity = identity(server.user.as_deref())?;
    let listeners = open(server).map_err(StartError::Listen)?;
    let pid_file = match &server.pid_file {
        Some(path) => Some(PidFile::create(path).map_err(StartError::PidFile)?),
        None => None,
    };
    if server.daemon && server.log_target == LogTarget::Stderr {
        warn!(
            "in the background messages to stderr are lost once the server is up: write LogTarget syslog in [SERVER]"
        );
    }
    let others = match server.scheduler {
        Mode::Fair => Vec::new(),
        Mode::ReusePort => (1..budget.workers)
            .map(|_| open_again(server, &listeners))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StartError::Listen)?,
    };
    let notifier = Notifier::from_env().unwrap_or_else(|error| {
        warn!("NOTIFY_SOCKET: {error}; the service manager is not told");
        None
    });
    let confinement = confine::apply(live.config(), identity, pid_file.as_ref()).map_err(StartError::Confine)?;
    options.confined = server.chroot.clone();
    warn_about_roots(&live);

    let slots = Slots::new(budget.slots).map_err(system("cannot map the connection table"))?;
    let gates = (0..budget.workers).map(|_| Gate::new()).collect::<io::Result<Vec<_>>>();
    let gates = gates.map_err(system("cannot make event queues"))?;
    let shared = Arc::new(Shared::new(slots, gates, budget.connections as u32, Arc::clone(&live)));
    let (listeners, mut sets) = match server.scheduler {
        Mode::Fair => (listeners, Vec::new()),
        Mode::ReusePort => {
            let first = listeners.into_iter().map(|listener: Listener| listener.socket).collect();
            (Vec::new(), std::iter::once(first).chain(others).collect())
        }
    };
    sets.reverse();
    let mut workers = Vec::with_capacity(budget.workers);
    for owner in 0..budget.workers as u8 {
        let own = sets.pop().map(|sockets| Listeners {
            sockets,
            acceptor: Acceptor::new(Arc::clone(&shared), Some(owner), server),
            watched: false,
        });
        workers.push(spawn(owner, &shared, &live, &budget, own)?);
    }
    let mut scheduler = Scheduler {
        acceptor: Acceptor::new(Arc::clone(&shared), None, server),
        epoll: Epoll::new().map_err(system("cannot make an event queue"))?,
        shared,
        options,
        confinement,
        heap: budget.heap,
        listeners,
        signals,
        notifier,
    };
    set_thread_name("monkey: server");
    info!("{budget}");
    info!(
        "process {}: {} workers, up to {} connections; plugins: {}",
        std::process::id(),
        budget.workers,
        budget.connections,
        DefaultTransport::NAME
    );
    if let Some(notifier) = &scheduler.notifier {
        let _ = notifier.ready();
    }
    if let Some(daemon) = daemon {
        daemon.ready().map_err(system("cannot go into the background"))?;
    }
    drop(live);
    scheduler.run().map_err(system("the event loop failed"))?;
    for worker in workers {
        worker.join();
    }
    if let Some(pid_file) = pid_file {
        let _ = pid_file.remove();
    }
    info!("stopped");
    Ok(())
}

/// Test builds: does without what the kernel of an emulator or of an old device lacks.
#[cfg(feature = "test-switches")]
fn obey_test_switches() {
    if std::env::var_os("MONKEY_TEST_WALK").is_some_and(|value| value == "1") {
        crate::sys::file::force_walk();
        info!("MONKEY_TEST_WALK: paths are opened one component at a time");
    }
    if let Some(name) = std::env::var_os("MONKEY_TEST_TRANSPORT") {
        let known = crate::plugins::trial::transport::choose(name.as_encoded_bytes());
        info!("MONKEY_TEST_TRANSPORT: {} {}", name.display(), if known { "moves the bytes" } else { "is not known" });
    }
}

fn warn_about_roots(live: &Live) {
    // Paths are as this process opens them; the operator knows them as seen from outside.
    let chroot = live.config().server.chroot.as_ref().map_or(Path::new(""), |chroot| chroot.dir()).display();
    for site in &live.config().sites {
        for dir in std::iter::once(&site.document_root).chain(site.aliases.iter().map(|alias| &alias.dir)) {
            if site.redirect.is_none() && !Path::new(dir).is_dir() {
                warn!("{}: {chroot}{} is no directory now; answering 503 until it is", site.at, dir.display());
            }
        }
    }
}

/// Takes a worker's memory and starts its thread.
fn spawn(
    owner: u8,
    shared: &Arc<Shared>,
    live: &Arc<Live>,
    budget: &Budget,
    listeners: Option<Listeners>,
) -> Result<Thread, StartError> {
    let failed = || system("cannot take a worker's memory");
    let io = Io::new(DefaultTransport::default(), live, budget).map_err(failed())?;
    let taken = io::Error::from(io::ErrorKind::AlreadyExists);
    let view = shared.slots.view(owner).ok_or(taken).map_err(failed())?;
    if let (Some(listeners), Some(gate)) = (&listeners, shared.gates.get(usize::from(owner))) {
        for (number, socket) in listeners.sockets.iter().enumerate() {
            gate.epoll
                .add(socket.as_fd(), Interest::Read, SPECIAL + number as u64)
                .map_err(|errno| failed()(errno.into()))?;
        }
    }
    let listeners = listeners.map(|listeners| Listeners { watched: true, ..listeners });
    let mut worker = Worker::new(Arc::clone(shared), view, io, listeners);
    let mut events = Events::with_capacity(EVENTS_A_TURN);
    let run = move || {
        set_thread_name(WORKER_NAMES.get(usize::from(owner)).unwrap_or(&"monkey: wrk"));
        // Without a stack of its own a report of a stack overflow is lost, and nothing else.
        let _stack = fault::thread_stack();
        worker.run(&mut events);
    };
    thread::spawn(STACK_SIZE, Box::new(run)).map_err(system("cannot start a worker"))
}

/// Names of the first workers' threads, as ps and top show them.
const WORKER_NAMES: [&str; 8] = [
    "monkey: wrk/0",
    "monkey: wrk/1",
    "monkey: wrk/2",
    "monkey: wrk/3",
    "monkey: wrk/4",
    "monkey: wrk/5",
    "monkey: wrk/6",
    "monkey: wrk/7",
];
