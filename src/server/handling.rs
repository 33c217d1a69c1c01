//! Stage 30: which handler answers a request.

use crate::config::plugins::handlers::is_below;
use crate::file::body::Body;
use crate::file::handler::Handler;
use crate::plugin::handler::{Call, Handling};
use crate::plugin::scene::Scene;
use crate::plugins::{self, Task, UNCONFIGURED, Workers, asks_for_directories, lists_by_default};
use crate::server::requests::Reply;
use crate::vhost::request::Request;

/// Whether a handler that takes bodies is to be asked about a request.
pub(super) fn takes_body(scene: &Scene<'_>, request: &Request<'_>) -> bool {
    let lines = scene.live.site(request.site).map_or(&[][..], |site| &site.handlers);
    UNCONFIGURED.iter().any(|(prefix, _)| is_below(request.path, prefix.as_bytes()))
        || lines.iter().any(|line| plugins::takes_body(line.plugin) && line.applies_to(request.path).is_some())
}

/// Asks the handlers of a request's path in their order, until one has something to say. `body` = it has a body of which nothing was
/// read, so that only those are asked that take it.
pub(super) fn begin(plugins: &mut Workers, scene: &mut Scene<'_>, request: &Request<'_>, body: bool) -> Handling<Task> {
    for (prefix, name) in UNCONFIGURED {
        if is_below(request.path, prefix.as_bytes()) {
            let call = Call { params: &[], prefix: prefix.len(), directory: None };
            match plugins.handle(name, body, scene, request, call) {
                Handling::NotMe => {}
                handling => return handling,
            }
        }
    }
    let live = scene.live;
    let lines = live.site(request.site).map_or(&[][..], |site| &site.handlers);
    for line in lines {
        let Some(prefix) = line.applies_to(request.path) else { continue };
        if asks_for_directories(line.plugin) {
            continue;
        }
        let call = Call { params: &line.params, prefix, directory: None };
        match plugins.handle(line.plugin, body, scene, request, call) {
            Handling::NotMe => {}
            handling => return handling,
        }
    }
    Handling::NotMe
}

/// Answers a request: the handlers that its path has, the files, and for a directory without an index file the handlers for those.
#[inline(always)]
pub(super) fn respond(
    plugins: &mut Workers,
    files: &mut Handler,
    scene: &mut Scene<'_>,
    request: &Request<'_>,
) -> Reply {
    if UNCONFIGURED.is_empty() && !scene.live.part(request.site).handle {
        return Reply::Body(files.answer(scene, request, false).unwrap_or_default());
    }
    handle(plugins, files, scene, request)
}

fn handle(plugins: &mut Workers, files: &mut Handler, scene: &mut Scene<'_>, request: &Request<'_>) -> Reply {
    let reply = match begin(plugins, scene, request, false) {
        Handling::NotMe => {
            let lists = listed_by(scene, request);
            match files.answer(scene, request, lists.is_some()) {
                Some(body) => return Reply::Body(body),
                None => list(plugins, files, scene, request, lists),
            }
        }
        handling => handling,
    };
    match reply {
        Handling::Begun(task) => Reply::Task(task),
        Handling::Answered => Reply::Body(Body::Nothing),
        Handling::Refuse(status) => {
            let allow: &[u8] = if status == 405 { b"Allow: GET, HEAD\r\n" } else { b"" };
            Reply::Body(files.fail_request(scene, request, status, allow))
        }
        Handling::NotMe => Reply::Body(files.answer(scene, request, false).unwrap_or_default()),
    }
}

/// The handler for directories that a path has: its name, the line's words, the length of its prefix.
fn listed_by<'a>(scene: &Scene<'a>, request: &Request<'_>) -> Option<(&'static str, &'a [Box<str>], usize)> {
    let live = scene.live;
    let lines = live.site(request.site).map_or(&[][..], |site| &site.handlers);
    let line = lines
        .iter()
        .filter(|line| asks_for_directories(line.plugin))
        .find_map(|line| line.applies_to(request.path).map(|prefix| (line.plugin, &*line.params, prefix)));
    line.or_else(|| lists_by_default(live).map(|name| (name, &[][..], 0)))
}

fn list(
    plugins: &mut Workers,
    files: &mut Handler,
    scene: &mut Scene<'_>,
    request: &Request<'_>,
    lists: Option<(&'static str, &[Box<str>], usize)>,
) -> Handling<Task> {
    let Some((name, params, prefix)) = lists else { return Handling::NotMe };
    match files.open_listed(scene, request) {
        Ok(directory) => {
            plugins.handle(name, false, scene, request, Call { params, prefix, directory: Some(directory) })
        }
        Err(status) => Handling::Refuse(status),
    }
}
