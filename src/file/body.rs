//! What follows the bytes a handler wrote: nothing, a prebuilt answer, a stretch of a file, or several of them.

use crate::storage::pool::BufferId;
use crate::vhost::table::EntryId;

/// The rest of an answer. It lives in the connection's slot until it is sent.
#[derive(PartialEq, Eq, Debug, Default)]
pub enum Body {
    /// Nothing: the answer is all in the output.
    #[default]
    Nothing,
    /// The head and body that stand ready in the table, to be sent as they are. Holds only until the next request is
    /// answered; it is never kept in a slot.
    Ready {
        /// The entry they belong to.
        entry: EntryId,
    },
    /// A stretch of a file. The entry is pinned.
    File {
        /// The entry whose file it is.
        entry: EntryId,
        /// The next byte to send.
        offset: u64,
        /// How many are left.
        remaining: u64,
    },
    /// Several stretches, each behind a delimiter of its own (RFC 9110 section 14.6). The entry is pinned.
    Parts {
        /// The entry whose file it is.
        entry: EntryId,
        /// Holds the delimiter's number, the ranges and the content type.
        plan: BufferId,
        /// The part whose delimiter is sent next; the closing delimiter comes after the last.
        next: u8,
        /// How many parts there are.
        count: u8,
        /// The next byte of the current part to send.
        offset: u64,
        /// How many bytes of the current part are left.
        remaining: u64,
    },
}
