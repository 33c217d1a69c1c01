//! `[HANDLERS]`: which plugin answers which requests.

use std::sync::Arc;

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::raw::RawEntry;
use super::super::rules::compile;
use super::super::site::is_unnormal;
use super::super::text::{Words, cut, first_word, same};
use super::{BuiltIn, PLUGINS, Plugin, With, of_line};
use crate::wire::pattern::Pattern;

/// Which requests a line is for.
#[derive(Clone, Debug)]
pub enum Applies {
    /// Those with the pattern somewhere in the decoded path without query.
    Match(Arc<Pattern>),
    /// Those below a prefix, which begins with a slash and does not end with one; the empty one is every path.
    Location(Box<str>),
}

/// A line of `[HANDLERS]`.
#[derive(Clone, Debug)]
pub struct HandlerLine {
    /// Which requests it is for.
    pub applies: Applies,
    /// The short name of a plugin that answers requests. It is built in, unless the line follows from its file: then nobody answers.
    pub plugin: &'static str,
    /// The words behind it.
    pub params: Vec<Box<str>>,
    /// Which of its plugin's lines it is, over the whole configuration: where a plugin has data of its own for each line, they stand at
    /// this place. 0 for a plugin that has none. Lines of several sites may have the same number.
    pub number: u16,
}

impl HandlerLine {
    /// Whether it is for this path. The number is the length of the prefix that the line names; 0 for one that names none.
    pub fn applies_to(&self, path: &[u8]) -> Option<usize> {
        match &self.applies {
            Applies::Match(pattern) => pattern.is_match(path).then_some(0),
            Applies::Location(prefix) => is_below(path, prefix.as_bytes()).then_some(prefix.len()),
        }
    }

    /// Whether a file with this path is a program by it, whose text is not for anyone.
    pub fn runs(&self, path: &[u8]) -> bool {
        runs_files(self.plugin) && matches!(&self.applies, Applies::Match(pattern) if pattern.is_match(path))
    }
}

/// Whether the `Match` lines of a plugin are about files that are run.
pub fn runs_files(plugin: &str) -> bool {
    matches!(plugin, "cgi" | "fastcgi" | "palm")
}

/// Whether a path lies below a prefix (whole segments), or is it.
pub fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// Lines in the making: those of a site, or those that follow from the file of a plugin for every site.
#[derive(Clone, Default, Debug)]
pub(in super::super) struct Lines {
    /// In the order in which they are tried.
    pub(in super::super) list: Vec<HandlerLine>,
    /// Extensions, lower-cased, of the files that they run.
    pub(in super::super) extensions: Vec<String>,
}

impl Lines {
    /// Adds a line for a pattern, which is in the value of `entry`. `number` is that of what it leads to.
    #[allow(dead_code)] // Which plugin has such lines is the features' choice.
    pub(super) fn add(
        &mut self,
        plugin: &'static str,
        regex: &str,
        number: u16,
        entry: &RawEntry<'_>,
        out: &mut Findings,
    ) {
        let Some(pattern) = compile(regex, entry, out) else { return };
        self.runs(plugin, regex);
        self.list.push(HandlerLine { applies: Applies::Match(pattern.into()), plugin, params: Vec::new(), number });
    }

    /// Takes note of the extensions that a pattern is about, if it is about all files with them: `\\.EXT` or `\\.(EXT|EXT)`, with nothing
    /// before it but `/.*` perhaps, and nothing behind it but `$` or `(/|$)`.
    fn runs(&mut self, plugin: &str, regex: &str) {
        if !runs_files(plugin) {
            return;
        }
        let mut rest = regex;
        for start in ["^", "/", ".*"] {
            rest = rest.strip_prefix(start).unwrap_or(rest);
        }
        let Some(mut rest) = rest.strip_prefix("\\.") else { return };
        for end in ["(/|$)", "($|/)", "$"] {
            rest = rest.strip_suffix(end).unwrap_or(rest);
        }
        let several = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        rest = several.unwrap_or(rest);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'|' && several.is_some();
        if !rest.bytes().all(plain) {
            return;
        }
        while !rest.is_empty() {
            let (extension, more) = cut(rest, |byte| byte == b'|');
            self.extensions.push(extension.to_ascii_lowercase());
            rest = more.get(1..).unwrap_or_default();
        }
    }

    /// Those behind the ones of a site, all of which match patterns.
    pub(in super::super) fn append(&mut self, more: &Lines) {
        for HandlerLine { applies, plugin, number, .. } in &more.list {
            let Applies::Match(pattern) = applies else { continue };
            let applies = Applies::Match(Arc::clone(pattern));
            self.list.push(HandlerLine { applies, plugin, params: Vec::new(), number: *number });
        }
        self.extensions.extend_from_slice(&more.extensions);
    }
}

/// A line of `[HANDLERS]` up to the plugin's name.
#[allow(dead_code)] // As above.
pub(super) struct Asks<'e, 'a> {
    /// The line.
    pub(super) entry: &'e RawEntry<'a>,
    /// The words behind the name.
    pub(super) words: &'a str,
    /// Whether it is for the paths that match a pattern, not for those below a prefix.
    pub(super) is_match: bool,
}

/// The lines of a site, in the order in which they are written.
pub(in super::super) fn handlers(v: &Values<'_>, with: &mut With<'_>, out: &mut Findings) -> Lines {
    let mut lines = Lines::default();
    for entry in v.every("HANDLERS") {
        line(&entry, with, &mut lines, out);
    }
    lines
}

fn line(entry: &RawEntry<'_>, with: &mut With<'_>, lines: &mut Lines, out: &mut Findings) -> Option<()> {
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
        Applies::Match(compile(what, entry, out)?.into())
    } else {
        Applies::Location(prefix(what, entry, out)?.into())
    };
    let number = of_line(plugin.name, &Asks { entry, words: params, is_match }, with, out)?;
    if is_match {
        lines.runs(plugin.name, what);
    }
    let params = Words(params).map(Box::from).collect();
    lines.list.push(HandlerLine { applies, plugin: plugin.name, params, number });
    Some(())
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
