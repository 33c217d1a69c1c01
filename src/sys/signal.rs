//! Signals as readable events: blocked before the first thread exists, then read from a signalfd by the scheduler.
//!
//! Sources: signalfd(2), pthread_sigmask(3), signal(7).

use super::fd::{check, own};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A signal the server acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Hup,
    /// SIGINT: orderly exit (the terminal's Ctrl-C).
    Int,
    /// SIGQUIT: orderly exit (the terminal's Ctrl-\).
    Quit,
    /// SIGUSR1: open the log files again.
    Usr1,
    /// SIGUSR2: say what the server is doing.
    Usr2,
    /// SIGTERM: orderly exit.
    Term,
    /// SIGCHLD: a child process has ended.
    Child,
}

impl Signal {
    const ALL: [Signal; 7] =
        [Signal::Hup, Signal::Int, Signal::Quit, Signal::Usr1, Signal::Usr2, Signal::Term, Signal::Child];

    /// The number of this signal on the running architecture.
    pub fn number(self) -> i32 {
        match self {
            Signal::Hup => libc::SIGHUP,
            Signal::Int => libc::SIGINT,
            Signal::Quit => libc::SIGQUIT,
            Signal::Usr1 => libc::SIGUSR1,
            Signal::Usr2 => libc::SIGUSR2,
            Signal::Term => libc::SIGTERM,
            Signal::Child => libc::SIGCHLD,
        }
    }

    fn from_number(number: u32) -> Option<Signal> {
        Signal::ALL.into_iter().find(|s| u32::try_from(s.number()) == Ok(number))
    }
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set it is given; sigaddset then gets an initialised set and valid numbers.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal.number());
        }
        set.assume_init()
    }
}

/// The signals that the calling thread blocks, less these.
#[cfg(feature = "palm-server")]
pub(super) fn mask_without(signals: &[Signal]) -> libc::sigset_t {
    let mut set = set_of(&[]);
    // SAFETY: both are initialised sets that outlive the calls; the numbers are valid.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        for signal in signals {
            libc::sigdelset(&mut set, signal.number());
        }
    }
    set
}

/// Blocks `signals` in the calling thread and in every thread it starts afterwards. Called before any thread exists:
/// a thread left with one of them unblocked would take it by its default action, which ends the process.
pub fn block(signals: &[Signal]) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, signals)
}

/// Takes `signals` out of the calling thread's mask: for a child process before it runs another program, which inherits
/// the mask across execve(2).
pub fn unblock(signals: &[Signal]) -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK, signals)
}

fn change_mask(how: libc::c_int, signals: &[Signal]) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: `set` is an initialised sigset_t that outlives the call; a null old set is allowed.
    match unsafe { libc::pthread_sigmask(how, &set, std::ptr::null_mut()) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

/// Ignores SIGPIPE in the whole process: a peer that closed is then the EPIPE of the write, not the end of the server.
pub fn ignore_pipe() -> io::Result<()> {
    // SAFETY: SIG_IGN is a valid disposition for SIGPIPE and runs no code of ours.
    if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A non-blocking, close-on-exec descriptor that is readable while one of its signals is pending.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Opens a descriptor for `signals`, which must be blocked already ([`block`]) or they act instead of being read.
    pub fn open(signals: &[Signal]) -> io::Result<SignalFd> {
        let set = set_of(signals);
        // SAFETY: `set` is initialised and outlives the call; -1 asks for a new fd, which nobody else owns.
        let fd = unsafe { own(libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)) }?;
        Ok(SignalFd { fd })
    }

    /// The next pending signal, or `None` when there is none now. Signals of the same kind that arrived together are one.
    pub fn read(&self) -> Option<Signal> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: the fd is open and the buffer has the `size` bytes the kernel writes, one whole record or nothing.
            let got = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if usize::try_from(got) == Ok(size) {
                // SAFETY: zeroed memory is a valid value of this struct of integers, and the kernel filled it.
                let number = unsafe { info.assume_init_ref() }.ssi_signo;
                return Signal::from_number(number);
            }
            if got != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return None;
            }
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends `signal` to process `pid` (kill(2)).
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    if pid == 0 {
        // 0 means the whole process group to kill(2), which nobody asks for by a PID.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: kill takes two integers and touches no memory of ours.
    check(unsafe { libc::kill(pid, signal.number()) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing;

    const WANTED: [Signal; 3] = [Signal::Term, Signal::Hup, Signal::Usr1];

    /// A process one of whose threads has them unblocked would die of them, so they are blocked in the only thread of a new
    /// process, before it runs the test executable, which inherits the mask.
    fn with_blocked(test: &str) -> testing::Run {
        use std::os::unix::process::CommandExt;
        let mut command = testing::command(test, "x");
        // SAFETY: between fork and execve only async-signal-safe calls are made: sigemptyset, sigaddset, pthread_sigmask.
        unsafe { command.pre_exec(|| block(&WANTED)) };
        testing::run(&mut command)
    }

    #[test]
    fn blocked_signals_are_read_in_turn() {
        if testing::role().is_some() {
            let fd = SignalFd::open(&WANTED).unwrap();
            assert_eq!(fd.read(), None);
            let me = std::process::id();
            send(me, Signal::Term).unwrap();
            send(me, Signal::Hup).unwrap();
            send(me, Signal::Hup).unwrap();
            assert!(testing::readable(fd.as_fd(), 0));
            // The kernel gives the lowest number first.
            assert_eq!(fd.read(), Some(Signal::Hup));
            assert_eq!(fd.read(), Some(Signal::Term));
            assert_eq!(fd.read(), None);
            assert!(!testing::readable(fd.as_fd(), 0));
            testing::pass();
        }
        with_blocked("sys::signal::tests::blocked_signals_are_read_in_turn").assert_pass();
    }

    #[test]
    fn numbers_are_the_kernels() {
        for signal in Signal::ALL {
            let number = u32::try_from(signal.number()).unwrap();
            assert_eq!(Signal::from_number(number), Some(signal));
        }
        assert_eq!(Signal::from_number(0), None);
        assert_eq!(Signal::Hup.number(), 1);
        assert_eq!(Signal::Term.number(), 15);
    }

    #[test]
    fn unblocked_signal_ends_the_process() {
        use std::os::unix::process::ExitStatusExt;
        if testing::role().is_some() {
            send(std::process::id(), Signal::Usr1).unwrap();
            unblock(&[Signal::Usr1]).unwrap();
            testing::pass();
        }
        let run = with_blocked("sys::signal::tests::unblocked_signal_ends_the_process");
        assert_eq!(run.status.signal(), Some(libc::SIGUSR1), "{run:?}");
    }

    #[test]
    fn broken_pipe_is_an_error() {
        use std::io::Write;
        if testing::role().is_some() {
            // SAFETY: the default disposition runs no code of ours; std had set SIG_IGN, which would hide a no-op.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            ignore_pipe().unwrap();
            let (reader, mut writer) = io::pipe().unwrap();
            drop(reader);
            let error = writer.write(b"x").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            testing::pass();
        }
        testing::run_self("sys::signal::tests::broken_pipe_is_an_error", "x").assert_pass();
    }

    #[test]
    fn process_groups_are_not_addressed() {
        assert!(send(0, Signal::Usr2).is_err());
        assert!(send(u32::MAX, Signal::Usr2).is_err());
    }
}
