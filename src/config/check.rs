//! Holds a [`RawConfig`] against the table: unknown names, values of the wrong kind, repeated keys, missing ones.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::diagnostic::{Findings, Position};
use super::plugins::{BuiltIn, PLUGINS};
use super::raw::{RawConfig, RawEntry, RawSection};
use super::table::{File, Key, Kind, Section};
use super::text::{Words, same};

/// Names of the original's older releases, with what is written today.
const OLD_NAMES: &[(&str, &str)] = &[("Port", "Listen PORT")];

/// The entries of a file that passed, looked up by section and key of the table.
pub(super) struct Values<'a> {
    file: File,
    raw: &'a RawConfig,
    /// For each entry, whether it counts.
    good: Rc<[bool]>,
    /// The entries that are looked at.
    within: Range<usize>,
}

/// Checks all of `raw`, which came from a file of this kind; `whole` is the file for what is missing from it.
pub(super) fn check<'a>(raw: &'a RawConfig, file: File, whole: &Position<'_>, out: &mut Findings) -> Values<'a> {
    let mut good = vec![false; raw.len()];
    let mut seen = Seen::new(raw);
    for section in raw.sections() {
        let Some(known) = find_section(&section, file, out) else { continue };
        if section.entries.is_empty() {
            out.warning(&section.at, format_args!("[{}] has no keys", section.name));
        }
        let range = section.entries.clone();
        if known.many {
            lacks(raw, known, &section, section.entries.clone(), out);
        }
        for n in section.entries {
            let first = if known.many { first_of(raw, range.clone(), n) } else { seen.first(n) };
            let Some(entry) = raw.entry(n) else { continue };
            let Some(key) = find_key(&entry, known, section.name, file, out) else { continue };
            let valid = check_kind(&entry, key, out);
            if first != n && !key.many {
                let at = raw.entry(first).unwrap_or(entry).at;
                out.warning(&entry.at, format_args!("{} is already set at {at}: this one has no effect", entry.key));
            } else if let Some(good) = good.get_mut(n) {
                *good = valid;
            }
        }
    }
    for known in file.known() {
        missing(raw, known, whole, out);
    }
    Values { file, raw, good: good.into(), within: 0..raw.len() }
}

/// Tells of a required section that is not there, and of the required keys that it lacks.
fn missing(raw: &RawConfig, known: &Section, whole: &Position<'_>, out: &mut Findings) {
    let Some(first) = raw.sections().find(|section| is_of(known, section.name)) else {
        if known.required {
            out.error(whole, format_args!("no [{}] section: add one", known.name));
        }
        return;
    };
    if !known.many {
        lacks(raw, known, &first, 0..raw.len(), out);
    }
}

/// Tells of the required keys of a section that are not among some entries.
fn lacks(raw: &RawConfig, known: &Section, of: &RawSection<'_>, among: Range<usize>, out: &mut Findings) {
    for key in known.keys {
        if key.required && !among.clone().any(|n| is(raw, n, known.name, key.name)) {
            let name = if known.name.is_empty() { of.name } else { known.name };
            out.error(&of.at, format_args!("[{name}] needs {}: {}", key.name, Wants(key)));
        }
    }
}

/// The first of some entries that has the key of entry `n`, which is one of them.
fn first_of(raw: &RawConfig, mut among: Range<usize>, n: usize) -> usize {
    among.find(|&other| same(raw.key(other), raw.key(n))).unwrap_or(n)
}

/// Whether an entry has this section and key.
fn is(raw: &RawConfig, n: usize, section: &str, key: &str) -> bool {
    same(raw.key(n), key) && (section.is_empty() || same(raw.section_of(n), section))
}

/// Whether a section of this name is that of the table, where one without a name stands for every name.
fn is_of(known: &Section, name: &str) -> bool {
    known.name.is_empty() || same(known.name, name)
}

/// The entries so far by section and key: a hash table with room for twice the entries there are. A media type table has
/// hundreds, and some file of another kind may have as many as its size allows.
struct Seen<'a> {
    raw: &'a RawConfig,
    /// Number of an entry and one; 0 is a free place.
    places: Vec<u32>,
}

impl<'a> Seen<'a> {
    fn new(raw: &'a RawConfig) -> Seen<'a> {
        Seen { raw, places: vec![0; (2 * raw.len() + 1).next_power_of_two()] }
    }

    /// The first entry with the section and key of this one; itself when there is none before.
    fn first(&mut self, n: usize) -> usize {
        let (section, key) = (self.raw.section_of(n), self.raw.key(n));
        // FNV-1a.
        let mut hash: u32 = 0x811C_9DC5;
        for byte in key.bytes().chain(section.bytes()) {
            hash = (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
        }
        let last = self.places.len() - 1;
        let mut at = hash as usize & last;
        // Half of the places are free, so one is found.
        while let Some(place) = self.places.get_mut(at) {
            let Some(found) = place.checked_sub(1) else {
                *place = n as u32 + 1;
                break;
            };
            if is(self.raw, found as usize, section, key) {
                return found as usize;
            }
            at = (at + 1) & last;
        }
        n
    }
}

fn find_section(raw: &RawSection<'_>, file: File, out: &mut Findings) -> Option<&'static Section> {
    let name = raw.name;
    if let Some(section) = section_named(file.sections().iter(), name) {
        return Some(section);
    }
    if matches!(file, File::Site) {
        for plugin in PLUGINS {
            let Some(section) = section_named(plugin.site.iter(), name) else { continue };
            if plugin.built_in {
                return Some(section);
            }
            let (section, plugin) = (section.name, plugin.name);
            let what = format_args!(
                "[{section}] needs the plugin {plugin}, which is not in this build; plugins built in: {BuiltIn}"
            );
            return out.refuse(&raw.at, what);
        }
    }
    let mut names = Vec::new();
    for section in file.known() {
        names.push(section.name);
    }
    out.refuse(&raw.at, Unknown { name, section: None, elsewhere: None, names: &names })
}

fn section_named(mut sections: impl Iterator<Item = &'static Section>, name: &str) -> Option<&'static Section> {
    sections.find(|section| is_of(section, name))
}

fn key_named(section: &'static Section, name: &str) -> Option<&'static Key> {
    section.keys.iter().find(|key| same(key.name, name))
}

fn find_key(
    raw: &RawEntry<'_>,
    section: &'static Section,
    of: &str,
    file: File,
    out: &mut Findings,
) -> Option<&'static Key> {
    let name = raw.key;
    if let Some(key) = key_named(section, name) {
        return Some(key);
    }
    if section.free.is_some() {
        return section.free;
    }
    let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
    let mut elsewhere = None;
    for other in file.known() {
        if elsewhere.is_none() && key_named(other, name).is_some() {
            elsewhere = Some(other.name);
        }
    }
    let of = if section.name.is_empty() { of } else { section.name };
    out.refuse(&raw.at, Unknown { name, section: Some(of), elsewhere, names: &names })
}

/// A name that is not in the table, with what was probably meant.
struct Unknown<'a> {
    name: &'a str,
    /// Where a key stands; `None` for the name of a section.
    section: Option<&'a str>,
    /// The section where the key would be right.
    elsewhere: Option<&'a str>,
    /// The names that would be right.
    names: &'a [&'static str],
}

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unknown { name, section, elsewhere, names } = *self;
        let (open, close) = if section.is_some() { ("", "") } else { ("[", "]") };
        match section {
            Some(section) => write!(f, "unknown key {name} in [{section}]: ")?,
            None => write!(f, "unknown section [{name}]: ")?,
        }
        let old = OLD_NAMES.iter().find(|(old, _)| section.is_some() && same(old, name));
        if let Some((_, today)) = old {
            return write!(f, "write {today}");
        }
        if let Some(other) = elsewhere {
            return write!(f, "it belongs to [{other}]");
        }
        if let Some(near) = nearest(name, names) {
            return write!(f, "did you mean {open}{near}{close}?");
        }
        f.write_str(if section.is_some() { "the keys here are" } else { "this file has" })?;
        for name in names {
            write!(f, " {open}{name}{close}")?;
        }
        Ok(())
    }
}

fn check_kind(raw: &RawEntry<'_>, key: &Key, out: &mut Findings) -> bool {
    let value = raw.value;
    let good = match key.kind {
        Kind::Text(_) | Kind::Words(_) => true,
        Kind::Number { min, max, .. } => number(value).is_some_and(|n| n >= u64::from(min) && n <= u64::from(max)),
        Kind::Switch => switch(value).is_some(),
        Kind::Choice(words) => words.iter().any(|word| same(word, value)),
    };
    if !good {
        out.error(&raw.value_at, format_args!("{} cannot be \"{value}\": {}", raw.key, Wants(key)));
    }
    good
}

/// What the value of a key must be, as the end of a message.
struct Wants<'a>(&'a Key);

impl fmt::Display for Wants<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write ")?;
        match self.0.kind {
            Kind::Text(what) | Kind::Words(what) => f.write_str(what),
            Kind::Number { min, max, unit } => {
                let of = if unit.is_empty() { "" } else { " of " };
                write!(f, "a whole number{of}{unit} from {min} to {max}")
            }
            Kind::Switch => f.write_str("On or Off"),
            Kind::Choice(words) => {
                f.write_str(if words.len() == 1 { "" } else { "one of " })?;
                for (n, word) in words.iter().enumerate() {
                    write!(f, "{}{word}", if n == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

/// Decimal digits and nothing else; `None` also for a number past 64 bits.
pub(crate) fn number(text: &str) -> Option<u64> {
    let mut number = if text.is_empty() { None } else { Some(0u64) };
    for digit in text.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number?.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    }
    number
}

fn switch(text: &str) -> Option<bool> {
    match text {
        _ if same(text, "on") => Some(true),
        _ if same(text, "off") => Some(false),
        _ => None,
    }
}

/// The entries of one key: see [`Values::all`].
pub(super) struct Entries<'v, 'a> {
    values: &'v Values<'a>,
    section: &'static str,
    key: &'static str,
    any: bool,
    next: usize,
    end: usize,
}

impl<'a> Iterator for Entries<'_, 'a> {
    type Item = RawEntry<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<RawEntry<'a>> {
        let raw = self.values.raw;
        while let Some(good) = self.values.good.get(..self.end).and_then(|good| good.get(self.next)) {
            let n = self.next;
            self.next += 1;
            let key = if self.any { raw.key(n) } else { self.key };
            if *good && is(raw, n, self.section, key) {
                return raw.entry(n);
            }
        }
        None
    }
}

impl<'a> Values<'a> {
    /// The entries of a key in order, or of all free keys of a section when `key` is the name of its free key.
    pub(super) fn all(&self, section: &'static str, key: &'static str) -> Entries<'_, 'a> {
        let known = section_named(self.file.known(), section);
        let any = known.and_then(|known| known.free).is_some_and(|free| free.name == key);
        Entries { values: self, section, key, any, next: self.within.start, end: self.within.end }
    }

    /// The sections of a name, each with the values that stand in it alone.
    #[allow(dead_code)] // Plugins call it; which are built in is the features' choice.
    pub(super) fn sections(&self, section: &'static str) -> impl Iterator<Item = (Position<'a>, Values<'a>)> {
        let named = self.raw.sections().filter(move |raw| same(raw.name, section));
        named.map(|raw| {
            (raw.at, Values { file: self.file, raw: self.raw, good: self.good.clone(), within: raw.entries })
        })
    }

    /// The values that stand in one section alone.
    #[cfg(feature = "palm-server")]
    pub(super) fn of_section(&self, section: &RawSection<'_>) -> Values<'a> {
        Values { file: self.file, raw: self.raw, good: self.good.clone(), within: section.entries.clone() }
    }

    /// All entries of a section, in order.
    pub(super) fn every(&self, section: &'static str) -> Entries<'_, 'a> {
        Entries { any: true, ..self.all(section, "") }
    }

    /// What counts, a line for each section and each entry.
    pub(super) fn written(&self) -> Box<[u8]> {
        let mut text = Vec::new();
        for section in self.raw.sections() {
            add_line(&mut text, "[", section.name, "]");
            for n in section.entries.filter(|n| self.good.get(*n) == Some(&true)) {
                let Some(entry) = self.raw.entry(n) else { continue };
                add_line(&mut text, entry.key, " ", entry.value);
            }
        }
        text.into()
    }

    /// Whether there is a section of this name.
    #[allow(dead_code)] // As above.
    pub(super) fn has(&self, section: &'static str) -> bool {
        self.raw.sections().any(|raw| same(raw.name, section))
    }

    /// Whether a key is written, rightly or not.
    #[allow(dead_code)] // As above.
    pub(super) fn is_written(&self, section: &'static str, key: &'static str) -> bool {
        self.within.clone().any(|n| is(self.raw, n, section, key))
    }

    /// The entry of a single-valued key.
    #[inline(never)]
    pub(super) fn entry(&self, section: &'static str, key: &'static str) -> Option<RawEntry<'a>> {
        self.all(section, key).next()
    }

    /// What is written, else the default; empty when there is neither.
    #[inline(never)]
    pub(super) fn text(&self, section: &'static str, key: &'static str) -> &'a str {
        match self.entry(section, key) {
            Some(entry) => entry.value,
            None => default_of(self.file, section, key),
        }
    }

    /// A number. 0 when there is no default.
    #[inline(never)]
    pub(super) fn number(&self, section: &'static str, key: &'static str) -> u64 {
        number(self.text(section, key)).unwrap_or(0)
    }

    /// A number whose range in the table ends within 32 bits.
    #[inline(never)]
    pub(super) fn number32(&self, section: &'static str, key: &'static str) -> u32 {
        u32::try_from(self.number(section, key)).unwrap_or(u32::MAX)
    }

    /// `On` or `Off`.
    #[inline(never)]
    pub(super) fn switch(&self, section: &'static str, key: &'static str) -> bool {
        switch(self.text(section, key)).unwrap_or(false)
    }

    /// Words.
    pub(super) fn words(&self, section: &'static str, key: &'static str) -> Words<'a> {
        Words(self.text(section, key))
    }

    /// Whether a choice is this word.
    #[inline(never)]
    pub(super) fn is(&self, section: &'static str, key: &'static str, word: &str) -> bool {
        same(self.text(section, key), word)
    }
}

#[inline(never)]
fn add_line(text: &mut Vec<u8>, key: &str, between: &str, value: &str) {
    for part in [key, between, value, "\n"] {
        text.extend_from_slice(part.as_bytes());
    }
}

fn default_of(file: File, section: &str, key: &str) -> &'static str {
    let found = section_named(file.known(), section).and_then(|section| key_named(section, key));
    debug_assert!(found.is_some(), "[{section}] {key} is not in the table");
    found.map_or("", |key| key.default)
}

/// Most bytes of a name that are looked at to find what it is a misspelling of.
const NAME_MAX: usize = 64;

/// The name that `text` is most likely a misspelling of; of several the first by the alphabet.
fn nearest(text: &str, names: &[&'static str]) -> Option<&'static str> {
    let text = text.as_bytes();
    let text = text.get(..NAME_MAX).unwrap_or(text);
    let mut best = (2 + text.len() / 4, "");
    for name in names {
        best = best.min((distance(text, name.as_bytes()), name));
    }
    Some(best.1).filter(|name| !name.is_empty())
}

/// Levenshtein's, letters compared in any case: how many bytes to put in, take out or change. `b` is cut at [`NAME_MAX`].
fn distance(a: &[u8], b: &[u8]) -> usize {
    let b = b.get(..NAME_MAX).unwrap_or(b);
    let mut row: [usize; NAME_MAX + 1] = std::array::from_fn(|n| n);
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            left = (diagonal + usize::from(!x.eq_ignore_ascii_case(y))).min(above + 1).min(left + 1);
            (diagonal, *cell) = (above, left);
        }
        row[0] = i + 1;
    }
    row.get(b.len()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), d, "{a} {b}");
        }
        assert_eq!(nearest("timout", &["Listen", "Timeout"]), Some("Timeout"));
        assert_eq!(nearest("Frobnicate", &["Listen", "Timeout"]), None);
    }

    #[test]
    fn every_default_of_the_table_is_a_good_value() {
        for file in [File::Server, File::Site, File::Mime, File::PluginsLoad] {
            for section in file.sections() {
                for key in section.keys.iter().filter(|key| !key.default.is_empty()) {
                    let at = Position::of_file("default");
                    let entry = RawEntry { key: key.name, at, value: key.default, value_at: at };
                    let mut out = Findings::default();
                    assert!(check_kind(&entry, key, &mut out), "{:?}", out.list);
                }
            }
        }
    }
}
