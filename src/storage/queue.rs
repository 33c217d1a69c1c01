//! An intrusive queue over a table: the links live in the entries, so that a queue of ten thousand costs three numbers.

use crate::sys::slots::View;

const NONE: u32 = u32::MAX;

/// The links of one entry. An entry is in at most one queue at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    previous: u32,
    next: u32,
}

impl Default for Link {
    fn default() -> Link {
        Link { previous: NONE, next: NONE }
    }
}

/// An entry that can stand in a queue.
pub trait Linked {
    /// Its links.
    fn link(&mut self) -> &mut Link;
}

/// The table the entries live in.
pub trait Entries {
    /// What an entry is.
    type Entry: Linked;
    /// The entry at an index.
    fn entry(&mut self, index: u32) -> Option<&mut Self::Entry>;
}

impl<T: Send + Linked> Entries for View<T> {
    type Entry = T;

    fn entry(&mut self, index: u32) -> Option<&mut T> {
        self.get(index as usize)
    }
}

/// A queue of indexes. The caller knows which entries are in it; each operation takes constant time.
#[derive(Debug)]
pub struct Queue {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { head: NONE, tail: NONE, len: 0 }
    }
}

impl Queue {
    /// How many entries are in it.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The index of the first entry: the one that came first.
    pub fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// Appends an entry that is in no queue. Does nothing when the table has no such entry.
    pub fn push_back(&mut self, entries: &mut impl Entries, index: u32) {
        let Some(entry) = entries.entry(index) else { return };
        *entry.link() = Link { previous: self.tail, next: NONE };
        match entries.entry(self.tail) {
            Some(last) => last.link().next = index,
            None => self.head = index,
        }
        self.tail = index;
        self.len += 1;
    }

    /// Takes an entry of this queue out.
    pub fn remove(&mut self, entries: &mut impl Entries, index: u32) {
        let Some(entry) = entries.entry(index) else { return };
        let Link { previous, next } = std::mem::take(entry.link());
        match entries.entry(previous) {
            Some(before) => before.link().next = next,
            None => self.head = next,
        }
        match entries.entry(next) {
            Some(after) => after.link().previous = previous,
            None => self.tail = previous,
        }
        self.len = self.len.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Node(Link);

    impl Linked for Node {
        fn link(&mut self) -> &mut Link {
            &mut self.0
        }
    }

    struct Nodes(Vec<Node>);

    impl Entries for Nodes {
        type Entry = Node;
        fn entry(&mut self, index: u32) -> Option<&mut Node> {
            self.0.get_mut(index as usize)
        }
    }

    fn order(queue: &Queue, nodes: &mut Nodes) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = queue.front();
        while let Some(index) = at {
            found.push(index);
            let next = nodes.0[index as usize].0.next;
            at = (next != NONE).then_some(next);
        }
        found
    }

    proptest! {
        /// Any sequence of insertions and removals keeps the order of a plain list.
        #[test]
        fn behaves_as_a_list(steps in prop::collection::vec(0u32..16, 0..200)) {
            let mut nodes = Nodes((0..16).map(|_| Node::default()).collect());
            let mut queue = Queue::default();
            let mut model: Vec<u32> = Vec::new();
            for index in steps {
                if model.contains(&index) {
                    queue.remove(&mut nodes, index);
                    model.retain(|&kept| kept != index);
                } else {
                    queue.push_back(&mut nodes, index);
                    model.push(index);
                }
                prop_assert_eq!(order(&queue, &mut nodes), model.clone());
                prop_assert_eq!(queue.len() as usize, model.len());
            }
        }
    }
}
