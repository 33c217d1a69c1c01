//! Answers that a handler makes in its own time: waiting for it, its end, and what the server answers in its place.

use crate::file::body::Body;
use crate::http::output::Sink;
use crate::limits::LOCAL_MAX;
use crate::plugin::handler::Client;
use crate::plugin::hooks::Answer;
use crate::plugin::scene::Scene;
use crate::plugin::transport::Transport;
use crate::server::connection::{Connection, Flag, Work};
use crate::server::handling::{Sources, respond};
use crate::server::io::{Flow, Io};
use crate::server::requests::{Reply, scene};
use crate::vhost::request::Request;
use crate::wire::head::{Framing, Method, parse_head};

impl<T: Transport> Io<T> {
    /// A handler has to wait: what is written until then is sent.
    pub(super) fn wait_for_backend(&mut self, connection: &mut Connection) -> Flow {
        match self.send(connection, false) {
            Flow::Starved => Flow::Backend,
            flow => flow,
        }
    }

    /// The server answers in place of a handler that has written nothing of its own. What of the request's body has not come is not
    /// awaited.
    pub(super) fn refuse_task(&mut self, connection: &mut Connection, status: u16) -> Flow {
        connection.set(Flag::Last, true);
        connection.session.give_up();
        self.fail_task(connection, status);
        match self.send(connection, true) {
            Flow::Starved => match self.pump(connection) {
                Flow::Starved => Flow::Last,
                flow => flow,
            },
            flow => flow,
        }
    }

    /// Writes the page of a status in place of the answer of a handler. What of it is a file follows with [`Io::pump`].
    pub(super) fn fail_task(&mut self, connection: &mut Connection, status: u16) {
        self.release_task(connection);
        let bytes = self.input.get(self.kept_at..self.kept_at + usize::from(connection.head)).unwrap_or_default();
        connection.head = 0;
        self.parsed = false;
        let persistent = !connection.is(Flag::Last);
        let known = parse_head(bytes, &mut self.head).is_ok();
        let mut scene = scene!(self);
        let routed = match known {
            true => Request::route(scene.live, &self.head, bytes, &mut self.path, persistent).ok(),
            false => None,
        };
        let Some(request) = routed else {
            connection.set(Flag::Last, true);
            return;
        };
        let body = self.handler.fail_request(&mut scene, &request, status, b"");
        let (status, length) = self.handler.answer_of(&body).unwrap_or_else(|| scene.out.answer());
        let length = length.filter(|_| !request.is_head());
        self.stats.answer(status);
        self.plugins.served(&scene, Some(&request), &connection.peer, Answer { status, length });
        match body {
            Body::Nothing => {}
            Body::Ready { entry } => self.out.push(self.handler.table().answer(entry).unwrap_or_default()),
            body => connection.work = Work::Body(body),
        }
    }

    /// A handler has the server answer as if it had been asked for another path (RFC 3875 section 6.2.2): by GET, whatever the method was,
    /// for the body is used up. The plugins are not asked again what they have against it: who leads there was let in, and could show
    /// the same by itself.
    pub(super) fn answer_local(&mut self, connection: &mut Connection) {
        let Some(task) = connection.task() else { return };
        let (led, target) = self.plugins.local(task, &self.pool);
        let (led, len) = (led.saturating_add(1), target.len());
        let fits = self.local.get_mut(..len).is_some_and(|room| {
            room.copy_from_slice(target);
            true
        });
        if !fits || led > LOCAL_MAX {
            return self.fail_task(connection, 500);
        }
        self.release_task(connection);
        let bytes = self.input.get(self.kept_at..self.kept_at + usize::from(connection.head)).unwrap_or_default();
        self.parsed = false;
        let persistent = !connection.is(Flag::Last);
        let known = parse_head(bytes, &mut self.head).is_ok();
        if self.head.method != Method::Head {
            self.head.method = Method::Get;
        }
        self.head.framing = Framing::None;
        let mut scene = scene!(self);
        let target = self.local.get(..len).filter(|_| known).unwrap_or_default();
        let routed = Request::led_to(scene.live, &self.head, bytes, target, &mut self.path, persistent);
        let Some(request) = routed else { return self.fail_task(connection, 502) };
        let mut from = Sources { plugins: &mut self.plugins, files: &mut self.handler, index: &mut self.index };
        let reply = respond(&mut from, &mut scene, &request, Client { led, ..connection.client() });
        let last = scene.last;
        let told = match &reply {
            Reply::Body(body) => Some(self.handler.answer_of(body).unwrap_or_else(|| scene.out.answer())),
            _ => None,
        };
        if let Some((status, length)) = told {
            let length = length.filter(|_| !request.is_head());
            self.stats.answer(status);
            self.plugins.served(&scene, Some(&request), &connection.peer, Answer { status, length });
            connection.head = 0;
        }
        connection.set(Flag::Last, connection.is(Flag::Last) || last);
        match reply {
            Reply::Body(Body::Ready { entry }) => self.out.push(self.handler.table().answer(entry).unwrap_or_default()),
            Reply::Task(mut task) => {
                self.plugins.finish(&mut task, &mut scene!(self));
                connection.work = Work::Task(task);
                connection.set(Flag::Answers, true);
            }
            Reply::Body(body) => connection.work = Work::Body(body),
            Reply::Late(_) | Reply::Later | Reply::Close => {}
        }
    }

    /// A handler has given its whole answer.
    pub(super) fn end_task(&mut self, connection: &mut Connection) {
        self.tell_task(connection);
        self.release_task(connection);
    }

    /// Tells of the answer of a handler. The head of its request stands at `kept_at` in the input.
    pub(super) fn tell_task(&mut self, connection: &mut Connection) {
        let Some(answer) = connection.task().map(|task| self.plugins.answer(task)) else { return };
        let bytes = self.input.get(self.kept_at..self.kept_at + usize::from(connection.head)).unwrap_or_default();
        connection.head = 0;
        self.parsed = false;
        self.stats.answer(answer.status);
        if !self.live.hears() {
            return;
        }
        let scene = scene!(self);
        let routed = match parse_head(bytes, &mut self.head) {
            Ok(_) => Request::route(scene.live, &self.head, bytes, &mut self.path, true).ok(),
            Err(_) => None,
        };
        self.plugins.served(&scene, routed.as_ref(), &connection.peer, answer);
    }

    pub(super) fn release_task(&mut self, connection: &mut Connection) {
        connection.set(Flag::Answers, false);
        if connection.has_task()
            && let Work::Task(task) = std::mem::take(&mut connection.work)
        {
            self.plugins.release(task, &mut scene!(self));
        }
    }
}
