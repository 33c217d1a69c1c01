//! The master's table of children, and the words by which they tell of themselves.

use std::fmt::{self, Arguments};

/// Bytes of a word: a process id and what it says.
pub(super) const WORD: usize = 8;

/// What a child says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// It has taken a request.
    Taken,
    /// The script runs, as this process.
    Runs(u32),
}

impl Word {
    pub(super) fn encode(self, pid: u32) -> [u8; WORD] {
        let what = if let Word::Runs(script) = self { script } else { 0 };
        (u64::from(pid) << 32 | u64::from(what)).to_ne_bytes()
    }

    /// Who says it, and what.
    pub(super) fn decode(bytes: [u8; WORD]) -> (u32, Word) {
        let both = u64::from_ne_bytes(bytes);
        let what = both as u32;
        ((both >> 32) as u32, if what == 0 { Word::Taken } else { Word::Runs(what) })
    }
}

/// What a child is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It waits for a request.
    Idle,
    /// It serves one; the process id of the script, once there is one.
    Running(Option<u32>),
    /// It was told to end.
    Leaving,
}

/// A child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: u32,
    /// The number of its handler; None = the configuration has it no more.
    pub(super) handler: Option<usize>,
    pub(super) state: State,
    /// When that began.
    pub(super) since: u64,
}

/// Tells the lines of children. `name_of` tells the name of a handler.
pub(super) fn tell_children<'a>(
    children: &[Child],
    name_of: &dyn Fn(usize) -> Option<&'a str>,
    now: u64,
    tell: &mut dyn FnMut(Arguments<'_>),
) {
    for child in children {
        let name = child.handler.and_then(name_of).unwrap_or("-");
        let since = now.saturating_sub(child.since) / 1000;
        tell(format_args!("child {} {name} {} since {since}", child.pid, child.state));
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Idle => "idle requests 0",
            State::Leaving => "leaving requests 0",
            State::Running(None) => "running requests 1",
            State::Running(Some(script)) => return write!(f, "running requests 1 script {script}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_over_as_they_were_said() {
        for word in [Word::Taken, Word::Runs(1), Word::Runs(u32::MAX)] {
            assert_eq!(Word::decode(word.encode(4_194_304)), (4_194_304, word));
        }
    }

    #[test]
    fn the_lines_of_children() {
        let child = |pid, handler, state, since| Child { pid, handler, state, since };
        let children = [
            child(7, Some(0), State::Idle, 1000),
            child(8, Some(0), State::Running(Some(9)), 4000),
            child(10, None, State::Running(None), 4999),
            child(11, Some(1), State::Leaving, 6000),
        ];
        let mut lines = Vec::new();
        let name_of = |number: usize| ["PHP", "BIN"].get(number).copied();
        tell_children(&children, &name_of, 5999, &mut |line| lines.push(line.to_string()));
        assert_eq!(
            lines,
            [
                "child 7 PHP idle requests 0 since 4",
                "child 8 PHP running requests 1 script 9 since 1",
                "child 10 - running requests 1 since 1",
                "child 11 BIN leaving requests 0 since 0",
            ]
        );
    }
}
