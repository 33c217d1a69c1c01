//! The spawner's own process: one thread, asleep until there is an order, a child ends, or the server does.
//!
//! It holds a socket to the server, one for each connection of a plugin, and nothing else. Nothing here allocates but a new connection.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::limits::{ORDER_MAX, SPAWNER_PEERS_MAX};
use crate::plugin::order::{Answer, Became, Read, read};
use crate::server::spawner::children::{Child, Children, NOBODY};
use crate::sys::Errno;
use crate::sys::child::{reap, wait_for};
use crate::sys::credentials::Identity;
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::image::release_pages;
use crate::sys::memory::Region;
use crate::sys::packet::{DESCRIPTORS_MAX, receive, send};
use crate::sys::signal::{Signal, SignalFd, block};
use crate::sys::spawn::{OomScore, Program};

/// The socket to the server by epoll's name; connections have their places.
const CONTROL: u64 = u64::MAX;
/// The ends of children by epoll's name.
const ENDS: u64 = u64::MAX - 1;
/// How long nothing must happen until the pages of the program are let go of, milliseconds.
const SETTLE_MS: u32 = 1000;
/// How long a child that was killed is waited for, milliseconds: one that hangs in a device ends when that lets go of it.
const LAST_MS: u32 = 500;

/// A plugin's connection.
struct Peer {
    socket: OwnedFd,
    /// What there was no room for. Until it is told no order is read.
    owed: Option<Answer>,
    /// The end of a child could not be told.
    behind: bool,
}

pub(super) struct Process {
    epoll: Epoll,
    ends: SignalFd,
    peers: Vec<Option<Peer>>,
    children: Children,
    /// Whom programs are started as; None = whom this process is.
    users: Vec<Option<Identity>>,
    score: OomScore,
}

type Descriptors = [Option<OwnedFd>; DESCRIPTORS_MAX];

impl Process {
    /// Room for so many children.
    pub(super) fn new(
        control: BorrowedFd<'_>,
        children: usize,
        users: Vec<Option<Identity>>,
        score: OomScore,
    ) -> io::Result<Process> {
        block(&[Signal::Child])?;
        let (epoll, ends) = (Epoll::new()?, SignalFd::open(&[Signal::Child])?);
        epoll.add(control, Interest::Read, CONTROL)?;
        epoll.add(ends.as_fd(), Interest::Read, ENDS)?;
        Ok(Process { epoll, ends, peers: Vec::new(), children: Children::new(children)?, users, score })
    }

    /// Runs until the server is gone, and kills what was started then.
    pub(super) fn run(&mut self, control: BorrowedFd<'_>) -> io::Result<()> {
        let mut order = Region::new(ORDER_MAX)?;
        let mut events = Events::with_capacity(16);
        let mut patience = Some(SETTLE_MS);
        let mut goes_on = true;
        while goes_on {
            if patience.is_none() {
                // Nothing that was needed to get here is needed to wait.
                release_pages();
            }
            self.epoll.wait(&mut events, patience)?;
            patience = (!events.is_empty()).then_some(SETTLE_MS);
            for index in 0..events.len() {
                match events.get(index).map(|event| event.data) {
                    Some(CONTROL) => goes_on &= self.connect(control),
                    Some(ENDS) => {
                        while self.ends.read().is_some() {}
                        self.reap();
                    }
                    Some(peer) => self.hear(peer as u16, &mut order),
                    None => {}
                }
            }
        }
        self.children.kill();
        // The server waits for this process when it stops in order: what was started is to be gone then too.
        for (pid, _) in self.children.running() {
            wait_for(*pid, LAST_MS);
        }
        Ok(())
    }

    /// Takes connections in. False = the server is gone.
    fn connect(&mut self, control: BorrowedFd<'_>) -> bool {
        let mut came: Descriptors = [None, None, None];
        loop {
            match receive(control, &mut [0; 1], &mut came) {
                Ok(1) => {}
                Err(Errno::AGAIN | Errno::INTR | Errno::MSGSIZE) => return true,
                _ => return false,
            }
            let [Some(socket), ..] = std::mem::take(&mut came) else { continue };
            let place = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
            if place >= SPAWNER_PEERS_MAX || self.epoll.add(socket.as_fd(), Interest::Connection, place as u64).is_err()
            {
                continue;
            }
            if place == self.peers.len() {
                self.peers.push(None);
            }
            if let Some(free) = self.peers.get_mut(place) {
                *free = Some(Peer { socket, owed: None, behind: false });
            }
        }
    }

    /// Does what a connection asks for, as far as its answers can be told.
    fn hear(&mut self, peer: u16, order: &mut [u8]) {
        if !self.catch_up(peer) {
            return;
        }
        let mut came: Descriptors = [None, None, None];
        while let Some(Some(Peer { socket, owed: None, .. })) = self.peers.get(usize::from(peer)) {
            match receive(socket.as_fd(), order, &mut came) {
                Ok(length) if length > 0 => {
                    let streams = std::mem::take(&mut came);
                    let answer = self.obey(peer, order.get(..length).unwrap_or_default(), streams);
                    if let Some(answer) = answer
                        && !self.tell(peer, answer)
                        && let Some(Some(peer)) = self.peers.get_mut(usize::from(peer))
                    {
                        peer.owed = Some(answer);
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::MSGSIZE) => {}
                _ => return self.part(peer),
            }
        }
    }

    /// Tells what there was no room for before. False = there still is none.
    fn catch_up(&mut self, number: u16) -> bool {
        let Some(Some(peer)) = self.peers.get(usize::from(number)) else { return false };
        if let Some(answer) = peer.owed {
            if !self.tell(number, answer) {
                return false;
            }
            if let Some(Some(peer)) = self.peers.get_mut(usize::from(number)) {
                peer.owed = None;
            }
        }
        let behind =
            |process: &Process| matches!(process.peers.get(usize::from(number)), Some(Some(Peer { behind: true, .. })));
        while behind(self) {
            let Some((place, child)) = self.children.untold(number) else {
                if let Some(Some(peer)) = self.peers.get_mut(usize::from(number)) {
                    peer.behind = false;
                }
                return true;
            };
            let Some(became) = child.untold else { return true };
            if !self.tell(number, Answer { id: child.id, became }) {
                return false;
            }
            self.children.told(place);
        }
        true
    }

    /// Tells an answer. False = there is no room for it.
    fn tell(&self, peer: u16, answer: Answer) -> bool {
        let Some(Some(peer)) = self.peers.get(usize::from(peer)) else { return true };
        // One that nobody hears is as good as told: the end of the connection is an event of its own.
        !matches!(
            send(peer.socket.as_fd(), &answer.bytes(), &[]),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM)
        )
    }

    fn obey(&mut self, peer: u16, order: &[u8], streams: Descriptors) -> Option<Answer> {
        match read(order) {
            Ok(Read::Signal { id, signal }) => {
                self.children.signal(peer, id, i32::from(signal));
                None
            }
            Ok(Read::Start { id, user, limits, program, directory, arguments, variables }) => {
                let started = || {
                    let user = self.users.get(usize::from(user)).ok_or(Errno::ACCES)?;
                    let [Some(output), Some(error), input] = &streams else { return Err(Errno::INVAL.into()) };
                    let (_, failure) = self.children.next().ok_or(Errno::AGAIN)?;
                    let program = Program {
                        path: program,
                        directory,
                        input: input.as_ref().map(AsFd::as_fd),
                        output: output.as_fd(),
                        error: error.as_fd(),
                        limits,
                        identity: user.as_ref(),
                    };
                    program.start(arguments, variables, failure, &self.score)
                };
                let became = match started() {
                    Ok(pid) => {
                        self.children.add(Child { pid, peer, id, untold: None });
                        Became::Started(pid)
                    }
                    Err(error) => Became::Failed(Errno(error.raw_os_error().unwrap_or(Errno::IO.0))),
                };
                Some(Answer { id, became })
            }
            Err(id) => Some(Answer { id, became: Became::Failed(Errno::INVAL) }),
        }
    }

    /// Tells of the children that have ended.
    fn reap(&mut self) {
        while let Some((pid, end)) = reap() {
            let Some((place, child)) = self.children.ended(pid, end) else { continue };
            let Some(became) = child.untold else { continue };
            let peer = self.peers.get(usize::from(child.peer)).and_then(Option::as_ref);
            // In order: that it was started comes first.
            let waits = child.peer != NOBODY && peer.is_some_and(|peer| peer.owed.is_some() || peer.behind);
            if !waits && self.tell(child.peer, Answer { id: child.id, became }) {
                self.children.told(place);
            } else if let Some(Some(peer)) = self.peers.get_mut(usize::from(child.peer)) {
                peer.behind = true;
            }
        }
    }

    /// A connection is closed.
    fn part(&mut self, number: u16) {
        if let Some(peer) = self.peers.get_mut(usize::from(number)) {
            *peer = None;
        }
        self.children.abandon(number);
    }
}
