//! The hardware watchdog: a device that resets the board unless it is written to in time.
//! Sources: the kernel's Documentation/watchdog/watchdog-api.rst and include/uapi/linux/watchdog.h.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
#[cfg(feature = "test-switches")]
use std::sync::atomic::{AtomicBool, Ordering};

use super::fd::check;
use super::file::open_with;

/// The requests of ioctl(2), which have these numbers on every architecture built for.
const GET_SUPPORT: u32 = 0x8028_5700;
const GET_BOOT_STATUS: u32 = 0x8004_5702;
const SET_TIMEOUT: u32 = 0xc004_5706;
const GET_TIMEOUT: u32 = 0x8004_5707;
/// It can be stopped (WDIOF_MAGICCLOSE).
const MAGIC_CLOSE: u32 = 0x100;
/// It has reset the board (WDIOF_CARDRESET).
const CARD_RESET: libc::c_int = 0x20;
/// What stops it, if it is the last thing written.
const STOP: &[u8] = b"V";
/// What feeds it: anything else.
const FEED: &[u8] = b".";

/// Whether what is no watchdog will do.
#[cfg(feature = "test-switches")]
static ANY: AtomicBool = AtomicBool::new(false);

/// Lets any file be a watchdog: what would have been fed is written to it. For tests.
#[cfg(feature = "test-switches")]
pub fn accept_any() {
    ANY.store(true, Ordering::Relaxed);
}

/// `struct watchdog_info`.
#[repr(C)]
struct Info {
    options: u32,
    version: u32,
    identity: [u8; 32],
}

/// A watchdog that runs. Dropped it is stopped, so that an orderly end resets nothing; a process that dies drops nothing.
#[derive(Debug)]
pub struct Watchdog {
    /// None = it is not ours to stop.
    device: Option<File>,
    timeout: u32,
    stops: bool,
}

impl Watchdog {
    /// Opens a device, which starts it, and asks for a reset so many seconds after it was fed last. Fails with EBUSY when another process
    /// has it, and with ENOTTY when it is no watchdog. One that does not take the time keeps its own: see [`Watchdog::timeout`].
    pub fn open(path: &Path, seconds: u32) -> io::Result<Watchdog> {
        let device = open_with(path, libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
        let mut timeout = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
        if let Err(error) = number(&device, SET_TIMEOUT, &mut timeout) {
            let is_none = error.raw_os_error() == Some(libc::ENOTTY);
            #[cfg(feature = "test-switches")]
            let is_none = is_none && !ANY.load(Ordering::Relaxed);
            if is_none {
                return Err(error);
            }
            // EINVAL, EOPNOTSUPP: the time is not its to choose, or not that long.
            let _ = number(&device, GET_TIMEOUT, &mut timeout);
        }
        let timeout = u32::try_from(timeout).unwrap_or(seconds).max(1);
        let mut info = Info { options: MAGIC_CLOSE, version: 0, identity: [0; 32] };
        // SAFETY: the request fills in a `watchdog_info`, which this is, and it outlives the call.
        unsafe { libc::ioctl(device.as_raw_fd(), GET_SUPPORT as _, &raw mut info) };
        Ok(Watchdog { device: Some(device), timeout, stops: info.options & MAGIC_CLOSE != 0 })
    }

    /// Seconds after which it resets the board, as the device has it.
    pub fn timeout(&self) -> u32 {
        self.timeout
    }

    /// Whether it can be stopped. A kernel built with CONFIG_WATCHDOG_NOWAYOUT stops none, whatever the device says.
    pub fn stops(&self) -> bool {
        self.stops
    }

    /// Whether the board was reset by it last, as far as it can tell.
    pub fn has_reset(&self) -> bool {
        let mut status = 0;
        self.device.as_ref().is_some_and(|device| number(device, GET_BOOT_STATUS, &mut status).is_ok())
            && status & CARD_RESET != 0
    }

    /// Puts the reset off.
    pub fn feed(&self) -> io::Result<()> {
        self.device.as_ref().map_or(Ok(()), |mut device| device.write_all(FEED))
    }

    /// Lets go of it in a copy of the process that has it, without stopping it.
    pub fn leave(mut self) {
        self.device = None;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut device) = self.device.take() {
            let _ = device.write_all(STOP);
        }
    }
}

/// A request with a number that goes in, or comes out, or both.
fn number(device: &File, request: u32, value: &mut libc::c_int) -> io::Result<()> {
    // SAFETY: these requests read and write an int, and `value` outlives the call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), request as _, std::ptr::from_mut(value)) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::Dir;
    use std::fs;

    #[test]
    fn what_is_no_watchdog_is_left_alone() {
        let dir = Dir::new();
        let path = dir.join("file");
        fs::write(&path, "kept").unwrap();
        for path in [path.as_path(), Path::new("/dev/null")] {
            let error = Watchdog::open(path, 15).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOTTY), "{}", path.display());
        }
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        let missing = Watchdog::open(&dir.join("none"), 15).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn dropped_it_stops_and_left_it_does_not() {
        let dir = Dir::new();
        let path = dir.join("file");
        let open = || {
            fs::write(&path, "").unwrap();
            let device = Some(File::options().append(true).open(&path).unwrap());
            Watchdog { device, timeout: 15, stops: true }
        };
        let watchdog = open();
        watchdog.feed().unwrap();
        watchdog.feed().unwrap();
        assert!(!watchdog.has_reset());
        drop(watchdog);
        assert_eq!(fs::read(&path).unwrap(), b"..V");
        let watchdog = open();
        watchdog.feed().unwrap();
        watchdog.leave();
        assert_eq!(fs::read(&path).unwrap(), b".");
    }
}
