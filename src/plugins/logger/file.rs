//! A log file, as the logger's thread writes it: found again when it was renamed or removed, renamed when it is too large, its end
//! looked for before each batch, for another server may write it too and copytruncate of logrotate(8) cuts it.

use std::ffi::{CStr, CString, FromBytesWithNulError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::http::output::{Sink, Text};
use crate::sys::Errno;
use crate::sys::file::{meta, meta_at, open_directory};
use crate::sys::logfile::{lock, open_at, rename_at, seek_end, unlock};
use crate::sys::pipe::{read, splice};

/// When and how often a file is renamed.
#[derive(Clone, Copy, Default)]
pub(super) struct Rotation {
    /// Bytes that a file may have; 0 = any number.
    pub(super) max_size: u64,
    /// Renamed files that are kept.
    pub(super) keep: u32,
}

/// What is wrong with a file. Each is told once, when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// It can not be opened; what was open before, if anything, is written on.
    Open(Errno),
    /// It can not be renamed.
    Rename(Errno),
    /// It does not take what is written.
    Write(Errno),
}

/// Room for a name with the number of a renamed file and the NUL.
type Name = Text<272>;

/// One file.
pub(super) struct LogFile {
    /// None = it was not there when it was looked for.
    directory: Option<OwnedFd>,
    /// The path of the directory, as this process will have it when it serves; None = out of its reach then.
    within: Option<CString>,
    name: CString,
    /// What is open, with its inode and device.
    file: Option<(OwnedFd, u64, u64)>,
    /// Where the file ended behind a line that is not whole; 0 = the last one is.
    half: u64,
    /// The file that is open has not got the beginning of the line whose rest comes next.
    torn: bool,
}

impl LogFile {
    /// A file to come. `outside` is the path of its directory now, `within` that in the chroot to come.
    pub(super) fn new(outside: &CStr, within: Option<CString>, name: CString) -> LogFile {
        LogFile { directory: open_directory(outside).ok(), within, name, file: None, half: 0, torn: false }
    }

    /// Opens the file where it is to be, whatever is open now.
    fn open(&mut self) -> Result<(), Trouble> {
        let name = &self.name;
        let attempt = |directory: &Option<OwnedFd>| match directory {
            Some(directory) => open_at(directory.as_fd(), name),
            None => Err(Errno::NOENT),
        };
        let opened = match attempt(&self.directory) {
            // A folder that was removed stays so, whatever has its name now.
            Err(Errno::NOENT) => {
                let again = self.within.as_ref().and_then(|path| open_directory(path).ok());
                let opened = attempt(&again);
                if opened.is_ok() {
                    self.directory = again;
                }
                opened
            }
            opened => opened,
        };
        let file = opened.map_err(Trouble::Open)?;
        let about = meta(file.as_fd()).map_err(Trouble::Open)?;
        self.file = Some((file, about.inode, about.device));
        self.torn |= std::mem::take(&mut self.half) > 0;
        Ok(())
    }

    /// Opens the file anew unless the one that is open is still the one with its name.
    pub(super) fn follow(&mut self) -> Result<(), Trouble> {
        let directory = self.directory.as_ref().map(AsFd::as_fd);
        let named = directory.map_or(Err(Errno::NOENT), |directory| meta_at(directory, &self.name));
        match (&self.file, named) {
            (Some((_, inode, device)), Ok(named)) if named.inode == *inode && named.device == *device => Ok(()),
            _ => self.open(),
        }
    }

    /// Whether the file that is open has a name: what is written to one that has none is lost.
    fn has_name(&self) -> bool {
        self.file.as_ref().is_some_and(|(file, ..)| meta(file.as_fd()).is_ok_and(|about| about.links > 0))
    }

    /// Writes the next `len` bytes of a pipe, whole lines, at the end of the file. `lost` writes a line behind them, where it has one.
    /// What could not be written stays in the pipe. The second value is what is wrong although everything was written.
    ///
    /// A line that a full disk has cut in two, and whose beginning is now in a file that was renamed, removed or cut, is `lost` too.
    pub(super) fn write(
        &mut self,
        pipe: BorrowedFd<'_>,
        mut len: usize,
        rotation: Rotation,
        lost: &AtomicU32,
        tell_lost: &mut dyn FnMut(BorrowedFd<'_>) -> Result<(), Errno>,
    ) -> Result<Option<Trouble>, Trouble> {
        let mut trouble = None;
        if let Err(why) = self.follow() {
            match why {
                // Rights that were given up: the file is written on under its new name.
                Trouble::Open(Errno::ACCES | Errno::ROFS | Errno::LOOP) if self.has_name() => trouble = Some(why),
                _ => return Err(why),
            }
        }
        let mut end = self.lock()?;
        if end.is_some_and(|end| end < self.half) {
            (self.half, self.torn) = (0, true);
        }
        let grows_beyond = |end| end > 0 && len as u64 > rotation.max_size.saturating_sub(end);
        if rotation.max_size > 0 && end.is_some_and(grows_beyond) {
            let renamed = self.rename(rotation.keep);
            self.unlock();
            match renamed {
                Ok(()) => self.open()?,
                Err(errno) => trouble = Some(Trouble::Rename(errno)),
            }
            end = self.lock()?;
        }
        if std::mem::take(&mut self.torn) && len > 0 {
            lost.fetch_add(1, Ordering::Relaxed);
            len -= pass_line(pipe, len);
        }
        let mut written = self.splice(pipe, len, end);
        if let (Ok(()), Some((file, ..))) = (written, &self.file) {
            written = tell_lost(file.as_fd()).map_err(Trouble::Write);
        }
        self.unlock();
        written.map(|()| trouble)
    }

    fn splice(&mut self, pipe: BorrowedFd<'_>, len: usize, end: Option<u64>) -> Result<(), Trouble> {
        let Some((file, ..)) = &self.file else { return Err(Trouble::Open(Errno::NOENT)) };
        let mut left = len;
        while left > 0 {
            match splice(pipe, file.as_fd(), left) {
                Ok(0) => break,
                Ok(count) => left = left.saturating_sub(count),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    if let Some(end) = end.filter(|_| left < len) {
                        self.half = end.saturating_add((len - left) as u64);
                    }
                    return Err(Trouble::Write(errno));
                }
            }
        }
        self.half = 0;
        Ok(())
    }

    /// Locks the file and goes to its end. None = it is a fifo, which has none.
    fn lock(&self) -> Result<Option<u64>, Trouble> {
        let Some((file, ..)) = &self.file else { return Err(Trouble::Open(Errno::NOENT)) };
        // With any other error it is a file system without locks.
        if let Err(Errno::AGAIN) = lock(file.as_fd()) {
            return Err(Trouble::Write(Errno::AGAIN));
        }
        Ok(seek_end(file.as_fd()).ok())
    }

    fn unlock(&self) {
        if let Some((file, ..)) = &self.file {
            unlock(file.as_fd());
        }
    }

    /// FILE.1 becomes FILE.2 and so on; the file itself FILE.1.
    fn rename(&self, keep: u32) -> Result<(), Errno> {
        for to in (1..=keep).rev() {
            match self.rename_one(to) {
                Err(errno) if errno != Errno::NOENT || to == 1 => return Err(errno),
                _ => {}
            }
        }
        Ok(())
    }

    fn rename_one(&self, to: u32) -> Result<(), Errno> {
        let directory = self.directory.as_ref().ok_or(Errno::NOENT)?.as_fd();
        let (mut old, mut new) = (Name::default(), Name::default());
        let names = (self.numbered(to - 1, &mut old), self.numbered(to, &mut new));
        match names {
            (Ok(old), Ok(new)) => rename_at(directory, old, new),
            _ => Err(Errno::NAMETOOLONG),
        }
    }

    /// The name of a renamed file; 0 is the file itself.
    #[inline(never)]
    fn numbered<'a>(&self, number: u32, name: &'a mut Name) -> Result<&'a CStr, FromBytesWithNulError> {
        name.push(self.name.to_bytes());
        if number > 0 {
            name.push(b".");
            name.push_decimal(number.into());
        }
        name.push(b"\0");
        CStr::from_bytes_with_nul(name.bytes())
    }
}

/// Takes the rest of a line out of a pipe, of at most `len` bytes; gives how long it was.
fn pass_line(pipe: BorrowedFd<'_>, len: usize) -> usize {
    let mut byte = [0];
    for passed in 1..=len {
        if read(pipe, &mut byte) != Ok(1) || byte == *b"\n" {
            return passed;
        }
    }
    len
}
