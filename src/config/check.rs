//! Holds a [`RawConfig`] against the table: unknown names, values of the wrong kind, repeated keys, missing ones.

use super::diagnostic::{Findings, Position};
use super::plugins::{HANDLERS, PLUGINS, built_in_text};
use super::raw::{RawConfig, RawEntry, RawSection};
use super::table::{File, Key, Kind, Section, State};

/// Names of the original's older releases, with what is written today.
const OLD_NAMES: &[(&str, &str)] = &[("Port", "Listen PORT")];

/// The entries of a file that passed, looked up by section and key of the table.
pub(super) struct Values<'a> {
    file: File,
    raw: &'a RawConfig,
    /// For each entry, whether it counts.
    good: Vec<bool>,
}

/// Checks all of `raw`, which came from a file of this kind; `whole` is the file for what is missing from it.
pub(super) fn check<'a>(raw: &'a RawConfig, file: File, whole: &Position, out: &mut Findings) -> Values<'a> {
    let mut values = Values { file, raw, good: vec![false; raw.len()] };
    let repeats = repeats(raw);
    for section in raw.sections() {
        let Some(known) = find_section(&section, file, out) else { continue };
        if section.entries.is_empty() {
            out.warning(&section.at, format!("[{}] has no keys", known.name));
        }
        for n in section.entries {
            let Some(entry) = raw.entry(n) else { continue };
            let Some(key) = find_key(&entry, known, file, out) else { continue };
            let valid = check_kind(&entry, key, out);
            let first = repeats.binary_search_by_key(&n, |(n, _)| *n).ok().and_then(|found| repeats.get(found));
            match first.and_then(|(_, first)| raw.entry(*first)) {
                Some(first) if !key.many => {
                    let what = format!("{} is already set at {}: this one has no effect", entry.key, first.at);
                    out.warning(&entry.at, what);
                }
                _ => {
                    if let Some(good) = values.good.get_mut(n) {
                        *good = valid;
                    }
                }
            }
        }
    }
    for known in file.sections() {
        let of_name = || raw.sections().filter(|section| section.name.eq_ignore_ascii_case(known.name));
        let Some(first) = of_name().next() else {
            if known.required {
                out.error(whole, format!("no [{}] section: add one", known.name));
            }
            continue;
        };
        for key in known.keys.iter().filter(|key| key.required) {
            if !of_name().any(|mut section| section.entries.any(|n| raw.key(n).eq_ignore_ascii_case(key.name))) {
                out.error(&first.at, format!("[{}] needs {}: {}", known.name, key.name, wants(key)));
            }
        }
    }
    values
}

/// Every entry whose section and key some entry before it has, with the first such entry, in order.
fn repeats(raw: &RawConfig) -> Vec<(usize, usize)> {
    let mut order: Vec<(u32, u32)> = Vec::with_capacity(raw.len());
    let names: Vec<&str> = raw.sections().map(|section| section.name).collect();
    for (s, section) in raw.sections().enumerate() {
        order.extend(section.entries.map(|n| (s as u32, n as u32)));
    }
    let name = |s: u32| names.get(s as usize).copied().unwrap_or_default();
    let key = |n: u32| raw.key(n as usize);
    let compare =
        |a: &str, b: &str| a.bytes().map(|b| b.to_ascii_lowercase()).cmp(b.bytes().map(|b| b.to_ascii_lowercase()));
    let by_name =
        |a: &(u32, u32), b: &(u32, u32)| compare(name(a.0), name(b.0)).then_with(|| compare(key(a.1), key(b.1)));
    order.sort_unstable_by(|a, b| by_name(a, b).then(a.1.cmp(&b.1)));
    let mut found = Vec::new();
    for run in order.chunk_by(|a, b| by_name(a, b).is_eq()) {
        if let Some((first, rest)) = run.split_first() {
            found.extend(rest.iter().map(|(_, n)| (*n as usize, first.1 as usize)));
        }
    }
    found.sort_unstable();
    found
}

fn find_section(raw: &RawSection<'_>, file: File, out: &mut Findings) -> Option<&'static Section> {
    let name = raw.name;
    let same = |section: &&Section| section.name.eq_ignore_ascii_case(name);
    if let Some(section) = file.sections().iter().find(same) {
        if section.state == State::Active {
            return Some(section);
        }
        out.error(&raw.at, format!("[{}] is not in this build yet: take it out", section.name));
        return None;
    }
    if file == File::Site {
        for plugin in PLUGINS {
            let Some(section) = plugin.site.iter().find(same) else { continue };
            if plugin.built_in {
                return Some(section);
            }
            let what = format!("[{}] needs the plugin {}, which is not in this build", section.name, plugin.name);
            out.error(&raw.at, format!("{what}; {}", built_in_text()));
            return None;
        }
        if name.eq_ignore_ascii_case(HANDLERS) {
            let what = format!("[{HANDLERS}] needs a plugin that answers requests, and this build has none");
            out.error(&raw.at, format!("{what}; {}", built_in_text()));
            return None;
        }
    }
    let known = || file.sections().iter().filter(|section| section.state == State::Active).map(|section| section.name);
    let hint = match nearest(name, known()) {
        Some(near) => format!("did you mean [{near}]?"),
        None => {
            let names: Vec<String> = known().map(|name| format!("[{name}]")).collect();
            format!("this file has {}", names.join(" "))
        }
    };
    out.error(&raw.at, format!("unknown section [{name}]: {hint}"));
    None
}

fn find_key(raw: &RawEntry<'_>, section: &'static Section, file: File, out: &mut Findings) -> Option<&'static Key> {
    let name = raw.key;
    if let Some(key) = section.keys.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
        if key.state == State::Active {
            return Some(key);
        }
        out.error(&raw.at, format!("{} is not in this build yet: take it out", key.name));
        return None;
    }
    if section.free.is_some() {
        return section.free;
    }
    let active = |section: &'static Section| section.keys.iter().filter(|key| key.state == State::Active);
    let elsewhere = file.sections().iter().find(|other| active(other).any(|key| key.name.eq_ignore_ascii_case(name)));
    let old = OLD_NAMES.iter().find(|(old, _)| old.eq_ignore_ascii_case(name));
    let hint = if let Some((_, today)) = old {
        format!("write {today}")
    } else if let Some(other) = elsewhere {
        format!("it belongs to [{}]", other.name)
    } else if let Some(near) = nearest(name, active(section).map(|key| key.name)) {
        format!("did you mean {near}?")
    } else {
        let names: Vec<&str> = active(section).map(|key| key.name).collect();
        format!("the keys here are {}", names.join(" "))
    };
    out.error(&raw.at, format!("unknown key {name} in [{}]: {hint}", section.name));
    None
}

fn check_kind(raw: &RawEntry<'_>, key: &Key, out: &mut Findings) -> bool {
    let value = raw.value;
    let good = match key.kind {
        Kind::Text(_) | Kind::Words(_) => true,
        Kind::Number { min, max, .. } => number(value).is_some_and(|n| n >= min && n <= max),
        Kind::Switch => switch(value).is_some(),
        Kind::Choice(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value)),
    };
    if !good {
        out.error(&raw.value_at, format!("{} cannot be \"{value}\": {}", raw.key, wants(key)));
    }
    good
}

/// What the value of a key must be, as the end of a message.
fn wants(key: &Key) -> String {
    match key.kind {
        Kind::Text(what) | Kind::Words(what) => format!("write {what}"),
        Kind::Number { min, max, unit: "" } => format!("write a whole number from {min} to {max}"),
        Kind::Number { min, max, unit } => format!("write a whole number of {unit} from {min} to {max}"),
        Kind::Switch => "write On or Off".into(),
        Kind::Choice([one]) => format!("write {one}"),
        Kind::Choice(words) => format!("write one of {}", words.join(", ")),
    }
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn switch(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("on") => Some(true),
        _ if text.eq_ignore_ascii_case("off") => Some(false),
        _ => None,
    }
}

impl<'a> Values<'a> {
    /// The entries of a key in order, or of all free keys of a section when `key` is the name of its free key.
    pub(super) fn all(&self, section: &'static str, key: &'static str) -> impl Iterator<Item = RawEntry<'a>> + '_ {
        let known = self.file.sections().iter().find(|known| known.name == section);
        let any = known.and_then(|known| known.free).is_some_and(|free| free.name == key);
        let raw = self.raw;
        let of_name = raw.sections().filter(move |raw| raw.name.eq_ignore_ascii_case(section));
        let entries = of_name.flat_map(|section| section.entries).filter(|n| self.good.get(*n) == Some(&true));
        entries.filter(move |n| any || raw.key(*n).eq_ignore_ascii_case(key)).filter_map(|n| raw.entry(n))
    }

    /// The entry of a single-valued key.
    pub(super) fn entry(&self, section: &'static str, key: &'static str) -> Option<RawEntry<'a>> {
        self.all(section, key).next()
    }

    /// What is written, else the default; empty when there is neither.
    pub(super) fn text(&self, section: &'static str, key: &'static str) -> &'a str {
        match self.entry(section, key) {
            Some(entry) => entry.value,
            None => default_of(self.file, section, key),
        }
    }

    /// A number. 0 when there is no default.
    pub(super) fn number(&self, section: &'static str, key: &'static str) -> u64 {
        number(self.text(section, key)).unwrap_or(0)
    }

    /// A number whose range in the table ends within 32 bits.
    pub(super) fn number32(&self, section: &'static str, key: &'static str) -> u32 {
        u32::try_from(self.number(section, key)).unwrap_or(u32::MAX)
    }

    /// `On` or `Off`.
    pub(super) fn switch(&self, section: &'static str, key: &'static str) -> bool {
        switch(self.text(section, key)).unwrap_or(false)
    }

    /// Words.
    pub(super) fn words(&self, section: &'static str, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.text(section, key).split([' ', '\t']).filter(|word| !word.is_empty())
    }

    /// Whether a choice is this word.
    pub(super) fn is(&self, section: &'static str, key: &'static str, word: &str) -> bool {
        self.text(section, key).eq_ignore_ascii_case(word)
    }
}

fn default_of(file: File, section: &str, key: &str) -> &'static str {
    let keys = file.sections().iter().filter(|known| known.name == section).flat_map(|known| known.keys);
    let mut named = keys.filter(|known| known.name == key);
    let found = named.next();
    debug_assert!(found.is_some(), "[{section}] {key} is not in the table");
    found.map_or("", |key| key.default)
}

/// The name that `text` is most likely a misspelling of.
fn nearest(text: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let text: Vec<char> = text.to_ascii_lowercase().chars().take(64).collect();
    let far = 1 + text.len() / 4;
    names
        .map(|name| (distance(&text, &name.to_ascii_lowercase().chars().collect::<Vec<char>>()), name))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's: how many characters to put in, take out or change.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            left = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            (diagonal, *cell) = (above, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn distances() {
        for (a, b, d) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!(distance(&letters(a), &letters(b)), d, "{a} {b}");
        }
        assert_eq!(nearest("timout", ["Listen", "Timeout"].into_iter()), Some("Timeout"));
        assert_eq!(nearest("Frobnicate", ["Listen", "Timeout"].into_iter()), None);
    }

    #[test]
    fn every_default_of_the_table_is_a_good_value() {
        for file in [File::Server, File::Site, File::Mime, File::PluginsLoad] {
            for section in file.sections() {
                for key in section.keys.iter().filter(|key| !key.default.is_empty()) {
                    let at = Position::of_file("default");
                    let entry = RawEntry { key: key.name, at: at.clone(), value: key.default, value_at: at };
                    let mut out = Findings::default();
                    assert!(check_kind(&entry, key, &mut out), "{:?}", out.list);
                }
            }
        }
    }
}
