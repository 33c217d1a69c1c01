//! Stage 30: handlers, which answer requests. What one remembers of a request, its task, lives in the connection's slot: a few bytes,
//! and what it borrows from the pool. Bodies are streams both ways: nothing is ever kept as a whole.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::config::Config;
use crate::plugin::events::Happened;
use crate::plugin::hooks::{Answer, Needs};
use crate::plugin::scene::Scene;
use crate::storage::pool::Pool;
use crate::sys::socket::Peer;
use crate::vhost::live::Live;
use crate::vhost::request::Request;

/// Which requests a handler is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Those that its lines of `[HANDLERS]` apply to, before any file is looked for.
    First,
    /// Of these, the ones whose path leads to a directory without an index file.
    ForDirectories,
    /// Of these, by a `Match` line the ones whose path leads to a file, to be run; by a `Location` line all.
    ForScripts,
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// Its address.
    pub peer: &'a Peer,
    /// The connection, to ask the kernel about. Nothing is to be read from it or written to it.
    pub socket: BorrowedFd<'a>,
    /// How many handlers have led this request to another path.
    pub led: u8,
}

/// A file to be run, and what of the request's path names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script<'a> {
    /// Its absolute path.
    pub file: &'a [u8],
    /// How many bytes of that are the root that the path belongs to, without a final slash.
    pub root: usize,
    /// How many bytes of the request's path name it (SCRIPT_NAME); what is left is PATH_INFO.
    pub name: usize,
}

/// What a handler is asked with.
pub struct Call<'a> {
    /// Who asks.
    pub client: Client<'a>,
    /// The words behind the plugin's name in the line.
    pub params: &'a [Box<str>],
    /// The line's number: [`HandlerLine::number`](crate::config::plugins::handlers::HandlerLine::number).
    pub line: u16,
    /// How many bytes of the path the line's prefix takes; 0 for a line that names none.
    pub prefix: usize,
    /// The directory, opened, for a handler asked for directories.
    pub directory: Option<OwnedFd>,
    /// The file, for a handler asked for scripts by a line that matches paths.
    pub script: Option<Script<'a>>,
}

/// What a handler does with a request.
#[derive(Debug)]
pub enum Handling<T> {
    /// Not its business: the next line is tried.
    NotMe,
    /// The whole answer is written.
    Answered,
    /// The server answers with this status. 405 says that GET and HEAD are taken.
    Refuse(u16),
    /// It has begun. Its task takes the body, if there is one, and writes the answer.
    Begun(T),
}

/// What became of a piece of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// So many bytes of it were used. The others come again, once the client has taken what was written: that is how a
    /// handler holds a client back. Until then nothing more is read from it.
    Bytes(usize),
    /// So many bytes of it were used. The others come again, at once when the connection is woken ([`Scene::wakes`]), and nothing more
    /// is read from the client until then.
    Wait(usize),
    /// Nothing of a final answer was written: the server answers with this status. The connection ends after it.
    Refuse(u16),
    /// The final answer is written and the rest of the body is of no use. The connection ends after it.
    Enough,
}

/// How far an answer has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Produced {
    /// More comes once the client has taken what was written.
    More,
    /// More comes once the connection is woken ([`Scene::wakes`]).
    Wait,
    /// Nothing of a final answer was written: the server answers with this status.
    Refuse(u16),
    /// Nothing of a final answer was written: the server answers as if it had been asked for [`Handler::local`].
    Local,
    /// What was written switches the connection to another protocol (RFC 9110 section 15.2.2), and is told of. From here on it is a
    /// tunnel: all that the client sends is given to [`Handler::take`], its end is [`Handler::finish`], and all that is written goes to
    /// the client as it is, until the handler is done. Both directions go on independently: in `take` nothing can be written.
    Tunnel,
    /// The answer is whole.
    Done,
    /// It can not be finished: the connection is closed in the middle of it.
    Broken,
}

/// What answers requests: a worker's side of a plugin.
pub trait Handler: Sized + Send + 'static {
    /// The short name, as in the configuration.
    const NAME: &'static str;

    /// What it remembers of a request. At most 8 bytes: it is part of every slot.
    type Task;

    /// Which requests it is asked about.
    const ASKED: Asked = Asked::First;

    /// Whether it takes the bodies of requests. If not they are passed over before it is asked.
    const TAKES_BODY: bool = false;

    /// For a handler of directories: whether it is asked about all of them, whatever the lines of `[HANDLERS]` say.
    fn is_on(live: &Live) -> bool {
        let _ = live;
        false
    }

    /// What it will take under a configuration with so many workers. A reload that needs more than there was at the start is refused,
    /// or has another server take over.
    fn needs(config: &Config, workers: usize) -> Needs {
        let _ = (config, workers);
        Needs::default()
    }

    /// How many programs it may have running at once: as [`Plugin::children`](crate::plugin::hooks::Plugin::children).
    fn children(config: &Config, workers: usize) -> usize {
        let _ = (config, workers);
        0
    }

    /// Takes the memory of one worker. May allocate.
    fn new(live: &Live) -> io::Result<Self>;

    /// Another configuration is in force. May allocate.
    fn reconfigure(&mut self, live: &Live) {
        let _ = live;
    }

    /// Answers a request, begins to, or says that it is not its business. When it takes bodies and there is one, nothing of it was
    /// read yet.
    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, call: Call<'_>) -> Handling<Self::Task>;

    /// Something happened to a descriptor that it has watched in [`Scene::watches`], in whatever call. Nothing can be written here:
    /// what there is to do for a connection is done when it is woken.
    fn event(&mut self, key: u32, happened: Happened, scene: &mut Scene<'_>) {
        let _ = (key, happened, scene);
    }

    /// Takes what it can of `data`, the next bytes of the body. `request` is there if it is wanted: an answer may begin before the body
    /// is complete.
    fn take(
        &mut self,
        task: &mut Self::Task,
        data: &[u8],
        scene: &mut Scene<'_>,
        request: Option<&Request<'_>>,
    ) -> Taken {
        let _ = (task, scene, request);
        Taken::Bytes(data.len())
    }

    /// The body is complete, or there is none: what follows is [`Handler::produce`].
    fn finish(&mut self, task: &mut Self::Task, scene: &mut Scene<'_>) {
        let _ = (task, scene);
    }

    /// Whether the next call of [`Handler::take`] or [`Handler::produce`] is to have the request: it is parsed again for that.
    fn wants_request(&self, task: &Self::Task) -> bool {
        let _ = task;
        false
    }

    /// Writes the answer, or the next part of it: called once the body is complete and the client has taken what was written before.
    /// `request` is there if it is wanted.
    fn produce(&mut self, task: &mut Self::Task, scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Produced {
        let _ = (task, scene, request);
        Produced::Done
    }

    /// For [`Produced::Local`]: the path of this server, and a query perhaps, that is meant (RFC 3875 section 6.2.2), and what was told in
    /// [`Client::led`].
    fn local<'p>(&'p self, task: &Self::Task, pool: &'p Pool) -> (u8, &'p [u8]) {
        let _ = (task, pool);
        (0, b"")
    }

    /// Whether it wants [`Handler::turn`] to be called under a configuration, and from then on.
    fn wants_turns(config: &Config) -> bool {
        let _ = config;
        false
    }

    /// The end of a turn of the event loop, also of one in which a worker was woken ([`Host::wake`](super::host::Host::wake)). Returns
    /// after how many milliseconds at most it wants to be called again; None = not before something happens. Nothing can be written here.
    fn turn(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
        let _ = scene;
        None
    }

    /// Whether anything of a final answer was written: then no other can be given.
    fn has_answered(&self, task: &Self::Task) -> bool {
        let _ = task;
        true
    }

    /// What was answered, for stage 40, once it is whole. Other answers may have been written meanwhile.
    fn answer(&self, task: &Self::Task) -> Answer {
        let _ = task;
        Answer { status: 200, length: None }
    }

    /// Gives back what was borrowed; called once, whatever became of the request. Nothing can be written here.
    fn release(&mut self, task: Self::Task, scene: &mut Scene<'_>) {
        let _ = (task, scene);
    }
}
