//! Other programs in processes of their own: starting one, ending its process group, and what passes between it and a socket.
//!
//! Sources: fork(2), execve(2), setpgid(2), kill(2), poll(2), tcp(7), close_range(2).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use super::child::fork;
use super::environment::variable;
use super::errno::{Errno, check};
use super::pipe;
use super::socket::unacknowledged;

/// One past the largest signal number (signal(7)); those of real time included.
const SIGNALS_END: libc::c_int = 65;
/// close_range(2), Linux 5.9; marking instead of closing since 5.11. The same number on every architecture.
const SYS_CLOSE_RANGE: libc::c_long = 436;
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
/// Descriptors that are marked one by one where the kernel lacks close_range(2).
const MARKED: libc::c_int = 4096;
/// Where `tcpi_bytes_acked` stands in struct tcp_info (Linux 4.1).
const BYTES_ACKED: usize = 120;

/// Texts for a program, each of which ends in NUL for it: its arguments, or its environment.
#[derive(Default)]
pub struct Texts {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Texts {
    /// One more, of these parts. A NUL in them ends it early.
    #[inline(never)]
    pub fn push(&mut self, parts: &[&[u8]]) {
        self.starts.push(self.bytes.len());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
    }

    /// What execve(2) takes. The pointers hold for as long as the texts are not changed.
    fn pointers(&self) -> Vec<*const libc::c_char> {
        let mut pointers = Vec::with_capacity(self.starts.len() + 1);
        for start in &self.starts {
            pointers.push(self.bytes.get(*start..).map_or(ptr::null(), <[u8]>::as_ptr).cast());
        }
        pointers.push(ptr::null());
        pointers
    }
}

/// Where programs are looked for, by the environment of this process. Called while no thread changes that.
pub fn search_path() -> Option<Vec<u8>> {
    variable(c"PATH")
}

/// A program that is to be run.
pub struct Program<'a> {
    /// Its path, then its arguments.
    pub arguments: &'a Texts,
    /// Its whole environment, `NAME=value` each.
    pub environment: &'a Texts,
    /// Its working directory is the one that this file is in.
    pub beside: &'a [u8],
    /// Its descriptor 0. It blocks the program, whatever it does here.
    pub input: BorrowedFd<'a>,
    /// Its descriptor 1. It blocks everybody from now on.
    pub output: BorrowedFd<'a>,
}

impl Program<'_> {
    /// Starts it, as the leader of a process group of its own; gives its process id. Its descriptor 2 is that of this process, and all
    /// others are closed that are marked for it. No signal is blocked or ignored in it. It is killed when this process ends.
    ///
    /// The error is that of what failed, execve(2) included: ENOENT, EACCES, ENOEXEC (no program and no `#!` line), ENOMEM...
    /// Called while the process has one thread.
    pub fn start(&self) -> Result<u32, Errno> {
        let slash = self.beside.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let directory = [self.beside.get(..slash.max(1)).unwrap_or(b"/"), b"\0"].concat();
        let (arguments, environment) = (self.arguments.pointers(), self.environment.pointers());
        let (failure, tell) = std::io::pipe().map_err(|_| Errno::MFILE)?;
        let me = std::process::id();
        let pid = fork().map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        let Some(pid) = pid else {
            let errno = self.become_it(me, &directory, &arguments, &environment);
            let _ = pipe::write(tell.as_fd(), &errno.0.to_ne_bytes());
            // SAFETY: _exit runs nothing of what belongs to the process that this is a copy of.
            unsafe { libc::_exit(127) }
        };
        drop(tell);
        let mut errno = [0; 4];
        // Once it runs, its end of the pipe is closed.
        match read_whole(failure.as_fd(), &mut errno) {
            true => {
                // SAFETY: the child is ours, has ended or is about to, and nobody else waits for it.
                unsafe { libc::waitpid(pid.cast_signed(), ptr::null_mut(), 0) };
                Err(Errno(i32::from_ne_bytes(errno)))
            }
            false => Ok(pid),
        }
    }

    /// Turns this process into the program; returns only why it could not.
    fn become_it(
        &self,
        parent: u32,
        directory: &[u8],
        arguments: &[*const libc::c_char],
        environment: &[*const libc::c_char],
    ) -> Errno {
        let Some(file) = arguments.first().filter(|file| !file.is_null()) else { return Errno::NOENT };
        // SAFETY: integers, sets that sigemptyset has initialised, and texts and arrays of pointers to texts that end in NUL, all
        // of which outlive the calls. No code of ours is run by a signal: each has its default again before it can arrive.
        unsafe {
            let done = (|| {
                check(libc::setpgid(0, 0))?;
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0))?;
                if libc::getppid().cast_unsigned() != parent {
                    return Err(Errno(libc::ESRCH));
                }
                for signal in 1..SIGNALS_END {
                    libc::signal(signal, libc::SIG_DFL);
                }
                let mut none = MaybeUninit::uninit();
                libc::sigemptyset(none.as_mut_ptr());
                libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
                check(libc::dup2(self.input.as_raw_fd(), libc::STDIN_FILENO))?;
                check(libc::dup2(self.output.as_raw_fd(), libc::STDOUT_FILENO))?;
                for number in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
                    check(libc::fcntl(number, libc::F_SETFL, libc::O_RDWR))?;
                }
                check(libc::chdir(directory.as_ptr().cast()))?;
                check(libc::execve(*file, arguments.as_ptr(), environment.as_ptr()))
            })();
            done.err().unwrap_or(Errno::IO)
        }
    }
}

/// Whether the buffer could be filled before the end.
fn read_whole(from: BorrowedFd<'_>, buffer: &mut [u8]) -> bool {
    loop {
        match pipe::read(from, buffer) {
            Err(Errno::INTR) => {}
            got => return got == Ok(buffer.len()),
        }
    }
}

/// Sends SIGTERM, or SIGKILL, to every process of the group that `leader` has made. One that is gone already is passed over.
pub fn end_group(leader: u32, at_once: bool) {
    if let Some(group) = libc::pid_t::try_from(leader).ok().filter(|group| *group > 1) {
        // SAFETY: kill takes integers and touches no memory of ours.
        unsafe { libc::kill(-group, if at_once { libc::SIGKILL } else { libc::SIGTERM }) };
    }
}

/// Marks every descriptor but 0, 1 and 2 to be closed in programs that are started: whatever this process was given itself.
pub fn keep_descriptors() {
    // SAFETY: the calls take integers; a number that is not open is an error and nothing more.
    unsafe {
        if libc::syscall(SYS_CLOSE_RANGE, 3 as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) != 0 {
            for number in 3..MARKED {
                libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}

/// How many bytes were ever written to a TCP socket, by whomever: those acknowledged and those that wait. None = the kernel does not tell.
pub fn written(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut info = [0u8; 256];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the buffer; both outlive the call.
    let told = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut len)
    };
    let acked = info.get(..len as usize)?.get(BYTES_ACKED..)?.first_chunk()?;
    (told == 0).then(|| u64::from_ne_bytes(*acked).saturating_add(unacknowledged(socket) as u64))
}

/// A descriptor that is waited for, and what is found.
#[derive(Clone, Copy, Debug)]
pub struct Waited<'a> {
    fd: Option<BorrowedFd<'a>>,
    events: libc::c_short,
    found: libc::c_short,
}

impl<'a> Waited<'a> {
    /// Waits for input, if `wanted`; for failure in any case.
    pub fn input(fd: BorrowedFd<'a>, wanted: bool) -> Waited<'a> {
        Waited { fd: Some(fd), events: if wanted { libc::POLLIN } else { 0 }, found: 0 }
    }

    /// Waits for room to write, if `wanted`; for failure in any case.
    pub fn output(fd: BorrowedFd<'a>, wanted: bool) -> Waited<'a> {
        Waited { fd: Some(fd), events: if wanted { libc::POLLOUT } else { 0 }, found: 0 }
    }

    /// Waits for nothing.
    pub fn nothing() -> Waited<'a> {
        Waited { fd: None, events: 0, found: 0 }
    }

    /// What was wanted is there.
    pub fn is_ready(&self) -> bool {
        self.found & self.events != 0
    }

    /// The other end is gone in both directions.
    pub fn is_broken(&self) -> bool {
        self.found & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
    }
}

/// Waits up to `milliseconds` until something is found of one of them (poll(2)). An interrupted wait finds nothing.
pub fn wait(all: &mut [Waited<'_>; 3], milliseconds: u32) {
    let entry = |waited: &Waited<'_>| libc::pollfd {
        fd: waited.fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: waited.events,
        revents: 0,
    };
    let mut entries = [entry(&all[0]), entry(&all[1]), entry(&all[2])];
    let limit = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
    // SAFETY: initialised pollfds that outlive the call; a negative number is passed over.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, limit) };
    for (waited, entry) in all.iter_mut().zip(&entries) {
        waited.found = if ready > 0 { entry.revents } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child::{End, reap};
    use crate::sys::testing;
    use std::fs;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// Threads of the test runner are not to be lost in a fork: a process of its own.
    #[test]
    fn a_program_is_run_with_what_it_is_given() {
        if testing::role().is_some() {
            let dir = testing::Dir::new();
            // One that is not to be inherited.
            let kept = fs::File::open("/").unwrap();
            // SAFETY: integers only.
            unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_SETFD, 0) };
            keep_descriptors();
            super::super::signal::ignore_pipe().unwrap();
            let (input, mut to) = std::io::pipe().unwrap();
            let (mut from, output) = std::io::pipe().unwrap();
            let script = b"echo $0 $1 $A; read x; echo $x; pwd; ls /proc/self/fd | tr '\\n' ' '; \
                 echo $(ps -o pgid= -p $$); grep -E '^Sig(Blk|Ign)' /proc/self/status | sed 's/80000000$/00000000/'; \
                 env | sort | head -1; exit 3";
            let of = |texts: &[&[u8]]| {
                let mut all = Texts::default();
                texts.iter().for_each(|text| all.push(&[text]));
                all
            };
            let arguments = of(&[b"/bin/sh", b"-c", script, b"name", b"first"]);
            let mut environment = of(&[b"PATH=/usr/bin:/bin"]);
            environment.push(&[b"A=", b"b c", b"\0d"]);
            let program = Program {
                arguments: &arguments,
                environment: &environment,
                beside: &[dir.path().as_os_str().as_encoded_bytes(), b"/file"].concat(),
                input: input.as_fd(),
                output: output.as_fd(),
            };
            let pid = program.start().unwrap();
            for (file, errno) in [(&b"/no/such"[..], Errno::NOENT), (b"/", Errno::ACCES)] {
                let program = Program { arguments: &of(&[file]), ..program };
                assert_eq!(program.start(), Err(errno));
            }
            assert_eq!(Program { arguments: &of(&[]), ..program }.start(), Err(Errno::NOENT));
            assert_eq!(Program { beside: b"/no/such", ..program }.start(), Err(Errno::NOENT));
            to.write_all(b"typed\n").unwrap();
            drop(output);
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            let real = fs::canonicalize(dir.path()).unwrap();
            let wanted = format!(
                "name first b c\ntyped\n{}\n0 1 2 3 {pid}\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nA=b c\n",
                real.display()
            );
            // ls has one more for the directory it reads. The C library keeps signal 32 for itself: it stays as it was.
            assert_eq!(text, wanted);
            let end = loop {
                if let Some(end) = reap() {
                    break end;
                }
            };
            assert_eq!(end, (pid, End::Exited(3)));
            assert_eq!(reap(), None, "what could not be run is waited for");
            testing::pass();
        }
        testing::run_self("sys::fork::tests::a_program_is_run_with_what_it_is_given", "x").assert_pass();
    }

    #[test]
    fn a_whole_group_is_ended() {
        if testing::role().is_some() {
            let (input, _to) = std::io::pipe().unwrap();
            let (mut from, output) = std::io::pipe().unwrap();
            let (mut arguments, mut environment) = (Texts::default(), Texts::default());
            for text in [&b"/bin/sh"[..], b"-c", b"trap '' TERM; sleep 60 & echo up; wait; wait; sleep 60"] {
                arguments.push(&[text]);
            }
            environment.push(&[b"PATH=/usr/bin:/bin"]);
            let program = Program {
                arguments: &arguments,
                environment: &environment,
                beside: b"/x",
                input: input.as_fd(),
                output: output.as_fd(),
            };
            let pid = program.start().unwrap();
            drop(output);
            from.read_exact(&mut [0; 3]).unwrap();
            end_group(pid, false);
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert_eq!(reap(), None, "it ignores SIGTERM");
            end_group(pid, true);
            // The end of the pipe: the leader and what it has started are gone.
            assert_eq!(from.read(&mut [0; 8]).unwrap(), 0);
            end_group(0, true);
            end_group(1, true);
            testing::pass();
        }
        testing::run_self("sys::fork::tests::a_whole_group_is_ended", "x").assert_pass();
    }

    #[test]
    fn what_was_written_is_counted_whether_it_was_read_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        client.write_all(b"hello").unwrap();
        assert_eq!(written(server.as_fd()), Some(0));
        server.write_all(b"x").unwrap();
        assert_eq!(written(server.as_fd()), Some(1));
        client.read_exact(&mut [0]).unwrap();
        server.write_all(&[b'y'; 1000]).unwrap();
        assert_eq!(written(server.as_fd()), Some(1001));
    }

    #[test]
    fn waiting_finds_input_room_and_failure() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let both = |wanted| [Waited::input(reader.as_fd(), wanted), Waited::nothing(), Waited::nothing()];
        let mut all = both(true);
        wait(&mut all, 0);
        assert!(!all[0].is_ready() && !all[0].is_broken() && !all[1].is_broken());
        writer.write_all(b"x").unwrap();
        wait(&mut all, 1000);
        assert!(all[0].is_ready() && !all[0].is_broken());
        let mut all = both(false);
        wait(&mut all, 0);
        assert!(!all[0].is_ready());
        let mut all = [Waited::output(writer.as_fd(), true), Waited::nothing(), Waited::nothing()];
        wait(&mut all, 0);
        assert!(all[0].is_ready() && !all[0].is_broken());
        drop(reader);
        let mut all = [Waited::nothing(), Waited::output(writer.as_fd(), false), Waited::nothing()];
        wait(&mut all, 1000);
        assert!(!all[1].is_ready() && all[1].is_broken());
    }
}
