//! Answers that carry no file of their own: errors with their page, redirects, OPTIONS.

use crate::file::body::Body;
use crate::file::fill::VARY_ACCEPT;
use crate::file::handler::Handler;
use crate::http::output::{Sink, server_field};
use crate::http::page::{PAGE_TYPE, page_len, push_page};
use crate::plugin::scene::{Scene, push_site_fields};
use crate::vhost::entry::Key;
use crate::vhost::request::Request;
use crate::vhost::table::EntryId;
use crate::wire::target::write_encoded;

/// Methods a static file answers.
pub(super) const ALLOW: &[u8] = b"Allow: GET, HEAD, POST, OPTIONS\r\n";

/// An error answer before it is written.
pub struct Failure<'a> {
    /// The status.
    pub status: u16,
    /// The site whose page and fields apply; None while no request is understood.
    pub site: Option<u16>,
    /// The path that was asked for; repeated, escaped, on the pages of 403, 404 and 405.
    pub path: &'a [u8],
    /// The `Connection` field line, or nothing.
    pub connection: &'a [u8],
    /// Whether the body is left out.
    pub is_head: bool,
    /// More field lines.
    pub fields: &'a [u8],
}

impl Handler {
    /// The entry of a site's own page for a status, when there is one and it can be read.
    pub(super) fn custom_page(&mut self, scene: &mut Scene<'_>, site: u16, status: u16) -> Option<(EntryId, u16)> {
        let pages = &scene.live.site(site)?.error_pages;
        let index = pages.iter().position(|&(code, _)| code == status)?;
        let key = Key { site, variant: 0, path: pages.get(index)?.1.as_bytes() };
        self.page_entry(scene, &key).map(|id| (id, index as u16))
    }

    /// Writes an error answer. The rest of a large page of the site's own is returned.
    pub fn fail(&mut self, scene: &mut Scene<'_>, failure: &Failure<'_>) -> Body {
        let Failure { status, site, path, is_head, .. } = *failure;
        let live = scene.live;
        let custom = site.and_then(|site| self.custom_page(scene, site, status));
        let echo = if matches!(status, 403..=405) { path } else { b"" };
        let out = &mut *scene.out;
        out.push_status(status);
        out.push(server_field(live.config().server.hide_version));
        out.push_date(scene.clock);
        out.push(failure.fields);
        if status == 503 {
            out.push(b"Retry-After: ");
            out.push_decimal(u64::from(live.config().server.retry_after));
            out.push(b"\r\n");
        }
        if let Some(site) = site {
            if status == 404 && live.site(site).is_some_and(|site| site.fallback.is_some()) {
                out.push(VARY_ACCEPT);
            }
            push_site_fields(out, live, site, path);
        }
        let Some((id, index)) = custom else {
            out.push_field("Content-Type", PAGE_TYPE);
            out.push_length(page_len(status, echo) as u64);
            out.push(failure.connection);
            out.push(b"\r\n");
            if !is_head {
                push_page(out, status, echo);
            }
            return Body::Nothing;
        };
        let name = site.and_then(|site| live.site(site)).and_then(|site| site.error_pages.get(usize::from(index)));
        let media_type = name.and_then(|(_, path)| live.config().mime.lookup(path.as_bytes()));
        out.push_field("Content-Type", media_type.map_or(PAGE_TYPE, str::as_bytes));
        out.push_length(self.table.entry(id).map_or(0, |entry| entry.size));
        out.push(failure.connection);
        out.push(b"\r\n");
        if is_head { Body::Nothing } else { self.push_body(scene, id) }
    }

    /// Answers a request with an error of its site.
    pub fn fail_request(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, status: u16, fields: &[u8]) -> Body {
        let failure = Failure {
            status,
            site: Some(request.site),
            path: request.path,
            connection: request.connection_line(),
            is_head: request.is_head(),
            fields,
        };
        self.fail(scene, &failure)
    }
}

/// Writes the whole plain error answer of a key. False = the body did not go with it: the answer can not be kept.
pub(super) fn push_error(handler: &mut Handler, scene: &mut Scene<'_>, status: u16, key: &Key<'_>) -> bool {
    let failure =
        Failure { status, site: Some(key.site), path: key.path, connection: b"", is_head: false, fields: b"" };
    match handler.fail(scene, &failure) {
        Body::Nothing => !scene.out.overflowed(),
        body => {
            handler.drop_body(body, scene.pool);
            false
        }
    }
}

/// Writes a redirect whose target `location` writes.
fn push_redirect(scene: &mut Scene<'_>, request: &Request<'_>, location: impl FnOnce(&mut dyn FnMut(&[u8]))) {
    let out = &mut *scene.out;
    out.push_status(301);
    out.push(server_field(scene.live.config().server.hide_version));
    out.push_date(scene.clock);
    out.push(b"Location: ");
    location(&mut |bytes| out.push(bytes));
    out.push(b"\r\n");
    push_site_fields(out, scene.live, request.site, request.path);
    out.push_length(0);
    out.push(request.connection_line());
    out.push(b"\r\n");
}

/// Sends a client from a directory's name to the directory: the path with its final slash, the query kept. The target is
/// without scheme and host, so that it is right behind any proxy.
pub(super) fn redirect_to_directory(scene: &mut Scene<'_>, request: &Request<'_>) {
    push_redirect(scene, request, |push| {
        write_encoded(request.path, push);
        push(b"/");
        if let Some(query) = request.query {
            push(b"?");
            push(query);
        }
    });
}

/// Sends a client to the place its whole site has moved to.
pub fn redirect_site(scene: &mut Scene<'_>, request: &Request<'_>, to: &str) {
    push_redirect(scene, request, |push| push(to.as_bytes()));
}

/// Answers OPTIONS (RFC 9110 section 9.3.7).
pub(super) fn push_options(scene: &mut Scene<'_>, request: &Request<'_>) {
    let out = &mut *scene.out;
    out.push_status(200);
    out.push(server_field(scene.live.config().server.hide_version));
    out.push_date(scene.clock);
    out.push(ALLOW);
    push_site_fields(out, scene.live, request.site, request.path);
    out.push_length(0);
    out.push(request.connection_line());
    out.push(b"\r\n");
}
