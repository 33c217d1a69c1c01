//! Stage 30: which handler answers a request.

use crate::config::plugins::handlers::{Applies, HandlerLine, is_below, runs_files};
use crate::file::body::Body;
use crate::file::handler::Handler;
use crate::plugin::handler::{Asked, Call, Client, Handling};
use crate::plugin::scene::Scene;
use crate::plugins::{self, Task, UNCONFIGURED, Workers, asked, lists_by_default};
use crate::server::requests::Reply;
use crate::vhost::request::Request;

/// Whether a handler that takes bodies is to be asked about a request.
pub(super) fn takes_body(scene: &Scene<'_>, request: &Request<'_>) -> bool {
    let lines = scene.live.site(request.site).map_or(&[][..], |site| &site.handlers);
    UNCONFIGURED.iter().any(|(prefix, _)| is_below(request.path, prefix.as_bytes()))
        || lines.iter().any(|line| plugins::takes_body(line.plugin) && line.applies_to(request.path).is_some())
}

/// What is asked for an answer: the plugins, the files, and room for the path of an index file.
pub(super) struct Sources<'a> {
    pub(super) plugins: &'a mut Workers,
    pub(super) files: &'a mut Handler,
    pub(super) index: &'a mut [u8],
}

/// Asks the handlers of a request's path in their order, until one has something to say; then those of the path of its directory's index
/// file, if that is a script. `body` = it has a body of which nothing was read, so that only those are asked that take it.
pub(super) fn begin(
    from: &mut Sources<'_>,
    scene: &mut Scene<'_>,
    request: &Request<'_>,
    client: Client<'_>,
    body: bool,
) -> Handling<Task> {
    for (prefix, name) in UNCONFIGURED {
        if is_below(request.path, prefix.as_bytes()) {
            let call = Call { client, params: &[], line: 0, prefix: prefix.len(), directory: None, script: None };
            match from.plugins.handle(name, body, scene, request, call) {
                Handling::NotMe => {}
                handling => return handling,
            }
        }
    }
    let lines = scene.live.site(request.site).map_or(&[][..], |site| &site.handlers);
    let handling = ask(from, scene, request, client, body, lines);
    let is_one = matches!(handling, Handling::NotMe) && request.path.ends_with(b"/");
    if !is_one || !lines.iter().any(|line| runs_files(line.plugin)) {
        return handling;
    }
    let Some(len) = from.files.index_script(scene, request, from.index) else { return Handling::NotMe };
    let Sources { plugins, files, index } = from;
    let request = Request { path: index.get(..len).unwrap_or_default(), ..*request };
    match ask(&mut Sources { plugins, files, index: &mut [] }, scene, &request, client, body, lines) {
        Handling::NotMe => Handling::Refuse(403),
        handling => handling,
    }
}

fn ask(
    from: &mut Sources<'_>,
    scene: &mut Scene<'_>,
    request: &Request<'_>,
    client: Client<'_>,
    body: bool,
    lines: &[HandlerLine],
) -> Handling<Task> {
    for line in lines {
        let Some(prefix) = line.applies_to(request.path) else { continue };
        let script = match (asked(line.plugin), &line.applies) {
            (Asked::ForDirectories, _) => continue,
            (Asked::ForScripts, Applies::Match(pattern)) => match from.files.find_script(scene, request, pattern) {
                Ok(None) => continue,
                Ok(script) => script,
                Err(status) => return Handling::Refuse(status),
            },
            _ => None,
        };
        let call = Call { client, params: &line.params, line: line.number, prefix, directory: None, script };
        match from.plugins.handle(line.plugin, body, scene, request, call) {
            Handling::NotMe => {}
            handling => return handling,
        }
    }
    Handling::NotMe
}

/// Answers a request: the handlers that its path has, the files, and for a directory without an index file the handlers for those.
#[inline(always)]
pub(super) fn respond(
    from: &mut Sources<'_>,
    scene: &mut Scene<'_>,
    request: &Request<'_>,
    client: Client<'_>,
) -> Reply {
    if UNCONFIGURED.is_empty() && !scene.live.part(request.site).handle {
        return Reply::Body(from.files.answer(scene, request, false).unwrap_or_default());
    }
    handle(from, scene, request, client)
}

fn handle(from: &mut Sources<'_>, scene: &mut Scene<'_>, request: &Request<'_>, client: Client<'_>) -> Reply {
    let reply = match begin(from, scene, request, client, false) {
        Handling::NotMe => {
            let lists = listed_by(scene, request);
            match from.files.answer(scene, request, lists.is_some()) {
                Some(body) => return Reply::Body(body),
                None => list(from, scene, request, client, lists),
            }
        }
        handling => handling,
    };
    match reply {
        Handling::Begun(task) => Reply::Task(task),
        Handling::Answered => Reply::Body(Body::Nothing),
        Handling::Refuse(status) => {
            let allow: &[u8] = if status == 405 { b"Allow: GET, HEAD\r\n" } else { b"" };
            Reply::Body(from.files.fail_request(scene, request, status, allow))
        }
        Handling::NotMe => Reply::Body(from.files.answer(scene, request, false).unwrap_or_default()),
    }
}

/// The handler for directories that a path has: its name, the line's words, the length of its prefix.
fn listed_by<'a>(scene: &Scene<'a>, request: &Request<'_>) -> Option<(&'static str, &'a [Box<str>], usize)> {
    let live = scene.live;
    let lines = live.site(request.site).map_or(&[][..], |site| &site.handlers);
    let line = lines
        .iter()
        .filter(|line| asked(line.plugin) == Asked::ForDirectories)
        .find_map(|line| line.applies_to(request.path).map(|prefix| (line.plugin, &*line.params, prefix)));
    line.or_else(|| lists_by_default(live).map(|name| (name, &[][..], 0)))
}

fn list(
    from: &mut Sources<'_>,
    scene: &mut Scene<'_>,
    request: &Request<'_>,
    client: Client<'_>,
    lists: Option<(&'static str, &[Box<str>], usize)>,
) -> Handling<Task> {
    let Some((name, params, prefix)) = lists else { return Handling::NotMe };
    match from.files.open_listed(scene, request) {
        Ok(directory) => {
            let call = Call { client, params, line: 0, prefix, directory: Some(directory), script: None };
            from.plugins.handle(name, false, scene, request, call)
        }
        Err(status) => Handling::Refuse(status),
    }
}
