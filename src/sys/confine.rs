//! Rights that are given up for good: new ones by exec, capabilities, and every file outside of a directory.
//!
//! Sources: PR_SET_NO_NEW_PRIVS(2const), capabilities(7), capget(2), PR_CAPBSET_DROP(2const), chroot(2). All of it belongs to
//! the calling thread and the threads it starts: called before there is any other.

use std::io;
use std::path::Path;

use super::fd::{check, check_long, refused};

/// A set of capabilities, as in /proc/PID/status: bit n is capability n.
pub type Capabilities = u64;

/// Reading any file and searching any directory, whoever owns it (CAP_DAC_READ_SEARCH).
pub const READ_SEARCH: Capabilities = 1 << 2;
/// Listening on ports below 1024 (CAP_NET_BIND_SERVICE).
pub const BIND_SERVICE: Capabilities = 1 << 10;

/// _LINUX_CAPABILITY_VERSION_3: sets of 64 bits, in two halves.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// The lower or upper half of three sets.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// From now on no exec gives this thread, or a process it starts, more rights than it has: set-user-id bits and file
/// capabilities count for nothing. Can not be undone. Needs Linux 3.5.
pub fn forbid_new_rights() -> io::Result<()> {
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: prctl takes integers here.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, none, none, none) })?;
    Ok(())
}

/// Makes `dir` the root directory and the working directory. Files that are open stay so. Needs CAP_SYS_CHROOT.
pub fn enter_root(dir: &Path) -> io::Result<()> {
    std::os::unix::fs::chroot(dir)?;
    // SAFETY: a NUL-terminated path.
    check(unsafe { libc::chdir(c"/".as_ptr()) })?;
    Ok(())
}

/// Takes every capability but those of `keep` out of the bounding set, beyond which no exec can lead. Without CAP_SETPCAP
/// the set stays as it is: after [`forbid_new_rights`] nothing can be gained from it.
pub fn limit_bounding(keep: Capabilities) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    for number in 0..64 {
        let bit: libc::c_ulong = number;
        // SAFETY: prctl takes integers here.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, bit, none, none, none) };
        if held < 0 {
            // Beyond the last one that this kernel has.
            break;
        }
        if held == 0 || keep >> number & 1 == 1 {
            continue;
        }
        // SAFETY: prctl takes integers here.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, bit, none, none, none) }) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            dropped => dropped?,
        };
    }
    Ok(())
}

/// Keeps of the capabilities that can be used those of `keep`, and none that an exec would pass on: the inheritable set
/// becomes empty, and with it the ambient one. Reads them back: an error if more are there than were asked for.
pub fn limit_capabilities(keep: Capabilities) -> io::Result<()> {
    let [low, high] = read()?;
    let limited = |half: Half, keep: u32| {
        let permitted = half.permitted & keep;
        Half { permitted, effective: permitted, inheritable: 0 }
    };
    let wanted = [limited(low, keep as u32), limited(high, (keep >> 32) as u32)];
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: the kernel reads a header and, for this version, two halves; both outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, wanted.as_ptr()) })?;
    if read()? != wanted {
        return Err(refused("capabilities are still there after they were given up"));
    }
    Ok(())
}

/// The sets of the calling thread.
fn read() -> io::Result<[Half; 2]> {
    let header = Header { version: VERSION, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: the kernel reads a header and, for this version, writes two halves; both outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capget, &raw const header, halves.as_mut_ptr()) })?;
    Ok(halves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{self, Dir};

    /// The sets of the calling thread as the kernel shows them: inheritable, permitted, effective, bounding, ambient.
    fn shown() -> [Capabilities; 5] {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            Capabilities::from_str_radix(line.trim(), 16).unwrap()
        })
    }

    #[test]
    fn capabilities_are_kept_and_dropped() {
        if testing::role().is_some() {
            let before = shown();
            let keep = READ_SEARCH | BIND_SERVICE;
            limit_bounding(keep).unwrap();
            limit_capabilities(keep).unwrap();
            let kept = before[1] & keep;
            assert_eq!(shown(), [0, kept, kept, before[3] & keep, 0]);
            // What is gone stays gone, and what is not held is not taken.
            limit_capabilities(u64::MAX).unwrap();
            assert_eq!(shown()[1], kept);
            limit_capabilities(0).unwrap();
            assert_eq!(shown(), [0, 0, 0, before[3] & keep, 0]);
            // Without the right to change it the bounding set stays, which is no error.
            limit_bounding(0).unwrap();
            assert_eq!(shown()[3], before[3] & keep);
            testing::pass();
        }
        if testing::root_or_skip("giving up capabilities") {
            testing::run_self("sys::confine::tests::capabilities_are_kept_and_dropped", "x").assert_pass();
        }
    }

    #[test]
    fn ambient_capabilities_go_with_the_inheritable_ones() {
        if testing::role().is_some() {
            let [low, high] = read().unwrap();
            let raised = [Half { inheritable: BIND_SERVICE as u32, ..low }, high];
            let header = Header { version: VERSION, pid: 0 };
            let (raise, bit, none): (libc::c_ulong, libc::c_ulong, libc::c_ulong) = (2, 10, 0);
            // SAFETY: as in limit_capabilities; then integers.
            unsafe {
                assert_eq!(libc::syscall(libc::SYS_capset, &raw const header, raised.as_ptr()), 0);
                assert_eq!(libc::prctl(libc::PR_CAP_AMBIENT, raise, bit, none, none), 0);
            }
            assert_eq!(shown()[4], BIND_SERVICE);
            limit_capabilities(BIND_SERVICE).unwrap();
            let [inheritable, permitted, effective, _, ambient] = shown();
            assert_eq!([inheritable, permitted, effective, ambient], [0, BIND_SERVICE, BIND_SERVICE, 0]);
            testing::pass();
        }
        if testing::root_or_skip("ambient capabilities") {
            let name = "sys::confine::tests::ambient_capabilities_go_with_the_inheritable_ones";
            testing::run_self(name, "x").assert_pass();
        }
    }

    #[test]
    fn no_new_rights() {
        if testing::role().is_some() {
            let told = || {
                let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
                status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:")).map(|value| value.trim().to_string())
            };
            forbid_new_rights().unwrap();
            assert_eq!(told().as_deref(), Some("1"));
            testing::pass();
        }
        testing::run_self("sys::confine::tests::no_new_rights", "x").assert_pass();
    }

    #[test]
    fn another_root() {
        const DIR: &str = "MONKEY_TEST_DIR";
        if testing::role().is_some() {
            let dir = std::env::var_os(DIR).unwrap();
            enter_root(Path::new(&dir)).unwrap();
            assert_eq!(std::fs::read("/inside").unwrap(), b"x");
            assert_eq!(std::fs::read("inside").unwrap(), b"x", "the working directory");
            assert!(!Path::new(&dir).exists());
            testing::pass();
        }
        if testing::root_or_skip("another root directory") {
            let dir = Dir::new();
            std::fs::write(dir.join("inside"), "x").unwrap();
            let mut command = testing::command("sys::confine::tests::another_root", "x");
            testing::run(command.env(DIR, dir.path())).assert_pass();
        }
    }
}
