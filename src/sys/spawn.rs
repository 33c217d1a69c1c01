//! Starting other programs: a process apart that holds nothing else, and its children.
//!
//! Sources: fork(2), execve(2), close_range(2), setsid(2), setrlimit(2), setpriority(2), prctl(2) PR_SET_PDEATHSIG, proc(5)
//! oom_score_adj.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr::{NonNull, null};
use std::sync::atomic::{AtomicI32, Ordering};

use super::child::fork;
use super::credentials::{Identity, drop_to};
use super::errno::{Errno, check};
use super::file::open_with;
use super::packet::pair;
use crate::limits::ORDER_STRINGS_MAX;

/// The first descriptor that is none of the standard ones.
const FIRST: RawFd = libc::STDERR_FILENO + 1;
/// The soft limit of open files where none is asked for: programs that use select(2) can not do with more.
const FILES: u64 = 1024;
/// How much more likely than their parent the kernel ends children when memory runs out, in thousandths of all memory.
const OOM_RAISE: i32 = 500;

/// What a program may take; 0 = what whoever started the server may, but for open files, which are 1024 then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// KB of address space (RLIMIT_AS).
    pub memory: u32,
    /// Seconds of processor time (RLIMIT_CPU): SIGXCPU at its end, SIGKILL a second later.
    pub processor: u32,
    /// Processes of its user, its own included (RLIMIT_NPROC). Does not hold root.
    pub processes: u32,
    /// Open files (RLIMIT_NOFILE).
    pub files: u32,
    /// How much it gives way to others, 19 most. Below 0 needs rights.
    pub nice: i8,
}

/// Starts a copy of this process that runs `body` with one end of a [`pair`] of sockets, the only descriptor it has besides the
/// standard ones, and then ends. Gives its id and the other end. What `body` captures must not own a descriptor: none is open any more.
/// Called while the process has one thread.
pub fn apart(body: impl FnOnce(OwnedFd)) -> io::Result<(u32, OwnedFd)> {
    let (ours, theirs) = pair()?;
    if let Some(pid) = fork()? {
        return Ok((pid, ours));
    }
    let raw = theirs.into_raw_fd();
    // SAFETY: dup3 takes integers. Values that own the descriptors closed here are in a copy of the process that goes on with `body`
    // alone, which by its contract has none of them, and never drops them: it ends below.
    let kept = raw == FIRST || unsafe { libc::dup3(raw, FIRST, libc::O_CLOEXEC) } == FIRST;
    if kept {
        close_from(FIRST + 1);
        // SAFETY: the number is the copy made above or the descriptor itself, and nothing else owns it.
        body(unsafe { OwnedFd::from_raw_fd(FIRST) });
    }
    // SAFETY: _exit never returns; exit handlers and buffers belong to the process this is a copy of.
    unsafe { libc::_exit(0) }
}

/// Closes every descriptor from a number on.
fn close_from(first: RawFd) {
    // SAFETY: integers only; who owns what is closed is the caller's matter, all of which is in this file.
    if unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) } == 0
    {
        return;
    }
    close_each(first);
}

/// The same before Linux 5.9.
fn close_each(first: RawFd) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which outlives the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let end = RawFd::try_from(limit.rlim_cur).unwrap_or(RawFd::MAX).min(1 << 20);
    for number in first..end {
        // SAFETY: as above; a number that is not open is an error and nothing more.
        unsafe { libc::close(number) };
    }
}

/// Makes standard input and standard output /dev/null, and standard error too where `errors` says so; the working directory becomes
/// `/` and the umask 022. Signals that were ignored act again, for programs that are started would go on ignoring them.
pub fn settle(errors: bool) -> io::Result<()> {
    let nothing = open_with(Path::new("/dev/null"), libc::O_RDWR)?;
    for standard in 0..if errors { FIRST } else { FIRST - 1 } {
        // SAFETY: an open descriptor, and the number of a standard one, which no Rust value owns.
        check(unsafe { libc::dup2(nothing.as_raw_fd(), standard) })?;
    }
    // SAFETY: a NUL-terminated path, and an integer.
    unsafe {
        check(libc::chdir(c"/".as_ptr()))?;
        libc::umask(0o022);
    }
    for number in 1..=64 {
        // SAFETY: all-zero bytes are a valid sigaction, which the kernel fills; a null new one changes nothing. The default disposition
        // runs no code of ours. Numbers that there are not, or that the C library keeps for itself, are refused.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(number, null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_IGN {
                libc::signal(number, libc::SIG_DFL);
            }
        }
    }
    Ok(())
}

/// A table of numbers that a process shares with those it starts, for them to say why they could not run a program.
pub struct Failures {
    first: NonNull<AtomicI32>,
    count: usize,
}

impl Failures {
    /// A table with so many entries. It is never given back.
    pub fn new(count: usize) -> io::Result<Failures> {
        let length = count.max(1).saturating_mul(size_of::<AtomicI32>());
        let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, rights, kind, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(address.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Failures { first, count })
    }

    /// An entry.
    pub fn get(&self, index: usize) -> Option<&AtomicI32> {
        // SAFETY: within the mapping, which is never unmapped, is zeroed (a valid AtomicI32) and aligned to a page; other processes
        // write to it by atomic operations only.
        (index < self.count).then(|| unsafe { self.first.add(index).as_ref() })
    }
}

/// The process's place among those that the kernel ends when memory runs out (proc(5), oom_score_adj). Opened before rights are given
/// up, for it can not be opened afterwards; a program's own process could not do it at all.
pub struct OomScore(Option<(File, i32)>);

impl OomScore {
    /// Opens it. Where there is no /proc it does nothing.
    pub fn open() -> OomScore {
        let Ok(mut file) = open_with(Path::new("/proc/self/oom_score_adj"), libc::O_RDWR) else {
            return OomScore(None);
        };
        let mut text = String::new();
        let own = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
        OomScore(own.map(|own| (file, own)))
    }

    /// Raises it for those that are started from here on, or takes that back.
    fn raise(&self, raise: bool) {
        if let Some((file, own)) = &self.0 {
            let score = if raise { own.saturating_add(OOM_RAISE).min(1000) } else { *own };
            let _ = write!(&mut &*file, "{score}");
        }
    }
}

/// A program that is to be started.
pub struct Program<'a> {
    /// Its absolute path.
    pub path: &'a CStr,
    /// The working directory.
    pub directory: &'a CStr,
    /// Standard input; None = that of this process.
    pub input: Option<BorrowedFd<'a>>,
    /// Standard output.
    pub output: BorrowedFd<'a>,
    /// Standard error.
    pub error: BorrowedFd<'a>,
    /// What it may take.
    pub limits: Limits,
    /// Whom it is to be, if not this process's user.
    pub identity: Option<&'a Identity>,
}

impl Program<'_> {
    /// Starts it with these arguments, the program's name first, and this environment, in a session and a process group of its own
    /// whose number is the process id that is given. It ends with this process.
    ///
    /// Fails when there can be no process. A program that can not be run is a process that ends with status 127 and has left an errno
    /// in `failure`, which is 0 otherwise. Called while the process has one thread.
    pub fn start<'s>(
        &self,
        arguments: impl Iterator<Item = &'s CStr>,
        variables: impl Iterator<Item = &'s CStr>,
        failure: &AtomicI32,
        score: &OomScore,
    ) -> io::Result<u32> {
        // Both lists, each with a null pointer at its end.
        let mut pointers = [null::<libc::c_char>(); ORDER_STRINGS_MAX + 2];
        let mut count = 0;
        for word in arguments {
            *pointers.get_mut(count).ok_or(Errno::TOOBIG)? = word.as_ptr();
            count += 1;
        }
        let environment = count + 1;
        count = environment;
        for variable in variables {
            *pointers.get_mut(count).ok_or(Errno::TOOBIG)? = variable.as_ptr();
            count += 1;
        }
        if count >= pointers.len() {
            return Err(Errno::TOOBIG.into());
        }
        let (Some(argv), Some(envp)) = (pointers.get(..environment), pointers.get(environment..)) else {
            return Err(Errno::TOOBIG.into());
        };
        failure.store(0, Ordering::Relaxed);
        score.raise(true);
        let parent = std::process::id();
        let forked = fork();
        if !matches!(forked, Ok(None)) {
            score.raise(false);
            return forked.map(|pid| pid.unwrap_or(0));
        }
        let errno = self.become_it(parent, argv, envp);
        failure.store(errno.0, Ordering::Relaxed);
        // SAFETY: _exit never returns; exit handlers and buffers belong to the process this is a copy of.
        unsafe { libc::_exit(127) }
    }

    /// The new process's side; returns only when it can not become the program. Both lists end in a null pointer.
    fn become_it(&self, parent: u32, argv: &[*const libc::c_char], envp: &[*const libc::c_char]) -> Errno {
        if let Err(errno) = self.prepare(parent) {
            return errno;
        }
        close_from(FIRST);
        // SAFETY: a NUL-terminated path and two lists of NUL-terminated strings that end in a null pointer, all of which outlive the
        // call.
        unsafe { libc::execve(self.path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        Errno::last()
    }

    fn prepare(&self, parent: u32) -> Result<(), Errno> {
        // SAFETY: takes nothing; a fresh child leads no process group.
        check(unsafe { libc::setsid() })?;
        let streams = [(self.input, 0), (Some(self.output), 1), (Some(self.error), 2)];
        for (descriptor, standard) in streams {
            let Some(descriptor) = descriptor else { continue };
            // SAFETY: an open descriptor, whose number is none of the standard ones as those are open; the rest are integers. Programs
            // expect what they read and write to block.
            unsafe {
                check(libc::dup2(descriptor.as_raw_fd(), standard))?;
                let flags = check(libc::fcntl(standard, libc::F_GETFL))?;
                check(libc::fcntl(standard, libc::F_SETFL, flags & !libc::O_NONBLOCK))?;
            }
        }
        self.limits.apply()?;
        if let Some(identity) = self.identity.filter(|identity| identity.uid != 0) {
            drop_to(identity).map_err(|_| Errno(libc::EPERM))?;
        }
        // SAFETY: prctl takes integers here; getppid takes nothing. Forgotten with a change of identity, thus after it.
        let now = unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0))?;
            libc::getppid()
        };
        if u32::try_from(now) != Ok(parent) {
            return Err(Errno(libc::ESRCH));
        }
        // SAFETY: a NUL-terminated path; then a set that sigemptyset makes valid before it is read.
        unsafe {
            check(libc::chdir(self.directory.as_ptr()))?;
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            check(libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()))?;
        }
        Ok(())
    }
}

impl Limits {
    /// Holds this process, and what it becomes, to them.
    fn apply(&self) -> Result<(), Errno> {
        let given = |value: u32, each: u64| (value > 0).then_some(u64::from(value) * each);
        limit(libc::RLIMIT_CORE as _, Some(0), 0)?;
        limit(libc::RLIMIT_AS as _, given(self.memory, 1024), 0)?;
        limit(libc::RLIMIT_CPU as _, given(self.processor, 1), 1)?;
        limit(libc::RLIMIT_NPROC as _, given(self.processes, 1), 0)?;
        // Only the soft one where nothing is asked for.
        limit(
            libc::RLIMIT_NOFILE as _,
            given(self.files, 1).or(Some(FILES)),
            if self.files > 0 { 0 } else { u64::MAX },
        )?;
        if self.nice != 0 {
            // SAFETY: integers only; process 0 is the calling one. Refused to whoever may not, and then it stays as it is.
            unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, libc::c_int::from(self.nice)) };
        }
        Ok(())
    }
}

/// Lowers a limit to `soft`, and its hard limit to `more` beyond that.
fn limit(resource: libc::c_int, soft: Option<u64>, more: u64) -> Result<(), Errno> {
    let Some(soft) = soft else { return Ok(()) };
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which outlives the call.
    check(unsafe { libc::getrlimit(resource as _, &mut now) })?;
    let at_most = |value: u64| libc::rlim_t::try_from(value).unwrap_or(libc::RLIM_INFINITY).min(now.rlim_max);
    let new = libc::rlimit { rlim_cur: at_most(soft), rlim_max: at_most(soft.saturating_add(more)) };
    // SAFETY: the kernel reads one rlimit, which outlives the call.
    check(unsafe { libc::setrlimit(resource as _, &new) }).map(drop)
}

/// Sends a signal to every process of the group that a child of this process leads, one that has not been waited for yet: after that
/// the number can be another's.
pub fn signal_group(pid: u32, signal: i32) {
    if let Some(group) = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 1) {
        // SAFETY: kill takes two integers and touches no memory of ours. One that has not got as far as to lead a group is alone.
        unsafe {
            if libc::kill(-group, signal) == -1 {
                libc::kill(group, signal);
            }
        }
    }
}

/// SIGKILL, for [`signal_group`].
pub const KILL: i32 = libc::SIGKILL;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child::{End, wait_for};
    use crate::sys::packet::{receive, send};
    use crate::sys::process::open_descriptors;
    use crate::sys::testing;
    use std::os::fd::AsFd;

    #[test]
    fn a_process_apart_has_one_descriptor() {
        if testing::role().is_some() {
            let _held: Vec<_> = (0..100).map(|_| pair().unwrap()).collect();
            let (pid, socket) = apart(|socket| {
                let _ = send(socket.as_fd(), &[open_descriptors(300) as u8], &[]);
                let more: Vec<_> = (0..20).map(|_| pair().unwrap().0.into_raw_fd()).collect();
                close_each(FIRST + 1);
                let _ = send(socket.as_fd(), &[open_descriptors(300) as u8, more.len() as u8], &[]);
            })
            .unwrap();
            assert_eq!(wait_for(pid, 20_000), Some(End::Exited(0)));
            let mut told = [0; 2];
            let mut count = || receive(socket.as_fd(), &mut told, &mut [None, None, None]).map(|_| told[0]);
            assert_eq!((count(), count()), (Ok(4), Ok(4)));
            testing::pass();
        }
        testing::run_self("sys::spawn::tests::a_process_apart_has_one_descriptor", "x").assert_pass();
    }

    #[test]
    fn failures_are_shared() {
        if testing::role().is_some() {
            let failures = Failures::new(3).unwrap();
            assert!(failures.get(2).is_some() && failures.get(3).is_none());
            let failure = failures.get(2).unwrap();
            let (pid, _socket) = apart(|_| failure.store(7, Ordering::Relaxed)).unwrap();
            assert_eq!(wait_for(pid, 20_000), Some(End::Exited(0)));
            assert_eq!(failure.load(Ordering::Relaxed), 7);
            testing::pass();
        }
        testing::run_self("sys::spawn::tests::failures_are_shared", "x").assert_pass();
    }

    #[test]
    fn a_program_with_too_many_strings_is_refused() {
        let program = Program {
            path: c"/bin/true",
            directory: c"/",
            input: None,
            output: crate::sys::unix::standard(1),
            error: crate::sys::unix::standard(1),
            limits: Limits::default(),
            identity: None,
        };
        let words = |count| std::iter::repeat_n(c"x", count);
        let refused = |arguments, variables| {
            let score = OomScore(None);
            program.start(words(arguments), words(variables), &AtomicI32::new(0), &score).unwrap_err().raw_os_error()
        };
        assert_eq!(refused(ORDER_STRINGS_MAX + 2, 0), Some(Errno::TOOBIG.0));
        assert_eq!(refused(ORDER_STRINGS_MAX, 1), Some(Errno::TOOBIG.0));
    }
}
