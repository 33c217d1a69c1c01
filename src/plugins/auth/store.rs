//! The users files as they are read: at start, and again when they change. Each worker has the text of each of them, so that nobody has
//! to wait for anybody; what is told of a file is told once.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::{info, warn};

use crate::config::Config;
use crate::config::plugins::auth::Protection;
#[cfg(feature = "auth-bcrypt")]
use crate::plugins::auth::users::Secret;
use crate::plugins::auth::users::{Line, line, lines};
use crate::sys::Errno;
use crate::sys::clock::wall_seconds;
use crate::sys::file::{Kind, Meta, meta, open_at, open_directory, read_whole};
use crate::sys::memory::Region;

/// How long a file is trusted to be as it was, milliseconds.
const TRUSTED_MS: u32 = 1000;

/// For how long after a change a file is read again even if it looks unchanged, seconds: a second change within the same tick of
/// the file system's clock does not show.
const FRESH_S: u64 = 2;

/// Broken lines of one file that are told of one by one.
const TOLD_MAX: u32 = 8;

/// The users files that a configuration names, each once.
pub fn files(config: &Config) -> Vec<&Protection> {
    let mut files: Vec<&Protection> = Vec::new();
    for protection in config.sites.iter().flat_map(|site| &site.plugins.auth) {
        if !files.iter().any(|file| is_same(&file.users, &protection.users)) {
            files.push(protection);
        }
    }
    files
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.as_os_str() == other.as_os_str()
}

/// A users file, for all workers.
pub struct Source {
    path: PathBuf,
    /// What the name is relative to, where it can not be reached by its path.
    dir: Option<OwnedFd>,
    /// As it is opened; None = it is out of reach.
    name: Option<CString>,
    /// Bytes that each worker has for it.
    room: usize,
    /// The state that was told of last: a hash, for another state to be known by.
    told: AtomicU64,
}

impl Source {
    /// Prepares a file for being read once rights are given up. `confined` = they are.
    pub fn new(config: &Config, file: &Protection, confined: bool) -> Source {
        let path = file.users.as_os_str().as_bytes();
        let (mut dir, mut name) = (None, CString::new(path).ok());
        if let Some(chroot) = &config.server.chroot {
            let inside = chroot.inside(&file.users);
            name = inside.and_then(|inside| CString::new(inside.into_os_string().into_vec()).ok());
            if name.is_none() && !confined {
                let end = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                let (parent, last) = path.split_at_checked(end).unwrap_or((path, b""));
                dir = CString::new(parent).ok().and_then(|parent| open_directory(&parent).ok());
                name = dir.as_ref().and_then(|_| CString::new(last).ok());
            }
        }
        // That a file is missing from the beginning is told when the configuration is read.
        let told = AtomicU64::new(Trouble::System(Errno::NOENT).hash());
        Source { path: file.users.clone(), dir, name, room: file.room, told }
    }

    /// Whether it is this file, with room enough.
    pub fn serves(&self, file: &Protection) -> bool {
        is_same(&self.path, &file.users) && self.room >= file.room
    }

    /// Opens the file and looks at it.
    fn open(&self) -> Result<(OwnedFd, Meta), Trouble> {
        let name = self.name.as_ref().ok_or(Trouble::OutOfReach)?;
        let file = open_at(self.dir.as_ref().map(AsFd::as_fd), name)?;
        let meta = meta(file.as_fd())?;
        match meta {
            Meta { kind: Kind::Regular, writable_by_all: false, .. } => Ok((file, meta)),
            Meta { kind: Kind::Regular, .. } => Err(Trouble::Writable),
            _ => Err(Trouble::NoFile),
        }
    }

    /// Whether a state is another one than was told of last.
    fn is_news(&self, state: u64) -> bool {
        self.told.swap(state, Ordering::Relaxed) != state
    }
}

/// Why a file can not be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    System(Errno),
    OutOfReach,
    NoFile,
    Writable,
}

impl Trouble {
    fn hash(self) -> u64 {
        match self {
            Trouble::System(errno) => u64::from(errno.0.unsigned_abs()),
            Trouble::OutOfReach => 1 << 32,
            Trouble::NoFile => 2 << 32,
            Trouble::Writable => 3 << 32,
        }
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::System(errno)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::System(Errno::ACCES) => f.write_str("the user that the server runs as may not read it"),
            Trouble::System(errno) => errno.fmt(f),
            Trouble::OutOfReach => f.write_str("out of reach with this Chroot"),
            Trouble::NoFile => f.write_str("not a regular file"),
            Trouble::Writable => f.write_str("every user may write to it: chmod o-w"),
        }
    }
}

/// What a worker has of a users file.
pub struct Users {
    source: Arc<Source>,
    text: Region,
    /// Bytes of it; None = it can not be read, so that nobody gets in.
    len: Option<usize>,
    /// The file that was read.
    seen: Option<Meta>,
    /// Whether a change of it is sure to show.
    settled: bool,
    checked: u32,
}

impl Users {
    /// Takes the memory and reads the file. `now` in milliseconds.
    pub fn new(source: &Arc<Source>, now: u32) -> io::Result<Users> {
        let text = Region::new(source.room)?;
        let mut users = Users { source: Arc::clone(source), text, len: None, seen: None, settled: false, checked: now };
        users.look();
        Ok(users)
    }

    /// Whether this is what it has of a file.
    pub fn is_of(&self, source: &Arc<Source>) -> bool {
        Arc::ptr_eq(&self.source, source)
    }

    /// Whether this is the file of a path.
    pub fn is_at(&self, path: &Path) -> bool {
        is_same(&self.source.path, path)
    }

    /// The text as it stood in the file a second ago or later. None = nobody gets in.
    pub fn text(&mut self, now: u32) -> Option<&[u8]> {
        if now.wrapping_sub(self.checked) >= TRUSTED_MS {
            self.checked = now;
            self.look();
        }
        self.len.and_then(|len| self.text.get(..len))
    }

    /// Whether there is a user whose password is verified at length.
    #[cfg(feature = "auth-bcrypt")]
    pub fn needs_bcrypt(&self) -> bool {
        let text = self.len.and_then(|len| self.text.get(..len)).unwrap_or_default();
        lines(text).any(|text| matches!(line(text), Line::User(_, Secret::Bcrypt(_))))
    }

    fn look(&mut self) {
        if let Err(trouble) = self.refresh() {
            (self.len, self.seen) = (None, None);
            if self.source.is_news(trouble.hash()) {
                warn!("auth: {}: {trouble}: nobody gets in", self.source.path.display());
            }
        }
    }

    /// Reads the file if it is not the one that was read.
    fn refresh(&mut self) -> Result<(), Trouble> {
        let (file, meta) = self.source.open()?;
        if self.settled && self.seen == Some(meta) {
            return Ok(());
        }
        let path = self.source.path.display();
        let state = hash(&meta);
        if meta.size > self.text.len() as u64 {
            if self.source.is_news(state) {
                let room = self.text.len();
                warn!(
                    "auth: {path}: grown to {} bytes, of {room} at most: not read; a reload gives it room",
                    meta.size
                );
            }
            return Ok(());
        }
        self.len = Some(read_whole(file.as_fd(), &mut self.text)?);
        self.settled = wall_seconds().abs_diff(meta.mtime) >= FRESH_S;
        self.seen = Some(meta);
        if self.source.is_news(state) {
            self.tell();
        }
        Ok(())
    }

    /// Says what was read.
    fn tell(&self) {
        let path = self.source.path.display();
        let (mut users, mut broken) = (0, 0);
        for (number, text) in lines(self.text.get(..self.len.unwrap_or(0)).unwrap_or_default()).enumerate() {
            match line(text) {
                Line::Nothing => {}
                Line::User(..) => users += 1,
                Line::Broken(why) => {
                    broken += 1;
                    if broken <= TOLD_MAX {
                        warn!("auth: {path}:{}: {why}: nobody can log in by this line", number + 1);
                    }
                }
            }
        }
        info!("auth: {path}: {users} users, {broken} broken lines");
    }
}

fn hash(meta: &Meta) -> u64 {
    let times = [meta.mtime as u64, meta.mtime_ns.into(), meta.ctime as u64, meta.ctime_ns.into()];
    let others = [meta.size, meta.inode, meta.device];
    let numbers = times.into_iter().chain(others);
    // FNV-1a, of words. Never a number that stands for trouble.
    numbers.fold(0xcbf2_9ce4_8422_2325, |hash: u64, number| (hash ^ number).wrapping_mul(0x0100_0000_01b3)) | 1 << 63
}
