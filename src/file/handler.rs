//! The handler's way through a request: find the entry, judge the conditions, write the head, say what follows.

use std::io;
use std::os::fd::OwnedFd;

use crate::file::body::Body;
use crate::file::conditional::{Validators, Verdict, etag_text, judge, range_applies};
use crate::file::error::{ALLOW, push_options, redirect_to_directory};
use crate::file::resolve::{Outcome, PathRoom, open_listed, resolve, variant_of};
use crate::file::script::Known;
use crate::http::output::{Output, Sink, Text, server_field};
use crate::plugin::scene::Scene;
use crate::vhost::entry::Key;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::vhost::roots::Roots;
use crate::vhost::table::{EntryId, OpenFiles};
use crate::wire::accept::{accepts_html, parse_accept_encoding};
use crate::wire::head::{Method, Name};
use crate::wire::range::{ByteRange, Ranges, parse_range};

/// The static file handler of one worker.
pub struct Handler {
    pub(super) table: OpenFiles,
    pub(super) roots: Roots,
    pub(super) room: PathRoom,
    pub(super) scripts: Known,
    /// Makes multipart delimiters unlike any before.
    pub(super) delimiter: u64,
}

impl Handler {
    /// A handler over a table of open files; `seed` is a number nobody can guess.
    pub fn new(live: &Live, table: OpenFiles, seed: u64) -> io::Result<Handler> {
        Ok(Handler {
            table,
            roots: Roots::new(live),
            room: PathRoom::new()?,
            scripts: Known::default(),
            delimiter: seed,
        })
    }

    /// Forgets what was found under an earlier configuration; answers under way keep their files. Allocates.
    pub fn reconfigure(&mut self, live: &Live) {
        self.table.clear();
        self.scripts = Known::default();
        self.roots = Roots::new(live);
    }

    /// Forgets what was found, because it may carry no date or a wrong one.
    pub fn forget(&mut self) {
        self.table.clear();
    }

    /// The open files.
    pub fn table(&self) -> &OpenFiles {
        &self.table
    }

    /// The status and the length of an answer that stands ready; None = it was written to the output.
    #[inline(always)]
    pub fn answer_of(&self, body: &Body) -> Option<(u16, Option<u64>)> {
        let Body::Ready { entry } = body else { return None };
        Some(self.table.entry(*entry).map_or((0, None), |entry| (entry.status, Some(entry.size))))
    }

    /// The open files, to pin and unpin.
    pub fn table_mut(&mut self) -> &mut OpenFiles {
        &mut self.table
    }

    /// Closes files and roots that nobody asked for within `age` milliseconds.
    pub fn sweep(&mut self, now: u32, age: u32) {
        self.table.sweep(now, age);
        self.roots.sweep(now, age);
    }

    /// How many files and roots are open.
    pub fn open(&self) -> usize {
        self.table.open() + self.roots.open()
    }

    #[inline(always)]
    fn lookup(&mut self, scene: &mut Scene<'_>, key: &Key<'_>) -> Result<EntryId, u16> {
        match self.find(scene, key) {
            Some(id) => Ok(id),
            None => self.fill(scene, key),
        }
    }

    /// What is known of a key; with `FDT Off` nothing is, and each request looks for itself.
    #[inline(always)]
    fn find(&mut self, scene: &Scene<'_>, key: &Key<'_>) -> Option<EntryId> {
        if !scene.live.config().server.fdt {
            return None;
        }
        self.table.find(key, scene.clock.now())
    }

    /// The entry of a page that must be a file; never one of an error, whose page might be this very one.
    pub(super) fn page_entry(&mut self, scene: &mut Scene<'_>, key: &Key<'_>) -> Option<EntryId> {
        let now = scene.clock.now();
        let found = self.find(scene, key).or_else(|| {
            match resolve(scene.live, &mut self.roots, &mut self.room, key.site, key.variant, key.path, now) {
                (Outcome::File(opened), checked) => self.fill_file(scene, key, opened, checked).ok(),
                _ => None,
            }
        });
        found.filter(|&id| self.table.entry(id).is_some_and(|entry| entry.status == 200))
    }

    /// Opens a directory that [`Handler::answer`] has left to others.
    pub fn open_listed(&mut self, scene: &Scene<'_>, request: &Request<'_>) -> Result<OwnedFd, u16> {
        let now = scene.clock.now();
        open_listed(scene.live, &mut self.roots, &mut self.room, request.site, request.path, now)
    }

    /// Answers a request for what lies under a document root. None = it is a directory without an index file, and `listed` says
    /// that somebody else answers for those.
    #[cfg_attr(tuned, optimize(speed))]
    pub fn answer(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, listed: bool) -> Option<Body> {
        match self.find_answer(scene, request, listed) {
            Ok(body) => body,
            Err(status) => Some(self.fail_request(scene, request, status, b"")),
        }
    }

    #[cfg_attr(tuned, optimize(speed))]
    #[inline(always)]
    fn find_answer(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, listed: bool) -> Result<Option<Body>, u16> {
        match request.head.method {
            Method::Get | Method::Head | Method::Post => {}
            Method::Options => {
                push_options(scene, request);
                return Ok(Some(Body::Nothing));
            }
            // Known, but only to those behind this server.
            Method::Patch => return Err(501),
            _ => return Ok(Some(self.fail_request(scene, request, 405, ALLOW))),
        }
        let variant = request.field(Name::AcceptEncoding).map_or(0, |value| variant_of(&parse_accept_encoding(value)));
        let key = Key { site: request.site, variant, path: request.path };
        let id = self.lookup(scene, &key)?;
        if listed && self.table.entry(id).is_some_and(|entry| entry.directory) {
            return Ok(None);
        }
        let id = self.fall_back(scene, request, variant, id)?;
        Ok(Some(self.answer_entry(scene, request, id)))
    }

    /// Puts the single-page application's page in place of a miss, for a browser that opens a page.
    fn fall_back(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        variant: u8,
        id: EntryId,
    ) -> Result<EntryId, u16> {
        if self.table.entry(id).is_none_or(|entry| entry.status != 404) {
            return Ok(id);
        }
        let page = scene.live.site(request.site).and_then(|site| site.fallback.as_deref());
        let reading = matches!(request.head.method, Method::Get | Method::Head);
        match page {
            Some(page) if reading && request.field(Name::Accept).is_some_and(accepts_html) => {
                let key = Key { site: request.site, variant, path: page.as_bytes() };
                match self.page_entry(scene, &key) {
                    Some(page) => Ok(page),
                    // Looking for the page may have driven the miss out of the table.
                    None => self.lookup(scene, &Key { path: request.path, ..key }),
                }
            }
            _ => Ok(id),
        }
    }

    #[cfg_attr(tuned, optimize(speed))]
    fn answer_entry(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, id: EntryId) -> Body {
        let Some(entry) = self.table.entry(id) else {
            return self.fail_request(scene, request, 500, b"");
        };
        let (status, whole) = (entry.status, entry.is_whole());
        if status == 301 {
            redirect_to_directory(scene, request);
            return Body::Nothing;
        }
        if status != 200 {
            if !whole {
                return self.fail_request(scene, request, status, b"");
            }
        } else if let Some(body) = self.answer_specially(scene, request, id) {
            return body;
        }
        if let (Some(wall), Some(date)) = (scene.clock.wall(), scene.clock.date()) {
            self.table.stamp(id, wall as u32, date);
        }
        if whole && request.is_plain() {
            return Body::Ready { entry: id };
        }
        let Some(entry) = self.table.entry(id) else { return Body::Nothing };
        scene.out.begin_answer(entry.status, Some(entry.size));
        let head = self.table.answer(id).and_then(|answer| answer.get(..usize::from(entry.layout.head)));
        let line_end = head.and_then(|head| head.strip_suffix(b"\r\n")).unwrap_or_default();
        scene.out.push(line_end);
        scene.out.push(request.connection_line());
        scene.out.push(b"\r\n");
        if request.is_head() { Body::Nothing } else { self.push_body(scene, id) }
    }

    /// Writes an entry's body when it stands in its record, else returns the stretch of the file.
    pub(super) fn push_body(&mut self, scene: &mut Scene<'_>, id: EntryId) -> Body {
        let Some(entry) = self.table.entry(id) else { return Body::Nothing };
        if entry.is_whole() {
            let body = self.table.answer(id).and_then(|answer| answer.get(usize::from(entry.layout.head)..));
            scene.out.push(body.unwrap_or_default());
            return Body::Nothing;
        }
        let remaining = entry.size;
        self.stretch(id, 0, remaining)
    }

    fn stretch(&mut self, entry: EntryId, offset: u64, remaining: u64) -> Body {
        self.table.pin(entry);
        Body::File { entry, offset, remaining }
    }

    /// The answers that conditions and ranges lead to; None when the plain one is right.
    #[inline(always)]
    fn answer_specially(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, id: EntryId) -> Option<Body> {
        const SPECIAL: [Name; 5] =
            [Name::Range, Name::IfNoneMatch, Name::IfModifiedSince, Name::IfMatch, Name::IfUnmodifiedSince];
        if SPECIAL.iter().all(|&name| request.head.get(name).is_none()) {
            return None;
        }
        let entry = self.table.entry(id)?;
        let (size, etag) = (entry.size, etag_text(entry.etag));
        let settled = scene.clock.wall().is_some_and(|now| now > entry.mtime);
        let file = Validators { etag: &etag, mtime: entry.mtime, settled };
        match judge(request, &file) {
            Verdict::Proceed => {}
            Verdict::NotModified => {
                self.push_head(scene, request, id, 304, |_, _| {});
                return Some(Body::Nothing);
            }
            Verdict::Failed => return Some(self.fail_request(scene, request, 412, b"")),
        }
        let range = request.field(Name::Range)?;
        if !scene.live.config().server.resume || !range_applies(request, &file) {
            return None;
        }
        match parse_range(range, size) {
            Ranges::Ignore => None,
            Ranges::Unsatisfiable => {
                let mut field = Text::<64>::default();
                push_unsatisfied(&mut field, size);
                Some(self.fail_request(scene, request, 416, field.bytes()))
            }
            Ranges::One(range) => Some(self.answer_range(scene, request, id, range, size)),
            Ranges::Many(ranges) => self.answer_parts(scene, request, id, &ranges),
        }
    }

    fn answer_range(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        id: EntryId,
        range: ByteRange,
        size: u64,
    ) -> Body {
        self.push_head(scene, request, id, 206, |out, content| {
            out.push(content);
            out.push(b"Content-Range: bytes ");
            push_content_range(out, range, size);
            out.push(b"\r\n");
            out.push_length(range.len());
        });
        self.stretch(id, range.first, range.len())
    }

    /// Writes a head made of an entry's fields: status, server, date, the common ones, then what `content` makes of the
    /// ones that describe the content.
    pub(super) fn push_head(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        id: EntryId,
        status: u16,
        content: impl FnOnce(&mut Output, &[u8]),
    ) {
        let Some(entry) = self.table.entry(id) else { return };
        let head = self.table.answer(id).unwrap_or_default();
        let part = |from: u16, to: u16| head.get(usize::from(from)..usize::from(to)).unwrap_or_default();
        let layout = entry.layout;
        let out = &mut *scene.out;
        out.push_status(status);
        out.push(server_field(scene.live.config().server.hide_version));
        out.push_date(scene.clock);
        out.push(part(layout.common, layout.content));
        content(out, part(layout.content, layout.length));
        out.push(request.connection_line());
        out.push(b"\r\n");
    }
}

fn push_unsatisfied(sink: &mut impl Sink, size: u64) {
    sink.push(b"Content-Range: bytes */");
    sink.push_decimal(size);
    sink.push(b"\r\n");
}

/// Writes `first-last/size` (RFC 9110 section 14.4).
pub(super) fn push_content_range(sink: &mut impl Sink, range: ByteRange, size: u64) {
    sink.push_decimal(range.first);
    sink.push(b"-");
    sink.push_decimal(range.last);
    sink.push(b"/");
    sink.push_decimal(size);
}
