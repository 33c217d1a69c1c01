//! A listing as JSON.

use crate::http::output::Sink;
use crate::plugins::dirlisting::page::Shown;
use crate::plugins::dirlisting::text::{push_json, push_url};
use crate::wire::date::{ISO_DATE_LEN, write_iso_date};

/// Writes what comes before the entries.
pub(super) fn push_head(out: &mut dyn Sink, path: &[u8]) {
    out.push(b"{\"path\": ");
    push_json(out, path);
    out.push(b", \"entries\": [");
}

/// Writes an entry.
pub(super) fn push_entry(out: &mut dyn Sink, first: bool, shown: &Shown<'_>) {
    let Some(meta) = shown.meta else { return };
    out.push(if first { b"\n  {\"name\": " } else { b",\n  {\"name\": " });
    push_json(out, shown.name);
    out.push(b", \"url\": \"");
    push_url(out, shown.name);
    if shown.is_directory() {
        out.push(b"/\", \"type\": \"directory\", \"size\": null");
    } else {
        out.push(b"\", \"type\": \"file\", \"size\": ");
        out.push_decimal(meta.size);
    }
    let mut date = [0; ISO_DATE_LEN];
    write_iso_date(meta.mtime, &mut date);
    out.push(b", \"modified\": \"");
    out.push(&date);
    out.push(b"\"}");
}

/// Writes what comes behind them.
pub(super) fn push_foot(out: &mut dyn Sink, sorted: bool) {
    out.push(if sorted { b"], \"sorted\": true}\n" } else { b"], \"sorted\": false}\n" });
}
