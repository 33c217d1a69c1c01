//! What the application server answers itself: the protocol has no error codes, so an error is a page with a Status line.

use std::os::fd::{AsFd, OwnedFd};

use crate::sys::fork::{Waited, wait};
use crate::sys::pipe::write_all;
use crate::sys::socket::{receive, shutdown_write};

/// An error, as the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status code and its reason phrase.
    pub(super) status: &'static str,
    /// What is wrong, for whoever sees the page.
    pub(super) why: &'static str,
}

/// Shorter to write.
pub(super) const fn refusal(status: &'static str, why: &'static str) -> Refusal {
    Refusal { status, why }
}

/// How long whatever the client still sends is read and forgotten, milliseconds: closing over unread input would make the kernel send a
/// reset, which destroys the answer on its way.
const LEAVING_MS: u64 = 2_000;

/// Sends a refusal as a whole answer.
pub(super) fn send(socket: &OwnedFd, refusal: &Refusal) {
    let Refusal { status, why } = refusal;
    let answer = format!(
        "Status: {status}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<!DOCTYPE html>\n<html lang=\"en\"><head><title>{status}</title></head>\n<body><h1>{status}</h1><p>{why}</p></body></html>\n"
    );
    // Whoever does not wait for it is gone.
    let _ = write_all(socket.as_fd(), answer.as_bytes());
}

/// Ends a connection so that what was sent arrives.
pub(super) fn leave(socket: OwnedFd, scratch: &mut [u8]) {
    if shutdown_write(socket.as_fd()).is_err() {
        return;
    }
    let end = super::now_ms() + LEAVING_MS;
    loop {
        let left = end.saturating_sub(super::now_ms());
        let mut all = [Waited::input(socket.as_fd(), true), Waited::nothing(), Waited::nothing()];
        wait(&mut all, u32::try_from(left).unwrap_or(0));
        // Once both sides have ended it is broken, too.
        if left == 0 || (all[0].is_ready() && !matches!(receive(socket.as_fd(), scratch), Ok(1..))) {
            return;
        }
        if all[0].is_broken() && !all[0].is_ready() {
            return;
        }
    }
}
