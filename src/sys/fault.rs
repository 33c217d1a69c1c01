//! The last words of a process that dies of a fault: one line on stderr, then the death it would have died anyway.
//!
//! `monkey: fault: signal 11 (SIGSEGV) thread worker/1 address 0x0 pc 0x55d0c2a41b7f base 0x55d0c2a00000 build-id 3f…`
//!
//! `pc - base` is an address in the unstripped program of that build id. A signal that was sent rather than caused also has
//! ` sender PID`. The handler runs on a stack of its own, because the thread's may be what overflowed, and uses nothing
//! but system calls and its own frame: no heap, no locks, no formatting machinery. Sources: sigaction(2), sigaltstack(2),
//! signal-safety(7).

use super::fd::check;
use super::image::{self, BUILD_ID_MAX, Image};
use std::io;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, zeroed};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

const SIGNALS: [(libc::c_int, &[u8]); 5] = [
    (libc::SIGILL, b"SIGILL"),
    (libc::SIGTRAP, b"SIGTRAP"),
    (libc::SIGSEGV, b"SIGSEGV"),
    (libc::SIGBUS, b"SIGBUS"),
    (libc::SIGABRT, b"SIGABRT"),
];

static IMAGE: OnceLock<Image> = OnceLock::new();

/// Id of the thread that is reporting, 0 for none: the first fault is the one that matters.
static REPORTER: AtomicI32 = AtomicI32::new(0);

/// Makes SIGILL, SIGTRAP, SIGSEGV, SIGBUS and SIGABRT report before they end the process, in every thread. A thread whose own
/// stack may be what broke also needs [`thread_stack`].
pub fn install() -> io::Result<()> {
    IMAGE.get_or_init(image::running);
    // SAFETY: a sigaction of zeroes is valid; the handler has the three-argument signature that SA_SIGINFO calls, and does only
    // what signal-safety(7) allows.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = report as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // Everything else waits; a second fault meanwhile is blocked, for which the kernel kills at once.
        libc::sigfillset(&mut action.sa_mask);
        // Whoever started the process may have left them blocked: a fault would then end it without a word.
        let mut faults = action.sa_mask;
        libc::sigemptyset(&mut faults);
        for (signal, _) in SIGNALS {
            check(libc::sigaction(signal, &action, ptr::null_mut()))?;
            libc::sigaddset(&mut faults, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &faults, ptr::null_mut());
    }
    Ok(())
}

extern "C" fn report(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: gettid and getpid only ask.
    let (thread, process) = unsafe { (libc::gettid(), libc::getpid()) };
    match REPORTER.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            // SAFETY: the kernel passes both to an SA_SIGINFO handler, valid until it returns.
            let (cause, pc) = unsafe { (cause(&*info), program_counter(context)) };
            let mut line = Line::new();
            describe(&mut line, signal, &cause, pc, process);
            write_stderr(line.bytes());
        }
        Err(first) if first != thread => {
            // The thread that came first ends the process; its line is to be whole.
            let second = libc::timespec { tv_sec: 1, tv_nsec: 0 };
            // SAFETY: `second` outlives the call, and the remaining time is not wanted.
            unsafe { libc::nanosleep(&second, ptr::null_mut()) };
        }
        Err(_) => {}
    }
    die(signal)
}

/// Ends the process by `signal` with its default action, so that the exit status and the core dump say so.
fn die(signal: libc::c_int) -> ! {
    // SAFETY: all of these are async-signal-safe, and every pointer is to a local that outlives its call.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, ptr::null_mut());
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
        libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal);
        // Only reached where the default action is kept from us (process 1 of a container).
        libc::_exit(128 + signal)
    }
}

/// Why the signal came: an address that could not be used, or a process that sent it.
enum Cause {
    Address(usize),
    Sender(libc::pid_t),
}

/// # Safety
/// `info` is what the kernel passed for one of [`SIGNALS`].
unsafe fn cause(info: &libc::siginfo_t) -> Cause {
    // Codes up to 0 are signals that were sent; the kernel's own are positive (sigaction(2)).
    // SAFETY: si_pid is valid for the first, si_addr for the second, for each of SIGNALS.
    unsafe { if info.si_code <= 0 { Cause::Sender(info.si_pid()) } else { Cause::Address(info.si_addr() as usize) } }
}

/// Where the thread was.
///
/// # Safety
/// `context` is what the kernel passed to the handler.
unsafe fn program_counter(context: *mut libc::c_void) -> usize {
    // SAFETY: the kernel's third argument is a ucontext_t of this architecture.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pc = machine.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "aarch64")]
    let pc = machine.pc;
    #[cfg(target_arch = "arm")]
    let pc = machine.arm_pc;
    pc as usize
}

fn describe(line: &mut Line, signal: libc::c_int, cause: &Cause, pc: usize, process: libc::pid_t) {
    line.put(b"monkey: fault: signal ");
    line.put_number(signal.unsigned_abs());
    for (number, name) in SIGNALS {
        if number == signal {
            line.put(b" (");
            line.put(name);
            line.put(b")");
        }
    }
    line.put(b" thread ");
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, the last of them zero.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr(), 0, 0, 0) };
    for byte in name.iter().take_while(|b| **b != 0) {
        // One word, whatever the name: the line is read by a script.
        line.put(&[if byte.is_ascii_graphic() { *byte } else { b'_' }]);
    }
    line.put(b" address ");
    line.put_hex(match cause {
        Cause::Address(address) => *address,
        Cause::Sender(_) => 0,
    });
    line.put(b" pc ");
    line.put_hex(pc);
    let image = IMAGE.get();
    line.put(b" base ");
    line.put_hex(image.map_or(0, |i| i.base));
    line.put(b" build-id ");
    match image {
        Some(image) if !image.build_id.is_empty() => {
            for byte in &image.build_id {
                line.put_digits(usize::from(*byte), 2);
            }
        }
        _ => line.put(b"none"),
    }
    if let Cause::Sender(sender) = cause
        && *sender != process
    {
        line.put(b" sender ");
        line.put_number(sender.unsigned_abs());
    }
    line.put(b"\n");
}

fn write_stderr(bytes: &[u8]) {
    loop {
        // SAFETY: the slice is readable, and a closed stderr is only an error.
        let wrote = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        if wrote != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// Longest report, all fields at their longest: 230 bytes. What does not fit is left out.
const LINE_MAX: usize = 192 + 2 * BUILD_ID_MAX;

struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; LINE_MAX], length: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    fn put_number(&mut self, number: u32) {
        let mut divisor = 1_000_000_000;
        while divisor > 1 && number / divisor == 0 {
            divisor /= 10;
        }
        while divisor > 0 {
            // A digit is below 10, so that it fits.
            self.put(&[b'0' + (number / divisor % 10) as u8]);
            divisor /= 10;
        }
    }

    fn put_hex(&mut self, number: usize) {
        self.put(b"0x");
        let bits = usize::BITS - number.leading_zeros();
        self.put_digits(number, bits.div_ceil(4).max(1));
    }

    fn put_digits(&mut self, number: usize, digits: u32) {
        for place in (0..digits).rev() {
            let digit = (number >> (place * 4) & 0xf) as u8;
            self.put(&[if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }]);
        }
    }
}

/// What the handler itself takes of its stack, with room to spare.
const HANDLER_STACK: usize = 4096;

/// The stack of its own on which the handler runs in one thread. Kept until the thread ends, and dropped in that thread.
#[derive(Debug)]
#[must_use = "the thread has the stack only while this value lives"]
pub struct FaultStack {
    /// Start and length of our mapping; `None` when the thread had a stack that is large enough.
    mapping: Option<(*mut libc::c_void, usize)>,
    /// The stack belongs to the thread that asked.
    _thread: PhantomData<*mut ()>,
}

/// Gives the calling thread a stack for the handler, so that a stack overflow is reported too. The one the standard library gives
/// its threads is kept where it is large enough; else memory is mapped, once, with a page below it that cannot be touched.
pub fn thread_stack() -> io::Result<FaultStack> {
    // The processor's registers are saved on it first: their size is the kernel's to say, 0 before Linux 5.14.
    // SAFETY: getauxval and sysconf only ask.
    let (frame, page) = unsafe { (libc::getauxval(libc::AT_MINSIGSTKSZ), libc::sysconf(libc::_SC_PAGESIZE)) };
    let page = usize::try_from(page).unwrap_or(4096);
    let frame = usize::try_from(frame).unwrap_or(0).max(libc::MINSIGSTKSZ);
    let needed = (frame + HANDLER_STACK).next_multiple_of(page);
    // SAFETY: stack_t is plain data, of which zeroes are a valid value; every pointer outlives its call. The mapping is new, ours
    // alone, and stays until FaultStack is dropped, which takes it out of use first.
    unsafe {
        let mut current: libc::stack_t = zeroed();
        check(libc::sigaltstack(ptr::null(), &mut current))?;
        if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= frame + HANDLER_STACK {
            return Ok(FaultStack { mapping: None, _thread: PhantomData });
        }
        let length = page + needed;
        let start =
            libc::mmap(ptr::null_mut(), length, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = FaultStack { mapping: Some((start, length)), _thread: PhantomData };
        let usable = start.byte_add(page);
        check(libc::mprotect(usable, needed, libc::PROT_READ | libc::PROT_WRITE))?;
        let mut new: libc::stack_t = zeroed();
        new.ss_sp = usable;
        new.ss_size = needed;
        check(libc::sigaltstack(&new, ptr::null_mut()))?;
        Ok(stack)
    }
}

impl Drop for FaultStack {
    fn drop(&mut self) {
        let Some((start, length)) = self.mapping else {
            return;
        };
        // SAFETY: the mapping is ours; if it is this thread's signal stack it is taken out of use before it goes.
        unsafe {
            let mut current: libc::stack_t = zeroed();
            let known = libc::sigaltstack(ptr::null(), &mut current) == 0;
            let inside = (start as usize..start as usize + length).contains(&(current.ss_sp as usize));
            if known && inside {
                let mut none: libc::stack_t = zeroed();
                none.ss_flags = libc::SS_DISABLE;
                none.ss_size = libc::MINSIGSTKSZ;
                libc::sigaltstack(&none, ptr::null_mut());
            }
            libc::munmap(start, length);
        }
    }
}

#[cfg(test)]
mod tests;
