//! Stage 30: handlers, which answer requests. What one remembers of a request, its task, lives in the connection's slot: a few bytes,
//! and what it borrows from the pool. Bodies are streams both ways: nothing is ever kept as a whole.

use std::io;
use std::os::fd::OwnedFd;

use crate::config::Config;
use crate::plugin::hooks::{Answer, Needs};
use crate::plugin::scene::Scene;
use crate::storage::pool::Pool;
use crate::vhost::live::Live;
use crate::vhost::request::Request;

/// Which requests a handler is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Those that its lines of `[HANDLERS]` apply to, before any file is looked for.
    First,
    /// Of these, the ones whose path leads to a directory without an index file.
    ForDirectories,
}

/// What a handler is asked with.
pub struct Call<'a> {
    /// The words behind the plugin's name in the line.
    pub params: &'a [Box<str>],
    /// How many bytes of the path the line's prefix takes; 0 for a line that names none.
    pub prefix: usize,
    /// The directory, opened, for a handler asked for directories.
    pub directory: Option<OwnedFd>,
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
    /// The final answer is written and the rest of the body is of no use. The connection ends after it.
    Enough,
}

/// How far an answer has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Produced {
    /// More comes once the client has taken what was written.
    More,
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

    /// Takes the memory of one worker. May allocate.
    fn new(live: &Live) -> io::Result<Self>;

    /// Another configuration is in force. May allocate.
    fn reconfigure(&mut self, live: &Live) {
        let _ = live;
    }

    /// Answers a request, begins to, or says that it is not its business. When it takes bodies and there is one, nothing of it was
    /// read yet.
    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, call: Call<'_>) -> Handling<Self::Task>;

    /// Takes what it can of `data`, the next bytes of the body.
    fn take(&mut self, task: &mut Self::Task, data: &[u8], scene: &mut Scene<'_>) -> Taken {
        let _ = (task, scene);
        Taken::Bytes(data.len())
    }

    /// The body is complete, or there is none: what follows is [`Handler::produce`].
    fn finish(&mut self, task: &mut Self::Task, scene: &mut Scene<'_>) {
        let _ = (task, scene);
    }

    /// Writes the answer, or the next part of it: called once the body is complete and the client has taken what was written before.
    fn produce(&mut self, task: &mut Self::Task, scene: &mut Scene<'_>) -> Produced {
        let _ = (task, scene);
        Produced::Done
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

    /// Gives back what was borrowed; called once, whatever became of the request.
    fn release(&mut self, task: Self::Task, pool: &mut Pool) {
        let _ = (task, pool);
    }
}
