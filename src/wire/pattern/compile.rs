//! From the tree of a pattern to its positions (the construction of Thompson, its empty steps then removed).

use super::syntax::Node;
use super::{POSITIONS_MAX, Pattern, Position, Set};

/// Most steps of the program in between.
const STEPS_MAX: usize = 4096;

/// Most parts written out; bounds nested repeats of nothing, which add no step.
const PARTS_MAX: usize = 16 * 1024;

/// One step of the program. Steps are named by their index.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Takes a byte for this position, goes on with the next step.
    Take(u8),
    /// Goes on with the next step and with this one.
    Fork(usize),
    /// Goes on with this step.
    Jump(usize),
    /// Goes on at the start of the text only.
    Start,
    /// Goes on at the end of the text only.
    End,
    /// The pattern is complete.
    Match,
}

/// `None` when the pattern needs too many positions or steps.
pub(super) fn compile(node: &Node) -> Option<Pattern> {
    let mut program = Program { steps: Vec::new(), bytes: Vec::new(), parts: 0 };
    program.write(node)?;
    program.push(Step::Match)?;

    let mut positions = Vec::with_capacity(program.bytes.len());
    for (step, kind) in program.steps.iter().enumerate() {
        let Step::Take(position) = kind else { continue };
        let (next, last) = program.reach(step + 1, false, false);
        let (_, last_at_end) = program.reach(step + 1, false, true);
        let bytes = program.bytes.get(usize::from(*position)).copied().unwrap_or_default();
        positions.push(Position { bytes, next, last, last_at_end });
    }
    let (first, at_start) = program.reach(0, true, false);
    let (restart, anywhere) = program.reach(0, false, false);
    let (_, at_end) = program.reach(0, false, true);
    let (_, matches_empty) = program.reach(0, true, true);
    Some(Pattern { positions, first, restart, matches_all: anywhere || at_start || at_end, matches_empty })
}

struct Program {
    steps: Vec<Step>,
    /// What each position takes.
    bytes: Vec<Set>,
    /// How many parts were written out.
    parts: usize,
}

impl Program {
    fn push(&mut self, step: Step) -> Option<usize> {
        if self.steps.len() == STEPS_MAX {
            return None;
        }
        self.steps.push(step);
        Some(self.steps.len() - 1)
    }

    /// Sets the goal of a step that was written before it was known.
    fn aim(&mut self, step: usize, goal: usize) {
        match self.steps.get_mut(step) {
            Some(Step::Fork(to) | Step::Jump(to)) => *to = goal,
            _ => debug_assert!(false, "only forks and jumps have a goal"),
        }
    }

    fn write(&mut self, node: &Node) -> Option<()> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return None;
        }
        match node {
            Node::Byte(bytes) => {
                if self.bytes.len() == POSITIONS_MAX {
                    return None;
                }
                let position = u8::try_from(self.bytes.len()).ok()?;
                self.bytes.push(*bytes);
                self.push(Step::Take(position))?;
            }
            Node::Start => {
                self.push(Step::Start)?;
            }
            Node::End => {
                self.push(Step::End)?;
            }
            Node::Sequence(parts) => {
                for part in parts {
                    self.write(part)?;
                }
            }
            Node::Choice(choices) => self.write_choice(choices)?,
            Node::Repeat { part, min, max } => self.write_repeat(part, *min, *max)?,
        }
        Some(())
    }

    fn write_choice(&mut self, choices: &[Node]) -> Option<()> {
        let Some((last, others)) = choices.split_last() else {
            return Some(());
        };
        let mut ends = Vec::new();
        for choice in others {
            let fork = self.push(Step::Fork(0))?;
            self.write(choice)?;
            ends.push(self.push(Step::Jump(0))?);
            self.aim(fork, self.steps.len());
        }
        self.write(last)?;
        for end in ends {
            self.aim(end, self.steps.len());
        }
        Some(())
    }

    fn write_repeat(&mut self, part: &Node, min: u16, max: Option<u16>) -> Option<()> {
        for _ in 0..min {
            self.write(part)?;
        }
        let Some(max) = max else {
            let fork = self.push(Step::Fork(0))?;
            self.write(part)?;
            self.push(Step::Jump(fork))?;
            self.aim(fork, self.steps.len());
            return Some(());
        };
        let mut forks = Vec::new();
        for _ in min..max {
            forks.push(self.push(Step::Fork(0))?);
            self.write(part)?;
        }
        for fork in forks {
            self.aim(fork, self.steps.len());
        }
        Some(())
    }

    /// The positions that `from` leads to without taking a byte, and whether the pattern can be complete there, at the start
    /// or the end of the text or not.
    fn reach(&self, from: usize, at_start: bool, at_end: bool) -> (Set, bool) {
        let mut positions = Set::default();
        let mut complete = false;
        let mut seen = vec![false; self.steps.len()];
        let mut ahead = vec![from];
        while let Some(at) = ahead.pop() {
            let (Some(step), Some(seen)) = (self.steps.get(at), seen.get_mut(at)) else { continue };
            if core::mem::replace(seen, true) {
                continue;
            }
            match *step {
                Step::Take(position) => positions.insert(position),
                Step::Fork(other) => ahead.extend([at + 1, other]),
                Step::Jump(goal) => ahead.push(goal),
                Step::Start if at_start => ahead.push(at + 1),
                Step::End if at_end => ahead.push(at + 1),
                Step::Start | Step::End => {}
                Step::Match => complete = true,
            }
        }
        (positions, complete)
    }
}
