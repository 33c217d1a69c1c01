//! Proves that the server takes no memory after start: not one allocation on any thread over 10,000 requests, error answers,
//! time-outs, full pools and over-capacity included, after 100 requests of warm-up. A reload is exempt, and the requests
//! after it are not.
//!
//! ```text
//! cargo test --test no_allocation                        counts the allocations of the library
//! cargo test --test no_allocation -- --traced PROGRAM    counts brk, mmap, mremap and munmap of a built program (strace)
//! ```

#[cfg(any(feature = "plugin-palm", feature = "plugin-proxy"))]
mod backends;
mod client;
mod counter;
mod server;
mod site;
mod traffic;

use std::process::ExitCode;
use std::time::Duration;

use server::Server;
use site::Site;
use traffic::Traffic;

const WARM_UP: usize = 100;
const REQUESTS: usize = 10_000;
const AFTER_RELOAD: usize = 1_000;
/// KB. Unoptimised code has larger stacks.
const MEMORY: usize = if cfg!(feature = "plugin-proxy") { 3_000 } else { 2_500 } + if BOARD { 180 } else { 0 };
/// Whether pins and LEDs, which are files here, show what happens.
const BOARD: bool = cfg!(all(feature = "plugin-gpio", feature = "test-switches"));
const MEMORY_UNOPTIMISED: usize = MEMORY + 3 * 448;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--serve", configuration] => return server::serve(configuration),
        ["--traced", program] => {
            for scheduler in ["Fair", "ReusePort"] {
                prove(scheduler, MEMORY, false, "system calls", |site| Server::traced(program, &site.configuration()));
            }
        }
        // The name of another test: not for this one.
        [name, ..] if !name.starts_with('-') && !"no_allocation".contains(name) => {}
        _ => {
            let memory = if cfg!(debug_assertions) { MEMORY_UNOPTIMISED } else { MEMORY };
            for scheduler in ["Fair", "ReusePort"] {
                prove(scheduler, memory, true, "allocations", |site| Server::counted(&site.configuration()));
            }
        }
    }
    ExitCode::SUCCESS
}

/// `programs` = programs are run, too, whose own calls are not the server's.
fn prove(scheduler: &str, memory: usize, programs: bool, what: &str, start: impl Fn(&Site) -> Server) {
    let site = Site::new(scheduler, memory, programs && cfg!(feature = "plugin-cgi"));
    let mut server = start(&site);
    let at_start = server.count();
    assert!(at_start > 0, "the start takes memory: who sees none sees nothing");
    let mut traffic = Traffic::new(server.address, server.capacity, &site);
    while traffic.answered < WARM_UP {
        traffic.round();
    }
    let (warm_up, warm) = (traffic.answered, server.count());
    println!("{scheduler}: {at_start} {what} at start, {} in {warm_up} requests of warm-up", warm - at_start);

    let edges = || ["activity", "error", "heartbeat", "busy"].map(|role| site.edges(role));
    let before = edges();
    server.arm(true);
    traffic.extremes();
    while traffic.answered < warm_up + REQUESTS {
        traffic.round();
    }
    none(&mut server, warm, what, traffic.answered - warm_up);
    let all = edges().into_iter().zip(before).all(|(now, before)| now > before);
    assert!(all || !BOARD || what != "allocations", "nothing was shown: {:?}", edges());

    server.arm(false);
    let before = server.count();
    server.reload();
    // The workers take it up at their next turn, and free the old one.
    let reloaded = traffic.answered;
    std::thread::sleep(Duration::from_millis(300));
    traffic.round();
    let settled = server.count();
    println!("{scheduler}: {} {what} for a reload", settled - before);
    server.arm(true);
    while traffic.answered < reloaded + AFTER_RELOAD {
        traffic.round();
    }
    none(&mut server, settled, what, traffic.answered - reloaded);
    server.stop();
}

fn none(server: &mut Server, before: u64, what: &str, requests: usize) {
    let count = server.count() - before;
    println!("{count} {what} in {requests} requests");
    assert_eq!(count, 0, "{what} after start:\n{}", server.culprits(before));
}
