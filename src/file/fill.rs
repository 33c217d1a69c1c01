//! Writing down what a path led to: the head of its plain answer, its entry in the table, a small file's content.

use crate::file::conditional::etag_text;
use crate::file::error::push_error;
use crate::file::handler::Handler;
use crate::file::resolve::{Opened, Outcome, resolve};
use crate::http::output::{Output, Sink, server_field};
use crate::limits::{KEY_MAX, SMALL_FILE_MAX};
use crate::plugin::scene::{Scene, push_site_fields};
use crate::sys::Errno;
use crate::sys::file::read_at;
use crate::vhost::entry::{Key, Layout, NewEntry, hash_bytes, identity_of};
use crate::vhost::table::{EntryId, Half};
use crate::wire::accept::Coding;
use crate::wire::date::{DATE_LEN, write_date};

/// Stands for the status of a directory without an index file until it is entered as a 403.
const NO_INDEX: u16 = 0;

/// The answer depends on whether the client takes HTML.
pub(super) const VARY_ACCEPT: &[u8] = b"Vary: Accept\r\n";

impl Handler {
    /// Finds what a key leads to and enters it in the table. Err = the status to answer when that is impossible now.
    pub(super) fn fill(&mut self, scene: &mut Scene<'_>, key: &Key<'_>) -> Result<EntryId, u16> {
        let now = scene.clock.now();
        let (outcome, checked) =
            resolve(scene.live, &mut self.roots, &mut self.room, key.site, key.variant, key.path, now);
        match outcome {
            Outcome::File(opened) => self.fill_file(scene, key, opened, checked),
            Outcome::Directory => self.fill_status(scene, key, 301, checked),
            Outcome::NoIndex => self.fill_status(scene, key, NO_INDEX, checked),
            Outcome::Status(status) => self.fill_status(scene, key, status, checked),
            Outcome::Unavailable => Err(503),
        }
    }

    pub(super) fn fill_file(
        &mut self,
        scene: &mut Scene<'_>,
        key: &Key<'_>,
        opened: Opened<'_>,
        checked: u32,
    ) -> Result<EntryId, u16> {
        let now = scene.clock.now();
        let marks = (u64::from(opened.varies) << 2) | opened.coding as u64;
        let identity = identity_of(&opened.meta) ^ marks.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seed = scene.live.site(key.site).map_or(0, |site| hash_bytes(0, &site.etag_seed));
        let etag = hash_bytes(seed, &etag_source(&opened));
        if let Some(id) = self.table.refresh(key, (200, identity, etag), checked, now) {
            return Ok(id);
        }
        let start = scene.out.len();
        let layout = push_file_head(scene, key, &opened, etag);
        if scene.out.overflowed() {
            scene.out.truncate(start);
            return Err(500);
        }
        let size = opened.meta.size;
        let body = usize::try_from(size).ok().filter(|&size| size <= SMALL_FILE_MAX);
        let mut file = Some(opened.file);
        let mut entry = None;
        // A long path is not remembered; a body that does not fit stays in the file.
        let key = if key.path.len() > KEY_MAX { &Key { path: b"", ..*key } } else { key };
        for body in [body, Some(0)].into_iter().flatten() {
            let head = scene.out.bytes().get(start..).unwrap_or_default();
            if head.len() + key.path.len() + body > self.table.longest(Half::Hits) {
                continue;
            }
            let new = NewEntry {
                status: 200,
                directory: false,
                layout,
                file: file.take(),
                size,
                mtime: opened.meta.mtime,
                identity,
                etag,
                checked,
            };
            entry = self.table.insert(Half::Hits, key, head, body, new, now);
            break;
        }
        scene.out.truncate(start);
        let id = entry.ok_or(503u16)?;
        if self.read_body(id) { Ok(id) } else { Err(503) }
    }

    /// Reads a small file into the room behind its head.
    fn read_body(&mut self, id: EntryId) -> bool {
        let Some((file, room)) = self.table.file_and_room(id) else { return false };
        let mut filled = 0;
        while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match read_at(file, rest, filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if filled == room.len() {
            return true;
        }
        // The file shrank while it was read: what is known of it is wrong already.
        self.table.discard(id);
        false
    }

    /// Enters a path that leads to no file. Its whole answer is kept when it is short.
    fn fill_status(&mut self, scene: &mut Scene<'_>, key: &Key<'_>, status: u16, checked: u32) -> Result<EntryId, u16> {
        let directory = status == NO_INDEX;
        let status = if directory { 403 } else { status };
        let now = scene.clock.now();
        // The site's own page becomes part of what is remembered, and may have been looked at before.
        let page = self.custom_page(scene, key.site, status).and_then(|(id, _)| self.table.checked(id));
        let age = page.map_or(0, |page| now.wrapping_sub(page)).max(now.wrapping_sub(checked));
        let checked = now.wrapping_sub(age);
        let start = scene.out.len();
        let whole = status != 301 && push_error(self, scene, status, key);
        let bytes = scene.out.bytes().get(start..).unwrap_or_default();
        let half = Half::Misses;
        let fits = whole && key.path.len() + bytes.len() <= self.table.longest(half);
        let bytes = if fits { bytes } else { b"" };
        let layout =
            Layout { date: date_offset(bytes).unwrap_or(0), head: head_len(bytes) as u16, ..Layout::default() };
        let body = bytes.len() - usize::from(layout.head);
        // An answer that is not kept has a size that no body has: it is written anew each time.
        let size = if fits { body as u64 } else { u64::MAX };
        let new = NewEntry { status, directory, layout, file: None, size, mtime: 0, identity: 0, etag: 0, checked };
        let key = if key.path.len() > KEY_MAX { &Key { path: b"", ..*key } } else { key };
        let entry = self.table.insert_whole(half, key, bytes, new, now);
        scene.out.truncate(start);
        entry.ok_or(503)
    }
}

fn head_len(answer: &[u8]) -> usize {
    answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4)
}

fn date_offset(answer: &[u8]) -> Option<u16> {
    const FIELD: &[u8] = b"\r\nDate: ";
    let at = answer.windows(FIELD.len()).position(|window| window == FIELD)?;
    u16::try_from(at + FIELD.len()).ok()
}

/// What an entity tag is made from: times in nanoseconds, size and inode, so that files of one build with equal times and
/// a swapped image with equal names still differ.
fn etag_source(opened: &Opened<'_>) -> [u8; 32] {
    let meta = &opened.meta;
    let mut source = [0u8; 32];
    let (time, rest) = source.split_at_mut(16);
    let nanoseconds = i128::from(meta.mtime) * 1_000_000_000 + i128::from(meta.mtime_ns);
    time.copy_from_slice(&nanoseconds.to_le_bytes());
    let (size, inode) = rest.split_at_mut(8);
    size.copy_from_slice(&meta.size.to_le_bytes());
    inode.copy_from_slice(&meta.inode.to_le_bytes());
    source
}

/// Writes the head of a file's plain answer and notes where its parts lie.
fn push_file_head(scene: &mut Scene<'_>, key: &Key<'_>, opened: &Opened<'_>, etag: u64) -> Layout {
    let (live, clock) = (scene.live, scene.clock);
    let server = &live.config().server;
    let out = &mut *scene.out;
    let start = out.len();
    let offset = |out: &Output| (out.len() - start) as u16;
    let mut layout = Layout::default();
    out.push_status(200);
    out.push(server_field(server.hide_version));
    if let Some(date) = clock.date() {
        layout.date = offset(out) + "Date: ".len() as u16;
        out.push_field("Date", date);
    }
    layout.common = offset(out);
    if let Some(now) = clock.wall() {
        // RFC 9110 section 8.8.2.1: never later than the answer itself.
        let mut date = [0u8; DATE_LEN];
        write_date(opened.meta.mtime.min(now), &mut date);
        out.push_field("Last-Modified", &date);
    }
    out.push_field("ETag", &etag_text(etag));
    // The page of a single-page application also stands in for misses, for whoever takes HTML.
    let stands_in = live.site(key.site).and_then(|site| site.fallback.as_deref()).map(str::as_bytes) == Some(key.path);
    match (opened.varies, stands_in) {
        (true, true) => out.push(b"Vary: Accept-Encoding, Accept\r\n"),
        (true, false) => out.push(b"Vary: Accept-Encoding\r\n"),
        (false, true) => out.push(VARY_ACCEPT),
        (false, false) => {}
    }
    if let Some(rule) =
        live.site(key.site).and_then(|site| site.cache.iter().find(|rule| rule.pattern.is_match(key.path)))
    {
        out.push_field("Cache-Control", rule.value.as_bytes());
    }
    push_site_fields(out, live, key.site, key.path);
    layout.content = offset(out);
    out.push_field("Content-Type", opened.media_type.as_bytes());
    match opened.coding {
        Coding::Br => out.push(b"Content-Encoding: br\r\n"),
        Coding::Gzip => out.push(b"Content-Encoding: gzip\r\n"),
        Coding::Identity => {}
    }
    out.push(if server.resume { b"Accept-Ranges: bytes\r\n" } else { b"Accept-Ranges: none\r\n" });
    layout.length = offset(out);
    out.push_length(opened.meta.size);
    out.push(b"\r\n");
    layout.head = offset(out);
    layout
}
