//! A handler that starts programs as it is told, and a plugin that does so by itself. Both are on where a site has the name
//! `spawn.test`; [`child_users`](crate::config::plugins::child_users) tells of more names.
//!
//! | target | fields | what it does |
//! |---|---|---|
//! | `/.spawn/start` | `X-Id`, `X-Program`, `X-Argument` and `X-Variable` any number of times, `X-Directory`, `X-User`, `X-Limits` (memory processor processes files nice), `X-Input` | starts it; 503 with the errno when it can not be ordered |
//! | `/.spawn/answers` | | what the spawner has told since |
//! | `/.spawn/output` | `X-Id` | what the program wrote since; 410 after the end of that |
//! | `/.spawn/signal` | `X-Id`, `X-Signal` | a signal to its group |

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::config::Config;
use crate::http::output::Sink;
use crate::limits::ORDER_MAX;
use crate::log::info;
use crate::plugin::events::{Happened, Watch, WatchId, Watches};
use crate::plugin::handler::{Call, Handler, Handling};
use crate::plugin::hooks::{Needs, Plugin, Worker};
use crate::plugin::order::{About, Answer, Became, Limits, Order};
use crate::plugin::scene::Scene;
use crate::plugin::spawner::{Spawner, Streams};
use crate::sys::Errno;
use crate::sys::child::End;
use crate::sys::memory::Region;
use crate::sys::pipe::{pipe, read, write};
use crate::vhost::live::Live;
use crate::vhost::request::Request;

/// Programs that may run at once.
const CHILDREN: usize = 256;

fn is_on(config: &Config) -> bool {
    config.sites.iter().any(|site| site.names.iter().any(|name| name == "spawn.test"))
}

/// The handler.
pub struct Spawns {
    spawner: Option<Spawner>,
    room: Region,
    /// What each program writes, by its id.
    outputs: Vec<Option<OwnedFd>>,
}

impl Spawns {
    fn start(&mut self, request: &Request<'_>) -> Result<(), Errno> {
        let spawner = self.spawner.as_ref().ok_or(Errno::PIPE)?;
        let text = |name: &str| request.fields(name.as_bytes()).next();
        let id = number(request, b"x-id");
        let mut words = text("x-limits").unwrap_or_default().split(|byte| *byte == b' ').map(value);
        let mut word = || words.next().unwrap_or(0);
        let limits = Limits {
            memory: word() as u32,
            processor: word() as u32,
            processes: word() as u32,
            files: word() as u32,
            nice: word() as i8,
        };
        let about = About {
            id: id as u32,
            user: number(request, b"x-user") as u8,
            limits,
            program: text("x-program").unwrap_or_default(),
            directory: text("x-directory").unwrap_or(b"/"),
        };
        let mut order = Order::new(&mut self.room, &about);
        request.fields(b"x-argument").for_each(|word| order.argument(word));
        for variable in request.fields(b"x-variable") {
            order.push(variable);
            order.end_variable();
        }
        let order = order.finish().ok_or(Errno::TOOBIG)?;
        let made = |error: io::Error| Errno(error.raw_os_error().unwrap_or(0));
        let (out, into) = pipe().map_err(made)?;
        let (input, feed) = pipe().map_err(made)?;
        let given = text("x-input");
        write(feed.as_fd(), given.unwrap_or_default())?;
        let input = given.map(|_| input.as_fd());
        spawner.start(order, Streams { input, output: into.as_fd(), error: into.as_fd() })?;
        if let Some(place) = self.outputs.get_mut(id) {
            *place = Some(out);
        }
        Ok(())
    }

    /// The status, with what is told in `text`.
    fn answer(&mut self, request: &Request<'_>, text: &mut dyn Sink) -> u16 {
        let done = match request.path {
            b"/.spawn/start" => self.start(request),
            b"/.spawn/signal" => {
                let (id, signal) = (number(request, b"x-id") as u32, number(request, b"x-signal") as u8);
                self.spawner.as_ref().map_or(Err(Errno::PIPE), |spawner| spawner.signal(id, signal))
            }
            b"/.spawn/answers" => self.tell(text),
            b"/.spawn/output" => {
                let mut piece = [0; 3000];
                let out = self.outputs.get(number(request, b"x-id")).and_then(Option::as_ref);
                match out.map_or(Err(Errno::NOENT), |out| read(out.as_fd(), &mut piece)) {
                    Ok(0) => return 410,
                    Ok(length) => text.push(piece.get(..length).unwrap_or_default()),
                    Err(Errno::AGAIN) => {}
                    Err(_) => return 404,
                }
                Ok(())
            }
            _ => return 404,
        };
        let Err(errno) = done else { return 200 };
        text.push_decimal(errno.0.unsigned_abs().into());
        503
    }

    fn tell(&mut self, text: &mut dyn Sink) -> Result<(), Errno> {
        let Some(spawner) = &self.spawner else { return Err(Errno::PIPE) };
        // As many lines as fit for certain.
        for _ in 0..80 {
            let Some(Answer { id, became }) = spawner.answer()? else { break };
            text.push_decimal(id.into());
            let (what, value) = match became {
                Became::Started(pid) => (&b" started "[..], pid),
                Became::Failed(errno) => (&b" failed "[..], errno.0.cast_unsigned()),
                Became::Ended(End::Exited(status)) => (&b" exited "[..], status.cast_unsigned()),
                Became::Ended(End::Killed(signal)) => (&b" killed "[..], signal.cast_unsigned()),
            };
            text.push(what);
            text.push_decimal(value.into());
            text.push(b"\n");
        }
        Ok(())
    }
}

fn value(word: &[u8]) -> i64 {
    std::str::from_utf8(word).ok().and_then(|word| word.trim().parse().ok()).unwrap_or(0)
}

fn number(request: &Request<'_>, name: &[u8]) -> usize {
    request.fields(name).next().map_or(0, |word| usize::try_from(value(word)).unwrap_or(0))
}

impl Handler for Spawns {
    const NAME: &'static str = "spawn";
    type Task = ();

    fn needs(config: &Config, _: usize) -> Needs {
        if !is_on(config) {
            return Needs::default();
        }
        let files = CHILDREN * 2 + 4;
        Needs { worker: ORDER_MAX, worker_files: files, ..Needs::default() }
    }

    fn children(config: &Config, workers: usize) -> usize {
        if is_on(config) { CHILDREN * workers } else { 0 }
    }

    fn new(live: &Live) -> io::Result<Spawns> {
        let on = is_on(live.config());
        let spawner = if on { Spawner::connect()? } else { None };
        let outputs = (0..if on { CHILDREN * 2 } else { 0 }).map(|_| None).collect();
        Ok(Spawns { spawner, room: Region::new(ORDER_MAX)?, outputs })
    }

    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, _: Call<'_>) -> Handling<()> {
        let mut text = crate::http::output::Text::<3200>::default();
        let status = self.answer(request, &mut text);
        scene.push_head(request, status);
        let stream = scene.begin_stream(request);
        let chunk = scene.begin_chunk(stream);
        scene.out.push(text.bytes());
        scene.end_chunk(stream, chunk);
        scene.end_stream(stream);
        Handling::Answered
    }
}

/// A plugin whose workers each start a program by themselves, and are woken by what becomes of it, which they log.
pub struct Herald(bool);

/// It in a worker.
pub struct InWorker {
    spawner: Option<Spawner>,
    watched: Option<WatchId>,
}

impl Plugin for Herald {
    const NAME: &'static str = "herald";
    type Worker = InWorker;

    fn start(config: &Config, _: usize) -> io::Result<Herald> {
        Ok(Herald(is_on(config)))
    }

    fn worker(&self, _: usize) -> io::Result<InWorker> {
        Ok(InWorker { spawner: if self.0 { Spawner::connect()? } else { None }, watched: None })
    }
}

impl Worker for InWorker {
    fn run(&mut self, watches: &mut Watches) {
        let Some(spawner) = &self.spawner else { return };
        let mut room = [0; 128];
        let about = About { id: 1, user: 0, limits: Limits::default(), program: b"/bin/sh", directory: b"/" };
        let mut order = Order::new(&mut room, &about);
        for word in [&b"sh"[..], b"-c", b"exit 9"] {
            order.argument(word);
        }
        let Ok((_, into)) = pipe() else { return };
        let streams = Streams { input: None, output: into.as_fd(), error: into.as_fd() };
        self.watched = watches.add(spawner.as_fd(), Watch::Read, 1, 0).ok();
        let started = order.finish().map(|order| spawner.start(order, streams));
        info!("herald: {started:?}");
    }

    fn event(&mut self, key: u32, happened: Happened, watches: &mut Watches) {
        let Some(spawner) = &self.spawner else { return };
        loop {
            match spawner.answer() {
                Ok(Some(answer)) => info!("herald {key}: {happened:?} {answer:?}"),
                Ok(None) => return,
                Err(errno) => {
                    info!("herald {key}: {happened:?} {errno:?}");
                    if let Some(watched) = self.watched.take() {
                        watches.remove(watched, spawner.as_fd());
                    }
                    return self.spawner = None;
                }
            }
        }
    }
}
