//! From a path to an open file: root, user directories, index files, precompressed siblings.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tinyvec::ArrayVec;

use crate::limits::{PASSWD_MAX, PATH_ROOM};
use crate::sys::Errno;
use crate::sys::file::{Kind, Meta, meta, open_beneath, open_directory, open_directory_beneath, read_small};
use crate::sys::memory::Region;
use crate::sys::passwd::home_of_user;
use crate::vhost::live::Live;
use crate::vhost::roots::Roots;
use crate::wire::accept::{Coding, Encodings};

/// What a path led to.
pub(super) enum Outcome<'a> {
    /// A regular file.
    File(Opened<'a>),
    /// A directory named without its final slash.
    Directory,
    /// A directory without an index file.
    NoIndex,
    /// Nothing that may be served: the status that says why.
    Status(u16),
    /// The server is short of something (descriptors, memory of the kernel, the root itself): 503, not to be remembered.
    Unavailable,
}

/// A file that may be served.
pub(super) struct Opened<'a> {
    pub(super) file: OwnedFd,
    pub(super) meta: Meta,
    /// The coding of the content; the sibling's when one was chosen.
    pub(super) coding: Coding,
    /// Another client might get another coding of the same path.
    pub(super) varies: bool,
    /// The media type of the content, coding aside.
    pub(super) media_type: &'a str,
}

/// A path under construction, NUL-terminated on demand.
pub(super) struct PathRoom {
    bytes: Region,
    len: usize,
}

impl PathRoom {
    pub(super) fn new() -> io::Result<PathRoom> {
        Ok(PathRoom { bytes: Region::new(PATH_ROOM)?, len: 0 })
    }

    #[inline(always)]
    pub(super) fn set(&mut self, path: &[u8]) -> Result<(), Errno> {
        self.len = 0;
        self.push(path)
    }

    pub(super) fn push(&mut self, more: &[u8]) -> Result<(), Errno> {
        let end = self.len + more.len();
        // One byte stays free for the NUL.
        if end >= self.bytes.len() {
            return Err(Errno::NAMETOOLONG);
        }
        self.bytes.get_mut(self.len..end).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(more);
        self.len = end;
        Ok(())
    }

    #[inline(always)]
    pub(super) fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn as_c_str(&mut self) -> Result<&CStr, Errno> {
        *self.bytes.get_mut(self.len).ok_or(Errno::NAMETOOLONG)? = 0;
        let text = self.bytes.get(..=self.len).ok_or(Errno::NAMETOOLONG)?;
        CStr::from_bytes_with_nul(text).map_err(|_| Errno::NOENT)
    }
}

/// The codings a client takes before the plain file, in two numbers of two bits: what tells cache entries apart.
pub(super) fn variant_of(encodings: &Encodings) -> u8 {
    let compressed = encodings.preferred().take_while(|&coding| coding != Coding::Identity);
    compressed.fold(0, |variant, coding| (variant << 2) | if coding == Coding::Br { 1 } else { 2 })
}

fn codings_of(variant: u8) -> ArrayVec<[Coding; 2]> {
    let mut codings = ArrayVec::new();
    for bits in [variant >> 2, variant & 3] {
        match bits {
            1 => _ = codings.try_push(Coding::Br),
            2 => _ = codings.try_push(Coding::Gzip),
            _ => {}
        }
    }
    codings
}

fn suffix(coding: Coding) -> &'static [u8] {
    match coding {
        Coding::Br => b".br",
        Coding::Gzip => b".gz",
        Coding::Identity => b"",
    }
}

/// The status for a path that could not be opened.
fn refusal(errno: Errno) -> Outcome<'static> {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Outcome::Status(404),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN => Outcome::Unavailable,
        _ => Outcome::Status(403),
    }
}

/// The status of a failure to open what a path leads to.
pub(super) fn refused(errno: Errno) -> u16 {
    match refusal(errno) {
        Outcome::Status(status) => status,
        _ => 503,
    }
}

/// What the path in `room` is, beneath a root.
pub(super) fn look_at(root: BorrowedFd<'_>, room: &mut PathRoom, symlinks: bool) -> Result<Kind, Errno> {
    open(root, room, symlinks).map(|(_, meta)| meta.kind)
}

/// Resolves `path` of a site, for a client that takes the codings of `variant`. The number is the moment at which that was
/// so: `now`, or earlier when the root was opened earlier.
pub(super) fn resolve<'a>(
    live: &'a Live,
    roots: &mut Roots,
    room: &mut PathRoom,
    site: u16,
    variant: u8,
    path: &[u8],
    now: u32,
) -> (Outcome<'a>, u32) {
    let server = &live.config().server;
    if let (Some(folder), Some(rest)) = (&server.user_dir, path.strip_prefix(b"/~")) {
        let (user, rest) = rest.split_at(rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len()));
        let outcome = match open_user_dir(room, user, folder.as_bytes(), server.symlink) {
            Ok(_) if rest.is_empty() => Outcome::Directory,
            Ok(root) => look(live, root.as_fd(), room, site, variant, path, rest),
            Err(errno) => refusal(errno),
        };
        return (outcome, now);
    }
    let Some((root, rest)) = live.place(site, path) else { return (Outcome::Status(404), now) };
    match roots.get(live, root, now) {
        Ok((_, opened)) if rest.is_empty() && !path.ends_with(b"/") => (Outcome::Directory, opened),
        Ok((root, opened)) => (look(live, root, room, site, variant, path, rest), opened),
        Err(_) => (Outcome::Unavailable, now),
    }
}

/// Opens the directory that a path with a final slash leads to. Err = the status to answer.
pub(super) fn open_listed(
    live: &Live,
    roots: &mut Roots,
    room: &mut PathRoom,
    site: u16,
    path: &[u8],
    now: u32,
) -> Result<OwnedFd, u16> {
    let server = &live.config().server;
    let status = refused;
    let beneath = |room: &mut PathRoom, root: BorrowedFd<'_>, rest: &[u8]| {
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        room.set(if rest.is_empty() { b"./" } else { rest })?;
        open_directory_beneath(root, room.as_c_str()?, server.symlink)
    };
    if let (Some(folder), Some(rest)) = (&server.user_dir, path.strip_prefix(b"/~")) {
        let (user, rest) = rest.split_at(rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len()));
        let root = open_user_dir(room, user, folder.as_bytes(), server.symlink).map_err(status)?;
        return beneath(room, root.as_fd(), rest).map_err(status);
    }
    let (root, rest) = live.place(site, path).ok_or(404u16)?;
    let (root, _) = roots.get(live, root, now).map_err(|_| 503u16)?;
    beneath(room, root, rest).map_err(status)
}

/// Opens the folder of a user's home that is served, beneath that home: a link there is the user's, not the operator's. Not
/// inlined: its frame would be every caller's.
#[inline(never)]
fn open_user_dir(room: &mut PathRoom, user: &[u8], folder: &[u8], symlinks: bool) -> Result<OwnedFd, Errno> {
    let mut passwd = [0u8; PASSWD_MAX];
    let len = read_small(c"/etc/passwd", &mut passwd)?;
    let home = home_of_user(user, passwd.get(..len).unwrap_or_default()).ok_or(Errno::NOENT)?;
    room.set(home)?;
    let home = open_directory(room.as_c_str()?)?;
    room.set(folder)?;
    open_directory_beneath(home.as_fd(), room.as_c_str()?, symlinks)
}

/// Opens a path beneath a root and says what it is.
fn open(root: BorrowedFd<'_>, room: &mut PathRoom, symlinks: bool) -> Result<(OwnedFd, Meta), Errno> {
    let file = open_beneath(root, room.as_c_str()?, symlinks)?;
    let meta = meta(file.as_fd())?;
    Ok((file, meta))
}

fn look<'a>(
    live: &'a Live,
    root: BorrowedFd<'_>,
    room: &mut PathRoom,
    site: u16,
    variant: u8,
    path: &[u8],
    rest: &[u8],
) -> Outcome<'a> {
    let symlinks = live.config().server.symlink;
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    if let Err(errno) = room.set(if rest.is_empty() { b"./" } else { rest }) {
        return refusal(errno);
    }
    let slash = room.text().ends_with(b"/");
    let (file, meta) = match open(root, room, symlinks) {
        Ok(found) => found,
        Err(errno) => return refusal(errno),
    };
    match meta.kind {
        Kind::Regular if slash => Outcome::Status(404),
        // A program's text is never sent; without a handler to run it, it is not there for anyone.
        Kind::Regular if is_script(live, site, path) => Outcome::Status(403),
        Kind::Regular => serve(live, root, room, variant, file, meta),
        Kind::Directory if !slash => Outcome::Directory,
        Kind::Directory => {
            drop(file);
            look_index(live, root, room, site, variant)
        }
        Kind::Link | Kind::Other => Outcome::Status(403),
    }
}

/// The first index file of the directory in `room`.
fn look_index<'a>(live: &'a Live, root: BorrowedFd<'_>, room: &mut PathRoom, site: u16, variant: u8) -> Outcome<'a> {
    let server = &live.config().server;
    let directory = room.len;
    for name in &server.index_files {
        room.len = directory;
        if room.push(name.as_bytes()).is_err() {
            continue;
        }
        match open(root, room, server.symlink) {
            Ok((_, meta)) if meta.kind == Kind::Regular && has_extension(live, site, name.as_bytes()) => {
                return Outcome::Status(403);
            }
            Ok((file, meta)) if meta.kind == Kind::Regular => {
                return serve(live, root, room, variant, file, meta);
            }
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => {}
            Err(errno) => return refusal(errno),
        }
    }
    Outcome::NoIndex
}

/// Chooses the coding of the regular file in `room`.
fn serve<'a>(
    live: &'a Live,
    root: BorrowedFd<'_>,
    room: &mut PathRoom,
    variant: u8,
    file: OwnedFd,
    meta: Meta,
) -> Outcome<'a> {
    let server = &live.config().server;
    let media_type = live.config().mime.lookup(room.text()).unwrap_or(&server.default_mime_type);
    let mut opened = Opened { file, meta, coding: Coding::Identity, varies: false, media_type };
    let plain = room.len;
    let mut chosen = None;
    let wanted = codings_of(variant);
    for coding in wanted.into_iter().chain([Coding::Br, Coding::Gzip]) {
        room.len = plain;
        if room.push(suffix(coding)).is_err() {
            continue;
        }
        let Ok((sibling, sibling_meta)) = open(root, room, server.symlink) else { continue };
        // One older than the file it stands for was forgotten when the file was edited.
        if sibling_meta.kind != Kind::Regular
            || (sibling_meta.mtime, sibling_meta.mtime_ns) < (meta.mtime, meta.mtime_ns)
        {
            continue;
        }
        opened.varies = true;
        if chosen.is_none() && wanted.contains(&coding) {
            chosen = Some((sibling, sibling_meta, coding));
        }
        break;
    }
    if let Some((file, meta, coding)) = chosen {
        (opened.file, opened.meta, opened.coding) = (file, meta, coding);
    }
    Outcome::File(opened)
}

/// Whether a file that a path of a site names is a program: it may be run, and is never sent.
pub(super) fn is_script(live: &Live, site: u16, path: &[u8]) -> bool {
    has_extension(live, site, path)
        || live.site(site).is_some_and(|site| site.handlers.iter().any(|line| line.runs(path)))
}

/// Whether a name ends as those of programs do.
fn has_extension(live: &Live, site: u16, path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    // A compressed program is one all the same.
    let name = name.strip_suffix(b".gz").or_else(|| name.strip_suffix(b".br")).unwrap_or(name);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    let extension = name.get(dot + 1..).unwrap_or_default();
    let scripts = live.site(site).map_or(&[][..], |site| &site.script_extensions);
    scripts.iter().any(|script| script.as_bytes().eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_no_answer_about_a_path() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR, Errno::AGAIN] {
            assert!(matches!(refusal(errno), Outcome::Unavailable), "{errno:?}");
        }
        assert!(matches!(refusal(Errno::NOENT), Outcome::Status(404)));
        // EACCES
        assert!(matches!(refusal(Errno(13)), Outcome::Status(403)));
    }
}
