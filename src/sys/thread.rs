//! Threads with a stack of a chosen size, by pthread_create(3). The standard library's threads bring names, scopes and
//! captured output along, and with them a printf: 25 KB that a server with a handful of threads has no use for.

use std::io;
use std::mem::MaybeUninit;

/// What a thread does.
pub type Body = Box<dyn FnOnce() + Send>;

/// A running thread. Dropping it without [`Thread::join`] lets it run on.
pub struct Thread {
    id: libc::pthread_t,
}

extern "C" fn enter(argument: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `spawn` passes a Box<Body> turned into a pointer, to exactly one thread.
    let body: Box<Body> = unsafe { Box::from_raw(argument.cast()) };
    body();
    std::ptr::null_mut()
}

/// Starts a thread with `stack` bytes of stack, of which only touched pages are resident, and a guard page below. Signals
/// blocked by the caller are blocked in it. Fails with EAGAIN when the system has no room for another thread, with EINVAL when
/// the stack is smaller than the system's minimum.
pub fn spawn(stack: usize, body: Body) -> io::Result<Thread> {
    let fail = |code: libc::c_int| if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut id = MaybeUninit::<libc::pthread_t>::uninit();
    let argument = Box::into_raw(Box::new(body));
    // SAFETY: the attributes are initialised before they are used and destroyed after; `enter` takes the box over.
    let created = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        let sized = libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
        let created = match sized {
            0 => libc::pthread_create(id.as_mut_ptr(), attributes.as_ptr(), enter, argument.cast()),
            code => code,
        };
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        created
    };
    if let Err(error) = fail(created) {
        // SAFETY: no thread was made, so the box is still ours alone.
        drop(unsafe { Box::from_raw(argument) });
        return Err(error);
    }
    // SAFETY: pthread_create succeeded and filled it.
    Ok(Thread { id: unsafe { id.assume_init() } })
}

/// The id of the calling thread (gettid(2)).
pub fn id() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() }.cast_unsigned()
}

impl Thread {
    /// Waits until the thread has ended.
    pub fn join(self) {
        // SAFETY: the thread is joinable and joined once, for `self` is gone after.
        unsafe { libc::pthread_join(self.id, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn threads_run_their_body_and_are_joined() {
        let sum = Arc::new(AtomicU32::new(0));
        let threads: Vec<Thread> = (1..=4)
            .map(|number| {
                let sum = Arc::clone(&sum);
                spawn(128 * 1024, Box::new(move || _ = sum.fetch_add(number, Ordering::Relaxed))).unwrap()
            })
            .collect();
        threads.into_iter().for_each(Thread::join);
        assert_eq!(sum.load(Ordering::Relaxed), 10);
        assert_eq!(Arc::strong_count(&sum), 1, "the bodies are dropped");
    }

    #[test]
    fn an_impossible_stack_is_an_error() {
        assert!(spawn(1, Box::new(|| {})).is_err());
    }
}
