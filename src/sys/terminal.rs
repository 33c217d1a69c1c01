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

/// A terminal that shows nothing of what is typed and gives every key as it is pressed, those that would send a signal too. It is as it
/// was before when this is dropped.
pub struct Unseen {
    terminal: BorrowedFd<'static>,
    before: libc::termios,
}

impl Unseen {
    /// None = it is no terminal.
    pub fn new(terminal: BorrowedFd<'static>) -> Option<Unseen> {
        let mut before = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: there is room for the termios that tcgetattr fills when it answers 0.
        let before = unsafe {
            if libc::tcgetattr(terminal.as_raw_fd(), before.as_mut_ptr()) != 0 {
                return None;
            }
            before.assume_init()
        };
        let unseen = Unseen { terminal, before };
        let mut quiet = unseen.before;
        quiet.c_lflag &= !(libc::ECHO | libc::ICANON | libc::ISIG);
        (quiet.c_cc[libc::VMIN], quiet.c_cc[libc::VTIME]) = (1, 0);
        unseen.set(&quiet).then_some(unseen)
    }

    fn set(&self, to: &libc::termios) -> bool {
        // SAFETY: the termios is whole and outlives the call.
        unsafe { libc::tcsetattr(self.terminal.as_raw_fd(), libc::TCSAFLUSH, to) == 0 }
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        self.set(&self.before);
    }
}
