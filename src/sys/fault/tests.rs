//! Faults planted in a process of their own, and the line they leave behind.

use super::*;
use crate::sys::process::set_thread_name;
use crate::sys::testing::{self, Run};
use std::collections::HashMap;
use std::hint::black_box;
use std::io::BufRead;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

const FAULT: &str = "sys::fault::tests::each_fault_leaves_its_line";
const BAD: usize = 0x1234_5000;

/// Something whose address is known, to compare the reported one with.
#[inline(never)]
fn touch(address: usize) -> u8 {
    // SAFETY: none, on purpose: this is the planted fault, in a process that exists for it.
    unsafe { *black_box(address as *const u8) }
}

#[expect(unconditional_recursion, reason = "overflows its stack on purpose")]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[depth % 64]
}

fn in_role(role: &str) {
    if role == "blocked" {
        // SAFETY: the set is initialised before it is used, and outlives both calls.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &all, ptr::null_mut());
        }
    }
    install().unwrap();
    let _stack = thread_stack().unwrap();
    set_thread_name("test main");
    let at = touch as *const () as usize;
    println!("touch={:x} base={:x}", at, image::running().base);
    match role {
        "segv" | "blocked" => {
            black_box(touch(BAD));
        }
        "bus" => {
            let file = std::fs::File::open("/proc/self/exe").unwrap();
            use std::os::fd::AsRawFd;
            let beyond = file.metadata().unwrap().len().next_multiple_of(4096) as usize;
            // SAFETY: a new read-only mapping that reaches past the end of the file: touching that part is the planted SIGBUS.
            let start = unsafe {
                libc::mmap(ptr::null_mut(), beyond + 65536, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
            };
            assert_ne!(start, libc::MAP_FAILED);
            println!("bad={:x}", start as usize + beyond + 65535);
            black_box(touch(start as usize + beyond + 65535));
        }
        "abort" => std::process::abort(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: none, on purpose: undefined on every processor.
        "ill" => unsafe { std::arch::asm!("ud2") },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: none, on purpose: the debugger's breakpoint, with no debugger.
        "trap" => unsafe { std::arch::asm!("int3") },
        "overflow" => {
            let thread = std::thread::Builder::new().stack_size(128 * 1024);
            let deep = thread.spawn(|| {
                let _stack = thread_stack().unwrap();
                set_thread_name("deep\u{1b} 1");
                black_box(recurse(0))
            });
            deep.unwrap().join().unwrap();
        }
        "many" => {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let _stack = thread_stack().unwrap();
                        touch(BAD)
                    });
                }
            });
        }
        "sent" => loop {
            println!("waiting");
            std::thread::sleep(std::time::Duration::from_secs(60));
        },
        other => panic!("{other}"),
    }
    panic!("survived {role}");
}

fn lines(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|l| l.contains("monkey: fault:")).collect()
}

/// The fields of the one line of a run, by name.
fn fields(run: &Run) -> HashMap<String, String> {
    let lines = lines(&run.stderr);
    assert_eq!(lines.len(), 1, "{run:#?}");
    let words: Vec<_> = lines[0].split(' ').collect();
    assert_eq!(words[..3], ["monkey:", "fault:", "signal"], "{run:#?}");
    let mut fields =
        HashMap::from([("signal".to_owned(), words[3].to_owned()), ("name".to_owned(), words[4].to_owned())]);
    for pair in words[5..].chunks(2) {
        assert_eq!(fields.insert(pair[0].to_owned(), pair[1].to_owned()), None);
    }
    fields
}

fn hex(text: &str) -> usize {
    usize::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// `name=HEX` of the run's stdout.
fn said(run: &Run, name: &str) -> usize {
    let at = run.stdout.find(&format!("{name}=")).unwrap() + name.len() + 1;
    let text: String = run.stdout[at..].chars().take_while(char::is_ascii_hexdigit).collect();
    usize::from_str_radix(&text, 16).unwrap()
}

fn check_common(run: &Run, signal: i32, name: &str) -> HashMap<String, String> {
    let fields = fields(run);
    assert_eq!(run.status.signal(), Some(signal), "{run:#?}");
    assert_eq!(fields["signal"], signal.to_string());
    assert_eq!(fields["name"], format!("({name})"));
    assert_eq!(hex(&fields["base"]), said(run, "base"));
    let id = image::running().build_id;
    let id: String = id.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(fields["build-id"], if id.is_empty() { "none" } else { &id });
    fields
}

#[test]
fn each_fault_leaves_its_line() {
    if let Some(role) = testing::role() {
        return in_role(&role);
    }
    let run = testing::run_self(FAULT, "segv");
    let segv = check_common(&run, libc::SIGSEGV, "SIGSEGV");
    assert_eq!(hex(&segv["address"]), BAD);
    let into = hex(&segv["pc"]).wrapping_sub(said(&run, "touch"));
    assert!(into < 256, "pc is not in the function that faulted: {run:#?}");
    assert_eq!(segv["thread"], "test_main");
    assert!(!segv.contains_key("sender"));

    // Blocked by whoever started it.
    let run = testing::run_self(FAULT, "blocked");
    check_common(&run, libc::SIGSEGV, "SIGSEGV");

    let run = testing::run_self(FAULT, "bus");
    let bus = check_common(&run, libc::SIGBUS, "SIGBUS");
    assert_eq!(hex(&bus["address"]), said(&run, "bad"));

    let run = testing::run_self(FAULT, "abort");
    let abort = check_common(&run, libc::SIGABRT, "SIGABRT");
    assert!(!abort.contains_key("sender"), "{run:#?}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn instructions_that_fault() {
    for (role, signal, name) in [("ill", libc::SIGILL, "SIGILL"), ("trap", libc::SIGTRAP, "SIGTRAP")] {
        let run = testing::run_self(FAULT, role);
        let fields = check_common(&run, signal, name);
        assert!(hex(&fields["pc"]) > hex(&fields["base"]), "{run:#?}");
    }
}

#[test]
fn stack_overflow_is_reported_from_the_other_stack() {
    let run = testing::run_self(FAULT, "overflow");
    let fields = check_common(&run, libc::SIGSEGV, "SIGSEGV");
    assert_eq!(fields["thread"], "deep__1");
}

#[test]
fn many_threads_are_one_line() {
    for _ in 0..20 {
        let run = testing::run_self(FAULT, "many");
        check_common(&run, libc::SIGSEGV, "SIGSEGV");
    }
}

#[test]
fn a_signal_from_outside_names_its_sender() {
    for (signal, name) in [(libc::SIGSEGV, "SIGSEGV"), (libc::SIGABRT, "SIGABRT"), (libc::SIGBUS, "SIGBUS")] {
        let mut child = testing::command(FAULT, "sent").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = io::BufReader::new(child.stdout.take().unwrap());
        let mut stdout = String::new();
        while !stdout.contains("waiting") {
            assert_ne!(out.read_line(&mut stdout).unwrap(), 0, "{stdout}");
        }
        // SAFETY: integers only; the process is this test's own.
        assert_eq!(unsafe { libc::kill(child.id().try_into().unwrap(), signal) }, 0);
        let output = child.wait_with_output().unwrap();
        let run = Run { status: output.status, stdout, stderr: String::from_utf8_lossy(&output.stderr).into_owned() };
        let fields = check_common(&run, signal, name);
        assert_eq!(fields["sender"], std::process::id().to_string());
        assert_eq!(fields["address"], "0x0");
    }
}

/// The stack of a thread that has none is mapped, used and given back.
#[test]
fn thread_stack_is_mapped_and_given_back() {
    // SAFETY: stack_t is plain data that outlives each call; this thread's own stack is put back at the end.
    unsafe {
        let mut before: libc::stack_t = zeroed();
        assert_eq!(libc::sigaltstack(ptr::null(), &mut before), 0);
        let mut none: libc::stack_t = zeroed();
        none.ss_flags = libc::SS_DISABLE;
        none.ss_size = libc::MINSIGSTKSZ;
        assert_eq!(libc::sigaltstack(&none, ptr::null_mut()), 0);
        let stack = thread_stack().unwrap();
        let (start, length) = stack.mapping.unwrap();
        let mut now: libc::stack_t = zeroed();
        assert_eq!(libc::sigaltstack(ptr::null(), &mut now), 0);
        assert_eq!(now.ss_flags, 0);
        assert!(now.ss_sp > start && now.ss_size >= HANDLER_STACK && now.ss_size < length);
        let second = thread_stack().unwrap();
        assert!(second.mapping.is_none(), "a second stack for the same thread");
        drop(second);
        drop(stack);
        assert_eq!(libc::sigaltstack(ptr::null(), &mut now), 0);
        assert_eq!(now.ss_flags, libc::SS_DISABLE);
        assert_eq!(libc::sigaltstack(&before, ptr::null_mut()), 0);
    }
}

#[test]
fn digits() {
    let shown = |put: &dyn Fn(&mut Line)| {
        let mut line = Line::new();
        put(&mut line);
        String::from_utf8(line.bytes().to_vec()).unwrap()
    };
    for number in [0, 1, 9, 10, 11, 4_194_304, u32::MAX] {
        assert_eq!(shown(&|l| l.put_number(number)), number.to_string());
    }
    for number in [0, 1, 0xf, 0x10, 0xabc_def0, usize::MAX, usize::MAX >> 1] {
        assert_eq!(shown(&|l| l.put_hex(number)), format!("{number:#x}"));
    }
    assert_eq!(shown(&|l| l.put_digits(7, 2)), "07");
    assert_eq!(shown(&|l| l.put(&[b'x'; LINE_MAX + 9])).len(), LINE_MAX);
}
