//! Processes, as /proc tells of them.

use std::fs;

use super::eventually;

/// State and parent of one, from behind the name in parentheses.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.into(), fields.next()?.parse().ok()?))
}

/// Its parent; 0 when there is no such process.
#[cfg(any(feature = "plugin-cgi", feature = "test-switches"))]
pub fn parent(pid: u32) -> u32 {
    stat(pid).map_or(0, |(_, parent)| parent)
}

/// Whether it is there and has not ended.
pub fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

/// Waits for its end.
#[track_caller]
pub fn is_gone(pid: u32) {
    assert!(eventually(|| !lives(pid)), "{pid} lives on");
}

#[cfg(any(feature = "plugin-cgi", feature = "test-switches"))]
fn all() -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The spawners below a process.
#[cfg(any(feature = "plugin-cgi", feature = "test-switches"))]
pub fn spawners(above: u32) -> Vec<u32> {
    let is_below = |mut pid: u32| {
        while pid > 1 && pid != above {
            pid = parent(pid);
        }
        pid == above
    };
    let is = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "monkey: spawner\n");
    all().filter(is).filter(|pid| is_below(*pid) && lives(*pid)).collect()
}

/// The one spawner below a process.
#[cfg(any(feature = "plugin-cgi", feature = "test-switches"))]
#[track_caller]
pub fn spawner_below(above: u32) -> u32 {
    let mut found = Vec::new();
    let one = eventually(|| {
        found = spawners(above);
        found.len() == 1
    });
    assert!(one, "{found:?}");
    found[0]
}

/// The processes whose parent is another, those that have ended and were not waited for among them.
#[cfg(any(feature = "plugin-cgi", feature = "test-switches"))]
pub fn children(of: u32) -> Vec<u32> {
    all().filter(|pid| parent(*pid) == of).collect()
}
