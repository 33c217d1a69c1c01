//! The environment, past the lock that the standard library puts around it: a few variables, read and taken out at start.

use std::ffi::{CStr, c_char};

/// The value of a variable; `None` if it is not set.
pub fn variable(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the name is NUL-terminated. What getenv(3) gives is NUL-terminated too, and stays as it is until the variable is
    // changed, which is done at start alone, by `take_out`.
    unsafe {
        let value: *const c_char = libc::getenv(name.as_ptr());
        if value.is_null() { None } else { Some(CStr::from_ptr(value).to_bytes().to_vec()) }
    }
}

/// Takes a variable out of the environment.
///
/// # Safety
/// No other thread reads the environment meanwhile.
pub(super) unsafe fn take_out(name: &CStr) {
    // SAFETY: the name is NUL-terminated; the caller promises the rest.
    unsafe { libc::unsetenv(name.as_ptr()) };
}
