//! The users files as they are read: at start, and again when they change. Each worker has the text of each of them, so that nobody has
//! to wait for anybody; what is told of a file is told once.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::{Level, say};

use crate::config::Config;
use crate::config::plugins::auth::Protection;
#[cfg(feature = "auth-bcrypt")]
use crate::plugins::auth::users::Secret;
use crate::plugins::auth::users::{Line, line, lines};
use crate::sys::Errno;
use crate::sys::clock::{monotonic_ms, wall_seconds};
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
    for site in &config.sites {
        for protection in &site.plugins.auth {
            if !files.iter().any(|file| is_same(&file.users, &protection.users)) {
                files.push(protection);
            }
        }
    }
    files
}

/// The same as they are opened. Those that are known and have room enough stay what they are; `confined` = rights are given up.
pub fn sources(config: &Config, known: &[Arc<Source>], confined: bool) -> Vec<Arc<Source>> {
    let mut sources = Vec::new();
    for file in files(config) {
        let old = known.iter().find(|source| is_same(&source.path, &file.users) && source.room >= file.room);
        sources.push(match old {
            Some(source) => Arc::clone(source),
            None => Arc::new(Source::new(config, file, confined)),
        });
    }
    sources
}

#[inline(never)]
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
        let (mut dir, mut name) = (None, c_string(path));
        if let Some(chroot) = &config.server.chroot {
            name = chroot.inside(&file.users).and_then(|inside| c_string(inside.as_os_str().as_bytes()));
            if name.is_none() && !confined {
                let end = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                let (parent, last) = path.split_at_checked(end).unwrap_or((path, b""));
                dir = c_string(parent).and_then(|parent| open_directory(&parent).ok());
                if dir.is_some() {
                    name = c_string(last);
                }
            }
        }
        // That a file is missing from the beginning is told when the configuration is read.
        let told = AtomicU64::new(Trouble::System(Errno::NOENT).state());
        Source { path: file.users.clone(), dir, name, room: file.room, told }
    }

    /// Opens the file and looks at it.
    fn open(&self) -> Result<(OwnedFd, Meta), Trouble> {
        let name = self.name.as_ref().ok_or(Trouble::Says("out of reach with this Chroot"))?;
        let file = open_at(self.dir.as_ref().map(AsFd::as_fd), name)?;
        let meta = meta(file.as_fd())?;
        if meta.kind != Kind::Regular {
            return Err(Trouble::Says("not a regular file"));
        }
        if meta.writable_by_all {
            return Err(Trouble::Says("every user may write to it: chmod o-w"));
        }
        Ok((file, meta))
    }

    /// Says something about it: what follows its path.
    #[inline(never)]
    fn tell(&self, level: Level, what: &dyn fmt::Display) {
        say(level, format_args!("auth: {}{what}", self.path.display()));
    }

    /// Whether a state is another one than was told of last.
    fn is_news(&self, state: u64) -> bool {
        self.told.swap(state, Ordering::Relaxed) != state
    }
}

fn c_string(path: &[u8]) -> Option<CString> {
    CString::new(path).ok()
}

/// Why a file can not be used.
#[derive(Clone, Copy)]
enum Trouble {
    System(Errno),
    Says(&'static str),
}

impl Trouble {
    /// A number for it: no error of the system has an address for a number.
    fn state(self) -> u64 {
        match self {
            Trouble::System(errno) => u64::from(errno.0.unsigned_abs()),
            Trouble::Says(what) => what.as_ptr().addr() as u64,
        }
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        match errno {
            Errno::ACCES => Trouble::Says("the user that the server runs as may not read it"),
            errno => Trouble::System(errno),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::System(errno) => write!(f, ": {errno}: nobody gets in"),
            Trouble::Says(what) => write!(f, ": {what}: nobody gets in"),
        }
    }
}

/// What a worker has of a users file.
pub struct Users {
    source: Arc<Source>,
    text: Region,
    /// Bytes of it; None = it can not be read, so that nobody gets in.
    len: Option<usize>,
    /// The state of the file that was read: a hash of all that tells it from another. 0 = none was.
    seen: u64,
    /// Whether a change of it is sure to show.
    settled: bool,
    checked: u32,
}

impl Users {
    /// Takes the memory and reads the file.
    pub fn new(source: &Arc<Source>) -> io::Result<Box<Users>> {
        let text = Region::new(source.room)?;
        let source = Arc::clone(source);
        let mut users = Box::new(Users { source, text, len: None, seen: 0, settled: false, checked: monotonic_ms() });
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

    #[inline(never)]
    fn look(&mut self) {
        if let Err(trouble) = self.refresh() {
            (self.len, self.seen) = (None, 0);
            if self.source.is_news(trouble.state()) {
                self.source.tell(Level::Warn, &trouble);
            }
        }
    }

    /// Reads the file if it is not the one that was read.
    fn refresh(&mut self) -> Result<(), Trouble> {
        let (file, meta) = self.source.open()?;
        let state = hash(&meta);
        if self.settled && self.seen == state {
            return Ok(());
        }
        let room = self.text.len();
        if meta.size > room as u64 {
            if self.source.is_news(state) {
                let what =
                    format_args!(": grown to {} bytes, of {room} at most: not read; a reload gives it room", meta.size);
                self.source.tell(Level::Warn, &what);
            }
            return Ok(());
        }
        self.len = Some(read_whole(file.as_fd(), &mut self.text)?);
        self.settled = wall_seconds().abs_diff(meta.ctime) >= FRESH_S;
        self.seen = state;
        if self.source.is_news(state) {
            self.tell();
        }
        Ok(())
    }

    /// Says what was read.
    fn tell(&self) {
        let (mut users, mut broken, mut number) = (0u32, 0u32, 0u32);
        for text in lines(self.text.get(..self.len.unwrap_or(0)).unwrap_or_default()) {
            number += 1;
            match line(text) {
                Line::Nothing => {}
                Line::User(..) => users += 1,
                Line::Broken(why) => {
                    broken += 1;
                    if broken <= TOLD_MAX {
                        let what = format_args!(":{number}: {why}: nobody can log in by this line");
                        self.source.tell(Level::Warn, &what);
                    }
                }
            }
        }
        self.source.tell(Level::Info, &format_args!(": {users} users, {broken} broken lines"));
    }
}

fn hash(meta: &Meta) -> u64 {
    let numbers = [
        meta.mtime as u64,
        meta.mtime_ns.into(),
        meta.ctime as u64,
        meta.ctime_ns.into(),
        meta.size,
        meta.inode,
        meta.device,
    ];
    // FNV-1a, of words. Never a number that stands for trouble, or for nothing.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for number in &numbers {
        hash = (hash ^ number).wrapping_mul(0x0100_0000_01b3);
    }
    hash | 1 << 63
}
