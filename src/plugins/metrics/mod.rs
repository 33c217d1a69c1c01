//! metrics: what the server counts, for Prometheus (text exposition format 0.0.4) or as JSON.
//!
//! A handler: `Location /metrics metrics` in `[HANDLERS]`. It answers in JSON when the client asks for `application/json`. The answer
//! is written a few lines at a time, so that its size does not depend on how many workers there are.

mod json;
mod numbers;
mod text;

use std::io;

use crate::http::output::Sink;
use crate::plugin::handler::{Call, Handler, Handling, Produced};
use crate::plugin::host::Host;
use crate::plugin::scene::{Scene, Stream};
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::head::Method;

/// Room that one step may fill, bytes.
const STEP: usize = 1024;

/// The handler. It has nothing of its own: the numbers are the server's.
pub struct Metrics;

/// How far an answer has got.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    stream: Stream,
    json: bool,
    /// The family of numbers, or the part of the document, that comes next.
    part: u8,
    /// The worker that comes next in it.
    worker: u8,
}

/// Writes the step of a part for a worker. None = there is no such step: the next part follows. False = there is no such part.
type Step = fn(&mut dyn Sink, &dyn Host, part: u8, worker: u8) -> Option<bool>;

impl Handler for Metrics {
    const NAME: &'static str = "metrics";
    type Task = Progress;

    fn new(_: &Live) -> io::Result<Metrics> {
        Ok(Metrics)
    }

    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, _: Call<'_>) -> Handling<Progress> {
        if !matches!(request.head.method, Method::Get | Method::Head) {
            return Handling::Refuse(405);
        }
        let (stream, json) = scene.begin_negotiated(request, b"no-store", b"text/plain; version=0.0.4; charset=utf-8");
        if request.is_head() {
            return Handling::Answered;
        }
        Handling::Begun(Progress { stream, json, part: 0, worker: 0 })
    }

    fn produce(&mut self, progress: &mut Progress, scene: &mut Scene<'_>, _: Option<&Request<'_>>) -> Produced {
        let step: Step = if progress.json { json::step } else { text::step };
        let chunk = scene.begin_chunk(progress.stream);
        let mut goes_on = true;
        while goes_on && scene.out.room() > STEP {
            match step(scene.out, scene.host, progress.part, progress.worker) {
                Some(true) => progress.worker = progress.worker.saturating_add(1),
                Some(false) => goes_on = false,
                None => (progress.part, progress.worker) = (progress.part.saturating_add(1), 0),
            }
        }
        scene.end_chunk(progress.stream, chunk);
        if goes_on {
            return Produced::More;
        }
        scene.end_stream(progress.stream);
        Produced::Done
    }
}
