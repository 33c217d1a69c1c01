//! Scripts: which file a path runs, and what of the path is left for it (RFC 3875 sections 3.3, 4.1.5 and 4.1.13).

use std::os::fd::BorrowedFd;

use crate::file::handler::Handler;
use crate::file::resolve::{PathRoom, is_script, look_at, refused};
use crate::plugin::handler::Script;
use crate::plugin::scene::Scene;
use crate::sys::Errno;
use crate::sys::file::Kind;
use crate::vhost::request::Request;
use crate::vhost::roots::FRESH_MS;
use crate::wire::pattern::Pattern;

/// Scripts that were found lately, so that one that is asked for again and again is not looked at each time.
#[derive(Default)]
pub struct Known {
    scripts: [Seen; 8],
    next: u8,
}

/// A path that led to a script.
#[derive(Default)]
struct Seen {
    /// The address of the pattern that it was found by.
    pattern: usize,
    site: u16,
    /// How many bytes of the path name it.
    name: u16,
    /// Milliseconds when it was there; it is trusted as files are.
    at: u32,
    path: heapless::Vec<u8, 96>,
}

impl Known {
    fn find(&self, pattern: usize, request: &Request<'_>, now: u32) -> Option<usize> {
        let is = |seen: &&Seen| {
            seen.pattern == pattern
                && seen.site == request.site
                && now.wrapping_sub(seen.at) < FRESH_MS
                && *seen.path == *request.path
        };
        self.scripts.iter().find(is).map(|seen| seen.name.into())
    }

    fn note(&mut self, pattern: usize, request: &Request<'_>, now: u32, name: usize) {
        let Ok(path) = heapless::Vec::from_slice(request.path) else { return };
        if let Some(place) = self.scripts.get_mut(usize::from(self.next)) {
            *place = Seen { pattern, site: request.site, name: name as u16, at: now, path };
        }
        self.next = (self.next + 1) % self.scripts.len() as u8;
    }
}

impl Handler {
    /// The file that a path of a site runs: the first of its beginnings, up to a slash or its end, that is a regular file and fits
    /// `pattern`. Without the second an upload `x.jpg` could be run as `/x.jpg/y.php`. None = there is no such file. Err = the status to
    /// answer.
    pub fn find_script(
        &mut self,
        scene: &Scene<'_>,
        request: &Request<'_>,
        pattern: &Pattern,
    ) -> Result<Option<Script<'_>>, u16> {
        let Handler { roots, room, scripts, .. } = self;
        let (live, path, now) = (scene.live, request.path, scene.clock.now());
        let Some((root, rest)) = live.place(request.site, path) else { return Ok(None) };
        let Some(place) = live.root(root).map(|place| place.as_bytes()) else { return Ok(None) };
        let skipped = path.len() - rest.len();
        let by = std::ptr::from_ref(pattern).addr();
        if let Some(name) = scripts.find(by, request, now) {
            return tell(room, place, rest.get(..name.saturating_sub(skipped)).unwrap_or_default(), name);
        }
        let (root, _) = roots.get(live, root, now).map_err(|_| 503u16)?;
        let ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([rest.len()]) {
            let name = path.get(..skipped + end).unwrap_or_default();
            if !pattern.is_match(name) {
                continue;
            }
            match is_regular(root, room, rest.get(..end).unwrap_or_default(), live.config().server.symlink) {
                Ok(true) => {}
                Ok(false) | Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => continue,
                Err(errno) => return Err(refused(errno)),
            }
            scripts.note(by, request, now, name.len());
            return tell(room, place, rest.get(..end).unwrap_or_default(), name.len());
        }
        Ok(None)
    }

    /// Whether the index file of the directory that a path with a final slash leads to is a script: its name is then appended to the path
    /// in `whole`, and the length of both is the result.
    pub fn index_script(&mut self, scene: &Scene<'_>, request: &Request<'_>, whole: &mut [u8]) -> Option<usize> {
        let Handler { roots, room, .. } = self;
        let (live, path) = (scene.live, request.path);
        let (root, rest) = live.place(request.site, path)?;
        let (root, _) = roots.get(live, root, scene.clock.now()).ok()?;
        let server = &live.config().server;
        for name in &server.index_files {
            room.set(rest).and_then(|()| room.push(name.as_bytes())).ok()?;
            if look_at(root, room, server.symlink) == Ok(Kind::Regular) {
                let len = path.len() + name.len();
                whole.get_mut(..path.len())?.copy_from_slice(path);
                whole.get_mut(path.len()..len)?.copy_from_slice(name.as_bytes());
                return is_script(live, request.site, whole.get(..len)?).then_some(len);
            }
        }
        None
    }
}

/// The script that is a file below a root.
fn tell<'r>(room: &'r mut PathRoom, root: &[u8], file: &[u8], name: usize) -> Result<Option<Script<'r>>, u16> {
    let whole = room.set(root).and_then(|()| room.push(b"/")).and_then(|()| room.push(file));
    whole.map_err(|_| 404u16)?;
    Ok(Some(Script { file: room.text(), root: root.len(), name }))
}

fn is_regular(root: BorrowedFd<'_>, room: &mut PathRoom, path: &[u8], symlinks: bool) -> Result<bool, Errno> {
    if path.is_empty() {
        return Ok(false);
    }
    room.set(path)?;
    look_at(root, room, symlinks).map(|kind| kind == Kind::Regular)
}
