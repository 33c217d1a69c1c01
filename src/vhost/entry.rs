//! What the table of open files keeps of a path, and the numbers that tell one state of a file from another.

use std::os::fd::OwnedFd;

use crate::storage::arena::Record;
use crate::sys::file::Meta;
use crate::wire::chars::ends;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key<'a> {
    /// Index of the site.
    pub site: u16,
    /// What else the answer depends on: the content codings the client takes, in its order.
    pub variant: u8,
    /// The decoded, normal path.
    pub path: &'a [u8],
}

/// Where the parts of an answer's head lie, as offsets from the start of the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// The 29 bytes of the date; 0 = the head has none.
    pub date: u16,
    /// Start of the fields that a 304 has too: validators, caching, the site's own.
    pub common: u16,
    /// Start of the fields that describe the content: type, coding, ranges.
    pub content: u16,
    /// Start of the Content-Length field.
    pub length: u16,
    /// Length of the head with its empty line.
    pub head: u16,
}

/// What a path led to.
#[derive(Debug)]
pub struct Entry {
    pub(super) hash: u64,
    pub(super) next: u16,
    pub(super) site: u16,
    pub(super) variant: u8,
    pub(super) live: bool,
    pub(super) pins: u16,
    pub(super) path_len: u16,
    pub(super) used: u32,
    pub(super) checked: u32,
    pub(super) date_second: u32,
    pub(super) record: Record,
    /// Status of the plain answer: 200, 301, 403, 404 and so on.
    pub status: u16,
    /// It is a directory without an index file: its 403 is for whoever gets no listing.
    pub directory: bool,
    /// The head's parts.
    pub layout: Layout,
    /// Bytes of the body that stand behind the head in the record; less than the size when the body is not there.
    pub body: u32,
    /// The open file, unless the answer is all in the record.
    pub file: Option<OwnedFd>,
    /// What the open file was when it was looked at; all zero without a file.
    pub size: u64,
    /// Seconds of its modification time.
    pub mtime: i64,
    /// What tells this state of the file from any other: nanosecond times, size, inode, device.
    pub identity: u64,
    /// The entity tag's number, from the same and the site's seed.
    pub etag: u64,
}

impl Entry {
    /// Whether the plain answer stands in the record as a whole.
    pub fn is_whole(&self) -> bool {
        u64::from(self.body) == self.size
    }
}

/// What a new entry is made of, besides its text.
#[derive(Debug)]
pub struct NewEntry {
    /// See [`Entry::status`].
    pub status: u16,
    /// See [`Entry::directory`].
    pub directory: bool,
    /// See [`Entry::layout`].
    pub layout: Layout,
    /// See [`Entry::file`].
    pub file: Option<OwnedFd>,
    /// See [`Entry::size`].
    pub size: u64,
    /// See [`Entry::mtime`].
    pub mtime: i64,
    /// See [`Entry::identity`].
    pub identity: u64,
    /// See [`Entry::etag`].
    pub etag: u64,
    /// Milliseconds when all of this was so; it is trusted for a second from then on.
    pub checked: u32,
}

/// One round of a multiplicative hash (the constant is the golden ratio's).
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A 64-bit hash of bytes under a seed: fast, unpredictable without the seed, for tables and tags.
#[cfg_attr(tuned, optimize(speed))]
pub fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    if let Some([first, last]) = ends(bytes) {
        let hash = mix(mix(mix(seed, bytes.len() as u64), first), last);
        return hash ^ (hash >> 29);
    }
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = words.iter().fold(mix(seed, bytes.len() as u64), |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut tail = [0u8; 8];
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    hash = mix(hash, u64::from_le_bytes(tail));
    hash ^ (hash >> 29)
}

/// What tells one state of a file from another.
#[inline(always)]
pub fn identity_of(meta: &Meta) -> u64 {
    let times = [meta.mtime as u64, u64::from(meta.mtime_ns), meta.ctime as u64, u64::from(meta.ctime_ns)];
    let place = [meta.size, meta.inode, meta.device];
    times.into_iter().chain(place).fold(0, mix)
}

/// The answer and the path of a record.
pub(super) fn split_path(text: &[u8], path_len: u16) -> (&[u8], &[u8]) {
    text.split_at_checked(text.len().saturating_sub(usize::from(path_len))).unwrap_or_default()
}
