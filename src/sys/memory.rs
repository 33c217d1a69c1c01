//! Memory taken once, at start: an anonymous mapping of which only touched pages are resident.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Maps `len` bytes of zeroed private memory (mmap(2)). Huge pages are refused for it: one touched byte must cost one
/// small page, not 2 MB.
pub(super) fn map(len: usize) -> io::Result<NonNull<u8>> {
    if len == 0 {
        return Ok(NonNull::<u64>::dangling().cast());
    }
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the range was mapped just now. A kernel without huge pages answers EINVAL, which is as good.
    unsafe { libc::madvise(address, len, libc::MADV_NOHUGEPAGE) };
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Gives a mapping back (munmap(2)).
///
/// # Safety
/// `address` and `len` are those of one earlier [`map`], and nothing refers to the memory any more.
pub(super) unsafe fn unmap(address: NonNull<u8>, len: usize) {
    if len != 0 {
        // SAFETY: promised by the caller.
        unsafe { libc::munmap(address.as_ptr().cast(), len) };
    }
}

/// Bytes taken once: zeroed, page-aligned, resident only where touched.
pub struct Region {
    address: NonNull<u8>,
    len: usize,
}

impl Region {
    /// Takes `len` bytes. Fails with ENOMEM when the address space is full.
    pub fn new(len: usize) -> io::Result<Region> {
        Ok(Region { address: map(len)?, len })
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `len` readable, initialised (zeroed) bytes and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, writable, and `&mut self` is the only way to it.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: made by `map` with this length; no borrow outlives `self`.
        unsafe { unmap(self.address, self.len) }
    }
}

// SAFETY: a Region owns its bytes alone, as a Box<[u8]> does.
unsafe impl Send for Region {}
// SAFETY: shared access only reads.
unsafe impl Sync for Region {}

/// Numbers that all threads may change, taken once: zero at first, resident only where touched.
pub struct Words(Region);

impl Words {
    /// Takes `len` numbers. Fails with ENOMEM when the address space is full.
    pub fn new(len: usize) -> io::Result<Words> {
        let bytes =
            len.checked_mul(size_of::<AtomicU64>()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Region::new(bytes).map(Words)
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        let len = self.0.len / size_of::<AtomicU64>();
        // SAFETY: the mapping begins at a page (or is empty and dangles with the alignment of a u64), is `len` whole words of
        // initialised memory, lives as long as `self`, and is reached only as atomics: the Region is private.
        unsafe { std::slice::from_raw_parts(self.0.address.as_ptr().cast(), len) }
    }
}

/// A secret of this process: the 16 random bytes that the kernel passes to every program (AT_RANDOM of getauxval(3)). Copies of
/// the process have the same. Takes no system call and never waits, however young the system.
pub fn secret() -> [u8; 16] {
    // SAFETY: getauxval takes an integer. The address is 0 or that of 16 bytes that stay as they are.
    unsafe {
        let bytes = libc::getauxval(libc::AT_RANDOM) as usize as *const [u8; 16];
        if bytes.is_null() { [0; 16] } else { *bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_zero_and_shared() {
        let words = Words::new(1000).unwrap();
        assert_eq!(words.len(), 1000);
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..500).for_each(|_| _ = words[999].fetch_add(1, Ordering::Relaxed)));
            }
        });
        assert_eq!(words[999].load(Ordering::Relaxed), 1000);
        assert!(Words::new(0).unwrap().is_empty());
    }

    #[test]
    fn a_region_is_zeroed_and_writable() {
        let mut region = Region::new(10_000).unwrap();
        assert_eq!(region.len(), 10_000);
        assert!(region.iter().all(|&byte| byte == 0));
        region[9_999] = 7;
        assert_eq!(region[9_999], 7);
        assert!(Region::new(0).unwrap().is_empty());
    }
}
