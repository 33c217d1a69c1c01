//! The process as a whole: going into the background, the open-file limit, processors, thread names.
//!
//! Sources: daemon(7), fork(2), prlimit(2), sched_setaffinity(2), prctl(2).

use super::child::fork;
use super::fd::{check, check_long};
use super::file::{open, open_with, read_at};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::ptr;

/// A process that has gone into the background while the one that was started waits for its word.
#[derive(Debug)]
pub struct Daemon {
    parent: PipeWriter,
    null: File,
}

impl Daemon {
    /// Forks twice, with a session of its own between, and returns in the last child: no controlling terminal, and none
    /// to be had by accident. The umask is 022. The working directory, stdin, stdout and stderr stay as they were until
    /// [`Daemon::ready`], so that relative paths resolve and start-up errors are seen.
    ///
    /// The process that called stays until the child says [`Daemon::ready`] and then exits 0; if the child ends first,
    /// or drops this value, it exits 1. An init script thus knows whether the server came up.
    ///
    /// Called before any thread exists: only the calling thread lives on in a child of fork(2).
    pub fn start() -> io::Result<Daemon> {
        // Opened now because it can be out of reach later, in a chroot or under a sandbox.
        let null = open_with(Path::new("/dev/null"), libc::O_RDWR)?;
        let (reader, parent) = io::pipe()?;
        if let Some(first) = fork()? {
            drop(parent);
            exit_with(reader, first);
        }
        drop(reader);
        // SAFETY: setsid and umask take at most an integer; a fresh child leads no process group, so setsid cannot fail.
        unsafe {
            check(libc::setsid())?;
            libc::umask(0o022);
        }
        if fork()?.is_some() {
            // SAFETY: _exit ends the middle process without running the exit handlers that belong to the others.
            unsafe { libc::_exit(0) };
        }
        Ok(Daemon { parent, null })
    }

    /// Lets go of what the process shares with the one that started it: the working directory becomes `/`, stdin, stdout and
    /// stderr become /dev/null. For a process that was forked off this one; [`Daemon::ready`] does it too.
    pub fn detach(&self) -> io::Result<()> {
        // SAFETY: a NUL-terminated path.
        check(unsafe { libc::chdir(c"/".as_ptr()) })?;
        for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            // SAFETY: both are open descriptors or numbers of the standard ones, which no Rust value owns.
            check(unsafe { libc::dup2(self.null.as_raw_fd(), standard) })?;
        }
        Ok(())
    }

    /// Says that the server is up: as [`Daemon::detach`], and the waiting process exits 0. On an error it has not exited yet and
    /// will exit 1.
    pub fn ready(mut self) -> io::Result<()> {
        self.detach()?;
        match self.parent.write_all(b"R") {
            // Whoever waited was killed meanwhile: nobody is left to tell, and the server is up.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            told => told,
        }
    }
}

/// The part of the process that was started: waits, and passes the child's word on as an exit status.
fn exit_with(mut reader: PipeReader, child: u32) -> ! {
    let mut status = 0;
    // SAFETY: `status` outlives the call; the child is ours and not waited for elsewhere.
    while unsafe { libc::waitpid(child.cast_signed(), &mut status, 0) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    let mut word = [0u8];
    let code = match reader.read_exact(&mut word) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    // SAFETY: _exit never returns; buffers not yet written are the child's too, and it writes them.
    unsafe { libc::_exit(code) }
}

/// The processors this process may run on (affinity mask, so `taskset` and cpusets count; CPU-time quotas do not), at
/// least 1.
pub fn cpu_count() -> usize {
    // 8,192 processors on 64-bit machines; a kernel with more answers EINVAL and counts as one.
    let mut mask: [libc::c_ulong; 128] = [0; 128];
    // SAFETY: the kernel writes at most the size given into the mask, which outlives the call.
    let written = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) };
    if written <= 0 {
        return 1;
    }
    let count: u32 = mask.iter().map(|word| word.count_ones()).sum();
    usize::try_from(count).unwrap_or(1).max(1)
}

/// The kernel's rlimit64: 64 bits on every architecture, whatever the C library's type is.
#[repr(C)]
#[derive(Clone, Copy)]
struct KernelLimit {
    soft: u64,
    hard: u64,
}

fn nofile(new: Option<KernelLimit>) -> io::Result<KernelLimit> {
    let mut old = KernelLimit { soft: 0, hard: 0 };
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or points to a struct of the layout prlimit64 reads, `old` to one it writes; both outlive the
    // call; process 0 is the calling one.
    check_long(unsafe { libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, new, &raw mut old) })?;
    Ok(old)
}

/// Sets the soft limit of open descriptors (RLIMIT_NOFILE) to at least `need`, but never above `cap` (the key `FDLimit`)
/// when given; the hard limit is raised too where the process has the right. Gives the soft limit then in force, which can be
/// lower than `need`: the caller derives its capacity from it. A limit that is higher already is left alone, except by `cap`.
pub fn raise_nofile(need: u64, cap: Option<u64>) -> io::Result<u64> {
    let now = nofile(None)?;
    let wanted = now.soft.max(need).min(cap.unwrap_or(u64::MAX));
    if wanted == now.soft {
        return Ok(now.soft);
    }
    if wanted > now.hard {
        let both = KernelLimit { soft: wanted, hard: wanted };
        // Refused without CAP_SYS_RESOURCE, and above fs.nr_open with it.
        if nofile(Some(both)).is_ok() {
            return Ok(wanted);
        }
    }
    let soft = wanted.min(now.hard);
    nofile(Some(KernelLimit { soft, hard: now.hard }))?;
    Ok(soft)
}

/// How many of the descriptors 0 to `end` - 1 are open, by asking for each: needs no /proc, which a sandbox hides, and no
/// memory (fcntl(2), F_GETFD; poll(2) would not know those opened with O_PATH).
pub fn open_descriptors(end: usize) -> usize {
    let end = libc::c_int::try_from(end).unwrap_or(libc::c_int::MAX);
    // SAFETY: no pointer is passed; a number that is not open is an error and nothing more.
    (0..end).filter(|&number| unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0).count()
}

/// Where the kernel tells how much memory this process has (proc(5), statm). Open from the start, for a chroot or a sandbox hides
/// /proc.
#[derive(Debug)]
pub struct Statm(Option<File>);

impl Statm {
    /// Opens it for the calling process; a child of it needs its own.
    pub fn open() -> Statm {
        Statm(open(Path::new("/proc/self/statm")).ok())
    }

    /// KB that are resident now; 0 where there is no /proc.
    pub fn resident_kb(&self) -> usize {
        self.kb(1)
    }

    /// KB of files that are mapped and resident now, which are the program's own pages; 0 where there is no /proc.
    pub fn program_kb(&self) -> usize {
        self.kb(2)
    }

    fn kb(&self, place: usize) -> usize {
        let mut text = [0; 128];
        let len = self.0.as_ref().and_then(|file| read_at(file.as_fd(), &mut text, 0).ok()).unwrap_or(0);
        let text = text.get(..len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let pages: usize = text.split(' ').nth(place).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        // SAFETY: sysconf takes an integer.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
        pages.saturating_mul(page / 1024)
    }
}

/// The process that has started another (proc(5), stat). None = there is no such process, or no /proc.
pub fn parent_of(pid: u32) -> Option<u32> {
    let mut text = [0; 256];
    let file = open(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    let len = read_at(file.as_fd(), &mut text, 0).ok()?;
    // Behind the name, which may hold anything: `) STATE PARENT`.
    let name = text.get(..len)?.iter().rposition(|byte| *byte == b')')?;
    let mut parent = None;
    for digit in text.get(name + 4..len)?.iter().take_while(|byte| byte.is_ascii_digit()) {
        parent = Some(parent.unwrap_or(0u32).checked_mul(10)?.checked_add(u32::from(digit - b'0'))?);
    }
    parent
}

/// Tells the release of the kernel (uname(2)).
pub fn kernel_release(tell: &mut dyn FnMut(&str)) {
    // SAFETY: all-zero bytes are a valid utsname, which the kernel fills with texts that end in a zero byte.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the struct outlives the call.
    unsafe { libc::uname(&mut name) };
    // SAFETY: the release ends in a zero byte, and the struct outlives its use.
    let release = unsafe { std::ffi::CStr::from_ptr(name.release.as_ptr()) };
    tell(release.to_str().unwrap_or_default());
}

/// Longest thread name in bytes; the kernel keeps no more (prctl(2), PR_SET_NAME).
pub const THREAD_NAME_MAX: usize = 15;

/// Names the calling thread as `ps -L`, `top -H` and the fault report show it. Cut after [`THREAD_NAME_MAX`] bytes.
pub fn set_thread_name(name: &str) {
    let mut bytes = [0u8; THREAD_NAME_MAX + 1];
    for (to, from) in bytes.iter_mut().take(THREAD_NAME_MAX).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the buffer ends in a zero byte, is the 16 bytes prctl reads, and outlives the call, which cannot fail then.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr(), 0, 0, 0) };
}

/// True if the effective user is root.
pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{self, Dir};
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    const DIR: &str = "MONKEY_TEST_DIR";

    #[test]
    fn descriptors_are_counted() {
        if testing::role().is_some() {
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
            // Whatever was inherited with a higher number is not counted; the listing itself takes one.
            let numbers = || fs::read_dir("/proc/self/fd").unwrap().map(name).filter_map(|name| name.parse().ok());
            let before = open_descriptors(200);
            assert_eq!(before, numbers().filter(|number: &u32| *number < 200).count() - 1);
            let held: Vec<_> = (0..100).map(|_| crate::sys::file::open_directory(c"/").unwrap()).collect();
            assert_eq!(open_descriptors(200), before + 100);
            assert_eq!(open_descriptors(65), 65);
            drop(held);
            assert_eq!(open_descriptors(200), before);
            testing::pass();
        }
        testing::run_self("sys::process::tests::descriptors_are_counted", "x").assert_pass();
    }

    #[test]
    fn resident_memory_grows_with_what_is_touched() {
        if testing::role().is_some() {
            let statm = Statm::open();
            let before = statm.resident_kb();
            assert!(before > 100, "{before}");
            let held = std::hint::black_box(vec![1u8; 8 << 20]);
            let grown = statm.resident_kb().saturating_sub(before);
            assert!((7 * 1024..10 * 1024).contains(&grown), "{grown}");
            drop(held);
            testing::pass();
        }
        testing::run_self("sys::process::tests::resident_memory_grows_with_what_is_touched", "x").assert_pass();
    }

    fn report(dir: &Path) -> String {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        // After the name in parentheses: state, parent, group, session, terminal.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let link = |fd| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        let made = dir.join("made");
        fs::write(&made, "").unwrap();
        use std::os::unix::fs::PermissionsExt;
        format!(
            "session-leader={} terminal={} stdio={:?} cwd={:?} mode={:o}",
            fields[3] == std::process::id().to_string(),
            fields[4],
            [link(0), link(1), link(2)],
            std::env::current_dir().unwrap(),
            fs::metadata(&made).unwrap().permissions().mode() & 0o777,
        )
    }

    fn in_role(role: &str) -> ! {
        let dir = std::env::var_os(DIR).map(std::path::PathBuf::from).unwrap();
        let started = std::process::id();
        let daemon = Daemon::start().unwrap();
        assert_ne!(std::process::id(), started);
        eprintln!("still heard");
        if role == "fails" {
            std::process::exit(3);
        }
        std::thread::sleep(Duration::from_millis(200));
        fs::write(dir.join("up"), "").unwrap();
        daemon.ready().unwrap();
        println!("not heard");
        fs::write(dir.join("part"), report(&dir)).unwrap();
        fs::rename(dir.join("part"), dir.join("report")).unwrap();
        testing::pass()
    }

    const DAEMON: &str = "sys::process::tests::daemon_goes_into_the_background";

    #[test]
    fn daemon_goes_into_the_background() {
        if let Some(role) = testing::role() {
            in_role(&role);
        }
        let dir = Dir::new();
        let run = testing::run(testing::command(DAEMON, "ready").env(DIR, dir.path()));
        assert_eq!(run.status.code(), Some(0), "{run:#?}");
        assert!(dir.join("up").exists(), "exit 0 before the child was up");
        assert!(run.stderr.contains("still heard") && !run.stdout.contains("not heard"), "{run:#?}");
        let end = Instant::now() + Duration::from_secs(20);
        while !dir.join("report").exists() {
            assert!(Instant::now() < end, "the daemon did not report");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(
            fs::read_to_string(dir.join("report")).unwrap(),
            "session-leader=false terminal=0 stdio=[\"/dev/null\", \"/dev/null\", \"/dev/null\"] cwd=\"/\" mode=644"
        );
    }

    #[test]
    fn daemon_that_fails_is_exit_1() {
        let dir = Dir::new();
        let run = testing::run(testing::command(DAEMON, "fails").env(DIR, dir.path()));
        assert_eq!(run.status.code(), Some(1), "{run:#?}");
        assert!(run.stderr.contains("still heard"), "{run:#?}");
        assert!(!dir.join("up").exists());
    }

    #[test]
    fn processors_follow_the_affinity() {
        let all = std::thread::available_parallelism().unwrap().get();
        // available_parallelism also knows cgroup quotas, which only ever lower it.
        assert!(cpu_count() >= all);
        std::thread::spawn(|| {
            let mut one: [libc::c_ulong; 128] = [0; 128];
            // SAFETY: as in cpu_count; then the lowest set bit alone is given back.
            unsafe {
                libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&one), one.as_mut_ptr());
                let word = one.iter().position(|w| *w != 0).unwrap();
                let bit = one[word] & one[word].wrapping_neg();
                one = [0; 128];
                one[word] = bit;
                assert_eq!(libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&one), one.as_ptr()), 0);
            }
            assert_eq!(cpu_count(), 1);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn open_file_limit() {
        if testing::role().is_some() {
            let set = |soft, hard| nofile(Some(KernelLimit { soft, hard })).unwrap();
            set(100, 1000);
            assert_eq!(raise_nofile(50, None).unwrap(), 100);
            assert_eq!(raise_nofile(500, None).unwrap(), 500);
            assert_eq!(raise_nofile(500, Some(200)).unwrap(), 200);
            assert_eq!(nofile(None).unwrap().soft, 200);
            assert_eq!(raise_nofile(900, Some(300)).unwrap(), 300);
            // No kernel allows this many: what the hard limit gives is what remains.
            assert_eq!(raise_nofile(u64::MAX - 1, None).unwrap(), 1000);
            let limit = nofile(None).unwrap();
            assert_eq!((limit.soft, limit.hard), (1000, 1000));
            // With CAP_SYS_RESOURCE the hard limit goes up as well; containers often keep it from root.
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|l| l.starts_with("CapEff:")).unwrap();
            let held = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
            let expected = if held & 1 << 24 != 0 { 2000 } else { 1000 };
            assert_eq!(raise_nofile(2000, None).unwrap(), expected);
            assert_eq!(nofile(None).unwrap().hard, expected);
            testing::pass();
        }
        testing::run_self("sys::process::tests::open_file_limit", "x").assert_pass();
    }

    #[test]
    fn thread_names_are_cut() {
        let name_of = |name: &'static str| {
            std::thread::spawn(move || {
                set_thread_name(name);
                fs::read_to_string("/proc/thread-self/comm").unwrap()
            })
            .join()
            .unwrap()
        };
        assert_eq!(name_of("worker 1"), "worker 1\n");
        assert_eq!(name_of("a name longer than the kernel keeps"), "a name longer t\n");
        assert_eq!(name_of(""), "\n");
    }
}
