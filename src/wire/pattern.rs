//! The patterns of the configuration (REGEX of `Match` lines): a search over bytes in time linear in the text, with no
//! allocation while matching.
//!
//! Known are `.` (any byte), `[abc]`, `[a-z]`, `[^abc]`, `*`, `+`, `?`, `{m}`, `{m,}`, `{m,n}`, `|`, `( )`, `^` and `$`
//! (start and end of the text), `\d \w \s` (ASCII digit; letter, digit or `_`; blank, tab or line end) and a backslash
//! before any other ASCII byte that is no letter or digit, which stands for that byte. Letters are compared with case.

mod compile;
mod syntax;

use core::fmt;

/// Most byte positions in one pattern, repeats written out. A pattern with more is refused when it is compiled.
pub const POSITIONS_MAX: usize = 256;

/// Why a pattern was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PatternError {
    /// Offset in the pattern where the fault shows, bytes.
    pub at: usize,
    /// What is wrong and what would be right.
    pub what: &'static str,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pattern, character {}: {}", self.at + 1, self.what)
    }
}

/// A set of numbers below 256: bytes, or positions of a pattern.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Set([u64; 4]);

impl Set {
    const fn contains(&self, number: u8) -> bool {
        self.0[number as usize / 64] >> (number % 64) & 1 != 0
    }

    const fn insert(&mut self, number: u8) {
        self.0[number as usize / 64] |= 1 << (number % 64);
    }

    const fn union(self, other: Set) -> Set {
        let (Set([a, b, c, d]), Set([e, f, g, h])) = (self, other);
        Set([a | e, b | f, c | g, d | h])
    }

    fn complement(self) -> Set {
        Set(self.0.map(|word| !word))
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Whether `is` says so of a member below `end`. They are asked about lowest first, up to one of which it does.
    #[inline(always)]
    fn any(self, end: usize, mut is: impl FnMut(usize) -> bool) -> bool {
        let mut base = 0;
        while let Some(word) = self.0.get(base / 64).filter(|_| base < end) {
            let mut word = *word;
            while word != 0 {
                if is(base + word.trailing_zeros() as usize) {
                    return true;
                }
                word &= word - 1;
            }
            base += 64;
        }
        false
    }
}

/// A place in the pattern that takes one byte.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// The bytes it takes.
    bytes: Set,
    /// The positions that may take the next byte.
    next: Set,
    /// Whether the pattern may be complete after it.
    last: bool,
    /// Whether it may be complete after it when the text is too.
    last_at_end: bool,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    positions: Vec<Position>,
    /// The positions that may take the first byte of the text.
    first: Set,
    /// The positions that may take a byte further on as the first of a match.
    restart: Set,
    /// Whether no byte is needed for a match in any text.
    matches_all: bool,
    /// Whether the empty text matches.
    matches_empty: bool,
}

impl Pattern {
    /// Compiles `text`. Allocates: for start-up only. Uses 80 bytes a position.
    ///
    /// # Errors
    /// A [`PatternError`] when `text` is no pattern or needs more than [`POSITIONS_MAX`] positions.
    pub fn compile(text: &str) -> Result<Pattern, PatternError> {
        Pattern::of_node(&syntax::parse_pattern(text)?)
    }

    /// A pattern for a text itself, in which nothing has a meaning, in upper or lower case. Allocates, and takes memory, as
    /// [`Pattern::compile`] does.
    ///
    /// # Errors
    /// A [`PatternError`] when it is longer than [`POSITIONS_MAX`] bytes.
    pub fn of_text(text: &str) -> Result<Pattern, PatternError> {
        let mut nodes = Vec::new();
        for byte in text.bytes() {
            let mut bytes = Set::default();
            bytes.insert(byte.to_ascii_lowercase());
            bytes.insert(byte.to_ascii_uppercase());
            nodes.push(syntax::Node::Byte(bytes));
        }
        Pattern::of_node(&syntax::Node::Sequence(nodes))
    }

    #[inline(never)]
    fn of_node(node: &syntax::Node) -> Result<Pattern, PatternError> {
        let what = "too long: over 256 characters once its repeats are written out";
        compile::compile(node).ok_or(PatternError { at: 0, what })
    }

    /// Whether the pattern is found anywhere in `text`. Takes at most [`POSITIONS_MAX`] steps a byte, allocates nothing.
    #[cfg_attr(tuned, optimize(speed))]
    pub fn is_match(&self, text: &[u8]) -> bool {
        if self.matches_all || (text.is_empty() && self.matches_empty) {
            return true;
        }
        let mut current = self.first;
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            rest = after;
            let mut next = self.restart;
            let matched = current.any(self.positions.len(), |at| match self.positions.get(at) {
                Some(position) if position.bytes.contains(*byte) => {
                    next = next.union(position.next);
                    position.last || (rest.is_empty() && position.last_at_end)
                }
                _ => false,
            });
            if matched {
                return true;
            }
            if next.is_empty() {
                return false;
            }
            current = next;
        }
        false
    }
}
