//! One client of the shell: lines in, answers out. Nothing here waits: it does what there is to do, at most a few commands at a
//! time, and a new line is looked at only when the client has taken the answer to the last.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::commands::{Outcome, Scene, fail, perform, wants_json};
use super::outbox::{Outbox, ROOM};
use super::protocol::{END, HELLO, LINE_MAX, OFTEN, START};
use super::sheet::{Form, Sheet, part};
use crate::http::output::Sink;
use crate::plugin::events::{WatchId, Watches};
use crate::sys::Errno;
use crate::sys::pipe::{read, write};
use crate::sys::unix::is_background;

/// Commands done in a row before others have their turn.
const COMMANDS_A_TURN: u32 = 4;
/// How long a client has to say what it is before it is taken for a person who waits for a greeting, milliseconds.
const GREETING_MS: u32 = 500;
/// How long a client may be silent, milliseconds.
const IDLE_MS: u32 = 10 * 60 * 1000;
/// How long a client may take nothing of an answer, milliseconds.
const SLOW_MS: u32 = 30_000;

/// What a line about a connection holds, and in how many columns it is shown; below 0 what JSON quotes.
static COLUMNS: [(&str, i8); 7] =
    [("worker", 8), ("address", -40), ("port", 7), ("state", -10), ("age_ms", 12), ("bytes", 14), ("requests", 0)];

/// What kind of client it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// It has not said yet.
    Unknown,
    /// A person: greeting, prompt, text.
    Shell(Form),
    /// A program: answers and nothing else.
    Machine,
    /// One command, its answer between marks, the end.
    Once,
}

/// What is to become of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// It goes on.
    Keep,
    /// It is over.
    Drop,
    /// It wants to hear of the connections.
    Connections,
}

/// How far the answer to `connections` has got.
struct Tally {
    shown: u32,
    left_out: u32,
}

/// A client.
pub(super) struct Session {
    input: OwnedFd,
    /// Where answers go, if that is another descriptor.
    output: Option<OwnedFd>,
    watch: Option<WatchId>,
    output_watch: Option<WatchId>,
    sheet: Sheet,
    mode: Mode,
    /// Bytes that waited to be sent when the answer began.
    before: usize,
    line: [u8; LINE_MAX],
    filled: usize,
    /// The rest of a line that is too long is passed over.
    skips: bool,
    /// Nothing more comes.
    ended: bool,
    /// It ends once everything is sent.
    closing: bool,
    /// There was more to do than one turn does.
    goes_on: bool,
    tally: Option<Tally>,
}

impl Session {
    /// A client: of the socket, or whoever started the server, on its standard input and output.
    pub(super) fn new(input: OwnedFd, output: Option<OwnedFd>, out: Outbox) -> Box<Session> {
        Box::new(Session {
            input,
            output,
            watch: None,
            output_watch: None,
            sheet: Sheet::new(out),
            mode: Mode::Unknown,
            before: 0,
            line: [0; LINE_MAX],
            filled: 0,
            skips: false,
            ended: false,
            closing: false,
            goes_on: false,
            tally: None,
        })
    }

    /// Where it is read from.
    pub(super) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// Where it is written to, if that is elsewhere.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(OwnedFd::as_fd)
    }

    /// Takes note of what it is watched by.
    pub(super) fn watched(&mut self, watch: Option<WatchId>, output: Option<WatchId>) {
        (self.watch, self.output_watch) = (watch, output);
    }

    /// Watches it no longer. What it has not been sent is lost.
    pub(super) fn end(&mut self, watches: &mut Watches) {
        if let Some(watch) = self.watch.take() {
            watches.remove(watch, self.input.as_fd());
        }
        if let (Some(watch), Some(output)) = (self.output_watch.take(), &self.output) {
            watches.remove(watch, output.as_fd());
        }
    }

    /// Says a last word, as far as there is room, and no more.
    pub(super) fn farewell(&mut self, word: &str) {
        self.sheet.out.end();
        self.sheet.out.push(word.as_bytes());
        let _ = self.flush();
    }

    /// Its time is over. False = it is to go.
    pub(super) fn timed_out(&mut self) -> bool {
        if std::mem::take(&mut self.goes_on) {
            return true;
        }
        if self.mode == Mode::Unknown && self.sheet.out.len() == 0 {
            self.greet(Form::Plain);
            return true;
        }
        self.farewell("\nIdle for too long.\n");
        false
    }

    /// Does what there is to do.
    pub(super) fn pump(&mut self, scene: &Scene<'_>, watches: &mut Watches) -> Next {
        let next = self.go_on(scene);
        let limit = match self.mode {
            _ if self.goes_on => OFTEN,
            _ if self.tally.is_some() || self.output.is_some() => 0,
            _ if self.sheet.out.len() > 0 => SLOW_MS,
            Mode::Unknown => GREETING_MS,
            _ => IDLE_MS,
        };
        if let Some(watch) = &self.watch {
            watches.set_timeout(watch, limit);
        }
        next
    }

    fn go_on(&mut self, scene: &Scene<'_>) -> Next {
        self.goes_on = false;
        let mut commands = 0;
        loop {
            if self.flush().is_err() {
                return Next::Drop;
            }
            if self.sheet.out.len() > 0 || self.tally.is_some() {
                return Next::Keep;
            }
            if self.closing {
                return Next::Drop;
            }
            if commands == COMMANDS_A_TURN {
                self.goes_on = true;
                return Next::Keep;
            }
            let mut line = [0; LINE_MAX];
            if let Some(length) = self.take_line(&mut line) {
                commands += 1;
                if self.hear(line.get(..length).unwrap_or_default(), scene) {
                    return Next::Connections;
                }
            } else if self.ended {
                self.closing = true;
            } else {
                match self.fill() {
                    Ok(()) => {}
                    Err(Errno::AGAIN) => return Next::Keep,
                    Err(_) => return Next::Drop,
                }
            }
        }
    }

    /// Sends what there is to send, as far as it goes.
    fn flush(&mut self) -> Result<(), Errno> {
        while self.sheet.out.len() > 0 {
            let to = self.output.as_ref().unwrap_or(&self.input);
            match write(to.as_fd(), self.sheet.out.pending()) {
                Ok(count) => self.sheet.out.sent(count),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) if self.output.is_some() && is_background(errno) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Reads what has come. A whole buffer without a line's end is a line that is too long.
    fn fill(&mut self) -> Result<(), Errno> {
        if self.filled == LINE_MAX {
            self.filled = 0;
            if !std::mem::replace(&mut self.skips, true) {
                self.begin(self.mode == Mode::Machine);
                fail(&mut self.sheet, "The line is too long: at most 1023 bytes");
                self.finish(false);
            }
            return Ok(());
        }
        let room = self.line.get_mut(self.filled..).unwrap_or_default();
        match read(self.input.as_fd(), room) {
            Ok(0) => self.ended = true,
            Ok(count) => self.filled = (self.filled + count).min(LINE_MAX),
            Err(Errno::INTR) => {}
            Err(errno) if self.output.is_some() && is_background(errno) => return Err(Errno::AGAIN),
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Moves the next line, without its end, out of what was read; gives its length. What stands before the end of the stream is a
    /// line too.
    fn take_line(&mut self, line: &mut [u8; LINE_MAX]) -> Option<usize> {
        loop {
            let read = self.line.get(..self.filled)?;
            let end = read.iter().position(|byte| *byte == b'\n');
            let length = match end {
                Some(end) => end,
                None if self.ended && self.filled > 0 => self.filled,
                None => return None,
            };
            line.get_mut(..length)?.copy_from_slice(read.get(..length)?);
            let used = (length + 1).min(self.filled);
            self.line.copy_within(used..self.filled, 0);
            self.filled -= used;
            if !std::mem::take(&mut self.skips) {
                return Some(length);
            }
        }
    }

    /// Answers a line. True = the connections are asked for.
    fn hear(&mut self, line: &[u8], scene: &Scene<'_>) -> bool {
        if self.mode == Mode::Unknown {
            if let Some((&HELLO, words)) = line.split_first() {
                let mut command = words.trim_ascii();
                self.sheet.out.push(&[START]);
                match part(&mut command, b' ') {
                    b"run" => {
                        self.mode = Mode::Once;
                        return self.answer(command, scene);
                    }
                    b"tty" => self.greet(Form::Coloured),
                    _ => self.greet(Form::Plain),
                }
                return false;
            }
            if wants_json(line.trim_ascii()) {
                self.mode = Mode::Machine;
            } else {
                self.greet(Form::Plain);
            }
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            self.prompt();
            return false;
        }
        self.answer(line, scene)
    }

    /// Begins a shell.
    #[inline(never)]
    pub(super) fn greet(&mut self, form: Form) {
        self.mode = Mode::Shell(form);
        self.sheet.begin(form);
        self.sheet.text("\n");
        self.sheet.heading("   ****** Welcome to Cheetah!, the Monkey Shell :) ******");
        self.sheet.text("\n   Type 'help' or '\\h' for the commands, 'quit' to leave.\n\n");
        self.prompt();
    }

    #[inline(never)]
    fn prompt(&mut self) {
        self.sheet.out.end();
        match self.mode {
            Mode::Shell(Form::Coloured) => self.sheet.out.push(b"\x1b[1;32mcheetah>\x1b[0m "),
            Mode::Shell(_) => self.sheet.out.push(b"cheetah> "),
            _ => {}
        }
    }

    /// An answer begins.
    fn begin(&mut self, json: bool) {
        self.before = self.sheet.out.len();
        self.sheet.begin(match self.mode {
            _ if json => Form::Json,
            Mode::Shell(form) => form,
            _ => Form::Plain,
        });
    }

    #[inline(never)]
    fn answer(&mut self, line: &[u8], scene: &Scene<'_>) -> bool {
        self.begin(wants_json(line) || self.mode == Mode::Machine);
        let outcome = perform(line, &mut self.sheet, scene);
        if outcome == Outcome::Connections {
            self.tally = Some(Tally { shown: 0, left_out: 0 });
            for (label, width) in &COLUMNS {
                self.sheet.column(label.as_bytes(), usize::from(width.unsigned_abs()));
            }
            self.sheet.text("\n");
            self.sheet.open(b"connections", "[");
            return true;
        }
        if outcome == Outcome::Quit {
            self.sheet.text("Cheetah says: Good Bye!\n");
            self.closing = true;
        }
        self.finish(outcome != Outcome::Failed);
        false
    }

    /// The end of an answer.
    #[inline(never)]
    fn finish(&mut self, done: bool) {
        self.sheet.close("}\n");
        let left_out = self.sheet.out.end();
        if left_out && self.sheet.is_json() {
            // Half an object is of no use.
            self.sheet.out.cut(self.before);
            self.sheet.out.push(b"{\"error\": \"The answer is longer than 32 KB\"}\n");
        } else if left_out {
            self.sheet.out.push(b"\n... the rest is left out: the answer is longer than 32 KB\n");
        }
        match self.mode {
            Mode::Once => {
                self.sheet.out.push(&[END, if done && !left_out { b'0' } else { b'1' }]);
                self.closing = true;
            }
            Mode::Shell(_) if !self.closing => {
                self.sheet.out.push(b"\n");
                self.prompt();
            }
            _ => {}
        }
    }

    /// Whether there was more to do than one turn does.
    #[cfg(feature = "test-switches")]
    pub(super) fn has_more(&self) -> bool {
        self.goes_on
    }

    /// Whether it waits for the connections.
    pub(super) fn waits(&self) -> bool {
        self.tally.is_some()
    }

    /// Whether there is room for so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.sheet.out.len() + bytes <= ROOM
    }

    /// Is told of a connection: `worker address port state age bytes requests`.
    pub(super) fn tell(&mut self, mut line: &[u8]) {
        let Some(tally) = &mut self.tally else { return };
        let before = self.sheet.out.len();
        self.sheet.open(b"", "{");
        for (label, width) in &COLUMNS {
            let word = part(&mut line, b' ');
            self.sheet.member(label.as_bytes(), word, *width < 0);
            self.sheet.column(word, usize::from(width.unsigned_abs()));
        }
        self.sheet.close("}");
        self.sheet.text("\n");
        match self.sheet.out.keep_whole(before) {
            true => tally.shown += 1,
            false => {
                tally.left_out += 1;
                self.sheet.resume(tally.shown > 0);
            }
        }
    }

    /// There are no more, of so many in all.
    pub(super) fn told(&mut self, connections: u32) {
        let Some(Tally { shown, left_out }) = self.tally.take() else { return };
        self.sheet.out.end();
        self.sheet.close("]");
        self.sheet.rows("", 0, "Shown|n\nOf|n");
        self.sheet.number(shown.into());
        self.sheet.number(connections.max(shown + left_out).into());
        self.finish(true);
    }

    /// The connections can not be had.
    pub(super) fn not_told(&mut self, why: &str) {
        self.tally = None;
        self.sheet.close("]");
        fail(&mut self.sheet, why);
        self.finish(false);
    }
}
