//! The directory that is listed: what of its entries is shown.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use crate::config::plugins::dirlisting::Column;
use crate::plugins::dirlisting::order::{Key, NAME_ROOM, Order};
use crate::sys::directory::{Entry, meta_of_entry};
use crate::sys::file::{Kind, Meta, meta, open_beneath, open_directory};
use crate::vhost::live::Live;

/// The directory of one listing.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) live: &'a Live,
    pub(super) site: u16,
    /// The path it was asked for by.
    pub(super) path: &'a [u8],
}

impl Source<'_> {
    /// Whether there is nothing above the directory that this site serves: it is a root, or that of an alias or of a user.
    pub(super) fn is_top(&self) -> bool {
        match self.of_user() {
            Some(rest) => !rest.strip_suffix(b"/").unwrap_or(rest).contains(&b'/'),
            None => self.live.place(self.site, self.path).is_none_or(|(_, rest)| rest.is_empty()),
        }
    }

    /// The path behind the `/~` of a user's directory.
    fn of_user(&self) -> Option<&[u8]> {
        self.live.config().server.user_dir.as_ref().and_then(|_| self.path.strip_prefix(b"/~"))
    }

    /// Whether an entry may be shown, as far as its name and what is known of it tell.
    #[inline(never)]
    pub(super) fn shows(&self, entry: &Entry<'_>) -> bool {
        let name = entry.name.to_bytes();
        let hidden = self.live.config().plugins.dirlisting.hidden;
        let named = !matches!(name, b"." | b"..") && name.len() < NAME_ROOM;
        named && (hidden || name.first() != Some(&b'.')) && entry.kind != Some(Kind::Other)
    }

    /// What an entry is now. None = it is gone, or nothing that is served; a link is what it leads to, if links are followed and it
    /// stays within the root. `room` is for a path.
    pub(super) fn examine(&self, name: &CStr, room: &mut [u8]) -> Option<Meta> {
        let mut found = meta_of_entry(self.directory, name).ok()?;
        if found.kind == Kind::Link {
            found = self.follow(name, room)?;
        }
        matches!(found.kind, Kind::Regular | Kind::Directory).then_some(found)
    }

    /// As it is done when the link is asked for. Links in the directories of users are not looked at.
    fn follow(&self, name: &CStr, room: &mut [u8]) -> Option<Meta> {
        if !self.live.config().server.symlink || self.of_user().is_some() {
            return None;
        }
        let (root, rest) = self.live.place(self.site, self.path)?;
        let (path, end) = room.split_at_mut_checked(rest.len())?;
        path.copy_from_slice(rest);
        end.get_mut(..name.count_bytes() + 1)?.copy_from_slice(name.to_bytes_with_nul());
        let root = open_directory(self.live.root(root)?).ok()?;
        let file = open_beneath(root.as_fd(), CStr::from_bytes_until_nul(room).ok()?, true).ok()?;
        meta(file.as_fd()).ok()
    }

    /// What decides about an entry's place. None = it is not shown.
    pub(super) fn key<'e>(&self, entry: &Entry<'e>, order: Order, room: &mut [u8]) -> Option<Key<'e>> {
        let name = entry.name.to_bytes();
        if !self.shows(entry) {
            return None;
        }
        if order.by == Column::Name
            && let Some(kind @ (Kind::Regular | Kind::Directory)) = entry.kind
        {
            return Some(Key { directory: kind == Kind::Directory, value: 0, name });
        }
        let meta = self.examine(entry.name, room)?;
        let directory = meta.kind == Kind::Directory;
        let value = match order.by {
            Column::Name => 0,
            // Times before 1970 come before the others.
            Column::Date => meta.mtime.cast_unsigned() ^ (1 << 63),
            Column::Size if directory => 0,
            Column::Size => meta.size,
        };
        Some(Key { directory, value, name })
    }
}
