//! One listing under way: what it remembers between two parts of its answer, and how a part is written.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use crate::http::output::{Output, Sink};
use crate::limits::{INPUT_ROOM, PATH_ROOM};
use crate::plugin::handler::Produced;
use crate::plugin::scene::{Scene, Stream};
use crate::plugins::dirlisting::Tools;
use crate::plugins::dirlisting::order::{Mark, NAME_ROOM, Order};
use crate::plugins::dirlisting::page::{BUILT_IN, JSON, Shown, View};
use crate::plugins::dirlisting::source::Source;
use crate::storage::pool::BufferId;
use crate::sys::Errno;
use crate::sys::directory::{Entries, read_entries, seek};

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
    Header,
    Parent,
    Entries,
    Footer,
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
    /// Writes a text of a theme as a whole. False = not in this part any more.
    fn put(&mut self, view: &View<'_>, text: &[u8], shown: Option<&Shown<'_>>) -> bool {
        let mark = self.out.len();
        view.push(self.out, text, shown);
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
        if scene.out.len() == start && !ends {
            scene.out.push(b"\n");
        }
        scene.end_chunk(self.stream, chunk);
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
        let config = &source.live.config().plugins.dirlisting;
        if self.part == Part::Count {
            self.sorted = self.select(tools, source, config.sort_limit)?;
            self.part = Part::Header;
        }
        let theme = config.theme.as_ref().filter(|_| !self.json);
        let built_in = if self.json { &JSON } else { &BUILT_IN };
        let text = |number: usize| match theme {
            Some(theme) => theme.texts.get(number).map_or(&[][..], |text| text),
            None => built_in.get(number).copied().unwrap_or_default(),
        };
        let dir = theme.map_or(&[][..], |theme| theme.dir.as_os_str().as_bytes());
        let view = View { dir, path: source.path, order: self.order, sorted: self.sorted, limit: config.sort_limit };
        loop {
            let (through, next) = match self.part {
                Part::Count | Part::Header => (to.put(&view, text(0), None), Part::Parent),
                Part::Parent => {
                    let parent = Shown { name: b"..", meta: None, first: true };
                    let through = self.json || source.is_top() || to.put(&view, text(1), Some(&parent));
                    (through, Part::Entries)
                }
                Part::Entries if self.sorted => (self.write_sorted(tools, source, &view, text(1), to)?, Part::Footer),
                Part::Entries => (self.write_as_they_come(tools, source, &view, text(1), to)?, Part::Footer),
                Part::Footer => (to.put(&view, text(2), None), Part::End),
                Part::End => return Ok(()),
            };
            if !through {
                return Ok(());
            }
            self.part = next;
        }
    }

    /// Writes an entry, unless it is gone by now. False = not in this part any more.
    #[inline(never)]
    fn put(
        &mut self,
        source: Source<'_>,
        name: &CStr,
        room: &mut [u8],
        view: &View<'_>,
        text: &[u8],
        to: &mut Writing<'_>,
    ) -> bool {
        let Some(meta) = source.examine(name, room) else { return true };
        let shown = Shown { name: name.to_bytes(), meta: Some(meta), first: self.first };
        let fits = to.put(view, text, Some(&shown));
        self.first &= !fits;
        fits
    }

    /// Puts the next entries in order into the records. False = there are too many to be sorted.
    fn select(&mut self, tools: &mut Tools, source: Source<'_>, limit: u32) -> Result<bool, Errno> {
        let (read, room) = tools.scratch.split_at_mut_checked(READ_ROOM).ok_or(Errno::INVAL)?;
        let records = &mut tools.records;
        records.clear(self.number);
        seek(source.directory, 0)?;
        let after = self.after.as_ref().map(Mark::key);
        let mut left = limit;
        loop {
            let len = read_entries(source.directory, read)?;
            if len == 0 {
                return Ok(true);
            }
            for entry in Entries(read.get(..len).unwrap_or_default()) {
                if matches!(entry.name.to_bytes(), b"." | b"..") {
                    continue;
                }
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
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
        tools: &mut Tools,
        source: Source<'_>,
        view: &View<'_>,
        text: &[u8],
        to: &mut Writing<'_>,
    ) -> Result<bool, Errno> {
        loop {
            let own = tools.records.owner == self.number;
            if own && let Some(key) = tools.records.next() {
                let mark = Mark::new(&key);
                let room = tools.scratch.get_mut(READ_ROOM..).unwrap_or_default();
                if !self.put(source, mark.name(), room, view, text, to) {
                    return Ok(false);
                }
                self.after = Some(mark);
                tools.records.advance();
            } else if own && tools.records.are_all() {
                return Ok(true);
            } else {
                // All places were taken by entries before these, or by another listing.
                self.select(tools, source, u32::MAX)?;
            }
        }
    }

    /// Writes entries in the order of the directory. True = that were all.
    fn write_as_they_come(
        &mut self,
        tools: &mut Tools,
        source: Source<'_>,
        view: &View<'_>,
        text: &[u8],
        to: &mut Writing<'_>,
    ) -> Result<bool, Errno> {
        let (read, room) = tools.scratch.split_at_mut_checked(READ_ROOM).ok_or(Errno::INVAL)?;
        seek(source.directory, self.position)?;
        for _ in 0..READS_A_PART {
            let len = read_entries(source.directory, read)?;
            if len == 0 {
                return Ok(true);
            }
            for entry in Entries(read.get(..len).unwrap_or_default()) {
                if source.shows(&entry) && !self.put(source, entry.name, room, view, text, to) {
                    return Ok(false);
                }
                self.position = entry.next;
            }
        }
        Ok(false)
    }
}
