//! `[HANDLERS]`: which plugin answers which requests.

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::raw::RawEntry;
use super::super::rules::compile;
use super::super::site::is_unnormal;
use super::super::text::{Words, first_word, same};
use super::{BuiltIn, PLUGINS, Plugin};
use crate::wire::pattern::Pattern;

/// Which requests a line is for.
#[derive(Clone, Debug)]
pub enum Applies {
    /// Those with the pattern somewhere in the decoded path without query.
    Match(Pattern),
    /// Those below a prefix, which begins with a slash and does not end with one; the empty one is every path.
    Location(Box<str>),
}

/// A line of `[HANDLERS]`.
#[derive(Clone, Debug)]
pub struct HandlerLine {
    /// Which requests it is for.
    pub applies: Applies,
    /// The short name of a plugin that is built in and answers requests.
    pub plugin: &'static str,
    /// The words behind it.
    pub params: Vec<Box<str>>,
}

impl HandlerLine {
    /// Whether it is for this path. The number is the length of the prefix that the line names; 0 for one that names none.
    pub fn applies_to(&self, path: &[u8]) -> Option<usize> {
        match &self.applies {
            Applies::Match(pattern) => pattern.is_match(path).then_some(0),
            Applies::Location(prefix) => is_below(path, prefix.as_bytes()).then_some(prefix.len()),
        }
    }
}

/// Whether a path lies below a prefix (whole segments), or is it.
pub fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// The lines of a site, in the order in which they are written.
pub(in super::super) fn handlers(v: &Values<'_>, out: &mut Findings) -> Vec<HandlerLine> {
    let mut lines = Vec::new();
    for entry in v.every("HANDLERS") {
        if let Some(line) = line(&entry, out) {
            lines.push(line);
        }
    }
    lines
}

fn line(entry: &RawEntry<'_>, out: &mut Findings) -> Option<HandlerLine> {
    let (what, rest) = first_word(entry.value);
    let (name, params) = first_word(rest);
    let is_match = same(entry.key, "Match");
    if name.is_empty() {
        let example =
            if is_match { "REGEX PLUGIN, such as /.* dirlisting" } else { "/PREFIX PLUGIN, such as /status metrics" };
        return out.refuse(&entry.value_at, format_args!("write {example}"));
    }
    let plugin = known(name, entry, out)?;
    if plugin.handler == Some("") && !params.is_empty() {
        let at = entry.value_at.of_part(entry.value, params);
        return out.refuse(&at, format_args!("{} takes no parameters: take \"{params}\" out", plugin.name));
    }
    let applies = if is_match {
        Applies::Match(compile(what, entry, out)?)
    } else {
        Applies::Location(prefix(what, entry, out)?.into())
    };
    let mut words = Vec::new();
    for word in Words(params) {
        words.push(word.into());
    }
    Some(HandlerLine { applies, plugin: plugin.name, params: words })
}

/// A prefix as paths of requests have it: without a slash at the end.
pub(super) fn prefix<'a>(what: &'a str, entry: &RawEntry<'_>, out: &mut Findings) -> Option<&'a str> {
    let prefix = what.trim_end_matches('/');
    if !what.starts_with('/') || prefix.get(1..).is_some_and(is_unnormal) {
        let what = format_args!(
            "the prefix \"{what}\" never matches: begin it with a slash, and write it without . and .. and //"
        );
        return out.refuse(&entry.value_at, what);
    }
    Some(prefix)
}

/// The plugin of a name, if it is in this build and answers requests.
fn known(name: &str, entry: &RawEntry<'_>, out: &mut Findings) -> Option<&'static Plugin> {
    let at = entry.value_at.of_part(entry.value, name);
    let Some(plugin) = PLUGINS.iter().find(|plugin| same(plugin.name, name)) else {
        return out.refuse(&at, format_args!("there is no plugin {name}; plugins built in: {BuiltIn}"));
    };
    if !plugin.built_in {
        return out.refuse(&at, format_args!("the plugin {name} is not in this build; plugins built in: {BuiltIn}"));
    }
    if plugin.handler.is_none() {
        return out.refuse(&at, format_args!("the plugin {name} answers no requests: take the line out"));
    }
    Some(plugin)
}
