//! The terminal that a program was started at: asking for what must not be seen. Source: termios(3).

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What the program was given to read: descriptor 0.
pub fn input() -> BorrowedFd<'static> {
    // SAFETY: descriptor 0 is nobody's to close here; where it is closed reading is only an error.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

/// What the program writes its answers to: descriptor 1.
pub fn output() -> BorrowedFd<'static> {
    // SAFETY: as above.
    unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) }
}

/// What the key of the interrupt signal (Ctrl-C) is read as while [`unseen`] asks.
pub const INTERRUPT: u8 = 3;

/// Does something while the terminal shows nothing of what is typed. It gives lines, edited as ever; [`INTERRUPT`] ends one too, and no
/// key sends a signal. Afterwards it is as it was before. None = it is no terminal, and nothing was done.
pub fn unseen<T>(terminal: BorrowedFd<'_>, ask: impl FnOnce() -> T) -> Option<T> {
    let number = terminal.as_raw_fd();
    let mut before = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: there is room for the termios that tcgetattr fills when it answers 0.
    let before = unsafe {
        if libc::tcgetattr(number, before.as_mut_ptr()) != 0 {
            return None;
        }
        before.assume_init_ref()
    };
    let mut quiet = *before;
    quiet.c_lflag &= !(libc::ECHO | libc::ISIG);
    quiet.c_cc[libc::VEOL] = INTERRUPT;
    // SAFETY: the termios is whole and outlives the call; so below.
    if unsafe { libc::tcsetattr(number, libc::TCSAFLUSH, &quiet) } != 0 {
        return None;
    }
    let answer = ask();
    // SAFETY: as above.
    unsafe { libc::tcsetattr(number, libc::TCSAFLUSH, before) };
    Some(answer)
}
