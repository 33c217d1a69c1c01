//! In which order entries come, and the next of them in that order, in memory that does not depend on how many there are.

use std::cmp::Ordering;
use std::ffi::CStr;

use crate::config::plugins::dirlisting::Column;
use crate::limits::LISTING_RECORDS;

/// Room for a name with its NUL, bytes. No file system for devices has longer ones; those are left out.
pub(super) const NAME_ROOM: usize = 256;

/// How a listing is sorted. Directories come first, but by date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) by: Column,
    pub(super) descending: bool,
}

/// What decides about an entry's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key<'a> {
    pub(super) directory: bool,
    /// The size, or the seconds since 1970; 0 by name.
    pub(super) value: u64,
    /// Without its NUL.
    pub(super) name: &'a [u8],
}

impl Order {
    /// The order that a query asks for: `sort=name|date|size` and `order=asc|desc`. What it does not say is as by default.
    pub(super) fn of_query(query: &[u8]) -> Order {
        let mut order = Order { by: Column::Name, descending: false };
        for part in query.split(|&byte| byte == b'&') {
            match part {
                b"sort=name" => order.by = Column::Name,
                b"sort=date" => order.by = Column::Date,
                b"sort=size" => order.by = Column::Size,
                b"order=asc" => order.descending = false,
                b"order=desc" => order.descending = true,
                _ => {}
            }
        }
        order
    }

    /// Which of two entries comes first. Two of different names are never equal.
    pub(super) fn compare(self, a: &Key<'_>, b: &Key<'_>) -> Ordering {
        let turned = |ordering: Ordering| if self.descending { ordering.reverse() } else { ordering };
        if self.by != Column::Date && a.directory != b.directory {
            return b.directory.cmp(&a.directory);
        }
        match a.value.cmp(&b.value) {
            Ordering::Equal if self.by == Column::Name => turned(by_name(a.name, b.name)),
            Ordering::Equal => by_name(a.name, b.name),
            ordering => turned(ordering),
        }
    }
}

/// By letters in any case, then by bytes.
fn by_name(a: &[u8], b: &[u8]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        match a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()) {
            Ordering::Equal => {}
            ordering => return ordering,
        }
    }
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// An entry's key, kept.
#[derive(Debug)]
pub(super) struct Mark {
    directory: bool,
    value: u64,
    len: u8,
    name: [u8; NAME_ROOM],
}

impl Mark {
    // Not inlined: it is made where entries are many and where they are few.
    #[inline(never)]
    pub(super) fn new(key: &Key<'_>) -> Mark {
        let mut mark = Mark { directory: key.directory, value: key.value, len: 0, name: [0; NAME_ROOM] };
        let len = key.name.len().min(NAME_ROOM - 1);
        if let (Some(room), Some(name)) = (mark.name.get_mut(..len), key.name.get(..len)) {
            room.copy_from_slice(name);
            mark.len = len as u8;
        }
        mark
    }

    pub(super) fn key(&self) -> Key<'_> {
        let name = self.name.get(..usize::from(self.len)).unwrap_or_default();
        Key { directory: self.directory, value: self.value, name }
    }

    pub(super) fn name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.name).unwrap_or(c"")
    }
}

/// The first [`LISTING_RECORDS`] of all entries that were offered, in order.
pub(super) struct Records {
    /// Taken at the start, and touched when first used.
    room: Vec<Mark>,
    /// Places of the records, in the order of the entries.
    order: heapless::Vec<u8, LISTING_RECORDS>,
    /// How many were taken.
    taken: usize,
    /// There was no room for some.
    more: bool,
    /// Whose they are.
    pub(super) owner: u32,
}

const _: () = assert!(LISTING_RECORDS <= 256, "places are bytes");

impl Records {
    /// Bytes that it takes.
    pub(super) const BYTES: usize = LISTING_RECORDS * size_of::<Mark>();

    pub(super) fn new() -> Records {
        let room = Vec::with_capacity(LISTING_RECORDS);
        Records { room, order: heapless::Vec::new(), taken: 0, more: false, owner: 0 }
    }

    /// Forgets what was offered.
    pub(super) fn clear(&mut self, owner: u32) {
        self.order.clear();
        (self.taken, self.more, self.owner) = (0, false, owner);
    }

    fn get(&self, place: u8) -> Option<Key<'_>> {
        self.room.get(usize::from(place)).map(Mark::key)
    }

    /// Keeps an entry, if it is one of the first. Its name must have room.
    pub(super) fn offer(&mut self, order: Order, key: &Key<'_>) {
        let before = |&place: &u8| self.get(place).is_some_and(|other| order.compare(&other, key) == Ordering::Less);
        let at = self.order.partition_point(before);
        let mut place = self.order.len() as u8;
        if self.order.is_full() {
            self.more = true;
            match self.order.last() {
                Some(&last) if at < self.order.len() => place = last,
                _ => return,
            }
            self.order.pop();
        }
        match self.room.get_mut(usize::from(place)) {
            Some(mark) => *mark = Mark::new(key),
            // Within what was taken at the start: this does not allocate.
            None => self.room.push(Mark::new(key)),
        }
        let _ = self.order.insert(at, place);
    }

    /// The next that was not taken.
    pub(super) fn next(&self) -> Option<Key<'_>> {
        self.order.get(self.taken).and_then(|&place| self.get(place))
    }

    /// Takes it.
    pub(super) fn advance(&mut self) {
        self.taken += 1;
    }

    /// Whether there are none behind these.
    pub(super) fn are_all(&self) -> bool {
        !self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str) -> Key<'_> {
        Key { directory: false, value: 0, name: name.as_bytes() }
    }

    #[test]
    fn queries() {
        for (query, by, descending) in [
            ("", Column::Name, false),
            ("sort=size", Column::Size, false),
            ("sort=date&order=desc", Column::Date, true),
            ("order=desc&x=1&sort=name", Column::Name, true),
            ("sort=owner&order=up", Column::Name, false),
            ("sort=size&sort=date", Column::Date, false),
        ] {
            assert_eq!(Order::of_query(query.as_bytes()), Order { by, descending }, "{query}");
        }
    }

    #[test]
    fn names_by_letter_then_by_byte() {
        let mut names = ["b", "A", "a", "B", "ab", "_", "Z", "\u{e9}", "aB"];
        names.sort_by(|a, b| by_name(a.as_bytes(), b.as_bytes()));
        assert_eq!(names, ["_", "A", "a", "aB", "ab", "B", "b", "Z", "\u{e9}"]);
    }

    #[test]
    fn directories_come_first_but_by_date_and_equal_ones_by_name() {
        let keys = [
            Key { directory: false, value: 1, name: b"x" },
            Key { directory: true, value: 3, name: b"m" },
            Key { directory: false, value: 2, name: b"a" },
            Key { directory: false, value: 1, name: b"c" },
        ];
        for (by, descending, names) in [
            (Column::Size, false, "mcxa"),
            (Column::Size, true, "macx"),
            (Column::Date, false, "cxam"),
            (Column::Date, true, "macx"),
        ] {
            let mut sorted = keys;
            sorted.sort_by(|a, b| Order { by, descending }.compare(a, b));
            let order: String = sorted.iter().map(|key| char::from(key.name[0])).collect();
            assert_eq!(order, names, "{by:?} {descending}");
        }
        let order = Order { by: Column::Name, descending: true };
        let directory = Key { directory: true, ..file("a") };
        assert_eq!(order.compare(&directory, &file("b")), Ordering::Less);
        assert_eq!(order.compare(&file("a"), &file("b")), Ordering::Greater);
    }

    #[test]
    fn a_mark_is_what_it_was_made_of() {
        let long = [b'n'; 255];
        for key in [file("a"), Key { directory: true, value: u64::MAX, name: &long }] {
            let mark = Mark::new(&key);
            assert_eq!(mark.key(), key);
            assert_eq!(mark.name().to_bytes(), key.name);
        }
    }

    proptest! {
        #[test]
        fn passes_over_everything_come_to_the_sorted_whole(
            values in prop::collection::vec((any::<bool>(), 0u64..6), 0..900), by_size: bool, descending: bool
        ) {
            let by = if by_size { Column::Size } else { Column::Name };
            let order = Order { by, descending };
            let names: Vec<String> = (0..values.len()).map(|n| format!("{}{n}", ["a", "B", "b"][n % 3])).collect();
            let keys: Vec<Key<'_>> = values
                .iter()
                .zip(&names)
                .map(|(&(directory, value), name)| Key { directory, value: if by_size { value } else { 0 }, ..file(name) })
                .collect();
            let mut sorted = keys.clone();
            sorted.sort_by(|a, b| order.compare(a, b));
            let mut records = Records::new();
            let mut got = Vec::new();
            let mut after: Option<Mark> = None;
            loop {
                records.clear(1);
                for key in &keys {
                    if after.as_ref().is_none_or(|mark| order.compare(key, &mark.key()) == Ordering::Greater) {
                        records.offer(order, key);
                    }
                }
                while let Some(key) = records.next() {
                    got.push(std::str::from_utf8(key.name).unwrap().to_string());
                    after = Some(Mark::new(&key));
                    records.advance();
                }
                if records.are_all() {
                    break;
                }
            }
            let wanted: Vec<String> = sorted.iter().map(|key| std::str::from_utf8(key.name).unwrap().into()).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
