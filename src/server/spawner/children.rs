//! The spawner's table of what it has started: of fixed size, found by process id without a search through all of it.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::plugin::order::Became;
use crate::sys::Errno;
use crate::sys::child::End;
use crate::sys::spawn::{Failures, KILL, signal_group};

/// Who ordered a program whose connection is closed: nobody is told of it any more.
pub(super) const NOBODY: u16 = u16::MAX;

/// A program that was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub(super) pid: u32,
    /// Who ordered it, and what it is called there.
    pub(super) peer: u16,
    pub(super) id: u32,
    /// What became of it, while that can not be told.
    pub(super) untold: Option<Became>,
}

pub(super) struct Children {
    places: Box<[Option<Child>]>,
    free: Vec<u16>,
    /// Process ids and places of those that run, by id.
    running: Vec<(u32, u16)>,
    failures: Failures,
}

impl Children {
    /// Room for so many.
    pub(super) fn new(capacity: usize) -> io::Result<Children> {
        let capacity = capacity.min(usize::from(NOBODY));
        Ok(Children {
            places: vec![None; capacity].into(),
            free: (0..capacity as u16).rev().collect(),
            running: Vec::with_capacity(capacity),
            failures: Failures::new(capacity)?,
        })
    }

    /// The place for the next one, and where that says why it can not run a program. None = there is none.
    pub(super) fn next(&self) -> Option<(u16, &AtomicI32)> {
        let place = *self.free.last()?;
        Some((place, self.failures.get(usize::from(place))?))
    }

    /// Puts one into the next place.
    pub(super) fn add(&mut self, child: Child) {
        let Some(place) = self.free.pop() else { return };
        if let Some(entry) = self.places.get_mut(usize::from(place)) {
            *entry = Some(child);
        }
        let at = self.running.partition_point(|(pid, _)| *pid < child.pid);
        self.running.insert(at, (child.pid, place));
    }

    /// One has ended: who is to be told, and what. Its place is taken until [`Children::told`].
    pub(super) fn ended(&mut self, pid: u32, end: End) -> Option<(u16, Child)> {
        let at = self.running.binary_search_by_key(&pid, |(pid, _)| *pid).ok()?;
        let (_, place) = self.running.remove(at);
        let failure = self.failures.get(usize::from(place)).map_or(0, |failure| failure.load(Ordering::Relaxed));
        let child = self.places.get_mut(usize::from(place))?.as_mut()?;
        child.untold = Some(if failure == 0 { Became::Ended(end) } else { Became::Failed(Errno(failure)) });
        Some((place, *child))
    }

    /// Somebody knows what became of it.
    pub(super) fn told(&mut self, place: u16) {
        if let Some(entry) = self.places.get_mut(usize::from(place)).filter(|entry| entry.is_some()) {
            *entry = None;
            self.free.push(place);
        }
    }

    /// The first one of a peer whose end could not be told.
    pub(super) fn untold(&self, peer: u16) -> Option<(u16, Child)> {
        let is = |child: &Child| child.peer == peer && child.untold.is_some();
        let place = self.places.iter().position(|child| child.as_ref().is_some_and(is))?;
        Some((place as u16, self.places.get(place).copied().flatten()?))
    }

    /// Signals one that runs. Looks through all of them: it is rare.
    pub(super) fn signal(&self, peer: u16, id: u32, signal: i32) {
        let is = |child: &&Child| child.peer == peer && child.id == id && child.untold.is_none();
        if let Some(child) = self.places.iter().flatten().find(is) {
            signal_group(child.pid, signal);
        }
    }

    /// Nobody asks for those of a peer any more: they are killed.
    pub(super) fn abandon(&mut self, peer: u16) {
        for place in 0..self.places.len() {
            let Some(child) = self.places.get_mut(place).and_then(Option::as_mut) else { continue };
            if child.peer == peer {
                child.peer = NOBODY;
                match child.untold {
                    None => signal_group(child.pid, KILL),
                    Some(_) => self.told(place as u16),
                }
            }
        }
    }

    /// Process ids of those that run, each with its place.
    pub(super) fn running(&self) -> &[(u32, u16)] {
        &self.running
    }

    /// Kills all that run.
    pub(super) fn kill(&self) {
        for (pid, _) in &self.running {
            signal_group(*pid, KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has such a number, so that nothing is hit by a signal.
    const FIRST: u32 = 0x7000_0000;

    fn child(number: u32, peer: u16) -> Child {
        Child { pid: FIRST + number * 7919 % 1009, peer, id: number, untold: None }
    }

    #[test]
    fn each_is_found_by_its_process_and_its_place_used_again() {
        let mut children = Children::new(100).unwrap();
        for round in 0..3 {
            for number in 0..100 {
                assert!(children.next().is_some());
                children.add(child(number, round));
            }
            assert!(children.next().is_none(), "full");
            children.add(child(100, 0));
            assert_eq!(children.ended(FIRST - 1, End::Exited(0)).map(|_| ()), None);
            for number in (0..100).rev() {
                let (place, ended) = children.ended(child(number, 0).pid, End::Exited(3)).unwrap();
                assert_eq!((ended.id, ended.peer), (number, round));
                assert_eq!(ended.untold, Some(Became::Ended(End::Exited(3))));
                assert!(children.ended(ended.pid, End::Exited(0)).is_none(), "twice");
                children.told(place);
                children.told(place);
            }
            assert_eq!(children.free.len(), 100);
        }
    }

    #[test]
    fn why_a_program_can_not_run_comes_with_its_end() {
        let mut children = Children::new(2).unwrap();
        children.next().unwrap().1.store(2, Ordering::Relaxed);
        children.add(child(0, 0));
        let (_, ended) = children.ended(child(0, 0).pid, End::Exited(127)).unwrap();
        assert_eq!(ended.untold, Some(Became::Failed(Errno::NOENT)));
    }

    #[test]
    fn what_could_not_be_told_waits_for_its_peer() {
        let mut children = Children::new(8).unwrap();
        for number in 0..4 {
            children.add(child(number, number as u16 % 2));
        }
        for number in 0..3 {
            children.ended(child(number, 0).pid, End::Exited(0));
        }
        let of = |children: &Children, peer| children.untold(peer).map(|(place, child)| (place, child.id));
        let (place, id) = of(&children, 0).unwrap();
        children.told(place);
        assert_eq!(id + of(&children, 0).unwrap().1, 2);
        children.abandon(0);
        assert_eq!(of(&children, 0), None);
        assert_eq!(of(&children, NOBODY), None);
        assert_eq!(children.free.len(), 6, "the one that runs on keeps its place");
        children.abandon(1);
        let (place, ended) = children.ended(child(3, 0).pid, End::Killed(9)).unwrap();
        assert_eq!(ended.peer, NOBODY);
        children.told(place);
        assert_eq!(children.free.len(), 8);
    }
}
