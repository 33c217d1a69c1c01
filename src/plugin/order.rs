//! What a worker and the spawner say to each other: orders to start programs and to signal them, and what became of them. Both ends are
//! one program on one machine, so that numbers are as it has them. Nothing here is read from the network, but texts that came from there
//! are in it: what is read is checked all the same.

use std::ffi::CStr;

use crate::http::output::Sink;
use crate::limits::{ORDER_MAX, ORDER_STRINGS_MAX};
use crate::sys::Errno;
use crate::sys::child::End;
pub use crate::sys::spawn::Limits;

/// An order to start a program.
const START: u8 = 1;
/// An order to send a signal.
const SIGNAL: u8 = 2;
/// Bytes before the strings of an order: kind, user or signal, nice, nothing; id; four limits; how many arguments, how many variables.
const HEAD: usize = 28;
/// Bytes of an answer: id, what, value.
pub(crate) const ANSWER: usize = 12;

/// What is known of a program before its arguments.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// What the plugin calls it in this connection. One that is in use is not to be used again before its end was told.
    pub id: u32,
    /// Whom it runs as: 0 = the server's user; others by their place in
    /// [`child_users`](crate::config::plugins::child_users), from 1 on.
    pub user: u8,
    /// What it may take.
    pub limits: Limits,
    /// Its absolute path.
    pub program: &'a [u8],
    /// The absolute path of the working directory.
    pub directory: &'a [u8],
}

/// An order to start a program while it is written, in memory that the plugin has taken before. What does not fit, or can not be in an
/// order, is remembered and told at the end: [`Order::finish`].
///
/// Arguments come first, the program's name among them (argv\[0\]), then the environment. Each is pushed in pieces and ended.
pub struct Order<'a> {
    room: &'a mut [u8],
    len: usize,
    arguments: u16,
    variables: u16,
    broken: bool,
}

impl<'a> Order<'a> {
    /// Begins one. No more than [`ORDER_MAX`] bytes of `room` are used.
    pub fn new(room: &'a mut [u8], about: &About<'_>) -> Order<'a> {
        let mut order = Order { room, len: 0, arguments: 0, variables: 0, broken: false };
        order.put(&[START, about.user, about.limits.nice.cast_unsigned(), 0]);
        let Limits { memory, processor, processes, files, .. } = about.limits;
        for number in [about.id, memory, processor, processes, files, 0] {
            order.put(&number.to_ne_bytes());
        }
        for path in [about.program, about.directory] {
            order.push(path);
            order.put(&[0]);
        }
        order
    }

    /// Ends an argument.
    pub fn end_argument(&mut self) {
        self.broken |= self.variables > 0;
        self.arguments = self.arguments.saturating_add(1);
        self.put(&[0]);
    }

    /// Ends a variable, `NAME=value`.
    pub fn end_variable(&mut self) {
        self.variables = self.variables.saturating_add(1);
        self.put(&[0]);
    }

    /// An argument.
    pub fn argument(&mut self, word: &[u8]) {
        self.push(word);
        self.end_argument();
    }

    /// A variable.
    pub fn variable(&mut self, name: &[u8], value: &[u8]) {
        self.push(name);
        self.push(b"=");
        self.push(value);
        self.end_variable();
    }

    /// The whole order, for [`Spawner::start`](super::spawner::Spawner::start). None = it is too long or has too many strings, there is
    /// no argument, one came after a variable, or there was a zero byte in one.
    pub fn finish(self) -> Option<&'a [u8]> {
        let strings = usize::from(self.arguments) + usize::from(self.variables);
        if self.broken || self.arguments == 0 || strings > ORDER_STRINGS_MAX {
            return None;
        }
        let [a, b] = self.arguments.to_ne_bytes();
        let [c, d] = self.variables.to_ne_bytes();
        self.room.get_mut(HEAD - 4..HEAD)?.copy_from_slice(&[a, b, c, d]);
        let len = self.len;
        let whole: &'a [u8] = self.room;
        whole.get(..len)
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.room.get_mut(self.len..end) {
            Some(place) if end <= ORDER_MAX => {
                place.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.broken = true,
        }
    }
}

impl Sink for Order<'_> {
    fn push(&mut self, bytes: &[u8]) {
        self.broken |= bytes.contains(&0);
        self.put(bytes);
    }
}

/// An order to send a signal to a program and all processes of its group.
pub(crate) fn signal_order(id: u32, signal: u8) -> [u8; HEAD] {
    let mut order = [0; HEAD];
    let [a, b, c, d] = id.to_ne_bytes();
    for (to, from) in order.iter_mut().zip([SIGNAL, signal, 0, 0, a, b, c, d]) {
        *to = from;
    }
    order
}

/// Zero-terminated strings, one behind the other.
#[derive(Clone, Debug)]
pub(crate) struct Strings<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        self.left = self.left.checked_sub(1)?;
        let next = CStr::from_bytes_until_nul(self.rest).ok()?;
        self.rest = self.rest.get(next.count_bytes() + 1..)?;
        Some(next)
    }
}

/// An order as the spawner has it.
pub(crate) enum Read<'a> {
    Start {
        id: u32,
        user: u8,
        limits: Limits,
        program: &'a CStr,
        directory: &'a CStr,
        arguments: Strings<'a>,
        variables: Strings<'a>,
    },
    Signal {
        id: u32,
        signal: u8,
    },
}

/// Reads an order. `Err` = it is none, with the id that it seems to have.
pub(crate) fn read(order: &[u8]) -> Result<Read<'_>, u32> {
    let (head, strings) = order.split_first_chunk::<HEAD>().ok_or(0u32)?;
    let [kind, second, nice, _, numbers @ .., a, b, c, d] = *head;
    let number = |index: usize| {
        let bytes = numbers.get(index * 4..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    let id = number(0);
    if kind == SIGNAL {
        return Ok(Read::Signal { id, signal: second });
    }
    let (arguments, variables) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
    let count = usize::from(arguments) + usize::from(variables);
    let found = strings.iter().filter(|byte| **byte == 0).count();
    let bad = kind != START || arguments == 0 || count > ORDER_STRINGS_MAX;
    if bad || strings.last() != Some(&0) || found != count + 2 {
        return Err(id);
    }
    let mut all = Strings { rest: strings, left: 2 };
    let (Some(program), Some(directory)) = (all.next(), all.next()) else { return Err(id) };
    let mut rest = Strings { rest: all.rest, left: arguments };
    let words = rest.clone();
    rest.by_ref().for_each(drop);
    Ok(Read::Start {
        id,
        user: second,
        limits: Limits {
            memory: number(1),
            processor: number(2),
            processes: number(3),
            files: number(4),
            nice: nice.cast_signed(),
        },
        program,
        directory,
        arguments: words,
        variables: Strings { rest: rest.rest, left: variables },
    })
}

/// What became of an order to start a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Became {
    /// It has a process of this id, which may yet turn out unable to run the program.
    Started(u32),
    /// The program can not be run, and why: ENOENT and EACCES are about the program itself, EAGAIN and ENOMEM about the system. The last
    /// that is told, be it after [`Became::Started`].
    Failed(Errno),
    /// It has ended. The last that is told.
    Ended(End),
}

/// An answer of the spawner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Which order it is about.
    pub id: u32,
    /// What is told.
    pub became: Became,
}

impl Answer {
    /// As it goes through a socket.
    pub(crate) fn bytes(self) -> [u8; ANSWER] {
        let (what, value) = match self.became {
            Became::Started(pid) => (1, pid.cast_signed()),
            Became::Failed(errno) => (2, errno.0),
            Became::Ended(End::Exited(status)) => (3, status),
            Became::Ended(End::Killed(signal)) => (4, signal),
        };
        let mut bytes = [0; ANSWER];
        let words = [self.id, what, value.cast_unsigned()].map(u32::to_ne_bytes);
        for (to, from) in bytes.iter_mut().zip(words.as_flattened()) {
            *to = *from;
        }
        bytes
    }

    /// What came through a socket. None = it is no answer.
    pub(crate) fn of(bytes: &[u8]) -> Option<Answer> {
        let word = |index: usize| bytes.get(index * 4..)?.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes));
        let value = word(2)?;
        let became = match word(1)? {
            1 => Became::Started(value),
            2 => Became::Failed(Errno(value.cast_signed())),
            3 => Became::Ended(End::Exited(value.cast_signed())),
            4 => Became::Ended(End::Killed(value.cast_signed())),
            _ => return None,
        };
        Some(Answer { id: word(0)?, became })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { memory: 1, processor: 2, processes: 3, files: 4, nice: -5 };
    const ABOUT: About<'_> = About { id: 7, user: 1, limits: LIMITS, program: b"/bin/p", directory: b"/tmp" };

    fn words(strings: Strings<'_>) -> Vec<&[u8]> {
        strings.map(CStr::to_bytes).collect()
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let mut room = [0xff; 256];
        let mut order = Order::new(&mut room, &ABOUT);
        order.argument(b"p");
        order.argument(b"");
        order.push(b"a");
        order.push(b"b");
        order.end_argument();
        order.variable(b"A", b"1");
        order.push(b"LENGTH=");
        order.push_decimal(42);
        order.end_variable();
        let Ok(Read::Start { id, user, limits, program, directory, arguments, variables }) =
            read(order.finish().unwrap())
        else {
            panic!("no order")
        };
        assert_eq!((id, user, limits), (7, 1, LIMITS));
        assert_eq!((program, directory), (c"/bin/p", c"/tmp"));
        assert_eq!(words(arguments), [&b"p"[..], b"", b"ab"]);
        assert_eq!(words(variables), [&b"A=1"[..], b"LENGTH=42"]);
    }

    #[test]
    fn what_can_not_be_ordered_is_told_at_the_end() {
        let with = |room: &mut [u8], fill: &dyn Fn(&mut Order<'_>)| {
            let mut order = Order::new(room, &ABOUT);
            fill(&mut order);
            order.finish().map(<[u8]>::len)
        };
        let mut room = vec![0; ORDER_MAX + 100];
        assert_eq!(with(&mut room, &|_| {}), None, "no argument");
        assert!(with(&mut room, &|order| order.argument(b"p")).is_some());
        assert_eq!(with(&mut room, &|order| order.argument(b"p\0")), None, "a zero byte");
        assert_eq!(with(&mut room, &|order| (order.argument(b"p"), order.variable(b"A", b"\0")).0), None);
        let late = |order: &mut Order<'_>| {
            order.argument(b"p");
            order.variable(b"A", b"");
            order.argument(b"late");
        };
        assert_eq!(with(&mut room, &late), None, "an argument after a variable");
        // As long as may be, and one more.
        let begun = HEAD + ABOUT.program.len() + 1 + ABOUT.directory.len() + 1;
        let longest = vec![b'x'; ORDER_MAX - begun - 1];
        assert_eq!(with(&mut room, &|order| order.argument(&longest)), Some(ORDER_MAX));
        assert_eq!(with(&mut room, &|order| (order.push(b"x"), order.argument(&longest)).1), None);
        assert_eq!(with(&mut room[..begun + 9], &|order| order.argument(b"12345678")), Some(begun + 9));
        assert_eq!(with(&mut room[..begun + 8], &|order| order.argument(b"12345678")), None);
        assert_eq!(with(&mut [], &|order| order.argument(b"p")), None);
        let many = |count: usize| move |order: &mut Order<'_>| (0..count).for_each(|_| order.argument(b""));
        assert!(with(&mut room, &many(ORDER_STRINGS_MAX)).is_some());
        assert_eq!(with(&mut room, &many(ORDER_STRINGS_MAX + 1)), None);
    }

    #[test]
    fn a_signal_and_what_is_no_order() {
        assert!(matches!(read(&signal_order(9, 15)), Ok(Read::Signal { id: 9, signal: 15 })));
        let mut room = [0; 128];
        let mut order = Order::new(&mut room, &ABOUT);
        order.argument(b"p");
        let good = order.finish().unwrap().to_vec();
        assert!(read(&good).is_ok());
        for cut in 0..good.len() {
            assert!(read(&good[..cut]).is_err(), "{cut}");
        }
        assert!(matches!(read(&[&good[..], b"\0"].concat()), Err(7)), "one string too many");
        let mut other = good.clone();
        other[0] = 3;
        assert!(matches!(read(&other), Err(7)));
    }

    #[test]
    fn answers() {
        let all = [
            Became::Started(u32::MAX),
            Became::Failed(Errno::NOENT),
            Became::Ended(End::Exited(255)),
            Became::Ended(End::Killed(9)),
        ];
        for became in all {
            let answer = Answer { id: 0xfeed, became };
            assert_eq!(Answer::of(&answer.bytes()), Some(answer));
        }
        assert_eq!(Answer::of(&[0; ANSWER]), None);
        assert_eq!(Answer::of(&Answer { id: 1, became: Became::Started(1) }.bytes()[..11]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(mut bytes in proptest::collection::vec(0u8..4, 0..200)) {
            if let Some(first) = bytes.first_mut() {
                *first = START;
            }
            if let Ok(Read::Start { arguments, variables, .. }) = read(&bytes) {
                prop_assert!(arguments.clone().count() == usize::from(arguments.left));
                prop_assert!(variables.clone().count() == usize::from(variables.left));
            }
        }
    }
}
