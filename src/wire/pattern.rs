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

    fn union(self, other: Set) -> Set {
        Set(core::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    fn complement(self) -> Set {
        Set(self.0.map(|word| !word))
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The members, lowest first.
    fn iter(self) -> impl Iterator<Item = u8> {
        self.0.into_iter().zip([0u8, 64, 128, 192]).flat_map(|(mut word, base)| {
            core::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as u8);
                word &= word.wrapping_sub(1);
                Some(base + bit?)
            })
        })
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
    pub fn is_match(&self, text: &[u8]) -> bool {
        if self.matches_all || (text.is_empty() && self.matches_empty) {
            return true;
        }
        let mut current = self.first;
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            rest = after;
            let mut next = self.restart;
            for at in current.iter() {
                let Some(position) = self.positions.get(usize::from(at)) else { continue };
                if !position.bytes.contains(*byte) {
                    continue;
                }
                if position.last || (rest.is_empty() && position.last_at_end) {
                    return true;
                }
                next = next.union(position.next);
            }
            if next.is_empty() {
                return false;
            }
            current = next;
        }
        false
    }
}
