//! The facade's back end is one a process, so each test runs it in a process of its own.

use super::*;
use crate::limits::LOG_LINE_MAX;
use crate::sys::testing;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

const MESSAGES: &str = "log::tests::messages_are_lines_of_stderr";

fn in_role(role: &str) -> ! {
    match role {
        "lines" => {
            ::log::error!("before init: nowhere");
            init(Target::Stderr, DEFAULT_LEVEL).unwrap();
            ::log::error!("one\nmonkey[1] INFO: forged");
            ::log::debug!("too fine");
            set_level(LevelFilter::Debug);
            ::log::debug!("{}", "long".repeat(1000));
            init(Target::Stderr, LevelFilter::Warn).unwrap();
            ::log::info!("too fine");
            ::log::warn!("last");
        }
        "flood" => {
            init(Target::Stderr, DEFAULT_LEVEL).unwrap();
            for number in 0..300 {
                ::log::info!("{number} {}", "x".repeat(900));
            }
            println!("still here");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            ::log::info!("read again");
        }
        "syslog" => {
            let result = init(Target::Syslog, DEFAULT_LEVEL);
            println!("{result:?}");
            ::log::info!("fallback");
        }
        "taken" => {
            struct Other;
            impl Log for Other {
                fn enabled(&self, _: &Metadata<'_>) -> bool {
                    false
                }
                fn log(&self, _: &Record<'_>) {}
                fn flush(&self) {}
            }
            static OTHER: Other = Other;
            ::log::set_logger(&OTHER).unwrap();
            assert_eq!(init(Target::Stderr, DEFAULT_LEVEL), Err(LogError::Taken));
        }
        other => panic!("{other}"),
    }
    testing::pass()
}

/// Takes the pid out of a line, after checking that it is one.
fn without_pid(line: &str) -> String {
    let (name, rest) = line.split_once('[').unwrap();
    let (pid, rest) = rest.split_once(']').unwrap();
    assert!(pid.parse::<u32>().is_ok(), "{line}");
    format!("{name}{rest}")
}

#[test]
fn messages_are_lines_of_stderr() {
    if let Some(role) = testing::role() {
        in_role(&role);
    }
    let run = testing::run_self(MESSAGES, "lines");
    run.assert_pass();
    let lines: Vec<_> = run.stderr.lines().map(without_pid).collect();
    assert_eq!(lines.len(), 3, "{run:#?}");
    assert_eq!(lines[0], "monkey ERROR: one\\nmonkey[1] INFO: forged");
    assert!(lines[1].starts_with("monkey DEBUG: longlong") && lines[1].ends_with("..."));
    assert_eq!(run.stderr.lines().nth(1).unwrap().len() + 1, LOG_LINE_MAX);
    assert_eq!(lines[2], "monkey WARN: last");
}

#[test]
fn a_reader_that_stops_costs_messages_only() {
    let mut child = testing::command(MESSAGES, "flood")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let out = BufReader::new(child.stdout.take().unwrap());
    assert!(out.lines().any(|l| l.unwrap().contains("still here")));
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut taken = 0u32;
    let mut line = String::new();
    // Nothing was read until now: what the pipe holds are whole lines in order.
    loop {
        line.clear();
        errors.read_line(&mut line).unwrap();
        let expected = format!("monkey[{pid}] INFO: {taken} ");
        assert!(line.starts_with(&expected) && line.ends_with("x\n"), "{line}");
        taken += 1;
        if errors.buffer().is_empty() && !testing::readable(std::os::fd::AsFd::as_fd(errors.get_ref()), 0) {
            break;
        }
    }
    assert!(taken < 300, "the pipe took everything");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    let lost = 300 - taken;
    assert_eq!(
        rest,
        format!(
            "monkey[{pid}] WARN: {lost} messages lost: stderr was not being read\n\
             monkey[{pid}] INFO: read again\n"
        )
    );
    assert_eq!(child.wait().unwrap().code(), Some(77));
}

#[test]
fn without_a_system_log_stderr_has_the_messages() {
    if cfg!(feature = "syslog") && std::path::Path::new("/dev/log").exists() {
        println!("SKIPPED: falling back to stderr: this machine has a system log, and is not to hear from tests");
        return;
    }
    let run = testing::run_self(MESSAGES, "syslog");
    run.assert_pass();
    if cfg!(feature = "syslog") {
        assert!(run.stdout.contains("Ok(())"), "{run:#?}");
        assert_eq!(without_pid(run.stderr.trim_end()), "monkey INFO: fallback");
    } else {
        assert!(run.stdout.contains("Err(NotInThisBuild)"), "{run:#?}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn another_back_end_is_not_replaced() {
    testing::run_self(MESSAGES, "taken").assert_pass();
}
