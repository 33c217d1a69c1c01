//! Start-up, in the one order that is safe: what `boot` does with the rights of whoever started it, then divide memory, drop rights,
//! spawn, serve. With a keeper the second part is done by each of its servers.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::{info, warn};

use crate::config::plugins::BuiltIn;
use crate::config::{Config, Options, Scheduler as Mode};
use crate::limits::{MAIN_WATCHES_MAX, STACK_SIZE};
use crate::log;
use crate::plugin::events::Watches;
use crate::plugin::host::Host;
use crate::plugin::stats::WorkerStats;
use crate::plugins::{DefaultTransport, PluginError, Plugins, handlers_need};
use crate::server::acceptor::Acceptor;
use crate::server::addresses::Addresses;
use crate::server::boot::{Boot, divide, identity};
use crate::server::budget::BudgetError;
use crate::server::confine::{self, ConfineError};
use crate::server::guards::Signs;
use crate::server::io::Io;
use crate::server::keeper::keep;
use crate::server::link::{Link, Word};
use crate::server::listeners::{ListenError, addresses_of, share_out};
use crate::server::scheduler::Scheduler;
use crate::server::shared::{Gate, SPECIAL, Shared, WATCH};
use crate::server::spawner::Spawner;
use crate::server::worker::{EVENTS_A_TURN, Listeners, Worker};
use crate::sys::activation::ActivationError;
use crate::sys::child::End;
use crate::sys::clock::monotonic_ms;
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::lockfile::{PidFile, PidFileError};
use crate::sys::notify::Notifier;
use crate::sys::process::{Statm, set_thread_name};
use crate::sys::signal::{Signal, SignalFd};
use crate::sys::slots::Slots;
use crate::sys::thread::{self, Thread};
use crate::sys::{fault, heap};
use crate::vhost::live::Live;

/// The signals the scheduler hears; blocked in every thread.
pub(super) const SIGNALS: [Signal; 6] =
    [Signal::Term, Signal::Int, Signal::Quit, Signal::Hup, Signal::Usr1, Signal::Usr2];

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The memory ceiling or the descriptor limit is too low.
    Budget(BudgetError),
    /// A place can not be listened on.
    Listen(ListenError),
    /// What the service manager has passed can not be listened on.
    Passed(ActivationError),
    /// The PID file can not be had.
    PidFile(PidFileError),
    /// `User` names nobody.
    NoUser(String),
    /// What serving does not need could not be given up.
    Confine(ConfineError),
    /// The log target is not there.
    Log(log::LogError),
    /// A plugin could not begin.
    Plugin(PluginError),
    /// The keeper's first server ended before it was up; it has said why.
    Server(End),
    /// The system refused something else.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Budget(error) => error.fmt(f),
            StartError::Listen(error) => error.fmt(f),
            StartError::Passed(error) => error.fmt(f),
            StartError::PidFile(error) => error.fmt(f),
            StartError::NoUser(name) => {
                write!(f, "User {name}: no such user in /etc/passwd; create it, or name one that is there")
            }
            StartError::Confine(error) => error.fmt(f),
            StartError::Log(error) => error.fmt(f),
            StartError::Plugin(error) => error.fmt(f),
            StartError::Server(end) => write!(f, "the server did not come up: {end}"),
            StartError::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System(what, error)
}

/// Whether the server of a configuration could divide its memory and become its `User`, and its programs theirs: what is left of a
/// check once every file was read. Raises the limit of open files as a start does.
pub fn check(config: &Config) -> Result<(), StartError> {
    let budget = divide(config, heap::held())?;
    identity(config.server.user.as_deref())?;
    Spawner::users(config, budget.workers).map(|_| ())
}

/// Runs the server of a configuration until a signal ends it. `options` are what a reload reads it by again.
pub fn run(config: Config, options: Options) -> Result<(), StartError> {
    let mut boot = Boot::new(config, options)?;
    if !boot.plan.config.server.supervise {
        return serve(boot, None);
    }
    match keep(&mut boot)? {
        Some(keeper) => serve(boot, Some(keeper)),
        None => Ok(()),
    }
}

/// The server itself: gives rights up, takes its memory, starts its threads and serves.
fn serve(boot: Boot, keeper: Option<Link>) -> Result<(), StartError> {
    let Boot { plan, mut options, daemon, pid_file, guards } = boot;
    set_thread_name("monkey: server");
    let bind = || keeper.as_ref().map_or(Ok(()), Link::bind).map_err(system("cannot serve without its keeper"));
    bind()?;
    let budget = divide(&plan.config, heap::held())?;
    let (identity, listeners) = (plan.identity, plan.listeners);
    let spawner = Spawner::start(&plan.config, identity.as_ref(), budget.workers, daemon.is_some())?;
    let live = Arc::new(Live::new(plan.config));
    let server = &live.config().server;
    let signals = SignalFd::open(&SIGNALS).map_err(system("cannot watch signals"))?;
    let notifier = if keeper.is_some() { None } else { Notifier::from_env_or_warn() };
    let statm = Statm::open();
    let mut plugins = Plugins::start(live.config(), budget.workers).map_err(StartError::Plugin)?;
    let confinement = confine::apply(live.config(), identity, &removed_in(&plugins, pid_file.as_ref()))
        .map_err(StartError::Confine)?;
    // A change of identity makes the kernel forget it.
    bind()?;
    options.confined = server.chroot.clone();
    warn_about_roots(&live);

    let slots = Slots::new(budget.slots).map_err(system("cannot map the connection table"))?;
    let gates = (0..budget.workers).map(|_| Gate::new()).collect::<io::Result<Vec<_>>>();
    let gates = gates.map_err(system("cannot make event queues"))?;
    let addresses = match server.max_connections_per_address {
        0 => None,
        _ => Some(Addresses::new(budget.slots).map_err(system("cannot map the table of addresses"))?),
    };
    let shared = Arc::new(Shared::new(slots, gates, budget, addresses, Arc::clone(&live), statm));
    shared.faults.death.store(keeper.as_ref().is_some_and(|keeper| keeper.after_death), Ordering::Relaxed);
    let host: Arc<dyn Host> = Arc::clone(&shared) as Arc<dyn Host>;
    shared.set_listening(addresses_of(&listeners));
    let (listeners, mut shares) = match server.scheduler {
        Mode::Fair => (listeners, Vec::new()),
        Mode::ReusePort => (Vec::new(), share_out(listeners, budget.workers)),
    };
    shares.reverse();
    let mut workers = Vec::with_capacity(budget.workers);
    for owner in 0..budget.workers as u8 {
        let own = shares.pop().map(|sockets| Listeners {
            sockets,
            acceptor: Acceptor::new(Arc::clone(&shared), Some(owner), Arc::clone(&live)),
            watched: false,
        });
        let plugins = plugins.worker(usize::from(owner), &live).map_err(StartError::Plugin)?;
        let epoll = shared.gates.get(usize::from(owner)).map(|gate| Arc::clone(&gate.epoll));
        let watches = Watches::new(epoll, budget.watches, WATCH as u32, monotonic_ms());
        let (transport, host) = (DefaultTransport::default(), Arc::clone(&host));
        let io = Io::new(transport, &live, &budget, plugins, host, stats(&shared, owner), watches);
        workers.push(spawn(owner, &shared, io.map_err(system("cannot take a worker's memory"))?, own)?);
    }
    let epoll = Arc::new(Epoll::new().map_err(system("cannot make an event queue"))?);
    let mut watches = Watches::new(Some(Arc::clone(&epoll)), MAIN_WATCHES_MAX, WATCH as u32, monotonic_ms());
    plugins.run(&host, &mut watches).map_err(StartError::Plugin)?;
    let mut scheduler = Scheduler {
        acceptor: Acceptor::new(Arc::clone(&shared), None, Arc::clone(&live)),
        epoll,
        plugins,
        watches,
        host,
        shared,
        options,
        confinement,
        heap: budget.heap,
        handlers: handlers_need(live.config(), budget.workers),
        listeners,
        signals,
        notifier,
        keeper,
        spawner,
        signs: Signs::new(&guards),
        guards,
    };
    info!("{budget}");
    info!(
        "process {}: {} workers, up to {} connections; plugins: {}",
        std::process::id(),
        budget.workers,
        budget.connections,
        BuiltIn
    );
    if let Some(notifier) = &scheduler.notifier {
        let _ = notifier.ready(false);
    }
    if let Some(daemon) = daemon {
        let ready = if scheduler.keeper.is_some() { daemon.detach() } else { daemon.ready() };
        ready.map_err(system("cannot go into the background"))?;
    }
    if let Some(keeper) = &scheduler.keeper {
        keeper.say(Word::Up);
    }
    drop(live);
    scheduler.run().map_err(system("the event loop failed"))?;
    for worker in workers {
        worker.join();
    }
    if let Some(spawner) = scheduler.spawner.take() {
        spawner.stop();
    }
    if let Some(pid_file) = pid_file {
        let _ = pid_file.remove();
    }
    info!("stopped");
    // Last, for messages may go through one.
    scheduler.plugins.stop();
    Ok(())
}

/// The directories in which files are removed when the server stops.
fn removed_in<'a>(plugins: &'a Plugins, pid_file: Option<&'a PidFile>) -> Vec<BorrowedFd<'a>> {
    let mut directories = plugins.remove_in();
    directories.extend(pid_file.map(PidFile::directory));
    directories
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

/// What a worker counts.
fn stats(shared: &Shared, owner: u8) -> Arc<WorkerStats> {
    shared.gates.get(usize::from(owner)).map(|gate| Arc::clone(&gate.stats)).unwrap_or_default()
}

/// Starts a worker's thread.
fn spawn(
    owner: u8,
    shared: &Arc<Shared>,
    io: Io<DefaultTransport>,
    listeners: Option<Listeners>,
) -> Result<Thread, StartError> {
    let failed = || system("cannot start a worker");
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
    let shared = Arc::clone(shared);
    let mut events = Events::with_capacity(EVENTS_A_TURN);
    let run = move || {
        set_thread_name(WORKER_NAMES.get(usize::from(owner)).unwrap_or(&"monkey: wrk"));
        if let Some(gate) = shared.gates.get(usize::from(owner)) {
            gate.task.store(thread::id(), Ordering::Relaxed);
        }
        drop(shared);
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
