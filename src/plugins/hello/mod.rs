//! hello: the plugin that docs/PLUGINS.md explains, as small as one that answers requests can be.
//!
//! ```text
//! [HANDLERS]
//!     Location /hello hello world
//! ```
//!
//! answers `GET /hello` with `Hello world, this is your request number 1.`, each worker counting for itself. It is in no build unless the
//! feature `plugin-hello` asks for it.

use std::io;

use crate::http::output::{Sink, Text};
use crate::plugin::handler::{Call, Handler, Handling};
use crate::plugin::scene::Scene;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::head::Method;

/// What each worker has of it: made before the first request, used by one thread alone.
pub struct Hello {
    greeted: u64,
}

impl Handler for Hello {
    const NAME: &'static str = "hello";
    /// The answer is whole at once: there is nothing to remember between two calls.
    type Task = ();

    fn new(_: &Live) -> io::Result<Hello> {
        Ok(Hello { greeted: 0 })
    }

    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, call: Call<'_>) -> Handling<()> {
        if !matches!(request.head.method, Method::Get | Method::Head) {
            return Handling::Refuse(405);
        }
        self.greeted += 1;
        // On the stack, with room for the longest line: nothing that serves requests allocates.
        let mut text = Text::<4200>::default();
        text.push(b"Hello");
        for name in call.params {
            text.push(b" ");
            text.push(name.as_bytes());
        }
        text.push(b", this is your request number ");
        text.push_decimal(self.greeted);
        text.push(b".\n");
        scene.push_head(request, 200);
        scene.out.push_field("Content-Type", b"text/plain; charset=utf-8");
        scene.out.push_length(text.bytes().len() as u64);
        scene.end_head(request);
        if !request.is_head() {
            scene.out.push(text.bytes());
        }
        Handling::Answered
    }
}
