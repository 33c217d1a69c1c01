//! One listing under way: what it remembers between two parts of its answer, and how a part is written.

use std::os::fd::{AsFd, OwnedFd};

use crate::http::output::{Output, Sink};
use crate::limits::{INPUT_ROOM, PATH_ROOM};
use crate::plugin::handler::Produced;
use crate::plugin::scene::{Scene, Stream};
use crate::plugins::dirlisting::Tools;
use crate::plugins::dirlisting::json;
use crate::plugins::dirlisting::order::{Mark, NAME_ROOM, Order, Records};
use crate::plugins::dirlisting::page::{Shown, View};
use crate::plugins::dirlisting::source::Source;
use crate::storage::pool::BufferId;
use crate::sys::Errno;
use crate::sys::directory::{entries, read_entries, seek};

/// Bytes that are read of a directory at once.
const READ_ROOM: usize = 4 * 1024;
/// Room for both: what was read, and a path.
pub(super) const SCRATCH: usize = READ_ROOM + PATH_ROOM + NAME_ROOM;
/// Least that a part of an answer has, bytes, when no buffer is free to keep what the client does not take at once.
const PART_MIN: usize = 1024;
/// How often a directory is read for one part of an unsorted listing, so that one with nothing to show keeps nobody waiting.
const READS_A_PART: usize = 32;

/// Which part of the answer is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// Before anything is written: are there few enough entries to sort them?
    Count,
    /// This piece of the header.
    Header(u16),
    Parent,
    Entries,
    /// This piece of the footer.
    Footer(u16),
    End,
}

/// A listing under way.
pub(super) struct Listing {
    pub(super) directory: OwnedFd,
    /// The path.
    pub(super) buffer: BufferId,
    pub(super) path_len: u16,
    pub(super) site: u16,
    pub(super) stream: Stream,
    pub(super) progress: Progress,
}

/// How far one has got.
pub(super) struct Progress {
    order: Order,
    json: bool,
    /// Tells it from every other.
    number: u32,
    sorted: bool,
    /// No entry is written yet.
    first: bool,
    part: Part,
    /// The place in the directory where an unsorted listing goes on.
    position: i64,
    /// The entry behind which a sorted one goes on.
    after: Option<Mark>,
}

/// What is being written: a part of the answer, as long as may be.
struct Writing<'a> {
    out: &'a mut Output,
    start: usize,
    limit: usize,
}

impl Writing<'_> {
    /// Writes something as a whole. False = not in this part any more.
    fn put(&mut self, write: &mut dyn FnMut(&mut Output)) -> bool {
        let mark = self.out.len();
        write(self.out);
        let fits = !self.out.overflowed() && (self.out.len() <= self.limit || mark == self.start);
        if !fits && mark > self.start {
            self.out.truncate(mark);
        }
        fits
    }
}

impl Listing {
    /// Writes the next part of the answer.
    pub(super) fn produce(&mut self, tools: &mut Tools, scene: &mut Scene<'_>) -> Produced {
        let before = scene.out.len();
        let chunk = scene.begin_chunk(self.stream);
        let start = scene.out.len();
        // No more than there is a buffer for if the client takes nothing of it.
        let limit = scene.pool.largest_free(INPUT_ROOM).max(PART_MIN);
        let path = scene.pool.get(&self.buffer).get(..usize::from(self.path_len)).unwrap_or_default();
        let source = Source { directory: self.directory.as_fd(), live: scene.live, site: self.site, path };
        let written = self.progress.write(tools, source, &mut Writing { out: scene.out, start, limit });
        if written.is_err() || scene.out.overflowed() {
            return Produced::Broken;
        }
        let ends = self.progress.part == Part::End;
        match (scene.out.len() > start, ends) {
            // A chunk of nothing would be the end.
            (false, true) => scene.out.truncate(before),
            (false, false) => {
                scene.out.push(b"\n");
                scene.end_chunk(self.stream, chunk);
            }
            (true, _) => scene.end_chunk(self.stream, chunk),
        }
        if !ends {
            return Produced::More;
        }
        scene.end_stream(self.stream);
        Produced::Done
    }
}

impl Progress {
    pub(super) fn new(number: u32, order: Order, json: bool) -> Progress {
        Progress { order, json, number, sorted: true, first: true, part: Part::Count, position: 0, after: None }
    }

    /// Writes until the part is full or all is written.
    fn write(&mut self, tools: &mut Tools, source: Source<'_>, to: &mut Writing<'_>) -> Result<(), Errno> {
        let Tools { scratch, records, built_in, .. } = tools;
        let config = &source.live.config().plugins.dirlisting;
        let theme = config.theme.as_ref().unwrap_or(built_in);
        if self.part == Part::Count {
            self.sorted = self.select(scratch, records, source, config.sort_limit)?;
            self.part = Part::Header(0);
        }
        let view = View { theme, path: source.path, order: self.order, sorted: self.sorted, limit: config.sort_limit };
        loop {
            self.part = match self.part {
                Part::Count | Part::End => return Ok(()),
                Part::Header(_) if self.json => {
                    if !to.put(&mut |out| json::push_head(out, source.path)) {
                        return Ok(());
                    }
                    Part::Entries
                }
                Part::Footer(_) if self.json => {
                    if !to.put(&mut |out| json::push_foot(out, view.sorted)) {
                        return Ok(());
                    }
                    Part::End
                }
                Part::Header(number) => {
                    let mut there = true;
                    if !to.put(&mut |out| there = view.push_piece(out, &theme.header, number.into(), None)) {
                        return Ok(());
                    }
                    if there { Part::Header(number + 1) } else { Part::Parent }
                }
                Part::Footer(number) => {
                    let mut there = true;
                    if !to.put(&mut |out| there = view.push_piece(out, &theme.footer, number.into(), None)) {
                        return Ok(());
                    }
                    if there { Part::Footer(number + 1) } else { Part::End }
                }
                Part::Parent => {
                    let parent = Shown { name: b"..", meta: None };
                    if !source.is_top() && !to.put(&mut |out| view.push_entry(out, &parent)) {
                        return Ok(());
                    }
                    Part::Entries
                }
                Part::Entries => {
                    let through = match self.sorted {
                        true => self.write_sorted(scratch, records, source, &view, to)?,
                        false => self.write_as_they_come(scratch, source, &view, to)?,
                    };
                    if !through {
                        return Ok(());
                    }
                    Part::Footer(0)
                }
            };
        }
    }

    /// Writes an entry.
    fn put(&mut self, view: &View<'_>, shown: &Shown<'_>, to: &mut Writing<'_>) -> bool {
        let fits = match self.json {
            true => to.put(&mut |out| json::push_entry(out, self.first, shown)),
            false => to.put(&mut |out| view.push_entry(out, shown)),
        };
        self.first &= !fits;
        fits
    }

    /// Puts the next entries in order into the records. False = there are too many to be sorted.
    fn select(
        &mut self,
        scratch: &mut [u8],
        records: &mut Records,
        source: Source<'_>,
        limit: u32,
    ) -> Result<bool, Errno> {
        let (read, room) = scratch.split_at_mut_checked(READ_ROOM).ok_or(Errno::INVAL)?;
        records.clear(self.number);
        seek(source.directory, 0)?;
        let after = self.after.as_ref().map(Mark::key);
        let mut left = limit;
        loop {
            let len = read_entries(source.directory, read)?;
            if len == 0 {
                return Ok(true);
            }
            for entry in entries(read.get(..len).unwrap_or_default()) {
                if matches!(entry.name.to_bytes(), b"." | b"..") {
                    continue;
                }
                if left == 0 {
                    return Ok(false);
                }
                left = left.saturating_sub(1);
                let Some(key) = source.key(&entry, self.order, room) else { continue };
                if after.is_none_or(|after| self.order.compare(&key, &after).is_gt()) {
                    records.offer(self.order, &key);
                }
            }
        }
    }

    /// Writes entries in order. True = that were all.
    fn write_sorted(
        &mut self,
        scratch: &mut [u8],
        records: &mut Records,
        source: Source<'_>,
        view: &View<'_>,
        to: &mut Writing<'_>,
    ) -> Result<bool, Errno> {
        loop {
            let own = records.owner == self.number;
            if own && let Some(key) = records.next() {
                let mark = Mark::new(&key);
                let room = scratch.get_mut(READ_ROOM..).unwrap_or_default();
                // It may be gone by now, or another.
                if let Some(meta) = source.examine(mark.name(), room) {
                    let shown = Shown { name: key.name, meta: Some(&meta) };
                    if !self.put(view, &shown, to) {
                        return Ok(false);
                    }
                }
                self.after = Some(mark);
                records.advance();
            } else if own && records.are_all() {
                return Ok(true);
            } else {
                // All places were taken by entries before these, or by another listing.
                self.select(scratch, records, source, u32::MAX)?;
            }
        }
    }

    /// Writes entries in the order of the directory. True = that were all.
    fn write_as_they_come(
        &mut self,
        scratch: &mut [u8],
        source: Source<'_>,
        view: &View<'_>,
        to: &mut Writing<'_>,
    ) -> Result<bool, Errno> {
        let (read, room) = scratch.split_at_mut_checked(READ_ROOM).ok_or(Errno::INVAL)?;
        seek(source.directory, self.position)?;
        for _ in 0..READS_A_PART {
            let len = read_entries(source.directory, read)?;
            if len == 0 {
                return Ok(true);
            }
            for entry in entries(read.get(..len).unwrap_or_default()) {
                if let Some(meta) = source.look(&entry, room) {
                    let shown = Shown { name: entry.name.to_bytes(), meta: Some(&meta) };
                    if !self.put(view, &shown, to) {
                        return Ok(false);
                    }
                }
                self.position = entry.next;
            }
        }
        Ok(false)
    }
}
