//! Local stream sockets with a name in the file system (unix(7)), and who is at their other end.

use std::ffi::{CStr, CString};
use std::fmt;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::errno::Errno;
use super::file::open_directory;

/// Connections that wait to be accepted.
const BACKLOG: libc::c_int = 8;

/// Whoever connected, or listens: as it was then (SO_PEERCRED).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The process.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
}

/// A listening socket and its name.
pub struct LocalListener {
    socket: OwnedFd,
    /// The directory it is in, open: a server confined to another root still reaches it.
    dir: OwnedFd,
    name: CString,
    /// Device and inode, by which the name is known to be still ours.
    identity: (u64, u64),
}

/// Why a socket can not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalError {
    /// The system refused.
    System(Errno),
    /// Something else is in the way; the text says what.
    Refused(&'static str),
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocalError::System(errno) => errno.fmt(f),
            LocalError::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for LocalError {}

impl From<Errno> for LocalError {
    fn from(errno: Errno) -> LocalError {
        LocalError::System(errno)
    }
}

/// The result of a system call that answers -1 and errno on failure.
#[inline(never)]
fn check(result: libc::c_int) -> Result<libc::c_int, Errno> {
    super::errno::check(result)
}

/// Takes ownership of the descriptor that a system call has just made, or gives its error.
///
/// # Safety
/// `result` is the untouched return value of a call that makes a new descriptor, owned by nobody else.
#[inline(never)]
unsafe fn own(result: libc::c_int) -> Result<OwnedFd, Errno> {
    let raw = super::errno::check(result)?;
    // SAFETY: the caller promises a new descriptor that is nobody's; -1 was turned into an error above.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A path as the system takes it.
#[inline(never)]
fn terminated(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// Makes a directory, mode 0755 less the umask, and gives it to a user and a group. One that is there stays as it is.
pub fn make_directory(path: &Path, owner: Option<(u32, u32)>) -> Result<(), Errno> {
    let path = terminated(path.as_os_str().as_bytes())?;
    // SAFETY: the path is NUL-terminated.
    match (check(unsafe { libc::mkdir(path.as_ptr(), 0o755) }), owner) {
        // SAFETY: the same path; a link that somebody has put there is not followed.
        (Ok(_), Some((uid, gid))) => check(unsafe { libc::lchown(path.as_ptr(), uid, gid) }).map(|_| ()),
        (Err(errno), _) if errno.0 != libc::EEXIST => Err(errno),
        _ => Ok(()),
    }
}

/// Whether a descriptor is a pipe.
pub fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: all-zero bytes are a valid stat.
    let mut found: libc::stat = unsafe { zeroed() };
    // SAFETY: the kernel writes one stat, which outlives the call.
    let told = unsafe { libc::fstat(fd.as_raw_fd(), &mut found) } == 0;
    told && found.st_mode & libc::S_IFMT == libc::S_IFIFO
}

/// The effective user of this process.
pub fn user() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

impl LocalListener {
    /// Listens at `path`, mode 0600, owned by `owner` (user and group) where that is given. What has the name already is replaced in
    /// one step if it is a socket that nobody listens at, or whose listener `may_replace`; else the error is EADDRINUSE, or says what
    /// it is. Changes the umask for a moment: called while there is one thread.
    pub fn bind(
        path: &Path,
        owner: Option<(u32, u32)>,
        may_replace: &dyn Fn(Credentials) -> bool,
    ) -> Result<LocalListener, LocalError> {
        let whole = path.as_os_str().as_bytes();
        let (dir, name) = whole.split_at(whole.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
        let dir = open_directory(&terminated(if dir.is_empty() { b"." } else { dir })?)?;
        let name_of_it = terminated(name)?;
        match is_socket(dir.as_fd(), &name_of_it) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
            Ok(None) => return Err(LocalError::Refused("something that is no socket has this name")),
            Ok(Some(_)) => match listener_at(path) {
                Err(LocalError::System(Errno::CONNREFUSED)) => {}
                Ok(listener) if may_replace(listener) => {}
                _ => return Err(Errno::ADDRINUSE.into()),
            },
        }
        // Made under another name and then put in place: no moment is without a socket that answers.
        let new_path = [whole, b".new"].concat();
        let new_name = terminated(new_path.get(whole.len() - name.len()..).unwrap_or_default())?;
        if let Ok(Some(_)) = is_socket(dir.as_fd(), &new_name) {
            remove(dir.as_fd(), &new_name)?;
        }
        let socket = socket(libc::SOCK_NONBLOCK)?;
        let (address, length) = address(&new_path)?;
        // SAFETY: umask takes an integer and cannot fail; `address` is a sockaddr_un of the length passed.
        let bound = unsafe {
            let mask = libc::umask(0o177);
            let bound = check(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length));
            libc::umask(mask);
            bound
        };
        bound?;
        let mut made = LocalListener { socket, dir, name: name_of_it, identity: (0, 0) };
        match made.finish(&new_name, owner) {
            Ok(identity) => {
                made.identity = identity;
                Ok(made)
            }
            Err(error) => {
                let _ = remove(made.dir.as_fd(), &new_name);
                Err(error)
            }
        }
    }

    /// Gives the new socket to its owner, listens, and puts it in its place.
    fn finish(&self, new_name: &CStr, owner: Option<(u32, u32)>) -> Result<(u64, u64), LocalError> {
        if let Some((uid, gid)) = owner {
            // By descriptor, after a look: who may write to the directory could have put something else there.
            let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            // SAFETY: the name is NUL-terminated, the directory open; the kernel gives a new descriptor.
            let place = unsafe { own(libc::openat(self.dir.as_raw_fd(), new_name.as_ptr(), flags)) }?;
            // SAFETY: all-zero bytes are a valid stat.
            let mut found: libc::stat = unsafe { zeroed() };
            // SAFETY: the kernel writes one stat, which outlives the call.
            check(unsafe { libc::fstat(place.as_raw_fd(), &mut found) })?;
            if found.st_mode & libc::S_IFMT != libc::S_IFSOCK || found.st_nlink != 1 || found.st_uid != user() {
                return Err(LocalError::Refused("another process meddles with it"));
            }
            // SAFETY: an empty, NUL-terminated path: the descriptor itself is meant.
            check(unsafe { libc::fchownat(place.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) })?;
        }
        // SAFETY: no pointer is passed.
        check(unsafe { libc::listen(self.socket.as_raw_fd(), BACKLOG) })?;
        let (dir, found) = (self.dir.as_raw_fd(), is_socket(self.dir.as_fd(), new_name)?);
        // SAFETY: both names are NUL-terminated and the directory is open.
        check(unsafe { libc::renameat(dir, new_name.as_ptr(), dir, self.name.as_ptr()) })?;
        found.ok_or(LocalError::Refused("another process meddles with it"))
    }

    /// The directory that the socket is in.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The next connection, non-blocking, and whose it is. `Errno::AGAIN` when none waits.
    pub fn accept(&self) -> Result<(OwnedFd, Credentials), Errno> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let none = std::ptr::null_mut();
        // SAFETY: null means that the address is not asked for; the kernel gives a new descriptor that nobody owns.
        let socket = unsafe { own(libc::accept4(self.socket.as_raw_fd(), none, none.cast(), flags)) }?;
        let peer = credentials(socket.as_fd())?;
        Ok((socket, peer))
    }

    /// Removes the name, unless what has it now is another socket.
    pub fn remove(&self) {
        if is_socket(self.dir.as_fd(), &self.name) == Ok(Some(self.identity)) {
            let _ = remove(self.dir.as_fd(), &self.name);
        }
    }
}

impl AsFd for LocalListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Connects to the socket at `path`; what is read from it and written to it blocks.
pub fn connect(path: &Path) -> Result<OwnedFd, LocalError> {
    connect_with(path, 0)
}

/// Connects to the socket at `path`; nothing on it blocks. [`Errno::AGAIN`]: its backlog is full.
pub fn connect_at_once(path: &Path) -> Result<OwnedFd, Errno> {
    connect_with(path, libc::SOCK_NONBLOCK).map_err(|error| match error {
        LocalError::System(errno) => errno,
        LocalError::Refused(_) => Errno::NAMETOOLONG,
    })
}

fn connect_with(path: &Path, flags: libc::c_int) -> Result<OwnedFd, LocalError> {
    let socket = socket(flags)?;
    let (address, length) = address(path.as_os_str().as_bytes())?;
    // SAFETY: `address` is a sockaddr_un of the length passed.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// Who listens at `path`; ECONNREFUSED when nobody does.
fn listener_at(path: &Path) -> Result<Credentials, LocalError> {
    Ok(credentials(connect_with(path, libc::SOCK_NONBLOCK)?.as_fd())?)
}

fn socket(flags: libc::c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: socket takes integers; the descriptor it makes is nobody else's.
    unsafe { own(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0)) }
}

/// The address of a path, which must leave room for the zero byte behind it.
fn address(path: &[u8]) -> Result<(libc::sockaddr_un, libc::socklen_t), LocalError> {
    // SAFETY: all-zero bytes are a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return Err(LocalError::Refused("the path is too long for a socket: name one of at most 103 bytes"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as libc::c_char;
    }
    Ok((address, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

fn credentials(socket: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let mut peer = MaybeUninit::<libc::ucred>::zeroed();
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: the kernel writes at most `length` bytes into `peer`, both of which outlive the call.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, peer.as_mut_ptr().cast(), &mut length) })?;
    // SAFETY: zeroed memory is a valid value of this struct of integers, and the kernel filled it.
    let peer = unsafe { peer.assume_init() };
    Ok(Credentials { pid: u32::try_from(peer.pid).unwrap_or(0), uid: peer.uid })
}

/// The identity of the socket that has a name in a directory; None = something else has it.
#[allow(clippy::unnecessary_cast)] // The numbers have other widths on other targets.
fn is_socket(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<(u64, u64)>, Errno> {
    // SAFETY: all-zero bytes are a valid stat.
    let mut found: libc::stat = unsafe { zeroed() };
    // SAFETY: the name is NUL-terminated and the kernel writes one stat, which outlives the call.
    check(unsafe { libc::fstatat(dir.as_raw_fd(), name.as_ptr(), &mut found, libc::AT_SYMLINK_NOFOLLOW) })?;
    let is_one = found.st_mode & libc::S_IFMT == libc::S_IFSOCK;
    Ok(is_one.then_some((found.st_dev as u64, found.st_ino as u64)))
}

fn remove(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: the name is NUL-terminated and the directory open.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) }).map(|_| ())
}

/// Waits until something can be read from `first`, if it is given, or from `second`; says from which. Neither = so many milliseconds
/// have passed.
pub fn wait_readable(first: Option<BorrowedFd<'_>>, second: BorrowedFd<'_>, milliseconds: Option<u32>) -> (bool, bool) {
    let limit = milliseconds.map_or(-1, |limit| libc::c_int::try_from(limit).unwrap_or(libc::c_int::MAX));
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // A negative number is passed over by poll.
    let mut both = [entry(first.map_or(-1, |first| first.as_raw_fd())), entry(second.as_raw_fd())];
    loop {
        // SAFETY: two initialised pollfds that outlive the call.
        let ready = unsafe { libc::poll(both.as_mut_ptr(), 2, limit) };
        if ready >= 0 || Errno::last() != Errno::INTR {
            return (both[0].revents != 0, both[1].revents != 0);
        }
    }
}

/// Standard input (0) or standard output (1) opened anew, never blocking: the open file that the number stands for is shared with
/// other processes, which a change of it would take by surprise. Fails for what is neither a terminal nor a pipe nor a file, and where
/// there is no /proc.
pub fn reopen_standard(number: u8) -> Result<OwnedFd, Errno> {
    let (path, way) =
        if number == 0 { (c"/proc/self/fd/0", libc::O_RDONLY) } else { (c"/proc/self/fd/1", libc::O_WRONLY) };
    let flags = way | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: a NUL-terminated path; the kernel gives a new descriptor that nobody owns.
    unsafe { own(libc::open(path.as_ptr(), flags)) }
}

/// Standard input (0) or standard output (1) as it is.
pub fn standard(number: u8) -> BorrowedFd<'static> {
    // SAFETY: nothing here closes the standard descriptors; where one is closed, its use is an error and nothing more.
    unsafe { BorrowedFd::borrow_raw(number.min(1).into()) }
}

/// Has a process in the background told EIO instead of being stopped when it reads from its terminal or writes to it.
pub fn ignore_terminal_stops() {
    for signal in [libc::SIGTTIN, libc::SIGTTOU] {
        // SAFETY: SIG_IGN is a valid disposition and runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Whether an error is what a terminal tells a process in the background (EIO).
pub fn is_background(errno: Errno) -> bool {
    errno == Errno::IO
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::Dir;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::{UnixListener, UnixStream};

    const NEVER: &dyn Fn(Credentials) -> bool = &|_| false;

    #[test]
    fn a_listener_has_its_mode_and_knows_who_comes() {
        let dir = Dir::new();
        let path = dir.join("sock");
        let listener = LocalListener::bind(&path, None, NEVER).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
        let _client = connect(&path).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, Credentials { pid: std::process::id(), uid: user() });
        assert!(!dir.join("sock.new").exists());
        listener.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_one_is_replaced_and_a_living_one_only_where_it_may_be() {
        let dir = Dir::new();
        let path = dir.join("sock");
        drop(UnixListener::bind(&path).unwrap());
        drop(UnixListener::bind(dir.join("sock.new")).unwrap());
        let first = LocalListener::bind(&path, None, NEVER).unwrap();
        let refused = LocalListener::bind(&path, None, NEVER).err().unwrap();
        assert_eq!(refused, LocalError::System(Errno::ADDRINUSE));
        let own = std::process::id();
        let second = LocalListener::bind(&path, None, &|listener| listener.pid == own).unwrap();
        let inode = fs::symlink_metadata(&path).unwrap().ino();
        first.remove();
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode, "that of the second stays");
        UnixStream::connect(&path).unwrap();
        assert!(second.accept().is_ok());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let dir = Dir::new();
        fs::write(dir.join("file"), "mine").unwrap();
        std::os::unix::fs::symlink("file", dir.join("link")).unwrap();
        for name in ["file", "link"] {
            let error = LocalListener::bind(&dir.join(name), None, NEVER).err().unwrap();
            assert!(error.to_string().contains("no socket"), "{error}");
        }
        assert_eq!(fs::read(dir.join("file")).unwrap(), b"mine");
        assert!(LocalListener::bind(&dir.join("missing/sock"), None, NEVER).is_err());
        assert!(LocalListener::bind(&dir.join(&"x".repeat(120)), None, NEVER).is_err());
    }

    #[test]
    fn waiting_tells_which() {
        let (one, other) = UnixStream::pair().unwrap();
        let (silent, _other) = UnixStream::pair().unwrap();
        assert_eq!(wait_readable(Some(silent.as_fd()), one.as_fd(), Some(1)), (false, false));
        std::io::Write::write_all(&mut &other, b"x").unwrap();
        assert_eq!(wait_readable(Some(silent.as_fd()), one.as_fd(), None), (false, true));
        assert_eq!(wait_readable(Some(one.as_fd()), silent.as_fd(), None), (true, false));
        assert_eq!(wait_readable(None, one.as_fd(), None), (false, true));
    }
}
