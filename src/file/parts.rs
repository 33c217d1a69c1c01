//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 section 14.6).
//!
//! The plan (delimiter, ranges, content type) is kept in a borrowed buffer, so that each part's delimiter can be written
//! when its turn comes, however slowly the client reads.

use crate::file::body::Body;
use crate::file::handler::{Handler, push_content_range};
use crate::http::output::Sink;
use crate::http::page::Count;
use crate::plugin::scene::Scene;
use crate::storage::pool::Pool;
use crate::vhost::request::Request;
use crate::vhost::table::EntryId;
use crate::wire::range::ByteRange;

/// Delimiter number, file size, then sixteen bytes a range, then the content's field lines.
const PLAN_HEAD: usize = 16;
const PLAN_RANGE: usize = 16;

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
    word.map_or(0, u64::from_le_bytes)
}

fn plan_range(plan: &[u8], index: u8) -> ByteRange {
    let at = PLAN_HEAD + PLAN_RANGE * usize::from(index);
    ByteRange { first: word(plan, at), last: word(plan, at + 8) }
}

/// The line before part `index`, or after the last one.
fn push_delimiter(sink: &mut impl Sink, plan: &[u8], index: u8, count: u8, used: usize) {
    sink.push(b"\r\n--");
    sink.push_hex(word(plan, 0));
    if index >= count {
        return sink.push(b"--\r\n");
    }
    sink.push(b"\r\n");
    sink.push(plan.get(PLAN_HEAD + PLAN_RANGE * usize::from(count)..used).unwrap_or_default());
    sink.push(b"Content-Range: bytes ");
    push_content_range(sink, plan_range(plan, index), word(plan, 8));
    sink.push(b"\r\n\r\n");
}

/// The `Content-Type` line among the field lines that describe the content.
fn content_type_line(content: &[u8]) -> &[u8] {
    let end = content.windows(2).position(|window| window == b"\r\n").map_or(0, |at| at + 2);
    content.get(..end).unwrap_or_default()
}

impl Handler {
    /// Answers several ranges. None when no buffer is free for the plan: then the whole file is the answer, which RFC
    /// 9110 section 14.2 always allows.
    pub(super) fn answer_parts(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        id: EntryId,
        ranges: &[ByteRange],
    ) -> Option<Body> {
        let count = u8::try_from(ranges.len()).ok()?;
        let entry = self.table.entry(id)?;
        let size = entry.size;
        let layout = entry.layout;
        let content = self.table.answer(id)?.get(usize::from(layout.content)..usize::from(layout.length))?;
        let line = content_type_line(content);
        let used = PLAN_HEAD + PLAN_RANGE * ranges.len() + line.len();
        let buffer = scene.pool.take(used)?;
        self.delimiter = self.delimiter.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let delimiter = self.delimiter;
        let plan = scene.pool.get_mut(&buffer);
        let numbers = ranges.iter().flat_map(|range| [range.first, range.last]);
        for (place, number) in plan.chunks_exact_mut(8).zip([delimiter, size].into_iter().chain(numbers)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        if let Some(place) = plan.get_mut(used - line.len()..used) {
            place.copy_from_slice(line);
        }
        let mut length = Count::default();
        for index in 0..=count {
            push_delimiter(&mut length, plan, index, count, used);
        }
        let length = ranges.iter().fold(length.0 as u64, |sum, range| sum.saturating_add(range.len()));
        self.push_head(scene, request, id, 206, |out, content| {
            out.push(b"Content-Type: multipart/byteranges; boundary=");
            out.push_hex(delimiter);
            out.push(b"\r\n");
            out.push(content.get(content_type_line(content).len()..).unwrap_or_default());
            out.push_length(length);
        });
        self.table.pin(id);
        Some(Body::Parts { entry: id, plan: buffer, next: 0, count, offset: 0, remaining: 0 })
    }

    /// Moves a multipart answer on to its next part: writes the delimiter. False = the closing one was written and no
    /// part follows.
    pub fn next_part(&self, body: &mut Body, pool: &Pool, out: &mut impl Sink) -> bool {
        let Body::Parts { plan, next, count, offset, remaining, .. } = body else { return false };
        let plan = pool.get(plan);
        let line_start = PLAN_HEAD + PLAN_RANGE * usize::from(*count);
        let line = content_type_line(plan.get(line_start..).unwrap_or_default());
        push_delimiter(out, plan, *next, *count, line_start + line.len());
        if next >= count {
            return false;
        }
        let range = plan_range(plan, *next);
        *next += 1;
        *offset = range.first;
        *remaining = range.len();
        true
    }

    /// Lets go of what an unfinished or finished body holds.
    pub fn drop_body(&mut self, body: Body, pool: &mut Pool) {
        match body {
            Body::Nothing | Body::Ready { .. } => {}
            Body::File { entry, .. } => self.table.unpin(entry),
            Body::Parts { entry, plan, .. } => {
                self.table.unpin(entry);
                pool.give(plan);
            }
        }
    }
}
