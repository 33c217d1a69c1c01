//! Transports that move less than they could: what the server must get right over any of them.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::plugin::transport::Transport;
use crate::sys::Errno;

const LIANA: u8 = 0;
const ONE_BYTE: u8 = 1;
const FAULT: u8 = 2;

static CHOICE: AtomicU8 = AtomicU8::new(LIANA);
static STATE: AtomicU32 = AtomicU32::new(1);

/// Chooses the transport of the whole process by name: `liana`, `one-byte` or `fault`. False = there is none of that name.
pub fn choose(name: &[u8]) -> bool {
    let choice = match name {
        b"liana" => LIANA,
        b"one-byte" => ONE_BYTE,
        b"fault" => FAULT,
        _ => return false,
    };
    CHOICE.store(choice, Ordering::Relaxed);
    true
}

/// Another transport, unless [`choose`] said otherwise: then a byte of it at a time, or any number of them with interruptions
/// between.
#[derive(Clone, Copy, Default)]
pub struct Chosen<T>(T);

/// A number nobody chose: the next of a sequence that all threads share.
fn random() -> u32 {
    let mut word = STATE.load(Ordering::Relaxed);
    word ^= word << 13;
    word ^= word >> 17;
    word ^= word << 5;
    STATE.store(word, Ordering::Relaxed);
    word
}

/// How many of `len` bytes are moved at once.
fn portion(len: usize) -> Result<usize, Errno> {
    match CHOICE.load(Ordering::Relaxed) {
        ONE_BYTE => Ok(len.min(1)),
        FAULT => {
            let random = random();
            if random.is_multiple_of(5) {
                return Err(Errno::INTR);
            }
            // Small and large portions in turn.
            let most = if random & 64 == 0 { 16 } else { 100_000 };
            Ok(len.min(1 + (random >> 8) as usize % most))
        }
        _ => Ok(len),
    }
}

impl<T: Transport> Transport for Chosen<T> {
    const NAME: &'static str = T::NAME;
    const EXHAUSTS: bool = false;

    fn read(self, socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
        let len = portion(buffer.len())?;
        self.0.read(socket, buffer.get_mut(..len).unwrap_or_default())
    }

    fn write(self, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> Result<usize, Errno> {
        let len = portion(bytes.len())?;
        self.0.write(socket, bytes.get(..len).unwrap_or_default(), more || len < bytes.len())
    }

    fn write_file(self, socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
        // A megabyte in single bytes takes a million calls: a file goes in larger steps.
        let len = if CHOICE.load(Ordering::Relaxed) == ONE_BYTE { len.min(1499) } else { portion(len)? };
        self.0.write_file(socket, file, offset, len)
    }

    fn push(self, socket: BorrowedFd<'_>) {
        self.0.push(socket);
    }

    fn unacknowledged(self, socket: BorrowedFd<'_>) -> usize {
        self.0.unacknowledged(socket)
    }

    fn finish(self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        self.0.finish(socket)
    }
}
