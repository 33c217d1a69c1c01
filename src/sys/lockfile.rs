//! The PID file: who runs, and a lock that holds for as long as it does.
//!
//! The lock is flock(2)'s: it belongs to the open file, so it survives going into the background, and the kernel takes it
//! back when the last process that holds the file ends, however it ends. (An fcntl lock goes when any descriptor of the
//! file is closed, and a child does not inherit it.)

use super::fd::{check, own, refused};
use super::file;
use super::passwd;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why there is no PID file.
#[derive(Debug)]
pub enum PidFileError {
    /// A running process holds it.
    Locked {
        /// The file.
        path: PathBuf,
        /// The process id in it, unless it cannot be read.
        pid: Option<u32>,
    },
    /// It cannot be made or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PidFileError::Locked { path, pid } => {
                write!(f, "PidFile {}: a server runs already", path.display())?;
                if let Some(pid) = pid {
                    write!(f, " as process {pid}")?;
                }
                f.write_str("; stop it or name another PidFile")
            }
            PidFileError::Io { path, error } => {
                write!(f, "PidFile {}: {error}; name a file in a directory that can be written", path.display())
            }
        }
    }
}

impl std::error::Error for PidFileError {}

/// A locked PID file. Dropping it lets go of the lock and leaves the file, which the next server takes over;
/// [`PidFile::remove`] is the orderly end.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    /// The directory it is in, open: a server confined to another root still reaches it.
    dir: OwnedFd,
    name: CString,
}

/// How often a file that vanishes under us is tried again: each time another server ended just then.
const TRIES: u32 = 16;

impl PidFile {
    /// Makes or takes over the file at `path` (mode 0644 less the umask), locks it, and writes the process id and a line
    /// end into it. A symbolic link, a file with several names and anything but a regular file is refused: root writes here.
    pub fn create(path: &Path) -> Result<PidFile, PidFileError> {
        let mut tries = 0..TRIES;
        let error = loop {
            match PidFile::attempt(path) {
                Ok(Some(file)) => return Ok(file),
                Ok(None) if tries.next().is_some() => {}
                Ok(None) => break refused("another process keeps replacing it"),
                Err(error) => break error,
            }
        };
        let path = path.to_owned();
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(PidFileError::Io { path, error });
        }
        let pid = read_pid(&path);
        Err(PidFileError::Locked { path, pid })
    }

    /// `None` if the file that was locked is no longer the one at `path`.
    fn attempt(path: &Path) -> io::Result<Option<PidFile>> {
        let bytes = path.as_os_str().as_bytes();
        let (dir, name) = bytes.split_at(bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
        // Open from here on: the working directory changes before the file is removed.
        let dir = if dir.is_empty() { b"." } else { dir };
        let (dir, name) = (file::open_directory(&CString::new(dir)?)?, CString::new(name)?);
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file = file::open_with(path, flags)?;
        let kind = file.metadata()?;
        if !kind.is_file() || kind.nlink() > 1 {
            return Err(refused("not a regular file with one name"));
        }
        // SAFETY: flock takes an open descriptor and an integer.
        check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })?;
        if !is_at(&file, dir.as_fd(), &name) {
            return Ok(None);
        }
        write_pid(&mut file)?;
        Ok(Some(PidFile { file, dir, name }))
    }

    /// The directory that the file is in.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Removes the file, unless what is at its path now is another one, and lets go of the lock. A server without root's rights
    /// often may not remove it: then the file is left empty, and the error says why.
    pub fn remove(self) -> io::Result<()> {
        if !is_at(&self.file, self.dir.as_fd(), &self.name) {
            return Ok(());
        }
        // SAFETY: the name is NUL-terminated and the directory open.
        let removed = check(unsafe { libc::unlinkat(self.dir.as_raw_fd(), self.name.as_ptr(), 0) });
        if removed.is_err() {
            self.file.set_len(0)?;
        }
        removed.map(|_| ())
    }
}

fn is_at(file: &File, dir: BorrowedFd<'_>, name: &CString) -> bool {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the name is NUL-terminated and the directory open; the kernel gives a new descriptor that nobody owns.
    let Ok(there) = (unsafe { own(libc::openat(dir.as_raw_fd(), name.as_ptr(), flags)) }) else { return false };
    match (file::meta(file.as_fd()), file::meta(there.as_fd())) {
        (Ok(ours), Ok(there)) => (ours.device, ours.inode) == (there.device, there.inode),
        _ => false,
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

fn read_pid(path: &Path) -> Option<u32> {
    let mut text = [0; 32];
    let read = file::read_small(&CString::new(path.as_os_str().as_bytes()).ok()?, &mut text).ok()?;
    passwd::id(text.get(..read)?.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Daemon;
    use crate::sys::testing::{self, Dir};
    use std::fs;
    use std::io::BufRead;
    use std::process::Stdio;

    const PATH: &str = "MONKEY_TEST_PIDFILE";
    const HOLDER: &str = "sys::lockfile::tests::held_by_another_process";

    fn me() -> u32 {
        std::process::id()
    }

    #[test]
    fn made_and_removed() {
        let dir = Dir::new();
        let path = dir.join("monkey.pid");
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", me()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o133, 0);
        file.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn stale_file_is_taken_over() {
        let dir = Dir::new();
        let path = dir.join("monkey.pid");
        fs::write(&path, "4194303\nand a long rest that must go\n").unwrap();
        let first = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", me()));
        // The lock is the open file's, so that it holds against our own process as well.
        match PidFile::create(&path) {
            Err(PidFileError::Locked { pid, .. }) => assert_eq!(pid, Some(me())),
            other => panic!("{other:?}"),
        }
        drop(first);
        PidFile::create(&path).unwrap();
    }

    #[test]
    fn only_our_own_file_is_removed() {
        let dir = Dir::new();
        let path = dir.join("monkey.pid");
        let file = PidFile::create(&path).unwrap();
        fs::rename(&path, dir.join("moved")).unwrap();
        fs::write(&path, "another's").unwrap();
        file.remove().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
    }

    #[test]
    fn links_and_odd_files_are_refused() {
        let dir = Dir::new();
        let target = dir.join("target");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, dir.join("symlink")).unwrap();
        fs::hard_link(&target, dir.join("hardlink")).unwrap();
        fs::create_dir(dir.join("folder")).unwrap();
        for name in ["symlink", "hardlink", "folder", "missing/monkey.pid"] {
            let made = PidFile::create(&dir.join(name));
            let Err(PidFileError::Io { path, .. }) = &made else { panic!("{name}: {made:?}") };
            assert_eq!(path, &dir.join(name));
        }
        assert!(matches!(PidFile::create(Path::new("/dev/null")), Err(PidFileError::Io { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    fn in_role(role: &str) -> ! {
        let path = PathBuf::from(std::env::var_os(PATH).unwrap());
        let daemon = (role == "background").then(|| Daemon::start().unwrap());
        let _file = PidFile::create(&path).unwrap();
        match daemon {
            Some(daemon) => daemon.ready().unwrap(),
            None => println!("holding"),
        }
        // Until the test kills it: a crash must free the lock.
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }

    fn kill(pid: u32) {
        // SAFETY: integers only; the process is one this test started.
        assert_eq!(unsafe { libc::kill(pid.try_into().unwrap(), libc::SIGKILL) }, 0);
    }

    #[test]
    fn held_by_another_process() {
        if let Some(role) = testing::role() {
            in_role(&role);
        }
        let dir = Dir::new();
        let path = dir.join("monkey.pid");
        let mut holder =
            testing::command(HOLDER, "foreground").env(PATH, &path).stdout(Stdio::piped()).spawn().unwrap();
        let out = io::BufReader::new(holder.stdout.take().unwrap());
        assert!(out.lines().any(|line| line.unwrap().contains("holding")));
        let error = PidFile::create(&path).unwrap_err();
        assert!(matches!(error, PidFileError::Locked { pid: Some(pid), .. } if pid == holder.id()), "{error}");
        kill(holder.id());
        holder.wait().unwrap();
        PidFile::create(&path).unwrap().remove().unwrap();
    }

    #[test]
    fn lock_outlives_going_into_the_background() {
        let dir = Dir::new();
        let path = dir.join("monkey.pid");
        let run = testing::run(testing::command(HOLDER, "background").env(PATH, &path));
        assert_eq!(run.status.code(), Some(0), "{run:#?}");
        let error = PidFile::create(&path).unwrap_err();
        let PidFileError::Locked { pid: Some(pid), .. } = error else { panic!("{error}") };
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        assert_eq!(exe, std::env::current_exe().unwrap());
        kill(pid);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            match PidFile::create(&path) {
                Ok(file) => break file.remove().unwrap(),
                Err(PidFileError::Locked { .. }) if std::time::Instant::now() < end => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn file_that_cannot_be_removed_is_emptied() {
        use std::os::unix::fs::PermissionsExt;
        const NAME: &str = "sys::lockfile::tests::file_that_cannot_be_removed_is_emptied";
        if testing::role().is_some() {
            let path = PathBuf::from(std::env::var_os(PATH).unwrap());
            let file = PidFile::create(&path).unwrap();
            crate::sys::credentials::drop_to(&crate::sys::credentials::Identity {
                uid: 4321,
                gid: 4321,
                groups: vec![4321],
            })
            .unwrap();
            assert_eq!(file.remove().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            testing::pass();
        }
        if !testing::root_or_skip("removing the PID file without rights") {
            return;
        }
        let dir = Dir::new();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.join("monkey.pid");
        testing::run(testing::command(NAME, "x").env(PATH, &path)).assert_pass();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
